"""Clearings of the whole batch, better and better ones, each ready to be made exact."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from walras_solvers.equilibrium.book import SPAN, Book
from walras_solvers.equilibrium.curves import WILLING, Curves, make_curves
from walras_solvers.equilibrium.fills import Clearing, no_links
from walras_solvers.equilibrium.kernels import Floats
from walras_solvers.equilibrium.kicks import kicked
from walras_solvers.equilibrium.mend import Flow
from walras_solvers.equilibrium.pooling import ALONG, AROUND, Pooling, even, links_of
from walras_solvers.equilibrium.prices import find_prices
from walras_solvers.equilibrium.search import (
    NEAR,
    STEPS,
    Market,
    climb,
    fill,
    narrowing,
    starts,
    whole_lumps,
)
from walras_solvers.optimizer.effort import Effort

WIDTHS = (0.5, 0.1, 0.02, 0.004)
"""Of the curves around the pools' flows, one after the other."""

PRUNED = 0.25
"""The part of the pools that is left out at a time."""

LITTLE = 0.02
"""Pools that gain less than so many times their cost are left out all at once."""

SINGLY = 30
"""So few pools are also left out one by one."""

REPEATS = 1
"""Times that prices are moved again once lumps are out."""

BAND = 0.003
"""Over which an order goes from nothing to all while pools are left out."""


@dataclass(frozen=True, slots=True)
class State:
    """A clearing of a market, and its score in score units."""

    market: Market
    at: Clearing

    @property
    def score(self) -> float:
        """In score units, before anything is rounded."""
        return self.at.score * self.market.book.scale


def states(book: Book, pools: Pooling | None, effort: Effort) -> Iterator[State]:
    """States in which no lump is filled in part, from each start, better and better from there."""
    curves = make_curves(book.orders)
    collar = book.sheet.collar_bps / 10_000
    others = [pools.agent(book.worth)] if pools is not None else []
    market = Market(book, curves, no_links(), (), collar)
    best: State | None = None
    for delta, width in starts(curves, others, collar, np.zeros(len(book.names))):
        if effort.spent:
            return
        if pools is None:
            found = _from_prices(market, delta, width, effort)
        else:
            found = _with_pools(market, pools, delta, effort)
        for state in found:
            if best is None or state.score > best.score:
                best = state
            yield state
    if best is not None and best.market.small:
        for at in kicked(best.market, best.at, effort):
            fitting = whole_lumps(best.market, at, effort)
            if fitting is not None:
                yield State(*fitting)


def _from_prices(market: Market, delta: Floats, width: float, effort: Effort) -> Iterator[State]:
    """What can be reached from these prices: at them, then nearby, without lumps that do not fit,
    and then nearby again.
    """
    at = fill(market, delta, width, effort)
    if at is None:
        return
    zoomed = _zoomed(market, at)
    if zoomed is not market:
        market = zoomed
        at = fill(market, delta, width, effort)
    for _ in range(1 + REPEATS):
        if at is None or effort.spent:
            return
        fitting = whole_lumps(market, at, effort)
        if fitting is not None:
            yield State(*fitting)
        at = climb(market, at, effort)
        fitting = whole_lumps(market, at, effort)
        if fitting is None:
            return
        yield State(*fitting)
        market, at = fitting


def _zoomed(market: Market, at: Clearing) -> Market:
    """The market in a scale in which the most traded one is as large as programs like it."""
    most = float(at.filled.max(initial=0.0))
    if most <= 0.0 or 0.1 < SPAN / most < 10:
        return market
    factor = SPAN / most
    book = market.book.zoomed(factor)
    curves = market.curves.sized(book.orders.size, book.orders.balance)
    return replace(market, book=book, curves=curves)


