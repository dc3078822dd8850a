"""The bidding of one batch, replayed: what came, what of it counts, and what became of it.

Where bids are sealed, the set of commitments stands in the log before any bid; each commitment then
comes, in its order, to a bid or to a record that says why not.
"""

from collections.abc import Sequence

from walras.auction.batch import ClosedBatch
from walras.auction.commitments import CommittedBatch, close_commitments
from walras.audit.openings import commitment_to, public_bid_key
from walras.audit.phases import Bidding, Blob
from walras.core.errors import AuditFailure, BidRejected, Reason, WalrasError
from walras.protocol.records import BidReceived, BidRejectedRecord, Closed
from walras.protocol.sealed_bids import (
    BidUnopened,
    Commitment,
    Committed,
    ReceivedCommitment,
    decode_commitments,
)


def commit(phase: Bidding, record: Committed, blob: Blob) -> None:
    """The set of commitments is closed.

    Raises:
        AuditFailure: RECORD_OUT_OF_ORDER or COMMITMENT_MISMATCH.
    """
    batch = phase.batch
    if not batch.bid_key or phase.committed is not None:
        raise AuditFailure(
            Reason.RECORD_OUT_OF_ORDER, "commitments are closed twice, or where bids are open"
        )
    received = decode_commitments(blob(record.commitments_digest))
    for one in received:
        if one.solver not in batch.solvers:
            raise AuditFailure(
                Reason.RECORD_UNAUTHORISED, "a commitment of a solver that was not asked was taken"
            )
        _check_time(batch.deadline_ms, one.received_ms, "commitment")
    phase.committed = close_commitments(batch, received, record.closed_ms, record.open_until_ms)
    if phase.committed.record() != record or record.open_until_ms < record.closed_ms:
        raise AuditFailure(
            Reason.COMMITMENT_MISMATCH, "the record of the commitments is not what their list makes"
        )


def receive(phase: Bidding, record: BidReceived, blob: Blob) -> None:
    """A bid came, or was opened.

    Raises:
        AuditFailure: RECORD_UNAUTHORISED, RECORD_OUT_OF_ORDER or COMMITMENT_MISMATCH.
    """
    batch = phase.batch
    if record.solver not in batch.solvers:
        raise AuditFailure(
            Reason.RECORD_UNAUTHORISED, "a bid of a solver that was not asked was taken"
        )
    _check_time(batch.deadline_ms, record.received_ms, "bid")
    data = blob(record.bid_digest)
    if batch.bid_key:
        one, outcome = _next(phase)
        if not isinstance(outcome, Commitment):
            raise AuditFailure(
                Reason.COMMITMENT_MISMATCH, "a commitment that does not count came to a bid"
            )
        named = (record.solver, record.received_ms)
        if named != (one.solver, one.received_ms) or (
            commitment_to(data, record.salt) != outcome.commitment
        ):
            raise AuditFailure(
                Reason.COMMITMENT_MISMATCH,
                "the bid is not the one that its solver committed to next",
                commitment=outcome.commitment.hex(),
            )
    elif record.salt:
        raise AuditFailure(Reason.COMMITMENT_MISMATCH, "a bid that came in the open has a salt")
    phase.received.append(batch.evaluate(data, record.solver, record.received_ms, record.salt))


def unopened(phase: Bidding, record: BidUnopened) -> None:
    """A commitment came to no bid; whether an opening is invalid is seen once the secret is out.

    Raises:
        AuditFailure: RECORD_OUT_OF_ORDER or COMMITMENT_MISMATCH.
    """
    one, outcome = _next(phase)
    if isinstance(outcome, Commitment):
        missing = Reason.OPENING_INVALID if record.opening_digest else Reason.OPENING_MISSING
        expected = (missing.value, one.solver)
    else:
        expected = (outcome.reason.value, one.solver)
        if record.opening_digest:
            raise AuditFailure(
                Reason.COMMITMENT_MISMATCH, "a commitment that does not count was opened"
            )
    assert phase.committed is not None
    place = len(phase.received) + len(phase.unopened)
    if (record.reason, record.solver) != expected or record.place != place:
        raise AuditFailure(
            Reason.COMMITMENT_MISMATCH,
            f"commitment {record.place} is said to have come to no bid for {record.reason};"
            f" what replays is {expected[0]} at {place}",
        )
    phase.unopened.append(record)


