"""Many venues by their id."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market.kinds import AnyVenue
from walras.market.venue import Swap


def by_id(venues: Iterable[AnyVenue]) -> dict[str, AnyVenue]:
    """The venues by ascending id.

    Raises:
        InvalidInput: VENUE_MALFORMED where two have the same id.
    """
    ordered = sorted(venues, key=lambda venue: venue.id)
    found = {venue.id: venue for venue in ordered}
    if len(found) != len(ordered):
        twice = next(a.id for a, b in pairwise(ordered) if a.id == b.id)
        raise InvalidInput(Reason.VENUE_MALFORMED, f"two venues have the id {twice!r}", venue=twice)
    return found


def execute(
    venues: Mapping[str, AnyVenue], venue_id: str, asset_in: str, amount_in: int, asset_out: str
) -> Swap[AnyVenue]:
    """One swap on one of the venues.

    Raises:
        SwapError: as `Venue.swap`, and VENUE_UNKNOWN.
    """
    venue = venues.get(venue_id)
    if venue is None:
        raise SwapError(Reason.VENUE_UNKNOWN, f"there is no venue {venue_id[:128]!r}")
    return venue.swap(asset_in, amount_in, asset_out)
