"""What solving a batch costs, for admission: an estimate that no single operator makes.

Every operator group that was asked for a part has one voice, its quickest node, and the lower
median of the voices counts: with three or more no group moves it past what the others took. Who
says at once that there is nothing has a voice only where nobody found more. And whatever a batch
says, it moves the last estimate by no more than a factor of two.

Source: for the median, P. J. Huber, Robust Statistics (1981), §1.3 (its breakdown point is 1/2).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from walras.balance.estimates import lower_median
from walras.balance.events import Brought

MOST_STEP = 2
"""An estimate grows, or shrinks, by no more than this factor with one batch."""


@dataclass(frozen=True, slots=True)
class Effort:
    """A call for a part that ended by itself, in time.

    Attributes:
        group: its node's operator group; a node without one stands for itself, by its key.
        us: what it took on a free slot, ≥ 1.
        brought: what came of it.
    """

    group: str | bytes
    us: int
    brought: Brought


def part_work_us(efforts: Iterable[Effort]) -> int:
    """What solving a part once takes; 0 where nobody has a voice.

    The lower median over groups of each one's quickest call, without those that missed what another
    node found.
    """
    quickest: dict[str | bytes, int] = {}
    for effort in efforts:
        if effort.brought is not Brought.MISSED:
            quickest[effort.group] = min(effort.us, quickest.get(effort.group, effort.us))
    return lower_median(quickest.values())


def batch_work_us(parts: Iterable[tuple[int, Iterable[Effort]]]) -> int:
    """What solving all parts once takes; 0 where nobody has a voice on any.

    A part without a voice is taken to cost as much an intent as the others.

    Args:
        parts: how many intents each has, and the calls for it.
    """
    every = told = work = 0
    for intents, efforts in parts:
        every += intents
        took = part_work_us(efforts)
        if took:
            told += intents
            work += took
    return work * every // told if told else 0


def bounded_work(work: float, last: float) -> float:
    """The next estimate: `work`, within a factor of two of the last one; 0: there was none."""
    return min(max(work, last / MOST_STEP), last * MOST_STEP) if last else work
