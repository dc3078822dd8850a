"""One order, split over all pools at once, with a proof of how good the plan is."""

from dataclasses import dataclass

import numpy as np

from walras_solvers.pools import Pools, Reals, compiled, make_pools, pair_arrays
from walras_solvers.pools.curves import trade_pairs
from walras_solvers.pools.passes import trade_others
from walras_solvers.router.mend import mend
from walras_solvers.router.newton import minimise
from walras_solvers.router.space import Space, make_space, parts
from walras_solvers.router.start import start

TOLERANCE = 1e-10
"""Of the residual, as a part of the dual's value."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What each pool trades.

    Attributes:
        net: slot → atoms paid out less taken in; two slots a pair, left asset first.
        paid: atoms of the target that come out of all trades together, nothing else lacking;
            −∞ where that cannot be.
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
    count = assets or max(sell + 1, buy + 1, int(pools.slot.max(initial=0)) + 1)
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
    root, net = np.empty(len(supply)), np.zeros(len(pools.slot))
    space = space or make_space(pools, len(supply))
    value, paid, steps, passes = _plan(pools, supply, target, root, net, space, tolerance)
    if np.any(supply[root == 0.0] < 0.0):
        paid = -np.inf  # no pool leads to what is to be bought
    gap = (value - paid) / abs(value) if value else 0.0
    return Plan(net, paid, value, gap, root, steps, passes)


@compiled
def _plan(
    pools: Pools,
    supply: Reals,
    target: int,
    root: Reals,
    net: Reals,
    space: Space,
    tolerance: float,
) -> tuple[float, float, int, int]:
    """Writes `root` and `net`, which is 0 before: the dual's value, what is paid, steps, passes."""
    room = parts(space, pools, len(root))
    start(pools, supply, target, root, room.system)
    ended, box = minimise(pools, supply, target, root, room, tolerance)
    near, part = room.near, room.net
    slot = 2 * box.within
    trade_pairs(near.pairs, box.within, root, part)
    if len(pools.left) > len(pools.pairs.left):
        trade_others(pools, root, part, slot)
    paid = mend(pools, near.pairs, box.within, supply, target, root, part)
    for k in range(box.within):
        u = near.unit[k]
        net[2 * u] = part[2 * k]
        net[2 * u + 1] = part[2 * k + 1]
    others = 2 * len(pools.pairs.left)
    for s in range(others, len(net)):
        net[s] = part[slot + s - others]
    return ended.value, paid, ended.steps, ended.passes


def warm() -> None:
    """Compiles all kernels, or takes them from the cache."""
    ends = np.array([0, 1]), np.array([1, 2])
    many = np.full(2, 1e6)
    route(make_pools(pair_arrays(*ends, many, many, np.full(2, 0.003))), 0, 2, 1.0)
