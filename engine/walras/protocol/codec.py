"""Records: values to the bytes that are signed, and back.

`encode` and `decode` are the only door: everything the log holds goes through them.
"""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from walras.api.v1 import asset_pb2, record_pb2
from walras.core.amounts import parse_positive
from walras.core.assets import check_asset_id
from walras.core.bids import Bid, Bundle
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.protocol import fleet
from walras.protocol.records import (
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Cancel,
    Challenge,
    Closed,
    Credit,
    Deposit,
    Echo,
    FleetChanged,
    FleetUpdate,
    Genesis,
    Kind,
    MarketUpdate,
    Observations,
    Observed,
    Opened,
    Record,
    RulesSet,
    Sealed,
    Settled,
    SolverKey,
    VenuesWatched,
    Voided,
    Withdrawal,
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
    check_domain,
    check_owner,
    price_to_wire,
    prices_from_wire,
    rules_from_wire,
    rules_to_wire,
    venue_to_wire,
    venues_from_wire,
)
from walras.protocol.wire import parse

MAX_CREDITS = 256

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
            return Kind.OPENED, record_pb2.Opened(
                auction_id=record.auction_id,
                rules_digest=record.rules_digest,
                opened_ms=record.opened_ms,
                seal_after_ms=record.seal_after_ms,
            )
        case Sealed():
            return Kind.SEALED, record_pb2.Sealed(
                auction_id=record.auction_id,
                problem_digest=record.problem_digest,
                sealed_ms=record.sealed_ms,
                deadline_ms=record.deadline_ms,
                solvers=[
                    record_pb2.SolverKey(name=s.name, public_key=s.public_key)
                    for s in record.solvers
                ],
                dispatch_digest=record.dispatch_digest,
                canaries_digest=record.canaries_digest,
            )
        case BidReceived():
            return Kind.BID_RECEIVED, record_pb2.BidReceived(
                auction_id=record.auction_id,
                bid_digest=record.bid_digest,
                solver=record.solver,
                received_ms=record.received_ms,
            )
        case BidRejectedRecord():
            return Kind.BID_REJECTED, record_pb2.BidRejected(
                auction_id=record.auction_id,
                bid_digest=record.bid_digest,
                reason=record.reason,
                details=[record_pb2.Detail(name=n, value=v) for n, v in record.details],
            )
        case Closed():
            return Kind.CLOSED, record_pb2.Closed(
                auction_id=record.auction_id,
                problem_digest=record.problem_digest,
                bids=record.bids,
                bids_digest=record.bids_digest,
            )
        case Awarded():
            return Kind.AWARDED, record_pb2.Awarded(
                auction_id=record.auction_id, bundle_digest=record.bundle_digest
            )
        case Settled():
            return Kind.SETTLED, record_pb2.Settled(
                auction_id=record.auction_id,
                bundle_digest=record.bundle_digest,
                balances_digest=record.balances_digest,
                venues_digest=record.venues_digest,
            )
        case Voided():
            return Kind.VOIDED, record_pb2.Voided(
                auction_id=record.auction_id, reason=record.reason
            )
        case Observed():
            return Kind.OBSERVED, fleet.observed_to_wire(record)
        case FleetChanged():
            return Kind.FLEET, fleet.changed_to_wire(record)
        case FleetUpdate():
            return Kind.FLEET_UPDATE, fleet.update_to_wire(record)
        case VenuesWatched():
            return Kind.VENUES_WATCHED, fleet.watched_to_wire(record)
        case Challenge():
            return Kind.CHALLENGE, fleet.challenge_to_wire(record)
        case Echo():
            return Kind.ECHO, fleet.echo_to_wire(record)
        case Observations():
            return Kind.OBSERVATIONS, fleet.observations_to_wire(record)


def _cancel(body: bytes) -> Cancel:
    m = parse(record_pb2.Cancel, body)
    return Cancel(check_domain(m.domain), check_owner(m.owner), _digest(m.intent_id, "intent_id"))


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
    _distinct((asset.id for asset in assets), "assets")
    _distinct(m.removed_venues, "removed_venues")
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


