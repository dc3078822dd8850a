"""From trades that almost add up to trades that do.

Each asset hands what it has left over, or lacks, to one trade that leads on towards the target, and
so on, the farthest assets first, to the target itself.
"""

import numpy as np

from walras_solvers.pools import Ladders, Pairs, Pools, Reals, compiled


@compiled
def mend(
    pools: Pools, pairs: Pairs, count: int, supply: Reals, target: int, root: Reals, net: Reals
) -> float:
    """Changes `net` so that nothing lacks beside the target; the atoms of it that come out.

    Only pairs and ladders are changed. What still lacks then is taken off at its price.

    Args:
        pools: n assets.
        pairs: instead of the pools' own.
        count: how many of them there are.
        supply: atoms of each asset to begin with, n.
        target: an asset.
        root: √ν, n.
        net: by slot: atoms paid out less taken in.
    """
    n = len(root)
    ladders = pools.ladders
    simple = count + len(ladders.source)
    left = supply.copy()
    # Of each trade: its slot and asset on the side of the input, and the asset it pays.
    taking, given, gained = np.empty((3, simple), np.int64)
    moving = 0
    for u in range(simple):
        if net[2 * u] == 0.0 and net[2 * u + 1] == 0.0:
            continue
        k = u - count
        a, b = (pairs.left[u], pairs.right[u]) if k < 0 else (ladders.source[k], ladders.target[k])
        left[a] += net[2 * u]
        left[b] += net[2 * u + 1]
        second = net[2 * u] >= 0.0
        taking[moving] = 2 * u + second
        given[moving], gained[moving] = (b, a) if second else (a, b)
        moving += net[2 * u + second] < 0.0
    for k in range(len(pools.weighted.asset)):
        left[pools.weighted.asset[k]] += net[2 * simple + k]
    for k in range(len(pools.stable.asset)):
        left[pools.stable.asset[k]] += net[2 * simple + len(pools.weighted.asset) + k]
    # Assets from which trades lead to the target: an order in which each leads to one before it.
    order, rank = np.empty(n, np.int64), np.full(n, n)
    order[0], rank[target] = target, 0
    ranked, before = 1, 0
    while before < ranked < n:
        before = ranked
        for m in range(moving):
            if rank[given[m]] == n and rank[gained[m]] < n:
                order[ranked], rank[given[m]] = given[m], ranked
                ranked += 1
    # Of the trades that lead an asset on, the one with the most room.
    onward, most = np.full(n, -1), np.zeros(n)
    for m in range(moving):
        a = given[m]
        if rank[gained[m]] < rank[a] and -net[taking[m]] > most[a]:
            most[a] = -net[taking[m]]
            onward[a] = taking[m]
    for k in range(ranked - 1, 0, -1):
        a = order[k]
        if left[a] != 0.0:
            slot = onward[a]
            u, other = slot // 2, slot ^ 1
            taken = max(-net[slot] + left[a], 0.0)
            if u < count:
                taken, paid = _pays(pairs, u, slot % 2, taken)
                b = pairs.left[u] if slot % 2 else pairs.right[u]
            else:
                taken, paid = _down(ladders, u - count, taken)
                b = ladders.target[u - count]
            left[a] += -net[slot] - taken
            left[b] += paid - net[other]
            net[slot], net[other] = -taken, paid
    lacking = 0.0
    for a in range(n):
        if a != target:
            lacking -= min(left[a], 0.0) * root[a] * root[a]
    return float(left[target] - lacking)


@compiled
def _pays(pairs: Pairs, u: int, given: int, taken: float) -> tuple[float, float]:
    """(atoms in, atoms out) of a pair for `taken` atoms."""
    x, y = pairs.root_left[u] ** 2, pairs.root_right[u] ** 2
    if given == 1:
        x, y = y, x
    kept = taken / (pairs.loss[u] * pairs.loss[u])
    return taken, y * kept / (x + kept)


@compiled
def _down(ladders: Ladders, ladder: int, taken: float) -> tuple[float, float]:
    """The same of a ladder, or of as many atoms as it takes."""
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
