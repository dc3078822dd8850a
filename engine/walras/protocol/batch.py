"""Records of a batch, from its opening to its end: values to wire and back."""

from collections.abc import Mapping
from dataclasses import replace

from walras.api.v1 import record_pb2
from walras.core.errors import InvalidInput, Reason
from walras.protocol.records import (
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Closed,
    Observed,
    Opened,
    QuarantinedVenue,
    Sealed,
    Settled,
    VenuesWatched,
    Voided,
)
from walras.protocol.values import check_ascending, check_digest, check_owner
from walras.protocol.wire import parse

MAX_WATCHED: Mapping[str, int] = {
    "quarantined": 24,
    "released": 96,
}
"""In one record of the watch: it fits a log entry, which has at most 65,535 bytes."""

MAX_CANARIES = 1_024
"""In one batch, likewise."""


def opened_to_wire(record: Opened) -> record_pb2.Opened:
    return record_pb2.Opened(
        auction_id=record.auction_id,
        rules_digest=record.rules_digest,
        opened_ms=record.opened_ms,
        seal_after_ms=record.seal_after_ms,
    )


def decode_opened(body: bytes) -> Opened:
    m = parse(record_pb2.Opened, body)
    return Opened(
        m.auction_id, check_digest(m.rules_digest, "rules_digest"), m.opened_ms, m.seal_after_ms
    )


def sealed_to_wire(record: Sealed) -> record_pb2.Sealed:
    return record_pb2.Sealed(
        auction_id=record.auction_id,
        problem_digest=record.problem_digest,
        sealed_ms=record.sealed_ms,
        deadline_ms=record.deadline_ms,
        dispatch_digest=record.dispatch_digest,
        canaries_digest=record.canaries_digest,
        bid_key=record.bid_key,
    )


def decode_sealed(body: bytes) -> Sealed:
    m = parse(record_pb2.Sealed, body)
    return Sealed(
        m.auction_id,
        check_digest(m.problem_digest, "problem_digest"),
        m.sealed_ms,
        m.deadline_ms,
        check_digest(m.dispatch_digest, "dispatch_digest") if m.dispatch_digest else b"",
        check_digest(m.canaries_digest, "canaries_digest"),
        check_digest(m.bid_key, "bid_key") if m.bid_key else b"",
    )


def received_to_wire(record: BidReceived) -> record_pb2.BidReceived:
    return record_pb2.BidReceived(
        auction_id=record.auction_id,
        bid_digest=record.bid_digest,
        solver=record.solver,
        received_ms=record.received_ms,
        salt=record.salt,
    )


def decode_received(body: bytes) -> BidReceived:
    m = parse(record_pb2.BidReceived, body)
    return BidReceived(
        m.auction_id,
        check_digest(m.bid_digest, "bid_digest"),
        check_owner(m.solver),
        m.received_ms,
        check_digest(m.salt, "salt") if m.salt else b"",
    )


def rejected_to_wire(record: BidRejectedRecord) -> record_pb2.BidRejected:
    return record_pb2.BidRejected(
        auction_id=record.auction_id,
        bid_digest=record.bid_digest,
        reason=record.reason,
        details=[record_pb2.Detail(name=n, value=v) for n, v in record.details],
    )


def decode_rejected(body: bytes) -> BidRejectedRecord:
    m = parse(record_pb2.BidRejected, body)
    return BidRejectedRecord(
        m.auction_id,
        check_digest(m.bid_digest, "bid_digest"),
        m.reason,
        tuple((d.name, d.value) for d in m.details),
    )


def closed_to_wire(record: Closed) -> record_pb2.Closed:
    return record_pb2.Closed(
        auction_id=record.auction_id,
        problem_digest=record.problem_digest,
        bids=record.bids,
        bids_digest=record.bids_digest,
        bid_secret=record.bid_secret,
    )


def decode_closed(body: bytes) -> Closed:
    m = parse(record_pb2.Closed, body)
    return Closed(
        m.auction_id,
        check_digest(m.problem_digest, "problem_digest"),
        m.bids,
        check_digest(m.bids_digest, "bids_digest"),
        check_digest(m.bid_secret, "bid_secret") if m.bid_secret else b"",
    )


