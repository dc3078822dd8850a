"""Fills at given prices, and prices nearby at which the fills would score more.

At fixed prices the best fills are a linear program. Within a market orders are filled in order of
their limits, so it is a program over markets: each is a few stretches of its supply curve, however
many orders it has. Around a solution the program is also linear, to first order, in log prices:
`improve` moves fills and prices together within a small radius, keeping what is filled willing and
in the collar, and the groups what they are owed. The two alternate.
"""

from dataclasses import dataclass, replace

import numpy as np

from walras_solvers.equilibrium.book import SPAN
from walras_solvers.equilibrium.curves import Curves
from walras_solvers.equilibrium.kernels import Floats, Ints, Mask, cut, stakes
from walras_solvers.equilibrium.market import PARTS, WHOLE, Clearing, Market
from walras_solvers.programs import Effort, Program, total

NEARLY = 1e-7
"""What of an asset may lack, beside what of it is taken in any case."""

SURE = 1e-12
"""A rate this close to a limit or the collar counts as beyond it."""

HEADROOM = 1e-9
"""The part of every account that is left free, for rounding."""

DUST = 1e-9
"""A flow of less value is nothing; about what GLOP's answers err by."""

ATOMS, SPARE, LITTLE, DEAR = 4.0, 1e-5, 1e-9, 2.0
"""What is left over of each asset, where lumps and packs are fixed: so many atoms, if that is not
more than this part of the greatest size, and this part; and what that may cost beside its value.
"""

LACKING = 3.0
"""What a group's lack of something costs beside it, where it may lack something."""

LOOSE = 1e-9
"""The part of what is fixed by which a fill may differ from it."""


def clear(market: Market, delta: Floats, effort: Effort, width: float = WHOLE) -> Clearing | None:
    """The best fills at the prices `delta`; None where there are none.

    Args:
        market: what is filled, and what fills have to keep.
        delta: log prices relative to the references.
        effort: that programs may take.
        width: orders that are willing by more than this are filled in any case.
    """
    program = Program()
    made = system(program, market, delta, *reach(market, delta, width))
    if made is None:
        return None
    keep(program, market, made)
    found = program.solve(effort)
    if found is None:
        return None
    cleared = made.clearing(market, delta, found.values)
    if market.terms is not None and market.terms.soft:
        lacking = float(shortfall(market, cleared).sum())
        return replace(cleared, score=cleared.score - LACKING * lacking)
    return cleared


def reach(market: Market, delta: Floats, width: float) -> tuple[Floats, Floats, Mask]:
    """By market: what is filled in any case, and what may be filled; which packs may be."""
    curves = market.curves
    rates = curves.rates(delta)
    able = inside(rates, market.collar)
    upto = np.where(able, curves.volume_at(rates - SURE), 0.0)
    core = np.where(able & (curves.account < 0), curves.volume_at(rates - width), 0.0)
    return core, upto, market.packs.willing(delta, market.collar)


