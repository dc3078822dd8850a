"""From a clearing that serves some groups worse than they could be alone to one that does not.

What groups lack has a price at first: prices and fills move to where little of it is left. Groups
that still lack much are left out, and so on, until nobody lacks anything.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from walras_solvers.equilibrium.book import without
from walras_solvers.equilibrium.choice import choose
from walras_solvers.equilibrium.fills import LOOSE, clear, served, shortfall
from walras_solvers.equilibrium.floors import owed
from walras_solvers.equilibrium.kernels import Floats, Mask
from walras_solvers.equilibrium.market import Clearing, Market, Terms
from walras_solvers.equilibrium.search import climb
from walras_solvers.programs import Effort

LACKING = (0.5, 0.2, 0.05, 0.01, 0.0, 0.0, 0.0)
"""What groups lack at most that are not left out yet, in parts of what they are owed."""

MOVES = 10
"""Of the prices, between two of these."""


def appeased(
    market: Market, at: Clearing, scores: Mapping[str, int], effort: Effort
) -> tuple[Market, Clearing] | None:
    """The market without the groups that cannot be given what they could have alone, and its
    clearing; None where none is found.

    Args:
        market: with what was chosen.
        at: its clearing.
        scores: group → the score of its own bid.
        effort: that it may take.
    """
    terms = market.terms or _everything(market, at)
    due = owed(market.book, scores)
    gone = np.zeros(len(due), np.bool_)
    for most in LACKING:
        terms = replace(terms, owed=np.where(served(market, at) > 0, due, 0.0), soft=True)
        fitting = _cleared(market, _without(market, terms, gone), gone, at.delta, effort)
        if fitting is None:
            return None
        terms, at = fitting
        at = climb(market.with_terms(terms), at, effort, steps=MOVES)
        lacks = shortfall(market.with_terms(terms), at) / np.maximum(terms.owed, 1e-100)
        worst = float(lacks.max(initial=0.0))
        if worst <= LOOSE:
            market = market.with_terms(replace(terms, delta=at.delta, soft=False))
            return market, climb(market, at, effort)
        gone |= lacks > min(most, worst / 2)
    return None


def _cleared(
    market: Market, terms: Terms, gone: Mask, delta: Floats, effort: Effort
) -> tuple[Terms, Clearing] | None:
    """The best clearing under the terms; or, where their lumps do not balance, with other lumps."""
    found = clear(market.with_terms(terms), delta, effort)
    if found is not None:
        return terms, found
    book = without(market.book, gone[market.book.orders.pairs])
    book = replace(book, packs=book.packs.without(gone[book.packs.group]))
    fitting = choose(market.with_orders(book), delta, effort)
    if fitting is None or fitting[0].terms is None:
        return None
    chosen, found = fitting
    due = np.where(served(chosen, found) > 0, np.maximum(terms.owed, 0.0), 0.0)
    terms = _without(market, replace(fitting[0].terms, owed=due, soft=True), gone)
    found = clear(market.with_terms(terms), delta, effort)
    return None if found is None else (terms, found)


def _everything(market: Market, at: Clearing) -> Terms:
    """Nothing was chosen."""
    none = np.zeros(len(market.every.least), np.bool_)
    packs = market.packs
    return Terms(at.delta, none, none, at.filled[:0], np.zeros(len(packs)), packs.size)


def _without(market: Market, terms: Terms, out: Mask) -> Terms:
    """The terms without some groups."""
    shut = terms.shut | out[market.every.pairs]
    gone = out[market.packs.group]
    return replace(
        terms,
        shut=shut,
        firm=terms.firm & ~shut,
        owed=np.where(out, 0.0, terms.owed),
        low=np.where(gone, 0.0, terms.low),
        high=np.where(gone, 0.0, terms.high),
    )
