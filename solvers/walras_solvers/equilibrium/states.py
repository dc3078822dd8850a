"""Clearings of the whole batch, better and better ones, each ready to be made exact."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from walras_solvers.equilibrium.book import SPAN, Book
from walras_solvers.equilibrium.curves import WILLING
from walras_solvers.equilibrium.fair import appeased
from walras_solvers.equilibrium.fills import clear
from walras_solvers.equilibrium.kernels import Floats
from walras_solvers.equilibrium.kicks import kicked
from walras_solvers.equilibrium.market import Clearing, Market, make_market
from walras_solvers.equilibrium.mend import Flow
from walras_solvers.equilibrium.pooling import ALONG, AROUND, Pooling, even, links_of
from walras_solvers.equilibrium.prices import find_prices
from walras_solvers.equilibrium.search import (
    NEAR,
    STEPS,
    climb,
    fill,
    narrowing,
    starts,
    whole_lumps,
)
from walras_solvers.programs import Effort

WIDTHS = (0.5, 0.1, 0.02, 0.004)
"""Of the curves around the pools' flows, one after the other."""

NEARBY = (0.9, 0.95, 0.98, 0.99, 1.01, 1.02, 1.05, 1.1)
"""Where curves are refined that also have to serve far from their flows."""

PRUNED = 0.25
"""The part of the pools that is left out at a time."""

LITTLE = 0.02
"""Pools that gain less than so many times their cost are left out all at once."""

SINGLY = 30
"""So few pools are also left out one by one."""

REPEATS = 1
"""Times that prices are moved again once lumps are out."""

SAME = 1e-5
"""Starts that are so close lead to the same choices."""

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


def searches(book: Book, pools: Pooling | None, effort: Effort) -> Iterator[Iterator[State]]:
    """From each start, states in which no lump is filled in part, better and better ones."""
    market = make_market(book)
    others = market.agents()
    if pools is not None:
        others.append(pools.agent(book.worth))
    tried: list[Floats] = []
    for delta, width in starts(
        market.curves, others, market.collar, np.zeros(len(book.names)), lambda: effort.spent
    ):
        if effort.spent:
            return
        if market.bound and any(np.abs(delta - other).max() < SAME for other in tried):
            continue
        tried.append(delta)
        if pools is None:
            yield _from_prices(market, delta, width, effort)
        else:
            yield _with_pools(market, pools, delta, effort)


def shaken(
    state: State, effort: Effort, scores: Mapping[str, int] | None = None
) -> Iterator[State]:
    """Better ones, found from this one; with `scores`, as for `fairly`."""

    def mend(market: Market, at: Clearing) -> tuple[Market, Clearing] | None:
        return (market, at) if scores is None else appeased(market, at, scores, effort)

    if state.market.small:
        for market, at in kicked(state.market, state.at, effort, mend):
            fitting = whole_lumps(market, at, effort)
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
    for repeat in range(1 + REPEATS):
        if at is None or effort.spent:
            return
        fitting = whole_lumps(market, at, effort)
        if fitting is not None:
            yield State(*fitting)
            if repeat:
                market, at = fitting
        at = climb(market, at, effort)
        fitting = whole_lumps(market, at, effort)
        if fitting is None:
            return
        yield State(*fitting)
        market, at = fitting


def _zoomed(market: Market, at: Clearing) -> Market:
    """The market in a scale in which the most traded one is as large as programs like it."""
    most = float(max(at.filled.max(initial=0.0), at.packed.max(initial=0.0)))
    if most <= 0.0 or 0.1 < SPAN / most < 10 or (market.terms and np.any(market.terms.owed)):
        return market
    factor = SPAN / most
    book = market.book.zoomed(factor)
    return replace(market, book=book, terms=None).with_orders(book)


def _with_pools(market: Market, pools: Pooling, delta: Floats, effort: Effort) -> Iterator[State]:
    """What can be reached from these prices with only the pools that pay for themselves, their
    curves refined around their flows.
    """
    book = market.book
    pools, delta = _pruned(market, pools, delta, effort)
    flows = pools.flows(book.worth, delta)
    market = _linked(market, {flow: atoms for flow, (atoms, _) in flows.items()}, ALONG)
    # What pools pay beyond their marginal price goes to the orders too.
    delta, near = narrowing(
        market.curves,
        [*market.agents(), even(market.links)],
        delta,
        WILLING,
        market.collar,
        lambda: effort.spent,
    )
    at = fill(market, delta, near, effort)
    if at is not None:
        yield from _refined(market, at, (0.0, *WIDTHS), effort)


def fairly(state: State, scores: Mapping[str, int], effort: Effort) -> Iterator[State]:
    """States near this one in which each group that is served has what it could have alone.

    Args:
        state: see there.
        scores: group → the score of its own bid.
        effort: that it may take.
    """
    market, at = state.market, state.at
    if market.edges:  # what pools trade may change much
        market = _linked(market, _amounts(market, at), sorted({*ALONG, *NEARBY}))
        cleared = clear(market, at.delta, effort)
        if cleared is None:
            return
        at = cleared
    found = appeased(market, at, scores, effort)
    if found is not None:
        yield State(*found)
        yield from _refined(*found, WIDTHS if market.edges else (1.0, 0.0), effort)


def _refined(
    market: Market, at: Clearing, widths: Sequence[float], effort: Effort
) -> Iterator[State]:
    """Better and better states, with the pools' curves refined to these widths."""
    for width in widths:
        if effort.spent:
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
    fitting = whole_lumps(market, at, effort)
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
    market: Market, pools: Pooling, delta: Floats, effort: Effort
) -> tuple[Pooling, Floats]:
    """The pools whose use brings the most net of their costs, and prices that clear with them.

    The pools that gain least for their cost are left out, some more each time, until none is left;
    of all these sets the best counts. Then single pools.
    """
    book = market.book
    delta = _cleared(market, pools, delta, effort)
    best = -np.inf, pools, delta
    while not effort.spent:
        flows = pools.flows(book.worth, delta)
        pools = pools.only([flow.venue.id for flow in flows])
        net = _net_of_costs(market, flows, delta)
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
        delta = _cleared(market, pools, delta, effort)
    net, pools, delta = best
    names = sorted(pools.venues)
    for name in names if len(names) <= SINGLY else []:
        if effort.spent:
            break
        fewer = pools.only([other for other in pools.venues if other != name])
        found = _cleared(market, fewer, delta, effort)
        without = _net_of_costs(market, fewer.flows(book.worth, found), found)
        if without > net:
            net, pools, delta = without, fewer, found
    return pools, delta


def _cleared(market: Market, pools: Pooling, delta: Floats, effort: Effort) -> Floats:
    curves = market.curves.rationed(delta, BAND)
    agents = [curves.agent(), *market.agents(), pools.agent(market.book.worth)]
    return find_prices(agents, delta, WILLING, BAND, late=lambda: effort.spent).delta


def _net_of_costs(
    market: Market, flows: Mapping[Flow, tuple[float, float]], delta: Floats
) -> float:
    """What orders and pools gain together, less the costs, in value."""
    scale, packs = market.book.scale, market.packs
    gains = sum(gain - flow.venue.cost / scale for flow, (_, gain) in flows.items())
    filled = np.where(packs.willing(delta, market.collar), packs.size, 0.0)
    return market.curves.surplus(delta) + float(packs.gains(delta) @ filled) + gains


def _linked(market: Market, amounts: Mapping[Flow, float], parts: Sequence[float]) -> Market:
    book = market.book
    edges, links = links_of(amounts, book.names, book.worth, book.scale, parts)
    return replace(market, links=links, edges=edges)
