"""From a book to exact drafts: prices, fills, whole lumps, repair."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import log1p

import numpy as np

from walras.sdk import price_vector
from walras_solvers.equilibrium.book import Book, without
from walras_solvers.equilibrium.choice import choose, decided
from walras_solvers.equilibrium.curves import WILLING, Curves
from walras_solvers.equilibrium.fills import clear, improve, inside
from walras_solvers.equilibrium.kernels import Agent, Floats, Ints, Mask, spread
from walras_solvers.equilibrium.market import WHOLE, Clearing, Market
from walras_solvers.equilibrium.mend import Draft
from walras_solvers.equilibrium.prices import find_prices, never
from walras_solvers.programs import Effort

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

FAR = 1e-4
"""By how much log prices have to move for another choice to be looked for."""

NEAR = 5e-4
"""The width, where none is known."""

MENDINGS = 8
"""Times that fills which cannot be made exact are kept further from their limits or left out."""


def starts(
    curves: Curves,
    others: Sequence[Agent],
    collar: float,
    start: Floats,
    late: Callable[[], bool] = never,
) -> Iterator[tuple[Floats, float]]:
    """Prices that clear, and how near to its limit an order may be in part filled there: without
    the markets that the collar closes; with prices that close none; and where the search began.
    """
    yield _closing(curves, others, collar, start, late)
    reach = log1p(collar) / 2 * (1 - 1e-6)
    yield narrowing(curves, others, np.clip(start, -reach, reach), reach, late=late)
    yield start, WHOLE


def _closing(
    curves: Curves,
    others: Sequence[Agent],
    collar: float,
    start: Floats,
    late: Callable[[], bool],
) -> tuple[Floats, float]:
    """Prices at which everything clears, once the markets that the collar closes there are out."""
    delta = start
    for _ in range(CLOSINGS):
        for band in COARSE:
            agents = [curves.rationed(delta, band).agent(), *others]
            delta = find_prices(agents, delta, WILLING, band, FIRST, late).delta
        beyond = _beyond(curves, delta, collar)
        if not np.any(beyond):
            break
        curves = curves.without(beyond)
    return narrowing(curves, others, delta, WILLING, collar, late)


def narrowing(
    curves: Curves,
    others: Sequence[Agent],
    start: Floats,
    reach: float,
    collar: float = WILLING,
    late: Callable[[], bool] = never,
) -> tuple[Floats, float]:
    """Prices for the narrowest band for which they are found."""
    delta, width = start, WHOLE
    for band in (*COARSE, *FINE) if reach < WILLING else FINE:
        for _ in range(CLOSINGS):
            agents = [curves.rationed(delta, band).agent(), *others]
            found = find_prices(agents, delta, reach, band, late=late)
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
        found = clear(market, delta, effort, times * width)
        if found is not None:
            return found
    return clear(market, delta, effort)


def climb(market: Market, at: Clearing, effort: Effort, steps: int = STEPS) -> Clearing:
    """Move prices as long as the fills there score more."""
    radius = RADIUS if market.small else LITTLE_RADIUS
    times = 4.0
    for _ in range(steps):
        if effort.spent or radius < LEAST_RADIUS:
            break
        width = market.width(min(times * radius, WHOLE))
        delta = improve(market, at, radius, effort, width)
        found = clear(market, delta, effort, width) if delta is not None else None
        if found is None and width < WHOLE:
            times *= 8  # what is surely willing does not balance
        elif found is not None and found.score > at.score + GAIN * abs(at.score):
            at, radius = found, min(radius * 2, 0.03)
        else:
            radius /= 4
    return at


def whole_lumps(market: Market, at: Clearing, effort: Effort) -> tuple[Market, Clearing] | None:
    """The market with the lumps that are filled, the others being out, and its clearing.

    Where few enough, the best ones at the prices are chosen; a choice that was made before stays
    unless another is better. Of many, those that are cut are left out.
    """
    if market.bound:
        terms = market.terms
        if terms is not None and (np.any(terms.owed) or np.abs(at.delta - terms.delta).max() < FAR):
            return market, at
        found = choose(market, at.delta, effort) if market.small else None
        if terms is not None:
            better = found is not None and found[1].score > at.score
            return found if better else (market, at)
        if found is None:
            found = decided(market, _rounded_down(market, at), effort)
        if found is None:
            return None
        market, at = found
    for _ in range(CUTS):
        if not np.any(market.book.lumpy):
            return market, at
        filled = fills_of(market, at)
        cut = market.book.lumpy & (filled > 0) & (filled < market.book.floor * (1 - 1e-9))
        if not np.any(cut):
            return market, at
        market = market.with_orders(without(market.book, cut))
        again = fill(market, at.delta, NEAR, effort)
        if again is None:
            return None
        at = again
    return None


def _rounded_down(market: Market, at: Clearing) -> Clearing:
    """The clearing without the lumps that are cut."""
    packs = market.packs
    some = at.filled < market.curves.least * (1 - 1e-9)
    units = np.floor(at.packed / packs.unit * (1 + 1e-9))
    packed = np.where(packs.coarse, units * packs.unit, at.packed)
    packed = np.where(packed < packs.least * (1 - 1e-9), 0.0, packed)
    return replace(at, filled=np.where(some, 0.0, at.filled), packed=packed)


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
            if not bad and not draft.stuck:
                return draft if draft.units or draft.packs else None
            if draft.stuck or filled[sorted(bad)].sum() > LITTLE * filled.sum():
                break
            for column in bad:
                draft.units.pop(column, None)
        again = np.zeros(len(filled), np.bool_)
        again[sorted(bad & warned)] = True
        first = np.array(sorted(bad - warned), np.int64)
        warned |= bad
        stuck = np.zeros(len(market.packs), np.bool_)
        stuck[sorted(draft.stuck)] = True
        book = without(_wary(market.book, first, filled), again)
        book = replace(book, packs=book.packs.without(stuck))
        market = market.with_orders(book).with_terms(None)
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
    packs = book.packs
    ours = values[np.unique(np.concatenate([orders.give, orders.take, packs.settle]))]
    ours = np.append(ours, values[np.any(packs.mix != 0.0, axis=0)])
    # What no order names needs no true price, and may be worth next to nothing.
    values = np.clip(values, ours.min(), ours.max())
    vector = price_vector(dict(zip(book.names, values.tolist(), strict=True)))
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
        if filling < least_units and count >= least_units * (1 - ALMOST):
            filling = least_units
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
    draft = Draft(sheet, book.names, book.worth.tolist(), prices, units, room, flows)
    if len(market.packs):
        _add_packs(draft, market, at)
    return draft


def _add_packs(draft: Draft, market: Market, at: Clearing) -> None:
    """Intents of several legs. What they trade is fixed, and single orders are mended around it."""
    packs, held = market.packs, list(draft.sheet.held)
    counts = np.floor(at.packed / packs.unit * (1 + 1e-12) + np.where(packs.coarse, 0.5, 0.0))
    least = packs.least / packs.unit
    counts = np.where(counts >= least * (1 - ALMOST), np.maximum(counts, np.rint(least)), counts)
    for column in np.flatnonzero(counts > 0).tolist():
        pack = draft.sheet.packs[column]
        units = min(int(counts[column]), pack.most)
        if units < pack.least:
            continue
        changes = pack.changes(units, draft.prices)
        after = [(a, held[account] + min(changes[a], 0)) for a, account in pack.accounts]
        if not draft.sheet.pack_allowed(pack, units, draft.prices) or any(x < 0 for _, x in after):
            draft.stuck.add(column)
            continue
        for (_, account), (_, left) in zip(pack.accounts, after, strict=True):
            held[account] = left
        draft.packs[column] = units
        for asset, amount in changes.items():
            draft.fixed[asset] = draft.fixed.get(asset, 0) - amount
    draft.sheet = replace(draft.sheet, held=held)


ALMOST = 1e-8
"""The part of its least by which the fill of a lump may miss it in floats."""

FRAGILE = 1e-9
"""What the room of a fill counts for whose limit one atom less would break."""
