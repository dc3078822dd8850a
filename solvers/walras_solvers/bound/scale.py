"""The whole numbers that a bound is computed in.

A dual price ν of an asset is an integer: score units per 10^18 atoms, times 2^64. So a reference
price p is the dual price p·2^64 exactly, and what atoms are worth at dual prices is a whole number
of `FINE` units. Nothing is rounded but what a docstring says, and that upwards.
"""

from collections.abc import Mapping

from walras.sdk import ATOMS_PER_PRICE

UNIT = 1 << 64
"""Of a dual price, for one score unit per 10^18 atoms."""

FINE = ATOMS_PER_PRICE * UNIT
"""Fine units of one score unit."""

PIPS = 1_000_000
"""A fee pip is one part in this many."""

Duals = Mapping[str, int]
"""Asset → dual price, ≥ 0."""


def whole(fine: int) -> int:
    """Score units, rounded down: a score is a whole number that is not above `fine`."""
    return fine // FINE


def dual(price: float) -> int:
    """The dual price nearest below `price`, in score units per 10^18 atoms, finite and ≥ 0."""
    return int(price * UNIT)
