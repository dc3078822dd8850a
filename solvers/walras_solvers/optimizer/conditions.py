"""The conditions of a program: fills and pool flows under conservation, balances and fairness."""

from dataclasses import dataclass

import numpy as np

from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.pools import Curves
from walras_solvers.programs import Floats, Ints, Mask, Program

PENALTY = 2.0
"""What a group that gets less than it is owed counts for, for each score unit."""

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


@dataclass(frozen=True, slots=True)
class System:
    """Where things stand in a program.

    Attributes:
        picked: the columns of the book. fills: theirs in the program. scale: value of one of those.
        segments: of the curves. flows: their columns, each of `unit` value.
        assets: rows. owed: group → row; -1 without one.
        unit: value that rows are counted in.
    """

    picked: Ints
    fills: Ints
    scale: Floats
    segments: Ints
    flows: Ints
    assets: Ints
    owed: Ints
    unit: float


def make_system(
    program: Program,
    book: Book,
    curves: Curves,
    delta: Floats,
    bounds: Bounds,
    picked: Ints,
    *,
    choose: bool,
    unit: float = 1.0,
) -> System:
    """Fills and pool flows under conservation and the owners' balances."""
    g = book.settlements(delta)
    gain = g - book.limit
    count = len(book.assets)
    scale = np.full(len(picked), unit)
    if choose:
        lumpy = book.lumpy[picked]
        coarse = book.coarse[picked]
        scale[coarse] = book.worth[picked[coarse]]
        high = np.where(lumpy | coarse, book.cap[picked], bounds.high[picked])
        high = np.minimum(high, np.maximum(bounds.high[picked], book.floor[picked])) / scale
        fills = np.zeros(len(picked), dtype=np.int64)
        for part, integer in ((~coarse, False), (coarse, True)):
            top = high[part]
            if integer:
                top = np.round(top)
            worth = (gain[picked] * scale / unit)[part]
            fills[part] = program.columns(np.zeros(len(top)), top, worth, integer=integer)
        _decide_lumpy(program, book, picked[lumpy], fills[lumpy], scale[lumpy])
    else:
        low, high = bounds.low[picked] / unit, bounds.high[picked] / unit
        fills = program.columns(low, high, gain[picked])
    assets = program.rows(bounds.spare / unit, np.full(count, np.inf))
    share = scale / unit
    if choose:
        _decide_groups(program, book, bounds.baselines / unit, picked, fills, share, gain, unit)
    owing = np.flatnonzero(bounds.owed > 0)
    owed = program.rows(bounds.owed[owing] / unit, np.full(len(owing), np.inf))
    rank = np.full(len(book.groups), -1)
    rank[owing] = owed
    if len(owing):
        inside = rank[book.group[picked]] >= 0
        program.add(rank[book.group[picked[inside]]], fills[inside], (gain[picked] * share)[inside])

    place = np.full(len(g), -1)
    place[picked] = np.arange(len(picked))
    legs = np.flatnonzero(place[book.leg_column] >= 0)
    at = place[book.leg_column[legs]]
    program.add(assets[book.leg_asset[legs]], fills[at], -book.leg_worth[legs] * share[at])
    program.add(assets[book.settle[picked]], fills, -g[picked] * share)

    if len(book.balance):
        _within_balances(program, book, g, place, fills, share, unit)

    segments = (
        np.flatnonzero(bounds.edges[curves.edge]) if len(curves.edges) else np.zeros(0, np.int64)
    )
    none = np.zeros(len(segments))
    flows = program.columns(none, curves.size[segments] / unit, none)
    program.add(assets[curves.source[segments]], flows, -np.ones(len(segments)))
    program.add(assets[curves.target[segments]], flows, curves.rate[segments])
    return System(picked, fills, scale, segments, flows, assets, rank, unit)


def _within_balances(
    program: Program,
    book: Book,
    g: Floats,
    place: Ints,
    fills: Ints,
    share: Floats,
    unit: float,
) -> None:
    """What fills take from an account is at most what it holds."""
    gives = np.flatnonzero(place[book.give_column] >= 0)
    at = place[book.give_column[gives]]
    value = book.give_worth[gives]
    value = np.where(np.isnan(value), np.maximum(-g[book.give_column[gives]], 0.0), value)
    needed, account = np.unique(book.give_account[gives], return_inverse=True)
    most = book.balance[needed] / unit * (1 - HEADROOM)
    rows = program.rows(np.full(len(needed), -np.inf), most)
    program.add(rows[account], fills[at], value * share[at])


def soften(program: Program, system: System) -> None:
    """Let groups get less than they are owed, at a penalty."""
    rows = system.owed[system.owed >= 0]
    count = len(rows)
    if count:
        short = program.columns(np.zeros(count), np.full(count, 1e9), np.full(count, -PENALTY))
        program.add(rows, short, np.ones(count))


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
    share: Floats,
    gain: Floats,
    unit: float,
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
    program.add(over, fills[inside], share[inside] * unit / book.cap[columns])
    program.add(over, served[mine], -np.ones(len(inside)))
    enough = program.rows(np.zeros(count), np.full(count, np.inf))
    program.add(enough[mine], fills[inside], gain[columns] * share[inside])
    program.add(enough, served, -baselines[known])
