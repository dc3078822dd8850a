"""Splits of an amount over all venues: planned in floats, priced and checked in integers."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from walras.sdk import ATOMS_PER_PRICE, AnyVenue, Bridge, Route
from walras.sdk import Router as Paths
from walras_solvers.pools import Ints, make_liquidity, units
from walras_solvers.router.execute import Leg, Split, execute, legs
from walras_solvers.router.plans import plan
from walras_solvers.router.space import make_space
from walras_solvers.router.sparse import sparsify

LEAST_COST = 1e-9
"""A use of a venue that costs nothing counts with this part of what is traded: dust is not worth
it.
"""

ROUNDS = 8
"""Of the search for an input that brings a wanted output."""

REPLANS = 2

FINEST = 1e-12


@dataclass(frozen=True, slots=True)
class Terms:
    """Between which assets, and what a score unit is worth there.

    Attributes:
        given, wanted: assets.
        price: of the one whose amount is to be found, score units per 10^18 atoms.
    """

    given: str
    wanted: str
    price: int


class Splitter:
    """The venues of a market in certain states, ready for plans.

    Args:
        venues: by id.
        late: whether plans should end with what they have.
    """

    def __init__(
        self, venues: Mapping[str, AnyVenue], late: Callable[[], bool] = lambda: False
    ) -> None:
        self.venues = venues
        self.late = late
        self._paths = Paths(venues)
        self._liquidity = liquidity = make_liquidity(venues.values())
        self._index = {asset: i for i, asset in enumerate(liquidity.assets)}
        self._space = make_space(liquidity.pools, len(liquidity.assets))
        unit = units(liquidity.pools)
        first = np.unique(unit, return_index=True)[1]
        named = [liquidity.venues[k] for k in liquidity.slot_venue[first].tolist()]
        self._source: Ints = liquidity.pools.slot[first]
        self._cost = np.array([float(venues[name].cost) for name in named])
        self._flat = np.zeros(len(named))
        self._units: defaultdict[str, list[int]] = defaultdict(list)
        pairs, ladders = len(liquidity.pools.pairs.left), len(liquidity.pools.ladders.source)
        self._one_way = range(pairs, pairs + ladders)
        for u, name in enumerate(named):
            self._units[name].append(u)
            venue = venues[name]
            if isinstance(venue, Bridge):  # it keeps a flat fee of any input, which no rate shows
                side = venue.assets.index(liquidity.assets[int(self._source[u])])
                self._flat[u] = float(venue.flat_fee[side])

    def after(self, changed: Mapping[str, AnyVenue]) -> "Splitter":
        """The same market with some venues in other states."""
        return Splitter({**self.venues, **changed}, self.late)

    def sell(self, terms: Terms, amount: int) -> Split | None:
        """What brings the most of `wanted`, net of costs, for `amount` atoms; None where nothing
        does.
        """
        path = self._paths.best(terms.given, amount, terms.wanted, price=terms.price)
        found = self._planned(terms, amount, path, buys=False)
        split = execute(self.venues, found, terms.given, amount, terms.wanted) if found else None
        known = [one for one in (split, _as_split(path)) if one and one.amount_in == amount]
        return max(known, key=lambda one: _worth(one, terms.price), default=None)

    def buy(self, terms: Terms, amount_out: int, guess: int) -> Split | None:
        """What brings at least `amount_out` atoms of `wanted` for little; None where nothing does.

        Args:
            terms: see there.
            amount_out: atoms, ≥ 1.
            guess: about the input that it takes, ≥ 1.
        """
        path = self._paths.best_for_output(
            terms.given, terms.wanted, amount_out, guess=guess, price=terms.price
        )
        best = _as_split(path)
        amount = best.amount_in if best else guess
        for _ in range(REPLANS):
            found = self._planned(terms, amount, path, buys=True)
            split = self._least(found, terms, amount, amount_out) if found else None
            if split is None:
                break
            amount = split.amount_in
            if best is None or _paid(split, terms.price) < _paid(best, terms.price):
                best = split
        return best

    def _least(
        self, planned: Sequence[Leg], terms: Terms, amount: int, amount_out: int
    ) -> Split | None:
        """The planned swaps with more or less of the input, so that just enough comes out."""
        best: Split | None = None
        for _ in range(ROUNDS):
            split = execute(self.venues, planned, terms.given, amount, terms.wanted)
            if split is None:
                break
            missing = amount_out - split.amount_out
            if missing <= 0 and (best is None or split.amount_in < best.amount_in):
                best = split
            step = missing * split.amount_in // split.amount_out + (missing > 0)
            if abs(step) <= int(amount * FINEST) or amount + step < 1:
                break
            amount += step
        return best

    def _planned(self, terms: Terms, amount: int, path: Route | None, *, buys: bool) -> list[Leg]:
        """The swaps of the best plan for `amount`, in floats; none where there is none."""
        index = self._index
        if terms.given not in index or terms.wanted not in index:
            return []
        atoms = np.zeros(len(index))
        atoms[index[terms.given]] = float(amount)
        pools, target = self._liquidity.pools, index[terms.wanted]
        whole = plan(pools, atoms, target, space=self._space)
        if not (np.isfinite(whole.paid) and np.all(np.isfinite(whole.net))):
            return []
        root = whole.root
        worth = float(atoms @ root**2)
        unit = ATOMS_PER_PRICE / terms.price
        if buys:  # priced in what is given: costs are counted in what comes out
            unit *= float(root[index[terms.given]]) ** 2
        cost = np.maximum(
            self._cost * unit + self._flat * root[self._source] ** 2, LEAST_COST * worth
        )
        along = self._along(path)
        starts = [np.array(along, dtype=np.int64)] if along else []
        best = sparsify(pools, atoms, target, cost, whole, starts=starts, late=self.late)
        return legs(self._liquidity, best.plan.net, best.plan.root)

    def _along(self, path: Route | None) -> list[int]:
        """The units that a path uses."""
        return [
            u
            for hop in (path.executions if path else ())
            for u in self._units[hop.venue]
            if u not in self._one_way or self._source[u] == self._index[hop.asset_in]
        ]


def _paid(split: Split, price: int) -> int:
    return split.amount_in * price // ATOMS_PER_PRICE + split.cost


def _worth(split: Split, price: int) -> int:
    return split.amount_out * price // ATOMS_PER_PRICE - split.cost


def _as_split(path: Route | None) -> Split | None:
    if path is None:
        return None
    return Split(path.executions, path.venues, path.amount_in, path.amount_out, path.cost)
