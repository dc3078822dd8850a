"""Some of the pools, as arrays of their own."""

import numpy as np
from numpy.typing import NDArray

from walras_solvers.pools.arrays import Ladders, Pairs, Pools, Stable, Weighted
from walras_solvers.pools.compiled import Ints


def units(pools: Pools) -> Ints:
    """Slot → its unit: pairs, ladders, weighted and stable pools, numbered in this order."""
    count = len(pools.pairs.left) + len(pools.ladders.source)
    w, s = pools.weighted.start, pools.stable.start
    sizes = np.concatenate([np.full(count, 2, dtype=np.int64), np.diff(w), np.diff(s)])
    return np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)


def subset(pools: Pools, keep: NDArray[np.bool_]) -> tuple[Pools, Ints]:
    """The pools with the units to keep, of the same assets; and where each of its slots was.

    Args:
        pools: any.
        keep: by unit.
    """
    pairs, ladders, weighted, stable = pools.pairs, pools.ladders, pools.weighted, pools.stable
    ends = np.cumsum([len(pairs.left), len(ladders.source), len(weighted.kept)])
    of_pairs, of_ladders, of_weighted, of_stable = np.split(keep, ends)
    stretch = np.repeat(of_ladders, np.diff(ladders.start))
    place, part = (
        np.repeat(of, np.diff(kind.start))
        for of, kind in ((of_weighted, weighted), (of_stable, stable))
    )
    edges = np.concatenate(
        [
            of_pairs,
            of_ladders,
            np.repeat(of_weighted, np.diff(weighted.edge)),
            np.repeat(of_stable, np.diff(stable.edge)),
        ]
    )
    slots = np.concatenate([np.repeat(of_pairs, 2), np.repeat(of_ladders, 2), place, part])
    chosen = Pools._make(
        [
            Pairs._make(column[of_pairs] for column in pairs),
            Ladders._make(
                [
                    ladders.source[of_ladders],
                    ladders.target[of_ladders],
                    _starts(ladders.start, of_ladders),
                    *(column[stretch] for column in ladders[3:]),
                ]
            ),
            Weighted._make(
                [
                    _starts(weighted.start, of_weighted),
                    _starts(weighted.edge, of_weighted),
                    weighted.kept[of_weighted],
                    *(column[place] for column in weighted[3:]),
                ]
            ),
            Stable._make(
                [
                    _starts(stable.start, of_stable),
                    _starts(stable.edge, of_stable),
                    *(column[of_stable] for column in stable[2:5]),
                    *(column[part] for column in stable[5:]),
                ]
            ),
            *(column[edges] for column in pools[4:8]),
            pools.slot[slots],
        ]
    )
    return chosen, np.flatnonzero(slots)


def _starts(start: Ints, keep: NDArray[np.bool_]) -> Ints:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.diff(start)[keep])])
