"""The pairs that can trade at all while prices stay in a box around where they are.

Near the minimum prices hardly move any more, and fees keep most pools out of it. What trades
nowhere in the box is left out of every pass until prices leave it; the others stand together in
memory. That is exact: a product of floats is monotone, so what is left out trades in no rounding
either.
"""

from typing import NamedTuple

from walras_solvers.pools import Ints, Pairs, Reals, compiled
from walras_solvers.pools.compiled import inlined

WIDE, SPREAD = 2.0, 0.5
"""How far the box reaches, in steps: of the asset itself, and of all on average."""

NARROWER = 0.25
"""Where the box can be so much smaller, it is made anew."""


class Near(NamedTuple):
    """Pairs in reach; written while a search runs.

    Attributes:
        low, high: root prices between which no other pair trades, n each.
        pairs: those in reach come first.
        unit: of each, its place among all pairs.
        place: scratch.
    """

    low: Reals
    high: Reals
    pairs: Pairs
    unit: Ints
    place: Ints


class Box(NamedTuple):
    """Where passes look.

    Attributes:
        within: at how many pairs.
        size: of the step that it was made for, in parts of the prices, summed up.
    """

    within: int
    size: float


@inlined
def inside(near: Near, root: Reals) -> bool:
    """Whether these prices are in the box."""
    within = True
    for i in range(len(root)):
        within = within and near.low[i] <= root[i] <= near.high[i]
    return within


@inlined
def narrowed(near: Near, box: Box, root: Reals, step: Reals) -> Box:
    """The box for the next steps from prices in it: a smaller one, where it can be much smaller.

    Args:
        near: changed.
        box: as it is.
        root: in the box, n.
        step: the next one, in parts of the prices, n.
    """
    size = 0.0
    for i in range(len(step)):
        size += abs(step[i])
    if size < NARROWER * box.size:
        _reach(near, root, step, size, True)
        box = Box(_take(near.pairs, box.within, near, False), size)
    return box


@compiled
def around(every: Pairs, near: Near, root: Reals, step: Reals) -> Box:
    """A new box around any prices; as `narrowed`, from all pairs."""
    size = 0.0
    for i in range(len(step)):
        size += abs(step[i])
    _reach(near, root, step, size, False)
    return Box(_take(every, len(every.left), near, True), size)


@inlined
def _reach(near: Near, root: Reals, step: Reals, size: float, clip: bool) -> None:
    """Writes the box; not beyond the one that is, if `clip`."""
    mean = size / len(step)
    for i in range(len(root)):
        reach = WIDE * abs(step[i]) + SPREAD * mean
        low, high = root[i] * max(1.0 - reach, 0.0), root[i] * (1.0 + reach)
        near.low[i] = max(low, near.low[i]) if clip else low
        near.high[i] = min(high, near.high[i]) if clip else high


@compiled
def _take(pairs: Pairs, among: int, near: Near, anew: bool) -> int:
    """Puts together those of the pairs that can trade in the box; how many they are.

    If `anew`, `pairs` are all pairs, and else those put together before.
    """
    low, high, place, out = near.low, near.high, near.place, near.pairs
    count = 0
    for p in range(among):
        a, b, loss = pairs.left[p], pairs.right[p], pairs.loss[p]
        x, y = pairs.root_left[p], pairs.root_right[p]
        there = loss * (low[a] * x) < high[b] * y
        back = loss * (low[b] * y) < high[a] * x
        place[count] = p  # kept if the next one does not take its place
        count += there | back
    for k in range(count):
        p = place[k]
        near.unit[k] = p if anew else near.unit[p]
        out.left[k] = pairs.left[p]
        out.right[k] = pairs.right[p]
        out.root_left[k] = pairs.root_left[p]
        out.root_right[k] = pairs.root_right[p]
        out.loss[k] = pairs.loss[p]
    return count
