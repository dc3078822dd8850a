"""The linear program that the search for dual prices learns from."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from walras.sdk import ATOMS_PER_PRICE, Deadline, Problem
from walras_solvers.bound.intents import Trade
from walras_solvers.bound.scale import dual
from walras_solvers.bound.swaps import Column
from walras_solvers.programs import Effort, Floats, Ints, Program

Bools = npt.NDArray[np.bool_]

_ENDLESS = 1 << 60
_TINY = 1e-9


class Model:
    """The linear program, in score units at the first dual prices."""

    def __init__(
        self, problem: Problem, found: Sequence[Trade], start: Mapping[str, float]
    ) -> None:
        self.assets = list(start)
        self._start = np.array([start[asset] for asset in self.assets])
        self._row = {asset: row for row, asset in enumerate(self.assets)}
        accounts = sorted({trade.account for trade in found if trade.account is not None})
        self._accounts = {account: row for row, account in enumerate(accounts)}
        self._worth = [self._start[self._row[asset]] / ATOMS_PER_PRICE for _, asset in accounts]
        self._balances = np.array(
            [
                problem.balances.get(account, 0) * w
                for account, w in zip(accounts, self._worth, strict=True)
            ]
        )
        ends = [(i, end) for i, trade in enumerate(found) for end in trade.settlements]
        self._of = np.array([i for i, _ in ends], dtype=np.int64)
        self._intents = len(found)
        self._several = np.array([len(trade.settlements) > 1 for trade in found], dtype=np.bool_)
        self._apart = np.array([trade.account is None for trade in found], dtype=np.bool_)
        gains, flows, spends = [], [], []
        for place, (i, end) in enumerate(ends):
            trade = found[i]
            gains.append(float(end - trade.limit) * trade.price / ATOMS_PER_PRICE)
            moves = [(leg.asset, float(leg.quantity * trade.units)) for leg in trade.intent.legs]
            moves.append((trade.intent.settlement_asset, float(end)))
            for asset, atoms in moves:
                row = self._row[asset]
                flows.append((place, row, -atoms * self._start[row] / ATOMS_PER_PRICE))
            if trade.account is not None:
                row = self._accounts[trade.account]
                spends.append((place, row, trade.spend(end) * self._worth[row]))
        self._gains = np.array(gains)
        self._flows, self._spends = _entries(flows), _entries(spends)
        self._size = np.zeros(len(ends))
        np.maximum.at(self._size, self._flows[0], np.abs(self._flows[2]))
        # The program's tolerances are absolute: its numbers should be around 1.
        self._unit = max(float(np.median(self._size)), 1.0) if ends else 1.0

    def duals(self, factors: Floats) -> dict[str, int]:
        """Dual prices from factors of the first ones."""
        return {
            asset: dual(price * factor)
            for asset, price, factor in zip(self.assets, self._start, factors, strict=True)
        }

    def solve(
        self, columns: Sequence[Column], factors: Floats, reach: float, deadline: Deadline
    ) -> tuple[Floats, float] | None:
        """The best factors near others, and the model's value there, in score units."""
        program, count, unit = Program(), len(self.assets), self._unit
        low, high = factors / (1.0 + reach), factors * (1.0 + reach)
        free, whole = self._sorted_out(low, high)
        nothing, endless = np.zeros(count), np.full(count, np.inf)
        # What venues pay less what owners receive. Selling what is left over, and buying what is
        # missing, keep the prices in the box.
        rows = program.rows(-self._moved(whole) / unit, endless)
        for price, sign in ((low, -1.0), (high, 1.0)):
            slack = program.columns(nothing, endless, -sign * price)
            program.add(rows, slack, np.full(count, sign))
        fills = np.full(len(self._size), -1)
        size = self._size[free]
        fills[free] = program.columns(np.zeros(len(size)), size / unit, self._gains[free] / size)
        self._add(program, rows, fills, self._flows)
        self._share(program, fills)
        if len(self._balances):
            accounts = program.rows(np.full(len(self._balances), -np.inf), self._balances / unit)
            self._add(program, accounts, fills, self._spends)
        self._venues(program, rows, columns)
        solution = program.solve(Effort(deadline, _ENDLESS))
        if solution is None:
            return None
        tried = np.clip(np.abs(solution.duals[:count]), low, high)
        return tried, solution.objective * unit + float(self._gains[whole].sum())

    def _sorted_out(self, low: Floats, high: Floats) -> tuple[Bools, Bools]:
        """Of the ends, which are open at prices in a box, and which hold with all their units.

        The others' intents gain nothing anywhere in it, or more at another end.
        """
        places, at, values = self._flows
        most, least = self._gains.copy(), self._gains.copy()
        np.add.at(most, places, np.maximum(values * low[at], values * high[at]))
        np.add.at(least, places, np.minimum(values * low[at], values * high[at]))
        best = np.full(self._intents, -np.inf)
        np.maximum.at(best, self._of, most)
        top = most == best[self._of]
        second = np.zeros(self._intents)
        np.maximum.at(second, self._of[~top], most[~top])
        alone = np.bincount(self._of[top], minlength=self._intents) == 1
        whole = top & (alone & self._apart)[self._of] & (least >= second[self._of])
        settled = np.zeros(self._intents, dtype=np.bool_)
        settled[self._of[whole]] = True
        return (best > 0.0)[self._of] & ~settled[self._of], whole

    def _moved(self, whole: Bools) -> Floats:
        """What owners give less what they receive, by asset, where these ends hold."""
        places, at, values = self._flows
        kept = whole[places]
        return np.bincount(at[kept], values[kept], len(self.assets)).astype(np.float64)

    def _add(
        self, program: Program, rows: Ints, fills: Ints, entries: tuple[Ints, Ints, Floats]
    ) -> None:
        places, at, values = entries
        kept = fills[places] >= 0
        places = places[kept]
        if len(places):
            program.add(rows[at[kept]], fills[places], values[kept] / self._size[places])

    def _share(self, program: Program, fills: Ints) -> None:
        """The ends of one intent add up to all its units at most."""
        places = np.flatnonzero((fills >= 0) & self._several[self._of])
        if len(places):
            several, at = np.unique(self._of[places], return_inverse=True)
            size = np.zeros(len(several))
            np.maximum.at(size, at, self._size[places])
            rows = program.rows(np.full(len(several), -np.inf), size / self._unit)
            program.add(rows[at], fills[places], size[at] / self._size[places])

    def _venues(self, program: Program, rows: Ints, columns: Sequence[Column]) -> None:
        """Of the ways to use a venue, or a side of it, a mixture."""
        entries = [
            (place, self._row[asset], atoms * self._start[self._row[asset]] / ATOMS_PER_PRICE)
            for place, column in enumerate(columns)
            for asset, atoms in column.flows.items()
        ]
        places, at, values = _entries(entries)
        size = np.zeros(len(columns))
        np.maximum.at(size, places, np.abs(values))
        kept = size > _TINY * self._unit  # what is less is noise, and would be taken for more
        if not kept.any():
            return
        number = np.cumsum(kept) - 1
        costs = np.array([float(column.cost) for column in columns])[kept]
        blocks = [column.block for column, keep in zip(columns, kept, strict=True) if keep]
        row_of = {block: row for row, block in enumerate(sorted(set(blocks)))}
        entry = kept[places]
        places, at, values, size = number[places[entry]], at[entry], values[entry], size[kept]
        used = program.columns(np.zeros(len(size)), np.full(len(size), np.inf), -costs / size)
        program.add(rows[at], used[places], values / size[places])
        shares = program.rows(np.full(len(row_of), -np.inf), np.ones(len(row_of)))
        which = np.array([row_of[block] for block in blocks])
        program.add(shares[which], used, self._unit / size)


def _entries(listed: Sequence[tuple[int, int, float]]) -> tuple[Ints, Ints, Floats]:
    places, rows, values = zip(*listed, strict=True) if listed else ((), (), ())
    return (
        np.array(places, dtype=np.int64),
        np.array(rows, dtype=np.int64),
        np.array(values, dtype=np.float64),
    )
