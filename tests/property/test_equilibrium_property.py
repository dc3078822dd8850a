"""Whatever the market, what the equilibrium solver sends keeps every rule."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.auctions import DAI, ETH, USDC, intent, pool
from support.solver_markets import bids, generated, market

from walras.core.intents import Intent
from walras.protocol.problem import Problem, Rules
from walras_solvers.equilibrium import Equilibrium

SOLVER = Equilibrium()
ASSETS = {ETH: 10**18 / 3_000, USDC: 10**6, DAI: 10**18}  # atoms for a dollar


@pytest.mark.parametrize("seed", range(6))
def test_bids_for_generated_markets_are_valid(seed: int) -> None:
    assert bids(SOLVER, generated(seed, 40), 1.0)  # raises if any of them would be rejected


@st.composite
def markets(draw: st.DrawFn) -> Problem:
    """Orders around the fair prices, of all sizes, also of a few atoms; some all or nothing; some
    owners with less than they promise, or with one account for several orders; perhaps a pool.
    """
    rng = random.Random(draw(st.integers(0, 1 << 32)))
    owners = rng.choice((2, 6, 14))
    orders: dict[str, Intent] = {}
    for number in range(draw(st.integers(2, 14))):
        give, get = rng.sample(sorted(ASSETS), 2)
        dollars = 10 ** rng.uniform(-6, 6)
        price = rng.uniform(0.93, 1.05)
        given, wanted = int(dollars * ASSETS[give]) + 1, int(dollars * price * ASSETS[get]) + 1
        if rng.random() < 0.5:
            units, legs, settle, limit = given, {give: -1}, get, wanted
        else:
            units, legs, settle, limit = wanted, {get: 1}, give, -given
        orders[f"o{number}"] = intent(
            f"o{number % owners}",
            legs,
            settle,
            limit,
            units=units,
            min_units=rng.choice((0, 0, 1, units // 2, units)),
        )
    venues = [pool("pool", depth=10 ** rng.randint(0, 4))] if rng.random() < 0.4 else []
    held = {
        (f"o{owner}", asset): int(10 ** rng.uniform(-3, 7) * atoms) + 1
        for owner in range(owners)
        for asset, atoms in ASSETS.items()
    }
    made = market(orders, venues=venues, balances=held)
    if rng.random() < 0.3:
        made = replace(made, rules=Rules(collar_bps=rng.choice((10, 200, 3_000))))
    return made


@given(markets())
@settings(max_examples=40, deadline=None)
def test_bids_for_crossing_orders_are_valid(made: Problem) -> None:
    bids(SOLVER, made, 0.3)
