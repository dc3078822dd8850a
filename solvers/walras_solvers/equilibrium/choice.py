"""Which lumps to fill: at fixed prices, a mixed-integer program.

A lump, an order that takes much of itself or nothing, is in or out. Intents of several legs of few
units are filled by whole ones. Pools in use cost. What balances all this are orders that can be
filled in part, and pools.
"""

import numpy as np

from walras_solvers.equilibrium.fills import clear, reach, system
from walras_solvers.equilibrium.kernels import Floats, Ints, Mask
from walras_solvers.equilibrium.market import WHOLE, Clearing, Market, Terms
from walras_solvers.programs import Effort, Program, total

FREE = 60
"""Lumps, at most, that are chosen from at a time."""

POOLS = 30
"""Of so few pools, those that do not pay for their cost are left out."""

WHOLLY = 1e-9
"""The part of its least by which a lump may miss it."""


def choose(market: Market, delta: Floats, effort: Effort) -> tuple[Market, Clearing] | None:
    """The market with the best choice found at these prices, and its clearing there.

    Chosen from are the lumps that would be cut, and others close to their limits. What is far from
    them is as it would be if lumps could be parts.
    """
    market = market.with_terms(None)
    relaxed = clear(market, delta, effort)
    if relaxed is None:
        return None
    packs = market.packs
    cut, cut_packs = _cut(market, relaxed)
    if not np.any(cut) and not np.any(cut_packs):
        return decided(market, relaxed, effort)
    free, free_packs = _near(market, delta, cut, cut_packs)
    market = market.with_terms(_fixed(market, relaxed, ~free, ~free_packs))
    curves, links = market.curves, market.links
    program = Program()
    core, upto, able = reach(market, delta, WHOLE)
    upto = np.where(upto < curves.least, 0.0, upto)
    made = system(program, market, delta, core, upto, able)
    if made is None:
        return None
    some = np.flatnonzero(free[made.market])
    _all_or_nothing(program, made.fills[some], curves.least[made.market[some]], made.size[some])
    some = np.flatnonzero(free_packs[made.packs] & (packs.least[made.packs] > 0))
    place = made.packs[some]
    _all_or_nothing(program, made.packed[some], packs.least[place], packs.size[place])
    some = np.flatnonzero(free_packs[made.packs] & packs.coarse[made.packs])
    place = made.packs[some]
    _whole_units(program, made.packed[some], packs.unit[place], packs.size[place])
    if links.edges <= POOLS:
        used = _binaries(program, links.edges, -links.cost)
        under = program.rows(np.full(links.edges, -np.inf), np.zeros(links.edges))
        program.add(under[links.edge], made.flows, np.ones(len(made.flows)))
        program.add(under, used, -total(links.edge, links.size, links.edges))
    found = program.solve(effort)
    if found is None:
        return None
    return decided(market, made.clearing(market, delta, found.values), effort)


def decided(market: Market, chosen: Clearing, effort: Effort) -> tuple[Market, Clearing] | None:
    """The market with the choice of a clearing, and the best clearing with it at its prices."""
    every = np.ones(len(market.every.least), np.bool_)
    terms = _fixed(market, chosen, every, np.ones(len(market.packs), np.bool_))
    market = market.with_terms(terms)
    at = clear(market, chosen.delta, effort)
    return None if at is None else (market, at)


def _fixed(market: Market, at: Clearing, some: Mask, some_packs: Mask) -> Terms:
    """Terms that keep some of the lumps as they are in a clearing."""
    curves, packs = market.every, market.packs
    lumpy = some & (curves.least > 0)
    firm = lumpy & (at.filled >= curves.least * 0.5)
    units = np.round(at.packed / packs.unit)
    taken = np.where(
        packs.coarse, units > 0, at.packed >= np.maximum(packs.least * 0.5, 1e-100)
    ) & (packs.size > 0)
    low = np.where(packs.coarse, units * packs.unit, packs.least)
    high = np.where(packs.coarse, units * packs.unit, packs.size)
    return Terms(
        delta=at.delta,
        shut=lumpy & ~firm,
        firm=firm,
        owed=np.zeros(market.groups),
        low=np.where(some_packs & taken, low, 0.0),
        high=np.where(some_packs, np.where(taken, high, 0.0), packs.size),
    )


def _cut(market: Market, at: Clearing) -> tuple[Mask, Mask]:
    """The lumps, and the packs, that are filled in a way that they cannot be."""
    least, packs = market.curves.least, market.packs
    units = at.packed / packs.unit
    parts = packs.coarse & (np.abs(units - np.round(units)) > WHOLLY)
    under = (at.packed > 0) & (at.packed < packs.least * (1 - WHOLLY))
    return (at.filled > 0) & (at.filled < least * (1 - WHOLLY)), parts | under


def _near(market: Market, delta: Floats, cut: Mask, cut_packs: Mask) -> tuple[Mask, Mask]:
    """Those to choose from: what is cut, and what is closest to its limit."""
    curves, packs = market.curves, market.packs
    single = curves.least > 0
    limit = curves.limit[np.minimum(curves.start[:-1], len(curves.limit) - 1)]
    off = np.where(single, np.abs(curves.rates(delta) - limit), np.inf)
    off_packs = np.abs(packs.settled(delta) - packs.limit)
    off_packs[(packs.size <= 0) | ~(packs.coarse | (packs.least > 0))] = np.inf
    both = np.concatenate([np.where(cut, 0.0, off), np.where(cut_packs, 0.0, off_packs)])
    chosen = np.zeros(len(both), np.bool_)
    chosen[np.argsort(both, kind="stable")[:FREE]] = True
    chosen &= np.isfinite(both)
    return chosen[: len(off)], chosen[len(off) :]


def _binaries(program: Program, count: int, gain: Floats | None = None) -> Ints:
    worth = np.zeros(count) if gain is None else gain
    return program.columns(np.zeros(count), np.ones(count), worth, integer=True)


def _all_or_nothing(program: Program, columns: Ints, least: Floats, most: Floats) -> None:
    """Columns are 0, or at least `least`."""
    count = len(columns)
    taken = _binaries(program, count)
    over = program.rows(np.zeros(count), np.full(count, np.inf))
    program.add(over, columns, np.ones(count))
    program.add(over, taken, -least)
    under = program.rows(np.full(count, -np.inf), np.zeros(count))
    program.add(under, columns, np.ones(count))
    program.add(under, taken, -most)


def _whole_units(program: Program, columns: Ints, unit: Floats, size: Floats) -> None:
    """Columns are multiples of a unit."""
    count = len(columns)
    most = np.round(size / unit)
    whole = program.columns(np.zeros(count), most, np.zeros(count), integer=True)
    rows = program.rows(np.zeros(count), np.zeros(count))
    program.add(rows, columns, np.ones(count))
    program.add(rows, whole, -unit)
