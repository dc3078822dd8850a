"""What a solver is: something that is given a sealed problem and proposes bids until a deadline."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol, Self, runtime_checkable

from walras.core.bids import Proposal
from walras.protocol.problem import Problem


@dataclass(frozen=True, slots=True)
class Description:
    """How a solver presents itself.

    Attributes:
        name: of the strategy, not of the node that runs it.
        version: of its code.
    """

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, which comes early if the engine hangs up.

    Attributes:
        at: seconds, as `time.monotonic` counts them.
    """

    at: float
    _cancelled: Event = field(default_factory=Event, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The moment `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, ≥ 0."""
        return 0.0 if self._cancelled.is_set() else max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.remaining() == 0.0

    def cancel(self) -> None:
        """Let it pass now; from any thread."""
        self._cancelled.set()


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
