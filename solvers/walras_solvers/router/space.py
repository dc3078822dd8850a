"""What a search writes to, so that nothing is allocated while it runs.

It is handed over as two arrays, as each argument of a compiled function costs time, and parted
there.
"""

from typing import NamedTuple

import numpy as np

from walras_solvers.pools import Ints, Pairs, Pools, Reals, compiled
from walras_solvers.router.linear import System
from walras_solvers.router.near import Near

BY_ASSET, BY_EDGE, BY_PAIR = 11, 3, 3
"""Arrays of floats."""

INTS_BY_EDGE, INTS_BY_PAIR = 2, 4
"""Arrays of integers."""


class Space(NamedTuple):
    """For all searches over some pools, one at a time; see `Parts`."""

    reals: Reals
    ints: Ints


class Parts(NamedTuple):
    """The same, parted.

    Attributes:
        system: for Newton's steps.
        near: pairs in reach.
        half, other_half: half the gradients by σ, n each.
        weight, other_weight: by edge.
        trial: σ to be tried, n.
        net: by slot.
    """

    system: System
    near: Near
    half: Reals
    other_half: Reals
    weight: Reals
    other_weight: Reals
    trial: Reals
    net: Reals


def make_space(pools: Pools, assets: int) -> Space:
    """Not yet written."""
    edges, pairs = len(pools.left), len(pools.pairs.left)
    reals = BY_ASSET * assets + BY_EDGE * edges + BY_PAIR * pairs + len(pools.slot)
    ints = INTS_BY_EDGE * edges + INTS_BY_PAIR * pairs
    return Space(np.empty(reals), np.empty(ints, dtype=np.int64))


@compiled
def parts(space: Space, pools: Pools, assets: int) -> Parts:
    """Of the space that `make_space` made for so many assets."""
    edges, pairs = len(pools.left), len(pools.pairs.left)
    reals, ints = space.reals, space.ints
    end = BY_ASSET * assets
    a = reals[:end].reshape(BY_ASSET, assets)
    first, end = end, end + BY_EDGE * edges
    e = reals[first:end].reshape(BY_EDGE, edges)
    first, end = end, end + BY_PAIR * pairs
    p = reals[first:end].reshape(BY_PAIR, pairs)
    last = INTS_BY_EDGE * edges
    i = ints[:last].reshape(INTS_BY_EDGE, edges)
    k = ints[last:].reshape(INTS_BY_PAIR, pairs)
    return Parts(
        System(i[0], i[1], e[0], a[0], a[1], a[2], a[3], a[4], a[5]),
        Near(a[6], a[7], Pairs(k[0], k[1], p[0], p[1], p[2]), k[2], k[3]),
        a[8],
        a[9],
        e[1],
        e[2],
        a[10],
        reals[end:],
    )
