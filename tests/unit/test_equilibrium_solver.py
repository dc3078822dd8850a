"""The equilibrium solver: markets small enough to know the answer, and real ones."""

from dataclasses import replace

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
    spread_against_books,
)

from walras.auction.fairness import fair
from walras.auction.selection import select
from walras.cli.sealed_market import seal_market
from walras.datasets.generate import START_MS
from walras.datasets.gpv1 import import_gpv1
from walras.sdk import Deadline
from walras_solvers.baseline import Baseline
from walras_solvers.equilibrium import Equilibrium
from walras_solvers.equilibrium.bids import MOST
from walras_solvers.equilibrium.sales import Sales, clear_sales

SOLVER = Equilibrium()


def test_two_crossing_orders_clear_in_between() -> None:
    won = best(SOLVER, market({"a": sale("a", 2, 2_950), "b": purchase("b", 1, 3_050)}))
    prices = won.bid.proposal.prices
    assert 2_950 <= prices[ETH] / prices[USDC] * WHOLE_ETH / WHOLE_USDC <= 3_050
    fills = filled(won)
    assert abs(fills[key("a")][0] - WHOLE_ETH) <= 10**11
    assert abs(fills[key("b")][0] - WHOLE_ETH) <= 10**11
    assert won.score == pytest.approx(100 * GWEI / 3_000, rel=1e-5)


def test_orders_that_do_not_cross_make_no_bid() -> None:
    assert not bids(SOLVER, market({"a": sale("a", 2, 3_050), "b": purchase("b", 1, 2_950)}))


