"""From a clearing in floats to proposals in exact integers.

At one price vector every fill exchanges equal values, and rounding only ever leaves something over.
So if all assets but one are balanced exactly, that one cannot lack anything. So fills are only ever
reduced, by atoms: where an asset lacks, one of those that take it, which moves what lacks to the
asset they give; where some is left over, one of those that give it. Along trees of such trades both
end up in one asset, the root, where they cancel.

Where all trades of an asset are fill-or-kill nothing can move but its price, which is then what the
takers bring divided by what the givers give, exactly.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush

import numpy as np

from walras.sdk import (
    Execution,
    Problem,
    Proposal,
    SwapError,
    ceil_div,
    keeps_collar,
    keeps_limit,
    least_input,
    net_flows,
    price_vector,
    propose,
    settlement,
)
from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.fills import HEADROOM, Clearing
from walras_solvers.optimizer.pools import Curves, Edge

FRAGILE = 1e-9
"""What the room of a fill counts for whose limit one atom less would break, or whose units are
few.
"""

FINE = 1e-9
"""The part of an asset's traded value that an atom of a fine one is worth at most."""

ROUNDS = 3
"""Times that the tree is walked before a fill is given up."""


@dataclass(slots=True)
class Draft:
    """A proposal in the making.

    Attributes:
        book: see there.
        prices: integers.
        units: column → units.
        room: column → value that its fill may be reduced by; 0 where it must stay as it is.
        flows: edge → amount in; executed in this order.
    """

    book: Book
    prices: dict[str, int]
    units: dict[int, int]
    room: dict[int, float]
    flows: dict[Edge, int]

    @property
    def problem(self) -> Problem:
        """The problem it is for."""
        return self.book.problem

    def executions(self) -> list[Execution]:
        """The flows as executions, without those that a venue refuses."""
        states = dict(self.problem.venues)
        steps = []
        for edge, amount in self.flows.items():
            try:
                swap = states[edge.venue].swap(edge.asset_in, amount, edge.asset_out)
            except SwapError:
                continue
            states[edge.venue] = swap.after
            steps.append(
                Execution(edge.venue, edge.asset_in, amount, edge.asset_out, swap.amount_out)
            )
        return steps

    def residual(self) -> dict[str, int]:
        """Asset → what is left over, or lacking where negative."""
        fills = [(self.book.intents[i].id, k) for i, k in self.units.items()]
        return net_flows(self.problem, fills, self.prices, self.executions())

    def settled(self, column: int) -> int:
        """The settlement of a fill."""
        return settlement(self.book.intents[column].intent, self.units[column], self.prices)


def draft(book: Book, curves: Curves, clearing: Clearing) -> Draft:
    """The clearing in integers, before anything is mended."""
    values = book.reference * np.exp(clearing.delta)
    prices = price_vector(dict(zip(book.assets, values.tolist(), strict=True)))
    made = Draft(book, prices, {}, {}, {})
    for j, edge in enumerate(curves.edges):
        if clearing.y[j] > 0:
            amount = int(clearing.y[j] / book.reference[book.index[edge.asset_in]])
            if amount > 0:
                made.flows[edge] = amount
    for i in np.flatnonzero(clearing.x > 0).tolist():
        share = clearing.x[i] / book.cap[i]
        most, fewest = book.units[i], book.least[i]
        if book.coarse[i]:
            units = round(clearing.x[i] / book.worth[i])
        elif share > 1 - HEADROOM / 2:
            units = most
        else:
            units = int(clearing.x[i] / book.worth[i])
        if units >= fewest:
            made.units[i] = min(units, most)
            made.room[i] = 0.0
            if len(book.intents[i].intent.legs) == 1:
                made.room[i] = float(made.units[i] - fewest) * float(book.worth[i])
                made.room[i] *= FRAGILE if book.coarse[i] else 1.0
            if made.room[i] > 0.0 and not book.coarse[i]:
                _tighten(made, i)
    return made


def _tighten(made: Draft, column: int) -> None:
    """The fewest units that settle for as much: a price at the limit stays there when it is
    rounded.
    """
    intent = made.book.intents[column].intent
    leg, price = intent.legs[0], made.prices[intent.settlement_asset]
    worth = -leg.quantity * made.prices[leg.asset]
    settled = made.settled(column)
    if worth > 0 and settled > 0:
        fewest = max(ceil_div(settled * price, worth), made.book.least[column])
        made.units[column] = min(made.units[column], fewest)
    limit = intent.limit_at(made.problem.sealed_ms)
    if not keeps_limit(intent, made.units[column], settled - 1, limit):
        made.room[column] *= FRAGILE


