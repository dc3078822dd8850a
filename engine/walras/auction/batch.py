"""A batch in its states, as types: what a batch cannot do yet, it has no method for.

    Open ─seal→ SealedBatch ─close→ ClosedBatch ─award→ AwardedBatch

The engine walks through them as it runs an auction, and an auditor as it replays one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from walras.auction.awarded import Award
from walras.auction.candidates import ScoredBid
from walras.auction.dispatch import asked
from walras.auction.validity import score_bid
from walras.audit import envelope
from walras.core.bids import Bundle, Winner
from walras.core.errors import BidRejected, Reason, WalrasError
from walras.market.kinds import AnyVenue
from walras.protocol.certificate import encode_certificate
from walras.protocol.dispatch import Dispatch, encode_dispatch
from walras.protocol.problem import Problem
from walras.protocol.records import (
    BidReceived,
    BidRejectedRecord,
    Closed,
    Kind,
    Opened,
    Sealed,
)
from walras.protocol.sealed_bids import BidUnopened
from walras.protocol.trade import decode_bid
from walras.protocol.venues import encode_venues

MAX_BID_BYTES = 8 << 20
"""A longer answer of a node is its fault, not a bid."""

MAX_DETAIL = 256
"""Characters of a rejection's detail that are logged."""


@dataclass(frozen=True, slots=True)
class ReceivedBid:
    """A bid that came in before the deadline, and what it is worth.

    Attributes:
        digest: SHA-256 of the bytes that came in.
        solver: the key of the node that sent it.
        received_ms: when it, or the commitment to it, came.
        outcome: the valid bid, or the rule it breaks.
        salt: of its commitment; empty where it came in the open.
    """

    digest: bytes
    solver: bytes
    received_ms: int
    outcome: ScoredBid | WalrasError
    salt: bytes = b""

    def received(self, auction_id: int) -> BidReceived:
        """The record that it came in."""
        return BidReceived(auction_id, self.digest, self.solver, self.received_ms, self.salt)

    def rejected(self, auction_id: int) -> BidRejectedRecord | None:
        """The record of its rejection; None for a valid bid."""
        if isinstance(self.outcome, ScoredBid):
            return None
        details = tuple(
            (name, value[:MAX_DETAIL]) for name, value in sorted(self.outcome.fields.items())
        )
        return BidRejectedRecord(auction_id, self.digest, self.outcome.reason.value, details)


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that gathers intents."""

    opened: Opened

    def seal(
        self,
        problem: Problem,
        digest: bytes,
        parts: Sequence[Problem],
        plan: Dispatch | None,
        names: Mapping[bytes, str],
        deadline_ms: int,
        canaries_digest: bytes,
        bid_key: bytes,
    ) -> "SealedBatch":
        """Freeze it.

        Args:
            problem: all of it.
            digest: SHA-256 of its bytes.
            parts: that it splits into.
            plan: who is asked for which part; None where nobody is.
            names: of the nodes, by key.
            deadline_ms: bids count until then.
            canaries_digest: SHA-256(salt ‖ ids of the canary intents).
            bid_key: that bids are opened to; empty where they come in the open.
        """
        return SealedBatch(
            self.opened.auction_id,
            problem,
            digest,
            tuple(parts),
            plan,
            {} if plan is None else {a.part_digest: i for i, a in enumerate(plan.parts)},
            {} if plan is None else {key: names[key] for key in sorted(asked(plan))},
            deadline_ms,
            canaries_digest,
            bid_key,
        )


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A frozen problem that is out for bids.

    Attributes:
        parts: that the problem splits into, each a problem that may be bid for.
        plan: who was asked for which; None where nobody was.
        places: SHA-256 of a part's bytes → its place among the parts.
        solvers: key of who was asked or stands by → its name.
    """

    auction_id: int
    problem: Problem
    digest: bytes
    parts: tuple[Problem, ...]
    plan: Dispatch | None
    places: Mapping[bytes, int]
    solvers: Mapping[bytes, str]
    deadline_ms: int
    canaries_digest: bytes
    bid_key: bytes

    def asked(self, place: int) -> frozenset[bytes]:
        """Keys of the solvers that were asked for a part, or stood by."""
        assert self.plan is not None
        return frozenset(self.plan.nodes[node].public_key for node in self.plan.parts[place].nodes)

    def record(self) -> Sealed:
        """The record that it was sealed."""
        return Sealed(
            self.auction_id,
            self.digest,
            self.problem.sealed_ms,
            self.deadline_ms,
            b"" if self.plan is None else sha256(encode_dispatch(self.plan)).digest(),
            self.canaries_digest,
            self.bid_key,
        )

    def evaluate(
        self, data: bytes, solver: bytes, received_ms: int, salt: bytes = b""
    ) -> ReceivedBid:
        """What a node's bytes are worth. Never raises for what they hold."""
        digest = sha256(data).digest()
        outcome: ScoredBid | WalrasError
        try:
            outcome = self._score(data, digest, solver)
        except WalrasError as error:
            # Its traceback would keep all that was decoded of the bid, until the batch is over.
            outcome = error.with_traceback(None)
            outcome.__cause__ = outcome.__context__ = None
        return ReceivedBid(digest, solver, received_ms, outcome, salt)

    def _score(self, data: bytes, digest: bytes, solver: bytes) -> ScoredBid:
        signed = envelope.decode(data, MAX_BID_BYTES)
        kind = Kind.BID.payload_type
        if signed.payload_type != kind:
            raise BidRejected(Reason.PAYLOAD_TYPE_WRONG, "the envelope does not hold a bid")
        if signed.signer != solver or solver not in self.solvers:
            raise BidRejected(
                Reason.SOLVER_MISMATCH,
                "the bid is signed by another key than its node's",
                signer=signed.signer.hex(),
                expected=solver.hex(),
            )
        envelope.verify_envelope(signed)
        bid = decode_bid(signed.body)
        if bid.solver != solver:
            raise BidRejected(
                Reason.SOLVER_MISMATCH,
                "the bid names another solver than its signer",
                solver=bid.solver.hex(),
                expected=solver.hex(),
            )
        bid_id = envelope.record_id(kind, signed.body)
        # A bid that names no part of this batch is compared with the first, and fails there.
        place = self.places.get(bid.problem_digest, 0)
        assert self.plan is not None
        assignment = self.plan.parts[place]
        if bid.problem_digest == assignment.part_digest and solver not in self.asked(place):
            raise BidRejected(
                Reason.PART_WRONG, "the solver was not asked for this part", part=place
            )
        part, part_digest = self.parts[place], assignment.part_digest
        return score_bid(part, part_digest, bid, bid_id=bid_id, bid_digest=digest)

    def close(
        self,
        bids: Iterable[ReceivedBid],
        set_digest: bytes = b"",
        secret: bytes = b"",
        unopened: tuple[BidUnopened, ...] = (),
    ) -> "ClosedBatch":
        """End the bidding. Repeated bids, and those above a solver's number, are rejected here.

        Args:
            bids: in the order of the log.
            set_digest: names the set of commitments; empty where bids came in the open.
            secret: of the bid key, likewise.
            unopened: commitments that came to no bid.
        """
        kept: list[ReceivedBid] = []
        ids: set[bytes] = set()
        counts: dict[bytes, int] = {}
        for bid in bids:
            counts[bid.solver] = counts.get(bid.solver, 0) + 1
            outcome = bid.outcome
            if counts[bid.solver] > self.problem.rules.max_bids:
                limit = self.problem.rules.max_bids
                outcome = BidRejected(
                    Reason.BID_LIMIT, f"a solver may send {limit} bids", limit=limit
                )
            elif isinstance(outcome, ScoredBid):
                if outcome.id in ids:
                    outcome = BidRejected(
                        Reason.BID_DUPLICATE, "the same bid came before", bid_id=outcome.id.hex()
                    )
                else:
                    ids.add(outcome.id)
            kept.append(replace(bid, outcome=outcome))
        return ClosedBatch(self, tuple(kept), set_digest, secret, unopened)


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """All bids are in, in the order of the log; the rest as in `SealedBatch.close`."""

    sealed: SealedBatch
    bids: tuple[ReceivedBid, ...]
    set_digest: bytes = b""
    secret: bytes = b""
    unopened: tuple[BidUnopened, ...] = ()

    def record(self) -> Closed:
        """The record that it was closed."""
        sealed = self.sealed
        return Closed(
            sealed.auction_id, sealed.digest, len(self.bids), self.bids_digest(), self.secret
        )

    def bids_digest(self) -> bytes:
        """SHA-256 over the bids' digests, sorted and concatenated."""
        return sha256(b"".join(sorted(bid.digest for bid in self.bids))).digest()

    def tie_input(self) -> bytes:
        """What the engine's VRF is taken over to seed the ties.

        It names the closed set of bids, and nothing that somebody could still choose when it was
        closed.
        """
        problem = self.sealed.problem
        return b"".join(
            (
                b"walras tie v1\0",
                problem.domain.encode(),
                b"\0",
                problem.auction_id.to_bytes(8, "big"),
                self.set_digest or self.bids_digest(),
            )
        )

    def scored(self) -> list[ScoredBid]:
        """The valid bids, which the award is made among."""
        return [bid.outcome for bid in self.bids if isinstance(bid.outcome, ScoredBid)]


@dataclass(frozen=True, slots=True)
class AwardedBatch:
    """The winners are known."""

    sealed: SealedBatch
    award: Award

    def venues(self) -> dict[str, AnyVenue]:
        """Touched venues as they are after the executions."""
        return {name: venue for bid in self.award.winners for name, venue in bid.venues.items()}

    def certificate(self) -> bytes:
        """The bytes of the proof."""
        return encode_certificate(self.award.certificate)

    def bundle(self) -> Bundle:
        """What the engine signs."""
        winners = self.award.winners
        return Bundle(
            domain=self.sealed.problem.domain,
            auction_id=self.sealed.auction_id,
            problem_digest=self.sealed.digest,
            winners=tuple(Winner(b.id, b.digest, b.bid.solver, b.score) for b in winners),
            fills=tuple(fill for b in winners for fill in b.fills),
            executions=tuple(e for b in winners for e in b.bid.proposal.executions),
            venues_digest=sha256(encode_venues(self.venues())).digest(),
            score=self.award.score,
            rewards=self.award.rewards,
            bound=self.award.bound,
            certificate_digest=sha256(self.certificate()).digest(),
        )
