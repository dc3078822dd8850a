"""Records: values to the bytes that are signed, and back.

`encode` and `decode` are the only door: everything the log holds goes through them.
"""

from collections.abc import Callable

from google.protobuf.message import Message

from walras.api.v1 import asset_pb2, record_pb2
from walras.core.amounts import parse_positive
from walras.core.assets import check_asset_id
from walras.core.bids import Bid, Bundle
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.protocol import batch, fleet, keys, prices, probes, sealed_bids
from walras.protocol.fleet import FleetChanged, FleetUpdate
from walras.protocol.keys import KeyBinding
from walras.protocol.prices import PriceFeed, PricesWatched
from walras.protocol.probes import Challenge, Echo, Observations
from walras.protocol.records import (
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Cancel,
    Closed,
    Credit,
    Deposit,
    Genesis,
    Kind,
    MarketUpdate,
    Observed,
    Opened,
    Record,
    RulesSet,
    Sealed,
    Settled,
    VenuesWatched,
    Voided,
    Withdrawal,
)
from walras.protocol.sealed_bids import (
    BidReceipt,
    BidUnopened,
    Commitment,
    Committed,
    Opening,
    Task,
)
from walras.protocol.trade import (
    decode_bid,
    decode_bundle,
    decode_intent,
    encode_bid,
    encode_bundle,
    encode_intent,
)
from walras.protocol.values import (
    asset_from_wire,
    asset_to_wire,
    check_digest,
    check_distinct,
    check_domain,
    check_owner,
    price_to_wire,
    prices_from_wire,
    rules_from_wire,
    rules_to_wire,
)
from walras.protocol.venues import venue_to_wire, venues_from_wire
from walras.protocol.wire import parse

MAX_CREDITS = 256
MAX_OPERATORS = 256

Signed = Intent | Bid | Bundle | Record


def encode(record: Signed) -> tuple[Kind, bytes]:
    """The kind of a record and the body that is signed for it."""
    match record:
        case Intent():
            return Kind.INTENT, encode_intent(record)
        case Bid():
            return Kind.BID, encode_bid(record)
        case Bundle():
            return Kind.BUNDLE, encode_bundle(record)
    kind, message = _to_wire(record)
    return kind, message.SerializeToString(deterministic=True)


def decode(kind: Kind, body: bytes) -> Signed:
    """The record of `kind` that `body` encodes.

    Raises:
        InvalidInput: with the rule it breaks.
    """
    return _DECODERS[kind](body)


def _to_wire(record: Record) -> tuple[Kind, Message]:
    match record:
        case Cancel():
            return Kind.CANCEL, record_pb2.Cancel(
                domain=record.domain, owner=record.owner, intent_id=record.intent_id
            )
        case Withdrawal():
            return Kind.WITHDRAWAL, record_pb2.Withdrawal(
                domain=record.domain,
                owner=record.owner,
                nonce=record.nonce,
                asset=record.asset,
                amount=str(record.amount),
                expiry_ms=record.expiry_ms,
            )
        case Deposit():
            return Kind.DEPOSIT, record_pb2.Deposit(
                domain=record.domain,
                operator=record.operator,
                nonce=record.nonce,
                credits=[
                    asset_pb2.Balance(owner=c.owner, asset=c.asset, amount=str(c.amount))
                    for c in record.credits
                ],
            )
        case MarketUpdate():
            return Kind.MARKET, record_pb2.MarketUpdate(
                domain=record.domain,
                operator=record.operator,
                nonce=record.nonce,
                assets=map(asset_to_wire, record.assets),
                venues=map(venue_to_wire, record.venues),
                removed_venues=record.removed_venues,
                prices=[price_to_wire(a, record.prices[a]) for a in sorted(record.prices)],
            )
        case PriceFeed():
            return Kind.PRICES, prices.feed_to_wire(record)
        case PricesWatched():
            return Kind.PRICES_WATCHED, prices.watched_to_wire(record)
        case Genesis():
            return Kind.GENESIS, record_pb2.Genesis(
                domain=record.domain,
                engine=record.engine,
                operators=record.operators,
                vrf_key=record.vrf_key,
            )
        case RulesSet():
            return Kind.RULES, record_pb2.RulesSet(rules=rules_to_wire(record.rules))
        case Opened():
            return Kind.OPENED, batch.opened_to_wire(record)
        case Sealed():
            return Kind.SEALED, batch.sealed_to_wire(record)
        case BidReceived():
            return Kind.BID_RECEIVED, batch.received_to_wire(record)
        case BidRejectedRecord():
            return Kind.BID_REJECTED, batch.rejected_to_wire(record)
        case Closed():
            return Kind.CLOSED, batch.closed_to_wire(record)
        case Awarded():
            return Kind.AWARDED, batch.awarded_to_wire(record)
        case Settled():
            return Kind.SETTLED, batch.settled_to_wire(record)
        case Voided():
            return Kind.VOIDED, batch.voided_to_wire(record)
        case Task():
            return Kind.TASK, sealed_bids.task_to_wire(record)
        case Commitment():
            return Kind.COMMITMENT, sealed_bids.commitment_to_wire(record)
        case BidReceipt():
            return Kind.BID_RECEIPT, sealed_bids.receipt_to_wire(record)
        case Committed():
            return Kind.COMMITTED, sealed_bids.committed_to_wire(record)
        case Opening():
            return Kind.OPENING, sealed_bids.opening_to_wire(record)
        case BidUnopened():
            return Kind.BID_UNOPENED, sealed_bids.unopened_to_wire(record)
        case Observed():
            return Kind.OBSERVED, batch.observed_to_wire(record)
        case FleetChanged():
            return Kind.FLEET, fleet.changed_to_wire(record)
        case FleetUpdate():
            return Kind.FLEET_UPDATE, fleet.update_to_wire(record)
        case VenuesWatched():
            return Kind.VENUES_WATCHED, batch.watched_to_wire(record)
        case KeyBinding():
            return Kind.KEY_BINDING, keys.binding_to_wire(record)
        case Challenge():
            return Kind.CHALLENGE, probes.challenge_to_wire(record)
        case Echo():
            return Kind.ECHO, probes.echo_to_wire(record)
        case Observations():
            return Kind.OBSERVATIONS, probes.observations_to_wire(record)


