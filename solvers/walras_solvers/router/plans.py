"""One order, split over all pools at once, with a proof of how good the plan is."""

from dataclasses import dataclass

import numpy as np

from walras_solvers.pools import Pools, Reals, make_pools, pair_arrays, trades
from walras_solvers.router.mend import mend
from walras_solvers.router.newton import Space, make_space, search

TOLERANCE = 1e-10
"""Of the residual, as a part of the dual's value."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What each pool trades.

    Attributes:
        net: slot → atoms paid out less taken in; two slots a pair, left asset first.
        paid: atoms of the target that come out of all trades together, nothing else lacking.
        bound: no plan over these pools pays more.
        gap: (bound − paid) / bound.
        root: √ν at which the bound holds, by asset; ν is atoms of the target per atom. 0 for assets
            that no pools connect with the target.
        steps, passes: of Newton's method, over the pools.
    """

    net: Reals
    paid: float
    bound: float
    gap: float
    root: Reals
    steps: int
    passes: int


def route(
    pools: Pools,
    sell: int,
    buy: int,
    amount: float,
    *,
    assets: int = 0,
    space: Space | None = None,
    tolerance: float = TOLERANCE,
) -> Plan:
    """The plan that brings the most of `buy` for `amount` atoms of `sell`.

    Pools that disagree with each other are brought in line, too, as far as that pays: the plan can
    bring something for nothing.

    Args:
        pools: with assets numbered from 0.
        sell: an asset.
        buy: another one.
        amount: atoms, > 0; assumed to be small beside 2^500.
        assets: how many there are; 0: as the pools name.
        space: of these pools, to be used again; None: made.
        tolerance: for the search, see `minimise`.
    """
    count = max(assets, sell + 1, buy + 1, int(pools.slot.max(initial=0)) + 1)
    supply = np.zeros(count)
    supply[sell] = amount
    return plan(pools, supply, buy, space=space, tolerance=tolerance)


def plan(
    pools: Pools,
    supply: Reals,
    target: int,
    *,
    space: Space | None = None,
    tolerance: float = TOLERANCE,
) -> Plan:
    """The plan that brings the most of `target` for all that is supplied.

    Args:
        pools: any.
        supply: atoms by asset; below 0: that are to be bought. Then what comes out of the target is
            mostly below 0, too.
        target: an asset.
        space: as of `route`.
        tolerance: as of `route`.
    """
    root = np.empty(len(supply))
    space = space or make_space(pools, len(supply))
    ended = search(pools, supply, target, root, space, tolerance)
    net = np.empty(len(pools.slot))
    trades(pools, root, net)
    paid = mend(pools, supply, target, root, net)
    gap = (ended.value - paid) / abs(ended.value) if ended.value else 0.0
    return Plan(net, paid, ended.value, gap, root, ended.steps, ended.passes)


def warm() -> None:
    """Compiles all kernels, or takes them from the cache."""
    ends = np.array([0, 1]), np.array([1, 2])
    many = np.full(2, 1e6)
    route(make_pools(pair_arrays(*ends, many, many, np.full(2, 0.003))), 0, 2, 1.0)
