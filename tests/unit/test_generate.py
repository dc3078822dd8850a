"""Generated markets: the same from the same seed, of every kind and shape, and tradable."""

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from walras.core.errors import InvalidInput, Reason, SwapError
from walras.core.intents import UINT64
from walras.datasets.generate import START_MS, generate, generate_intents
from walras.datasets.market_file import Account, Market, parse_market, render_market, to_intent
from walras.market.kinds import ConstantProduct, OrderBook, StableSwap, Weighted
from walras.protocol.problem import ATOMS_PER_PRICE


def digest(market: Market) -> str:
    return hashlib.sha256(render_market(market)).hexdigest()


def value(market: Market, asset: str, amount: int) -> int:
    return amount * market.prices[asset].amount // ATOMS_PER_PRICE


@pytest.fixture(scope="module")
def market() -> Market:
    return generate(7)


def test_same_seed_same_bytes_other_seed_other_bytes(market: Market) -> None:
    assert digest(generate(7)) == digest(market)
    assert len({digest(generate(seed)) for seed in range(10)}) == 10


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_same_bytes_in_another_process(market: Market, hash_seed: str) -> None:
    code = (
        "import hashlib; from walras.datasets.generate import generate; "
        "from walras.datasets.market_file import render_market; "
        "print(hashlib.sha256(render_market(generate(7))).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == digest(market)


def test_it_reads_back(market: Market) -> None:
    assert parse_market(render_market(market)) == market


def test_every_kind_of_venue_and_asset_is_there(market: Market) -> None:
    kinds = Counter(type(venue) for venue in market.venues)
    assert set(kinds) == {ConstantProduct, Weighted, StableSwap, OrderBook}
    assert {asset.decimals for asset in market.assets} >= {6, 8, 18}
    options = {asset.id for asset in market.assets if "/option:" in asset.id}
    assert "eip155:1/option:ETH-20261225-3500-C" in options
    for option in options:
        books = [v for v in market.venues if isinstance(v, OrderBook) and option in v.assets]
        assert books
        assert all(book.asks and book.bids for book in books)
    assert market.prices["eip155:1/slip44:60"].amount == 10**9


def test_every_shape_of_intent_is_there(market: Market) -> None:
    shapes: Counter[str] = Counter()
    for intent in market.intents[:20]:
        quantities = sorted(leg.quantity for leg in intent.legs)
        if len(quantities) == 1:
            shapes["sell" if quantities[0] < 0 else "buy"] += 1
        else:
            assert quantities[0] < 0 < quantities[1]
            options = all("/option:" in leg.asset for leg in intent.legs)
            shapes["spread" if options else "pair"] += 1
        whole = intent.min_units == intent.units
        shapes["all or nothing" if whole else "partly"] += 1
        shapes["at least half"] += 1 < intent.min_units < intent.units
        shapes["decay"] += intent.decay is not None
    assert shapes["sell"] == 9
    assert shapes["buy"] == 6
    assert shapes["spread"] == 3
    assert shapes["pair"] == 2
    assert shapes["all or nothing"] == 7
    assert shapes["at least half"] == 3
    assert shapes["decay"] == 4
    assert any(intent.expiry_ms is None for intent in market.intents)
    assert any(intent.expiry_ms is not None for intent in market.intents)


def test_there_are_coincidences_of_wants(market: Market) -> None:
    groups = {
        to_intent(i, "x", bytes(32), 0, not_before_ms=0, expiry_ms=UINT64 - 1).group
        for i in market.intents
        if len(i.legs) == 1
    }
    both_ways = [g for g in groups if ">".join(reversed(g.split(">"))) in groups]
    assert len(both_ways) >= 10


def test_accounts_can_pay_what_their_intents_may_cost(market: Market) -> None:
    balances = {account.id: account.balances for account in market.accounts}
    for wanted in market.intents:
        intent = to_intent(wanted, "x", bytes(32), 0, not_before_ms=0, expiry_ms=UINT64 - 1)
        worst = min(intent.limit, intent.decay.start_limit if intent.decay else intent.limit)
        for asset, amount in intent.needs(intent.units, worst).items():
            assert amount <= balances[wanted.account].get(asset, 0)


def test_limits_stand_around_the_reference_prices(market: Market) -> None:
    marketable = 0
    for intent in market.intents:
        legs = [value(market, leg.asset, leg.quantity * intent.units) for leg in intent.legs]
        limit = value(market, intent.settlement_asset, intent.limit)
        margin = -(sum(legs) + limit) / sum(map(abs, legs))  # what the owner gives for a fill
        assert -0.05 < margin < 0.05
        marketable += margin > 0
        if intent.decay is not None:
            assert intent.decay.start_limit > intent.limit
            assert START_MS <= intent.decay.start_ms < intent.decay.end_ms
    assert 0.5 < marketable / len(market.intents) < 0.85


def test_venues_trade_near_the_reference_prices_and_serve_typical_sizes() -> None:
    served = tried = 0
    for seed in range(5):
        market = generate(seed)
        for venue in market.venues:
            given, taken = venue.assets[:2]
            amount = 10**9 * ATOMS_PER_PRICE // market.prices[given].amount  # worth 1 ETH
            tried += 1
            try:
                paid = venue.swap(given, amount, taken).amount_out
            except SwapError:
                continue
            served += 1
            assert 0.95 < value(market, taken, paid) / 10**9 < 1.02, venue
    assert served > 0.9 * tried


def test_some_intents_of_every_shape_can_be_filled_at_the_venues() -> None:
    """Alone, against at most two venues in a row for each leg."""
    filled: Counter[tuple[object, bool]] = Counter()
    for seed in range(3):
        market = generate(seed)
        hubs = [asset.id for asset in market.assets[:3]]

        def direct(market: Market, given: str, amount: int, taken: str) -> int:
            outputs = [0]
            for venue in market.venues:
                if amount > 0 and {given, taken} <= set(venue.assets):
                    try:
                        outputs.append(venue.swap(given, amount, taken).amount_out)
                    except SwapError:
                        continue
            return max(outputs)

        def routed(market: Market, hubs: list[str], given: str, amount: int, taken: str) -> int:
            outputs = [direct(market, given, amount, taken)]
            for hub in hubs:
                if hub not in (given, taken):
                    half_way = direct(market, given, amount, hub)
                    outputs.append(direct(market, hub, half_way, taken))
            return max(outputs)

        for intent in market.intents:
            settlement = intent.settlement_asset
            purse = -intent.limit
            for leg in sorted(intent.legs, key=lambda leg: leg.quantity):
                amount = leg.quantity * intent.units
                if amount < 0:
                    purse += routed(market, hubs, leg.asset, -amount, settlement)
                else:
                    bought = routed(market, hubs, settlement, purse, leg.asset)
                    purse = 0 if bought >= amount else -1
            shape = (
                len(intent.legs),
                intent.legs[0].quantity > 0,
                "option" in intent.legs[0].asset,
            )
            filled[shape, purse >= 0] += 1
    shapes = {shape for shape, _ in filled}
    assert {shape for shape, done in filled if done} == shapes
    assert len(shapes) >= 4


def test_stream_continues_and_is_of_its_time(market: Market) -> None:
    rng = random.Random(1)
    first = generate_intents(market, rng, 50, START_MS + 1_000_000)
    second = generate_intents(market, rng, 50, START_MS + 2_000_000)
    again = generate_intents(market, random.Random(1), 50, START_MS + 1_000_000)
    assert first == again
    assert first != second
    for intent in second:
        if intent.decay is not None:
            assert intent.decay.start_ms >= START_MS + 2_000_000
        if intent.expiry_ms is not None:
            assert intent.expiry_ms > START_MS + 2_000_000
    assert generate_intents(market, rng, 0, START_MS) == []


@pytest.mark.parametrize("assets", range(8, 41))
def test_every_size(assets: int) -> None:
    made = generate(assets, assets=assets, venues=10, accounts=5, intents=40)
    assert len(made.assets) == assets
    assert len(made.venues) == 10
    assert len(made.accounts) == 5
    assert len(made.intents) == 40


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("assets", 7),
        ("assets", 41),
        ("venues", 7),
        ("venues", 1_001),
        ("accounts", 3),
        ("intents", -1),
    ],
)
def test_sizes_out_of_range_are_refused(name: str, number: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        generate(1, **{name: number})
    assert caught.value.reason is Reason.FIELD_INVALID
    assert caught.value.fields["field"] == name


@pytest.mark.parametrize("accounts", [0, 4])
def test_market_without_options_makes_no_spreads(accounts: int) -> None:
    rich = generate(1, intents=0)
    plain = tuple(asset for asset in rich.assets if "/option:" not in asset.id)
    known = {asset.id for asset in plain}
    poor = replace(
        rich,
        assets=plain,
        prices={asset.id: rich.prices[asset.id] for asset in plain},
        venues=(),
        accounts=tuple(
            Account(a.id, {asset: n for asset, n in a.balances.items() if asset in known})
            for a in rich.accounts[:accounts]
        ),
    )
    with pytest.raises(InvalidInput) as caught:
        generate_intents(poor, random.Random(1), 20, START_MS)
    assert caught.value.reason is Reason.FIELD_INVALID
