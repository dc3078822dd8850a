"""One auction as its log tells it: the problem, what came of each bid, and the award's signature.

From the auction's own records and their blobs alone, so it can be read out of an engine's store as
well as out of a log that an auditor replays. What the log claims is taken at its word here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from walras.auction.awarded import Award, check_award
from walras.auction.batch import MAX_BID_BYTES
from walras.auction.candidates import ScoredBid
from walras.auction.validity import score_bid
from walras.audit import envelope, vrf
from walras.audit.openings import commitment_to
from walras.core.bids import Bid
from walras.core.errors import WalrasError
from walras.core.intents import Intent
from walras.protocol.certificate import Certificate, decode_certificate
from walras.protocol.codec import Signed
from walras.protocol.dispatch import decode_dispatch
from walras.protocol.problem import Problem
from walras.protocol.records import (
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Kind,
    Sealed,
    Voided,
)
from walras.protocol.sealed_bids import (
    BidUnopened,
    Committed,
    decode_commitment,
    decode_commitments,
)
from walras.protocol.trade import decode_bid, decode_bundle, decode_problem

MAX_BUNDLE_BYTES = 1 << 30

Blob = Callable[[bytes], bytes]
"""The bytes of a SHA-256."""


@dataclass(frozen=True, slots=True)
class LoggedBid:
    """A bid that came in.

    Attributes:
        digest: SHA-256 of its envelope.
        id: SHA-256 over its PAE; empty where it cannot be read.
        solver: who sent it.
        commitment: that it opened; empty where it came in the open.
        bid: as it was signed; None where it cannot be read.
        scored: what a valid one is worth; None for a rejected one.
        reason, details: why it was rejected, as logged; empty for a valid one.
    """

    digest: bytes
    id: bytes
    solver: bytes
    commitment: bytes = b""
    bid: Bid | None = None
    scored: ScoredBid | None = None
    reason: str = ""
    details: tuple[tuple[str, str], ...] = ()

    @property
    def intents(self) -> frozenset[bytes]:
        """Ids of the intents that it names, as far as it can be read."""
        return frozenset(f.intent_id for f in self.bid.proposal.fills) if self.bid else frozenset()


@dataclass(frozen=True, slots=True)
class LoggedUnopened:
    """A commitment that came to no bid.

    Attributes:
        commitment: its hash; empty where what came is no commitment.
        digest: SHA-256 of its envelope.
        place: in the list of commitments.
        solver: who sent it.
        reason: as logged.
    """

    commitment: bytes
    digest: bytes
    place: int
    solver: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class LoggedAuction:
    """What a log says of one auction.

    Attributes:
        auction_id: its number.
        problem: as sealed.
        names: public key of each solver that was connected → its name.
        deadline_ms: bids counted until then.
        commitments: that came in time, in their order: the hash of each, and its envelope's
            digest.
        bids: in the order of the log; none before the auction was settled.
        unopened: likewise.
        winners: ids, ascending.
        seed: of the ties; empty before the award.
        certificate: of the award; None before it.
        void_reason: why it ended without an award; empty where it did not.
    """

    auction_id: int
    problem: Problem
    names: Mapping[bytes, str]
    deadline_ms: int
    commitments: tuple[tuple[bytes, bytes], ...] = ()
    bids: tuple[LoggedBid, ...] = ()
    unopened: tuple[LoggedUnopened, ...] = ()
    winners: tuple[bytes, ...] = ()
    seed: bytes = b""
    certificate: Certificate | None = None
    void_reason: str = ""

    @property
    def valid(self) -> tuple[ScoredBid, ...]:
        """The bids that fairness and selection began with."""
        return tuple(bid.scored for bid in self.bids if bid.scored is not None)

    def award(self) -> Award | None:
        """What its winners and its certificate prove; None before the award.

        Raises as `check_award`.
        """
        if self.certificate is None:
            return None
        return check_award(self.problem, self.valid, self.seed, self.winners, self.certificate)


def read_auction(
    records: Iterable[Signed], blob: Blob, intents: Mapping[bytes, Intent]
) -> LoggedAuction:
    """The auction that these records make.

    Args:
        records: of one auction, in the order of the log, from its `Sealed` on; others are skipped.
            They follow from each other as in a log that replays.
        blob: reads one.
        intents: by id, every one that the problem names.

    Raises:
        WalrasError: a blob is not what its record says.
    """
    made: LoggedAuction | None = None
    bids: dict[bytes, LoggedBid] = {}
    order: list[LoggedBid | bytes] = []
    unopened: list[LoggedUnopened] = []
    commitments: tuple[tuple[bytes, bytes], ...] = ()
    for record in records:
        match record:
            case Sealed():
                problem = decode_problem(blob(record.problem_digest), intents)
                names: dict[bytes, str] = {}
                if record.dispatch_digest:
                    nodes = decode_dispatch(blob(record.dispatch_digest)).nodes
                    names = {node.public_key: node.name for node in nodes}
                made = LoggedAuction(record.auction_id, problem, names, record.deadline_ms)
            case Committed():
                received = decode_commitments(blob(record.commitments_digest))
                commitments = tuple(
                    (_commitment(one.envelope), sha256(one.envelope).digest()) for one in received
                )
            case BidUnopened():
                commitment, digest = commitments[record.place]
                unopened.append(
                    LoggedUnopened(commitment, digest, record.place, record.solver, record.reason)
                )
            case BidReceived():
                order.append(record.bid_digest)
                bids[record.bid_digest] = _received(record, blob(record.bid_digest))
            case BidRejectedRecord():
                # Bytes that came twice have two records, and it is the later that is rejected.
                at = max(i for i, one in enumerate(order) if one == record.bid_digest)
                order[at] = replace(
                    bids[record.bid_digest], reason=record.reason, details=record.details
                )
            case Awarded():
                assert made is not None
                data = envelope.decode(blob(record.bundle_digest), MAX_BUNDLE_BYTES)
                bundle = decode_bundle(data.body)
                made = replace(
                    made,
                    winners=tuple(winner.bid_id for winner in bundle.winners),
                    seed=vrf.proof_to_hash(record.tie_proof),
                    certificate=decode_certificate(blob(bundle.certificate_digest)),
                )
            case Voided():
                assert made is not None
                made = replace(made, void_reason=record.reason)
            case _:
                pass
    assert made is not None, "an auction's records begin with its sealing"
    return replace(
        made,
        commitments=commitments,
        bids=tuple(
            one if isinstance(one, LoggedBid) else _scored(made.problem, bids[one]) for one in order
        ),
        unopened=tuple(unopened),
    )


def names_bid(record: Signed, asked: bytes, blob: Blob) -> bool:
    """Whether a record is of the bid, or holds the commitment, that is asked for: by the bid's id,
    its envelope's digest, or the commitment's hash or digest.
    """
    match record:
        case BidReceived():
            return asked == record.bid_digest or asked in _ids(record, blob(record.bid_digest))
        case Committed():
            listed = decode_commitments(blob(record.commitments_digest))
            return any(
                asked in {_commitment(one.envelope), sha256(one.envelope).digest()}
                for one in listed
            )
        case _:
            return False


def scored_again(problem: Problem, bid: Bid, bid_id: bytes, bid_digest: bytes) -> ScoredBid:
    """What a logged bid is worth. One for a part is judged on the whole problem, on which it scores
    the same.

    Raises as `score_bid`.
    """
    return score_bid(problem, bid.problem_digest, bid, bid_id=bid_id, bid_digest=bid_digest)


def _ids(record: BidReceived, data: bytes) -> set[bytes]:
    found = _received(record, data)
    return {found.id, found.commitment}


def _received(record: BidReceived, data: bytes) -> LoggedBid:
    commitment = commitment_to(data, record.salt) if record.salt else b""
    plain = LoggedBid(record.bid_digest, b"", record.solver, commitment)
    try:
        signed = envelope.decode(data, MAX_BID_BYTES)
        bid = decode_bid(signed.body)
    except WalrasError:
        return plain
    return replace(plain, id=envelope.record_id(signed.payload_type, signed.body), bid=bid)


def _scored(problem: Problem, logged: LoggedBid) -> LoggedBid:
    """A bid that the log does not reject, with its worth."""
    assert logged.bid is not None, "what cannot be read is rejected"
    found = scored_again(problem, logged.bid, logged.id, logged.digest)
    return replace(logged, scored=found)


def _commitment(data: bytes) -> bytes:
    """The hash that a commitment's bytes hold; empty where they are none."""
    try:
        signed = envelope.decode(data)
        if signed.payload_type != Kind.COMMITMENT.payload_type:
            return b""
        return decode_commitment(signed.body).commitment
    except WalrasError:
        return b""
