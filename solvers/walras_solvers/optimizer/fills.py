"""Fills at given prices, and the prices next to them at which the fills would score more.

At fixed prices the best fills are a linear program: every intent's surplus is linear in its fill,
and conservation in fills and pool flows. Around a solution of it the program is also linear, to
first order, in log prices: `improve` moves fills and prices together within a small radius, keeping
every filled intent within its limit and the collar. The two alternate.
"""

from dataclasses import dataclass, replace

import numpy as np

from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.conditions import PENALTY, Bounds, System, make_system, soften
from walras_solvers.optimizer.pools import Curves
from walras_solvers.programs import Effort, Floats, Ints, Mask, Program, total

DUST = 1e-9
"""A fill of less value is nothing; about what GLOP's answers err by."""


WORTH = 0.3
"""What an asset's value may bring in surplus, about; where sifting starts from."""

RESTORATIONS = 8
"""Moves of the prices, at most, that look for a balance."""


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


@dataclass(frozen=True, slots=True)
class Move:
    """Log prices to go to, and about the duals there."""

    delta: Floats
    duals: Floats


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
    effort: Effort,
    *,
    choose: bool = False,
    slack: float = 0.0,
    unit: float = 1.0,
    elastic: bool = False,
    near: Floats | None = None,
) -> Clearing | None:
    """The best fills at the prices `delta`; None where the bounds cannot be kept.

    Args:
        book: the intents.
        curves: the pools.
        delta: log prices relative to the reference prices.
        bounds: what may be chosen.
        effort: spent on it.
        choose: lumpy intents and edges' costs are decided here too, by branch and bound.
        slack: how much of an asset's possible volume conservation may lack; it is paid for.
        unit: value that the program counts in; CP-SAT rounds to 10^-6 of it.
        elastic: groups may get less than they are owed, at a penalty.
        near: a guess of the duals.
    """
    ok = tradable_at(book, delta)
    picked = np.flatnonzero(ok & (bounds.high > 0))
    if np.any(bounds.low[~ok] > 0):
        return None
    if not len(picked):
        nothing = np.zeros(len(ok)), np.zeros(len(curves.edges))
        return Clearing(delta, *nothing, 0.0, np.zeros(len(book.assets)))
    program = Program()
    system = make_system(program, book, curves, delta, bounds, picked, choose=choose, unit=unit)
    if slack:
        moved = np.zeros(len(book.intents))
        moved[picked] = np.minimum(book.cap, bounds.high)[picked] / unit
        volume = total(
            book.leg_asset, np.abs(book.leg_worth) * moved[book.leg_column], len(book.assets)
        ) + total(book.settle, moved, len(book.assets))
        lacking = program.columns(np.zeros(len(volume)), slack * volume, np.full(len(volume), -1.0))
        program.add(system.assets, lacking, np.ones(len(volume)))
    if elastic:
        soften(program, system)
    if near is None:  # as it is about where supply meets demand
        near = -WORTH * np.exp(delta)
    solution = program.solve(effort, (system.assets, near))
    if solution is None:
        return None
    return _clearing(book, curves, delta, system, solution.values, solution.duals)


def improve(
    book: Book,
    curves: Curves,
    at: Clearing,
    bounds: Bounds,
    radius: float,
    effort: Effort,
    *,
    elastic: bool = False,
) -> Move | None:
    """To log prices within `radius` of `at` where, to first order, fills can score most; None if
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
    system = make_system(program, book, curves, at.delta, bounds, picked, choose=False)
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
    if elastic:
        soften(program, system)
    solution = program.solve(
        effort, (system.assets, at.duals - (0.0 if np.any(at.duals) else WORTH) * np.exp(at.delta))
    )
    if solution is None:
        return None
    return Move(at.delta + radius * solution.values[moves], solution.duals[system.assets])


def shortfall(book: Book, at: Clearing, bounds: Bounds) -> Floats:
    """Group → what it gets less than it is owed."""
    got = total(book.group, (book.settlements(at.delta) - book.limit) * at.x, len(book.groups))
    return np.maximum(bounds.owed - got, 0.0)


def appease(
    book: Book, curves: Curves, at: Clearing, bounds: Bounds, effort: Effort, *, moves: int
) -> Clearing | None:
    """A clearing where groups lack as little as can be of what they are owed, its prices up to so
    many `moves` from those of `at`; None where none keeps the other bounds.
    """

    def merit(found: Clearing) -> float:
        return found.score - PENALTY * float(shortfall(book, found, bounds).sum())

    found = clear(book, curves, at.delta, bounds, effort, elastic=True, near=at.duals)
    if found is None:
        return restore(book, curves, at, bounds, effort)
    radius = 0.01
    for _ in range(moves):
        if not np.any(shortfall(book, found, bounds)):
            break
        moved = improve(book, curves, found, bounds, radius, effort, elastic=True)
        next_ = None
        if moved is not None:
            next_ = clear(book, curves, moved.delta, bounds, effort, elastic=True, near=moved.duals)
        if next_ is not None and merit(next_) > merit(found):
            found = next_
        else:
            radius /= 4
    return found


def restore(
    book: Book, curves: Curves, at: Clearing, bounds: Bounds, effort: Effort
) -> Clearing | None:
    """A clearing within the bounds at prices near `at`, whose own fills need not balance."""
    radius = 0.02
    for _ in range(RESTORATIONS):
        found = clear(book, curves, at.delta, bounds, effort, near=at.duals)
        if found is not None:
            return found
        moved = improve(book, curves, at, bounds, radius, effort)
        if moved is None:
            radius /= 2
        else:
            at = replace(at, delta=moved.delta, duals=moved.duals)
    return None


def _clearing(
    book: Book, curves: Curves, delta: Floats, system: System, values: Floats, duals: Floats
) -> Clearing:
    x = np.zeros(len(book.intents))
    x[system.picked] = values[system.fills] * system.scale
    x[x < DUST] = 0.0
    y = (
        total(curves.edge[system.segments], values[system.flows] * system.unit, len(curves.edges))
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
