"""No valid bid scores more than the bound, nor does an award: of any solver, at any dual prices."""

import random
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fuzzed_markets import markets
from support.random_bids import random_bids
from support.solver_markets import bids, generated
from support.swap_sequences import random_worth

from walras.auction.award import award
from walras.auction.candidates import ScoredBid
from walras.protocol.problem import Problem
from walras.sdk import Deadline, spot_price
from walras_solvers.baseline import Baseline
from walras_solvers.bound import bound_at, score_bound
from walras_solvers.bound.scale import UNIT
from walras_solvers.bound.venues import venue_bound
from walras_solvers.optimizer import Optimizer

SOLVERS = (Baseline(), Optimizer())


def all_bids(made: Problem, rng: random.Random, seconds: float) -> list[ScoredBid]:
    """Of the built-in solvers, and random ones; with distinct ids."""
    sent = [scored for solver in SOLVERS for _, scored in bids(solver, made, seconds)]
    named = [replace(bid, id=(1 << 200 | n).to_bytes(32, "big")) for n, bid in enumerate(sent)]
    return named + random_bids(made, rng, 10)


@given(markets(), st.integers(0, 1 << 32))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_no_bid_scores_more_than_any_bound(made: Problem, seed: int) -> None:
    rng = random.Random(seed)
    found = all_bids(made, rng, 0.3)
    most = max((bid.score for bid in found), default=0)
    best = score_bound(made, Deadline.after(0.3))
    assert most <= best.score
    assert bound_at(made, best.duals) == best.score
    for spread in (0.01, 0.1, 3.0):
        duals = {a: int(d * 2 ** rng.gauss(0, spread)) for a, d in best.duals.items()}
        assert most <= bound_at(made, duals)


@cache
def market_and_bids(seed: int) -> tuple[Problem, list[ScoredBid]]:
    made = generated(seed, 30)
    return made, all_bids(made, random.Random(seed), 1.5)


@pytest.mark.parametrize("seed", range(2))
def test_no_award_scores_more(seed: int) -> None:
    made, found = market_and_bids(seed)
    total = award(made, found, bytes(64)).score
    assert max(bid.score for bid in found) <= total
    assert total <= score_bound(made, Deadline.after(1.5)).score
    duals = {asset: price.amount * UNIT for asset, price in made.prices.items()}
    assert total <= bound_at(made, duals)


def test_the_random_bids_are_not_all_refused() -> None:
    found = [random_bids(generated(seed, 30), random.Random(seed), 30) for seed in range(4)]
    assert sum(map(len, found)) > 10


@given(markets(), st.integers(0, 1 << 32))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_no_swaps_on_any_venue_are_worth_more(made: Problem, seed: int) -> None:
    rng = random.Random(seed)
    for venue in made.venues.values():
        prices = {asset: rng.randrange(1, 1 << rng.randrange(1, 150)) for asset in venue.assets}
        start, *others = venue.assets
        for asset in others if rng.random() < 0.8 else ():
            spot = spot_price(venue, start, asset)
            if 1e-30 < spot < 1e30:  # near its own prices
                prices[start] = UNIT << 64
                prices[asset] = int((UNIT << 64) / spot * rng.lognormvariate(0, 0.03)) + 1
        bound = venue_bound(venue, prices)
        for _ in range(4):
            assert random_worth(venue, prices, rng, 5, int(10 ** rng.uniform(1, 34))) <= bound
