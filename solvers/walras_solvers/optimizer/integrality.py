"""Which of the all-or-nothing intents to fill, and how many whole units of the coarse ones.

At fixed prices this is a mixed-integer program. Its conservation may lack a little, at a penalty: a
ring of fill-or-kill intents balances at one price vector only, and prices are moved there
afterwards.
"""

from dataclasses import replace

import numpy as np

from walras_solvers.optimizer.book import Book, Floats
from walras_solvers.optimizer.fills import HEADROOM, Bounds, Clearing, clear, restore
from walras_solvers.optimizer.pools import Curves

SLACK = 0.05
"""The part of an asset's volume that may lack before prices move."""


def without_lumps(book: Book, bounds: Bounds) -> Bounds:
    """The bounds with every all-or-nothing or coarse intent left out."""
    return replace(bounds, high=np.where(book.lumpy | book.coarse, 0.0, bounds.high))


def choose_lumps(
    book: Book, curves: Curves, delta: Floats, bounds: Bounds, seconds: float
) -> tuple[Bounds, Clearing] | None:
    """Bounds that fix the choice made at the prices `delta`, and a clearing that keeps them.

    None where nothing is chosen, or no prices nearby let the choice balance.
    """
    chosen = clear(book, curves, delta, bounds, seconds, choose=True, slack=SLACK)
    if chosen is None:
        return None
    x = chosen.x
    lumps = book.lumpy | book.coarse
    taken = lumps & (x > 0.5 * book.floor) & (x > 1e-9 * book.cap)
    if not np.any(taken):
        return None
    whole = np.round(x / book.worth) * book.worth
    fixed = book.coarse | (book.floor >= book.cap * (1 - 2 * HEADROOM))
    exact = np.where(book.coarse, whole, book.cap)
    low = np.where(taken, np.where(fixed, exact, book.floor * (1 + HEADROOM)), 0.0)
    high = np.where(taken, np.where(fixed, exact, bounds.high), np.where(lumps, 0.0, bounds.high))
    decided = replace(bounds, low=low, high=high)
    at = replace(chosen, x=np.clip(x, low, high))
    found = restore(book, curves, at, decided, seconds)
    return (decided, found) if found is not None else None
