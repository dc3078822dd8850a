"""Fills at given prices, and the prices next to them at which the fills would score more.

At fixed prices the best fills are a linear program: every intent's surplus is linear in its fill,
and conservation in fills and pool flows. Around a solution of it the program is also linear, to
first order, in log prices: `improve` moves fills and prices together within a small radius, keeping
every filled intent within its limit and the collar. The two alternate.
"""

from dataclasses import dataclass, replace

import numpy as np

from walras_solvers.optimizer.book import Book, Floats, Ints, Mask, total
from walras_solvers.optimizer.pools import Curves
from walras_solvers.optimizer.program import Program

DUST = 1e-9
"""A fill of less value is nothing; about what GLOP's answers err by."""

RESTORATIONS = 8
"""Moves of the prices, at most, that look for a balance."""

HEADROOM = 1e-9
"""The part of every cap that is left free, so that rounding can be mended in both directions."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the program may choose.

    Attributes:
        low, high: column → the least and the most x.
        edges: edge → whether it may be used.
        spare: asset → value that must be left over, for the rounding of pools' flows.
        baselines: group → surplus that it has to reach if any of it is filled, when that is chosen.
        owed: group → surplus that it has to reach.
    """

    low: Floats
    high: Floats
    edges: Mask
    spare: Floats
    baselines: Floats
    owed: Floats


@dataclass(frozen=True, slots=True)
class Clearing:
    """A solution.

    Attributes:
        delta: log prices relative to the reference prices.
        x: column → value filled. y: edge → value put in.
        score: surplus less costs.
        duals: asset → what one more value of it would bring.
    """

    delta: Floats
    x: Floats
    y: Floats
    score: float
    duals: Floats


def free_bounds(book: Book, curves: Curves) -> Bounds:
    """Every fill between nothing and its cap, and every edge."""
    return Bounds(
        np.zeros(len(book.cap)),
        book.cap * (1 - HEADROOM),
        np.ones(len(curves.edges), dtype=np.bool_),
        np.zeros(len(book.assets)),
        np.zeros(len(book.groups)),
        np.zeros(len(book.groups)),
    )


def tradable_at(book: Book, delta: Floats) -> Mask:
    """Column → whether limit and collar allow its price."""
    g = book.settlements(delta)
    slack = book.margin * np.maximum(np.abs(g), 1e-3)
    low, high = book.low[book.kind], book.high[book.kind]
    return (g - book.limit >= slack) & (g >= low + slack) & (g <= high - slack)


def clear(
    book: Book,
    curves: Curves,
    delta: Floats,
    bounds: Bounds,
    seconds: float,
    *,
    choose: bool = False,
    slack: float = 0.0,
) -> Clearing | None:
    """The best fills at the prices `delta`; None where the bounds cannot be kept.

    Args:
        book: the intents.
        curves: the pools.
        delta: log prices relative to the reference prices.
        bounds: what may be chosen.
        seconds: at most.
        choose: lumpy intents and edges' costs are decided here too, by branch and bound.
        slack: how much of an asset's possible volume conservation may lack; it is paid for.
    """
    ok = tradable_at(book, delta)
    picked = np.flatnonzero(ok & (bounds.high > 0))
    if np.any(bounds.low[~ok] > 0):
        return None
    if not len(picked):
        nothing = np.zeros(len(ok)), np.zeros(len(curves.edges))
        return Clearing(delta, *nothing, 0.0, np.zeros(len(book.assets)))
    program = Program()
    system = _system(program, book, curves, delta, bounds, picked, choose=choose)
    if slack:
        moved = np.zeros(len(book.intents))
        moved[picked] = book.cap[picked]
        volume = total(
            book.leg_asset, np.abs(book.leg_worth) * moved[book.leg_column], len(book.assets)
        ) + total(book.settle, moved, len(book.assets))
        lacking = program.columns(np.zeros(len(volume)), slack * volume, np.full(len(volume), -1.0))
        program.add(system.assets, lacking, np.ones(len(volume)))
    solution = program.solve(seconds)
    if solution is None:
        return None
    return _clearing(book, curves, delta, system, solution.values, solution.duals)


