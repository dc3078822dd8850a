"""What all kinds of venue share: the checks of a new one and of a swap, and the step to its next
state.

Only a venue that comes from outside is checked. The state after a swap keeps every rule by the
arithmetic of the swap itself, so `moved` makes it without checking again.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from walras.core.amounts import AMOUNT_LIMIT
from walras.core.assets import check_asset_id
from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market.venue import Venue

COST_LIMIT = 1 << 62
"""A cost is below this, as every score is."""

V = TypeVar("V", bound=Venue)

_new = object.__new__
_set = object.__setattr__  # frozen dataclasses refuse the ordinary way


def malformed(venue: Venue, message: str) -> InvalidInput:
    """The error for a venue that breaks a rule of its kind."""
    return InvalidInput(
        Reason.VENUE_MALFORMED, f"venue {venue.id[:128]!r}: {message}", venue=venue.id[:128]
    )


def check_head(venue: Venue, most_assets: int = 2) -> None:
    """Check what every kind has: id, cost, and two to `most_assets` distinct assets.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """
    if not (1 <= len(venue.id) <= 128 and venue.id.isascii() and venue.id.isprintable()):
        raise malformed(venue, "an id is 1 to 128 printable ASCII characters")
    check_range(venue, "cost", [venue.cost], 0, COST_LIMIT)
    if not 2 <= len(venue.assets) <= most_assets:
        raise malformed(venue, f"it trades 2 to {most_assets} assets, not {len(venue.assets)}")
    if len(set(venue.assets)) != len(venue.assets):
        raise malformed(venue, "an asset is listed twice")
    for asset in venue.assets:
        try:
            check_asset_id(asset)
        except InvalidInput as error:
            raise malformed(venue, error.message) from error


def check_range(venue: Venue, name: str, numbers: Sequence[int], low: int, limit: int) -> None:
    """Check that each of the `numbers` is at least `low` and below `limit`.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """
    if not all(low <= number < limit for number in numbers):
        raise malformed(venue, f"{name} must be at least {low} and below {limit}")


def check_per_asset(
    venue: Venue, name: str, numbers: Sequence[int], low: int = 0, limit: int = AMOUNT_LIMIT
) -> None:
    """As `check_range`, for one number per asset.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """
    if len(numbers) != len(venue.assets):
        raise malformed(venue, f"it needs {len(venue.assets)} {name}, not {len(numbers)}")
    check_range(venue, name, numbers, low, limit)


def places(venue: Venue, asset_in: str, amount_in: int, asset_out: str) -> tuple[int, int]:
    """Where the two assets stand in `venue.assets`.

    Raises:
        SwapError: SWAP_ASSETS; SWAP_AMOUNT for an amount below 1, SWAP_LIQUIDITY from 2^255 on.
    """
    try:
        i, j = venue.assets.index(asset_in), venue.assets.index(asset_out)
    except ValueError:
        raise _wrong_assets(venue, asset_in, asset_out) from None
    if i == j:
        raise _wrong_assets(venue, asset_in, asset_out)
    if amount_in < 1:
        raise too_small(venue, 0)
    if amount_in >= AMOUNT_LIMIT:
        raise too_large(venue, AMOUNT_LIMIT)
    return i, j


def exchanged(
    venue: Venue,
    balances: tuple[int, ...],
    given: tuple[int, int],
    paid: tuple[int, int],
    limit: int = AMOUNT_LIMIT,
) -> tuple[int, ...]:
    """`balances` after an exchange; `given` and `paid` are (place, amount).

    Raises:
        SwapError: SWAP_AMOUNT where nothing would be paid out, SWAP_LIQUIDITY where a balance would
            reach the limit.
    """
    i, amount_in = given
    j, amount_out = paid
    held = balances[i] + amount_in
    if held >= limit:
        raise too_large(venue, amount_in)
    if amount_out < 1:
        raise too_small(venue, amount_in)
    after = list(balances)
    after[i] = held
    after[j] -= amount_out
    return tuple(after)


def moved(venue: V, **changes: object) -> V:
    """`venue` with some fields changed; nothing is checked."""
    kind = type(venue)
    after = _new(kind)
    for get, put in _slots(kind):
        put(after, get(venue))
    for name, value in changes.items():
        _set(after, name, value)
    return after


@cache
def _slots(kind: type[Venue]) -> tuple[tuple[Callable[..., Any], Callable[..., None]], ...]:
    # Straight to a field's descriptor is three times as fast as getattr and setattr.
    slots = [getattr(kind, name) for name in kind.__slots__]  # type: ignore[attr-defined]  # every kind is a slotted dataclass
    return tuple((slot.__get__, slot.__set__) for slot in slots)


def too_small(venue: Venue, amount_in: int) -> SwapError:
    """The error for an input that buys nothing."""
    return SwapError(
        Reason.SWAP_AMOUNT,
        f"{amount_in} atoms are too few for venue {venue.id!r} to pay anything out",
        venue=venue.id,
        amount_in=amount_in,
    )


def too_large(venue: Venue, amount_in: int) -> SwapError:
    """The error for an input that is more than the venue can serve."""
    return SwapError(
        Reason.SWAP_LIQUIDITY,
        f"{amount_in} atoms are more than venue {venue.id!r} can take",
        venue=venue.id,
        amount_in=amount_in,
    )


def _wrong_assets(venue: Venue, asset_in: str, asset_out: str) -> SwapError:
    return SwapError(
        Reason.SWAP_ASSETS,
        f"venue {venue.id!r} does not trade {asset_in[:200]} for {asset_out[:200]}",
        venue=venue.id,
        asset_in=asset_in,
        asset_out=asset_out,
    )
