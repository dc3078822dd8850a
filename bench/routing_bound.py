"""Certified bounds on routing problems: no answer can be worth more.

Any prices give a bound, by weak duality. Good ones are found by descent on the bound itself, with
costs on a smoothed one, as long as it takes; none of that is on anybody's clock.
"""

from collections.abc import Iterable
from math import sqrt

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from bench.routing_instances import GAMMA, Floats, Instance, Network, Outcome

SOFTNESS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Of the corner where a pool begins to pay for its use, in parts of the cost."""


def bound(instance: Instance, prices: Floats) -> float:
    """No answer is worth more than this, net of costs, in units of value.

    It is what the order is worth at these prices, and what each pool could earn at them where that
    pays for its use. The slack is far more than the rounding errors of the sums can come to
    (Higham, Accuracy and Stability of Numerical Algorithms, §4.2).

    Args:
        instance: the pools, the order, the cost.
        prices: of the tokens, relative to their reference prices, > 0.
    """
    relative = prices / prices[1]
    roots = np.sqrt(relative[instance.tokens] * instance.network.held)
    earned = np.maximum(_earned(roots)[0] - instance.cost_value, 0.0)
    worth = float(relative[0]) * instance.value + float(earned.sum())
    slack = 64 * np.finfo(float).eps
    return worth * (1 + slack) + slack * float((roots**2).sum(axis=1)[earned > 0.0].sum())


def best_bound(instance: Instance, starts: Iterable[Floats]) -> float:
    """The least bound that is found on the way down from any of these prices."""
    return min(bound(instance, prices) for start in starts for prices in _descend(instance, start))


def below(best: float, outcome: Outcome) -> float:
    """How far an outcome is below a bound, net of costs, in 1/10,000 of the bound."""
    return (best - outcome.net) / best * 1e4


def earnings(network: Network, prices: Floats) -> Floats:
    """What each pool would pay an arbitrageur at these prices, in units of value."""
    return _earned(np.sqrt(prices[network.tokens] * network.held))[0]


def _earned(roots: Floats) -> tuple[Floats, Floats, Floats]:
    """Of √(price · reserve), N × 2: each pool's (√(u_b·R_b) - √(u_a·R_a/γ))₊², there or back, and
    its derivatives by the roots, halved."""
    fee = 1.0 / sqrt(GAMMA)
    there = np.maximum(roots[:, 1] - fee * roots[:, 0], 0.0)
    back = np.maximum(roots[:, 0] - fee * roots[:, 1], 0.0)
    return there**2 + back**2, back - fee * there, there - fee * back


def _descend(instance: Instance, start: Floats) -> Iterable[Floats]:
    yield start
    held = np.sqrt(instance.network.held / instance.value)
    count = len(start)
    a, b = instance.tokens.T
    free = np.arange(count) != 1
    cost = instance.cost_value / instance.value

    def bent(earned: Floats, width: float) -> tuple[Floats, Floats]:
        """The earnings above the cost, with a round corner, and their slope."""
        if not width:
            return earned, np.ones_like(earned)
        over = (earned - cost) / width
        return width * np.logaddexp(0.0, over), expit(over)

    def value_and_gradient(free_roots: Floats, width: float) -> tuple[float, Floats]:
        # In √price, where the bound is convex, too.
        roots = np.insert(free_roots, 1, 1.0)
        earned, first, second = _earned(roots[instance.tokens] * held)
        kept, slopes = bent(earned, width)
        gradient = 2.0 * np.bincount(a, slopes * first * held[:, 0], count)
        gradient += 2.0 * np.bincount(b, slopes * second * held[:, 1], count)
        gradient[0] += 2.0 * roots[0]
        return float(roots[0] ** 2 + kept.sum()), gradient[free]

    at = np.sqrt(start / start[1])[free]
    for softness in SOFTNESS if cost else (0.0,):
        found = minimize(
            value_and_gradient,
            at,
            args=(softness * cost,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(1e-4, None)] * (count - 1),
            options={"maxcor": 30, "ftol": 1e-15, "gtol": 1e-11, "maxfun": 5_000, "maxiter": 5_000},
        )
        at = found.x
        yield np.insert(at, 1, 1.0) ** 2
