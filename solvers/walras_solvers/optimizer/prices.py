"""Clearing prices by tâtonnement: the price of what is wanted rises, of what is left over falls.

Source: SPEEDEX (Ramseyer, Goel, Mazières, NSDI 2023): limit orders with a small smoothing band µ,
steps in log prices normalised by traded volume. Here every order is evaluated in one vector
operation.
"""

import numpy as np

from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.pools import Curves
from walras_solvers.programs import Effort, Floats, total

SMOOTHING = (0.02, 0.005, 0.001)
"""Bands of the limit price over which an order goes from nothing to all, one after the other."""

NARROW = 0.045
"""Half of the usual collar: while log prices stay this close to the reference prices, any two keep
it.
"""

WIDE = 0.4
"""For markets whose reference prices are far off."""


def tatonnement(
    book: Book,
    curves: Curves,
    start: Floats,
    rounds: int,
    effort: Effort,
    reach: float = NARROW,
) -> Floats:
    """Log prices relative to the reference prices at which supply meets demand, about.

    Args:
        book: the intents.
        curves: the pools, as further agents.
        start: δ to begin with, by asset.
        rounds: of adjustment for each band.
        effort: once it is spent, prices stay where they are.
        reach: how far δ may go from 0.
    """
    delta = start.copy()
    for band in SMOOTHING:
        step = band
        last = np.zeros(len(delta))
        scale = np.full(len(delta), step)
        for _ in range(rounds):
            if effort.spent:
                return delta
            excess, volume = _excess(book, curves, delta, band)
            push = np.divide(excess, volume, out=np.zeros_like(excess), where=volume > 0)
            # Steps grow while an asset keeps its direction and shrink when it turns.
            turn = push * last
            scale = np.clip(
                np.where(turn > 0, scale * 1.1, np.where(turn < 0, scale * 0.6, scale)), 1e-9, 0.05
            )
            delta = np.clip(delta + scale * push, -reach, reach)
            last = push
    return delta


def _excess(book: Book, curves: Curves, delta: Floats, band: float) -> tuple[Floats, Floats]:
    """Asset → demand less supply, and the sum of the two, at these prices."""
    count = len(book.assets)
    rates = book.leg_rates(delta)
    g = total(book.leg_column, rates, len(book.intents))
    x = book.cap * np.clip((g - book.limit) / band, 0.0, 1.0)
    x[(g < book.low[book.kind]) | (g > book.high[book.kind])] = 0.0
    if len(book.balance):
        drawn = np.where(np.isnan(book.give_worth), -g[book.give_column], book.give_worth)
        asked = total(
            book.give_account, np.maximum(drawn, 0.0) * x[book.give_column], len(book.balance)
        )
        share = np.minimum(1.0, book.balance / np.maximum(asked, 1e-100))
        ration = np.ones(len(x))
        np.minimum.at(ration, book.give_column, share[book.give_account])
        x = x * ration
    flows = book.leg_worth * x[book.leg_column]
    at_prices = np.exp(delta)
    net = total(book.leg_asset, flows, count) + total(book.settle, g * x, count)
    gross = total(book.leg_asset, np.abs(flows), count) + total(book.settle, np.abs(g * x), count)
    if len(curves.rate):
        ratio = curves.rate * at_prices[curves.target] / at_prices[curves.source]
        y = curves.size * np.clip((ratio - 1.0) / band, 0.0, 1.0)
        paid = y * at_prices[curves.source] / at_prices[curves.target]
        net += total(curves.source, y, count) - total(curves.target, paid, count)
        gross += total(curves.source, y, count) + total(curves.target, paid, count)
    return net, gross
