"""Prices moved uphill, and a first state of a large batch that is soon at hand."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.conditions import Bounds, free_bounds
from walras_solvers.optimizer.fills import Clearing, clear, improve, restore
from walras_solvers.optimizer.integrality import without_lumps
from walras_solvers.optimizer.outbox import State
from walras_solvers.optimizer.pools import Curves
from walras_solvers.optimizer.prices import NARROW, tatonnement
from walras_solvers.programs import Effort

STEPS = 40
"""Of local improvement from one start."""

QUICK = 6
"""Steps for what is to be sent soon."""

ROUNDS = 200
"""Of tâtonnement, for each of its bands."""

GAINS = (0.003, 0.01)
"""What pools may bring, in parts of their flows, at most."""


def quick(book: Book, curves: Curves, effort: Effort) -> Iterator[State]:
    """What can be filled in part, where supply meets demand: at once, and after a short climb."""
    bounds = without_lumps(book, free_bounds(book, curves))
    delta = tatonnement(book, curves, np.zeros(len(book.assets)), ROUNDS, effort, NARROW)
    at = clear(book, curves, delta, bounds, effort)
    if at is None:
        return
    bounds, at = without_idle(book, curves, bounds, at, effort)
    yield State(curves, bounds, at)
    at = climb(book, curves, bounds, at, effort, steps=QUICK)
    yield State(curves, bounds, at)


def without_idle(
    book: Book, curves: Curves, bounds: Bounds, at: Clearing, effort: Effort
) -> tuple[Bounds, Clearing]:
    """Bounds without the edges whose flow cannot pay for their cost, and a clearing within them."""
    cost = np.array([edge.cost for edge in curves.edges])
    for gain in GAINS:
        used = bounds.edges & (at.y * gain > cost)
        if np.array_equal(used, at.y > 0):
            continue
        fewer = replace(bounds, edges=used)
        found = restore(book, curves, at, fewer, effort)
        if found is not None and found.score > at.score:
            bounds, at = fewer, found
    return bounds, at


def climb(
    book: Book,
    curves: Curves,
    bounds: Bounds,
    at: Clearing,
    effort: Effort,
    *,
    radius: float = 0.01,
    finest: float = 1e-7,
    steps: int = STEPS,
) -> Clearing:
    """Move prices as long as the fills there score more."""
    for _ in range(steps):
        if effort.spent or radius < finest:
            break
        move = improve(book, curves, at, bounds, radius, effort)
        found = None
        if move is not None:
            found = clear(book, curves, move.delta, bounds, effort, near=move.duals)
        if found is not None and found.score > at.score + 1e-7 * abs(at.score):
            at, radius = found, min(radius * 2, 0.03)
        else:
            radius /= 4
    return at
