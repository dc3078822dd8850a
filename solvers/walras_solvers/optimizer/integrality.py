"""Which of the all-or-nothing intents to fill, how many whole units of the coarse ones, and which
groups to serve at all: each that is served must have what it could have on its own.

At fixed prices this is a mixed-integer program. Its conservation may lack a little, at a penalty: a
ring of fill-or-kill intents balances at one price vector only, and prices are moved there
afterwards.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.conditions import HEADROOM, Bounds
from walras_solvers.optimizer.fills import Clearing, appease, clear, restore, shortfall
from walras_solvers.optimizer.pools import Curves
from walras_solvers.programs import Effort, Floats, total

SLACKS = (1e-4, 0.05)
"""The part of an asset's volume that may lack before prices move. Without any, CP-SAT's rounding
alone rules most choices out."""

AMPLE = 20.0
"""No fill of a choice is so much larger than the largest where fills may be parts."""

NEAR = 1e-6
"""What is lost at most where no better choice is looked for."""

EXACT = 1e-9
"""The part of what it is owed that a group may lack; what it is owed is a little too much."""

LACKING = (0.5, 0.05, EXACT, EXACT, EXACT)
"""What groups lack at most that are not left out yet, in parts of what they are owed."""

QUICKLY = (0.2, EXACT, EXACT)
"""The same for large choices."""

APPEASEMENTS = 3
"""Moves of the prices, at most, that look for what groups are owed; one for large choices."""

LARGE = 1_500
"""Columns above which only the nearest choice is tried."""

MANY = 200
"""Intents of a choice, where all of them are part of it."""

FINE = 1e3
"""CP-SAT counts the largest of these in so many units, each to 10^-6."""


def without_lumps(book: Book, bounds: Bounds) -> Bounds:
    """The bounds with every all-or-nothing or coarse intent left out."""
    return replace(bounds, high=np.where(book.lumpy | book.coarse, 0.0, bounds.high))


def choose(
    book: Book, curves: Curves, relaxed: Clearing, bounds: Bounds, effort: Effort
) -> tuple[Bounds, Clearing] | None:
    """Bounds that fix the choice near `relaxed`, where lumps are parts, and a clearing within them.

    None where nothing is chosen, or no prices nearby let the choice balance.
    """
    volume = float(max(relaxed.x.max(initial=0.0), relaxed.y.max(initial=0.0)))
    if volume <= 0.0:
        return None
    best: tuple[Bounds, Clearing] | None = None
    for chosen in _choices(book, curves, bounds, relaxed, volume, effort):
        if not np.any(chosen.x > 0):
            continue
        decided = _decided(book, bounds, chosen.x)
        at = replace(chosen, x=np.clip(chosen.x, decided.low, decided.high))
        found = restore(
            book, curves, at, replace(decided, owed=np.zeros_like(decided.owed)), effort
        )
        fair = None if found is None else _fair(book, curves, found, decided, effort)
        if fair is not None and (best is None or fair[1].score > best[1].score):
            best = fair
        if best is not None and best[1].score >= relaxed.score * (1 - NEAR):
            break  # no choice is better than one where lumps may be parts
    return best


def _fair(
    book: Book, curves: Curves, at: Clearing, bounds: Bounds, effort: Effort
) -> tuple[Bounds, Clearing] | None:
    """Bounds without the groups that cannot be given what they are owed, the worst served first."""
    large = len(book.intents) + len(curves.edge) > LARGE
    for most in QUICKLY if large else LACKING:
        found = appease(book, curves, at, bounds, effort, moves=1 if large else APPEASEMENTS)
        if found is None:
            return None
        lacks = shortfall(book, found, bounds) / np.maximum(bounds.owed, 1e-100)
        worst = float(lacks.max(initial=0.0))
        if worst <= EXACT:
            return bounds, found
        out = lacks > min(most, worst / 2)
        high = np.where(out[book.group], 0.0, bounds.high)
        bounds = replace(
            bounds,
            high=high,
            low=np.minimum(bounds.low, high),
            owed=np.where(out, 0.0, bounds.owed),
        )
        at = replace(found, x=np.minimum(found.x, high))
    return None


def _choices(
    book: Book, curves: Curves, bounds: Bounds, relaxed: Clearing, volume: float, effort: Effort
) -> Iterator[Clearing]:
    """Choices near the solution where lumps may be parts: the nearest one, and CP-SAT's.

    That solution is at a vertex of its program, so no more fills are parts than there are assets
    and accounts. What it leaves out altogether is left out of large choices.
    """
    owed = np.where(total(book.group, relaxed.x, len(book.groups)) > 0, bounds.baselines, 0.0)
    fair = None
    if np.any(owed):
        fair = _fair(book, curves, relaxed, replace(bounds, owed=owed), effort)
    yield relaxed if fair is None else fair[1]
    high = np.minimum(bounds.high, AMPLE * volume)
    if np.count_nonzero(high) > MANY:
        high = np.where(relaxed.x > 0, high, 0.0)
    edges = bounds.edges if len(curves.edge) else np.zeros(0, dtype=np.bool_)
    within = replace(bounds, high=high, low=np.minimum(bounds.low, high))
    if np.count_nonzero(high) + np.count_nonzero(edges[curves.edge]) > LARGE:
        return
    for slack in SLACKS:
        chosen = clear(
            book,
            curves,
            relaxed.delta,
            within,
            effort,
            choose=True,
            slack=slack,
            unit=volume / FINE,
        )
        if chosen is not None:
            yield chosen


def _decided(book: Book, bounds: Bounds, x: Floats) -> Bounds:
    """The bounds with the choice of lumps and groups in `x` fixed."""
    lumps = book.lumpy | book.coarse
    taken = lumps & (x > 0.5 * book.floor) & (x > 1e-9 * book.cap)
    whole = np.round(x / book.worth) * book.worth
    fixed = book.coarse | (book.floor >= book.cap * (1 - 2 * HEADROOM))
    exact = np.where(book.coarse, whole, book.cap)
    low = np.where(taken, np.where(fixed, exact, book.floor * (1 + HEADROOM)), 0.0)
    high = np.where(taken, np.where(fixed, exact, bounds.high), np.where(lumps, 0.0, bounds.high))
    known = bounds.baselines > 0
    served = total(book.group, x, len(book.groups)) > 0
    high = np.where((known & ~served)[book.group], 0.0, high)
    low = np.minimum(low, high)
    return replace(bounds, low=low, high=high, owed=np.where(known & served, bounds.baselines, 0.0))
