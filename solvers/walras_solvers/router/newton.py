"""The dual of routing, minimised: prices at which the pools' best trades add up to a plan.

    maximise  what comes out of asset t        over what each pool can do
    subject to  supply + Σ trades ≥ 0          for every other asset

has the dual: minimise supply·ν + Σ arb(ν) over prices with ν_t = 1. At every ν it is an upper bound
    of
what any plan pays; at its minimum the trades that attain arb(ν) are the best plan. Sources:
Diamandis, Resnick, Chitra, Angeris, "An efficient algorithm for optimal routing through constant
function market makers" (2023); Diamandis, Angeris, Edelman, "Convex network flows" (2024).

Here the variables are σ = √ν, changed by factors 1 + d. With r the worth of what is left over,
ν·(supply + Σ trades), and L the Laplacian of the pools' curvature, Newton's step solves
(2L + diag(r))·d = −r. For constant-product pools the dual is convex and piecewise quadratic in σ,
so that the steps end exactly once it is known which pools trade; without fees the first step is the
last.
"""

from typing import NamedTuple

import numpy as np

from walras_solvers.pools import Pairs, Pools, Reals, compiled
from walras_solvers.pools.compiled import inlined
from walras_solvers.pools.curves import sweep_pairs
from walras_solvers.pools.passes import sweep_others
from walras_solvers.router.linear import System, solve
from walras_solvers.router.near import Box, around, inside, narrowed
from walras_solvers.router.space import Parts

STEPS = 100
"""Of Newton's method; some ten are used."""

TURNS, ENOUGH = 30, 6
"""Passes for one step: at most; and until any progress will do."""

DECREASE = 1e-4
"""Of what the slope promises, a step keeps at least this part (Armijo)."""

LEAST_FACTOR = 0.1
"""No step makes a root price smaller than this part of what it was."""

FIRST_STEP = 2e-4
"""Guessed, for a box of prices to begin with."""

LOOSEST, TIGHTEST = 0.1, 1e-5
"""Of a step's linear system: as the square root of the residual, within these."""

HOLD, LEAST_HELD, MOST_HELD, TIGHTER, LOOSER = 1e-3, 1e-7, 1.0, 4.0, 0.3
"""Once a step went too far, pools that do not trade count in the next with a part of what they
would: HOLD at first, more with each step that goes too far, less with each that does not.
"""

NOISE = 1e-11
"""Where a step changes the dual by less than this part of it, rounding hides what it brings; then a
step is good if it makes the slope flatter.
"""

FLATTER = 0.5

PATIENCE = 6
"""Steps in a row that may bring neither the dual nor the residual down."""


class Ended(NamedTuple):
    """How a search ended.

    Attributes:
        value: of the dual: no plan brings more.
        residual: Σ |worth of what is left over or lacks|, beside the target's.
        steps, passes, products: Newton's steps, passes over the pools, products with a matrix.
    """

    value: float
    residual: float
    steps: int
    passes: int
    products: int


