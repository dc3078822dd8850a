"""From a clearing in floats to proposals in exact integers.

At one price vector every fill exchanges equal values, and rounding only ever leaves something over.
So if all assets but one are balanced exactly, that one cannot lack anything. So fills are only ever
reduced, by atoms: where an asset lacks, one of those that take it, which moves what lacks to the
asset they give; where some is left over, one of those that give it. Along trees of such trades both
end up in one asset, the root, where they cancel.

"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from walras.sdk import SwapError, ceil_div, keeps_collar, keeps_limit, least_input
from walras_solvers.optimizer.drafts import Draft
from walras_solvers.optimizer.pools import Edge
from walras_solvers.optimizer.rigid import fix_rigid_prices

FINE = 1e-9
"""The part of an asset's traded value that an atom of a fine one is worth at most."""

ROUNDS = 3
"""Times that the tree is walked before a fill is given up."""


def finish(made: Draft) -> tuple[set[int], dict[str, int]]:
    """Mend the draft until it is conserved.

    Returns: the columns that break a rule of their own; where there are none, asset → atoms that
    lack. Both are empty where the draft has become a valid proposal.
    """
    _keep_balances(made)
    fix_rigid_prices(made)
    bad = _broken(made)
    if bad:
        return bad, {}
    for _ in range(ROUNDS):
        _walk(made)
        lacking = {asset: -amount for asset, amount in made.residual().items() if amount < 0}
        if not lacking:
            break
    return _broken(made), lacking


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


@dataclass(frozen=True, slots=True)
class _Arc:
    """A fill that gives one asset and takes another, or a pool's flow, which does the same.

    Attributes:
        gives, takes: assets.
        number: its place among the arcs.
        room: value by which it can be reduced.
        column, edge: which fill, or which flow.
    """

    gives: str
    takes: str
    number: int
    room: float
    column: int = -1
    edge: Edge | None = None


def _walk(made: Draft) -> None:
    """Reduce fills until at most the roots lack anything, and little is left over elsewhere."""
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
    arcs: list[_Arc] = []
    for column in made.units:
        if made.room[column] > 0:
            intent = made.book.intents[column].intent
            gives, takes = intent.legs[0].asset, intent.settlement_asset
            if intent.legs[0].quantity > 0:
                gives, takes = takes, gives
            arcs.append(_Arc(gives, takes, len(arcs), made.room[column], column=column))
    for edge, amount in made.flows.items():
        value = amount * float(made.book.reference[made.book.index[edge.asset_in]])
        arcs.append(_Arc(edge.asset_out, edge.asset_in, len(arcs), value, edge=edge))
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
        heappush(border, (-arc.room, arc.number, start, arc))


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


def takers(made: Draft, lacking: Iterable[str]) -> set[int]:
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
