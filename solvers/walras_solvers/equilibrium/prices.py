"""Log prices at which supply meets demand: a semismooth Newton method on excess demand.

Orders go from nothing to all within a band above their limit. Excess demand sums to nothing over
all assets (Walras' law) and does not change when all prices are scaled, so its derivative is
singular in one direction; and it is flat where nobody's limit is near. So a part of each asset's
volume is added to the diagonal: with little of it the steps are Newton's, with much of it they are
tâtonnement. A step that turns the excess around was too long. All other assets being substitutes,
the derivative is an M-matrix, and a step points from what is left over to what is wanted.

Sources: Arrow, Block, Hurwicz, On the stability of the competitive equilibrium II (1959);
Ramseyer, Goel, Mazières, SPEEDEX (NSDI 2023), for supply curves from prefix sums and the band.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from walras_solvers.equilibrium.kernels import Agent, Floats, Mask

ROUNDS = 60
"""Newton steps, at most."""

HALVINGS = 6
"""Of a step that goes too far."""

STRIDE = 0.1
"""The greatest change of a log price in one step."""

ENOUGH = 1e-9
"""Excess beside volume that counts as none."""

OVERSHOT = 0.3
"""Excess in the other direction that a step may lead to, beside what it started from."""

SLOW = 0.3
"""Excess that is left after a step, beside what it started from, which calls for longer ones."""

FIRM, FREE = 1.0, 1e-12
"""The greatest and the least part of an asset's volume that is added to the derivative."""


@dataclass(frozen=True, slots=True)
class Found:
    """Prices.

    Attributes:
        delta: log prices relative to the references.
        excess: Σ |demand − supply| beside Σ (demand + supply), without assets that a bound holds.
        steps: Newton steps taken.
    """

    delta: Floats
    excess: float
    steps: int


@dataclass(slots=True)
class _At:
    """Excess demand at some prices."""

    delta: Floats
    net: Floats
    gross: Floats
    slope: Floats
    free: Mask
    merit: float


def never() -> bool:
    """Nothing is late."""
    return False


def find_prices(
    agents: Sequence[Agent],
    start: Floats,
    reach: float,
    band: float,
    rounds: int = ROUNDS,
    late: Callable[[], bool] = never,
) -> Found:
    """Prices at which nothing is wanted in excess, or what comes closest.

    Args:
        agents: who trades.
        start: δ to begin with.
        reach: how far δ may go from 0. At a bound, what is wanted beyond it stays unserved.
        band: over which an order goes from nothing to all.
        rounds: steps, at most.
        late: whether to end with what there is.
    """
    at = best = _evaluate(agents, start, band, reach)
    damping, stride = 1e-2, STRIDE
    steps = 0
    while best.merit > ENOUGH and steps < rounds and not late():
        steps += 1
        step = _step(at, damping, stride)
        ahead = float(at.net[at.free] @ step[at.free])
        if ahead <= 0.0:
            if damping >= FIRM:
                break
            damping = min(damping * 10, FIRM)
            continue
        part = 1.0
        for _ in range(HALVINGS):
            found = _evaluate(agents, _moved(at, part * step, reach), band, reach)
            # Along the step excess falls from `ahead` on; far below 0, the step went too far.
            left = float(found.net[found.free] @ step[found.free]) / ahead
            if left >= -OVERSHOT:
                break
            part /= 2
        taken = part * float(np.abs(step).max())
        if part < 1.0:
            damping, stride = min(damping * 4, FIRM), taken
        else:
            damping = max(damping / 10, FREE)
            stride = min(STRIDE, 4 * stride if left > SLOW else 2 * taken)
        at = found
        if at.merit < best.merit:
            best = at
    return Found(best.delta, best.merit, steps)


def _evaluate(agents: Sequence[Agent], delta: Floats, band: float, reach: float) -> _At:
    count = len(delta)
    net, gross, slope = np.zeros(count), np.zeros(count), np.zeros((count, count))
    for agent in agents:
        agent(delta, band, net, gross, slope)
    stuck = ((delta >= reach) & (net > 0)) | ((delta <= -reach) & (net < 0))
    free = ~stuck & (gross > 0)
    volume = float(gross.sum())
    merit = float(np.abs(net[free]).sum()) / volume if volume > 0 else 0.0
    return _At(delta, net, gross, slope, free, merit)


def _step(at: _At, damping: float, stride: float) -> Floats:
    """Newton's step; the more damping, the more it is tâtonnement, where each asset's price follows
    its own excess. No price moves further than `stride`.
    """
    step = np.zeros(len(at.delta))
    some = np.flatnonzero(at.free)
    if len(some):
        matrix = -at.slope[np.ix_(some, some)]
        diagonal = np.einsum("ii->i", matrix)
        diagonal += damping * at.gross[some] + 1e-12 * np.abs(diagonal)
        step[some] = np.linalg.solve(matrix, at.net[some])
    widest = float(np.abs(step).max(initial=0.0))
    return step * min(1.0, stride / widest) if widest > 0 else step


def _moved(at: _At, step: Floats, reach: float) -> Floats:
    """The prices after a step. Only ratios count, so the bounds are used evenly."""
    delta = at.delta + step
    traded = delta[at.gross > 0]
    moved: Floats = np.clip(delta - (traded.max() + traded.min()) / 2, -reach, reach)
    return moved
