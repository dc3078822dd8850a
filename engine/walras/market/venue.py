"""What every venue is: a value that can be swapped against.

One interface carries pools, books, bridges and quotes: a swap takes an exact input and gives the
exact output together with the venue as it is afterwards. A venue never changes; the state after a
swap is another value, so that a plan of executions is a fold and a rejected plan leaves nothing to
undo.
"""

from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

V_co = TypeVar("V_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Swap(Generic[V_co]):
    """The outcome of one swap.

    Attributes:
        amount_out: atoms of the asset paid out, ≥ 1.
        after: the venue in its state after the swap.
    """

    amount_out: int
    after: V_co


class Venue(Protocol):
    """A source of liquidity with exact integer arithmetic."""

    @property
    def id(self) -> str:
        """The venue's name, unique in a market, 1 to 128 printable ASCII characters."""
        ...

    @property
    def cost(self) -> int:
        """What one execution costs, in score units, ≥ 0."""
        ...

    @property
    def assets(self) -> tuple[str, ...]:
        """The assets it trades, in the venue's own order, without repetition."""
        ...

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """Swap exactly `amount_in` atoms of `asset_in` for `asset_out`.

        Raises:
            SwapError: SWAP_ASSETS (not traded here, or the same asset twice), SWAP_AMOUNT (below
                1, or so small that nothing would be paid out), SWAP_LIQUIDITY (too large for the
                venue, or it is empty), SWAP_NO_CONVERGENCE.
        """
        ...
