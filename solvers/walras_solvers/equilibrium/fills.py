"""Fills at given prices, and prices nearby at which the fills would score more.

At fixed prices the best fills are a linear program. Within a market orders are filled in order of
their limits, so it is a program over markets: each is a few stretches of its supply curve, however
many orders it has. Around a solution the program is also linear, to first order, in log prices:
`improve` moves fills and prices together within a small radius, keeping what is filled willing and
in the collar. The two alternate.
"""

from dataclasses import dataclass

import numpy as np

from walras_solvers.equilibrium.curves import Curves
from walras_solvers.equilibrium.kernels import Floats, Ints, Mask, cut, stakes
from walras_solvers.optimizer.book import total
from walras_solvers.optimizer.effort import Effort
from walras_solvers.optimizer.program import Program

PARTS = np.array([0.4, 0.7, 0.9, 1.0])
"""Where a market of many orders is cut, in parts of what is willing."""

NEARLY = 1e-7
"""What of an asset may lack, beside what of it is taken in any case."""

WHOLE = 10.0
"""A width that leaves nothing out of a program."""

SURE = 1e-12
"""A rate this close to a limit or the collar counts as beyond it."""

HEADROOM = 1e-9
"""The part of every account that is left free, for rounding."""

DUST = 1e-9
"""A flow of less value is nothing; about what GLOP's answers err by."""


@dataclass(frozen=True, slots=True)
class Links:
    """Pools as stretches of concave curves.

    Attributes:
        edges: how many directions of pools there are.
        edge, source, target: of each stretch: its direction, asset in and asset out.
        size: value of its input. rate: value out for each in.
        cost: of each direction.
    """

    edges: int
    edge: Ints
    source: Ints
    target: Ints
    size: Floats
    rate: Floats
    cost: Floats


@dataclass(frozen=True, slots=True)
class Clearing:
    """A solution.

    Attributes:
        delta: log prices relative to the references.
        filled: market → size filled. flow: edge → value put in.
        score: surplus less costs.
    """

    delta: Floats
    filled: Floats
    flow: Floats
    score: float


def no_links() -> Links:
    """No pools."""
    none, empty = np.zeros(0), np.zeros(0, np.int64)
    return Links(0, empty, empty, empty, none, none, none)


def clear(
    curves: Curves,
    links: Links,
    collar: float,
    delta: Floats,
    effort: Effort,
    width: float = WHOLE,
) -> Clearing | None:
    """The best fills at the prices `delta`; None where there are none.

    Args:
        curves: orders.
        links: pools.
        collar: by how much of its value what is received may differ from what is given.
        delta: log prices relative to the references.
        effort: that programs may take.
        width: orders that are willing by more than this are filled in any case.
    """
    rates = curves.rates(delta)
    able = inside(rates, collar)
    upto = np.where(able, curves.volume_at(rates - SURE), 0.0)
    core = np.where(able & (curves.account < 0), curves.volume_at(rates - width), 0.0)
    program = Program()
    made = _system(program, curves, links, rates, core, upto)
    found = program.solve(effort)
    if found is None:
        return None
    more = np.bincount(made.market, found.values[made.fills], len(rates))
    filled = np.minimum(core + np.where(more > DUST, more, 0.0), upto)
    flow = total(links.edge, found.values[made.flows], links.edges)
    flow = np.where(flow > DUST, flow, 0.0)
    cost = float(links.cost[flow > 0].sum())
    score = made.base + float(made.gain @ found.values[made.fills]) - cost
    return Clearing(delta, filled, flow, score)


def improve(
    curves: Curves,
    links: Links,
    collar: float,
    at: Clearing,
    radius: float,
    effort: Effort,
    width: float = WHOLE,
) -> Floats | None:
    """Log prices within `radius` where, to first order, fills can score most; None if stuck."""
    rates = curves.rates(at.delta)
    sure = np.where(inside(rates, collar), curves.volume_at(rates - 2.5 * radius), 0.0)
    core = np.where(curves.account < 0, curves.volume_at(rates - width), 0.0)
    program = Program()
    upto = np.maximum(sure, at.filled)
    made = _system(program, curves, links, rates, np.minimum(core, at.filled), upto)
    count = curves.assets
    used = np.flatnonzero(at.filled > 0)
    give, take = curves.give[used], curves.take[used]
    # What moves with the rate: a sale's receipts, what a purchase pays.
    turnover: Floats = at.filled[used] * np.exp(
        np.where(curves.buys[used], -rates[used], rates[used])
    )
    push = total(give, turnover, count) - total(take, turnover, count)
    moves = program.columns(np.full(count, -1.0), np.full(count, 1.0), push * radius)
    rows = made.assets[np.where(curves.buys[used], give, take)]
    program.add(rows, moves[give], -radius * turnover)
    program.add(rows, moves[take], radius * turnover)
    for entry, market in enumerate(made.shared.tolist()):
        if curves.buys[market] and at.filled[market] > 0:
            value = radius * at.filled[market] * np.exp(-rates[market])
            row = made.accounts[made.drawn[entry : entry + 1]]
            program.add(row, moves[curves.give[market : market + 1]], np.array([-value]))
            program.add(row, moves[curves.take[market : market + 1]], np.array([value]))
    _stay_willing(program, curves, collar, at, moves, radius)
    found = program.solve(effort)
    if found is None:
        return None
    delta: Floats = at.delta + radius * found.values[moves]
    return delta


