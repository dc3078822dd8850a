"""Where a batch stands, as a log tells, and which records may stand there (protocol §8)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from walras.auction.batch import AwardedBatch, ClosedBatch, OpenBatch, ReceivedBid, SealedBatch
from walras.auction.commitments import CommittedBatch
from walras.core.errors import AuditFailure, Reason
from walras.protocol.codec import Signed
from walras.protocol.keys import KeyBinding
from walras.protocol.prices import PriceFeed, PricesWatched
from walras.protocol.problem import Problem
from walras.protocol.records import (
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Closed,
    MarketUpdate,
    Observed,
    Opened,
    RulesSet,
    Sealed,
    Settled,
    VenuesWatched,
    Voided,
    Withdrawal,
)
from walras.protocol.sealed_bids import BidUnopened, Committed


@dataclass(slots=True)
class Bidding:
    """A sealed batch with what the log holds of its bidding so far."""

    batch: SealedBatch
    received: list[ReceivedBid] = field(default_factory=list)
    rejections: list[tuple[int, BidRejectedRecord]] = field(default_factory=list)
    committed: CommittedBatch | None = None
    unopened: list[BidUnopened] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Decided:
    """A batch whose award was logged and is not settled yet."""

    closed: ClosedBatch
    batch: AwardedBatch
    bundle_digest: bytes
    observed: bool = False


@dataclass(frozen=True, slots=True)
class Selected:
    """A batch that was closed; its award is not logged yet."""

    closed: ClosedBatch


Blob = Callable[[bytes], bytes]
"""The bytes of a SHA-256; AuditFailure where they are not there or have another."""

Phase = OpenBatch | Bidding | Selected | Decided | None

_NEEDED: Mapping[type, tuple[type, ...]] = {
    RulesSet: (type(None),),
    Opened: (type(None),),
    VenuesWatched: (OpenBatch,),
    PricesWatched: (OpenBatch,),
    Sealed: (OpenBatch,),
    Committed: (Bidding,),
    BidReceived: (Bidding,),
    BidUnopened: (Bidding,),
    BidRejectedRecord: (Bidding,),
    Closed: (Bidding,),
    Awarded: (Selected,),
    Observed: (Decided,),
    Settled: (Decided,),
    Voided: (OpenBatch, Bidding),
}
"""Record of a batch → the phases it may follow; None is between batches."""

_BETWEEN_BATCHES = (MarketUpdate, PriceFeed, Withdrawal, KeyBinding)


def sealed_problem(phase: Phase) -> Problem | None:
    """That of the batch which is sealed and has no end yet."""
    match phase:
        case Bidding():
            return phase.batch.problem
        case Selected() | Decided():
            return phase.closed.sealed.problem
        case _:
            return None


def check_order(record: Signed, phase: Phase, auction_id: int) -> None:
    """Refuse what cannot stand in this phase; `auction_id` is the last one opened.

    Raises:
        AuditFailure: RECORD_OUT_OF_ORDER.
    """
    allowed = _NEEDED.get(type(record))
    if allowed is not None and not isinstance(phase, allowed):
        raise AuditFailure(
            Reason.RECORD_OUT_OF_ORDER,
            f"a {type(record).__name__} record cannot stand here: the batch is"
            f" {type(phase).__name__ if phase else 'not open'}",
        )
    if isinstance(record, _BETWEEN_BATCHES) and isinstance(phase, Bidding | Selected | Decided):
        raise AuditFailure(
            Reason.RECORD_OUT_OF_ORDER,
            f"a {type(record).__name__} record cannot stand between a batch's sealing and end",
        )
    number = getattr(record, "auction_id", None)
    current = auction_id + isinstance(record, Opened)
    if number is not None and number != current:
        raise AuditFailure(
            Reason.RECORD_OUT_OF_ORDER, f"auction {number} stands where {current} is due"
        )
