"""Laws of concentrated and Balancer's stable pools, of bridges and quotes, in all states."""

import pickle
from dataclasses import fields
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.contracts.cases import ASSETS, concentrated, stable_pools

from walras.core.assets import Asset
from walras.core.errors import Reason, SwapError
from walras.datasets.market import About, Market
from walras.datasets.market_file import parse_market, render_market
from walras.market.inverse import least_input
from walras.market.kinds import AnyVenue, Bridge, Rfq
from walras.market.marginal import spot_price
from walras.market.quote import quote_of
from walras.market.venue import Swap

few = settings(max_examples=200, deadline=None)

seeds = st.integers(0, 1 << 32)
magnitudes = st.integers(1, 120).flatmap(lambda bits: st.integers(2 ** (bits - 1), 2**bits - 1))


def _bridge(seed: int) -> Bridge:
    rng = Random(seed)
    capacity = (rng.randrange(1 << rng.randrange(120)), rng.randrange(1 << rng.randrange(120)))
    scaling = (rng.choice((1, 10**12)), rng.choice((1, 10**10)))
    flat = (rng.choice((0, 7, 10**18)), rng.choice((0, 1)))
    fee = rng.choice((0, 1, 500, 999_999))
    return Bridge("v", 0, ASSETS[:2], capacity, scaling, fee, flat, 1_000)


def _quote(seed: int) -> Rfq:
    rng = Random(seed)
    most, pays = (rng.randrange(1, 1 << rng.randrange(1, 120)) for _ in range(2))
    left = rng.choice((most, 0, rng.randint(0, most)))
    return Rfq("v", 0, ASSETS[:2], bytes(32), 0, most, pays, 1, bytes(64), left)


pools = seeds.map(lambda seed: concentrated(Random(seed)))
balancers = seeds.map(lambda seed: next(stable_pools(Random(seed)))[0])
bridges, quotes = seeds.map(_bridge), seeds.map(_quote)
venues: st.SearchStrategy[AnyVenue] = st.one_of(pools, balancers, bridges, quotes)
exact: st.SearchStrategy[AnyVenue] = st.one_of(pools, bridges, quotes)


def tried(venue: AnyVenue, i: int, amount_in: int, j: int) -> Swap[AnyVenue] | Reason:
    try:
        return venue.swap(venue.assets[i], amount_in, venue.assets[j])
    except SwapError as error:
        return error.reason


@few
@given(venues, magnitudes, st.data())
def test_a_swap_pays_what_is_there_or_says_why_not(
    venue: AnyVenue, amount_in: int, data: st.DataObject
) -> None:
    i, j = data.draw(st.permutations(range(len(venue.assets))))[:2]
    swap = tried(venue, i, amount_in, j)
    if isinstance(swap, Reason):
        assert swap in {Reason.SWAP_AMOUNT, Reason.SWAP_LIQUIDITY, Reason.SWAP_NO_CONVERGENCE}
        return
    assert 1 <= swap.amount_out <= quote_of(venue).depth[j]
    whole = type(venue)(**{f.name: getattr(swap.after, f.name) for f in fields(venue)})
    assert swap.after == whole == pickle.loads(pickle.dumps(swap.after))
    assert hash(whole) == hash(swap.after)


@few
@given(venues)
def test_a_market_file_holds_it(venue: AnyVenue) -> None:
    assets = tuple(Asset(asset, "X", 18) for asset in venue.assets)
    market = Market(About("m", "", {}), None, assets, {}, (venue,), (), ())
    assert parse_market(render_market(market)) == market


@few
@given(venues)
def test_a_quote_is_the_spot_price_and_stands_for_swaps(venue: AnyVenue) -> None:
    quote = quote_of(venue)
    for i, j in permutations(range(len(venue.assets)), 2):
        expected = spot_price(venue, venue.assets[i], venue.assets[j])
        if not quote.bids or not quote.bids[i] or not quote.asks[j]:
            assert expected == 0.0
            assert all(isinstance(tried(venue, i, 10**n, j), Reason) for n in (0, 9, 27))
        elif 1e-300 < expected < 1e300:
            assert quote.bids[i] / quote.asks[j] == pytest.approx(expected, rel=1e-14)


@few
@given(exact, magnitudes, magnitudes)
def test_in_parts_it_never_pays_more(venue: AnyVenue, first: int, second: int) -> None:
    whole, part = tried(venue, 0, first + second, 1), tried(venue, 0, first, 1)
    if isinstance(whole, Reason) or isinstance(part, Reason):
        # What pays nothing for all pays nothing for a part.
        assert whole is not Reason.SWAP_AMOUNT or isinstance(part, Reason)
        return
    rest = tried(part.after, 0, second, 1)
    paid = part.amount_out + (rest.amount_out if isinstance(rest, Swap) else 0)
    assert paid <= whole.amount_out


@few
@given(venues, magnitudes)
def test_there_and_back_never_profits(venue: AnyVenue, amount_in: int) -> None:
    there = tried(venue, 0, amount_in, 1)
    if isinstance(there, Reason):
        return
    back = tried(there.after, 1, there.amount_out, 0)
    if isinstance(back, Swap):
        assert back.amount_out <= amount_in


@few
@given(venues, magnitudes)
def test_the_least_input_is_a_border(venue: AnyVenue, amount_in: int) -> None:
    swap = tried(venue, 0, amount_in, 1)
    if isinstance(swap, Reason):
        return
    least = least_input(venue, ASSETS[0], ASSETS[1], swap.amount_out)
    found = tried(venue, 0, least, 1)
    assert isinstance(found, Swap)
    assert found.amount_out >= swap.amount_out
    below = tried(venue, 0, least - 1, 1) if least > 1 else Reason.SWAP_AMOUNT
    assert isinstance(below, Reason) or below.amount_out < swap.amount_out
