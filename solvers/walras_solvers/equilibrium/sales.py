"""A batch of sales as columns: arrays in, integer prices and fills out, no objects between."""

from dataclasses import dataclass

import numpy as np

from walras.sdk import ATOMS_PER_PRICE, Deadline
from walras_solvers.equilibrium.book import book_of
from walras_solvers.equilibrium.kernels import Ints
from walras_solvers.equilibrium.market import Clearing, make_market
from walras_solvers.equilibrium.search import climb, draft_of, exact, fill, starts
from walras_solvers.equilibrium.sheet import Sheet
from walras_solvers.programs import Effort

WORK = 10**9


@dataclass(frozen=True, slots=True)
class Sales:
    """Orders that sell all or a part of what they give, each for its owner's own account.

    Attributes:
        give, take: asset numbers.
        amount: atoms to sell, ≥ 1.
        least: atoms that all of it must bring at least.
        reference: score units per 10^18 atoms, by asset.
        collar_bps: see protocol §5.
    """

    give: Ints
    take: Ints
    amount: Ints
    least: Ints
    reference: list[int]
    collar_bps: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """Exact: no asset lacks anything, and every fill keeps its limit and the collar.

    Attributes:
        prices: by asset.
        filled: atoms sold, by order.
        duals: asset → log price relative to the reference.
    """

    prices: list[int]
    filled: Ints
    duals: list[float]


def clear_sales(sales: Sales, deadline: Deadline) -> Cleared | None:
    """Prices at which the sales clear, and their fills; None where none is found in time."""
    count = len(sales.give)
    assets = len(sales.reference)
    ones = [1] * count
    amounts = sales.amount.tolist()
    sheet = Sheet(
        give=sales.give.tolist(),
        take=sales.take.tolist(),
        buys=[False] * count,
        quantity=ones,
        most=amounts,
        least=ones,
        limit=sales.least.tolist(),
        whole=amounts,
        account=[-1] * count,
        held=[],
        reference=sales.reference,
        collar_bps=sales.collar_bps,
    )
    worths = np.array([float(price) for price in sales.reference]) / ATOMS_PER_PRICE
    names = [str(asset) for asset in range(assets)]
    book = book_of(names, worths, sheet, [], [], np.zeros(assets, np.bool_))
    market = make_market(book)
    effort = Effort(deadline, WORK)
    best: Clearing | None = None
    for delta, width in starts(market.curves, [], market.collar, np.zeros(assets)):
        at = fill(market, delta, width, effort)
        if at is not None and market.small:
            at = climb(market, at, effort)
        if at is not None and (best is None or at.score > best.score):
            best = at
        if best is not None and best.score > 0 and not market.small:
            break
    if best is None:
        return None
    nothing = best.score <= 0
    draft = draft_of(market, best) if nothing else exact(market, best, effort)
    if draft is None:
        return None
    filled = np.zeros(count, np.int64)
    if nothing:
        return Cleared(draft.prices, filled, best.delta.tolist())
    filled[list(draft.units)] = list(draft.units.values())
    return Cleared(draft.prices, filled, best.delta.tolist())
