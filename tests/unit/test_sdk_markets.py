"""Loading a market: every record fits an envelope, and together they are the market."""

from collections import Counter
from dataclasses import replace

import pytest

from walras.audit.envelope import MAX_ENVELOPE_BYTES
from walras.audit.keys import Signer
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.datasets.generate import START_MS, generate
from walras.datasets.market import Account, Market
from walras.intake.admission import open_record
from walras.market.kinds import Offer, OrderBook
from walras.protocol.codec import MAX_CREDITS
from walras.protocol.records import Deposit, Kind, MarketUpdate
from walras.sdk.markets import demo_signer, deposits, market_updates, sign_market_intents

OPERATOR = Signer.from_seed(b"\x05" * 32)
DOMAIN = "localhost/test"


def test_updates_fit_and_hold_the_whole_market() -> None:
    market = generate(1, assets=40, venues=1_000, accounts=4, intents=0)
    envelopes = list(market_updates(market, OPERATOR, DOMAIN))
    assert len(envelopes) > 3
    records = []
    for envelope in envelopes:
        assert len(envelope) <= MAX_ENVELOPE_BYTES
        record = open_record(envelope, Kind.MARKET).record
        assert isinstance(record, MarketUpdate)
        records.append(record)
    assert tuple(a for r in records for a in r.assets) == market.assets
    assert tuple(v for r in records for v in r.venues) == market.venues
    assert {a: p for r in records for a, p in r.prices.items()} == market.prices
    assert len({r.nonce for r in records}) == len(records)


def test_a_venue_that_no_record_holds_is_named() -> None:
    market = generate(1, intents=0)
    book = OrderBook(
        "huge",
        0,
        (market.assets[0].id, market.assets[1].id),
        asks=tuple(Offer(10**70 - n, 10**70) for n in range(500)),
        bids=(),
    )
    with pytest.raises(InvalidInput, match="huge") as caught:
        list(market_updates(replace(market, venues=(book,)), OPERATOR, DOMAIN))
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE


def test_deposits_fit_and_credit_everybody() -> None:
    market = generate(1, intents=0)
    long = "eip155:1/" + "n" * 8 + ":" + "r" * 128
    accounts = [Account(f"a{n}", {long: 1, "eip155:1/slip44:60": n + 1}) for n in range(600)]
    envelopes = list(deposits(replace_accounts(market, accounts, long), OPERATOR, DOMAIN))
    credits_ = []
    for envelope in envelopes:
        record = open_record(envelope, Kind.DEPOSIT).record
        assert isinstance(record, Deposit)
        assert len(record.credits) <= MAX_CREDITS
        credits_ += record.credits
    found = {(credit.owner, credit.asset): credit.amount for credit in credits_}
    assert len(found) == len(credits_) == 1_200
    assert found[demo_signer("a9").public_key, "eip155:1/slip44:60"] == 10


def test_intents_are_signed_by_their_accounts_with_nonces_that_count_up() -> None:
    market = generate(2, intents=60)
    nonces: Counter[str] = Counter()
    signed = sign_market_intents(market, DOMAIN, START_MS, nonces=nonces)
    signed += sign_market_intents(market, DOMAIN, START_MS, nonces=nonces)
    seen: dict[str, list[int]] = {}
    for account, envelope in signed:
        intent = open_record(envelope, Kind.INTENT).record
        assert isinstance(intent, Intent)
        assert intent.owner == demo_signer(account).public_key
        assert intent.domain == DOMAIN
        seen.setdefault(account, []).append(intent.nonce)
    assert len(signed) == 120
    for numbers in seen.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_an_intents_own_expiry_holds_over_the_default() -> None:
    market = generate(2, intents=60)
    stated = [intent.expiry_ms for intent in market.intents]
    assert None in stated
    assert any(stated)
    signed = sign_market_intents(market, DOMAIN, START_MS, expiry_ms=START_MS + 5)
    for (_, envelope), own in zip(signed, stated, strict=True):
        intent = open_record(envelope, Kind.INTENT).record
        assert isinstance(intent, Intent)
        assert intent.expiry_ms == (START_MS + 5 if own is None else own)


def replace_accounts(market: Market, accounts: list[Account], asset_id: str) -> Market:
    asset = replace(market.assets[0], id=asset_id, symbol="LONG")
    return replace(market, assets=(*market.assets, asset), accounts=tuple(accounts), intents=())
