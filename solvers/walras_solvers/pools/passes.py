"""One pass over all pools: what they gain at given prices, what they trade, how that answers
prices.
"""

import numpy as np

from walras_solvers.pools.arrays import Pools
from walras_solvers.pools.compiled import Reals, compiled
from walras_solvers.pools.curves import sweep_ladders, sweep_pairs, trade_ladders, trade_pairs
from walras_solvers.pools.invariants import trade_stable, trade_weighted

MOST_ASSETS = 8
"""Of one pool."""


@compiled
def sweep(pools: Pools, root: Reals, flow: Reals, weight: Reals) -> float:
    """Σ arb(ν) over all pools, a convex function of ν; `flow` is its gradient.

    Args:
        pools: n assets, m edges.
        root: √ν by asset, n, positive.
        flow: written: atoms of each asset that the pools pay out less what they take in, n.
        weight: written: by edge, m. diag(ν)·∇²(Σ arb)·diag(ν) is the graph Laplacian with these
            weights.

    Returns:
        What all trades together gain, in units of ν.
    """
    value = sweep_half(pools, root, flow, weight)
    for i in range(len(flow)):
        flow[i] = flow[i] / root[i] if root[i] > 0.0 else 0.0
    return value


@compiled
def sweep_half(pools: Pools, root: Reals, half: Reals, weight: Reals) -> float:
    """As `sweep`, but writes half of the gradient by √ν: the trade times √ν, without a division.

    Assets of which root is 0 are left out, if those of all their pools are.
    """
    half[:] = 0.0
    count = len(pools.pairs.left)
    value = sweep_pairs(pools.pairs, count, root, half, weight)
    return value + sweep_others(pools, root, half, weight, count)


@compiled
def sweep_others(pools: Pools, root: Reals, half: Reals, weight: Reals, edge: int) -> float:
    """All that are no pairs: their gains' sum; adds to `half`, writes weights from `edge` on."""
    value = sweep_ladders(pools.ladders, root, half, weight, edge)
    edge += len(pools.ladders.source)
    if len(pools.weighted.kept) + len(pools.stable.kept_in):
        net = np.empty(MOST_ASSETS)
        kind = pools.weighted
        for v in range(len(kind.kept)):
            value += trade_weighted(kind, v, root, net, weight[edge + kind.edge[v] :])
            for k in range(kind.start[v], kind.start[v + 1]):
                half[kind.asset[k]] += net[k - kind.start[v]] * root[kind.asset[k]]
        edge += kind.edge[-1]
        other = pools.stable
        for v in range(len(other.kept_in)):
            value += trade_stable(other, v, root, net, weight[edge + other.edge[v] :])
            for k in range(other.start[v], other.start[v + 1]):
                half[other.asset[k]] += net[k - other.start[v]] * root[other.asset[k]]
    return value


@compiled
def trades(pools: Pools, root: Reals, net: Reals) -> None:
    """What each pool trades: `net` is written by slot, atoms paid out less taken in.

    Args:
        pools: n assets.
        root: √ν by asset, n, positive.
        net: one for each slot.
    """
    count = len(pools.pairs.left)
    trade_pairs(pools.pairs, count, root, net)
    trade_others(pools, root, net, 2 * count)


@compiled
def trade_others(pools: Pools, root: Reals, net: Reals, slot: int) -> None:
    """Likewise of all that are no pairs, from `slot` on."""
    trade_ladders(pools.ladders, root, net, slot)
    slot += 2 * len(pools.ladders.source)
    weight = np.empty(MOST_ASSETS * MOST_ASSETS)
    kind = pools.weighted
    for v in range(len(kind.kept)):
        trade_weighted(kind, v, root, net[slot + kind.start[v] :], weight)
    slot += kind.start[-1]
    other = pools.stable
    for v in range(len(other.kept_in)):
        trade_stable(other, v, root, net[slot + other.start[v] :], weight)


@compiled
def laplacian(pools: Pools, weight: Reals, matrix: Reals) -> None:
    """Writes the graph Laplacian with these weights into `matrix`, n × n."""
    matrix[:] = 0.0
    for e in range(len(weight)):
        w = weight[e]
        if w != 0.0:
            i, j = pools.left[e], pools.right[e]
            matrix[i, i] += w
            matrix[j, j] += w
            matrix[i, j] -= w
            matrix[j, i] -= w