def test_a_ring_of_three_sales_clears() -> None:
    ring = {
        "a": sale("a", 1, 2_900),
        "b": intent("b", {USDC: -1}, DAI, 2_950 * WHOLE_ETH, units=3_000 * WHOLE_USDC, min_units=0),
        "c": intent("c", {DAI: -1}, ETH, 98 * WHOLE_ETH // 100, units=3_000 * WHOLE_ETH),
    }
    won = best(SOLVER, market(ring))
    assert len(won.fills) == 3
    # All that the three leave between their limits and the reference prices.
    assert won.score == pytest.approx((100 / 3_000 + 50 / 3_000 + 0.02) * 10**9, rel=0.02)


def test_what_a_pool_pays_beyond_its_marginal_price_goes_to_the_owner() -> None:
    made = market({"a": sale("a", 30, 2_700)}, venues=[pool("pool", depth=1_000)])
    alone = max(scored.score for _, scored in bids(Baseline(), made))
    assert best(SOLVER, made).score >= alone * (1 - 1e-4)


def test_a_pool_serves_what_the_orders_leave() -> None:
    orders = {"a": sale("a", 30, 2_900), "b": purchase("b", 10, 3_100)}
    won = best(SOLVER, market(orders, venues=[pool("pool", depth=10_000)]))
    fills = filled(won)
    assert fills[key("a")][0] > 29 * WHOLE_ETH
    assert fills[key("b")][0] > 9 * WHOLE_ETH
    (step,) = won.bid.proposal.executions
    assert step.amount_in == pytest.approx(20 * WHOLE_ETH, rel=0.1)


def test_orders_of_one_account_do_not_overspend_it() -> None:
    orders = {
        "a": sale("a", 1, 2_900),
        "b": intent("a", {ETH: -1}, DAI, 2_900 * WHOLE_ETH, units=WHOLE_ETH),
        "c": purchase("c", 1, 3_100),
        "d": intent("d", {DAI: -1}, ETH, WHOLE_ETH * 95 // 100, units=3_000 * WHOLE_ETH),
    }
    held = {
        ("a", ETH): WHOLE_ETH * 3 // 2,
        ("c", USDC): 3_100 * WHOLE_USDC,
        ("d", DAI): 3_000 * WHOLE_ETH,
    }
    won = best(SOLVER, market(orders, balances=held))
    assert WHOLE_ETH * 149 // 100 <= won.spends[key("a"), ETH] <= WHOLE_ETH * 3 // 2


def test_all_or_nothing_is_all_or_nothing() -> None:
    orders = {
        "a": sale("a", 3, 2_900, min_units=3 * WHOLE_ETH),
        "b": sale("b", 2, 2_950),
        "c": purchase("c", 2, 3_100),
    }
    for _, scored in bids(SOLVER, market(orders)):
        assert filled(scored).get(key("a"), (3 * WHOLE_ETH, 0))[0] == 3 * WHOLE_ETH
    assert key("b") in filled(best(SOLVER, market(orders)))


def test_the_same_problem_gives_the_same_bids() -> None:
    made = generated(3, 20)
    first, second = ([sent for sent, _ in bids(SOLVER, made, 60.0)] for _ in range(2))
    assert first
    assert first == second


def test_no_more_bids_than_it_says_and_groups_on_their_own_among_them() -> None:
    sent = bids(SOLVER, generated(2, 40), 5.0)
    assert 1 < len(sent) <= MOST
    assert any(len(scored.surplus) == 1 for _, scored in sent)
    assert any(len(scored.surplus) > 1 for _, scored in sent)


def test_without_time_it_sends_nothing_and_ends() -> None:
    assert not list(SOLVER.solve(generated(2, 40), Deadline.after(0.0)))


def test_a_real_batch_clears() -> None:
    made = seal_market(import_gpv1(real_data("gpv1/orders-813.json"))[0], START_MS)
    won = best(SOLVER, made, 5.0)
    assert won.score >= 117_049_076  # what the optimizer found first
    assert len(won.fills) >= 10


def test_columns_that_go_one_way_fill_nothing() -> None:
    ones = np.ones(3, np.int64)
    sales = Sales(0 * ones, ones, 1_000 * ones, 900 * ones, [10**18, 10**18], 1_000)
    done = clear_sales(sales, Deadline.after(10.0))
    assert done is not None
    assert not done.filled.any()


def test_columns_clear_exactly() -> None:
    rng = np.random.default_rng(1)
    count, assets = 4_000, 8
    give = rng.integers(0, assets, count)
    take = (give + rng.integers(1, assets, count)) % assets
    reference = [10 ** int(rng.integers(8, 12)) for _ in range(assets)]
    worth = np.array(reference, float)
    amount = np.maximum(1, rng.lognormal(0.0, 1.0, count) * 1e18 / worth[give]).astype(np.int64)
    fair = amount * worth[give] / worth[take]
    least = (fair * np.exp(rng.normal(-0.004, 0.01, count))).astype(np.int64)
    sales = Sales(give, take, amount, least, reference, 1_000)
    done = clear_sales(sales, Deadline.after(60.0))
    assert done is not None
    left = [0] * assets
    for a, b, sold, most, bound in zip(
        give.tolist(), take.tolist(), done.filled.tolist(), amount.tolist(), least.tolist(),
        strict=True,
    ):  # fmt: skip
        assert 0 <= sold <= most
        paid = sold * done.prices[a] // done.prices[b]
        assert paid * most >= sold * bound
        left[a] += sold
        left[b] -= paid
    assert min(left) >= 0
    given = sum(
        int(sold) * reference[a]
        for a, sold in zip(give.tolist(), done.filled.tolist(), strict=True)
    )
    assert sum(x * price for x, price in zip(left, reference, strict=True)) < given / 10**5
    assert (done.filled > 0).mean() > 0.4


def test_lumps_that_only_fit_together_are_chosen_together() -> None:
    # Five ETH sold by three lumps, four bought by two; the best four are 3 + 1.
    lumps = {
        "a": sale("a", 3, 2_900, min_units=3 * WHOLE_ETH),
        "b": sale("b", 2, 2_990, min_units=2 * WHOLE_ETH),
        "c": sale("c", 1, 2_900, min_units=WHOLE_ETH),
        "d": purchase("d", 2, 3_100, min_units=2 * WHOLE_ETH),
        "e": purchase("e", 2, 3_100, min_units=2 * WHOLE_ETH),
    }
    fills = filled(best(SOLVER, market(lumps)))
    assert set(fills) == {key(name) for name in "acde"}
    assert fills[key("a")][0] == 3 * WHOLE_ETH


def test_intents_of_several_legs_meet_each_other() -> None:
    # One buys the spread at 0.24 ETH, another sells the same at 0.20: no book is needed.
    orders = {
        "s": intent("s", {CALL_4000: 1, CALL_5000: -1}, ETH, -10 * 240_000_000 * GWEI, units=10),
        "t": intent("t", {CALL_4000: -1, CALL_5000: 1}, ETH, 6 * 160_000_000 * GWEI, units=6),
    }
    won = best(SOLVER, market(orders))
    fills = filled(won)
    assert fills[key("s")][0] == fills[key("t")][0] == 6
    assert won.score == pytest.approx(6 * 0.08 * 10**9, rel=1e-3)


def test_a_spread_all_or_nothing_is_served_by_books() -> None:
    won = best(SOLVER, spread_against_books())
    assert filled(won)[key("s")][0] == 10
    assert won.score == pytest.approx(10 * (0.24 - 0.215) * 10**9, rel=0.01)


def test_legs_and_single_orders_make_a_ring() -> None:
    # "p" gives ETH for USDC and settles in DAI; the others take and give just that.
    orders = {
        "p": intent(
            "p",
            {ETH: -WHOLE_ETH // 1_000, USDC: 2 * WHOLE_USDC},
            DAI,
            950 * WHOLE_ETH,
            units=1_000,
        ),
        "b": purchase("b", 1, 3_050),
        "c": intent("c", {DAI: -1}, USDC, 980 * WHOLE_USDC, units=1_000 * WHOLE_ETH),
    }
    fills = filled(best(SOLVER, market(orders)))
    assert fills[key("p")][0] > 900
    assert len(fills) == 3


@pytest.mark.parametrize("seed", [2, 3])
def test_fairness_keeps_a_batch_that_the_baseline_s_bids_compete_with(seed: int) -> None:
    made = generated(seed, 60)
    alone = [scored for _, scored in bids(Baseline(), made)]
    sent = [scored for _, scored in bids(SOLVER, made, 8.0)]
    every = [replace(one, id=number.to_bytes(32)) for number, one in enumerate(alone + sent)]
    before, after = (
        select(fair(found)[0], made.balances, b"seed") for found in (every[: len(alone)], every)
    )
    assert any(len(one.surplus) > 10 for one in after.winners)
    assert after.total > 2 * before.total
