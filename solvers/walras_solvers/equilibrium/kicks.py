"""Local improvement from shaken prices, and from where prices went without what blocked them.

Seeded, and counted in steps: with time enough the same market gives the same clearings.
"""

from collections.abc import Callable, Iterator

import numpy as np

from walras_solvers.equilibrium.book import without
from walras_solvers.equilibrium.kernels import Floats
from walras_solvers.equilibrium.market import Clearing, Market
from walras_solvers.equilibrium.search import (
    NEAR,
    STEPS,
    climb,
    fill,
    fills_of,
    whole_lumps,
)
from walras_solvers.programs import Effort

Mending = Callable[[Market, Clearing], tuple[Market, Clearing] | None]

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


def kicked(
    market: Market, at: Clearing, effort: Effort, mend: Mending
) -> Iterator[tuple[Market, Clearing]]:
    """Better and better clearings of the market; where there are choices, also with others.

    Args:
        market: see there.
        at: to begin with.
        effort: that it may take.
        mend: what is to be done with each clearing before it counts.
    """
    rng = np.random.default_rng(0)
    since = 0
    patience = min(PATIENCE, len(market.curves.size) + len(market.packs))
    for kick in range(KICKS):
        if effort.spent or since >= patience:
            return
        since += 1
        if kick % 2:
            noise = NOISE[kick // 2 % len(NOISE)]
            delta = at.delta + rng.normal(0.0, noise, len(at.delta))
        else:
            delta = _unblocked(market, at, rng, effort)
        opened = market.with_terms(None)
        found = fill(opened, delta, NEAR, effort)
        fitting = (opened, found)
        if found is not None and market.bound:
            fitting = whole_lumps(opened, found, effort) or (opened, None)
        other, found = fitting
        if found is None:
            continue
        found = climb(other, found, effort)
        mended = mend(other, found)
        if mended is None:
            continue
        other, found = mended
        if found.score > at.score * (1 + BETTER):
            since, market, at = 0, other, found
            yield market, at


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
