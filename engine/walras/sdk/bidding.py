"""A node's side of one bidding: what it committed to, what it has receipts for, what it opens.

Whoever runs a node keeps tasks, receipts and closings: with them it can show that it was asked,
that it was in time, and that its commitment was left out, if it was.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes

from walras.api.v1 import solver_service_pb2 as pb
from walras.audit import envelope
from walras.audit.bindings import open_by_any
from walras.audit.keys import Signer
from walras.audit.merkle import leaf_hash, verify_inclusion
from walras.audit.note import NoteKey
from walras.audit.openings import commitment_to, is_bid_key, seal_bid
from walras.core.errors import InvalidInput, Reason
from walras.protocol.records import Kind
from walras.protocol.sealed_bids import (
    SALT_BYTES,
    Commitment,
    Opening,
    Task,
    decode_commitments,
    decode_committed,
    decode_receipt,
    decode_task,
)
from walras.sdk.signing import sign_record

Keep = Callable[[str, bytes], None]
"""Called with every task, receipt and closing that comes: its kind, and its bytes."""


@dataclass(slots=True)
class Bidding:
    """One call of an engine.

    Attributes:
        signer: the node's.
        task: what was asked for; None where the caller did not say, and bids are open.
        engine: who signed the task.
        task_digest: SHA-256 of its envelope.
        received_ms: when it came.
    """

    signer: Signer
    task: Task | None = None
    engine: bytes = b""
    task_digest: bytes = b""
    received_ms: int = 0
    _bids: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    _acknowledged: set[bytes] = field(default_factory=set)
    _sent: dict[bytes, bytes] = field(default_factory=dict)
    _opened: set[bytes] = field(default_factory=set)

    @property
    def unreceipted(self) -> int:
        """Openings for which the engine has given no receipt yet."""
        return len(self._opened)

    @property
    def sealed(self) -> bool:
        """Whether bids are committed to before they are shown."""
        return self.task is not None and bool(self.task.bid_key)

    def answer(self, part_digest: bytes, bid: bytes) -> bytes:
        """What is sent for a bid's envelope: the bid, or a commitment to it. From any thread."""
        if self.task is None or not self.task.bid_key:
            return bid
        salt = token_bytes(SALT_BYTES)
        hidden = commitment_to(bid, salt)
        record = Commitment(
            self.task.domain,
            self.task.auction_id,
            self.signer.public_key,
            part_digest,
            hidden,
            self.task_digest,
            self.received_ms,
        )
        made = sign_record(record, self.signer)
        self._sent[sha256(made).digest()] = hidden
        self._bids[hidden] = (bid, salt)
        return made

    def acknowledge(self, receipt: bytes) -> None:
        """The engine says when answers came.

        Raises:
            InvalidInput: for what is no receipt of this engine for this node and auction.
        """
        if self.task is None:
            raise InvalidInput(Reason.FIELD_INVALID, "a receipt came without a task")
        signed = envelope.open_envelope(receipt, Kind.BID_RECEIPT.payload_type, self.engine)
        found = decode_receipt(signed.body)
        if (found.domain, found.auction_id, found.solver) != (
            self.task.domain,
            self.task.auction_id,
            self.signer.public_key,
        ):
            raise InvalidInput(Reason.FIELD_INVALID, "the receipt is for another task")
        if found.opened:
            self._opened.difference_update(found.digests)
        elif found.received_ms <= self.task.deadline_ms:
            self._acknowledged.update(found.digests)

    def open(self, closing: pb.Closing, log_keys: Sequence[NoteKey]) -> Iterator[bytes]:
        """The openings of those bids whose commitments are in the closed set.

        Args:
            closing: as the engine sent it.
            log_keys: of the engine's log, to see that the closing is in it; none: not looked at.

        Raises:
            InvalidInput, AuditFailure: the closing is not the engine's, is not in its log, or
                leaves a commitment out that it gave a receipt for: COMMITMENT_MISMATCH.
        """
        if self.task is None:
            return
        kind = Kind.COMMITTED.payload_type
        record = decode_committed(envelope.open_envelope(closing.committed, kind, self.engine).body)
        if record.auction_id != self.task.auction_id or (
            sha256(closing.commitments).digest() != record.commitments_digest
        ):
            raise InvalidInput(
                Reason.COMMITMENT_MISMATCH, "the closing is of another auction or list"
            )
        if log_keys:
            checkpoint = open_by_any(closing.checkpoint, log_keys)
            verify_inclusion(
                leaf_hash(closing.committed),
                closing.inclusion.leaf_index,
                checkpoint.size,
                tuple(closing.inclusion.hashes),
                checkpoint.root,
            )
        came = {sha256(one.envelope).digest() for one in decode_commitments(closing.commitments)}
        if missing := (self._acknowledged & self._sent.keys()) - came:
            raise InvalidInput(
                Reason.COMMITMENT_MISMATCH,
                f"{len(missing)} commitments are left out that came in time by their receipts",
                first=min(missing).hex(),
            )
        for digest, hidden in list(self._sent.items()):
            if digest in came:
                bid, salt = self._bids[hidden]
                sealed = seal_bid(bid, salt, self.task.bid_key)
                opening = Opening(
                    self.task.domain, self.task.auction_id, self.signer.public_key, hidden, sealed
                )
                made = sign_record(opening, self.signer)
                self._opened.add(sha256(made).digest())
                yield made


def begin(request: pb.SolveRequest, signer: Signer, now_ms: int) -> Bidding:
    """The bidding that a first request asks for.

    Raises:
        InvalidInput: its task is none, is for another node, or does not name the request's parts.
    """
    if not request.task:
        return Bidding(signer)
    signed = envelope.open_envelope(request.task, Kind.TASK.payload_type)
    task = decode_task(signed.body)
    if task.solver != signer.public_key:
        raise InvalidInput(Reason.FIELD_INVALID, "the task is for another node", field="solver")
    if not {part.problem_digest for part in request.parts} <= set(task.parts):
        raise InvalidInput(Reason.DIGEST_WRONG, "the task does not name the request's parts")
    if task.bid_key and not is_bid_key(task.bid_key):
        raise InvalidInput(Reason.PUBLIC_KEY_INVALID, "the task's bid key is none")
    return Bidding(signer, task, signed.signer, sha256(request.task).digest(), now_ms)
