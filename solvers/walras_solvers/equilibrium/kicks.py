"""Local improvement from shaken prices, and from where prices went without what blocked them.

Seeded, and counted in steps: with time enough the same market gives the same clearings.
"""

from collections.abc import Iterator

import numpy as np

from walras_solvers.equilibrium.book import without
from walras_solvers.equilibrium.fills import Clearing
from walras_solvers.equilibrium.kernels import Floats
from walras_solvers.equilibrium.search import NEAR, STEPS, Market, climb, fill, fills_of
from walras_solvers.optimizer.effort import Effort

KICKS = 150
"""At most."""

PATIENCE = 30
"""Kicks in a row that may lead to nothing better."""

NOISE = (0.01, 0.003, 0.03, 0.001)
"""Standard deviations of log prices, in turn."""

TIGHT = 1e-4
"""An order this close to its limit may block a move of the prices."""

UNBLOCKED = 0.3
"""The part of those that is left out for a while."""

BETTER = 1e-6
"""By what part of the score a clearing is better."""


def kicked(market: Market, at: Clearing, effort: Effort) -> Iterator[Clearing]:
    """Better and better clearings of the market."""
    rng = np.random.default_rng(0)
    since = 0
    patience = min(PATIENCE, len(market.curves.size))
    for kick in range(KICKS):
        if effort.spent or since >= patience:
            return
        since += 1
        if kick % 2:
            noise = NOISE[kick // 2 % len(NOISE)]
            delta = at.delta + rng.normal(0.0, noise, len(at.delta))
        else:
            delta = _unblocked(market, at, rng, effort)
        found = fill(market, delta, NEAR, effort)
        if found is None:
            continue
        found = climb(market, found, effort)
        if found.score > at.score * (1 + BETTER):
            since, at = 0, found
            yield at


def _unblocked(market: Market, at: Clearing, rng: np.random.Generator, effort: Effort) -> Floats:
    """Where the prices go while some orders close to their limits are out."""
    orders = market.book.orders
    filled = fills_of(market, at) > 0
    rates = at.delta[orders.give] - at.delta[orders.take]
    tight = filled & (rates - orders.limit < TIGHT)
    out = tight & (rng.random(len(tight)) < UNBLOCKED)
    freer = market.with_orders(without(market.book, out))
    found = fill(freer, at.delta, NEAR, effort)
    return at.delta if found is None else climb(freer, found, effort, steps=STEPS // 4).delta
