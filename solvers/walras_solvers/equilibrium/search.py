"""From a book to exact drafts: prices, fills, whole lumps, repair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log1p

import numpy as np

from walras.sdk import price_vector
from walras_solvers.equilibrium.book import Book, without
from walras_solvers.equilibrium.curves import WILLING, Curves, make_curves
from walras_solvers.equilibrium.fills import PARTS, WHOLE, Clearing, Links, clear, improve, inside
from walras_solvers.equilibrium.kernels import Agent, Floats, Ints, Mask, spread
from walras_solvers.equilibrium.mend import Draft, Flow
from walras_solvers.equilibrium.prices import find_prices
from walras_solvers.optimizer.effort import Effort

COARSE = (0.08, 0.03, 0.01)
"""Widths over which an order goes from nothing to all, one after the other, at first."""

FINE = tuple(0.01 * 0.6**k for k in range(16))
"""And then, down to 5e-6."""

FIRST = 150
"""Steps for one of the first."""

CLOSINGS = 8
"""Times that markets whose prices are outside the collar are closed."""

SETTLED = 1e-7
"""Excess beside volume up to which prices count as found."""

FEW = 6_000
"""So many stretches go into linear programs; of more, only those whose limits are near."""

STEPS = 40
"""Of local improvement from one start."""

RADIUS, LITTLE_RADIUS = 0.01, 0.001
"""Within which log prices are moved at first, in a small market and in a large one."""

LEAST_RADIUS = 3e-6
"""Within which prices are moved at the end."""

GAIN = 1e-6
"""What a step brings at least, in parts of the score."""

CUTS = 12
"""Times that lumps which do not fit are left out."""

LITTLE = 1e-4
"""Of what is filled: fills that cannot be made exact and are less are left out without more ado."""

DROPPINGS = 6
"""Times that this is done."""

WIDER = (2.0, 10.0, 50.0)
"""Times a width."""

NEAR = 5e-4
"""The width, where none is known."""

MENDINGS = 8
"""Times that fills which cannot be made exact are kept further from their limits or left out."""


@dataclass(frozen=True, slots=True)
class Market:
    """What is searched.

    Attributes:
        book: the orders. curves: the same, sorted.
        links: pools near their flows; edges: the same flows. collar: see `clear`.
    """

    book: Book
    curves: Curves
    links: Links
    edges: Sequence[Flow]
    collar: float

    def width(self, width: float) -> float:
        """How near limits have to be for orders to go into a program."""
        return WHOLE if self.small else width

    @property
    def small(self) -> bool:
        """Whether all of it fits into a program."""
        return int(np.minimum(np.diff(self.curves.start), len(PARTS)).sum()) <= FEW

    def with_orders(self, book: Book) -> "Market":
        """The market with other sizes or limits of the same orders."""
        if book.orders.limit is self.book.orders.limit:
            curves = self.curves.sized(book.orders.size, book.orders.balance)
        else:
            curves = make_curves(book.orders)
        return replace(self, book=book, curves=curves)


def starts(
    curves: Curves, others: Sequence[Agent], collar: float, start: Floats
) -> Iterator[tuple[Floats, float]]:
    """Prices that clear, and how near to its limit an order may be in part filled there: without
    the markets that the collar closes; with prices that close none; and where the search began.
    """
    yield _closing(curves, others, collar, start)
    reach = log1p(collar) / 2 * (1 - 1e-6)
    yield narrowing(curves, others, np.clip(start, -reach, reach), reach)
    yield start, WHOLE


def _closing(
    curves: Curves, others: Sequence[Agent], collar: float, start: Floats
) -> tuple[Floats, float]:
    """Prices at which everything clears, once the markets that the collar closes there are out."""
    delta = start
    for _ in range(CLOSINGS):
        for band in COARSE:
            agents = [curves.rationed(delta, band).agent(), *others]
            delta = find_prices(agents, delta, WILLING, band, FIRST).delta
        beyond = _beyond(curves, delta, collar)
        if not np.any(beyond):
            break
        curves = curves.without(beyond)
    return narrowing(curves, others, delta, WILLING, collar)


def narrowing(
    curves: Curves, others: Sequence[Agent], start: Floats, reach: float, collar: float = WILLING
) -> tuple[Floats, float]:
    """Prices for the narrowest band for which they are found."""
    delta, width = start, WHOLE
    for band in (*COARSE, *FINE) if reach < WILLING else FINE:
        for _ in range(CLOSINGS):
            agents = [curves.rationed(delta, band).agent(), *others]
            found = find_prices(agents, delta, reach, band)
            beyond = _beyond(curves, found.delta, collar)
            if not np.any(beyond):
                break
            curves = curves.without(beyond)
        if found.excess > SETTLED:
            break
        delta, width = found.delta, band
    return delta, width


def _beyond(curves: Curves, delta: Floats, collar: float) -> Mask:
    rates = curves.rates(delta)
    beyond: Mask = ~inside(rates, collar) & (curves.volume_at(rates) > 0)
    return beyond


def fill(market: Market, delta: Floats, width: float, effort: Effort) -> Clearing | None:
    """The best fills at the prices. In a large market all that is willing by more than `width`, or
    some times as much, is filled first if the rest can balance that.
    """
    for times in WIDER if market.width(width) < WHOLE else ():
        near = market.curves, market.links, market.collar, delta, effort, times * width
        found = clear(*near)
        if found is not None:
            return found
    return clear(market.curves, market.links, market.collar, delta, effort)


def climb(market: Market, at: Clearing, effort: Effort, steps: int = STEPS) -> Clearing:
    """Move prices as long as the fills there score more."""
    radius = RADIUS if market.small else LITTLE_RADIUS
    times = 4.0
    for _ in range(steps):
        if effort.spent or radius < LEAST_RADIUS:
            break
        width = market.width(min(times * radius, WHOLE))
        arguments = market.curves, market.links, market.collar
        delta = improve(*arguments, at, radius, effort, width)
        found = clear(*arguments, delta, effort, width) if delta is not None else None
        if found is None and width < WHOLE:
            times *= 8  # what is surely willing does not balance
        elif found is not None and found.score > at.score + GAIN * abs(at.score):
            at, radius = found, min(radius * 2, 0.03)
        else:
            radius /= 4
    return at


def whole_lumps(market: Market, at: Clearing, effort: Effort) -> tuple[Market, Clearing] | None:
    """The market without the lumps that are cut in two, and its clearing."""
    for _ in range(CUTS):
        if not np.any(market.book.lumpy):
            return market, at
        filled = fills_of(market, at)
        cut = market.book.lumpy & (filled > 0) & (filled < market.book.floor * (1 - 1e-9))
        if not np.any(cut):
            return market, at
        market = market.with_orders(without(market.book, cut))
        found = fill(market, at.delta, NEAR, effort)
        if found is None:
            return None
        at = found
    return None


def fills_of(market: Market, at: Clearing) -> Floats:
    """Column → value filled."""
    curves = market.curves
    by_place = np.empty(len(curves.size))
    spread(curves.start, curves.volume, curves.size, at.filled, by_place)
    return curves.by_column(by_place)


def exact(market: Market, at: Clearing, effort: Effort) -> Draft | None:
    """The clearing in valid integers."""
    warned: set[int] = set()
    for _ in range(MENDINGS):
        draft = draft_of(market, at)
        filled = fills_of(market, at)
        for _ in range(DROPPINGS):
            bad = draft.mend()
            if not bad:
                return draft if draft.units else None
            if filled[sorted(bad)].sum() > LITTLE * filled.sum():
                break
            for column in bad:
                draft.units.pop(column, None)
        again = np.zeros(len(filled), np.bool_)
        again[sorted(bad & warned)] = True
        first = np.array(sorted(bad - warned), np.int64)
        warned |= bad
        market = market.with_orders(without(_wary(market.book, first, filled), again))
        found = fill(market, at.delta, NEAR, effort)
        fitting = whole_lumps(market, found, effort) if found is not None else None
        if fitting is None:
            return None
        market, at = fitting
    return None


def _wary(book: Book, columns: Ints, filled: Floats) -> Book:
    """The book with these orders some atoms further from their limits."""
    orders = book.orders
    other = np.where(orders.buys, orders.give, orders.take)[columns]
    limit = orders.limit.copy()
    limit[columns] += np.minimum(4 * book.worth[other] / np.maximum(filled[columns], 1e-300), 0.01)
    return replace(book, orders=replace(orders, limit=limit))


def draft_of(market: Market, at: Clearing) -> Draft:
    """The clearing in integers, before anything is mended."""
    book, orders, sheet = market.book, market.book.orders, market.book.sheet
    values = book.worth * np.exp(at.delta)
    least = values[values > 0].min()
    vector = price_vector(dict(zip(book.names, np.maximum(values, least).tolist(), strict=True)))
    filled = fills_of(market, at)
    some = np.flatnonzero(filled > 0)
    everything = filled[some] >= book.whole[some] * (1 - 1e-12)
    counts = filled[some] / book.unit[some]
    rates = at.delta[orders.give[some]] - at.delta[orders.take[some]]
    loose = rates - orders.limit[some] > 1e-9
    units: dict[int, int] = {}
    room: dict[int, float] = {}
    for column, every, count, free in zip(
        some.tolist(), everything.tolist(), counts.tolist(), loose.tolist(), strict=True
    ):
        most, least_units = sheet.most[column], sheet.least[column]
        filling = most if every else min(int(count), most)
        if filling >= least_units:
            units[column] = filling
            if filling > least_units:
                spare = float(filling - least_units) * float(book.unit[column])
                room[column] = spare if free else spare * FRAGILE
    prices = [vector[name] for name in book.names]
    flows = {
        flow: int(value / book.worth[flow.asset_in])
        for flow, value in zip(market.edges, at.flow.tolist(), strict=True)
        if value > 0
    }
    return Draft(sheet, book.names, book.worth.tolist(), prices, units, room, flows)


FRAGILE = 1e-9
"""What the room of a fill counts for whose limit one atom less would break."""