def improve(
    market: Market, at: Clearing, radius: float, effort: Effort, width: float = WHOLE
) -> Floats | None:
    """Log prices within `radius` where, to first order, fills can score most; None if stuck."""
    curves, packs = market.curves, market.packs
    rates = curves.rates(at.delta)
    able = inside(rates, market.collar)
    sure = np.where(able, curves.volume_at(rates - 2.5 * radius), 0.0)
    core = np.where(curves.account < 0, curves.volume_at(rates - width), 0.0)
    taken = packs.taken(at.delta)
    steep = taken / np.exp(at.delta[packs.settle])[:, None]  # −∂q/∂δ
    steady = packs.willing(at.delta, market.collar, 2.5 * radius * np.abs(steep).sum(axis=1))
    upto = np.maximum(sure, at.filled)
    program = Program()
    made = system(
        program, market, at.delta, np.minimum(core, at.filled), upto,
        steady | (at.packed > 0), at.packed * ~steady,
    )  # fmt: skip
    if made is None:
        return None
    count = curves.assets
    used = np.flatnonzero(at.filled > 0)
    give, take = curves.give[used], curves.take[used]
    # What moves with the rate: a sale's receipts, what a purchase pays.
    turnover: Floats = at.filled[used] * np.exp(
        np.where(curves.buys[used], -rates[used], rates[used])
    )
    settling = at.packed[:, None] * steep
    push = total(give, turnover, count) - total(take, turnover, count) - settling.sum(axis=0)
    moves = program.columns(np.full(count, -1.0), np.full(count, 1.0), push * radius)
    rows = made.assets[np.where(curves.buys[used], give, take)]
    program.add(rows, moves[give], -radius * turnover)
    program.add(rows, moves[take], radius * turnover)
    some, assets = np.nonzero(settling)
    program.add(made.assets[packs.settle[some]], moves[assets], radius * settling[some, assets])
    for entry, place in enumerate(made.shared.tolist()):
        if curves.buys[place] and at.filled[place] > 0:
            value = radius * at.filled[place] * np.exp(-rates[place])
            row = made.accounts[made.drawn[entry : entry + 1]]
            program.add(row, moves[curves.give[place : place + 1]], np.array([-value]))
            program.add(row, moves[curves.take[place : place + 1]], np.array([value]))
    owed = keep(program, market, made)
    if owed is not None:
        row = owed[curves.pairs[used]]
        kept = row >= 0
        program.add(row[kept], moves[give[kept]], radius * turnover[kept])
        program.add(row[kept], moves[take[kept]], -radius * turnover[kept])
        row = owed[packs.group[some]]
        kept = row >= 0
        gained = -radius * settling[some, assets]
        program.add(row[kept], moves[assets[kept]], gained[kept])
    _stay_willing(program, market, at, moves, radius)
    _stay_in_corridor(program, market, at, steep, moves, radius)
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
class System:
    """Where things stand in a program.

    Attributes:
        core, upto: by market, what is filled in any case, and at most.
        base: market → what that brings.
        market: of each stretch; fills: its column; size: at most; gain: what one of size brings.
        packs: which there are; packed: their columns; pack_gain: what one of size brings.
        flows: columns of links. assets: rows.
        shared: markets of the stretches that share accounts; drawn: their accounts' places among
            `accounts`, rows.
    """

    core: Floats
    upto: Floats
    base: Floats
    market: Ints
    fills: Ints
    size: Floats
    gain: Floats
    packs: Ints
    packed: Ints
    pack_gain: Floats
    flows: Ints
    assets: Ints
    shared: Ints
    drawn: Ints
    accounts: Ints

    def clearing(self, market: Market, delta: Floats, values: Floats) -> Clearing:
        """The solution's fills at the prices."""
        more = np.bincount(self.market, values[self.fills], len(self.core))
        filled = np.minimum(self.core + np.where(more > DUST, more, 0.0), self.upto)
        packed = np.zeros(len(market.packs))
        level = values[self.packed]
        packed[self.packs] = np.where(level > DUST, level, 0.0)
        links = market.links
        flow = total(links.edge, values[self.flows], links.edges)
        flow = np.where(flow > DUST, flow, 0.0)
        score = self.base.sum() + self.gain @ values[self.fills] + self.pack_gain @ level
        return Clearing(delta, filled, packed, flow, float(score - links.cost[flow > 0].sum()))


