"""Splitting small problems whose parts are known."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.auctions import intent, key, pool, problem

from walras.auction.parts import split
from walras.core.intents import Intent
from walras.market.kinds import AnyVenue
from walras.protocol.problem import Price, Problem

USD, *COINS = (f"eip155:1/slip44:{number}" for number in range(10))
A, B, C, D = COINS[:4]
PRICED = {asset: Price(10**9, "test") for asset in (USD, *COINS)}


def sale(name: str, given: str, received: str) -> Intent:
    return intent(name, {given: -1}, received, 1, units=10)


def market(trades: Sequence[tuple[str, str]], venues: Sequence[AnyVenue] = ()) -> Problem:
    """One sale of ten atoms for each (given, received), by owners who hold what they give."""
    intents = {f"s{n}": sale(f"s{n}", *trade) for n, trade in enumerate(trades)}
    balances = {(name, made.legs[0].asset): 10 for name, made in intents.items()}
    ordered = sorted(venues, key=lambda venue: venue.id)
    return replace(problem(intents, balances=balances, venues=ordered), prices=PRICED)


def traded(part: Problem) -> set[frozenset[str]]:
    """The pairs that a part's intents trade."""
    return {frozenset(entry.intent.assets) for entry in part.intents.values()}


def pairs(*given: tuple[str, str]) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in given}


def home(parts: Sequence[Problem], venue: str) -> set[frozenset[str]]:
    """What is traded in the part of a venue; it is in one part."""
    (found,) = (part for part in parts if venue in part.venues)
    return traded(found)


def test_small_problem_is_its_only_part() -> None:
    made = market([(A, USD)] * 3, [pool("unused", assets=(C, D))])
    assert split(made, 3) == (made,)
    (same,) = split(made, 3)
    assert same is made
    empty = replace(made, intents={}, balances={})
    assert split(empty, 1) == (empty,)


def test_what_is_not_connected_comes_apart_at_no_loss() -> None:
    made = market([(A, B)] * 2 + [(C, D)] * 2, [pool("ab", assets=(A, B))])
    parts = split(made, 2)
    assert sorted(map(sorted_pairs, parts)) == [[sorted((A, B))], [sorted((C, D))]]
    assert home(parts, "ab") == pairs((A, B))
    assert min(parts[0].intents) < min(parts[1].intents)


def test_small_components_share_a_part() -> None:
    made = market([(A, B), (C, D), (COINS[4], COINS[5])])
    assert sorted(len(part.intents) for part in split(made, 2)) == [1, 2]


def test_venues_tie_markets_together() -> None:
    bridge = pool("bridge", assets=(B, C))
    made = market([(A, B), (C, D), (COINS[4], COINS[5]), (COINS[4], COINS[5])], [bridge])
    parts = split(made, 2)
    assert sorted(map(traded, parts), key=len) == [
        pairs((COINS[4], COINS[5])),
        pairs((A, B), (C, D)),
    ]


def test_path_through_assets_that_nobody_trades_stays_whole() -> None:
    """Three pools in a row link A and B; the one in the middle touches neither."""
    row = [
        pool("one", assets=(A, COINS[4])),
        pool("two", assets=(COINS[4], COINS[5])),
        pool("three", assets=(COINS[5], B)),
    ]
    made = market([(A, B)] * 2 + [(C, D)] * 2, row)
    parts = split(made, 2)
    for venue in ("one", "two", "three"):
        assert home(parts, venue) == pairs((A, B))


def test_star_is_cut_at_its_hub() -> None:
    coins = COINS[:4]
    made = market(
        [(coin, USD) for coin in coins for _ in range(2)],
        [pool(f"pool-{coin}", assets=(USD, coin)) for coin in coins],
    )
    parts = split(made, 2)
    assert len(parts) == 4
    for part in parts:
        (pair,) = traded(part)
        assert USD in pair
        (coin,) = pair - {USD}
        # Each keeps the hub as an asset, and the pool that goes there.
        assert set(part.venues) == {f"pool-{coin}"}
        assert set(part.prices) == {USD, coin}


