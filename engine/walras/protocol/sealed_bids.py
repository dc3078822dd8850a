"""Records of a bidding with sealed bids, and of when they came (protocol §5): values and bytes.

Task ──▶ solver ── Commitment ──▶ engine ── BidReceipt ──▶ solver
engine logs Committed ──▶ solver ── Opening ──▶ engine logs a bid, or BidUnopened
"""

from collections.abc import Iterable
from dataclasses import dataclass

from walras.api.v1 import record_pb2
from walras.core.errors import InvalidInput, Reason
from walras.protocol.values import check_digest, check_domain, check_owner
from walras.protocol.wire import parse

SALT_BYTES = 32
MAX_COMMITMENT_BYTES = 1_024
"""Of a commitment's envelope; what is longer is none."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the engine asked a solver for, signed by the engine.

    Attributes:
        domain: the engine.
        auction_id: of the batch.
        solver: who was asked.
        parts: SHA-256 of each part's bytes.
        sent_ms: when, by the engine's clock.
        deadline_ms: bids, or commitments to them, count until then.
        bid_key: X25519, 32 bytes, that openings are sealed to; empty where bids come in the open.
    """

    domain: str
    auction_id: int
    solver: bytes
    parts: tuple[bytes, ...]
    sent_ms: int
    deadline_ms: int
    bid_key: bytes = b""


@dataclass(frozen=True, slots=True)
class Commitment:
    """A bid that is not shown yet, signed by its solver.

    Attributes:
        domain: the engine.
        auction_id: of the batch.
        solver: who signs this and the bid.
        part_digest: which part it is for.
        commitment: SHA-256(the bid's envelope ‖ salt).
        task_digest: SHA-256 of the Task's envelope.
        received_ms: when that came, by the solver's clock.
    """

    domain: str
    auction_id: int
    solver: bytes
    part_digest: bytes
    commitment: bytes
    task_digest: bytes
    received_ms: int