def system(
    program: Program,
    market: Market,
    delta: Floats,
    core: Floats,
    upto: Floats,
    able: Mask,
    steady: Floats | None = None,
) -> System | None:
    """Fills between `core` and `upto`, the packs that are `able`, and pool flows, under
    conservation and the accounts' balances. None where the market's terms cannot be kept.

    Args:
        program: to add to.
        market: see `clear`.
        delta: see `clear`.
        core: see `reach`.
        upto: see `reach`.
        able: see `reach`.
        steady: pack → what of it is filled at most if that is above 0.
    """
    curves, links, packs, terms = market.curves, market.links, market.packs, market.terms
    rates = curves.rates(delta)
    most = int(np.minimum(np.diff(curves.start), len(PARTS)).sum()) + len(upto)
    places, size, staked = np.empty(most, np.int64), np.empty(most), np.empty(most)
    n = cut(curves.start, curves.volume, curves.stake, core, upto, PARTS, places, size, staked)
    places, size, worth = places[:n], size[:n], staked[:n] / size[:n]
    factors = np.exp(np.where(curves.buys, -rates, rates))
    buys, factor = curves.buys[places], factors[places]
    gain = np.where(buys, worth - factor, factor - worth)
    low, floor, high = np.zeros(n), np.zeros(len(packs)), packs.size
    if terms is not None:
        least = np.where(terms.firm, curves.least * (1 - LOOSE), 0.0)
        if np.any(upto < least * (1 - LOOSE)) or np.any(terms.low[~able] > 0):
            return None
        single = curves.least[places] > 0
        low = np.where(single, np.maximum(least - core, 0.0)[places], 0.0)
        floor, high = terms.low, terms.high
    if steady is not None:
        high = np.where(steady > 0, np.minimum(high, np.maximum(steady, floor)), high)
    fills = program.columns(np.minimum(low, size), size, gain)

    already = np.empty(len(core))
    stakes(curves.start, curves.volume, curves.stake, core, already)
    base = np.where(curves.buys, already - factors * core, factors * core - already)
    given = np.bincount(curves.give, np.where(curves.buys, factors, 1.0) * core, curves.assets)
    taken = np.bincount(curves.take, np.where(curves.buys, 1.0, factors) * core, curves.assets)
    lacking = NEARLY * taken  # what the search for prices leaves open; repair takes it back
    assets = program.rows(taken - given - lacking, np.full(curves.assets, np.inf))
    program.add(assets[curves.give[places]], fills, np.where(buys, factor, 1.0))
    program.add(assets[curves.take[places]], fills, np.where(buys, -1.0, -factor))
    if market.bound:
        _leave_some(program, market, assets)

    some = np.flatnonzero(able & (high > 0))
    pack_gain = packs.gains(delta)[some]
    packed = program.columns(floor[some], high[some], pack_gain)
    row, column = np.nonzero(packs.mix[some])
    program.add(assets[column], packed[row], -packs.mix[some[row], column])
    program.add(assets[packs.settle[some]], packed, -packs.settled(delta)[some])

    flows = program.columns(np.zeros(len(links.size)), links.size, np.zeros(len(links.size)))
    program.add(assets[links.source], flows, -np.ones(len(flows)))
    program.add(assets[links.target], flows, links.rate)

    entries = np.flatnonzero(curves.account[places] >= 0)
    column_of = np.full(len(packs), -1)
    column_of[some] = packed
    draws = np.flatnonzero(column_of[packs.intent] >= 0)
    accounts = np.concatenate([curves.account[places[entries]], packs.account[draws]])
    used, drawn = np.unique(accounts, return_inverse=True)
    rows = program.rows(np.full(len(used), -np.inf), curves.balance[used] * (1 - HEADROOM))
    split = len(entries)
    program.add(rows[drawn[:split]], fills[entries], np.where(buys[entries], factor[entries], 1.0))
    program.add(rows[drawn[split:]], column_of[packs.intent[draws]], packs.drawn(delta)[draws])
    return System(
        core, upto, base, places, fills, size, gain, some, packed, pack_gain, flows, assets,
        places[entries], drawn, rows,
    )  # fmt: skip


def _leave_some(program: Program, market: Market, assets: Ints) -> None:
    """Some atoms of each asset are better left over: what is rounded is often all fixed."""
    spare = np.minimum(ATOMS * market.book.worth, SPARE * SPAN) + LITTLE * SPAN
    lacking = program.columns(np.zeros(len(spare)), spare, np.full(len(spare), -DEAR))
    over = program.columns(spare, spare, np.zeros(len(spare)))
    program.add(assets, lacking, np.ones(len(spare)))
    program.add(assets, over, -np.ones(len(spare)))


