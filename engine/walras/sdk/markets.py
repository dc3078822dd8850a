"""Putting a market into an engine: what an operator signs for it, and what its accounts sign.

The accounts of a market sign with the worthless keys of `walras.datasets.demo_keys`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TypeVar

from walras.audit.envelope import MAX_ENVELOPE_BYTES
from walras.audit.keys import Signer
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.datasets.demo_keys import demo_signer_seed
from walras.datasets.market import Market, MarketIntent, to_intent
from walras.market.kinds import AnyVenue
from walras.protocol.codec import MAX_CREDITS, Signed, encode
from walras.protocol.problem import Price
from walras.protocol.records import Credit, Deposit, MarketUpdate
from walras.sdk.calls import bounded
from walras.sdk.client import Client
from walras.sdk.signing import fresh_nonce, sign_record

HOUR_MS = 3_600_000
_BODY_BYTES = MAX_ENVELOPE_BYTES - 400
"""What an envelope leaves for the body, less a nonce and lengths."""

T = TypeVar("T")


async def load_market(
    client: Client,
    market: Market,
    operator: Signer,
    domain: str,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """List the market's assets, prices and venues, and credit its accounts; not its intents.

    Args:
        client: of the engine.
        market: to load. What is there already is replaced or added to.
        operator: one of the engine's operators.
        domain: of the engine.
        on_progress: called with the number of records that were just acknowledged.

    Raises:
        InvalidInput: what the engine refused; MESSAGE_TOO_LARGE for a venue that no record holds.
    """
    # Venues name assets, so these come first and one after another.
    for update in market_updates(market, operator, domain):
        await client.put_venues(update)
        on_progress(1)

    async def send(deposit: bytes) -> None:
        await client.deposit(deposit)
        on_progress(1)

    await bounded(send, list(deposits(market, operator, domain)), 4)


def market_updates(market: Market, operator: Signer, domain: str) -> Iterator[bytes]:
    """The envelopes that list a market's assets, prices and venues, in this order."""

    def update(
        *,
        assets: Sequence[Asset] = (),
        prices: Sequence[tuple[str, Price]] = (),
        venues: Sequence[AnyVenue] = (),
    ) -> MarketUpdate:
        return MarketUpdate(
            domain,
            operator.public_key,
            fresh_nonce(),
            assets=tuple(assets),
            venues=tuple(venues),
            prices=dict(prices),
        )

    for assets in _chunks(market.assets, lambda some: update(assets=some)):
        yield sign_record(update(assets=assets), operator)
    for prices in _chunks(list(market.prices.items()), lambda some: update(prices=some)):
        yield sign_record(update(prices=prices), operator)
    for venues in _chunks(market.venues, lambda some: update(venues=some)):
        yield sign_record(update(venues=venues), operator)


def deposits(market: Market, operator: Signer, domain: str) -> Iterator[bytes]:
    """The envelopes that credit a market's accounts."""

    def deposit(items: Sequence[Credit]) -> Deposit:
        return Deposit(domain, operator.public_key, fresh_nonce(), tuple(items))

    credited = [
        Credit(demo_signer(account.id).public_key, asset, amount)
        for account in market.accounts
        for asset, amount in account.balances.items()
    ]
    for chunk in _chunks(credited, deposit, MAX_CREDITS):
        yield sign_record(deposit(chunk), operator)


def sign_market_intents(
    market: Market,
    domain: str,
    now_ms: int,
    *,
    intents: Iterable[MarketIntent] | None = None,
    nonces: Counter[str] | None = None,
    not_before_ms: int = 0,
    expiry_ms: int | None = None,
) -> list[tuple[str, bytes]]:
    """The envelopes of a market's intents, each with its account's name.

    Args:
        market: whose intents, unless `intents` are given.
        domain: of the engine.
        now_ms: intents that state no expiry end an hour later, unless `expiry_ms` is given.
        intents: others of the same market's accounts.
        nonces: account → its last nonce; counted up here. None begins at 1.
        not_before_ms: for intents that state none.
        expiry_ms: likewise.

    Raises:
        InvalidInput: INTENT_MALFORMED.
    """
    nonces = Counter() if nonces is None else nonces
    signed = []
    for intent in market.intents if intents is None else intents:
        nonces[intent.account] += 1
        signer = demo_signer(intent.account)
        record = to_intent(
            intent,
            domain,
            signer.public_key,
            nonces[intent.account],
            not_before_ms=not_before_ms,
            expiry_ms=now_ms + HOUR_MS if expiry_ms is None else expiry_ms,
        )
        signed.append((intent.account, sign_record(record, signer)))
    return signed


@cache
def demo_signer(account: str) -> Signer:
    """The worthless key of a market's account."""
    return Signer.from_seed(demo_signer_seed(account))


def _chunks(
    items: Sequence[T], make: Callable[[Sequence[T]], Signed], most: int = 1 << 30
) -> Iterator[list[T]]:
    """`items` in runs whose record fits an envelope.

    A repeated field's size is the sum of its items', so each is measured once.
    """
    chunk: list[T] = []
    size = 0
    for item in items:
        weight = len(encode(make([item]))[1])
        if weight > _BODY_BYTES:
            raise InvalidInput(
                Reason.MESSAGE_TOO_LARGE,
                f"{getattr(item, 'id', 'an item')} needs {weight} bytes,"
                f" more than one record's {_BODY_BYTES}",
                hint="split it, such as an order book into two venues",
            )
        if chunk and (size + weight > _BODY_BYTES or len(chunk) == most):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += weight
    if chunk:
        yield chunk
