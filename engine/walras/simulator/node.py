"""A node: slots, one queue first come first served, a speed, and what is wrong with it."""

from collections import deque
from heapq import heappop, heappush, heapreplace
from math import inf
from statistics import median

from walras.balance.events import Outcome
from walras.simulator.scenario import Fault, FaultKind
from walras.simulator.speed import Speed

_GONE = frozenset({"silent", "refuse"})
_CHEATING = 0.01
"""Of the work's time, what a wrong or broken answer takes."""
_KEPT = 5
_MOST_RIF = 64
"""With more in flight, a latency is not told apart."""


class Node:
    """A simulated node. The end of a call is known when it comes, as the queue's order and the
    node's speed are; so a call costs one event and O(log slots).

    Attributes:
        inside: calls it has, waiting or worked on.
        most: the most calls that have waited at once.
        fault: what is wrong with it now.
        life: how often it has come back; what it had before is lost.
        estimates: whether it keeps what `estimate` needs.
        good, used_us: calls it answered, and the time at full speed that its slots used for them.
    """

    __slots__ = (
        "_base",
        "_dies",
        "_ending",
        "_free",
        "_latencies",
        "_slots",
        "_speed",
        "estimates",
        "fault",
        "good",
        "inside",
        "life",
        "most",
        "used_us",
    )

    def __init__(self, slots: int, base: float, speed: Speed, faults: tuple[Fault, ...]) -> None:
        self._slots = slots
        self._base = base
        self._speed = speed
        self._free = [0.0] * slots
        self._dies = sorted((f.from_s * 1e6, f.kind) for f in faults if f.kind in _GONE)
        self.fault: FaultKind | None = None
        self.inside = self.most = self.life = self.good = 0
        self.used_us = 0.0
        self.estimates = False
        self._ending: list[tuple[float, int, float]] = []
        self._latencies: dict[int, deque[float]] = {}

    @property
    def alive(self) -> bool:
        """Whether it answers at all."""
        return self.fault not in _GONE

    @property
    def reports(self) -> int:
        """The calls in flight that it reports."""
        return 0 if self.fault == "zero_load" else self.inside

    def turn(self, fault: FaultKind | None, now_us: float) -> None:
        """Something goes wrong with it, or is right again."""
        was_gone = not self.alive
        self.fault = fault
        if not self.alive:
            self._dies = [death for death in self._dies if death[0] > now_us]
            self.inside = 0
            self.life += 1
        elif was_gone:
            self._free = [now_us] * self._slots
            self.inside = 0
            self.life += 1

    def take(self, now_us: float, work_us: float, deadline_us: float) -> tuple[float, Outcome]:
        """A call comes; returns when it ends here, and how."""
        if self.fault is not None and self.fault != "zero_load":
            return self._take_wrongly(now_us, work_us, deadline_us)
        self.inside += 1
        waiting = self.inside - self._slots
        self.most = max(self.most, waiting)
        start = self._free[0]
        start = max(start, now_us)
        if start >= deadline_us:
            return self._unless_dead(deadline_us, Outcome.TIMEOUT, deadline_us)
        end = self._speed.finish(start, work_us)
        outcome = Outcome.OK
        if end > deadline_us:
            end, outcome = deadline_us, Outcome.TIMEOUT
        heapreplace(self._free, end)
        if self.estimates:
            heappush(self._ending, (end, self.inside - 1, end - now_us))
        return self._unless_dead(end, outcome, deadline_us) if self._dies else (end, outcome)

    def estimate(self, now_us: float) -> tuple[int, int]:
        """Its answer to a probe of Prequal: calls in flight, and the median latency in µs of the
        last calls that came when about as many were. Source: NSDI 2024, §4.1.
        """
        while self._ending and self._ending[0][0] <= now_us:
            _, found, took = heappop(self._ending)
            self._latencies.setdefault(min(found, _MOST_RIF), deque(maxlen=_KEPT)).append(took)
        rif = self.reports
        if not self._latencies:
            return rif, 1
        nearest = min(self._latencies, key=lambda other: (abs(other - rif), other))
        return rif, max(1, int(median(self._latencies[nearest])))

    def leave(self, life: int, work_us: float, outcome: Outcome) -> None:
        """A call that came in this life has ended here."""
        if life != self.life:
            return
        self.inside -= 1
        if outcome is Outcome.OK:
            self.good += 1
            self.used_us += work_us / self._base

    def _take_wrongly(
        self, now_us: float, work_us: float, deadline_us: float
    ) -> tuple[float, Outcome]:
        self.inside += 1
        if self.fault == "silent":
            return deadline_us, Outcome.TIMEOUT
        if self.fault == "refuse":
            return now_us, Outcome.ERROR
        end = min(now_us + work_us * _CHEATING, deadline_us)
        return end, Outcome.OK if self.fault == "fade" else Outcome.ERROR

    def _unless_dead(
        self, end: float, outcome: Outcome, deadline_us: float
    ) -> tuple[float, Outcome]:
        death, kind = self._dies[0] if self._dies else (inf, "silent")
        if end <= death:
            return end, outcome
        if kind == "refuse":
            return death, Outcome.ERROR
        return deadline_us, Outcome.TIMEOUT