def _opened(body: bytes) -> Opened:
    m = parse(record_pb2.Opened, body)
    return Opened(
        m.auction_id, _digest(m.rules_digest, "rules_digest"), m.opened_ms, m.seal_after_ms
    )


def _sealed(body: bytes) -> Sealed:
    m = parse(record_pb2.Sealed, body)
    solvers = tuple(SolverKey(s.name, check_owner(s.public_key)) for s in m.solvers)
    _distinct((solver.public_key for solver in solvers), "solvers")
    return Sealed(
        m.auction_id,
        _digest(m.problem_digest, "problem_digest"),
        m.sealed_ms,
        m.deadline_ms,
        solvers,
        _digest(m.dispatch_digest, "dispatch_digest") if m.dispatch_digest else b"",
        _digest(m.canaries_digest, "canaries_digest"),
    )


def _bid_received(body: bytes) -> BidReceived:
    m = parse(record_pb2.BidReceived, body)
    return BidReceived(
        m.auction_id, _digest(m.bid_digest, "bid_digest"), check_owner(m.solver), m.received_ms
    )


def _bid_rejected(body: bytes) -> BidRejectedRecord:
    m = parse(record_pb2.BidRejected, body)
    return BidRejectedRecord(
        m.auction_id,
        _digest(m.bid_digest, "bid_digest"),
        m.reason,
        tuple((d.name, d.value) for d in m.details),
    )


def _closed(body: bytes) -> Closed:
    m = parse(record_pb2.Closed, body)
    return Closed(
        m.auction_id,
        _digest(m.problem_digest, "problem_digest"),
        m.bids,
        _digest(m.bids_digest, "bids_digest"),
    )


def _awarded(body: bytes) -> Awarded:
    m = parse(record_pb2.Awarded, body)
    return Awarded(m.auction_id, _digest(m.bundle_digest, "bundle_digest"))


def _settled(body: bytes) -> Settled:
    m = parse(record_pb2.Settled, body)
    return Settled(
        m.auction_id,
        _digest(m.bundle_digest, "bundle_digest"),
        _digest(m.balances_digest, "balances_digest"),
        _digest(m.venues_digest, "venues_digest"),
    )


def _voided(body: bytes) -> Voided:
    m = parse(record_pb2.Voided, body)
    return Voided(m.auction_id, m.reason)


_DECODERS: dict[Kind, Callable[[bytes], Signed]] = {
    Kind.INTENT: decode_intent,
    Kind.CANCEL: _cancel,
    Kind.WITHDRAWAL: _withdrawal,
    Kind.DEPOSIT: _deposit,
    Kind.MARKET: _market,
    Kind.BID: decode_bid,
    Kind.BUNDLE: decode_bundle,
    Kind.GENESIS: _genesis,
    Kind.RULES: _rules,
    Kind.OPENED: _opened,
    Kind.SEALED: _sealed,
    Kind.BID_RECEIVED: _bid_received,
    Kind.BID_REJECTED: _bid_rejected,
    Kind.CLOSED: _closed,
    Kind.AWARDED: _awarded,
    Kind.SETTLED: _settled,
    Kind.VOIDED: _voided,
    Kind.OBSERVED: fleet.decode_observed,
    Kind.FLEET: fleet.decode_changed,
    Kind.FLEET_UPDATE: fleet.decode_update,
    Kind.VENUES_WATCHED: fleet.decode_watched,
    Kind.CHALLENGE: fleet.decode_challenge,
    Kind.ECHO: fleet.decode_echo,
    Kind.OBSERVATIONS: fleet.decode_observations,
}


def _digest(value: bytes, name: str) -> bytes:
    if len(value) != 32:
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} must have 32 bytes", field=name)
    return value


def _distinct(values: Iterable[Any], name: str) -> None:
    seen = list(values)
    if len(set(seen)) != len(seen):
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} holds something twice", field=name)
