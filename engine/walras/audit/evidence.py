"""What a node kept of an engine's word, held against the engine's log (protocol §9).

A task says until when bids count, a receipt when a bid, a commitment or an opening came, and a
closing which set of commitments was closed. The engine signed each. Where the log says otherwise,
either the log or the engine's word is false, and both are in hand.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from walras.audit import envelope
from walras.audit.bindings import EngineKeys, follow
from walras.audit.note import NoteKey
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.protocol.codec import decode
from walras.protocol.dispatch import decode_dispatch
from walras.protocol.records import KIND_OF_TYPE, BidReceived, Closed, Kind, Opened, Sealed, Voided
from walras.protocol.sealed_bids import (
    BidReceipt,
    BidUnopened,
    Committed,
    ReceivedCommitment,
    Task,
    decode_commitment,
    decode_commitments,
)

Blob = Callable[[bytes], bytes]

_RECORDS = (Opened, Sealed, Committed, BidReceived, BidUnopened, Closed, Voided)
_KINDS = {
    Kind.OPENED,
    Kind.SEALED,
    Kind.COMMITTED,
    Kind.BID_RECEIVED,
    Kind.BID_UNOPENED,
    Kind.CLOSED,
    Kind.VOIDED,
}


@dataclass(slots=True)
class Evidence:
    """What was held against the log.

    Attributes:
        tasks, receipts, closings: that agree with it.
        void: that are of batches which ended before anything was closed: they prove no wrong.
        later: that are of batches, or of what comes in them, which the log does not reach.
    """

    tasks: int = 0
    receipts: int = 0
    closings: int = 0
    void: int = 0
    later: int = 0


@dataclass(slots=True)
class _Auction:
    """What the log says of one; `times` by the digest of what came, maybe more than once."""

    sealed: Sealed | None = None
    sealed_at: int = 0
    committed_leaf: bytes = b""
    times: dict[bytes, set[int]] | None = None
    closed: Committed | None = None
    listed: tuple[ReceivedCommitment, ...] = ()
    missing: set[tuple[bytes, bytes]] = field(default_factory=set)
    """(solver, commitment) of those that are said not to have been opened."""
    voided: bool = False
    ended: bool = False


def encode_evidence(envelopes: Iterable[bytes]) -> bytes:
    """As a file: each envelope behind its length, two bytes, big-endian.

    Raises:
        InvalidInput: MESSAGE_TOO_LARGE for one of more than 65,535 bytes.
    """
    made = []
    for one in envelopes:
        if len(one) > envelope.MAX_ENVELOPE_BYTES:
            raise InvalidInput(Reason.MESSAGE_TOO_LARGE, "evidence is of 65,535 bytes at most")
        made += [len(one).to_bytes(2, "big"), one]
    return b"".join(made)


def decode_evidence(data: bytes) -> Iterator[bytes]:
    """The envelopes in a file.

    Raises:
        InvalidInput: ENVELOPE_MALFORMED where it ends within one.
    """
    at = 0
    while at < len(data):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data) or start > len(data):
            raise InvalidInput(Reason.ENVELOPE_MALFORMED, "the evidence ends within an envelope")
        yield data[start:at]


def check_evidence(
    entries: Sequence[bytes], blob: Blob, engine: bytes, domain: str, kept: Iterable[bytes]
) -> Evidence:
    """Hold what a node kept against a log that was audited.

    Args:
        entries: of the log, from the first.
        blob: the bytes of a SHA-256.
        engine: any key that it has had.
        domain: its name.
        kept: envelopes of tasks, receipts and closings.

    Raises:
        AuditFailure: RECEIPT_BROKEN: the log is not what the engine's word says.
        InvalidInput: the evidence is none: not the engine's, or of another kind or domain.
    """
    auctions = _auctions(entries, blob)
    keys = follow(enumerate(entries), NoteKey(domain, engine))
    last = max(auctions, default=0)
    found = Evidence()
    for data in kept:
        signed = envelope.open_envelope(data, _kind(data))
        _check_signer(signed.signer, None, keys)
        record = decode(KIND_OF_TYPE[signed.payload_type], signed.body)
        if not isinstance(record, Task | BidReceipt | Committed):
            raise InvalidInput(
                Reason.PAYLOAD_TYPE_WRONG, f"{signed.payload_type} is no evidence of a node"
            )
        if not isinstance(record, Committed) and record.domain != domain:
            raise InvalidInput(Reason.DOMAIN_WRONG, "the evidence is of another engine")
        auction = auctions.get(record.auction_id)
        _check_signer(signed.signer, auction, keys)
        if auction is None and record.auction_id <= last:
            raise _broken(record.auction_id, "the log has no such auction")
        if auction is None or _is_later(record, auction):
            found.later += 1
        else:
            _check(record, data, auction, blob, found)
    return found


def _check_signer(signer: bytes, auction: _Auction | None, keys: EngineKeys) -> None:
    """Refuse whoever was not the engine when the auction was sealed."""
    known = keys.all
    if auction is not None and auction.sealed is not None:
        known = (keys.at(auction.sealed_at),)
    if signer not in {key.public_key for key in known}:
        raise InvalidInput(
            Reason.SIGNER_UNKNOWN,
            "the evidence is signed by another key than the engine's at that time",
            signer=signer.hex(),
        )


def _is_later(record: Task | BidReceipt | Committed, auction: _Auction) -> bool:
    """Whether the log ends before what would agree with this, or break it."""
    if auction.ended:
        return False
    match record:
        case Task():
            return auction.sealed is None
        case Committed():
            return auction.closed is None
        case BidReceipt():
            # What openings come to is logged with the batch's end.
            return bool(record.opened) or auction.times is None


def _check(
    record: Task | BidReceipt | Committed,
    data: bytes,
    auction: _Auction,
    blob: Blob,
    found: Evidence,
) -> None:
    number = record.auction_id
    match record:
        case Committed():
            if auction.committed_leaf != data:
                raise _broken(number, "another closing than the log's was shown to the node")
            found.closings += 1
        case Task():
            _check_task(record, auction, blob)
            found.tasks += 1
        case BidReceipt():
            sealed = auction.sealed
            if record.opened:
                _check_openings(record, auction, found)
            elif sealed is None or record.received_ms > sealed.deadline_ms:
                found.receipts += 1  # it says itself that it was late
            elif auction.times is None and auction.voided:
                found.void += 1
            else:
                times = auction.times or {}
                if any(record.received_ms not in times.get(one, ()) for one in record.digests):
                    raise _broken(number, "what came in time by its receipt is not in the log")
                found.receipts += 1


def _check_openings(record: BidReceipt, auction: _Auction, found: Evidence) -> None:
    closed = auction.closed
    if auction.voided:
        found.void += 1
        return
    if closed is None:
        raise _broken(record.auction_id, "openings came to a batch whose set was never closed")
    claimed = {(record.solver, one) for one in record.opened}
    if record.received_ms <= closed.open_until_ms and not auction.missing.isdisjoint(claimed):
        raise _broken(record.auction_id, "an opening that came in time is said to be missing")
    found.receipts += 1


def _check_task(record: Task, auction: _Auction, blob: Blob) -> None:
    sealed, number = auction.sealed, record.auction_id
    if sealed is None:
        raise _broken(number, "a node was asked for a batch that was never sealed")
    if (record.deadline_ms, record.bid_key) != (sealed.deadline_ms, sealed.bid_key):
        raise _broken(number, "the node was told another deadline or key than the log has")
    plan = decode_dispatch(blob(sealed.dispatch_digest)) if sealed.dispatch_digest else None
    asked = {
        part.part_digest
        for part in (plan.parts if plan else ())
        if plan is not None
        and any(plan.nodes[place].public_key == record.solver for place in part.nodes)
    }
    if not asked.issuperset(record.parts):
        raise _broken(number, "the node was asked for parts that the log does not give it")


def _auctions(entries: Iterable[bytes], blob: Blob) -> dict[int, _Auction]:
    found: dict[int, _Auction] = {}
    for index, leaf in enumerate(entries):
        signed = envelope.decode(leaf)
        kind = KIND_OF_TYPE[signed.payload_type]
        if kind not in _KINDS:
            continue
        record = decode(kind, signed.body)
        if not isinstance(record, _RECORDS):
            continue
        auction = found.setdefault(record.auction_id, _Auction())
        match record:
            case Sealed():
                auction.sealed, auction.sealed_at = record, index
            case Committed():
                auction.committed_leaf = leaf
                times = auction.times = {}
                auction.closed = record
                auction.listed = decode_commitments(blob(record.commitments_digest))
                for one in auction.listed:
                    times.setdefault(sha256(one.envelope).digest(), set()).add(one.received_ms)
            case BidReceived() if not record.salt:
                times = auction.times = auction.times or {}
                times.setdefault(record.bid_digest, set()).add(record.received_ms)
            case BidUnopened() if record.reason == Reason.OPENING_MISSING.value:
                sent = envelope.decode(auction.listed[record.place].envelope)
                auction.missing.add((record.solver, decode_commitment(sent.body).commitment))
            case Closed():
                auction.ended = True
            case Voided():
                auction.voided = auction.ended = True
    return found


def _kind(data: bytes) -> str:
    return envelope.decode(data).payload_type


def _broken(number: int, why: str) -> AuditFailure:
    return AuditFailure(Reason.RECEIPT_BROKEN, f"auction {number}: {why}", auction_id=str(number))
