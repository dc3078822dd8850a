"""The router as a solver: bids for markets, for opposite ones and for those that share venues."""

from dataclasses import replace

import pytest
from support.auctions import DAI, ETH, USDC, WHOLE_ETH, WHOLE_USDC, intent, key, pool
from support.solver_markets import (
    best,
    bids,
    filled,
    market,
    purchase,
    sale,
    spread_against_books,
)

from walras.protocol.problem import Rules
from walras.sdk import ConstantProduct, Deadline, Rfq
from walras_solvers.baseline import Baseline
from walras_solvers.router import Router

SOLVER = Router()
DAI_POOL = ConstantProduct("dai", 0, (DAI, USDC), (3 * 10**24, 3 * 10**12), 500)


def test_a_sale_is_split() -> None:
    made = market({"a": sale("a", 20, 2_900)}, venues=[pool("p"), pool("q")])
    won = best(SOLVER, made)
    half = made.venues["p"].swap(ETH, 10 * WHOLE_ETH, USDC).amount_out
    ((units, paid),) = filled(won).values()
    assert units == 20 * WHOLE_ETH
    assert paid == pytest.approx(2 * half, abs=3)
    assert won.score > best(Baseline(), made).score


def test_a_purchase_is_split() -> None:
    made = market({"a": purchase("a", 20, 3_100)}, venues=[pool("p"), pool("q")])
    won = best(SOLVER, made)
    assert filled(won)[key("a")][0] == 20 * WHOLE_ETH
    assert len(won.venues) == 2
    assert won.score > best(Baseline(), made).score


def test_of_an_order_that_is_too_large_a_part_is_filled() -> None:
    made = market({"a": sale("a", 1_000, 2_900)}, venues=[pool("p", depth=1_000)])
    won = best(SOLVER, made)
    units, paid = filled(won)[key("a")]
    assert 0 < units < 1_000 * WHOLE_ETH
    assert paid * 1_000 * WHOLE_ETH >= 1_000 * 2_900 * WHOLE_USDC * units
    rigid = market({"a": sale("a", 1_000, 2_900, min_units=1_000 * WHOLE_ETH)}, venues=[pool("p")])
    assert bids(SOLVER, rigid) == []


def test_sellers_and_buyers_of_one_market_trade_at_one_price() -> None:
    orders = {
        "a": sale("a", 3, 2_900),
        "b": intent("b", {USDC: 1}, ETH, -2 * WHOLE_ETH, units=5_800 * WHOLE_USDC),
    }
    made = market(orders, venues=[pool("p"), pool("q", depth=300)])
    won = best(SOLVER, made)
    assert set(filled(won)) == {key("a"), key("b")}
    assert won.score >= best(Baseline(), made).score


def test_opposite_markets_meet() -> None:
    made = market(
        {"a": sale("a", 10, 2_900), "b": purchase("b", 9, 3_100)}, venues=[pool("p", depth=100)]
    )
    won = best(SOLVER, made)
    assert set(filled(won)) == {key("a"), key("b")}
    # Only the one ETH that is too many goes through the pool.
    assert won.score > sum(bid.score for _, bid in bids(Baseline(), made))


def test_markets_that_help_each_other_are_joined() -> None:
    orders = {
        "a": sale("a", 10, 2_900),
        "b": intent("b", {DAI: -1}, ETH, 9 * WHOLE_ETH, units=30_000 * 10**18),
    }
    made = market(orders, venues=[pool("p", depth=300), DAI_POOL])
    joined = best(SOLVER, made)
    assert set(filled(joined)) == {key("a"), key("b")}
    assert len(joined.surplus) == 2
    # Both go through the same pool, so alone only one of them could win.
    assert joined.score > sum(bid.score for _, bid in bids(Baseline(), made))


def test_each_leg_of_a_spread_is_served() -> None:
    made = spread_against_books()
    assert best(SOLVER, made).score == best(Baseline(), made).score


def test_nobody_gets_more_than_the_collar_allows() -> None:
    # A maker who pays twice the reference price.
    quote = Rfq(
        "r",
        0,
        (ETH, USDC),
        bytes(32),
        1,
        WHOLE_ETH,
        6_000 * WHOLE_USDC,
        1 << 60,
        bytes(64),
        WHOLE_ETH,
    )
    made = market({"a": sale("a", 1, 2_900)}, venues=[quote])
    ((_, won),) = bids(SOLVER, made)
    ((_, paid),) = filled(won).values()
    assert 3_300 * WHOLE_USDC <= paid <= 3_301 * WHOLE_USDC  # 10 % above the reference


def test_no_bid_is_sent_twice_and_none_beyond_what_may_be_sent() -> None:
    made = market(
        {"a": sale("a", 20, 2_900), "b": purchase("b", 3, 3_100)}, venues=[pool("p"), pool("q")]
    )
    sent = [proposal for proposal, _ in bids(SOLVER, made)]
    assert all(one not in sent[:place] for place, one in enumerate(sent))
    assert len(sent) > 1
    strict = replace(made, rules=Rules(max_bids=1))
    assert len(bids(SOLVER, strict)) == 1


def test_it_ends_at_the_deadline() -> None:
    made = market({"a": sale("a", 20, 2_900)}, venues=[pool("p"), pool("q")])
    assert list(SOLVER.solve(made, Deadline.after(0))) == []
    assert list(SOLVER.solve(market({"a": sale("a", 1, 2_900)}), Deadline.after(5))) == []
    assert SOLVER.describe().name == "router"


def test_the_same_problem_gets_the_same_bids() -> None:
    made = market({"a": sale("a", 20, 2_900)}, venues=[pool("p"), pool("q", depth=77), DAI_POOL])
    first, second = (list(SOLVER.solve(made, Deadline.after(60))) for _ in range(2))
    assert first == second
    assert first
