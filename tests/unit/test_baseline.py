"""The baseline: one market at a time, through its best path, at one price."""

from fractions import Fraction

from support.auctions import DAI, ETH, USDC, WHOLE_ETH, WHOLE_USDC, intent, key, pool
from support.solver_markets import (
    GWEI,
    best,
    bids,
    filled,
    market,
    sale,
    spread_against_books,
)

from walras.sdk import Deadline, Rfq
from walras_solvers.baseline import Baseline, group_bids

SOLVER = Baseline()


def test_a_sale_gets_all_that_the_best_path_pays() -> None:
    made = market({"a": sale("a", 1, 2_900)}, venues=[pool("thin", depth=50), pool("deep")])
    won = best(SOLVER, made)
    paid = made.venues["deep"].swap(ETH, WHOLE_ETH, USDC).amount_out
    assert filled(won) == {key("a"): (WHOLE_ETH, paid)}
    assert won.leftover == {}
    assert won.score == made.value(USDC, paid - 2_900 * WHOLE_USDC)


def test_a_purchase_pays_the_least_that_brings_it() -> None:
    buy = intent("b", {ETH: 1}, USDC, -3_100 * WHOLE_USDC, units=WHOLE_ETH)
    made = market({"b": buy}, venues=[pool("deep")])
    won = best(SOLVER, made)
    ((_, settled),) = filled(won).values()
    assert made.venues["deep"].swap(USDC, -settled, ETH).amount_out >= WHOLE_ETH
    assert made.venues["deep"].swap(USDC, -settled - 1, ETH).amount_out < WHOLE_ETH


def test_everybody_in_a_market_trades_at_one_price() -> None:
    buy = intent("b", {USDC: 1}, ETH, -WHOLE_ETH, units=2_900 * WHOLE_USDC)
    made = market(
        {"a": sale("a", 1, 2_900), "c": sale("c", 2, 2_950), "b": buy}, venues=[pool("deep")]
    )
    won = best(SOLVER, made)
    fills = filled(won)
    assert len(fills) == 3
    assert len(won.surplus) == 1
    prices = won.bid.proposal.prices
    price = Fraction(prices[ETH], prices[USDC])
    for name in ("a", "c"):
        units, settled = fills[key(name)]
        assert settled == int(units * price)
    units, settled = fills[key("b")]
    assert -settled == -int(-units / price // 1)


def test_those_who_ask_too_much_are_left_out() -> None:
    made = market({"a": sale("a", 1, 2_900), "dear": sale("dear", 1, 3_100)}, venues=[pool("deep")])
    assert set(filled(best(SOLVER, made))) == {key("a")}


def test_no_bid_where_the_cost_is_more_than_the_surplus() -> None:
    made = market({"a": sale("a", 1, 2_980)}, venues=[pool("deep", cost=10**9)])
    assert bids(SOLVER, made) == []


def test_each_leg_of_a_spread_goes_its_own_way() -> None:
    won = best(SOLVER, spread_against_books())
    # Bought at 0.31, sold at 0.095: 0.215 ETH for a spread.
    units, settled = filled(won)[key("s")]
    assert units == 10
    assert -settled == 10 * 215_000_000 * GWEI
    assert won.score == 10 * 25_000_000


def test_orders_share_a_balance() -> None:
    first, second = sale("a", 2, 2_800), sale("a", 2, 2_900)
    made = market(
        {"a": first, "again": second},
        venues=[pool("deep")],
        balances={("a", ETH): 3 * WHOLE_ETH},
    )
    fills = filled(best(SOLVER, made))
    assert fills[key("a")][0] == 2 * WHOLE_ETH
    assert fills[key("again")][0] == WHOLE_ETH


def test_one_bid_for_a_group() -> None:
    made = market(
        {"a": sale("a", 1, 2_900), "b": intent("b", {USDC: -1}, ETH, 1, units=10**9)},
        venues=[pool("deep")],
    )
    found = list(group_bids(made, Deadline.after(10)))
    assert [bid.group for bid in found] == sorted(
        {made.intents[name].intent.group for name in made.intents}
    )
    assert not list(group_bids(made, Deadline.after(0)))


def test_a_price_that_no_vector_holds_costs_the_others_no_bid() -> None:
    """A maker's quote of one atom for nearly 2^255 of another."""
    quote = Rfq("q", 0, (DAI, USDC), bytes(32), 0, 1, 1 << 254, 1 << 50, bytes(64), 1)
    made = market(
        {"a": sale("a", 1, 2_900), "b": intent("b", {DAI: -1}, USDC, 1)},
        venues=[pool("deep"), quote],
    )
    assert [filled(scored).keys() for _, scored in bids(SOLVER, made)] == [{key("a")}]
