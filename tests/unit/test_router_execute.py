"""From plans in floats to swaps in whole atoms."""

from collections import Counter

import pytest
from support.auctions import DAI, ETH, USDC, WHOLE_ETH, WHOLE_USDC, pool

from walras.sdk import AnyVenue, Bridge, ConstantProduct, Offer, OrderBook, Weighted
from walras_solvers.router.execute import Leg, Split, execute
from walras_solvers.router.split import Splitter, Terms

PRICE = 333_333 * 10**12


def check(venues: dict[str, AnyVenue], split: Split, given: str, wanted: str) -> None:
    """Replays the swaps; nothing may lack on the way."""
    states = dict(venues)
    left: Counter[str] = Counter({given: split.amount_in})
    for step in split.executions:
        made = states[step.venue].swap(step.asset_in, step.amount_in, step.asset_out)
        assert made.amount_out == step.amount_out
        states[step.venue] = made.after
        left[step.asset_in] -= step.amount_in
        left[step.asset_out] += step.amount_out
    assert left[given] == 0
    assert left[wanted] == split.amount_out
    assert min(left.values()) >= 0
    assert all(states[name] == after for name, after in split.venues.items())
    assert split.cost == sum(venues[step.venue].cost for step in split.executions)


def named(*venues: AnyVenue) -> dict[str, AnyVenue]:
    return {venue.id: venue for venue in venues}


def test_the_last_swap_takes_the_rest() -> None:
    venues = named(pool("a"), pool("b"))
    legs = [Leg("a", ETH, USDC, 3, 3.0), Leg("b", ETH, USDC, WHOLE_ETH, 1e18)]
    split = execute(venues, legs, ETH, 2 * WHOLE_ETH, USDC)
    assert split is not None
    assert [step.amount_in for step in split.executions] == [2 * WHOLE_ETH]  # 3 atoms buy nothing
    check(venues, split, ETH, USDC)


def test_what_leads_nowhere_is_left_out() -> None:
    venues = named(pool("a"), pool("b", assets=(ETH, DAI)))
    legs = [Leg("a", ETH, USDC, WHOLE_ETH, 1.0), Leg("b", ETH, DAI, WHOLE_ETH, 2.0)]
    split = execute(venues, legs, ETH, WHOLE_ETH, USDC)
    assert split is not None
    assert [step.venue for step in split.executions] == ["a"]
    assert execute(venues, legs[1:], ETH, WHOLE_ETH, USDC) is None


def test_who_hands_on_more_than_comes_in_has_no_split() -> None:
    venues = named(
        pool("a", assets=(ETH, DAI)), pool("b", assets=(DAI, USDC)), pool("c", assets=(DAI, USDC))
    )
    legs = [
        Leg("a", ETH, DAI, WHOLE_ETH, 1.0),
        Leg("b", DAI, USDC, 10**22, 5.0),
        Leg("c", DAI, USDC, 10**22, 4.0),
    ]
    assert execute(venues, legs, ETH, WHOLE_ETH, USDC) is None


MARKETS: dict[str, list[AnyVenue]] = {
    "two pools": [pool("a"), pool("b", depth=500)],
    "a way round": [
        pool("a", depth=100),
        ConstantProduct("b", 0, (ETH, DAI), (10**21, 3 * 10**24), 3_000),
        ConstantProduct("c", 0, (DAI, USDC), (3 * 10**24, 3 * 10**12), 500),
    ],
    "a book between": [
        pool("a", depth=100),
        OrderBook("b", 0, (ETH, USDC), (), (Offer(29_900 * WHOLE_USDC, 10 * WHOLE_ETH),)),
    ],
    "three weights": [
        pool("a", depth=100),
        Weighted(
            "b",
            0,
            (ETH, DAI, USDC),
            (10**21, 3 * 10**24, 3 * 10**12),
            (333_333_333_333_333_334, 333_333_333_333_333_333, 333_333_333_333_333_333),
            (1, 1, 10**12),
            10**15,
        ),
        ConstantProduct("c", 0, (DAI, USDC), (3 * 10**24, 3 * 10**12), 500),
    ],
    "a bridge": [
        pool("a", depth=100),
        Bridge("b", 0, (ETH, DAI), (0, 10**20), (1, 1), 100, (10**15, 0), 0),
        ConstantProduct("c", 0, (DAI, USDC), (10**21, 3 * 10**12), 500),
    ],
}