def finish(made: Draft) -> set[int]:
    """Mend the draft until it is conserved.

    Returns: the columns that stand in the way; none where the draft has become a valid proposal.
    """
    _keep_balances(made)
    _fix_rigid_prices(made)
    bad = _broken(made)
    if bad:
        return bad
    for _ in range(ROUNDS):
        _walk(made)
        lacking = [asset for asset, amount in made.residual().items() if amount < 0]
        if not lacking:
            break
    return _broken(made) or _takers(made, lacking)


def components(made: Draft) -> list[Proposal]:
    """The proposals that the draft falls into: parts that share no asset, the greatest first."""
    parent: dict[str, str] = {}

    def root(asset: str) -> str:
        while parent.setdefault(asset, asset) != asset:
            asset = parent[asset]
        return asset

    for column in made.units:
        first, *others = made.book.intents[column].intent.assets
        for other in others:
            parent[root(other)] = root(first)
    for edge in made.flows:
        parent[root(edge.asset_in)] = root(edge.asset_out)
    parts: defaultdict[str, list[int]] = defaultdict(list)
    for column in made.units:
        parts[root(made.book.intents[column].intent.settlement_asset)].append(column)
    proposals = []
    for name, columns in sorted(parts.items(), key=lambda part: (-len(part[1]), part[0])):
        flows = {edge: flow for edge, flow in made.flows.items() if root(edge.asset_in) == name}
        part = Draft(made.book, made.prices, {i: made.units[i] for i in columns}, {}, flows)
        proposals.append(whole(part))
    return proposals


def whole(made: Draft) -> Proposal:
    """The draft as one proposal."""
    fills = {made.book.intents[i].id: units for i, units in made.units.items()}
    return propose(made.problem, fills, made.prices, made.executions())


def _keep_balances(made: Draft) -> None:
    """Reduce fills to what their owners have."""
    left: dict[tuple[bytes, str], int] = {}
    for column in sorted(made.units):
        intent = made.book.intents[column].intent
        for asset, amount in _gives(made, column).items():
            account = (intent.owner, asset)
            held = left.get(account, made.problem.balances.get(account, 0))
            if amount > held:
                made.units[column] = made.units[column] * held // amount
            left[account] = held - min(amount, held)
        if made.units[column] < made.book.least[column]:
            del made.units[column]


def _gives(made: Draft, column: int) -> dict[str, int]:
    intent, units = made.book.intents[column].intent, made.units[column]
    gives = {leg.asset: -leg.quantity * units for leg in intent.legs if leg.quantity < 0}
    settled = made.settled(column)
    if settled < 0:
        gives[intent.settlement_asset] = -settled
    return gives


def _broken(made: Draft) -> set[int]:
    """The fills that break their limit, the collar or their owner's balance."""
    spent: defaultdict[tuple[bytes, str], int] = defaultdict(int)
    problem = made.problem
    bad = set()
    for column in sorted(made.units):
        intent = made.book.intents[column].intent
        units, settled = made.units[column], made.settled(column)
        gives = _gives(made, column)
        affordable = all(
            spent[intent.owner, asset] + amount <= problem.balances.get((intent.owner, asset), 0)
            for asset, amount in gives.items()
        )
        if (
            affordable
            and keeps_limit(intent, units, settled, intent.limit_at(problem.sealed_ms))
            and keeps_collar(problem, intent, units, settled)
        ):
            for asset, amount in gives.items():
                spent[intent.owner, asset] += amount
        else:
            bad.add(column)
    return bad


def _fix_rigid_prices(made: Draft) -> None:
    """Exact prices for assets whose every trade is fixed, so that what is given is what is taken.
    """
    fixed_only: dict[str, bool] = {}
    for column in made.units:
        intent = made.book.intents[column].intent
        if len(intent.legs) != 1:
            for asset in intent.assets:
                fixed_only[asset] = False
            continue
        rigid = made.room[column] <= 0.0
        for asset in intent.assets:
            fixed_only[asset] = fixed_only.get(asset, True) and rigid
    for edge in made.flows:
        fixed_only[edge.asset_in] = fixed_only[edge.asset_out] = False
    rigid_assets = sorted(asset for asset, fixed in fixed_only.items() if fixed)
    if not rigid_assets or len(rigid_assets) > 12:
        return
    exact = _balance(made, rigid_assets)
    if exact:
        made.prices = price_vector({**{a: Fraction(p) for a, p in made.prices.items()}, **exact})


