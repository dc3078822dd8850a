"""What the swaps of each venue can add to a score at given dual prices, its costs included."""

from collections.abc import Iterable

from walras.sdk import AnyVenue, Bridge, Concentrated, OrderBook, Rfq, StablePool, StableSwap
from walras_solvers.bound.ladders import (
    book_bounds,
    bridge_bounds,
    concentrated_bound,
    rfq_bound,
)
from walras_solvers.bound.products import product_bounds
from walras_solvers.bound.scale import FINE, Duals
from walras_solvers.bound.stable import stable_bounds


def venue_bound(venue: AnyVenue, duals: Duals) -> int:
    """Fine units: no bid's swaps on the venue are worth more, paid out less paid in, less costs.

    What needs a swap of its own, such as a side of a book, bears the cost by itself: once at
    least, and twice for what one swap cannot do.
    """
    cost = venue.cost * FINE
    return sum(max(0, one - cost, several - 2 * cost) for one, several in _gains(venue, duals))


def _gains(venue: AnyVenue, duals: Duals) -> Iterable[tuple[int, int]]:
    """Of what is independent of each other: the most that one swap is worth, and that any are."""
    match venue:
        case OrderBook():
            return ((side, side) for side in book_bounds(venue, duals))
        case Bridge():
            return ((way, way) for way in bridge_bounds(venue, duals))
        case Rfq():
            gain = rfq_bound(venue, duals)
        case Concentrated():
            gain = concentrated_bound(venue, duals)
        case StableSwap() | StablePool():
            return (stable_bounds(venue, duals),)
        case _:
            return (product_bounds(venue, duals),)
    return ((gain, gain),)
