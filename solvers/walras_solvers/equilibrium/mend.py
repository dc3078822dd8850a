"""From fills in floats to fills in integers that conserve every asset.

At one price vector every fill exchanges equal values, and rounding leaves something over. So where
all assets but one are balanced, that one lacks nothing. Fills are only ever reduced, by atoms:
where an asset lacks, one that takes it, which moves what lacks to the asset that it gives; where
some is left over, one that gives it. Along trees of such trades, one fill for each pair of assets,
both end up in one asset, the root, where they cancel.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from walras.sdk import AnyVenue, Execution, SwapError, ceil_div, least_input
from walras_solvers.equilibrium.sheet import Sheet

FINE = 1e-9
"""The part of an asset's traded value that an atom of a fine one is worth at most."""

ROUNDS = 3
"""Times that the trees are walked."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One swap at a pool that no other flow uses."""

    venue: AnyVenue
    asset_in: int
    asset_out: int


@dataclass(slots=True)
class Draft:
    """A proposal in the making.

    Attributes:
        sheet: see there.
        names: assets by number. worth: values of an atom.
        prices: integers by asset.
        units: column → units, ≥ 1.
        room: column → value by which its fill may be reduced; none where it must stay as it is.
        flows: pools' flows → atoms in.
        packs: column of an intent of several legs → units, ≥ 1. They stay as they are.
        fixed: asset → atoms left over by these.
        stuck: columns of those that break a rule.
    """

    sheet: Sheet
    names: Sequence[str]
    worth: Sequence[float]
    prices: list[int]
    units: dict[int, int]
    room: dict[int, float]
    flows: dict[Flow, int] = field(default_factory=dict)
    packs: dict[int, int] = field(default_factory=dict)
    fixed: dict[int, int] = field(default_factory=dict)
    stuck: set[int] = field(default_factory=set)

    def paid(self, flow: Flow, amount: int) -> int:
        """Atoms that the pool pays; 0 where it refuses the swap."""
        try:
            names = self.names[flow.asset_in], self.names[flow.asset_out]
            return flow.venue.swap(names[0], amount, names[1]).amount_out if amount > 0 else 0
        except SwapError:
            return 0

    def left_over(self) -> list[int]:
        """Asset → atoms left over, or lacking where negative."""
        left = self.sheet.left_over(self.units.items(), self.prices)
        for flow, amount in self.flows.items():
            paid = self.paid(flow, amount)
            if paid:
                left[flow.asset_in] -= amount
                left[flow.asset_out] += paid
        for asset, amount in self.fixed.items():
            left[asset] += amount
        return left

    def executions(self) -> list[Execution]:
        """The flows that pay something."""
        steps = []
        for flow, amount in self.flows.items():
            paid = self.paid(flow, amount)
            if paid:
                names = self.names[flow.asset_in], self.names[flow.asset_out]
                steps.append(Execution(flow.venue.id, names[0], amount, names[1], paid))
        return steps

    def mend(self) -> set[int]:
        """Reduce fills until nothing lacks.

        Returns: the columns that stand in the way; none where the draft has become valid.
        """
        self._keep_balances()
        bad = self._forbidden(self.units)
        if bad:
            return bad
        left = self.left_over()  # after the fills above were tightened
        changed: set[int] = set()
        for _ in range(ROUNDS):
            changed |= self._walk(left)
            if min(left, default=0) >= 0:
                break
        bad = self._forbidden(changed)
        if bad:
            return bad
        if changed:
            left = self.left_over()
        return self._smallest_takers({a for a, amount in enumerate(left) if amount < 0})

    def _forbidden(self, columns: Iterable[int]) -> set[int]:
        """Those of the columns that break a rule, however their units are rounded."""
        allowed, prices = self.sheet.allowed, self.prices
        bad = set()
        for column in columns:
            units = self.units[column]
            if not allowed(column, units, prices):
                tight = self._tightened(column)
                if allowed(column, tight, prices):
                    self.units[column] = tight
                else:
                    bad.add(column)
        return bad | self.sheet.overspent(self.units, prices).keys()

    def _tightened(self, column: int) -> int:
        """The fewest units that sell for as much, or the most that are bought for as much."""
        sheet, units = self.sheet, self.units[column]
        given, taken = sheet.moved(column, units, self.prices)
        give, take = self.prices[sheet.give[column]], self.prices[sheet.take[column]]
        if sheet.buys[column]:
            return min(given * give // (take * sheet.quantity[column]), sheet.most[column])
        return max(ceil_div(taken * take, give * sheet.quantity[column]), sheet.least[column])

    def _keep_balances(self) -> None:
        """Reduce fills to what their accounts hold."""
        for column, beyond in self.sheet.overspent(self.units, self.prices).items():
            units = self.units[column]
            given = self.sheet.moved(column, units, self.prices)[0]
            self.units[column] = units * (given - beyond) // given
            if self.units[column] < self.sheet.least[column]:
                del self.units[column]

    def _walk(self, left: list[int]) -> set[int]:
        """Reduce fills and flows along the trees; the columns that changed."""
        arcs = self._arcs()
        changed = set()
        for lacking in (True, False):
            for asset, arc in self._towards_roots(arcs, by_takers=lacking):
                if left[asset] and (left[asset] < 0) == lacking:
                    if isinstance(arc.by, Flow):
                        self._reduce_flow(arc.by, asset, left)
                    else:
                        self._reduce_fill(arc.by, asset, left)
                        changed.add(arc.by)
        return changed

    def _arcs(self) -> list["_Arc"]:
        """For each pair of assets the fill with the most room; and all flows."""
        best: dict[tuple[int, int], tuple[float, int]] = {}
        for column, room in self.room.items():
            pair = self.sheet.give[column], self.sheet.take[column]
            if column in self.units and room > best.get(pair, (0.0, 0))[0]:
                best[pair] = room, column
        arcs = [_Arc(a, b, room, column) for (a, b), (room, column) in best.items()]
        for flow, amount in self.flows.items():
            value = amount * self.worth[flow.asset_in]
            arcs.append(_Arc(flow.asset_out, flow.asset_in, value, flow))
        return arcs

    def _towards_roots(self, arcs: list["_Arc"], *, by_takers: bool) -> list[tuple[int, "_Arc"]]:
        """Each asset with the arc that leads it towards its root, the roomiest first found; leaves
        first. What lacks moves from what an arc takes to what it gives; what is left over, the
        other way.
        """
        into: defaultdict[int, list[tuple[int, _Arc]]] = defaultdict(list)
        volume: defaultdict[int, float] = defaultdict(float)
        for arc in arcs:
            start, end = (arc.takes, arc.gives) if by_takers else (arc.gives, arc.takes)
            into[end].append((start, arc))
            volume[arc.gives] += arc.room
            volume[arc.takes] += arc.room
        order: list[tuple[int, _Arc]] = []
        seen: set[int] = set()
        # What is left at a root is lost: much of it should be traded, its atoms worth little.
        atom = self.worth
        for root in sorted(volume, key=lambda a: (atom[a] > FINE * volume[a], -volume[a], a)):
            if root in seen:
                continue
            seen.add(root)
            border: list[tuple[float, int, int, _Arc]] = []
            number = 0
            last = root
            while True:
                for start, arc in into[last]:
                    number += 1
                    heappush(border, (-arc.room, number, start, arc))
                while border and border[0][2] in seen:
                    heappop(border)
                if not border:
                    break
                *_, last, arc = heappop(border)
                seen.add(last)
                order.append((last, arc))
        order.reverse()
        return order

    def _reduce_fill(self, column: int, asset: int, left: list[int]) -> None:
        """Change one fill so that nothing of `asset` lacks, and little is left over."""
        sheet, prices = self.sheet, self.prices
        give, take = sheet.give[column], sheet.take[column]
        units, quantity = self.units[column], sheet.quantity[column]
        given, taken = sheet.moved(column, units, prices)
        extra, buys = left[asset], sheet.buys[column]
        if asset == take:
            target = taken + extra
            # The most units that take no more; of a sale, the fewest that take as much.
            if buys:
                wanted = target // quantity
            else:
                wanted = ceil_div(target * prices[take], quantity * prices[give])
                if quantity * wanted * prices[give] // prices[take] > target:
                    wanted -= 1
        else:
            target = given - extra
            # The fewest units that give no less.
            if buys:
                wanted = (target - 1) * prices[give] // (quantity * prices[take]) + 1
            else:
                wanted = ceil_div(target, quantity)
        if not sheet.least[column] <= wanted <= sheet.most[column]:
            return
        self.units[column] = wanted
        after = sheet.moved(column, wanted, prices)
        left[give] += after[0] - given
        left[take] -= after[1] - taken

    def _reduce_flow(self, flow: Flow, asset: int, left: list[int]) -> None:
        """Reduce one pool's flow so that nothing of `asset` lacks, or little is left over."""
        amount = self.flows[flow]
        paid = self.paid(flow, amount)
        wanted = amount + left[asset]
        if asset == flow.asset_out:
            names = self.names[flow.asset_in], self.names[flow.asset_out]
            try:
                wanted = least_input(flow.venue, *names, max(paid - left[asset], 1))
            except SwapError:
                return
        after = self.paid(flow, wanted)
        if not after or not amount * 9 <= wanted * 10 <= amount * 10:
            return
        self.flows[flow] = wanted
        left[flow.asset_in] += amount - wanted
        left[flow.asset_out] += after - paid

    def _smallest_takers(self, lacking: set[int]) -> set[int]:
        """For each asset that lacks, the smallest fill that takes it."""
        best: dict[int, tuple[int, int]] = {}
        for column, units in self.units.items():
            asset = self.sheet.take[column]
            if asset in lacking:
                taken = self.sheet.moved(column, units, self.prices)[1]
                best[asset] = min(best.get(asset, (taken, column)), (taken, column))
        return {column for _, column in best.values()}


@dataclass(frozen=True, slots=True)
class _Arc:
    """A fill, by its column, or a flow, that gives one asset and takes another; value by which it
    can be reduced.
    """

    gives: int
    takes: int
    room: float
    by: int | Flow
