"""Venues and makers' quotes: values to wire messages and back."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from walras.api.v1 import venue_pb2
from walras.core.amounts import parse_amount, parse_positive
from walras.core.errors import InvalidInput, Reason
from walras.market.kinds import (
    AnyVenue,
    Bridge,
    Concentrated,
    ConstantProduct,
    Offer,
    OrderBook,
    Rfq,
    StablePool,
    StableSwap,
    Tick,
    Weighted,
)
from walras.protocol.wire import parse

QUOTE_TYPE = "application/vnd.walras.quote.v1+protobuf"
"""The payload type under which a maker signs a quote. It is no record of its own: the venue holds
the signature."""


def venue_to_wire(venue: AnyVenue) -> venue_pb2.Venue:
    """The message of a venue in its present state."""
    message = venue_pb2.Venue(id=venue.id, cost=str(venue.cost))
    match venue:
        case ConstantProduct():
            message.constant_product.assets.extend(venue.assets)
            message.constant_product.reserves.extend(map(str, venue.reserves))
            message.constant_product.fee_pips = venue.fee_pips
        case Weighted():
            message.weighted.assets.extend(venue.assets)
            message.weighted.balances.extend(map(str, venue.balances))
            message.weighted.weights.extend(map(str, venue.weights))
            message.weighted.scaling.extend(map(str, venue.scaling))
            message.weighted.fee = str(venue.fee)
        case StableSwap():
            _stable_to_wire(venue, message.stable_swap)
        case StablePool():
            _stable_to_wire(venue, message.stable_pool)
        case OrderBook():
            message.order_book.base, message.order_book.quote = venue.assets
            message.order_book.asks.extend(map(_offer_to_wire, venue.asks))
            message.order_book.bids.extend(map(_offer_to_wire, venue.bids))
            message.order_book.SetInParent()
        case Concentrated():
            message.concentrated.assets.extend(venue.assets)
            message.concentrated.sqrt_price = str(venue.sqrt_price)
            message.concentrated.tick = venue.tick
            message.concentrated.liquidity = str(venue.liquidity)
            message.concentrated.fee_pips = venue.fee_pips
            message.concentrated.tick_spacing = venue.tick_spacing
            message.concentrated.ticks.extend(
                venue_pb2.Tick(index=tick.index, net=str(tick.net)) for tick in venue.ticks
            )
        case Bridge():
            message.bridge.assets.extend(venue.assets)
            message.bridge.capacity.extend(map(str, venue.capacity))
            message.bridge.scaling.extend(map(str, venue.scaling))
            message.bridge.fee_pips = venue.fee_pips
            message.bridge.flat_fee.extend(map(str, venue.flat_fee))
            message.bridge.latency_ms = venue.latency_ms
        case Rfq():
            message.rfq.maker, message.rfq.nonce = venue.maker, venue.nonce
            message.rfq.asset_in, message.rfq.asset_out = venue.assets
            message.rfq.amount_in = str(venue.amount_in)
            message.rfq.amount_out = str(venue.amount_out)
            message.rfq.expiry_ms = venue.expiry_ms
            message.rfq.signature = venue.signature
            message.rfq.left = str(venue.left)
    return message


def venue_from_wire(message: venue_pb2.Venue) -> AnyVenue:
    """The venue of a message; InvalidInput VENUE_MALFORMED or an amount's reason."""
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidInput(Reason.VENUE_MALFORMED, f"venue {message.id!r} has no kind")
    return _READERS[kind](message, message.id, parse_amount(message.cost, "cost"))


def _constant_product(message: venue_pb2.Venue, name: str, cost: int) -> AnyVenue:
    pool = message.constant_product
    reserves = _pair(name, "reserves", pool.reserves)
    return ConstantProduct(name, cost, _two(name, pool.assets), reserves, pool.fee_pips)


def _weighted(message: venue_pb2.Venue, name: str, cost: int) -> AnyVenue:
    pool = message.weighted
    return Weighted(
        name,
        cost,
        tuple(pool.assets),
        _amounts(pool.balances),
        _amounts(pool.weights),
        _amounts(pool.scaling),
        parse_amount(pool.fee, "fee"),
    )


def _stable_swap(message: venue_pb2.Venue, name: str, cost: int) -> AnyVenue:
    return StableSwap(name, cost, *_stable(message.stable_swap))


def _stable_pool(message: venue_pb2.Venue, name: str, cost: int) -> AnyVenue:
    return StablePool(name, cost, *_stable(message.stable_pool))


def _order_book(message: venue_pb2.Venue, name: str, cost: int) -> AnyVenue:
    book = message.order_book
    asks, bids = tuple(map(_offer, book.asks)), tuple(map(_offer, book.bids))
    return OrderBook(name, cost, (book.base, book.quote), asks, bids)


def _concentrated(message: venue_pb2.Venue, name: str, cost: int) -> AnyVenue:
    pool = message.concentrated
    return Concentrated(
        name,
        cost,
        _two(name, pool.assets),
        parse_amount(pool.sqrt_price, "sqrt_price"),
        pool.tick,
        parse_amount(pool.liquidity, "liquidity"),
        pool.fee_pips,
        pool.tick_spacing,
        tuple(Tick(tick.index, parse_amount(tick.net, "net")) for tick in pool.ticks),
    )


