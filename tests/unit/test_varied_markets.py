"""Markets that differ: in size and in kinds of venue, and yet follow from a seed alone."""

import hashlib

import pytest

from walras.audit.quotes import check_quotes
from walras.cli.sealed_market import DOMAIN, seal_market
from walras.core.errors import SwapError
from walras.datasets.generate import START_MS
from walras.datasets.market_file import parse_market, render_market
from walras.datasets.varied import SIZES, kinds_of, varied
from walras.market.kinds import KINDS, AnyVenue, kind_of
from walras.protocol.problem import ATOMS_PER_PRICE, Problem
from walras.protocol.records import MarketUpdate

SEEDS = range(24)


def made(seed: int, **arguments: object) -> bytes:
    return render_market(varied(seed, domain=DOMAIN, **arguments))  # type: ignore[arg-type]  # passed on


def test_same_seed_same_bytes_other_seed_other_bytes() -> None:
    digests = [hashlib.sha256(made(seed)).hexdigest() for seed in SEEDS]
    assert digests == [hashlib.sha256(made(seed)).hexdigest() for seed in SEEDS]
    assert len(set(digests)) == len(digests)


def test_sizes_and_kinds_vary() -> None:
    markets = [varied(seed, domain=DOMAIN) for seed in SEEDS]
    assert {len(market.intents) for market in markets} == set(SIZES)
    found = {frozenset(kinds_of(market)) for market in markets}
    assert frozenset(KINDS) in found
    assert len(found) > 8
    assert min(len(kinds) for kinds in found) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_market_of_one_kind(kind: str) -> None:
    market = varied(5, domain=DOMAIN, kinds=[kind])
    assert set(kinds_of(market)) == {kind}
    assert parse_market(render_market(market)) == market


def test_a_market_without_venues() -> None:
    market = varied(5, domain=DOMAIN, kinds=[], intents=7)
    assert (market.venues, len(market.intents)) == ((), 7)


@pytest.mark.parametrize("seed", range(6))
def test_every_venue_trades_near_its_price(seed: int) -> None:
    problem = seal_market(varied(seed, domain=DOMAIN, kinds=KINDS), START_MS)
    assert {kind_of(venue) for venue in problem.venues.values()} == set(KINDS)
    for venue in problem.venues.values():
        rates = [rate for pair in pairs(venue) if (rate := paid(problem, venue, *pair))]
        assert rates, venue.id  # in one direction at least
        assert all(0.5 < rate < 1.3 for rate in rates), (venue.id, rates)


def pairs(venue: AnyVenue) -> list[tuple[str, str]]:
    return [(a, b) for a in venue.assets for b in venue.assets if a != b]


def paid(problem: Problem, venue: AnyVenue, asset_in: str, asset_out: str) -> float:
    """What a hundredth of a whole unit of value brings, over what it is worth; 0 for nothing."""
    worth = 10**7
    amount = worth * ATOMS_PER_PRICE // problem.prices[asset_in].amount
    try:
        out = venue.swap(asset_in, max(1, amount), asset_out).amount_out
    except SwapError:
        return 0.0
    return problem.value(asset_out, out) / max(1, problem.value(asset_in, max(1, amount)))


def test_makers_signed_their_quotes() -> None:
    market = varied(3, domain=DOMAIN, kinds=["rfq"])
    assert market.venues
    check_quotes(MarketUpdate(DOMAIN, bytes(32), 0, venues=market.venues))


def test_all_intents_are_sealed() -> None:
    for seed in SEEDS:
        market = varied(seed, domain=DOMAIN)
        problem = seal_market(market, START_MS, auction_id=9)
        assert problem.auction_id == 9
        assert len(problem.intents) == len(market.intents)
        assert len(problem.venues) == len(market.venues)