@pytest.mark.parametrize("name", sorted(MARKETS))
@pytest.mark.parametrize("amount", [WHOLE_ETH // 100, 7 * WHOLE_ETH, 60 * WHOLE_ETH])
def test_sales_are_exact_and_no_worse_than_the_best_path(name: str, amount: int) -> None:
    venues = named(*MARKETS[name])
    splitter = Splitter(venues)
    split = splitter.sell(Terms(ETH, USDC, PRICE), amount)
    assert split is not None
    assert split.amount_in == amount
    check(venues, split, ETH, USDC)
    alone = max(
        one.amount_out
        for one in (
            Splitter(named(venue)).sell(Terms(ETH, USDC, PRICE), amount)
            for venue in venues.values()
        )
        if one
    )
    assert split.amount_out >= alone
    if amount == 60 * WHOLE_ETH:
        assert len(split.executions) > 1
        assert split.amount_out > alone


@pytest.mark.parametrize("name", sorted(MARKETS))
@pytest.mark.parametrize("wanted", [10 * WHOLE_USDC, 60_000 * WHOLE_USDC])
def test_purchases_bring_what_is_wanted_for_little(name: str, wanted: int) -> None:
    venues = named(*MARKETS[name])
    bought = Splitter(venues).buy(Terms(ETH, USDC, 10**9), wanted, wanted * 10**12 // 3_000)
    assert bought is not None
    check(venues, bought, ETH, USDC)
    assert bought.amount_out >= wanted
    # With a ten-thousandth less of it not enough would come out.
    less = Splitter(venues).sell(Terms(ETH, USDC, PRICE), bought.amount_in * 9_999 // 10_000)
    assert less is None or less.amount_out < wanted


def test_equal_pools_share() -> None:
    split = Splitter(named(pool("a"), pool("b"))).sell(Terms(ETH, USDC, PRICE), 10 * WHOLE_ETH)
    assert split is not None
    amounts = [step.amount_in for step in split.executions]
    assert sum(amounts) == 10 * WHOLE_ETH
    assert abs(amounts[0] - amounts[1]) <= 10**10


def test_a_venue_is_left_out_where_it_costs_more_than_it_brings() -> None:
    dear = ConstantProduct("b", 10**9, (ETH, USDC), pool("b").reserves, 3_000)  # an ETH a use
    split = Splitter(named(pool("a"), dear)).sell(Terms(ETH, USDC, PRICE), 10 * WHOLE_ETH)
    assert split is not None
    assert [step.venue for step in split.executions] == ["a"]


def test_states_of_a_split_are_those_of_the_next() -> None:
    splitter = Splitter(named(pool("a"), pool("b")))
    first = splitter.sell(Terms(ETH, USDC, PRICE), 10 * WHOLE_ETH)
    assert first is not None
    second = splitter.after(first.venues).sell(Terms(ETH, USDC, PRICE), 10 * WHOLE_ETH)
    whole = splitter.sell(Terms(ETH, USDC, PRICE), 20 * WHOLE_ETH)
    assert second is not None
    assert whole is not None
    assert second.amount_out < first.amount_out
    assert first.amount_out + second.amount_out == pytest.approx(whole.amount_out, rel=1e-5)


def test_nothing_comes_of_assets_that_nobody_trades() -> None:
    splitter = Splitter(named(pool("a")))
    assert splitter.sell(Terms(DAI, USDC, PRICE), 10**18) is None
    assert splitter.buy(Terms(DAI, USDC, PRICE), 10**6, 10**18) is None
    assert Splitter({}).sell(Terms(ETH, USDC, PRICE), 1) is None