def _with_pools(market: Market, pools: Pooling, delta: Floats, effort: Effort) -> Iterator[State]:
    """What can be reached from these prices with only the pools that pay for themselves, their
    curves refined around their flows.
    """
    book, curves = market.book, market.curves
    pools, delta = _pruned(book, curves, pools, delta, effort)
    flows = pools.flows(book.worth, delta)
    market = _linked(market, {flow: atoms for flow, (atoms, _) in flows.items()}, ALONG)
    # What pools pay beyond their marginal price goes to the orders too.
    delta, near = narrowing(curves, [even(market.links)], delta, WILLING, market.collar)
    at = fill(market, delta, near, effort)
    for width in (0.0, *WIDTHS):
        if at is None or effort.spent:
            return
        if width:
            parts = [1 + width * part for part in AROUND]
            linked = _linked(_zoomed(market, at), _amounts(market, at), parts)
            found = fill(linked, at.delta, NEAR, effort)
            if found is None:
                return
            market, at = linked, found
        fitting = whole_lumps(market, at, effort)
        if fitting is not None:
            yield State(*fitting)
            market, at = fitting
        steps = STEPS if width < 0.1 and market.small else STEPS // 5
        at = climb(market, at, effort, steps=steps)
    fitting = whole_lumps(market, at, effort) if at is not None else None
    if fitting is not None:
        yield State(*fitting)


def _amounts(market: Market, at: Clearing) -> dict[Flow, float]:
    """Flow → atoms in, of those in use."""
    worth = market.book.worth
    return {
        flow: float(value / worth[flow.asset_in])
        for flow, value in zip(market.edges, at.flow.tolist(), strict=True)
        if value > 0
    }


def _pruned(
    book: Book, curves: Curves, pools: Pooling, delta: Floats, effort: Effort
) -> tuple[Pooling, Floats]:
    """The pools whose use brings the most net of their costs, and prices that clear with them.

    The pools that gain least for their cost are left out, some more each time, until none is left;
    of all these sets the best counts. Then single pools.
    """
    delta = _cleared(book, curves, pools, delta)
    best = -np.inf, pools, delta
    while not effort.spent:
        flows = pools.flows(book.worth, delta)
        pools = pools.only([flow.venue.id for flow in flows])
        net = _net_of_costs(book, curves, flows, delta)
        if net > best[0]:
            best = net, pools, delta
        if not flows:
            break
        by_ratio = sorted(
            (gain * book.scale / max(flow.venue.cost, 1e-9), flow.venue.id)
            for flow, (_, gain) in flows.items()
        )
        few = ceil(len(by_ratio) * PRUNED)
        kept = [name for k, (ratio, name) in enumerate(by_ratio) if k >= few and ratio > LITTLE]
        pools = pools.only(kept)
        delta = _cleared(book, curves, pools, delta)
    net, pools, delta = best
    names = sorted(pools.venues)
    for name in names if len(names) <= SINGLY else []:
        if effort.spent:
            break
        fewer = pools.only([other for other in pools.venues if other != name])
        found = _cleared(book, curves, fewer, delta)
        without = _net_of_costs(book, curves, fewer.flows(book.worth, found), found)
        if without > net:
            net, pools, delta = without, fewer, found
    return pools, delta


def _cleared(book: Book, curves: Curves, pools: Pooling, delta: Floats) -> Floats:
    agents = [curves.rationed(delta, BAND).agent(), pools.agent(book.worth)]
    return find_prices(agents, delta, WILLING, BAND).delta


def _net_of_costs(
    book: Book, curves: Curves, flows: Mapping[Flow, tuple[float, float]], delta: Floats
) -> float:
    """What orders and pools gain together, less the costs, in value."""
    gains = sum(gain - flow.venue.cost / book.scale for flow, (_, gain) in flows.items())
    return curves.surplus(delta) + gains


def _linked(market: Market, amounts: Mapping[Flow, float], parts: Sequence[float]) -> Market:
    book = market.book
    edges, links = links_of(amounts, book.names, book.worth, book.scale, parts)
    return replace(market, links=links, edges=edges)