def improve(
    book: Book, curves: Curves, at: Clearing, bounds: Bounds, radius: float, seconds: float
) -> Floats | None:
    """Log prices within `radius` of `at` where, to first order, fills can score most; None if
    stuck.
    """
    g = book.settlements(at.delta)
    gain = g - book.limit
    filled = at.x > 0
    ok = tradable_at(book, at.delta) & (bounds.high > 0)
    picked = np.flatnonzero((ok & (gain > 2.5 * radius * np.abs(g))) | filled)
    if not len(picked):
        return None
    program = Program()
    system = _system(program, book, curves, at.delta, bounds, picked, choose=False)
    count = len(book.assets)
    moves = program.columns(
        np.full(count, -1.0), np.full(count, 1.0), _price_gradient(book, at) * radius
    )
    # Settlements change with the prices: row of the settlement asset −x·Σ rate·(Δ_leg −
    # Δ_settlement).
    rates = book.leg_rates(at.delta) * at.x[book.leg_column]
    home = book.settle[book.leg_column]
    used = np.flatnonzero(rates)
    program.add(system.assets[home[used]], moves[book.leg_asset[used]], -radius * rates[used])
    program.add(system.assets[home[used]], moves[home[used]], radius * rates[used])
    _keep_limits(program, book, at, gain, filled, moves, radius)
    owing = np.flatnonzero(rates * (system.owed[book.group[book.leg_column]] >= 0))
    if len(owing):
        rows = system.owed[book.group[book.leg_column[owing]]]
        program.add(rows, moves[book.leg_asset[owing]], radius * rates[owing])
        program.add(rows, moves[home[owing]], -radius * rates[owing])
    solution = program.solve(seconds)
    if solution is None:
        return None
    return at.delta + radius * solution.values[moves]


def restore(
    book: Book, curves: Curves, at: Clearing, bounds: Bounds, seconds: float
) -> Clearing | None:
    """A clearing within the bounds at prices near `at`, whose own fills need not balance."""
    radius = 0.02
    for _ in range(RESTORATIONS):
        found = clear(book, curves, at.delta, bounds, seconds)
        if found is not None:
            return found
        moved = improve(book, curves, at, bounds, radius, seconds)
        if moved is None:
            radius /= 2
        else:
            at = replace(at, delta=moved)
    return None


@dataclass(frozen=True, slots=True)
class _System:
    """Where things stand in a program."""

    picked: Ints
    fills: Ints
    scale: Floats
    segments: Ints
    flows: Ints
    assets: Ints
    owed: Ints


def _system(
    program: Program,
    book: Book,
    curves: Curves,
    delta: Floats,
    bounds: Bounds,
    picked: Ints,
    *,
    choose: bool,
) -> _System:
    """Fills and pool flows under conservation and the owners' balances."""
    g = book.settlements(delta)
    gain = g - book.limit
    count = len(book.assets)
    scale = np.ones(len(picked))
    if choose:
        lumpy = book.lumpy[picked]
        coarse = book.coarse[picked]
        scale[coarse] = book.worth[picked[coarse]]
        high = np.where(lumpy | coarse, book.cap[picked], bounds.high[picked]) / scale
        fills = np.zeros(len(picked), dtype=np.int64)
        for part, integer in ((~coarse, False), (coarse, True)):
            top = high[part]
            if integer:
                top = np.round(top)
            fills[part] = program.columns(
                np.zeros(len(top)), top, (gain[picked] * scale)[part], integer=integer
            )
        _decide_lumpy(program, book, picked[lumpy], fills[lumpy], scale[lumpy])
    else:
        fills = program.columns(bounds.low[picked], bounds.high[picked], gain[picked])
    assets = program.rows(bounds.spare, np.full(count, np.inf))
    if choose:
        _decide_groups(program, book, bounds.baselines, picked, fills, scale, gain)
    owing = np.flatnonzero(bounds.owed > 0)
    owed = program.rows(bounds.owed[owing], np.full(len(owing), np.inf))
    rank = np.full(len(book.groups), -1)
    rank[owing] = owed
    if len(owing):
        inside = rank[book.group[picked]] >= 0
        program.add(rank[book.group[picked[inside]]], fills[inside], (gain[picked] * scale)[inside])

    place = np.full(len(g), -1)
    place[picked] = np.arange(len(picked))
    legs = np.flatnonzero(place[book.leg_column] >= 0)
    at = place[book.leg_column[legs]]
    program.add(assets[book.leg_asset[legs]], fills[at], -book.leg_worth[legs] * scale[at])
    program.add(assets[book.settle[picked]], fills, -g[picked] * scale)

    if len(book.balance):
        gives = np.flatnonzero(place[book.give_column] >= 0)
        at = place[book.give_column[gives]]
        value = book.give_worth[gives]
        value = np.where(np.isnan(value), np.maximum(-g[book.give_column[gives]], 0.0), value)
        needed, account = np.unique(book.give_account[gives], return_inverse=True)
        rows = program.rows(np.full(len(needed), -np.inf), book.balance[needed] * (1 - HEADROOM))
        program.add(rows[account], fills[at], value * scale[at])

    segments = (
        np.flatnonzero(bounds.edges[curves.edge]) if len(curves.edges) else np.zeros(0, np.int64)
    )
    size = curves.size[segments]
    flows = program.columns(np.zeros(len(segments)), size, np.zeros(len(segments)))
    program.add(assets[curves.source[segments]], flows, -np.ones(len(segments)))
    program.add(assets[curves.target[segments]], flows, curves.rate[segments])
    return _System(picked, fills, scale, segments, flows, assets, rank)


