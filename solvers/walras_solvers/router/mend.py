"""From trades that almost add up to trades that do.

Each asset hands what it has left over, or lacks, to one trade that leads on towards the target, and
so on from the farthest asset to the target itself.
"""

import numpy as np

from walras_solvers.pools import Ladders, Pools, Reals, compiled

FAR = 1 << 30


@compiled
def mend(pools: Pools, supply: Reals, target: int, root: Reals, net: Reals) -> float:
    """Changes `net` so that nothing lacks beside the target; the atoms of it that come out.

    Only pairs and ladders are changed. What still lacks then is taken off at its price.

    Args:
        pools: n assets.
        supply: atoms of each asset to begin with, n.
        target: an asset.
        root: √ν, n.
        net: by slot: atoms paid out less taken in.
    """
    n = len(root)
    left = supply.copy()
    for s in range(len(net)):
        left[pools.slot[s]] += net[s]
    simple = len(pools.pairs.left) + len(pools.ladders.source)
    level = np.full(n, FAR)
    level[target] = 0
    depth = 0
    found = True
    while found:
        found = False
        for u in range(simple):
            given = 0 if net[2 * u] < 0.0 else 1
            if net[2 * u + given] < 0.0:
                a, b = pools.slot[2 * u + given], pools.slot[2 * u + 1 - given]
                if level[b] == depth and level[a] == FAR:
                    level[a] = depth + 1
                    found = True
        depth += 1
    # Of the trades that lead an asset on, the one with the most room.
    onward = np.full(n, -1)
    most = np.zeros(n)
    for u in range(simple):
        given = 0 if net[2 * u] < 0.0 else 1
        a, b = pools.slot[2 * u + given], pools.slot[2 * u + 1 - given]
        if level[b] < level[a] and -net[2 * u + given] > most[a]:
            most[a] = -net[2 * u + given]
            onward[a] = 2 * u + given
    order = np.argsort(-level)
    lacking = 0.0
    for k in range(n):
        a = order[k]
        if a == target or left[a] == 0.0:
            continue
        slot = onward[a]
        if slot >= 0:
            u = slot // 2
            other = 2 * u + 1 - slot % 2
            taken = max(-net[slot] + left[a], 0.0)
            taken, paid = _pays(pools, u, slot % 2, taken)
            left[a] += -net[slot] - taken
            left[pools.slot[other]] += paid - net[other]
            net[slot], net[other] = -taken, paid
        if left[a] < 0.0:
            lacking -= left[a] * root[a] * root[a]
    return float(left[target] - lacking)


@compiled
def _pays(pools: Pools, u: int, given: int, taken: float) -> tuple[float, float]:
    """(atoms in, atoms out) of a pair or ladder for `taken` atoms, or as many as it takes."""
    pairs = pools.pairs
    if u < len(pairs.left):
        x, y = pairs.root_left[u] ** 2, pairs.root_right[u] ** 2
        if given == 1:
            x, y = y, x
        kept = taken / (pairs.loss[u] * pairs.loss[u])
        return taken, y * kept / (x + kept)
    return _down(pools.ladders, u - len(pairs.left), taken)


@compiled
def _down(ladders: Ladders, ladder: int, taken: float) -> tuple[float, float]:
    first, last = ladders.start[ladder], ladders.start[ladder + 1] - 1
    low, high = first, last
    while low < high:  # the last stretch that begins before so much is taken
        middle = (low + high + 1) // 2
        if ladders.taken[middle] <= taken:
            low = middle
        else:
            high = middle - 1
    depth, top = ladders.liquidity[low], ladders.high[low]
    part = taken - ladders.taken[low]
    whole = depth * (1 / ladders.low[low] - 1 / top)
    if part > whole:
        part, taken = whole, ladders.taken[low] + whole
    end = 1 / (1 / top + part / depth)
    return taken, ladders.paid[low] + depth * (top - end)
