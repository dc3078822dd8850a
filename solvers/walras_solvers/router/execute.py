"""A plan in whole atoms: exact quotes, and in each asset one swap that takes the rest."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from walras.sdk import AnyVenue, Execution, SwapError
from walras_solvers.pools import Liquidity, Reals

TINY = 1e-9
"""Parts of a trade below this are rounding."""

LITTLE = 10**6
"""Floats may plan a venue's whole supply and err by less than one part in this many."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One swap of a plan.

    Attributes:
        venue, asset_in, asset_out: ids.
        amount_in: atoms, ≥ 1, as planned.
        worth: of them, for comparison.
    """

    venue: str
    asset_in: str
    asset_out: str
    amount_in: int
    worth: float


@dataclass(frozen=True, slots=True)
class Split:
    """Executions that turn some of one asset into another.

    Attributes:
        executions: in their order.
        venues: the states of the touched venues afterwards.
        amount_in: atoms of the first asset that they take.
        amount_out: atoms of the other that come out; nothing else lacks.
        cost: of the executions, in score units.
    """

    executions: tuple[Execution, ...]
    venues: Mapping[str, AnyVenue]
    amount_in: int
    amount_out: int
    cost: int


def legs(liquidity: Liquidity, net: Reals, root: Reals) -> list[Leg]:
    """The swaps of a plan, by venue; trades of several assets as swaps between two, in order of
    worth.
    """
    pools = liquidity.pools
    by_venue: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for slot in np.flatnonzero(net).tolist():
        by_venue[int(liquidity.slot_venue[slot])].append((int(pools.slot[slot]), float(net[slot])))
    found = []
    for place in sorted(by_venue):
        worths = {asset: atoms * float(root[asset]) ** 2 for asset, atoms in by_venue[place]}
        gives = [(asset, n, -worths[asset]) for asset, n in by_venue[place] if worths[asset] < 0]
        takes = [(asset, worths[asset]) for asset, n in by_venue[place] if worths[asset] > 0]
        if not gives or not takes:
            continue
        total = sum(worth for _, worth in takes)
        whole = sum(worth for _, _, worth in gives)
        # What is given is handed out in order: of k assets k − 1 swaps, or fewer.
        filled, target = 0.0, 0
        for asset, atoms, worth in gives:
            spent = 0.0
            while spent < 1.0:
                room = (takes[target][1] - filled) / total * whole
                share = min(1.0 - spent, room / worth)
                if target == len(takes) - 1 or 1.0 - spent - share < TINY:
                    share = 1.0 - spent
                amount = int(-atoms * share)
                if amount:
                    ids = liquidity.assets[asset], liquidity.assets[takes[target][0]]
                    found.append(Leg(liquidity.venues[place], *ids, amount, worth * share))
                spent += share
                filled += worth * share / whole * total
                if target < len(takes) - 1 and takes[target][1] - filled < TINY * total:
                    target, filled = target + 1, 0.0
                if share <= 0.0:
                    break
    return found


def execute(
    venues: Mapping[str, AnyVenue], planned: Sequence[Leg], given: str, amount: int, wanted: str
) -> Split | None:
    """The swaps with exact amounts; None where nothing comes out, or goes in.

    Args:
        venues: their states.
        planned: swaps that nearly add up.
        given: the asset to begin with.
        amount: atoms of it, all of which are spent if the venues take them.
        wanted: the asset to end with.
    """
    level = _levels(planned, wanted)
    useful = [leg for leg in planned if leg.asset_in in level and leg.asset_out in level]
    onward: dict[str, Leg] = {}
    for leg in useful:
        if level[leg.asset_out] < level[leg.asset_in]:
            best = onward.get(leg.asset_in)
            if best is None or leg.worth > best.worth:
                onward[leg.asset_in] = leg
    run = _Run(dict(venues))
    run.left[given] = amount
    last = {id(leg) for leg in onward.values()}
    # Beside the last ones all are as planned; who hands on more than comes in hands on less.
    for leg in useful:
        if id(leg) not in last:
            run.planned(leg)
    for asset in sorted(onward, key=lambda a: (-level[a], a)):
        run.rest(onward[asset], run.left[asset])
    lacking = [asset for asset, atoms in run.left.items() if atoms < 0]
    spent = amount - run.left[given]
    if lacking or run.left[wanted] < 1 or spent < 1:
        return None
    return Split(
        tuple(run.executions),
        {name: run.venues[name] for name in {e.venue for e in run.executions}},
        spent,
        run.left[wanted],
        sum(venues[e.venue].cost for e in run.executions),
    )


class _Run:
    """Swaps one after another, and what is left of each asset."""

    def __init__(self, venues: dict[str, AnyVenue]) -> None:
        self.venues = venues
        self.left: defaultdict[str, int] = defaultdict(int)
        self.executions: list[Execution] = []

    def swap(self, leg: Leg, amount: int) -> bool:
        try:
            made = self.venues[leg.venue].swap(leg.asset_in, amount, leg.asset_out)
        except SwapError:
            return False
        self.venues[leg.venue] = made.after
        self.left[leg.asset_in] -= amount
        self.left[leg.asset_out] += made.amount_out
        self.executions.append(
            Execution(leg.venue, leg.asset_in, amount, leg.asset_out, made.amount_out)
        )
        return True

    def planned(self, leg: Leg) -> None:
        """As planned; a little less, where that is a little more than the venue takes."""
        if not self.swap(leg, leg.amount_in):
            self.swap(leg, leg.amount_in - leg.amount_in // LITTLE)

    def rest(self, leg: Leg, amount: int) -> None:
        """All that is left; what was planned, where the venue does not take all."""
        if amount > 0 and not self.swap(leg, amount) and leg.amount_in < amount:
            self.planned(leg)


def _levels(planned: Sequence[Leg], wanted: str) -> dict[str, int]:
    """Asset → the fewest swaps from it to `wanted`."""
    sources: defaultdict[str, set[str]] = defaultdict(set)
    for leg in planned:
        sources[leg.asset_out].add(leg.asset_in)
    level = {wanted: 0}
    border = {wanted}
    depth = 0
    while border:
        depth += 1
        border = {a for b in border for a in sources[b]} - level.keys()
        level.update(dict.fromkeys(border, depth))
    return level
