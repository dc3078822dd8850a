"""Prices to begin a search with."""

from walras_solvers.pools import Pools, Reals, compiled
from walras_solvers.router.linear import System, solve

TOLERANCE = 1e-2
"""Of the linear system, as in `solve`."""

LEAST_FACTOR = 0.1
"""No root price becomes less than this part of what it is along the first pools found."""

ASIDE = 0.05
"""What pools between assets that are neither given nor wanted count, as a part."""


@compiled
def start(pools: Pools, supply: Reals, target: int, root: Reals, system: System) -> int:
    """Writes σ to begin with: where the dual is least if it is known which pools trade.

    Those that take what is supplied, or pay what is wanted, surely do, and keep their fee. Of the
    others few do; each counts a little, without a fee. That leaves one linear system.

    Assets that no pools connect with the target get 0.

    Returns:
        Products with the matrix.
    """
    _first(pools, target, root)
    diagonal, right = system.diagonal, system.right
    n = len(root)
    for i in range(n):
        worth = max(supply[i], 0.0) * root[i] * root[i]
        diagonal[i] = worth
        right[i] = -worth
    edges = 0
    pairs = len(pools.pairs.left)
    for e in range(len(pools.left)):
        a, b = pools.left[e], pools.right[e]
        u, v = root[a] * pools.near_left[e], root[b] * pools.near_right[e]
        if u == 0.0:
            continue
        flow = (supply[a] > 0.0) - (supply[b] > 0.0) + (b == target) - (a == target)
        part = ASIDE
        if flow != 0:
            part = 1.0
            if e < pairs:
                if flow > 0:
                    u *= pools.pairs.loss[e]
                else:
                    v *= pools.pairs.loss[e]
        diagonal[a] += part * u * u
        diagonal[b] += part * v * v
        right[a] += part * u * (v - u)
        right[b] += part * v * (u - v)
        if target not in (a, b):
            system.first[edges] = a
            system.second[edges] = b
            system.weight[edges] = part * u * v
            edges += 1
    for i in range(n):
        if not diagonal[i] > 0.0:
            diagonal[i] = 1.0
    diagonal[target] = 1.0
    right[target] = 0.0
    products = solve(system, edges, TOLERANCE)
    for i in range(n):
        root[i] *= max(1.0 + system.x[i], LEAST_FACTOR)
    return products


@compiled
def _first(pools: Pools, target: int, root: Reals) -> None:
    """Prices along the first edges found, from the target outwards."""
    n, m = len(root), len(pools.left)
    root[:] = 0.0
    root[target] = 1.0
    left = n - 1
    found = forward = True
    while found and left > 0:
        found = False
        for k in range(m):
            e = k if forward else m - 1 - k
            a, b = pools.left[e], pools.right[e]
            s, t = root[a], root[b]
            if (s > 0.0) == (t > 0.0):
                continue
            if s > 0.0:
                root[b] = s * pools.near_left[e] / pools.near_right[e]
            else:
                root[a] = t * pools.near_right[e] / pools.near_left[e]
            found = True
            left -= 1
            if left == 0:
                break
        forward = not forward
