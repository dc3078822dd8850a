"""The optimizer: markets small enough to know the answer, and real ones where the data is there."""

import time
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from support.auctions import DAI, ETH, USDC, WHOLE_ETH, WHOLE_USDC, intent, key, pool
from support.real_data import real_data
from support.solver_markets import (
    CALL_4000,
    CALL_5000,
    GWEI,
    best,
    bids,
    filled,
    generated,
    market,
    purchase,
    sale,
    sealed,
    spread_against_books,
)

from walras.auction.fairness import baselines
from walras.datasets.cow import import_cow
from walras.datasets.gpv1 import import_gpv1
from walras.protocol.problem import Problem
from walras.sdk import Deadline
from walras_solvers.baseline import Baseline, group_bids
from walras_solvers.optimizer import MOST, Optimizer
from walras_solvers.optimizer.book import make_book
from walras_solvers.optimizer.pools import make_curves
from walras_solvers.optimizer.prices import tatonnement
from walras_solvers.programs import Effort

SOLVER = Optimizer()


def price_of(bid_prices: dict[str, int]) -> float:
    """USDC for an ETH."""
    return bid_prices[ETH] / bid_prices[USDC] * WHOLE_ETH / WHOLE_USDC


def test_two_crossing_orders_clear_in_between() -> None:
    made = market({"a": sale("a", 2, 2_950), "b": purchase("b", 1, 3_050)})
    won = best(SOLVER, made)
    fills = filled(won)
    assert 2_950 <= price_of(dict(won.bid.proposal.prices)) <= 3_050
    assert abs(fills[key("a")][0] - WHOLE_ETH) <= 10**10
    assert abs(fills[key("b")][0] - WHOLE_ETH) <= 10**10
    # A hundred USDC between the limits, all of it somebody's surplus.
    assert won.score == pytest.approx(100 * GWEI / 3_000, rel=2e-6)


def test_a_sale_against_a_sale_of_the_other_asset() -> None:
    other = intent("b", {USDC: -1}, ETH, WHOLE_ETH, units=3_100 * WHOLE_USDC)
    won = best(SOLVER, market({"a": sale("a", 1, 2_900), "b": other}))
    assert len(won.fills) == 2
    assert won.score > 0


def test_nothing_crosses_nothing_is_sent() -> None:
    assert bids(SOLVER, market({"a": sale("a", 1, 3_010), "b": purchase("b", 1, 2_990)})) == []
    assert bids(SOLVER, market({})) == []


@pytest.mark.parametrize("whole", [True, False])
def test_a_ring_of_three(whole: bool) -> None:
    units = {"a": 7 * 10**18 + 1, "b": 21_001 * 10**6 + 3, "c": 20_990 * 10**18 + 11}
    ring = {
        "a": intent(
            "a", {ETH: -1}, USDC, 20_700 * 10**6, units=units["a"],
            min_units=units["a"] if whole else 0,
        ),
        "b": intent(
            "b", {USDC: -1}, DAI, 20_700 * 10**18, units=units["b"],
            min_units=units["b"] if whole else 0,
        ),
        "c": intent(
            "c", {DAI: -1}, ETH, 69 * 10**17, units=units["c"],
            min_units=units["c"] if whole else 0,
        ),
    }  # fmt: skip
    made = market(ring)
    won = best(SOLVER, made)
    fills = filled(won)
    assert set(fills) == {key("a"), key("b"), key("c")}
    if whole:
        # Everything that one gives the next one gets, but for an atom of rounding.
        got = {"b": DAI, "a": USDC, "c": ETH}
        for name, following in (("a", "b"), ("b", "c"), ("c", "a")):
            assert fills[key(name)][0] == units[name]
            assert 0 <= units[following] - fills[key(name)][1] <= 1, got[name]


def test_all_or_nothing_is_all_or_nothing() -> None:
    whole = sale("a", 2, 2_900, min_units=2 * WHOLE_ETH)
    assert bids(SOLVER, market({"a": whole, "b": purchase("b", 1, 3_050)})) == []
    won = best(SOLVER, market({"a": whole, "b": purchase("b", 3, 3_050)}))
    assert filled(won)[key("a")][0] == 2 * WHOLE_ETH


