"""Assets, prices, balances and rules: values to wire messages and back."""

from collections.abc import Iterable, Mapping
from typing import Any

from walras.api.v1 import asset_pb2, record_pb2
from walras.core.amounts import parse_amount, parse_positive
from walras.core.assets import Asset, check_asset_id
from walras.core.errors import InvalidInput, Reason
from walras.market.reference import Input, Reference
from walras.protocol.problem import MAX_FEEDERS, MAX_NUMERAIRE_DECIMALS, Price, Rules
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


def references_to_wire(references: Mapping[str, Reference]) -> list[record_pb2.PriceInputs]:
    """Messages by ascending asset."""
    return [
        record_pb2.PriceInputs(
            asset=asset,
            inputs=[
                record_pb2.PriceInput(source=i.source, amount=str(i.amount), at_ms=i.at_ms)
                for i in reference.inputs
            ],
            last=str(reference.last) if reference.last else "",
        )
        for asset, reference in sorted(references.items())
    ]


def references_from_wire(messages: Iterable[record_pb2.PriceInputs]) -> dict[str, Reference]:
    """Asset → what its price follows from; InvalidInput where one breaks a rule or stands twice."""
    references: dict[str, Reference] = {}
    for message in messages:
        asset = check_asset_id(message.asset)
        sources = [each.source for each in message.inputs]
        if asset in references or sources != sorted(set(sources)):
            raise InvalidInput(
                Reason.FIELD_INVALID, f"the inputs of {asset} stand twice or in another order"
            )
        references[asset] = Reference(
            tuple(
                Input(each.source, parse_positive(each.amount, "price"), each.at_ms)
                for each in message.inputs
            ),
            parse_positive(message.last, "price") if message.last else 0,
        )
    return references


def add_balances(message: asset_pb2.BalanceStates | record_pb2.Problem, balances: Balances) -> None:
    """Write them into a message, by ascending (owner, asset).

    In place: protobuf copies what is made apart, and a batch has thousands.
    """
    add = message.balances.add
    for account in sorted(balances):
        made = add()
        made.owner, made.asset = account
        made.amount = str(balances[account])


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
        sealed_bids=rules.sealed_bids,
        feeders=rules.feeders,
        price_quorum=rules.price_quorum,
        max_price_age_ms=rules.max_price_age_ms,
        max_price_move_bps=rules.max_price_move_bps,
        max_price_spread_bps=rules.max_price_spread_bps,
        numeraire=rules.numeraire,
        numeraire_decimals=rules.numeraire_decimals,
        min_path_depth=rules.min_path_depth,
    )


def rules_from_wire(message: record_pb2.Rules) -> Rules:
    """The rules of a message; InvalidInput where one breaks its own."""
    if len(message.feeders) > MAX_FEEDERS:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"there are at most {MAX_FEEDERS} feeders", field="feeders"
        )
    if message.numeraire_decimals > MAX_NUMERAIRE_DECIMALS:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"the numeraire has at most {MAX_NUMERAIRE_DECIMALS} decimals",
            field="numeraire_decimals",
        )
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
        sealed_bids=message.sealed_bids,
        feeders=check_ascending(map(check_owner, message.feeders), "feeders"),
        price_quorum=message.price_quorum,
        max_price_age_ms=message.max_price_age_ms,
        max_price_move_bps=message.max_price_move_bps,
        max_price_spread_bps=message.max_price_spread_bps,
        numeraire=check_asset_id(message.numeraire) if message.numeraire else "",
        numeraire_decimals=message.numeraire_decimals,
        min_path_depth=message.min_path_depth,
    )


def encode_rules(rules: Rules) -> bytes:
    """The bytes behind a digest of rules."""
    return rules_to_wire(rules).SerializeToString(deterministic=True)


def encode_balances(balances: Balances) -> bytes:
    """The bytes behind a digest of balances."""
    message = asset_pb2.BalanceStates()
    add_balances(message, balances)
    return message.SerializeToString(deterministic=True)


def decode_balances(body: bytes) -> dict[tuple[bytes, str], int]:
    """The balances that `body` encodes."""
    return balances_from_wire(parse(asset_pb2.BalanceStates, body).balances)


def check_digest(value: bytes, name: str) -> bytes:
    """32 bytes, or InvalidInput: FIELD_INVALID."""
    if len(value) != 32:
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} must have 32 bytes", field=name)
    return value


def check_distinct(values: Iterable[Any], name: str) -> None:
    """InvalidInput: FIELD_INVALID where something is there twice."""
    seen = list(values)
    if len(set(seen)) != len(seen):
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} holds something twice", field=name)


def check_ascending(values: Iterable[bytes], name: str) -> tuple[bytes, ...]:
    """The values, or InvalidInput: FIELD_INVALID where they do not ascend."""
    found = tuple(values)
    if list(found) != sorted(set(found)):
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} must be ascending, each once", field=name)
    return found
