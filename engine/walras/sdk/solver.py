"""What a solver is: something that is given a sealed problem and proposes bids until a deadline."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

from walras.core.bids import Proposal
from walras.protocol.problem import Problem


@dataclass(frozen=True, slots=True)
class Description:
    """How a solver presents itself.

    Attributes:
        name: of the strategy, not of the node that runs it.
        version: of its code.
        chains: CAIP-2 ids that it takes; none: any.
        venue_kinds: kinds of venue that it can use; none: any.
        max_intents, max_venues: the largest problem that it takes; 0: any.
    """

    name: str
    version: str
    chains: tuple[str, ...] = ()
    venue_kinds: tuple[str, ...] = ()
    max_intents: int = 0
    max_venues: int = 0


@dataclass(slots=True)
class Deadline:
    """A moment on the monotonic clock. The node moves it: it is earlier while others wait for the
    slot, and at once if the engine hangs up.

    Attributes:
        at: seconds, as `time.monotonic` counts them.
    """

    at: float
    _cancelled: bool = field(default=False, repr=False, compare=False)
    _whole: "Deadline | None" = field(default=None, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The moment `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, ≥ 0."""
        left = 0.0 if self._cancelled else max(0.0, self.at - time.monotonic())
        return left if self._whole is None else min(left, self._whole.remaining())

    def within(self, seconds: float) -> "Deadline":
        """The moment `seconds` from now for a part of the work; it passes with this one, too."""
        return Deadline(time.monotonic() + seconds, _whole=self)

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.remaining() == 0.0

    def cancel(self) -> None:
        """Let it pass now, for good; from any thread."""
        self._cancelled = True


@runtime_checkable
class Solver(Protocol):
    """A solver. One instance serves one problem at a time."""

    def describe(self) -> Description:
        """Name and version."""
        ...

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        """Proposals for `problem`, each on its own; a generator may yield them as it finds them.

        What comes after the deadline is lost. Every proposal should pass `self_check`: an invalid
        bid is rejected in public, under the solver's name.
        """
        ...