def test_hub_cut_keeps_together_what_else_is_connected() -> None:
    made = market([(A, USD), (A, B), (B, USD), (C, USD), (C, D), (D, USD)])
    assert sorted(map(sorted_pairs, split(made, 3))) == sorted(
        [
            sorted(map(sorted, pairs((A, USD), (A, B), (B, USD)))),
            sorted(map(sorted, pairs((C, USD), (C, D), (D, USD)))),
        ]
    )


def sorted_pairs(part: Problem) -> list[list[str]]:
    return sorted(map(sorted, traded(part)))


def test_market_is_never_cut() -> None:
    made = market([(A, USD)] * 5 + [(USD, A)] * 4 + [(B, USD)])
    parts = split(made, 3)
    assert sorted(len(part.intents) for part in parts) == [1, 9]


def test_market_between_hubs_is_by_itself_and_has_its_venues() -> None:
    """USD and A are hubs: nearly everything has one of them, and B has both."""
    trades = [(coin, hub) for coin in COINS[2:6] for hub in (USD, A) for _ in range(2)]
    made = market(
        [*trades, (A, USD), (A, USD)],
        [pool("main", assets=(A, USD)), pool("second", assets=(USD, A))],
    )
    parts = split(made, 4)
    assert home(parts, "main") == home(parts, "second") == pairs((A, USD))
    assert all(len(part.intents) <= 4 for part in parts)


def test_venue_between_hubs_is_where_most_intents_trade_its_assets() -> None:
    trades = [(B, USD)] * 3 + [(B, A)] * 3 + [(C, USD)] * 3 + [(C, A)] * 3
    main = pool("hubs", assets=(A, USD))
    # Nobody trades A for USD, and both parts know both as well: the first has it.
    assert home(split(market(trades, [main]), 6), "hubs") == pairs((B, USD), (B, A))
    more = split(market([*trades, (C, A)], [main]), 7)
    assert home(more, "hubs") == pairs((C, USD), (C, A))


def test_venue_that_nobody_needs_is_in_one_part() -> None:
    made = market([(A, USD), (B, USD)], [pool("far", assets=(C, D))])
    parts = split(made, 1)
    (part,) = (part for part in parts if part.venues)
    assert {C, D} <= part.prices.keys()


def test_part_has_only_the_balances_of_its_intents() -> None:
    made = market([(A, USD), (B, USD)])
    owner = key("s0")
    rich = replace(made, balances={**made.balances, (owner, B): 5, (key("other"), A): 7})
    by_pair = {frozenset(traded(part)): part for part in split(rich, 1)}
    assert by_pair[frozenset(pairs((A, USD)))].balances == {(owner, A): 10}
    assert by_pair[frozenset(pairs((B, USD)))].balances == {(key("s1"), B): 10}


def test_owner_with_intents_in_two_parts_has_the_balance_in_both() -> None:
    intents = {"x": sale("ann", USD, A), "y": sale("ann", USD, B)}
    made = replace(problem(intents, balances={("ann", USD): 12}), prices=PRICED)
    parts = split(made, 1)
    assert len(parts) == 2
    assert all(part.balances == {(key("ann"), USD): 12} for part in parts)


def test_unpriced_assets_of_venues_have_no_price_in_a_part() -> None:
    made = market([(A, B), (C, D)], [pool("ax", assets=(A, "eip155:1/slip44:99"))])
    part = next(part for part in split(made, 1) if "ax" in part.venues)
    assert set(part.prices) == {A, B}


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 13])
def test_parts_are_filled_more_than_half(limit: int) -> None:
    made = market([(coin, USD) for coin in COINS for _ in range(limit // 2 + 1)])
    sizes = [len(part.intents) for part in split(made, limit)]
    assert max(sizes) <= limit
    assert len(sizes) < 2 * -(-sum(sizes) // limit) + 1