def awarded_to_wire(record: Awarded) -> record_pb2.Awarded:
    return record_pb2.Awarded(
        auction_id=record.auction_id,
        bundle_digest=record.bundle_digest,
        tie_proof=record.tie_proof,
        certificate_digest=record.certificate_digest,
    )


def decode_awarded(body: bytes) -> Awarded:
    m = parse(record_pb2.Awarded, body)
    return Awarded(
        m.auction_id,
        check_digest(m.bundle_digest, "bundle_digest"),
        m.tie_proof,
        check_digest(m.certificate_digest, "certificate_digest"),
    )


def settled_to_wire(record: Settled) -> record_pb2.Settled:
    return record_pb2.Settled(
        auction_id=record.auction_id,
        bundle_digest=record.bundle_digest,
        balances_digest=record.balances_digest,
        venues_digest=record.venues_digest,
    )


def decode_settled(body: bytes) -> Settled:
    m = parse(record_pb2.Settled, body)
    return Settled(
        m.auction_id,
        check_digest(m.bundle_digest, "bundle_digest"),
        check_digest(m.balances_digest, "balances_digest"),
        check_digest(m.venues_digest, "venues_digest"),
    )


def voided_to_wire(record: Voided) -> record_pb2.Voided:
    return record_pb2.Voided(auction_id=record.auction_id, reason=record.reason)


def decode_voided(body: bytes) -> Voided:
    m = parse(record_pb2.Voided, body)
    return Voided(m.auction_id, m.reason)


def observed_to_wire(record: Observed) -> record_pb2.Observed:
    """The message of an auction's observations."""
    return record_pb2.Observed(
        auction_id=record.auction_id,
        at_ms=record.at_ms,
        calls_digest=record.calls_digest,
        canary_salt=record.canary_salt,
        canaries=record.canaries,
    )


def decode_observed(body: bytes) -> Observed:
    """The observations that `body` encodes."""
    m = parse(record_pb2.Observed, body)
    if len(m.canaries) > MAX_CANARIES:
        raise InvalidInput(Reason.FIELD_INVALID, f"a batch has at most {MAX_CANARIES} canaries")
    return Observed(
        m.auction_id,
        m.at_ms,
        check_digest(m.calls_digest, "calls_digest"),
        check_digest(m.canary_salt, "canary_salt"),
        check_ascending((check_digest(c, "canaries") for c in m.canaries), "canaries"),
    )


def watched_to_wire(record: VenuesWatched) -> record_pb2.VenuesWatched:
    """The message of what the watch over venues changed."""
    return record_pb2.VenuesWatched(
        at_ms=record.at_ms,
        quarantined=[
            record_pb2.QuarantinedVenue(
                venue=q.venue,
                rule=q.rule,
                details=[record_pb2.Detail(name=n, value=v) for n, v in q.details],
            )
            for q in record.quarantined
        ],
        released=record.released,
    )


def decode_watched(body: bytes) -> VenuesWatched:
    """What the watch over venues changed, as `body` encodes it."""
    m = parse(record_pb2.VenuesWatched, body)
    for name, most in MAX_WATCHED.items():
        if len(getattr(m, name)) > most:
            raise InvalidInput(
                Reason.FIELD_INVALID, f"a record of the watch has at most {most} {name}", field=name
            )
    return VenuesWatched(
        m.at_ms,
        tuple(
            QuarantinedVenue(q.venue, q.rule, tuple((d.name, d.value) for d in q.details))
            for q in m.quarantined
        ),
        tuple(m.released),
    )


def pages(watched: VenuesWatched) -> list[VenuesWatched]:
    """What the watch changed, in as many records as it takes: one wrong price takes out thousands
    of venues.
    """
    lists = {name: getattr(watched, name) for name in MAX_WATCHED}
    count = max(-(-len(lists[name]) // most) for name, most in MAX_WATCHED.items())
    return [
        replace(
            watched,
            **{name: lists[name][n * most : (n + 1) * most] for name, most in MAX_WATCHED.items()},
        )
        for n in range(count)
    ]


def is_page(watched: VenuesWatched) -> bool:
    """Whether another record may go on where this one ends."""
    return any(len(getattr(watched, name)) == most for name, most in MAX_WATCHED.items())