def _cancel(body: bytes) -> Cancel:
    m = parse(record_pb2.Cancel, body)
    return Cancel(
        check_domain(m.domain), check_owner(m.owner), check_digest(m.intent_id, "intent_id")
    )


def _withdrawal(body: bytes) -> Withdrawal:
    m = parse(record_pb2.Withdrawal, body)
    return Withdrawal(
        check_domain(m.domain),
        check_owner(m.owner),
        m.nonce,
        check_asset_id(m.asset),
        parse_positive(m.amount),
        m.expiry_ms,
    )


def _deposit(body: bytes) -> Deposit:
    m = parse(record_pb2.Deposit, body)
    if not 1 <= len(m.credits) <= MAX_CREDITS:
        raise InvalidInput(Reason.FIELD_INVALID, f"a deposit has 1 to {MAX_CREDITS} credits")
    return Deposit(
        check_domain(m.domain),
        check_owner(m.operator),
        m.nonce,
        tuple(
            Credit(check_owner(c.owner), check_asset_id(c.asset), parse_positive(c.amount))
            for c in m.credits
        ),
    )


def _market(body: bytes) -> MarketUpdate:
    m = parse(record_pb2.MarketUpdate, body)
    assets = tuple(map(asset_from_wire, m.assets))
    check_distinct((asset.id for asset in assets), "assets")
    check_distinct(m.removed_venues, "removed_venues")
    return MarketUpdate(
        check_domain(m.domain),
        check_owner(m.operator),
        m.nonce,
        assets,
        tuple(venues_from_wire(m.venues).values()),
        tuple(m.removed_venues),
        prices_from_wire(m.prices),
    )


def _genesis(body: bytes) -> Genesis:
    m = parse(record_pb2.Genesis, body)
    if len(m.operators) > MAX_OPERATORS:
        raise InvalidInput(Reason.FIELD_INVALID, f"a log has at most {MAX_OPERATORS} operators")
    return Genesis(
        check_domain(m.domain),
        check_owner(m.engine),
        tuple(map(check_owner, m.operators)),
        check_owner(m.vrf_key),
    )


def _rules(body: bytes) -> RulesSet:
    m = parse(record_pb2.RulesSet, body)
    if not m.HasField("rules"):
        raise InvalidInput(Reason.FIELD_INVALID, "there are no rules", field="rules")
    return RulesSet(rules_from_wire(m.rules))


_DECODERS: dict[Kind, Callable[[bytes], Signed]] = {
    Kind.INTENT: decode_intent,
    Kind.CANCEL: _cancel,
    Kind.WITHDRAWAL: _withdrawal,
    Kind.DEPOSIT: _deposit,
    Kind.MARKET: _market,
    Kind.PRICES: prices.decode_feed,
    Kind.PRICES_WATCHED: prices.decode_watched,
    Kind.BID: decode_bid,
    Kind.BUNDLE: decode_bundle,
    Kind.GENESIS: _genesis,
    Kind.RULES: _rules,
    Kind.OPENED: batch.decode_opened,
    Kind.SEALED: batch.decode_sealed,
    Kind.BID_RECEIVED: batch.decode_received,
    Kind.BID_REJECTED: batch.decode_rejected,
    Kind.CLOSED: batch.decode_closed,
    Kind.AWARDED: batch.decode_awarded,
    Kind.SETTLED: batch.decode_settled,
    Kind.VOIDED: batch.decode_voided,
    Kind.OBSERVED: batch.decode_observed,
    Kind.FLEET: fleet.decode_changed,
    Kind.FLEET_UPDATE: fleet.decode_update,
    Kind.VENUES_WATCHED: batch.decode_watched,
    Kind.CHALLENGE: probes.decode_challenge,
    Kind.ECHO: probes.decode_echo,
    Kind.OBSERVATIONS: probes.decode_observations,
    Kind.TASK: sealed_bids.decode_task,
    Kind.COMMITMENT: sealed_bids.decode_commitment,
    Kind.BID_RECEIPT: sealed_bids.decode_receipt,
    Kind.COMMITTED: sealed_bids.decode_committed,
    Kind.OPENING: sealed_bids.decode_opening,
    Kind.KEY_BINDING: keys.decode_binding,
    Kind.BID_UNOPENED: sealed_bids.decode_unopened,
}
