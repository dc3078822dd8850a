"""The built-in solvers route through every kind of venue, and pass over what can pay nothing."""

from dataclasses import replace

import pytest
from support.auctions import DAI, ETH, USDC, WHOLE_ETH, WHOLE_USDC, intent
from support.solver_markets import best, bids, market

from walras.market.kinds import AnyVenue, Bridge, Concentrated, Rfq, StablePool, Tick
from walras.market.tick_math import tick_at
from walras.sdk import Solver
from walras_solvers.baseline import Baseline
from walras_solvers.optimizer import Optimizer

PRICE = 4_339_505_179_874_779_489_431_521  # 3,000 USDC for an ETH
TICK = tick_at(PRICE)
RANGE = Concentrated(
    *("ranges", 0, (ETH, USDC), PRICE, TICK, 10**17, 500, 10),
    (Tick(-198_000, 10**17), Tick(-194_000, -(10**17))),
)
STABLE = StablePool(
    *("stable", 0, (USDC, DAI), (10**13, 10**25)),
    *((10**30, 10**18), 200_000, 10**14),
)
BRIDGE = Bridge(
    *("bridge", 0, (USDC, DAI), (10**13, 10**25)),
    *((10**12, 1), 100, (10**4, 10**16), 5_000),
)
QUOTE = Rfq(
    *("quote", 0, (ETH, USDC), bytes(32), 1, 100 * WHOLE_ETH, 300_000 * WHOLE_USDC),
    *(1 << 60, bytes(64), 100 * WHOLE_ETH),
)

SELL_ETH = intent("ann", {ETH: -1}, USDC, 2_900 * WHOLE_USDC, units=WHOLE_ETH)
SELL_USDC = intent("ann", {USDC: -1}, DAI, 900 * 10**18, units=1_000 * WHOLE_USDC)
BUY_DAI = intent("ann", {DAI: 1}, USDC, -1_100 * WHOLE_USDC, units=1_000 * 10**18)

SOLVERS = pytest.mark.parametrize(
    "solver", [Baseline(), Optimizer()], ids=lambda solver: solver.describe().name
)


@SOLVERS
@pytest.mark.parametrize(
    ("venue", "order"),
    [
        (RANGE, SELL_ETH),
        (QUOTE, SELL_ETH),
        (STABLE, SELL_USDC),
        (STABLE, BUY_DAI),
        (BRIDGE, SELL_USDC),
        (BRIDGE, BUY_DAI),
    ],
)
def test_each_kind_is_traded(solver: Solver, venue: AnyVenue, order: object) -> None:
    made = market({"ann": order}, venues=[venue])  # type: ignore[dict-item]  # intents, all of them
    bid = best(solver, made)
    assert bid.score > 0
    assert set(bid.venues) == {venue.id}


@SOLVERS
def test_what_can_pay_nothing_is_passed_over(solver: Solver) -> None:
    idle = [
        replace(RANGE, ticks=(), liquidity=0),
        replace(QUOTE, left=0),
        replace(STABLE, balances=(0, 10**25)),
        replace(BRIDGE, capacity=(0, 0)),
    ]
    orders = {"ann": SELL_ETH, "bob": intent("bob", {USDC: -1}, DAI, 1, units=WHOLE_USDC)}
    assert bids(solver, market(orders, venues=idle)) == []


@SOLVERS
def test_all_of_them_at_once(solver: Solver) -> None:
    orders = {
        "ann": SELL_ETH,
        "bob": intent("bob", {USDC: -1}, DAI, 900 * 10**18, units=1_000 * WHOLE_USDC),
        "cat": intent("cat", {ETH: -1}, DAI, 2_900 * 10**18, units=WHOLE_ETH),
    }
    sent = bids(solver, market(orders, venues=[RANGE, QUOTE, STABLE, BRIDGE]), 5.0)
    assert {fill.intent_id for _, bid in sent for fill in bid.fills} >= set(market(orders).intents)