def keep(program: Program, market: Market, made: System) -> Ints | None:
    """What groups are owed, as rows: by group, −1 for those that are owed nothing."""
    terms = market.terms
    if terms is None or not np.any(terms.owed):
        return None
    groups = np.flatnonzero(terms.owed)
    rows = np.full(len(terms.owed), -1)
    base = total(market.curves.pairs, made.base, len(rows))
    rows[groups] = program.rows((terms.owed - base)[groups], np.full(len(groups), np.inf))
    add_gains(program, market, made, rows)
    if terms.soft:
        none, most = np.zeros(len(groups)), terms.owed[groups]
        lacking = program.columns(none, most, np.full(len(groups), -LACKING))
        program.add(rows[groups], lacking, np.ones(len(groups)))
    return rows


def served(market: Market, at: Clearing) -> Floats:
    """Group → what of it is filled."""
    count = market.groups
    filled = total(market.curves.pairs, at.filled, count)
    return filled + total(market.packs.group, at.packed, count)


def shortfall(market: Market, at: Clearing) -> Floats:
    """Group → what it lacks of what it is owed; nothing where it is not served."""
    curves, packs, terms = market.curves, market.packs, market.terms
    count = market.groups
    if terms is None or not np.any(terms.owed):
        return np.zeros(count)
    gained = total(curves.pairs, curves.gains(curves.rates(at.delta), at.filled), count)
    gained += total(packs.group, packs.gains(at.delta) * at.packed, count)
    return np.where(served(market, at) > 0, np.maximum(terms.owed - gained, 0.0), 0.0)


def add_gains(program: Program, market: Market, made: System, rows: Ints) -> None:
    """What fills bring their groups, in the groups' rows; −1 is none."""
    of = rows[market.curves.pairs[made.market]]
    some = of >= 0
    program.add(of[some], made.fills[some], made.gain[some])
    of = rows[market.packs.group[made.packs]]
    some = of >= 0
    program.add(of[some], made.packed[some], made.pack_gain[some])


def _stay_willing(
    program: Program, market: Market, at: Clearing, moves: Ints, radius: float
) -> None:
    """What is filled stays above its limit and within the collar."""
    curves, collar = market.curves, market.collar
    used = np.flatnonzero(at.filled > 0)
    pair = curves.pairs[used]
    limit = np.full(curves.assets**2, -np.inf)
    np.maximum.at(limit, pair, _last_limits(curves, at.filled, used))
    pairs = np.unique(pair)
    give, take = pairs // curves.assets, pairs % curves.assets
    rate = at.delta[give] - at.delta[take]
    low = np.maximum(limit[pairs], np.log1p(-min(collar, 1.0) * (1 - 1e-9))) - rate + 2 * SURE
    high = np.log1p(collar * (1 - 1e-9)) - rate - 2 * SURE
    near = np.flatnonzero((low > -2 * radius) | (high < 2 * radius))
    rows = program.rows(np.minimum(low[near], 0.0) / radius, np.maximum(high[near], 0.0) / radius)
    program.add(rows, moves[give[near]], np.ones(len(near)))
    program.add(rows, moves[take[near]], -np.ones(len(near)))


def _last_limits(curves: Curves, filled: Floats, used: Ints) -> Floats:
    """The limit of the last order that is filled, of each market in `used`."""
    last = np.empty(len(used), np.int64)
    for k, place in enumerate(used.tolist()):
        first, end = curves.start[place], curves.start[place + 1]
        last[k] = first + np.searchsorted(curves.volume[first:end], filled[place] * (1 - 1e-12))
    limits: Floats = curves.limit[np.minimum(last, curves.start[used + 1] - 1)]
    return limits


def _stay_in_corridor(
    program: Program, market: Market, at: Clearing, steep: Floats, moves: Ints, radius: float
) -> None:
    """The packs that are filled stay above their limits and within the collar."""
    q = market.packs.settled(at.delta)
    low, high = market.packs.corridor(q, market.collar)
    near = np.flatnonzero(at.packed > 0)
    rows = program.rows(
        np.minimum(low - q + 2 * SURE, 0.0)[near] / radius,
        np.maximum(high - q - 2 * SURE, 0.0)[near] / radius,
    )
    row, asset = np.nonzero(steep[near])
    program.add(rows[row], moves[asset], -steep[near[row], asset])