def _decide_lumpy(program: Program, book: Book, columns: Ints, fills: Ints, scale: Floats) -> None:
    """floor·z ≤ x ≤ cap·z with z ∈ {0, 1}."""
    count = len(columns)
    if not count:
        return
    taken = program.columns(np.zeros(count), np.ones(count), np.zeros(count), integer=True)
    over = program.rows(np.full(count, -np.inf), np.zeros(count))
    program.add(over, fills, scale / book.cap[columns])
    program.add(over, taken, -np.ones(count))
    under = program.rows(np.zeros(count), np.full(count, np.inf))
    program.add(under, fills, scale / book.cap[columns])
    program.add(under, taken, -book.floor[columns] / book.cap[columns])


def _decide_groups(
    program: Program,
    book: Book,
    baselines: Floats,
    picked: Ints,
    fills: Ints,
    scale: Floats,
    gain: Floats,
) -> None:
    """X ≤ cap·z and Σ surplus ≥ baseline·z with z ∈ {0, 1}, for every group with a baseline."""
    known = np.flatnonzero(baselines > 0)
    if not len(known):
        return
    count = len(known)
    rank = np.full(len(baselines), -1)
    rank[known] = np.arange(count)
    inside = np.flatnonzero(rank[book.group[picked]] >= 0)
    columns = picked[inside]
    mine = rank[book.group[columns]]
    served = program.columns(np.zeros(count), np.ones(count), np.zeros(count), integer=True)
    over = program.rows(np.full(len(inside), -np.inf), np.zeros(len(inside)))
    program.add(over, fills[inside], scale[inside] / book.cap[columns])
    program.add(over, served[mine], -np.ones(len(inside)))
    enough = program.rows(np.zeros(count), np.full(count, np.inf))
    program.add(enough[mine], fills[inside], gain[columns] * scale[inside])
    program.add(enough, served, -baselines[known])


def _clearing(
    book: Book, curves: Curves, delta: Floats, system: _System, values: Floats, duals: Floats
) -> Clearing:
    x = np.zeros(len(book.intents))
    x[system.picked] = values[system.fills] * system.scale
    x[x < DUST] = 0.0
    y = (
        total(curves.edge[system.segments], values[system.flows], len(curves.edges))
        if len(curves.edges)
        else np.zeros(0)
    )
    y = np.where(y > DUST, y, 0.0)
    cost = sum(edge.cost for edge, flow in zip(curves.edges, y, strict=True) if flow > 0)
    gain = book.settlements(delta) - book.limit
    score = float(gain @ x) - cost
    return Clearing(delta, x, y, score, duals[system.assets])


def _price_gradient(book: Book, at: Clearing) -> Floats:
    """Asset → what a rise of its log price adds to the surplus of the fills as they are."""
    count = len(book.assets)
    rates = book.leg_rates(at.delta) * at.x[book.leg_column]
    return total(book.leg_asset, rates, count) - total(book.settle[book.leg_column], rates, count)


def _keep_limits(
    program: Program,
    book: Book,
    at: Clearing,
    gain: Floats,
    filled: Mask,
    moves: Ints,
    radius: float,
) -> None:
    """For every kind with fills: g stays above their limits and within the collar."""
    if not np.any(filled):
        return
    kinds = len(book.kind_groups)
    tightest = np.full(kinds, np.inf)
    g = book.settlements(at.delta)
    # Rounding takes up to one atom of what is settled.
    atom = np.divide(2 * book.reference[book.settle], at.x, out=np.zeros_like(g), where=filled)
    slack = 1.5 * book.margin * np.maximum(np.abs(g), 1e-3) + np.minimum(atom, 1e-3)
    np.minimum.at(tightest, book.kind[filled], (gain - slack)[filled])
    example = np.full(kinds, -1)
    example[book.kind[filled]] = np.flatnonzero(filled)
    used = np.flatnonzero(example >= 0)
    columns = example[used]
    g, slack = g[columns], slack[columns]
    low = np.maximum(-tightest[used], book.low[used] - g + slack)
    high = np.maximum(book.high[used] - g - slack, low)
    rows = program.rows(np.minimum(low, 0.0) / radius, high / radius)
    place = np.full(len(gain), -1)
    place[columns] = np.arange(len(used))
    legs = np.flatnonzero(place[book.leg_column] >= 0)
    rates = book.leg_rates(at.delta)[legs]
    row = rows[place[book.leg_column[legs]]]
    program.add(row, moves[book.leg_asset[legs]], rates)
    program.add(row, moves[book.settle[book.leg_column[legs]]], -rates)
