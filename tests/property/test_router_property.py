"""Whatever the market: bids that no auction rejects, and plans whose bounds hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.routing import growth, random_pairs, shortest
from support.solver_markets import bids, generated

from walras_solvers.baseline import Baseline
from walras_solvers.router import Router, plan, sparsify

SOLVER = Router()


@pytest.mark.parametrize("seed", range(4))
def test_bids_for_generated_markets_are_valid_and_no_market_gets_less(seed: int) -> None:
    made = generated(seed, 12)
    sent = bids(SOLVER, made, 4.0)  # raises if any of them would be rejected
    alone = {next(iter(bid.surplus)): bid.score for _, bid in sent if len(bid.surplus) == 1}
    for _, bid in sent:
        if len(bid.surplus) == 1:
            group = next(iter(bid.surplus))
            alone[group] = max(alone[group], bid.score)
    for _, bid in bids(Baseline(), made):
        (group,) = bid.surplus
        assert alone[group] >= bid.score
    keys = [(p.fills, tuple(sorted(p.prices.items())), p.executions) for p, _ in sent]
    assert len(set(keys)) == len(keys)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 20),
    pools=st.integers(1, 60),
    assets=st.integers(2, 12),
    noise=st.sampled_from([0.0, 0.001, 0.02, 0.5]),
    size=st.floats(-5, 3),
)
def test_plans_are_feasible_and_their_gap_is_proven(
    seed: int, pools: int, assets: int, noise: float, size: float
) -> None:
    arrays = random_pairs(seed, pools, assets, noise=noise)
    target = assets - 1
    supply = np.zeros(assets)
    supply[0] = 10**size * arrays.pairs.root_left[0] ** 2
    made = plan(arrays, supply, target)
    assert made.paid <= made.bound * (1 + 1e-9)
    assert made.gap <= 1e-6
    assert shortest(arrays, made, supply, target) <= 1e-9
    assert growth(arrays, made).min() >= -1e-12


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 20), part=st.floats(-6, -0.5))
def test_costs_never_make_a_plan_worse_than_the_whole_one(seed: int, part: float) -> None:
    arrays = random_pairs(seed, 25, 6, noise=0.003)
    supply = np.zeros(6)
    supply[0] = 0.01 * arrays.pairs.root_left[0] ** 2
    whole = plan(arrays, supply, 5)
    cost = np.full(25, 10**part * whole.paid)
    found = sparsify(arrays, supply, 5, cost, whole)
    assert found.worth >= whole.paid - float(cost.sum())
    assert found.worth <= found.bound * (1 + 1e-9) + 1e-9
    assert found.bound <= whole.bound * (1 + 1e-9)
