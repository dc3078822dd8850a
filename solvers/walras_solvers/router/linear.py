"""Linear systems over a graph of assets: (D − W)·x = b, with D diagonal, W ≥ 0 and symmetric.

Each edge of the graph is a row of three numbers, so that a product with the matrix is one pass over
the edges. Conjugate gradients end after few products where many pools hold the assets together; on
a long thin graph, a dense factorisation of up to DENSE rows is the better way.
"""

from typing import NamedTuple

import numpy as np

from walras_solvers.pools import Ints, Reals, compiled
from walras_solvers.pools.compiled import inlined

DENSE = 300
"""Up to so many assets a system that conjugate gradients do not end soon is factorised."""


class System(NamedTuple):
    """Space for one system of n rows and up to m edges.

    Attributes:
        first, second, weight: edges; those of one `first` follow each other where they did before.
        diagonal, right, x: n each.
        residual, direction, product: scratch, n each.
    """

    first: Ints
    second: Ints
    weight: Reals
    diagonal: Reals
    right: Reals
    x: Reals
    residual: Reals
    direction: Reals
    product: Reals


@inlined
def solve(system: System, edges: int, tolerance: float) -> int:
    """x, so that the residual is `tolerance` of what it is at 0, in the norm of D^(-1).

    A tolerance of ½ and less is met unless n conjugate gradients do not, and n is above DENSE.

    Args:
        system: positive definite, its diagonal positive.
        edges: how many it has.
        tolerance: below 1.

    Returns:
        Products with the matrix.
    """
    n = len(system.x)
    most = n if n > DENSE else min(n, 16 + n // 4)
    used = _conjugate_gradients(system, edges, tolerance, most)
    if used < 0 and n <= DENSE:
        _factorised(system, edges)
        used = -used
    return abs(used)


@compiled
def _conjugate_gradients(system: System, edges: int, tolerance: float, most: int) -> int:
    """The products used; below 0 where that many were not enough.

    Source: Shewchuk, "An introduction to the conjugate gradient method without the agonizing pain"
    (1994), B3, with the diagonal as the preconditioner.
    """
    diagonal, x, r = system.diagonal, system.x, system.residual
    p, q = system.direction, system.product
    n = len(x)
    size = 0.0
    for i in range(n):
        x[i] = 0.0
        r[i] = system.right[i]
        p[i] = r[i] / diagonal[i]
        size += r[i] * p[i]
    enough = tolerance * tolerance * size
    for used in range(most):
        if size <= enough:
            return used
        _multiply(system, edges)
        bend = 0.0
        for i in range(n):
            bend += p[i] * q[i]
        if bend <= 0.0:  # rounding, at the end of what can be solved
            return used
        step = size / bend
        before, size = size, 0.0
        for i in range(n):
            x[i] += step * p[i]
            r[i] -= step * q[i]
            size += r[i] * r[i] / diagonal[i]
        for i in range(n):
            p[i] = r[i] / diagonal[i] + size / before * p[i]
    return -most


@compiled
def _multiply(system: System, edges: int) -> None:
    """Product = (D − W)·direction."""
    p, q = system.direction, system.product
    for i in range(len(p)):
        q[i] = system.diagonal[i] * p[i]
    at, inside, total = -1, 0.0, 0.0
    for e in range(edges):
        a, b, w = system.first[e], system.second[e], system.weight[e]
        if a != at:  # edges of one asset are added up in a register
            if at >= 0:
                q[at] -= total
            at, inside, total = a, p[a], 0.0
        total += w * p[b]
        q[b] -= w * inside
    if at >= 0:
        q[at] -= total


@compiled
def _factorised(system: System, edges: int) -> None:
    """Solves for x by Cholesky's method, row by row."""
    n = len(system.x)
    lower = np.zeros((n, n))
    for i in range(n):
        lower[i, i] = system.diagonal[i]
    for e in range(edges):
        a, b = system.first[e], system.second[e]
        lower[max(a, b), min(a, b)] -= system.weight[e]
    x = system.x
    for i in range(n):
        for j in range(i):
            total = lower[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            lower[i, j] = total / lower[j, j]
        pivot = lower[i, i]
        for k in range(i):
            pivot -= lower[i, k] * lower[i, k]
        # A part of the graph that nothing holds: it stays where it is.
        lower[i, i] = np.sqrt(pivot) if pivot > 1e-14 * system.diagonal[i] else np.inf
        total = system.right[i]
        for k in range(i):
            total -= lower[i, k] * x[k]
        x[i] = total / lower[i, i]
    for i in range(n - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, n):
            total -= lower[k, i] * x[k]
        x[i] = total / lower[i, i]