def test_a_purchase_through_a_pool() -> None:
    made = market({"b": purchase("b", 1, 3_100, min_units=WHOLE_ETH)}, venues=[pool("deep")])
    won = best(SOLVER, made)
    assert filled(won)[key("b")][0] == WHOLE_ETH
    assert [step.venue for step in won.bid.proposal.executions] == ["deep"]
    assert won.score >= best(Baseline(), made).score


def test_crossing_orders_leave_only_the_rest_to_a_pool() -> None:
    made = market(
        {
            "a": sale("a", 3, 2_900, min_units=3 * WHOLE_ETH),
            "b": purchase("b", 2, 3_100, min_units=2 * WHOLE_ETH),
        },
        venues=[pool("deep", cost=10**6)],
    )
    won = best(SOLVER, made)
    (step,) = won.bid.proposal.executions
    assert step.asset_in == ETH
    assert step.amount_in == pytest.approx(WHOLE_ETH, rel=1e-6)
    own = baselines(scored for _, scored in bids(Baseline(), made))
    assert len(own) == 2
    assert all(won.surplus[group] >= score for group, score in own.items())


def test_a_pool_that_does_not_pay_for_itself_is_left_alone() -> None:
    made = market(
        {"a": sale("a", 1, 2_950), "b": purchase("b", 1, 3_050)},
        venues=[pool("dear", cost=10**9)],
    )
    won = best(SOLVER, made)
    assert won.bid.proposal.executions == ()
    assert len(won.fills) == 2


def test_a_spread_against_books() -> None:
    won = best(SOLVER, spread_against_books())
    assert filled(won)[key("s")][0] == 10
    assert won.score == pytest.approx(10 * 25_000_000, rel=1e-6)


def test_a_spread_against_the_opposite_spread() -> None:
    made = market(
        {
            "s": intent("s", {CALL_4000: 1, CALL_5000: -1}, ETH, -10 * 22 * 10**16, units=10),
            "t": intent("t", {CALL_4000: -1, CALL_5000: 1}, ETH, 4 * 18 * 10**16, units=4),
        }
    )
    won = best(SOLVER, made)
    fills = filled(won)
    assert fills[key("s")][0] == fills[key("t")][0] == 4
    assert won.score == pytest.approx(4 * 40_000_000, abs=2)


def test_options_trade_in_whole_units() -> None:
    """A budget for 2.5 options buys two."""
    made = market(
        {
            "s": intent("s", {CALL_4000: -1}, ETH, 5 * 29 * 10**16, units=5),
            "b": intent("b", {CALL_4000: 1}, ETH, -5 * 31 * 10**16, units=5),
        },
        balances={("s", CALL_4000): 5, ("b", ETH): 75 * 10**16},
    )
    won = best(SOLVER, made)
    assert filled(won)[key("b")][0] == filled(won)[key("s")][0] == 2


def test_orders_share_a_balance() -> None:
    """One owner offers the same five ETH three times; buyers want eight."""
    orders = {name: sale("owner", 5, price) for name, price in (("x", 2_900), ("y", 2_950))}
    orders["z"] = intent("owner", {ETH: -1}, DAI, 5 * 2_900 * 10**18, units=5 * WHOLE_ETH)
    made = market(
        {
            **orders,
            "b": purchase("b", 4, 3_050),
            "d": intent("d", {ETH: 1}, DAI, -4 * 3_080 * 10**18, units=4 * WHOLE_ETH),
        },
        balances={
            ("owner", ETH): 5 * WHOLE_ETH,
            ("b", USDC): 4 * 3_050 * WHOLE_USDC,
            ("d", DAI): 4 * 3_080 * 10**18,
        },
    )
    won = best(SOLVER, made)
    spent: defaultdict[tuple[bytes, str], int] = defaultdict(int)
    for account, amount in won.spends.items():
        spent[account] += amount
    assert spent[key("owner"), ETH] <= 5 * WHOLE_ETH
    assert spent[key("owner"), ETH] == pytest.approx(5 * WHOLE_ETH, rel=1e-6)