def _bridge(message: venue_pb2.Venue, name: str, cost: int) -> AnyVenue:
    bridge = message.bridge
    return Bridge(
        name,
        cost,
        _two(name, bridge.assets),
        _pair(name, "capacities", bridge.capacity),
        _pair(name, "scaling", bridge.scaling),
        bridge.fee_pips,
        _pair(name, "flat fees", bridge.flat_fee),
        bridge.latency_ms,
    )


def _rfq(message: venue_pb2.Venue, name: str, cost: int) -> AnyVenue:
    rfq = message.rfq
    return Rfq(
        name,
        cost,
        (rfq.asset_in, rfq.asset_out),
        rfq.maker,
        rfq.nonce,
        parse_positive(rfq.amount_in, "amount_in"),
        parse_positive(rfq.amount_out, "amount_out"),
        rfq.expiry_ms,
        rfq.signature,
        parse_amount(rfq.left, "left"),
    )


_READERS: Mapping[str, Callable[[venue_pb2.Venue, str, int], AnyVenue]] = {
    "constant_product": _constant_product,
    "weighted": _weighted,
    "stable_swap": _stable_swap,
    "stable_pool": _stable_pool,
    "order_book": _order_book,
    "concentrated": _concentrated,
    "bridge": _bridge,
    "rfq": _rfq,
}


def venues_from_wire(messages: Iterable[venue_pb2.Venue]) -> dict[str, AnyVenue]:
    """Id → venue; InvalidInput where one breaks a rule or an id stands twice."""
    venues: dict[str, AnyVenue] = {}
    for message in messages:
        body = message.SerializeToString(deterministic=True)
        venue = _known(body) if len(body) <= _KNOWN_BYTES else venue_from_wire(message)
        if venue.id in venues:
            raise InvalidInput(Reason.VENUE_MALFORMED, f"venue {venue.id!r} stands twice")
        venues[venue.id] = venue
    return venues


_KNOWN_BYTES = 2_048
"""Larger venues are read each time: what is remembered is bounded in memory."""


@lru_cache(maxsize=1 << 14)
def _known(body: bytes) -> AnyVenue:
    # Most venues are the same from one problem to the next, and reading one takes 30 µs.
    return venue_from_wire(venue_pb2.Venue.FromString(body))


def encode_venues(venues: Mapping[str, AnyVenue]) -> bytes:
    """The bytes behind a digest of venue states."""
    states = [venue_to_wire(venues[name]) for name in sorted(venues)]
    return venue_pb2.VenueStates(venues=states).SerializeToString(deterministic=True)


def decode_venues(body: bytes) -> dict[str, AnyVenue]:
    """The venue states that `body` encodes."""
    return venues_from_wire(parse(venue_pb2.VenueStates, body).venues)


def encode_venue(venue: AnyVenue) -> bytes:
    """One venue's bytes."""
    return venue_to_wire(venue).SerializeToString(deterministic=True)


def decode_venue(body: bytes) -> AnyVenue:
    """The venue that `body` encodes."""
    return venue_from_wire(parse(venue_pb2.Venue, body))


def encode_quote(domain: str, quote: Rfq) -> bytes:
    """The body that the maker of `quote` signs for the engine `domain`."""
    return venue_pb2.Quote(
        domain=domain,
        maker=quote.maker,
        nonce=quote.nonce,
        asset_in=quote.assets[0],
        asset_out=quote.assets[1],
        amount_in=str(quote.amount_in),
        amount_out=str(quote.amount_out),
        expiry_ms=quote.expiry_ms,
    ).SerializeToString(deterministic=True)


def _stable_to_wire(
    pool: StableSwap | StablePool, message: venue_pb2.StableSwap | venue_pb2.StablePool
) -> None:
    message.assets.extend(pool.assets)
    message.balances.extend(map(str, pool.balances))
    message.rates.extend(map(str, pool.rates))
    message.amplification = str(pool.amplification)
    message.fee = str(pool.fee)


def _stable(
    message: venue_pb2.StableSwap | venue_pb2.StablePool,
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...], int, int]:
    return (
        tuple(message.assets),
        _amounts(message.balances),
        _amounts(message.rates),
        parse_amount(message.amplification, "amplification"),
        parse_amount(message.fee, "fee"),
    )


def _offer_to_wire(offer: Offer) -> venue_pb2.Offer:
    return venue_pb2.Offer(give=str(offer.give), want=str(offer.want))


def _offer(message: venue_pb2.Offer) -> Offer:
    return Offer(parse_positive(message.give, "give"), parse_positive(message.want, "want"))


def _amounts(texts: Iterable[str]) -> tuple[int, ...]:
    return tuple(parse_amount(text) for text in texts)


def _two(name: str, assets: Iterable[str]) -> tuple[str, str]:
    found = tuple(assets)
    if len(found) != 2:
        raise InvalidInput(Reason.VENUE_MALFORMED, f"venue {name!r} needs two assets")
    return found


def _pair(name: str, what: str, texts: Iterable[str]) -> tuple[int, int]:
    found = _amounts(texts)
    if len(found) != 2:
        raise InvalidInput(Reason.VENUE_MALFORMED, f"venue {name!r} needs two {what}")
    return found