@dataclass(frozen=True, slots=True)
class BidReceipt:
    """When a solver's commitments, openings or open bids came, signed by the engine.

    Attributes:
        domain: the engine.
        auction_id: of the batch.
        solver: whose.
        digests: SHA-256 of each envelope that came.
        received_ms: when, by the engine's clock.
        opened: of openings: the commitment that each opens, in their order; else none.
    """

    domain: str
    auction_id: int
    solver: bytes
    digests: tuple[bytes, ...]
    received_ms: int
    opened: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceivedCommitment:
    """What came in as a commitment.

    Attributes:
        envelope: the bytes, whatever they are.
        solver: the key of the node that sent it.
        received_ms: when.
    """

    envelope: bytes
    solver: bytes
    received_ms: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The set of commitments is closed; no bid was open yet.

    Attributes:
        auction_id: of the batch.
        commitments: how many there are.
        commitments_digest: SHA-256 of their list, the name of its blob.
        closed_ms: when.
        open_until_ms: openings that come until then count.
    """

    auction_id: int
    commitments: int
    commitments_digest: bytes
    closed_ms: int
    open_until_ms: int


@dataclass(frozen=True, slots=True)
class Opening:
    """A bid on its way to the engine, signed by its solver.

    Attributes:
        domain: the engine.
        auction_id: of the batch.
        solver: who signs this and the bid.
        commitment: that it opens.
        sealed: the bid's envelope and its salt, in a SealedBox for the auction's key.
    """

    domain: str
    auction_id: int
    solver: bytes
    commitment: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class BidUnopened:
    """A commitment that came to no bid.

    Attributes:
        auction_id: of the batch.
        place: in the list of commitments.
        solver: who sent it.
        reason: why.
        opening_digest: SHA-256 of the opening's envelope, the name of its blob; empty where none
            came.
    """

    auction_id: int
    place: int
    solver: bytes
    reason: str
    opening_digest: bytes = b""


BidRecord = Task | Commitment | BidReceipt | Committed | Opening | BidUnopened


def task_to_wire(record: Task) -> record_pb2.Task:
    return record_pb2.Task(
        domain=record.domain,
        auction_id=record.auction_id,
        solver=record.solver,
        parts=record.parts,
        sent_ms=record.sent_ms,
        deadline_ms=record.deadline_ms,
        bid_key=record.bid_key,
    )


def decode_task(body: bytes) -> Task:
    m = parse(record_pb2.Task, body)
    return Task(
        check_domain(m.domain),
        m.auction_id,
        check_owner(m.solver),
        tuple(check_digest(digest, "parts") for digest in m.parts),
        m.sent_ms,
        m.deadline_ms,
        check_digest(m.bid_key, "bid_key") if m.bid_key else b"",
    )


def commitment_to_wire(record: Commitment) -> record_pb2.Commitment:
    return record_pb2.Commitment(
        domain=record.domain,
        auction_id=record.auction_id,
        solver=record.solver,
        part_digest=record.part_digest,
        commitment=record.commitment,
        task_digest=record.task_digest,
        received_ms=record.received_ms,
    )


def decode_commitment(body: bytes) -> Commitment:
    m = parse(record_pb2.Commitment, body)
    return Commitment(
        check_domain(m.domain),
        m.auction_id,
        check_owner(m.solver),
        check_digest(m.part_digest, "part_digest"),
        check_digest(m.commitment, "commitment"),
        check_digest(m.task_digest, "task_digest"),
        m.received_ms,
    )


def receipt_to_wire(record: BidReceipt) -> record_pb2.BidReceipt:
    return record_pb2.BidReceipt(
        domain=record.domain,
        auction_id=record.auction_id,
        solver=record.solver,
        digests=record.digests,
        received_ms=record.received_ms,
        opened=record.opened,
    )


def decode_receipt(body: bytes) -> BidReceipt:
    m = parse(record_pb2.BidReceipt, body)
    if m.opened and len(m.opened) != len(m.digests):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "a receipt of openings names a commitment for each",
            field="opened",
        )
    return BidReceipt(
        check_domain(m.domain),
        m.auction_id,
        check_owner(m.solver),
        tuple(check_digest(digest, "digests") for digest in m.digests),
        m.received_ms,
        tuple(check_digest(digest, "opened") for digest in m.opened),
    )


def committed_to_wire(record: Committed) -> record_pb2.Committed:
    return record_pb2.Committed(
        auction_id=record.auction_id,
        commitments=record.commitments,
        commitments_digest=record.commitments_digest,
        closed_ms=record.closed_ms,
        open_until_ms=record.open_until_ms,
    )


def decode_committed(body: bytes) -> Committed:
    m = parse(record_pb2.Committed, body)
    digest = check_digest(m.commitments_digest, "commitments_digest")
    return Committed(m.auction_id, m.commitments, digest, m.closed_ms, m.open_until_ms)


def opening_to_wire(record: Opening) -> record_pb2.Opening:
    return record_pb2.Opening(
        domain=record.domain,
        auction_id=record.auction_id,
        solver=record.solver,
        commitment=record.commitment,
        sealed=record.sealed,
    )


def decode_opening(body: bytes) -> Opening:
    m = parse(record_pb2.Opening, body)
    return Opening(
        check_domain(m.domain),
        m.auction_id,
        check_owner(m.solver),
        check_digest(m.commitment, "commitment"),
        m.sealed,
    )


def unopened_to_wire(record: BidUnopened) -> record_pb2.BidUnopened:
    return record_pb2.BidUnopened(
        auction_id=record.auction_id,
        place=record.place,
        solver=record.solver,
        reason=record.reason,
        opening_digest=record.opening_digest,
    )


def decode_unopened(body: bytes) -> BidUnopened:
    m = parse(record_pb2.BidUnopened, body)
    return BidUnopened(
        m.auction_id,
        m.place,
        check_owner(m.solver),
        m.reason,
        check_digest(m.opening_digest, "opening_digest") if m.opening_digest else b"",
    )


def encode_commitments(commitments: Iterable[ReceivedCommitment]) -> bytes:
    """The blob that a Committed record names."""
    return record_pb2.Commitments(
        commitments=[
            record_pb2.ReceivedCommitment(
                envelope=one.envelope, solver=one.solver, received_ms=one.received_ms
            )
            for one in commitments
        ]
    ).SerializeToString(deterministic=True)


def decode_commitments(body: bytes) -> tuple[ReceivedCommitment, ...]:
    """The list in the blob; InvalidInput where it is malformed."""
    m = parse(record_pb2.Commitments, body)
    return tuple(
        ReceivedCommitment(one.envelope, check_owner(one.solver), one.received_ms)
        for one in m.commitments
    )