def test_coarse_and_fine_atoms_meet_exactly() -> None:
    """A token of two decimals against one of eighteen: nothing lacks, a cent at most is left."""
    from dataclasses import replace

    from walras.protocol.problem import Price

    cents = "eip155:1/erc20:0x056fd409e1d7a124bd7017459dfea2f387b6d5cd"
    made = market(
        {
            "a": intent("a", {cents: -1}, DAI, 99_501 * 10**16, units=100_003),
            "b": intent("b", {DAI: -1}, cents, 49_807, units=500_333_333_333_333_333_333),
            "c": intent("c", {ETH: -1}, cents, 297_013, units=WHOLE_ETH),
            "d": intent("d", {DAI: -1}, ETH, 33 * 10**16, units=1_010 * 10**18),
        },
        prices={cents: Price(333_333 * 10**16, "test")},
    )
    won = best(SOLVER, replace(made))
    assert len(won.fills) >= 2
    value = sum(
        Fraction(amount * made.prices[asset].amount, 10**18)
        for asset, amount in won.leftover.items()
    )
    assert value < 2 * made.value(cents, 1)


def test_unconnected_markets_are_sent_apart_too() -> None:
    made = market(
        {
            "a": sale("a", 1, 2_950),
            "b": purchase("b", 1, 3_050),
            "s": intent("s", {CALL_4000: 1}, CALL_5000, -4 * 31, units=10),
            "t": intent("t", {CALL_4000: -1}, CALL_5000, 10 * 2, units=10),
        }
    )
    sent = bids(SOLVER, made)
    touched = [frozenset(scored.surplus) for _, scored in sent]
    if any(len(scored.fills) == 4 for _, scored in sent):
        assert any(len(groups) <= 2 for groups in touched)
    assert len(sent) <= MOST


def test_the_same_problem_gets_the_same_proposals() -> None:
    made = generated(5, 24)
    first = [sent for sent, _ in bids(SOLVER, made, 60)]
    again = [sent for sent, _ in bids(SOLVER, made, 60)]
    assert first == again
    assert first


def test_a_short_deadline_is_kept() -> None:
    made = generated(2, 200)
    start = time.monotonic()
    sent = bids(SOLVER, made, 2.0)
    assert time.monotonic() - start < 4.0
    assert sent


def test_a_batch_is_fair_to_every_group_and_better_than_the_groups_alone() -> None:
    made = generated(1, 60)
    won = best(SOLVER, made)
    own = {bid.group: bid.score for bid in group_bids(made, Deadline.after(20))}
    assert len(won.surplus) > 1
    assert all(won.surplus[group] >= own.get(group, 0) for group in won.surplus)
    assert won.score > max(own.values())


def test_tatonnement_finds_the_price_between_supply_and_demand() -> None:
    made = market(
        {
            **{f"s{p}": sale(f"s{p}", 1, p) for p in range(2_950, 3_050, 10)},
            **{f"b{p}": purchase(f"b{p}", 1, p) for p in range(3_005, 3_105, 10)},
        }
    )
    book = make_book(made)
    effort = Effort(Deadline.after(20), 10**9)
    delta = tatonnement(book, make_curves(book, effort), np.zeros(len(book.assets)), 300, effort)
    ratio = np.exp(delta[book.index[ETH]] - delta[book.index[USDC]])
    supplied = sum(3_000 * ratio >= p for p in range(2_950, 3_050, 10))
    wanted = sum(3_000 * ratio <= p for p in range(3_005, 3_105, 10))
    assert abs(supplied - wanted) <= 1


def real(name: str) -> Problem:
    data = real_data(name)
    return sealed((import_gpv1 if name.startswith("gpv1") else import_cow)(data)[0])


@pytest.mark.parametrize(
    ("name", "fills", "score"),
    [
        ("gpv1/orders-243.json", 20, 10**8),
        ("gpv1/orders-497.json", 50, 2 * 10**11),
        ("gpv1/orders-803.json", 10, 10**6),
        ("gpv1/orders-813.json", 10, 10**6),
        ("gpv1/orders-11476.json", 200, 2 * 10**11),
        ("cow/small_example.json", 1, 3 * 10**13),
        ("cow/large_example.json", 2, 3 * 10**7),
    ],
)
def test_real_batches(name: str, fills: int, score: int) -> None:
    won = best(SOLVER, real(name), 10.0)
    assert len(won.fills) >= fills
    assert won.score >= score