def _balance(made: Draft, assets: list[str]) -> dict[str, Fraction]:
    """Solve, for each asset, price · (given − received as legs) = value settled in it.

    Each component of the assets that touches no other asset keeps the price of its first one.
    """
    place = {asset: i for i, asset in enumerate(assets)}
    matrix = [[Fraction(0)] * (len(assets) + 1) for _ in assets]
    for column, units in made.units.items():
        intent = made.book.intents[column].intent
        leg, currency = intent.legs[0], intent.settlement_asset
        amount = Fraction(leg.quantity * units)
        for row, sign in ((place.get(leg.asset), -1), (place.get(currency), 1)):
            if row is None:
                continue
            if leg.asset in place:
                matrix[row][place[leg.asset]] += sign * amount
            else:
                matrix[row][-1] -= sign * amount * made.prices[leg.asset]
    return _solve(matrix, assets, made.prices)


def _solve(
    matrix: list[list[Fraction]], assets: list[str], known: Mapping[str, int]
) -> dict[str, Fraction]:
    """Gauss-Jordan; free variables keep their known price. Empty where there is no positive
    solution.
    """
    pivots: dict[int, int] = {}
    row = 0
    # The first asset of a component is eliminated last and so is the one that stays free.
    for column in reversed(range(len(assets))):
        found = next((r for r in range(row, len(matrix)) if matrix[r][column]), None)
        if found is None:
            continue
        matrix[row], matrix[found] = matrix[found], matrix[row]
        lead = matrix[row][column]
        matrix[row] = [value / lead for value in matrix[row]]
        for r, line in enumerate(matrix):
            if r != row and line[column]:
                factor = line[column]
                matrix[r] = [a - factor * b for a, b in zip(line, matrix[row], strict=True)]
        pivots[column] = row
        row += 1
    if any(line[-1] for line in matrix[row:]):
        return {}
    solved = {a: Fraction(known[a]) for i, a in enumerate(assets) if i not in pivots}
    for column, r in pivots.items():
        line = matrix[r]
        value = line[-1] - sum(
            (line[j] * known[assets[j]] for j in range(len(assets)) if j not in pivots),
            Fraction(0),
        )
        solved[assets[column]] = value
    near = all(Fraction(9, 10) < value / known[a] < Fraction(11, 10) for a, value in solved.items())
    return solved if near else {}


@dataclass(frozen=True, slots=True)
class _Arc:
    """A fill that gives one asset and takes another, or a pool's flow, which does the same.

    Attributes:
        gives, takes: assets.
        room: value by which it can be reduced.
        column, edge: which fill, or which flow.
    """

    gives: str
    takes: str
    room: float
    column: int = -1
    edge: Edge | None = None


def _walk(made: Draft) -> None:
    """Reduce fills until only the roots have anything lacking, and little is left over elsewhere.
    """
    arcs = _arcs(made)
    residual = defaultdict(int, made.residual())
    for lacking in (True, False):
        for asset, arc in _towards_roots(made, arcs, by_takers=lacking):
            if residual[asset] and (residual[asset] < 0) == lacking:
                if arc.edge is not None:
                    _mend_flow(made, arc.edge, asset, residual)
                else:
                    _mend_fill(made, arc.column, asset, residual)


def _arcs(made: Draft) -> list[_Arc]:
    arcs = []
    for column in made.units:
        if made.room[column] > 0:
            intent = made.book.intents[column].intent
            gives, takes = intent.legs[0].asset, intent.settlement_asset
            if intent.legs[0].quantity > 0:
                gives, takes = takes, gives
            arcs.append(_Arc(gives, takes, made.room[column], column=column))
    for edge, amount in made.flows.items():
        value = amount * float(made.book.reference[made.book.index[edge.asset_in]])
        arcs.append(_Arc(edge.asset_out, edge.asset_in, value, edge=edge))
    return arcs


