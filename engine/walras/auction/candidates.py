"""A bid that keeps every rule of protocol §5, with all that selection and settlement need of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from walras.core.bids import Bid, SettledFill
from walras.market.kinds import AnyVenue


@dataclass(frozen=True, slots=True)
class ScoredBid:
    """A valid bid.

    Attributes:
        id: SHA-256 over the bid's PAE.
        digest: SHA-256 of the bid's envelope.
        bid: as it was signed.
        score: Σ value(surplus) − Σ cost(execution), > 0 and below 2^62.
        fills: with the settlement that the bid's prices give, in the bid's order.
        surplus: group → summed value of its fills' surplus, for every group the bid touches.
        spends: (owner, asset) → atoms that its fills take from the owner, summed; receipts do not
            offset.
        venues: venue id → its state after the bid's executions, for every venue it touches.
        leftover: asset → atoms that neither owners nor venues get, ≥ 0; zeroes left out.
    """

    id: bytes
    digest: bytes
    bid: Bid
    score: int
    fills: tuple[SettledFill, ...]
    surplus: Mapping[str, int]
    spends: Mapping[tuple[bytes, str], int]
    venues: Mapping[str, AnyVenue]
    leftover: Mapping[str, int]
