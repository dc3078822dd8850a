"""Assets, prices, balances, rules and venues: values to wire messages and back."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from walras.api.v1 import asset_pb2, record_pb2, venue_pb2
from walras.core.amounts import parse_amount, parse_positive
from walras.core.assets import Asset, check_asset_id
from walras.core.errors import InvalidInput, Reason
from walras.market.kinds import (
    AnyVenue,
    ConstantProduct,
    Offer,
    OrderBook,
    StableSwap,
    Weighted,
)
from walras.protocol.problem import Price, Rules
from walras.protocol.wire import parse

Balances = Mapping[tuple[bytes, str], int]


def asset_to_wire(asset: Asset) -> asset_pb2.Asset:
    """The message of an asset."""
    return asset_pb2.Asset(id=asset.id, symbol=asset.symbol, decimals=asset.decimals)


def asset_from_wire(message: asset_pb2.Asset) -> Asset:
    """The asset of a message; InvalidInput where it breaks a rule."""
    name = check_asset_id(message.id)
    if message.decimals > 255 or not 1 <= len(message.symbol) <= 64:
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} needs a symbol and decimals ≤ 255")
    return Asset(name, message.symbol, message.decimals)


def price_to_wire(asset: str, price: Price) -> asset_pb2.ReferencePrice:
    """The message of one asset's reference price."""
    return asset_pb2.ReferencePrice(asset=asset, amount=str(price.amount), source=price.source)


def prices_from_wire(messages: Iterable[asset_pb2.ReferencePrice]) -> dict[str, Price]:
    """Asset → price; InvalidInput where one breaks a rule or an asset stands twice."""
    prices: dict[str, Price] = {}
    for message in messages:
        asset = check_asset_id(message.asset)
        if asset in prices:
            raise InvalidInput(Reason.FIELD_INVALID, f"{asset} has two reference prices")
        if not 1 <= len(message.source) <= 64:
            raise InvalidInput(Reason.FIELD_INVALID, f"the price of {asset} needs a source")
        prices[asset] = Price(parse_positive(message.amount, "price"), message.source)
    return prices


def balances_to_wire(balances: Balances) -> list[asset_pb2.Balance]:
    """Messages by ascending (owner, asset)."""
    return [
        asset_pb2.Balance(owner=owner, asset=asset, amount=str(amount))
        for (owner, asset), amount in sorted(balances.items())
    ]


def balances_from_wire(messages: Iterable[asset_pb2.Balance]) -> dict[tuple[bytes, str], int]:
    """(owner, asset) → atoms ≥ 0; InvalidInput where one breaks a rule or stands twice."""
    balances: dict[tuple[bytes, str], int] = {}
    for message in messages:
        key = (check_owner(message.owner), check_asset_id(message.asset))
        amount = parse_amount(message.amount, "balance")
        if amount < 0 or key in balances:
            raise InvalidInput(Reason.FIELD_INVALID, f"a balance of {key[1]} is negative or twice")
        balances[key] = amount
    return balances


def check_domain(domain: str) -> str:
    """`domain`, if it is 1 to 128 ASCII characters, as in an intent."""
    if not 1 <= len(domain) <= 128 or not domain.isascii():
        raise InvalidInput(
            Reason.FIELD_INVALID, "domain must be 1 to 128 ASCII characters", field="domain"
        )
    return domain


def check_owner(owner: bytes) -> bytes:
    """`owner`, if it is 32 bytes; whether it is a point is for the signature check to say."""
    if len(owner) != 32:
        raise InvalidInput(Reason.PUBLIC_KEY_INVALID, "a public key has 32 bytes")
    return owner


def rules_to_wire(rules: Rules) -> record_pb2.Rules:
    """The message of the rules."""
    return record_pb2.Rules(
        collar_bps=rules.collar_bps,
        reward_cap=rules.reward_cap,
        max_bids=rules.max_bids,
        max_open_per_owner=rules.max_open_per_owner,
        max_open=rules.max_open,
        min_venue_value=rules.min_venue_value,
        max_price_ratio=rules.max_price_ratio,
        max_venue_age_ms=rules.max_venue_age_ms,
        max_venue_move_bps=rules.max_venue_move_bps,
    )