def inside(rates: Floats, collar: float) -> Mask:
    """Market → whether its rate is within the collar."""
    within: Mask = np.abs(np.expm1(rates)) <= collar * (1 - 1e-9) - SURE
    return within


@dataclass(frozen=True, slots=True)
class _System:
    """Where things stand in a program: what is filled in any case brings `base`; stretches of
    markets, with what each brings for its size; flows; rows of assets; markets that share
    accounts, with their accounts, and these accounts' rows.
    """

    base: float
    market: Ints
    fills: Ints
    gain: Floats
    flows: Ints
    assets: Ints
    shared: Ints
    drawn: Ints
    accounts: Ints


def _system(
    program: Program, curves: Curves, links: Links, rates: Floats, core: Floats, upto: Floats
) -> _System:
    """Fills between `core` and `upto`, and pool flows, under conservation and the accounts'
    balances.
    """
    most = int(np.minimum(np.diff(curves.start), len(PARTS)).sum()) + len(upto)
    market, size, staked = np.empty(most, np.int64), np.empty(most), np.empty(most)
    n = cut(curves.start, curves.volume, curves.stake, core, upto, PARTS, market, size, staked)
    market, size, worth = market[:n], size[:n], staked[:n] / size[:n]
    factors = np.exp(np.where(curves.buys, -rates, rates))
    buys, factor = curves.buys[market], factors[market]
    gain = np.where(buys, worth - factor, factor - worth)
    fills = program.columns(np.zeros(n), size, gain)

    already = np.empty(len(core))
    stakes(curves.start, curves.volume, curves.stake, core, already)
    base = np.where(curves.buys, already - factors * core, factors * core - already).sum()
    given = np.bincount(curves.give, np.where(curves.buys, factors, 1.0) * core, curves.assets)
    taken = np.bincount(curves.take, np.where(curves.buys, 1.0, factors) * core, curves.assets)
    lacking = NEARLY * taken  # what the search for prices leaves open; repair takes it back
    assets = program.rows(taken - given - lacking, np.full(curves.assets, np.inf))
    program.add(assets[curves.give[market]], fills, np.where(buys, factor, 1.0))
    program.add(assets[curves.take[market]], fills, np.where(buys, -1.0, -factor))

    flows = program.columns(np.zeros(len(links.size)), links.size, np.zeros(len(links.size)))
    program.add(assets[links.source], flows, -np.ones(len(flows)))
    program.add(assets[links.target], flows, links.rate)

    entries = np.flatnonzero(curves.account[market] >= 0)
    used, drawn = np.unique(curves.account[market[entries]], return_inverse=True)
    accounts = program.rows(np.full(len(used), -np.inf), curves.balance[used] * (1 - HEADROOM))
    program.add(accounts[drawn], fills[entries], np.where(buys[entries], factor[entries], 1.0))
    return _System(
        float(base), market, fills, gain, flows, assets, market[entries], drawn, accounts
    )


def _stay_willing(
    program: Program,
    curves: Curves,
    collar: float,
    at: Clearing,
    moves: Ints,
    radius: float,
) -> None:
    """What is filled stays above its limit and within the collar."""
    used = np.flatnonzero(at.filled > 0)
    last = np.empty(len(used), np.int64)
    for k, market in enumerate(used.tolist()):
        first, end = curves.start[market], curves.start[market + 1]
        last[k] = first + np.searchsorted(curves.volume[first:end], at.filled[market] * (1 - 1e-12))
    pair = curves.give[used] * curves.assets + curves.take[used]
    limit = np.full(curves.assets**2, -np.inf)
    np.maximum.at(limit, pair, curves.limit[np.minimum(last, curves.start[used + 1] - 1)])
    pairs = np.unique(pair)
    give, take = pairs // curves.assets, pairs % curves.assets
    rate = at.delta[give] - at.delta[take]
    low = np.maximum(limit[pairs], np.log1p(-collar * (1 - 1e-9))) - rate + 2 * SURE
    high = np.log1p(collar * (1 - 1e-9)) - rate - 2 * SURE
    near = np.flatnonzero((low > -2 * radius) | (high < 2 * radius))
    rows = program.rows(np.minimum(low[near], 0.0) / radius, np.maximum(high[near], 0.0) / radius)
    program.add(rows, moves[give[near]], np.ones(len(near)))
    program.add(rows, moves[take[near]], -np.ones(len(near)))
