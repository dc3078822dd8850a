"""A node's slots, and who works in them for how long.

Problems wait in the order in which they came. Those that wait get as much time as those that are
worked on: with w waiting for c slots, a turn is 1/(1 + ⌈w/c⌉) of what was left of its problem's
time when it began. Turns grow shorter and longer as others come and go.
"""

import asyncio
import contextlib
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from walras.sdk.solver import Deadline, Solver

_SPARE_SHARE = 0.1
_MOST_SPARE_SECONDS = 0.5
"""Kept back from the time: a solver looks at its deadline now and then, and bids travel."""


@dataclass(eq=False, slots=True)
class Turn:
    """A solver's time for one problem; in seconds of `time.monotonic`.

    Attributes:
        solver: in this slot.
        start: when it began.
        end: when bids stop to count.
        deadline: what the solver looks at.
    """

    solver: Solver
    start: float
    end: float
    deadline: Deadline


class Slots:
    """Solvers that are free, and calls that wait for one.

    Args:
        solvers: one for each slot.

    Attributes:
        count: of the slots.
        service_seconds: smoothed length of a turn; 0 before the first.
    """

    def __init__(self, solvers: Sequence[Solver]) -> None:
        self.count = len(solvers)
        self.service_seconds = 0.0
        self._free = list(solvers)
        self._waiters: deque[asyncio.Future[Solver]] = deque()
        self._turns: set[Turn] = set()

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._waiters)

    async def take(self, end: float) -> Turn:
        """A turn, to be given back. Raises TimeoutError where no slot is free before `end`.

        Who is cancelled leaves the queue at once.
        """
        solver = self._free.pop() if self._free else await self._wait(end)
        start = time.monotonic()
        turn = Turn(solver, start, end, Deadline(end))
        self._turns.add(turn)
        self._share()
        return turn

    def give(self, turn: Turn) -> None:
        """The solver has come to its end: the slot is for the next."""
        seconds = time.monotonic() - turn.start
        self.service_seconds += (seconds - self.service_seconds) / (
            8 if self.service_seconds else 1
        )
        self._turns.discard(turn)
        self._hand_on(turn.solver)

    async def _wait(self, end: float) -> Solver:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Solver] = loop.create_future()
        self._waiters.append(waiter)
        self._share()
        alarm = loop.call_later(max(0.0, end - time.monotonic()), _expire, waiter)
        try:
            return await waiter
        except BaseException:
            if not waiter.cancelled() and waiter.exception() is None:
                self._hand_on(waiter.result())  # it came when nobody waited any more
            else:
                with contextlib.suppress(ValueError):  # it was passed over in the same moment
                    self._waiters.remove(waiter)
                self._share()
            raise
        finally:
            alarm.cancel()

    def _hand_on(self, solver: Solver) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(solver)
                return
        self._free.append(solver)
        self._share()

    def _share(self) -> None:
        rounds = 1 + -(-len(self._waiters) // self.count)
        for turn in self._turns:
            turn.deadline.at = turn.start + _working((turn.end - turn.start) / rounds)


def _working(seconds: float) -> float:
    return seconds - min(_SPARE_SHARE * seconds, _MOST_SPARE_SECONDS)


def _expire(waiter: asyncio.Future[Solver]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


class Threads:
    """Threads that solvers run in; they end when this is not used any more.

    Leaner than an executor, whose futures cost more than a small problem does. They are daemons: a
    solver that hangs does not keep its process.
    """

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        for number in range(count):
            Thread(target=_work, args=(self._jobs,), name=f"solver-{number}", daemon=True).start()
            weakref.finalize(self, self._jobs.put, None)

    def start(self, job: Callable[[], None]) -> None:
        """Run a job, which must not raise, in the first thread that is free."""
        self._jobs.put(job)


def _work(jobs: "SimpleQueue[Callable[[], None] | None]") -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # while it waits it holds on to nothing
