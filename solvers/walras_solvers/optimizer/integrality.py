"""Which of the all-or-nothing intents to fill, how many whole units of the coarse ones, and which
groups to serve at all: each that is served must have what it could have on its own.

At fixed prices this is a mixed-integer program. Its conservation may lack a little, at a penalty: a
ring of fill-or-kill intents balances at one price vector only, and prices are moved there
afterwards.
"""

from dataclasses import replace

import numpy as np

from walras_solvers.optimizer.book import Book, Floats, total
from walras_solvers.optimizer.fills import HEADROOM, Bounds, Clearing, clear, restore
from walras_solvers.optimizer.pools import Curves

SLACK = 0.05
"""The part of an asset's volume that may lack before prices move."""


def without_lumps(book: Book, bounds: Bounds) -> Bounds:
    """The bounds with every all-or-nothing or coarse intent left out."""
    return replace(bounds, high=np.where(book.lumpy | book.coarse, 0.0, bounds.high))


def choose(
    book: Book, curves: Curves, delta: Floats, bounds: Bounds, seconds: float
) -> tuple[Bounds, Clearing] | None:
    """Bounds that fix the choice made at the prices `delta`, and a clearing that keeps them.

    None where nothing is chosen, or no prices nearby let the choice balance.
    """
    best: tuple[Bounds, Clearing] | None = None
    for slack in (0.0, SLACK):
        chosen = clear(book, curves, delta, bounds, seconds, choose=True, slack=slack)
        if chosen is None or not np.any(chosen.x > 0):
            continue
        decided = _decided(book, bounds, chosen.x)
        at = replace(chosen, x=np.clip(chosen.x, decided.low, decided.high))
        found = restore(book, curves, at, decided, seconds)
        if found is not None and (best is None or found.score > best[1].score):
            best = decided, found
    return best


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