def rules_from_wire(message: record_pb2.Rules) -> Rules:
    """The rules of a message."""
    return Rules(
        collar_bps=message.collar_bps,
        reward_cap=message.reward_cap,
        max_bids=message.max_bids,
        max_open_per_owner=message.max_open_per_owner,
        max_open=message.max_open,
        min_venue_value=message.min_venue_value,
        max_price_ratio=message.max_price_ratio,
        max_venue_age_ms=message.max_venue_age_ms,
        max_venue_move_bps=message.max_venue_move_bps,
    )


def encode_rules(rules: Rules) -> bytes:
    """The bytes behind a digest of rules."""
    return rules_to_wire(rules).SerializeToString(deterministic=True)


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
            message.stable_swap.assets.extend(venue.assets)
            message.stable_swap.balances.extend(map(str, venue.balances))
            message.stable_swap.rates.extend(map(str, venue.rates))
            message.stable_swap.amplification = str(venue.amplification)
            message.stable_swap.fee = str(venue.fee)
        case OrderBook():
            message.order_book.base, message.order_book.quote = venue.assets
            message.order_book.asks.extend(map(_offer_to_wire, venue.asks))
            message.order_book.bids.extend(map(_offer_to_wire, venue.bids))
            message.order_book.SetInParent()
    return message


def venue_from_wire(message: venue_pb2.Venue) -> AnyVenue:
    """The venue of a message; InvalidInput VENUE_MALFORMED or an amount's reason."""
    cost = parse_amount(message.cost, "cost")
    kind = message.WhichOneof("kind")
    match kind:
        case "constant_product":
            pool = message.constant_product
            if len(pool.assets) != 2 or len(pool.reserves) != 2:
                raise InvalidInput(
                    Reason.VENUE_MALFORMED, f"venue {message.id!r} needs two assets and reserves"
                )
            first, second = _amounts(pool.reserves)
            return ConstantProduct(
                message.id, cost, (pool.assets[0], pool.assets[1]), (first, second), pool.fee_pips
            )
        case "weighted":
            weighted = message.weighted
            return Weighted(
                message.id,
                cost,
                tuple(weighted.assets),
                _amounts(weighted.balances),
                _amounts(weighted.weights),
                _amounts(weighted.scaling),
                parse_amount(weighted.fee, "fee"),
            )
        case "stable_swap":
            stable = message.stable_swap
            return StableSwap(
                message.id,
                cost,
                tuple(stable.assets),
                _amounts(stable.balances),
                _amounts(stable.rates),
                parse_amount(stable.amplification, "amplification"),
                parse_amount(stable.fee, "fee"),
            )
        case "order_book":
            book = message.order_book
            return OrderBook(
                message.id,
                cost,
                (book.base, book.quote),
                tuple(map(_offer_from_wire, book.asks)),
                tuple(map(_offer_from_wire, book.bids)),
            )
        case None:
            raise InvalidInput(Reason.VENUE_MALFORMED, f"venue {message.id!r} has no kind")


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


def encode_balances(balances: Balances) -> bytes:
    """The bytes behind a digest of balances."""
    return asset_pb2.BalanceStates(balances=balances_to_wire(balances)).SerializeToString(
        deterministic=True
    )


def decode_balances(body: bytes) -> dict[tuple[bytes, str], int]:
    """The balances that `body` encodes."""
    return balances_from_wire(parse(asset_pb2.BalanceStates, body).balances)


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


def _offer_to_wire(offer: Offer) -> venue_pb2.Offer:
    return venue_pb2.Offer(give=str(offer.give), want=str(offer.want))


def _offer_from_wire(message: venue_pb2.Offer) -> Offer:
    return Offer(parse_positive(message.give, "give"), parse_positive(message.want, "want"))


def _amounts(texts: Iterable[str]) -> tuple[int, ...]:
    return tuple(parse_amount(text) for text in texts)
