"""The watch over venues: each rule on each kind, the way back, and what an attack costs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from support.real_data import real_data

from walras.core.errors import SwapError
from walras.datasets.cow import import_cow
from walras.datasets.generate import generate
from walras.market.constant_product import RESERVE_LIMIT
from walras.market.fixed_point import ONE
from walras.market.kinds import AnyVenue, ConstantProduct, Offer, OrderBook, StableSwap, Weighted
from walras.market.quote import quote_of
from walras.market.watch import HEALTHY_CHECKS, Limits, Quarantine, VenueRule, VenueWatch, Verdict
from walras.protocol.problem import Rules

X, Y, Z, DULL = (f"eip155:1/erc20:0x{n:040x}" for n in range(4))
PRICES = {X: 10**9, Y: 10**9, Z: 10**9}
"""A score unit is 10^9 atoms of each."""

DEFAULTS = Limits(Rules().min_venue_value, Rules().max_price_ratio)


def pair(x: int = 10**24, y: int = 10**24, *, assets: tuple[str, str] = (X, Y)) -> ConstantProduct:
    return ConstantProduct("pair", 0, assets, (x, y), 3_000)


def weighted(
    balances: tuple[int, ...], parts: tuple[int, ...], assets: tuple[str, ...] = (X, Y, Z)
) -> Weighted:
    n = len(balances)
    weights = tuple(part * ONE // 100 for part in parts)
    return Weighted("weighted", 0, assets[:n], balances, weights, (1,) * n, 10**15)


def stable(*balances: int, a: int = 100) -> StableSwap:
    n = len(balances)
    return StableSwap("stable", 0, (X, Y, Z)[:n], balances, (ONE,) * n, 100 * a, 0)


def book(asks: Iterable[tuple[int, int]] = (), bids: Iterable[tuple[int, int]] = ()) -> OrderBook:
    """Offers as (give, want)."""
    return OrderBook(
        "book", 0, (X, Y), tuple(Offer(*o) for o in asks), tuple(Offer(*o) for o in bids)
    )


def judged(
    *venues: AnyVenue, prices: Mapping[str, int] = PRICES, limits: Limits = DEFAULTS
) -> dict[str, tuple[VenueRule, dict[str, str]]]:
    watch = VenueWatch()
    for venue in venues:
        watch.touched(venue.id, 0)
    verdict = watch.check({venue.id: venue for venue in venues}, prices, limits, 0)
    assert watch.quarantined == {q.venue: q.rule for q in verdict.quarantined}
    assert not verdict.released
    return {q.venue: (q.rule, dict(q.details)) for q in verdict.quarantined}


def rule(venue: AnyVenue, prices: Mapping[str, int] = PRICES) -> VenueRule | None:
    return judged(venue, prices=prices).get(venue.id, (None, {}))[0]


OUT = 10**15
"""What a side holds, in atoms: a million score units."""


@pytest.mark.parametrize(
    ("venue", "expected"),
    [
        (pair(), None),
        (pair(0, 0), VenueRule.DRAINED),
        (pair(10**24, 0), VenueRule.DRAINED),
        (pair(4 * 10**8, 6 * 10**8), None),
        (pair(4 * 10**8, 6 * 10**8 - 1), VenueRule.DRAINED),
        (pair(10, RESERVE_LIMIT - 1), VenueRule.IMPLAUSIBLE),
        (weighted((8 * OUT, 2 * OUT), (80, 20)), None),
        (weighted((99 * OUT, OUT), (99, 1)), None),
        (weighted((OUT, OUT), (99, 1)), VenueRule.IMPLAUSIBLE),
        (weighted((OUT, OUT, 0), (30, 30, 40)), None),
        (weighted((OUT, 0, 0), (30, 30, 40)), VenueRule.DRAINED),
        (weighted((OUT, OUT, 11 * OUT), (34, 33, 33)), VenueRule.IMPLAUSIBLE),
        (stable(OUT, OUT), None),
        (stable(OUT, 20 * OUT), None),
        (stable(OUT, 1_000 * OUT), VenueRule.IMPLAUSIBLE),
        (stable(OUT, 0), VenueRule.DRAINED),
        (stable(OUT, OUT, 0), VenueRule.DRAINED),
        (book(), VenueRule.DRAINED),
        (book(asks=[(OUT, OUT)]), None),
        (book(bids=[(OUT, OUT)]), None),
        (book(asks=[(10**9 - 1, 10**9)]), VenueRule.DRAINED),
        (book(asks=[(OUT, OUT)], bids=[(OUT, OUT)]), None),
        (book(asks=[(OUT, 1_000 * OUT)], bids=[(OUT, 1_000 * OUT)]), None),
        (book(asks=[(11 * OUT, OUT)]), VenueRule.IMPLAUSIBLE),
        (book(asks=[(12 * OUT, OUT)], bids=[(OUT, 12 * OUT)]), VenueRule.IMPLAUSIBLE),
        (book(bids=[(11 * OUT, OUT)]), VenueRule.IMPLAUSIBLE),
    ],
)
def test_the_defaults(venue: AnyVenue, expected: VenueRule | None) -> None:
    assert rule(venue) is expected


def test_a_pool_whose_arithmetic_finds_no_price_is_drained() -> None:
    dead = stable(1_000, 1, a=1)
    with pytest.raises(SwapError, match="no invariant"):
        dead.swap(X, 10**9, Y)
    dear = {X: 10**18, Y: 10**18}
    numbers = {"min_venue_value": "1", "value": "0"}
    assert judged(dead, prices=dear) == {"stable": (VenueRule.DRAINED, numbers)}


def test_a_price_is_off_either_way() -> None:
    for x, y, asset_in in ((1, 11, X), (11, 1, Y)):
        [(named, details)] = judged(pair(x * OUT, y * OUT)).values()
        assert named is VenueRule.IMPLAUSIBLE
        assert details["asset_in"] == asset_in
        assert details["max_price_ratio"] == "10"
        # 11 less 0.3 % for the fee.
        assert details["ratio_bps"] == "109669"
    assert not judged(pair(OUT, 10 * OUT))
    assert not judged(pair(10 * OUT, OUT))
    for more, out in ((0, 0), (2_000_000, 1)):  # ten times to the digit, and 1/10,000 above
        even = replace(pair(10**9, 10**10 + 10 + more), fee_pips=0)
        assert len(judged(even, limits=Limits(max_price_ratio=10))) == out


def test_the_worst_of_all_pairs_is_named() -> None:
    [(named, details)] = judged(weighted((OUT, 20 * OUT, 400 * OUT), (34, 33, 33))).values()
    assert named is VenueRule.IMPLAUSIBLE
    assert (details["asset_in"], details["asset_out"]) == (X, Z)


def test_a_price_of_one_stands_for_anything_below_two() -> None:
    far = Limits(max_price_ratio=10)
    small = {X: 1, Y: 10**30}
    # x atoms of X trade for one of Y: worth 10^30 score units, or nearly twice as much.
    for x, fits in ((9 * 10**30, 1), (11 * 10**30, 0), (6 * 10**28, 1), (4 * 10**28, 0)):
        assert len(judged(pair(x * 10**2, 10**2), prices=small, limits=far)) == 1 - fits
    [(_, details)] = judged(pair(1, 10**6), prices=small, limits=far).values()
    assert int(details["ratio_bps"]) == 10**4 * 10**6 * 10**30 * 997 // 1_000 // 2


@pytest.mark.parametrize("assets", [(X, DULL), (DULL, X)])
def test_of_assets_without_a_price_nothing_is_said(assets: tuple[str, str]) -> None:
    assert rule(pair(1, 1, assets=assets)) is None
    assert rule(pair(1, 10**30, assets=assets)) is None
    assert rule(pair(0, 10**30, assets=assets)) is VenueRule.DRAINED
    assert rule(pair(), {}) is None
    three = weighted((OUT, 100 * OUT, 1), (34, 33, 33), (X, Y, DULL))
    assert rule(three) is VenueRule.IMPLAUSIBLE  # the pair with prices speaks
    only_x = replace(book(asks=[(10**9 - 1, 10**9)]), assets=(X, DULL))
    assert rule(only_x) is VenueRule.DRAINED  # it gives what has a price


def test_rules_that_are_off() -> None:
    worthless = pair(0, 5)
    assert not judged(worthless, limits=Limits())
    assert not judged(worthless, limits=Limits(max_price_ratio=10, max_venue_age_ms=1))
    assert judged(worthless, limits=Limits(min_venue_value=1))


def test_a_venue_is_stale_after_the_age() -> None:
    watch, limits = VenueWatch(), Limits(max_venue_age_ms=1_000)
    venues = {name: replace(pair(), id=name) for name in "abc"}
    for name, at_ms in (("b", 100), ("a", 200), ("c", 150)):  # c: not before the latest
        watch.touched(name, at_ms)
    assert watch.check(venues, PRICES, limits, 1_100) == Verdict()
    verdict = watch.check(venues, PRICES, limits, 1_101)
    details = (("age_ms", "1001"), ("max_venue_age_ms", "1000"))
    assert verdict.quarantined == (Quarantine("b", VenueRule.STALE, details),)
    out = watch.check(venues, PRICES, limits, 1_201).quarantined
    assert [(q.venue, q.details) for q in out] == [("a", details), ("c", details)]
    watch.touched("c", 1_300)
    assert watch.check(venues, PRICES, limits, 1_301).released == ("c",)
    assert list(watch.quarantined) == ["a", "b"]


def test_a_touch_makes_a_venue_young_again() -> None:
    watch, limits = VenueWatch(), Limits(max_venue_age_ms=1_000)
    venues = {name: replace(pair(), id=name) for name in "ab"}
    for name, at_ms in (("a", 0), ("b", 100), ("a", 900)):
        watch.touched(name, at_ms)
        assert watch.check(venues, PRICES, limits, at_ms) == Verdict()
    assert [q.venue for q in watch.check(venues, PRICES, limits, 1_101).quarantined] == ["b"]


def test_a_venue_is_volatile_by_its_average_move() -> None:
    watch, limits = VenueWatch(), Limits(max_venue_move_bps=1_000)

    def move_to(y: int) -> Verdict:
        watch.touched("pair", 0)
        return watch.check({"pair": pair(10**24, y)}, {}, limits, 0)

    assert move_to(10**24) == Verdict()
    assert move_to(18 * 10**23) == Verdict()  # 80 % count 10 %: no more than the limit
    [out] = move_to(10**24).quarantined  # down by the same factor: 7/8 · 10 % + 10 %
    assert out.rule is VenueRule.VOLATILE
    assert out.details == (("max_venue_move_bps", "1000"), ("move_bps", "1875"))
    # 18.75 % · (7/8)^5 is the first below 10.01 %; then it takes three in a row.
    rest = [watch.check({"pair": pair()}, {}, limits, 0) for _ in range(7)]
    assert [verdict.released for verdict in rest] == [()] * 6 + [("pair",)]


def test_liquidity_alone_is_no_move_nor_is_another_venue_of_the_same_name() -> None:
    watch, limits = VenueWatch(), Limits(max_venue_move_bps=1)
    for venue in (
        pair(),
        pair(10**30, 10**30),
        pair(0, 0),
        pair(1, 10**6, assets=(X, Z)),
        book(bids=[(1, 1)]),
        book(bids=[(2 * OUT, OUT)]),
    ):
        watch.touched("it", 0)
        verdict = watch.check({"it": venue}, {}, limits, 0)
    assert [q.rule for q in verdict.quarantined] == [VenueRule.VOLATILE]  # the bid alone moved
    assert watch.to_json()["checks"] == 6


@pytest.mark.parametrize(("first", "then"), [((1, 1), (2, 1)), ((2, 1), (1, 1))])
@pytest.mark.parametrize("side", ["asks", "bids"])
def test_one_side_of_a_book_moves_either_way(
    first: tuple[int, int], then: tuple[int, int], side: str
) -> None:
    watch, limits = VenueWatch(), Limits(max_venue_move_bps=1)
    for offer in (first, then):
        watch.touched("book", 0)
        venue = book(**{side: [offer]})
        verdict = watch.check({"book": venue}, {}, limits, 0)
    assert verdict.quarantined[0].details[1] == ("move_bps", "1250")


def test_a_move_has_a_bound() -> None:
    watch, limits = VenueWatch(), Limits(max_venue_move_bps=1)
    for y in (1, RESERVE_LIMIT - 1):
        watch.touched("pair", 0)
        verdict = watch.check({"pair": pair(1, y)}, {}, limits, 0)
    assert verdict.quarantined[0].details[1] == ("move_bps", str(10**8 // 8))


def test_the_way_back_takes_three_healthy_checks_in_a_row() -> None:
    watch = VenueWatch()
    venues: dict[str, AnyVenue] = {"pair": pair(10**24, 10**26)}
    watch.touched("pair", 0)
    right, wrong = {X: 10**11, Y: 10**9}, PRICES

    def check(prices: Mapping[str, int]) -> Verdict:
        return watch.check(venues, prices, DEFAULTS, 0)

    assert [q.rule for q in check(wrong).quarantined] == [VenueRule.IMPLAUSIBLE]
    assert check(right) == check(right) == Verdict()
    assert check(wrong) == Verdict()  # it is out already: nothing to log, but it counts anew
    back = [check(right).released for _ in range(HEALTHY_CHECKS + 1)]
    assert back == [(), (), ("pair",), ()]
    assert not watch.quarantined


def test_an_operators_update_brings_a_venue_back_at_once_if_it_is_healthy() -> None:
    watch = VenueWatch()

    def replaced(venue: AnyVenue) -> Verdict:
        watch.touched("pair", 0)
        return watch.check({"pair": venue}, PRICES, DEFAULTS, 0)

    assert replaced(pair(0, 0)).quarantined
    assert replaced(pair(1, 1)) == Verdict()
    assert watch.quarantined == {"pair": VenueRule.DRAINED}
    assert replaced(pair()).released == ("pair",)

    # An update that does not heal it is no excuse later on.
    assert replaced(pair(OUT, 100 * OUT)).quarantined
    assert replaced(pair(OUT, 101 * OUT)) == Verdict()
    healing = {X: 10**11, Y: 10**9}
    later = [
        watch.check({"pair": pair(OUT, 101 * OUT)}, healing, DEFAULTS, 0).released for _ in range(3)
    ]
    assert later == [(), (), ("pair",)]


def test_a_removed_venue_is_forgotten() -> None:
    watch = VenueWatch()
    watch.touched("pair", 0)
    limits = replace(DEFAULTS, max_venue_move_bps=10)
    assert watch.check({"pair": pair(0, 0)}, PRICES, limits, 0).quarantined
    watch.touched("pair", 1)
    watch.removed("pair")
    assert watch.check({}, PRICES, limits, 1) == Verdict()
    assert watch.to_json() == {"checks": 2, "touched": [], "cases": {}, "movements": {}}
    watch.touched("pair", 2)
    assert watch.check({"pair": pair(0, 0)}, PRICES, limits, 2).quarantined


def test_changed_limits_judge_all_venues_anew() -> None:
    watch = VenueWatch()
    venues: dict[str, AnyVenue] = {"pair": pair(), "weighted": weighted((OUT, 3 * OUT), (50, 50))}
    for name in venues:
        watch.touched(name, 0)
    assert watch.check(venues, PRICES, DEFAULTS, 0) == Verdict()
    out = watch.check(venues, PRICES, Limits(1, 2), 0).quarantined
    assert [q.venue for q in out] == ["weighted"]


def test_a_changed_price_judges_what_trades_the_asset() -> None:
    watch = VenueWatch()
    venues: dict[str, AnyVenue] = {"pair": pair(), "other": replace(pair(), assets=(X, Z))}
    for name in venues:
        watch.touched(name, 0)
    assert watch.check(venues, PRICES, DEFAULTS, 0) == Verdict()
    prices = dict(PRICES)
    for asset, amount, out in ((Y, 11 * 10**9, "pair"), (Z, 10**7, "other")):
        prices[asset] = amount  # in place, as a ledger may
        assert [q.venue for q in watch.check(venues, prices, DEFAULTS, 0).quarantined] == [out]
    del prices[Y]
    released = [watch.check(venues, prices, DEFAULTS, 0).released for _ in range(3)]
    assert released == [(), (), ("pair",)]


def test_json_keeps_what_a_restart_must_not_lose() -> None:
    watch = VenueWatch()
    limits = replace(DEFAULTS, max_venue_move_bps=100)
    venues: dict[str, AnyVenue] = {
        "pair": pair(0, 0),
        "stable": stable(OUT, 2 * OUT, 3 * OUT),
        "weighted": weighted((OUT, 3 * OUT), (50, 50)),
    }
    for name in reversed(venues):
        watch.touched(name, 5)
    assert watch.check(venues, PRICES, limits, 9).quarantined
    watch.touched("pair", 10)
    venues["pair"] = pair()
    saved = json.dumps(watch.to_json())
    again = VenueWatch.from_json(json.loads(saved))
    assert json.dumps(again.to_json()) == saved
    assert again.quarantined == watch.quarantined
    assert again.check(venues, PRICES, limits, 11).released == ("pair",)


# What it costs to have a pool quarantined by a swap: the figures of the module's docstring.
@pytest.mark.parametrize(
    ("venue", "asset_in", "cost_bps"),
    [
        (replace(pair(), fee_pips=0), X, 7_393),
        (replace(weighted((8 * OUT, 2 * OUT), (80, 20)), fee=0), X, 2_996),
        (replace(weighted((8 * OUT, 2 * OUT), (80, 20)), fee=0), Y, 7_667),
        (replace(weighted((99 * OUT, OUT), (99, 1)), fee=0), X, 141),
        (replace(weighted((99 * OUT, OUT), (99, 1)), fee=0), Y, 652),
        (stable(OUT, OUT, a=1), X, 6_383),
        (stable(OUT, OUT, a=100), X, 1_019),
        (stable(OUT, OUT, a=2_000), X, 235),
    ],
)
def test_the_price_of_a_quarantine(venue: AnyVenue, asset_in: str, cost_bps: int) -> None:
    asset_out = Y if asset_in == X else X
    before = sum(quote_of(venue).depth)
    step = before // 10_000
    swapped, lost = venue, 0
    while rule(swapped) is None:
        swap = swapped.swap(asset_in, step, asset_out)
        swapped, lost = swap.after, lost + step - swap.amount_out
    assert rule(swapped) is VenueRule.IMPLAUSIBLE
    # One step is 1 bp of the pool, of which at most 9/10 are lost near the end.
    assert lost * 10_000 // before == pytest.approx(cost_bps, abs=2)


def test_the_defaults_leave_the_published_pools_in_but_for_dust() -> None:
    for name, out in (("small", set()), ("large", {33, 41, 47, 48, 51, 57})):
        market, _ = import_cow(real_data(f"cow/{name}_example.json"))
        prices = {asset: price.amount for asset, price in market.prices.items()}
        found = judged(*market.venues, prices=prices)
        assert found.keys() == {f"amm-{n}" for n in out}
        for venue in market.venues:
            held = zip(venue.assets, quote_of(venue).depth, strict=True)
            worth = sum(atoms * prices.get(asset, 10**18) for asset, atoms in held) // 10**18
            # 10^-6 of the native token: less than any swap's gas.
            assert (worth < 1_000) == (venue.id in found)


@pytest.mark.parametrize("seed", range(12))
def test_the_defaults_leave_generated_markets_alone(seed: int) -> None:
    market = generate(seed, assets=8 + 2 * seed, venues=40, accounts=4, intents=0)
    prices = {asset: price.amount for asset, price in market.prices.items()}
    assert not judged(*market.venues, prices=prices, limits=replace(DEFAULTS, max_price_ratio=2))
