"""Columns from the router: what a batch's fills leave over and lack, split over all venues.

Fills at a clearing net out to a supply of some assets and a demand for others. The router plans
that whole exchange at once, net of what each use of a venue costs, where programs know no cost of a
use. Its swaps become columns: curves of exact integer quotes around the planned amounts, beside no
others, in which the program then finds the best amounts.
"""

import numpy as np

from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.fills import Clearing
from walras_solvers.optimizer.pools import Edge
from walras_solvers.pools import make_liquidity, units
from walras_solvers.programs import Effort, Floats, total
from walras_solvers.router import plan, sparsify
from walras_solvers.router.execute import legs

WORK = 50_000
"""Of one plan, about."""

LEAST_COST = 1e-9
"""A use of a venue that costs nothing counts with this part of what is traded."""

IDLE = 1e-7
"""Parts of what is traded below this are rounding."""


def net_supply(book: Book, at: Clearing) -> Floats:
    """Asset → value that the fills leave to the venues; below 0: what they need of it."""
    count = len(book.assets)
    given = total(book.leg_asset, -book.leg_worth * at.x[book.leg_column], count)
    return given - total(book.settle, book.settlements(at.delta) * at.x, count)


def routed(book: Book, at: Clearing, effort: Effort) -> dict[Edge, float]:
    """Edge → value of its input, of the router's plan for the fills; empty where it has none."""
    supply = net_supply(book, at)
    liquidity = make_liquidity(book.problem.venues.values())
    here = {asset: i for i, asset in enumerate(liquidity.assets)}
    known = np.array([book.index[asset] for asset in liquidity.assets], dtype=np.int64)
    if not len(known) or effort.spent:
        return {}
    effort.spend(WORK)
    volume = float(np.abs(supply[known]).max())
    wanted = np.where(np.abs(supply) > IDLE * volume, supply, 0.0)[known]
    if volume <= 0.0:
        return {}
    # What rounding leaves over ends up in the target, so it is an asset that much is needed of.
    target = int(np.argmin(wanted))
    atoms = wanted / book.reference[known]
    atoms[target] = 0.0
    pools = liquidity.pools
    whole = plan(pools, atoms, target)
    if not (np.isfinite(whole.paid) and np.all(np.isfinite(whole.net))):
        return {}
    unit = units(pools)
    first = np.unique(unit, return_index=True)[1]
    venues = [book.problem.venues[liquidity.venues[k]] for k in liquidity.slot_venue[first]]
    value = float(book.reference[known[target]])
    cost = np.array([venue.cost / book.scale / value for venue in venues])
    cost = np.maximum(cost, LEAST_COST * volume / value)
    best = sparsify(pools, atoms, target, cost, whole, late=lambda: effort.spent)
    found: dict[Edge, float] = {}
    for leg in legs(liquidity, best.plan.net, best.plan.root):
        venue = book.problem.venues[leg.venue]
        edge = Edge(leg.venue, leg.asset_in, leg.asset_out, venue.cost / book.scale)
        amount = leg.amount_in * float(book.reference[known[here[leg.asset_in]]])
        if amount > IDLE * volume:
            found[edge] = found.get(edge, 0.0) + amount
    return found