def _towards_roots(made: Draft, arcs: list[_Arc], *, by_takers: bool) -> list[tuple[str, _Arc]]:
    """Each asset with the arc that leads it towards its root, roomiest paths first found; leaves
    first.

    What lacks moves from the asset that an arc takes to the one it gives; what is left over moves
    the other way.
    """
    into: defaultdict[str, list[tuple[str, _Arc]]] = defaultdict(list)
    for arc in arcs:
        start, end = (arc.takes, arc.gives) if by_takers else (arc.gives, arc.takes)
        into[end].append((start, arc))
    order: list[tuple[str, _Arc]] = []
    seen: set[str] = set()
    # A root is an asset that much of is traded and whose atoms are worth little: what rounding
    # leaves over weighs least there, and the others can reach it.
    volume: defaultdict[str, float] = defaultdict(float)
    for arc in arcs:
        volume[arc.gives] += arc.room
        volume[arc.takes] += arc.room
    atom = {asset: float(made.book.reference[made.book.index[asset]]) for asset in volume}
    for root in sorted(volume, key=lambda a: (atom[a] > FINE * volume[a], -volume[a], a)):
        if root in seen:
            continue
        seen.add(root)
        border: list[tuple[float, int, str, _Arc]] = []
        _push(border, into[root])
        while border:
            *_, asset, arc = heappop(border)
            if asset not in seen:
                seen.add(asset)
                order.append((asset, arc))
                _push(border, into[asset])
    order.reverse()
    return order


def _push(border: list[tuple[float, int, str, _Arc]], arcs: Iterable[tuple[str, _Arc]]) -> None:
    for start, arc in arcs:
        heappush(border, (-arc.room, arc.column, start, arc))


def _mend_fill(made: Draft, column: int, asset: str, residual: defaultdict[str, int]) -> None:
    """Change one fill so that nothing of `asset` lacks and as little as possible is left over."""
    intent = made.book.intents[column].intent
    leg, currency = intent.legs[0], intent.settlement_asset
    units, settled = made.units[column], made.settled(column)
    extra = residual[asset]
    if asset == leg.asset:
        # Giving less by what is left over, or receiving more of it; never more than there is.
        wanted = (
            units + extra // leg.quantity
            if leg.quantity > 0
            else units + ceil_div(-extra, -leg.quantity)
        )
    else:
        # The fewest units that settle for what is there: nothing of the fill is lost to rounding.
        target = settled + extra
        worth = -leg.quantity * made.prices[leg.asset]
        price = made.prices[currency]
        wanted = ceil_div(target * price, worth) if worth > 0 else target * price // worth
        if wanted * worth // price > target:
            wanted += -1 if worth > 0 else 1
    if not made.book.least[column] <= wanted <= made.book.units[column]:
        return
    made.units[column] = wanted
    after = made.settled(column)
    residual[leg.asset] -= leg.quantity * (wanted - units)
    residual[currency] -= after - settled


def _mend_flow(made: Draft, edge: Edge, asset: str, residual: defaultdict[str, int]) -> None:
    """Reduce one pool's flow so that nothing of `asset` lacks, or little is left over."""
    venue, amount = made.problem.venues[edge.venue], made.flows[edge]
    try:
        out = venue.swap(edge.asset_in, amount, edge.asset_out).amount_out
        if asset == edge.asset_in:
            wanted = amount + residual[asset]
        else:
            wanted = least_input(
                venue, edge.asset_in, edge.asset_out, max(out - residual[asset], 1)
            )
        if not amount * 9 <= wanted * 10 <= amount * 10:
            return
        out_after = venue.swap(edge.asset_in, wanted, edge.asset_out).amount_out
    except SwapError:
        return
    made.flows[edge] = wanted
    residual[edge.asset_in] += amount - wanted
    residual[edge.asset_out] += out_after - out


def _takers(made: Draft, lacking: Iterable[str]) -> set[int]:
    """For each asset that lacks, the smallest fill that takes some of it."""
    bad = set()
    for asset in lacking:
        takers = [
            (made.book.worth[i] * float(units), i)
            for i, units in made.units.items()
            if any(
                leg.asset == asset and leg.quantity > 0 for leg in made.book.intents[i].intent.legs
            )
            or (made.book.intents[i].intent.settlement_asset == asset and made.settled(i) > 0)
        ]
        if takers:
            bad.add(min(takers)[1])
    return bad