@compiled
def minimise(
    pools: Pools, supply: Reals, target: int, root: Reals, space: Parts, tolerance: float
) -> tuple[Ended, Box]:
    """Prices that minimise the dual.

    Args:
        pools: n assets.
        supply: atoms of each asset that are to be sold, n; below 0, that are to be bought.
        target: the asset with price 1.
        root: σ to begin with, n, 1 at `target`; written: where the search ended.
        space: for these pools; `space.near` holds the pairs that can trade near the end.
        tolerance: the residual that is small enough, as a part of the dual's value.

    Returns:
        How it ended, and the box that it ended in.
    """
    n = len(root)
    smooth = len(pools.left) == len(pools.pairs.left) and supply.min() >= 0.0
    half, other_half = space.half, space.other_half
    weight, other_weight = space.weight, space.other_weight
    system, near = space.system, space.near
    system.x[:] = FIRST_STEP
    box = around(pools.pairs, near, root, system.x)
    value = _dual(pools, near.pairs, box.within, supply, root, half, weight)
    residual = least = lowest = np.inf
    hold = 0.0
    idle = 0
    steps, passes, products = 0, 1, 0
    while steps < STEPS:
        residual = lift = 0.0
        for i in range(n):
            if i != target:
                residual += abs(half[i] * root[i])
                lift += max(supply[i], 0.0) * root[i] * root[i]
        size = max(abs(value), lift)
        if residual < 0.9 * least or value < lowest - NOISE * size:
            least, lowest, idle = min(least, residual), value, 0
        else:
            idle += 1
        if residual <= tolerance * size or idle > PATIENCE:
            break
        part = residual / size
        edges = _newton_system(
            pools,
            near.pairs,
            box.within,
            root,
            half,
            weight,
            target,
            smooth,
            hold * min(1.0, part),
            system,
        )
        products += solve(system, edges, min(LOOSEST, max(TIGHTEST, np.sqrt(part))))
        slope = 0.0
        longest = np.inf
        for i in range(n):
            slope -= 2.0 * system.right[i] * system.x[i]
            if system.x[i] < 0.0:
                longest = min(longest, (LEAST_FACTOR - 1.0) / system.x[i])
        box = narrowed(near, box, root, system.x)
        step, box = _along(
            pools, supply, root, value, slope, longest, size, other_half, other_weight, space, box
        )
        passes += int(step.passes)
        if step.far:
            hold = min(MOST_HELD, max(TIGHTER * hold, HOLD))
        elif step.passes == 1:
            hold = LOOSER * hold if hold > LEAST_HELD else 0.0
        if not step.taken:
            break
        steps += 1
        value = step.value
        root[:] = space.trial
        half, other_half = other_half, half
        weight, other_weight = other_weight, weight
    if not inside(near, root):  # the last step was given up, outside of the box around them
        system.x[:] = 0.0
        box = around(pools.pairs, near, root, system.x)
    return Ended(value, residual, steps, passes, products), box


class _Length(NamedTuple):
    """How far a step goes.

    Attributes:
        taken: whether it brings anything.
        far: whether the whole step would have gone too far.
        value: of the dual there.
        passes: over the pools.
    """

    taken: bool
    far: bool
    value: float
    passes: int


@inlined
def _along(
    pools: Pools,
    supply: Reals,
    root: Reals,
    value: float,
    slope: float,
    longest: float,
    size: float,
    half: Reals,
    weight: Reals,
    space: Parts,
    box: Box,
) -> tuple[_Length, Box]:
    """Sought along the step is where the slope is half as steep, by Newton's method again.

    Writes space.trial, and `half` and `weight` there.
    """
    n = len(root)
    trial, x = space.trial, space.system.x
    factor, low, high = min(1.0, longest), 0.0, np.inf
    tried = value
    taken = far = False
    turn = 0
    for turn in range(TURNS):
        for i in range(n):
            trial[i] = root[i] * (1.0 + factor * x[i])
        if not inside(space.near, trial):
            box = around(pools.pairs, space.near, trial, x)
        tried = _dual(pools, space.near.pairs, box.within, supply, trial, half, weight)
        ahead = 0.0
        for i in range(n):
            ahead += 2.0 * half[i] * root[i] * x[i]
        lower = tried <= value + DECREASE * factor * slope
        flat = abs(ahead) <= -FLATTER * slope
        hidden = abs(tried - value) <= NOISE * size
        taken = (lower and (flat or turn >= ENOUGH)) or (flat and hidden)
        if ahead < 0.0 and factor >= longest:
            taken = taken or lower
            break
        if taken or (turn >= ENOUGH and hidden):
            break
        far = far or (turn == 0 and ahead > 0.0)
        if ahead < 0.0 and lower:
            low = factor
        else:
            high = factor
        bend = _bend(pools, space.near.pairs, box.within, root, trial, half, weight, space.system)
        factor -= ahead / bend if bend > 0.0 else 0.0
        if not low < factor < high:
            factor = 0.5 * (low + high) if high < np.inf else 4.0 * low
        factor = min(factor, longest)
    return _Length(taken, far, tried, turn + 1), box


