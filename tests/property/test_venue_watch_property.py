"""The watch over venues against a plain one: everything is judged at each check, in fractions."""

import json
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walras.core.errors import SwapError
from walras.market.constant_product import RESERVE_LIMIT
from walras.market.fixed_point import ONE
from walras.market.kinds import AnyVenue, ConstantProduct, Offer, OrderBook, StableSwap, Weighted
from walras.market.marginal import spot_price
from walras.market.quote import quote_of
from walras.market.watch import Limits, VenueWatch, Verdict

A = [f"eip155:1/erc20:0x{n:040x}" for n in range(4)]


def magnitudes(bits: int = 255) -> st.SearchStrategy[int]:
    """Every order of magnitude alike, and 0."""
    return st.integers(0, bits).flatmap(lambda b: st.integers(2**b // 2, 2**b - 1))


@st.composite
def pools(draw: st.DrawFn, amounts: st.SearchStrategy[int]) -> AnyVenue:
    n = draw(st.integers(2, 4))
    assets = tuple(draw(st.permutations(A))[:n])
    balances = tuple(draw(amounts) for _ in range(n))
    kind = draw(st.sampled_from(["pair", "weighted", "stable"]))
    if kind != "stable":
        balances = tuple(min(balance, RESERVE_LIMIT - 1) for balance in balances)
    if kind == "pair":
        fee = draw(st.sampled_from([0, 3_000, 999_999]))
        return ConstantProduct("v", 0, (assets[0], assets[1]), (balances[0], balances[1]), fee)
    if kind == "weighted":
        parts = draw(st.lists(st.integers(1, 24), min_size=n, max_size=n))
        weights = [part * ONE // sum(parts) for part in parts]
        weights[0] += ONE - sum(weights)
        return Weighted("v", 0, assets, balances, tuple(weights), (1,) * n, 10**15)
    rates = tuple(draw(st.sampled_from([1, ONE, 10**30, 2**128 - 1])) for _ in range(n))
    return StableSwap("v", 0, assets, balances, rates, draw(st.sampled_from([100, 10**6])), 10**6)


@st.composite
def books(draw: st.DrawFn, amounts: st.SearchStrategy[int]) -> OrderBook:
    def side() -> list[Offer]:
        rows = draw(st.lists(st.tuples(amounts, amounts), max_size=3))
        offers = [Offer(max(give, 1), max(want, 1)) for give, want in rows]
        return sorted(offers, key=lambda offer: Fraction(offer.want, offer.give))

    asks, bids = side(), side()
    while asks and bids and bids[0].give * asks[0].give > bids[0].want * asks[0].want:
        bids.pop(0)
    return OrderBook("v", 0, (A[0], A[1]), tuple(asks), tuple(bids))


def venues(amounts: st.SearchStrategy[int]) -> st.SearchStrategy[AnyVenue]:
    return st.one_of(pools(amounts), books(amounts))


@settings(max_examples=300, deadline=None)
@given(venues(magnitudes()))
def test_a_quote_is_the_spot_price(venue: AnyVenue) -> None:
    quote = quote_of(venue)
    for i, j in permutations(range(len(venue.assets)), 2):
        expected = spot_price(venue, venue.assets[i], venue.assets[j])
        if not quote.bids or not quote.bids[i] or not quote.asks[j]:
            assert expected == 0.0
        elif 1e-300 < expected < 1e300:
            assert quote.bids[i] / quote.asks[j] == pytest.approx(expected, rel=1e-14)


@settings(max_examples=200, deadline=None)
@given(venues(magnitudes()))
def test_what_can_be_swapped_has_a_quote(venue: AnyVenue) -> None:
    quote = quote_of(venue)
    for i, j in permutations(range(len(venue.assets)), 2):
        for amount_in in (1, 10**9, 10**27, 10**60):
            try:
                venue.swap(venue.assets[i], amount_in, venue.assets[j])
            except SwapError:
                continue
            assert quote.bids[i]
            assert quote.asks[j]
            assert quote.depth[j]


def price(venue: AnyVenue, i: int, j: int) -> Fraction | None:
    """Marginal, after the fee, of a pair or a book; None where there is none."""
    match venue:
        case ConstantProduct(reserves=held, fee_pips=fee):
            return Fraction(held[j] * (10**6 - fee), held[i] * 10**6) if all(held) else None
        case OrderBook(asks=asks, bids=bids):
            offers = (asks, bids)[j]
            return Fraction(offers[0].give, offers[0].want) if offers else None
        case _:
            raise AssertionError


def depth(venue: AnyVenue) -> list[int]:
    match venue:
        case ConstantProduct(reserves=held):
            return list(held) if all(held) else [0, 0]
        case OrderBook(asks=asks, bids=bids):
            return [sum(o.give for o in asks), sum(o.give for o in bids)]
        case _:
            raise AssertionError


WAYS = ((0, 1), (1, 0))


@dataclass
class Plain:
    """The rules as the docstring has them; every venue is judged at every check."""

    at: dict[str, int] = field(default_factory=dict)
    average: dict[str, int] = field(default_factory=dict)
    last: dict[str, AnyVenue] = field(default_factory=dict)
    out: dict[str, tuple[str, int]] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)

    def touch(self, name: str, at_ms: int) -> None:
        self.at[name] = max([at_ms, *self.at.values()])
        self.fresh.add(name)

    def forget(self, name: str) -> None:
        for memory in (self.at, self.average, self.last, self.out):
            memory.pop(name, None)
        self.fresh.discard(name)

    def check(
        self, market: dict[str, AnyVenue], prices: dict[str, int], limits: Limits, now_ms: int
    ) -> tuple[list[tuple[str, str]], list[str]]:
        quarantined, released = [], []
        for name in sorted(market):
            broken = self.broken(name, market[name], prices, limits, now_ms)
            if name not in self.out:
                if broken:
                    self.out[name] = (broken, 0)
                    quarantined.append((name, broken))
                continue
            rule, healthy = self.out[name]
            healthy = 0 if broken else healthy + 1
            self.out[name] = (rule, healthy)
            # It is not known here what touched a venue at the check that took it out.
            if healthy == 3 or (healthy and name in self.fresh):
                del self.out[name]
                released.append(name)
        self.fresh.clear()
        return quarantined, released

    def broken(
        self, name: str, venue: AnyVenue, prices: dict[str, int], limits: Limits, now_ms: int
    ) -> str:
        average = self.averaged(name, venue, limits)
        held = depth(venue)
        known = all(a in prices for a, atoms in zip(venue.assets, held, strict=True) if atoms)
        value = sum(prices.get(a, 0) * x for a, x in zip(venue.assets, held, strict=True))
        if known and value < limits.min_venue_value * 10**18:
            return "drained"
        if limits.max_price_ratio and all(a in prices for a in venue.assets):
            for i, j in WAYS:
                pays = price(venue, i, j)
                given, paid = prices[venue.assets[i]] + 1, prices[venue.assets[j]]
                if pays and int(10**4 * pays * paid / given) > limits.max_price_ratio * 10**4:
                    return "implausible"
        if limits.max_venue_move_bps and average // 10**4 > limits.max_venue_move_bps:
            return "volatile"
        age = now_ms - self.at[name]
        return "stale" if limits.max_venue_age_ms and age > limits.max_venue_age_ms else ""

    def averaged(self, name: str, venue: AnyVenue, limits: Limits) -> int:
        if not limits.max_venue_move_bps:
            self.average.pop(name, None)
            self.last.pop(name, None)
            return 0
        before = self.last.get(name)
        self.last[name] = venue
        if before is None or before.assets != venue.assets:
            self.average[name] = 0
            return 0
        move = Fraction(0)
        for i, j in WAYS:
            old, new = price(before, i, j), price(venue, i, j)
            if old and new:
                move = max(move, old / new - 1, new / old - 1)
        moved = min(int(move * 10**8), 10**12)
        self.average[name] = (7 * self.average[name] + moved) // 8
        return self.average[name]


near = st.sampled_from([0, 9 * 10**18, 10**19, 11 * 10**18, 3 * 10**19, 10**20])
two_sided = st.one_of(
    st.builds(
        lambda assets, x, y, fee: ConstantProduct("v", 0, assets, (x, y), fee),
        st.sampled_from([(A[0], A[1]), (A[1], A[2])]),
        near,
        near,
        st.sampled_from([0, 3_000]),
    ),
    books(near),
)
prices_of = st.dictionaries(
    st.sampled_from(A[:3]), st.sampled_from([1, 10**9, 3 * 10**9, 10**10]), min_size=2
)
limits_of = st.builds(
    Limits,
    st.sampled_from([0, 1, 10**10]),
    st.sampled_from([0, 1, 10]),
    st.sampled_from([0, 1_500]),
    st.sampled_from([0, 50, 2_000]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("touch"), st.sampled_from("abc"), two_sided),
        st.tuples(st.just("remove"), st.sampled_from("abc"), st.none()),
        st.tuples(st.just("prices"), st.just(""), prices_of),
        st.tuples(st.just("limits"), st.just(""), limits_of),
        st.tuples(st.just("check"), st.just(""), st.integers(1, 12)),
    ),
    min_size=4,
    max_size=30,
)


@settings(max_examples=250, deadline=None)
@given(steps, prices_of, limits_of, st.booleans())
def test_it_says_what_a_plain_watch_says_with_and_without_restarts(
    script: list[tuple[str, str, object]], prices: dict[str, int], limits: Limits, restart: bool
) -> None:
    watch, restarted, plain = VenueWatch(), VenueWatch(), Plain()
    market: dict[str, AnyVenue] = {}
    now_ms = 0
    for what, name, value in [*script, ("check", "", 3)]:
        now_ms += 400
        match what, value:
            case "touch", ConstantProduct() | OrderBook():
                market[name] = value
                watch.touched(name, now_ms)
                restarted.touched(name, now_ms)
                plain.touch(name, now_ms)
            case "remove", _:
                market.pop(name, None)
                watch.removed(name)
                restarted.removed(name)
                plain.forget(name)
            case "prices", dict():
                prices = value
            case "limits", Limits():
                limits = value
            case "check", int():
                for _ in range(value):
                    now_ms += 100
                    restarted = VenueWatch.from_json(json.loads(json.dumps(restarted.to_json())))
                    verdict: Verdict = watch.check(market, prices, limits, now_ms)
                    assert restarted.check(market, prices, limits, now_ms) == verdict
                    quarantined, released = plain.check(market, prices, limits, now_ms)
                    assert [(q.venue, q.rule.value) for q in verdict.quarantined] == quarantined
                    assert list(verdict.released) == released
                    assert watch.to_json() == restarted.to_json()
                    assert dict(watch.quarantined) == {n: r for n, (r, _) in plain.out.items()}


@settings(deadline=None)
@given(st.lists(venues(magnitudes(120)), min_size=1, max_size=6), prices_of)
def test_neither_the_order_of_touches_nor_of_mappings_matters(
    made: list[AnyVenue], prices: dict[str, int]
) -> None:
    names = [f"{n}" for n in range(len(made))]
    limits = Limits(1, 10, 1, 1)
    verdicts = []
    for order in (names, names[::-1]):
        watch = VenueWatch()
        for name in order:
            watch.touched(name, 0)
        market = {name: made[int(name)] for name in order}
        prices = dict(reversed(prices.items()))
        verdicts.append(watch.check(market, prices, limits, 5))
    assert verdicts[0] == verdicts[1]
    assert [q.venue for q in verdicts[0].quarantined] == names
