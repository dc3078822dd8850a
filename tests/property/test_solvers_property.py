"""Whatever the market, what a solver sends keeps every rule."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.auctions import DAI, ETH, USDC, intent
from support.solver_markets import bids, generated, market

from walras.core.intents import Intent
from walras.protocol.problem import Problem
from walras.sdk import Solver
from walras_solvers.baseline import Baseline
from walras_solvers.optimizer import MOST, Optimizer

SOLVERS = [Baseline(), Optimizer()]
ASSETS = {ETH: 10**18 / 3_000, USDC: 10**6, DAI: 10**18}  # atoms for a dollar


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.describe().name)
def test_bids_for_generated_markets_are_valid(solver: Solver, seed: int) -> None:
    made = generated(seed, 40)
    sent = bids(solver, made, 1.5)  # raises if any of them would be rejected
    assert sent
    if isinstance(solver, Optimizer):
        assert len(sent) <= MOST


@st.composite
def crossing_markets(draw: st.DrawFn) -> Problem:
    """Orders around the fair prices, of all sizes, some all or nothing, no venues."""
    rng = random.Random(draw(st.integers(0, 1 << 32)))
    orders: dict[str, Intent] = {}
    for number in range(draw(st.integers(2, 14))):
        give, get = rng.sample(sorted(ASSETS), 2)
        dollars = 10 ** rng.uniform(-3, 6)
        price = rng.uniform(0.95, 1.05)
        given, wanted = int(dollars * ASSETS[give]) + 1, int(dollars * price * ASSETS[get]) + 1
        if rng.random() < 0.5:
            units, legs, settle, limit = given, {give: -1}, get, wanted
        else:
            units, legs, settle, limit = wanted, {get: 1}, give, -given
        orders[f"o{number}"] = intent(
            f"o{number}",
            legs,
            settle,
            limit,
            units=units,
            min_units=rng.choice((0, 0, 1, units // 2, units)),
        )
    made = market(orders)
    if rng.random() < 0.3:  # somebody has less than the orders say
        short = {account: int(held * rng.random()) for account, held in made.balances.items()}
        made = replace(made, balances=short)
    return made


@given(crossing_markets())
@settings(max_examples=40, deadline=None)
def test_bids_without_venues_are_valid(made: Problem) -> None:
    bids(Optimizer(), made, 0.5)