def close(phase: Bidding, record: Closed, blob: Blob) -> ClosedBatch:
    """The bidding has ended.

    Raises:
        AuditFailure: BID_UNACCOUNTED, REJECTION_MISMATCH or COMMITMENT_MISMATCH.
    """
    batch, committed = phase.batch, phase.committed
    if committed is None:
        if batch.bid_key:
            raise AuditFailure(
                Reason.BID_UNACCOUNTED, "the batch was closed, and its commitments were not"
            )
        closed = batch.close(phase.received)
    else:
        _check_openings(phase, committed, record, blob)
        closed = batch.close(
            phase.received, committed.set_digest(), record.bid_secret, tuple(phase.unopened)
        )
    _check_rejections(rejections(closed), phase.rejections)
    if closed.record() != record:
        raise AuditFailure(
            Reason.BID_UNACCOUNTED,
            f"the batch was closed over {record.bids} bids, not the {len(closed.bids)} logged",
        )
    return closed


def rejections(closed: ClosedBatch) -> list[BidRejectedRecord]:
    """The records of the bids that break a rule."""
    number = closed.sealed.auction_id
    return [found for bid in closed.bids if (found := bid.rejected(number)) is not None]


def _next(phase: Bidding) -> tuple[ReceivedCommitment, Commitment | WalrasError]:
    committed = phase.committed
    place = len(phase.received) + len(phase.unopened)
    if committed is None:
        raise AuditFailure(
            Reason.RECORD_OUT_OF_ORDER, "a bid is open before the commitments were closed"
        )
    if place == len(committed.received):
        raise AuditFailure(
            Reason.COMMITMENT_MISMATCH, "a bid is logged that nobody had committed to"
        )
    return committed.received[place], committed.outcomes[place]


def _check_openings(phase: Bidding, committed: CommittedBatch, record: Closed, blob: Blob) -> None:
    resolved = len(phase.received) + len(phase.unopened)
    if resolved != len(committed.received):
        raise AuditFailure(
            Reason.BID_UNACCOUNTED,
            f"{len(committed.received)} commitments came, and {resolved} are accounted for",
        )
    if public_bid_key(record.bid_secret) != phase.batch.bid_key:
        raise AuditFailure(
            Reason.COMMITMENT_MISMATCH, "the secret is not that of the batch's bid key"
        )
    for one in phase.unopened:
        if not one.opening_digest:
            continue
        opening, wanted = blob(one.opening_digest), committed.outcomes[one.place]
        assert isinstance(wanted, Commitment)
        # Else an engine could make up an opening that opens nothing, and lay it at a solver's door.
        if committed.claim(one.solver, opening) != wanted.commitment:
            raise AuditFailure(
                Reason.COMMITMENT_MISMATCH,
                f"what is said to be the opening of commitment {one.place} is none of its solver's",
            )
        try:
            committed.open(one.place, opening, record.bid_secret)
        except BidRejected:
            continue
        raise AuditFailure(
            Reason.COMMITMENT_MISMATCH,
            f"the opening of commitment {one.place} is said to be invalid, and opens it",
        )


def _check_time(deadline_ms: int, received_ms: int, what: str) -> None:
    if received_ms > deadline_ms:
        raise AuditFailure(
            Reason.RECORD_OUT_OF_ORDER, f"a {what} was taken that came after the deadline"
        )


def _check_rejections(
    expected: Sequence[BidRejectedRecord], logged: Sequence[tuple[int, BidRejectedRecord]]
) -> None:
    for wanted, (index, found) in zip(expected, logged, strict=False):
        if wanted != found:
            raise AuditFailure(
                Reason.REJECTION_MISMATCH,
                f"bid {found.bid_digest.hex()} was rejected for {found.reason}; what replays"
                f" is that bid {wanted.bid_digest.hex()} breaks {wanted.reason}",
                index=index,
            )
    if len(logged) > len(expected):
        index, found = logged[len(expected)]
        raise AuditFailure(
            Reason.REJECTION_MISMATCH,
            f"bid {found.bid_digest.hex()} was rejected for {found.reason} but is valid",
            index=index,
        )
    if len(expected) > len(logged):
        missing = expected[len(logged)]
        raise AuditFailure(
            Reason.BID_UNACCOUNTED,
            f"bid {missing.bid_digest.hex()} breaks {missing.reason} and was not rejected",
        )
