"""The commitments of a batch with sealed bids, and what each came to (protocol §5).

Which of them count is settled before any bid is open, by what came alone: the engine and an
auditor come to the same from the same list.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from walras.auction.batch import ReceivedBid, SealedBatch
from walras.audit import envelope
from walras.audit.openings import open_bid
from walras.core.errors import BidRejected, InvalidInput, Reason, WalrasError
from walras.protocol.records import Kind
from walras.protocol.sealed_bids import (
    MAX_COMMITMENT_BYTES,
    BidUnopened,
    Commitment,
    Committed,
    ReceivedCommitment,
    decode_commitment,
    decode_opening,
    encode_commitments,
)

MAX_OPENING_BYTES = (8 << 20) + 1_024
"""Of an opening's envelope: the longest bid, sealed and signed."""


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """A batch whose commitments are closed.

    Attributes:
        sealed: the batch.
        received: what came in time, in the order in which it came.
        outcomes: for each, the commitment that it is, or the rule it breaks.
        closed_ms: when the set was closed.
        open_until_ms: openings that come until then count.
    """

    sealed: SealedBatch
    received: tuple[ReceivedCommitment, ...]
    outcomes: tuple[Commitment | WalrasError, ...]
    closed_ms: int
    open_until_ms: int

    def blob(self) -> bytes:
        """The list, as it is logged."""
        return encode_commitments(self.received)

    def record(self) -> Committed:
        """The record that the set was closed."""
        digest = sha256(self.blob()).digest()
        return Committed(
            self.sealed.auction_id, len(self.received), digest, self.closed_ms, self.open_until_ms
        )

    def set_digest(self) -> bytes:
        """Names the set, whatever the order and the times: SHA-256 over the commitments' hashes
        that count, sorted and concatenated.
        """
        counted = (one.commitment for one in self.outcomes if isinstance(one, Commitment))
        return sha256(b"".join(sorted(counted))).digest()

    def unopened(self, place: int, error: WalrasError, opening: bytes = b"") -> BidUnopened:
        """The record that the commitment at this place came to no bid."""
        digest = sha256(opening).digest() if opening else b""
        solver = self.received[place].solver
        return BidUnopened(self.sealed.auction_id, place, solver, error.reason.value, digest)

    def places(self) -> dict[tuple[bytes, bytes], int]:
        """(solver, commitment's hash) → its place, of those that count."""
        return {
            (found.solver, found.commitment): place
            for place, found in enumerate(self.outcomes)
            if isinstance(found, Commitment)
        }

    def evaluate(
        self, place: int, opening: bytes, secret: bytes
    ) -> tuple[ReceivedBid, bytes] | WalrasError:
        """What an opening is worth, and the bid's envelope; or why it opens nothing."""
        try:
            bid, salt = self.open(place, opening, secret)
        except BidRejected as error:
            return error.with_traceback(None)
        one = self.received[place]
        return self.sealed.evaluate(bid, one.solver, one.received_ms, salt), bid

    def claim(self, solver: bytes, opening: bytes) -> bytes:
        """The commitment of this batch that an envelope, which this solver signed, is to open;
        empty where it is no such opening. Whether it opens it is not looked at.
        """
        try:
            signed = envelope.open_envelope(
                opening, Kind.OPENING.payload_type, solver, MAX_OPENING_BYTES
            )
            found = decode_opening(signed.body)
        except WalrasError:
            return b""
        named = (found.domain, found.auction_id, found.solver)
        here = (self.sealed.problem.domain, self.sealed.auction_id, solver)
        return found.commitment if named == here else b""

    def open(self, place: int, opening: bytes, secret: bytes) -> tuple[bytes, bytes]:
        """The bid's envelope and salt that an opening holds for the commitment at this place.

        Args:
            place: of a commitment that counts.
            opening: whatever came as one.
            secret: of the batch's bid key.

        Raises:
            BidRejected: OPENING_INVALID.
        """
        wanted = self.outcomes[place]
        assert isinstance(wanted, Commitment)
        if self.claim(wanted.solver, opening) != wanted.commitment:
            raise BidRejected(
                Reason.OPENING_INVALID,
                "the opening is not its solver's, or of another commitment or auction",
            )
        found = decode_opening(envelope.decode(opening, MAX_OPENING_BYTES).body)
        return open_bid(found.sealed, wanted.commitment, secret)


def close_commitments(
    sealed: SealedBatch, received: Sequence[ReceivedCommitment], closed_ms: int, open_until_ms: int
) -> CommittedBatch:
    """Close the set of what came in time, in the order in which it came."""
    outcomes = tuple(_outcomes(sealed, received))
    return CommittedBatch(sealed, tuple(received), outcomes, closed_ms, open_until_ms)


def _outcomes(
    sealed: SealedBatch, received: Iterable[ReceivedCommitment]
) -> Iterable[Commitment | WalrasError]:
    seen: set[bytes] = set()
    counts: dict[bytes, int] = {}
    limit = sealed.problem.rules.max_bids
    for one in received:
        counts[one.solver] = counts.get(one.solver, 0) + 1
        try:
            if counts[one.solver] > limit:
                raise BidRejected(Reason.BID_LIMIT, f"a solver may send {limit} bids", limit=limit)
            found = _check(sealed, one)
            if found.commitment in seen:
                raise BidRejected(
                    Reason.COMMITMENT_DUPLICATE,
                    "the same commitment came before",
                    commitment=found.commitment.hex(),
                )
            seen.add(found.commitment)
            yield found
        except WalrasError as error:
            yield error.with_traceback(None)


def _check(sealed: SealedBatch, one: ReceivedCommitment) -> Commitment:
    """What a node's bytes commit it to.

    Raises:
        BidRejected: COMMITMENT_INVALID.
    """
    try:
        kind = Kind.COMMITMENT.payload_type
        signed = envelope.open_envelope(one.envelope, kind, one.solver, MAX_COMMITMENT_BYTES)
        found = decode_commitment(signed.body)
    except (InvalidInput, WalrasError) as error:
        raise BidRejected(Reason.COMMITMENT_INVALID, error.message) from error
    problem = sealed.problem
    if (found.domain, found.auction_id, found.solver) != (
        problem.domain,
        sealed.auction_id,
        one.solver,
    ):
        raise BidRejected(
            Reason.COMMITMENT_INVALID, "the commitment is for another auction or of another solver"
        )
    place = sealed.places.get(found.part_digest)
    if place is None or one.solver not in sealed.asked(place):
        raise BidRejected(
            Reason.COMMITMENT_INVALID, "the commitment is for a part that its solver was not asked"
        )
    return found