@inlined
def _bend(
    pools: Pools,
    pairs: Pairs,
    count: int,
    root: Reals,
    trial: Reals,
    half: Reals,
    weight: Reals,
    system: System,
) -> float:
    """The dual's second derivative by the length of the step root·x, at `trial`."""
    step = system.direction  # scratch, between two systems
    bend = 0.0
    for i in range(len(root)):
        step[i] = root[i] * system.x[i] / trial[i] if trial[i] > 0.0 else 0.0
        bend += 2.0 * half[i] * trial[i] * step[i] * step[i]
    for e in range(count):
        gap = step[pairs.left[e]] - step[pairs.right[e]]
        bend += 4.0 * weight[e] * gap * gap
    first = len(pools.pairs.left)
    for e in range(first, len(pools.left)):
        gap = step[pools.left[e]] - step[pools.right[e]]
        bend += 4.0 * weight[count + e - first] * gap * gap
    return bend


@inlined
def _dual(
    pools: Pools,
    pairs: Pairs,
    count: int,
    supply: Reals,
    root: Reals,
    half: Reals,
    weight: Reals,
) -> float:
    """The dual's value; writes half of its gradient by σ, and the weights: those of the pairs, then
    of all other edges.
    """
    half[:] = 0.0
    value = sweep_pairs(pairs, count, root, half, weight)
    if len(pools.left) > len(pools.pairs.left):
        value += sweep_others(pools, root, half, weight, count)
    for i in range(len(root)):
        if supply[i] != 0.0:
            value += supply[i] * root[i] * root[i]
            half[i] += supply[i] * root[i]
    return value


@inlined
def _newton_system(
    pools: Pools,
    pairs: Pairs,
    count: int,
    root: Reals,
    half: Reals,
    weight: Reals,
    target: int,
    smooth: bool,
    hold: float,
    system: System,
) -> int:
    """Writes (2L + diag(r))·d = −r without the target's row; the number of its edges.

    Where the dual may bend down in σ only r > 0 counts in the diagonal: that leaves the matrix
    positive, and at the minimum r = 0.
    """
    diagonal, right = system.diagonal, system.right
    for i in range(len(root)):
        worth = half[i] * root[i]
        right[i] = -worth
        diagonal[i] = worth if smooth else max(worth, 0.0)
    right[target] = 0.0
    edges = 0
    for e in range(count):
        w = 2.0 * weight[e]
        a, b = pairs.left[e], pairs.right[e]
        if w == 0.0 and hold > 0.0:
            w = hold * root[a] * root[b] * pairs.root_left[e] * pairs.root_right[e]
        edges = _link(system, edges, target, a, b, w)
    first = len(pools.pairs.left)
    for e in range(first, len(pools.left)):
        w = 2.0 * weight[count + e - first]
        a, b = pools.left[e], pools.right[e]
        if w == 0.0 and hold > 0.0:
            w = hold * root[a] * root[b] * pools.near_left[e] * pools.near_right[e]
        edges = _link(system, edges, target, a, b, w)
    for i in range(len(root)):
        # Where all that trades an asset is at its limits nothing bends; a price then changes by its
        # half or doubles, about.
        diagonal[i] = max(diagonal[i], abs(right[i]))
        if diagonal[i] == 0.0:
            diagonal[i] = 1.0  # nothing trades it
    diagonal[target] = 1.0
    return edges


@compiled
def _link(system: System, edges: int, target: int, a: int, b: int, w: float) -> int:
    """Adds an edge, if it weighs anything; how many there are then."""
    if w == 0.0:
        return edges
    system.diagonal[a] += w
    system.diagonal[b] += w
    if target in (a, b):
        return edges
    system.first[edges] = a
    system.second[edges] = b
    system.weight[edges] = w
    return edges + 1
