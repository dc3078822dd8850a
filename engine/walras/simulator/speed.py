"""How fast a node is as time goes: machines are shared with other tenants, its antagonists.

Speed 1 is what the node was allocated. The work done by a time is the integral of the speed, so
when a call will be done is known once it starts.
"""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator


@dataclass(frozen=True, slots=True)
class Antagonists:
    """Other tenants of a node's machine, on and off for exponential times.

    Attributes:
        share: of the nodes that have them.
        mean_on_ms, mean_off_ms: how long they work and rest.
        speed_on, speed_off: the node's speed meanwhile; above 1 where their rest leaves it more
            than its allocation.

    Source: Wydrowski et al., Load is not what you should balance, NSDI 2024, §2.
    """

    share: float = 1.0
    mean_on_ms: float = 1_000.0
    mean_off_ms: float = 2_000.0
    speed_on: float = 0.5
    speed_off: float = 1.0


class Speed:
    """Piecewise constant speed from time 0 on; the last piece goes on for ever.

    Args:
        starts: µs at which pieces start; the first is 0.
        speeds: of the pieces, > 0.
    """

    def __init__(self, starts: list[float], speeds: list[float]) -> None:
        self._starts = starts
        self._speeds = speeds
        lengths = np.diff(np.array(starts))
        done = np.concatenate(([0.0], np.cumsum(lengths * np.array(speeds[:-1]))))
        self._done: list[float] = done.tolist()

    def finish(self, start: float, work: float) -> float:
        """When `work` µs at speed 1 that start at `start` are done."""
        speeds = self._speeds
        if len(speeds) == 1:
            return start + work / speeds[0]
        starts = self._starts
        at = bisect_right(starts, start) - 1
        end = start + work / speeds[at]
        if at + 1 == len(starts) or end <= starts[at + 1]:
            return end
        target = self._done[at] + (start - starts[at]) * speeds[at] + work
        at = bisect_right(self._done, target) - 1
        return starts[at] + (target - self._done[at]) / speeds[at]

    def mean(self, until: float) -> float:
        """Over the time from 0 to `until`, > 0."""
        at = bisect_right(self._starts, until) - 1
        return (self._done[at] + (until - self._starts[at]) * self._speeds[at]) / until


def constant(speed: float) -> Speed:
    """The same speed at all times."""
    return Speed([0.0], [speed])


def hindered(found: Antagonists, base: float, until_us: float, source: Generator) -> Speed:
    """A node of speed `base` with antagonists, up to `until_us`; they start in equilibrium."""
    means = (found.mean_off_ms * 1_000, found.mean_on_ms * 1_000)
    rates = (base * found.speed_off, base * found.speed_on)
    on = int(source.random() * sum(means) < means[1])
    starts, speeds, now = [], [], 0.0
    while now < until_us:
        starts.append(now)
        speeds.append(rates[on])
        now += source.standard_exponential() * means[on]
        on = 1 - on
    return Speed(starts, speeds)
