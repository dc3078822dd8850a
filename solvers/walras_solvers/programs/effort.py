"""How much a search may do, counted in work, so that a faster machine finds the same sooner.

The deadline only cuts it short: with time enough, the same problem gives the same proposals on any
machine.
"""

from dataclasses import dataclass

from walras.sdk import Deadline

PROGRAM = 1_000
"""Work of a program besides its entries. One unit is about a microsecond."""

LONGEST = 5.0
"""Seconds that one program may take."""


@dataclass(slots=True)
class Effort:
    """What is left to spend.

    Attributes:
        deadline: when it ends in any case.
        reserve: seconds before it that are for sending.
        left: units of work.
        whole: what this one is a part of and spends with it.
    """

    deadline: Deadline
    left: int
    reserve: float = 0.0
    whole: "Effort | None" = None

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0 or self.deadline.remaining() <= self.reserve

    @property
    def seconds(self) -> float:
        """What the next program may take."""
        return 0.0 if self.spent else min(LONGEST, self.deadline.remaining() - self.reserve)

    def spend(self, units: int) -> None:
        """Count work that was done."""
        self.left -= units
        if self.whole is not None:
            self.whole.spend(units)

    def part(self, units: int) -> "Effort":
        """Up to so many units of this effort."""
        return Effort(self.deadline, min(units, self.left), self.reserve, self)
