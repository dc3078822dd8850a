"""Dual prices at which the bound is low.

The bound is convex in the dual prices. Each round solves the linear program of all intents, their
accounts and the swaps seen so far (Dantzig and Wolfe's columns), whose dual prices minimise a
model that is nowhere above the bound; takes the bound there; and adds the swaps that are best
there. The prices stay in a box around the best so far (Marsten's boxstep), which shrinks where the
model promised too much. Any prices make a valid bound, so this may stop at any time.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

import numpy as np

from walras.sdk import Deadline, Problem, spot_price
from walras_solvers.bound.intents import Trade, intents_bound, trades
from walras_solvers.bound.model import Model
from walras_solvers.bound.scale import Duals, whole
from walras_solvers.bound.swaps import Column, best_swaps
from walras_solvers.bound.venues import venue_bound

ROUNDS = 60
NEAR = 1e-6
"""Of the bound: it ends when the model is this near."""

_NARROW = 1e-7
_FAR = 30.0
_LEAST, _MOST = 2.0**-64, 2.0**255
"""Prices between which an asset is taken to be; reference prices are below the latter."""


@dataclass(frozen=True, slots=True)
class Found:
    """Dual prices, and the bound at them in score units."""

    duals: Duals
    bound: int


def bound_at(problem: Problem, duals: Duals, found: Sequence[Trade] | None = None) -> int:
    """The bound at given dual prices, in score units.

    Args:
        problem: or a part of one.
        duals: of every asset that an intent or a venue trades, each ≥ 0, in the unit of `scale`.
        found: `trades(problem)`, where it is there already.
    """
    intents = intents_bound(problem, trades(problem) if found is None else found, duals)
    return whole(intents + sum(venue_bound(venue, duals) for venue in problem.venues.values()))


def best_duals(problem: Problem, deadline: Deadline) -> Found:
    """The best dual prices that were found until the deadline."""
    found = trades(problem)
    start = _start(problem)
    model = Model(problem, found, start)
    factors = np.ones(len(model.assets))
    best = Found(model.duals(factors), 0)
    best = Found(best.duals, bound_at(problem, best.duals, found))
    columns = _columns(problem, best.duals)
    reach = 0.1
    for _ in range(ROUNDS):
        if deadline.passed or not best.bound or reach < _NARROW:
            break
        solved = model.solve(columns, factors, reach, deadline)
        if solved is None:
            break
        tried, promised = solved
        duals = model.duals(tried)
        bound = bound_at(problem, duals, found)
        columns += _columns(problem, duals)
        inside = float(np.abs(np.log(tried / factors)).max(initial=0.0)) < 0.99 * log1p(reach)
        if bound < best.bound:
            best, factors = Found(duals, bound), tried
            reach = reach if inside else min(3.0 * reach, _FAR)
        else:
            reach *= 0.4
        if inside and promised >= best.bound * (1.0 - NEAR):
            break
    return best


def _columns(problem: Problem, duals: Duals) -> list[Column]:
    return [column for venue in problem.venues.values() for column in best_swaps(venue, duals)]


def _start(problem: Problem) -> dict[str, float]:
    """Reference prices; where there is none, what venues make of their neighbours' prices."""
    known = {asset: float(price.amount) for asset, price in problem.prices.items()}
    beside = defaultdict(list)
    for venue in problem.venues.values():
        for asset in venue.assets:
            beside[asset].append(venue)
    queue = deque(known)
    while queue:
        other = queue.popleft()
        for venue in beside[other]:
            for asset in venue.assets:
                if asset not in known:
                    price = known[other] * spot_price(venue, asset, other)
                    if _LEAST < price < _MOST:
                        known[asset] = price
                        queue.append(asset)
    traded = {asset for one in problem.intents.values() for asset in one.intent.assets} | {*beside}
    return {asset: known.get(asset, 1.0) for asset in sorted(traded)}
