"""Plans that are best net of what each use of a venue costs.

Net of costs the dual is supply·ν + Σ max(gain − cost, 0) over all venues, at any prices ν with ν_t
= 1 for the target. A venue's gain there, ν·(its trade), bounds both ways what it is good for:
without it no plan pays more than the dual's value less its gain; with one more venue none pays more
than the value and that venue's gain. So venues that gain less than a part of their cost are
dropped, the part growing from round to round, each time solving again: the gains of those that
stay grow as others go. Then single changes follow, from the best of these plans and from the one
with the fewest venues, and paths of two pairs over an asset that nothing trades: its price is free,
so no gain shows what they are good for, but in closed form two pairs in a row are one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from walras_solvers.pools import Ints, Pools, Reals, compiled, subset, trades, units
from walras_solvers.router import plans
from walras_solvers.router.plans import Plan, plan

SHARES = (1 / 16, 1 / 4, 1 / 2, 3 / 4, 1.0)
"""What a venue must gain to stay, in parts of its cost, round by round."""

FEWER = (2.0, 4.0, 8.0)
"""Likewise, on the way to a plan with few venues, from which another search begins."""

TRIES = 300
"""Changes that a search tries at most."""

CANDIDATES = 16
"""Additions of each kind that are tried between two that help."""

Keep = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Net:
    """A plan with few venues.

    Attributes:
        plan: over all pools; its bound, gap and root are those of the pools that are used.
        keep: by unit: whether it is used.
        worth: what the plan pays less what its venues cost, atoms of the target.
        bound: no plan is worth more, whichever venues it uses.
    """

    plan: Plan
    keep: Keep
    worth: float
    bound: float


@dataclass(frozen=True, slots=True)
class _Order:
    """What is planned: see `sparsify`."""

    pools: Pools
    supply: Reals
    target: int
    cost: Reals
    unit: Ints
    late: Callable[[], bool]

    def restricted(self, keep: Keep) -> Net:
        """The plan over the units to keep."""
        some, slots = subset(self.pools, keep)
        made = plan(some, self.supply, self.target)
        net = np.zeros(len(self.pools.slot))
        net[slots] = made.net
        return self.priced(replace(made, net=net))

    def priced(self, made: Plan) -> Net:
        """A pool of several assets costs once for each swap that its trade takes."""
        moving = np.bincount(self.unit, made.net != 0.0, len(self.cost))
        cost = float(self.cost @ np.maximum(moving - 1, 0))
        return Net(made, moving > 0, made.paid - cost, np.inf)

    def gains(self, made: Plan) -> Reals:
        """By unit, at the plan's prices, also of those it does not use; 0 where there is no
        price.
        """
        net = np.empty(len(self.pools.slot))
        trades(self.pools, made.root, net)
        worth = made.root[self.pools.slot] ** 2 * net
        return np.bincount(self.unit, worth, len(self.cost)).astype(np.float64)

    def bound(self, made: Plan, gain: Reals) -> float:
        """No plan is worth more net of costs."""
        return float(self.supply @ made.root**2 + np.maximum(gain - self.cost, 0.0).sum())


def sparsify(
    pools: Pools,
    supply: Reals,
    target: int,
    cost: Reals,
    first: Plan | None = None,
    *,
    starts: Sequence[Ints] = (),
    late: Callable[[], bool] = lambda: False,
) -> Net:
    """The best plan found net of costs.

    Args:
        pools: any.
        supply: as of `plan`.
        target: as of `plan`.
        cost: by unit of the pools, atoms of the target, ≥ 0.
        first: the plan over all pools, where it is known.
        starts: units of plans with few venues, to begin the search from as well.
        late: whether to end with what there is.
    """
    order = _Order(pools, supply, target, cost, units(pools), late)
    here = best = order.priced(first or plan(pools, supply, target))
    gain = order.gains(here.plan)
    bound = order.bound(here.plan, gain)
    if not cost.any():
        return replace(best, bound=bound)  # nothing is dearer than another: it is the best
    few = best
    for share in (*SHARES, *FEWER):
        keep = _without(here.keep, gain, share * cost)
        if not late() and (keep != here.keep).any():
            there = order.restricted(keep)
            if not there.plan.paid > min(0.0, 2 * best.plan.paid):
                break  # no way is left
            few = here = there
            gain = order.gains(here.plan)
            bound = min(bound, order.bound(here.plan, gain))
            if here.worth > best.worth:
                best = here
    begins = [best, few, *(order.restricted(_among(start, len(cost))) for start in starts)]
    for begin in {begin.keep.tobytes(): begin for begin in begins}.values():
        ended = _local(order, begin)
        if ended.worth > best.worth:
            best = ended
    return replace(best, bound=min(bound, order.bound(best.plan, order.gains(best.plan))))


def with_at_most(
    most: int, found: Net, pools: Pools, supply: Reals, target: int, cost: Reals
) -> Net:
    """A plan that `sparsify` found, with so many venues at most.

    One goes after another, each time the one without which the plan is worth most. No cost leads
    to every number of venues: of some the plan is best with more of them or fewer, at any cost.

    O(venues) plans over these few for each that goes.
    """
    order = _Order(pools, supply, target, cost, units(pools), lambda: False)
    while (used := np.flatnonzero(found.keep)).size > most:
        fewer = [order.restricted(_among(np.delete(used, k), len(cost))) for k in range(used.size)]
        found = replace(max(fewer, key=lambda net: net.worth), bound=found.bound)
    return found


def _without(keep: Keep, gain: Reals, least: Reals) -> Keep:
    """Without the units that gain less; where none would stay, without the worse half of them."""
    short = np.flatnonzero(keep & (gain <= least))
    left = keep.copy()
    left[short] = False
    if len(short) > 1 and not left.any():
        left[short[np.argsort(-gain[short], kind="stable")][: len(short) // 2]] = True
    return left


def _local(order: _Order, best: Net) -> Net:
    """Drops units, adds units and adds paths, one change at a time, while that helps."""
    tries = TRIES
    changed = True
    while changed and tries > 0:
        changed = False
        for changes in (_drops(order, best), _additions(order, best), _paths(order, best)):
            for units_changed in changes:
                if tries <= 0 or order.late():
                    return best
                tries -= 1
                keep = best.keep.copy()
                keep[units_changed] = ~keep[units_changed]
                there = order.restricted(keep)
                if there.worth > best.worth:
                    best, changed = there, True
                    break
            if changed:
                break
    return best


def _drops(order: _Order, best: Net) -> list[list[int]]:
    """Units that gain less than they cost; without any other one the plan loses its gain."""
    gain = order.gains(best.plan)
    short = np.flatnonzero(best.keep & (gain < order.cost))
    return [[u] for u in short[np.argsort(gain[short] - order.cost[short], kind="stable")].tolist()]


def _additions(order: _Order, best: Net) -> list[list[int]]:
    """Units that would gain more than they cost, at the prices that are; no other one can help."""
    more = np.where(best.keep, -np.inf, order.gains(best.plan) - order.cost)
    found = np.argsort(-more, kind="stable")[:CANDIDATES]
    return [[u] for u in found[more[found] > 0].tolist()]


def _paths(order: _Order, best: Net) -> list[list[int]]:
    """Two pairs each, over assets that nothing trades, those first that promise most."""
    pairs = order.pools.pairs
    count = len(pairs.left)
    root = best.plan.root
    traded = order.supply != 0.0
    traded[order.target] = True
    traded[order.pools.slot[best.keep[order.unit]]] = True
    gain, one, two = _best_paths(
        pairs.left,
        pairs.right,
        pairs.root_left,
        pairs.root_right,
        pairs.loss,
        root,
        traded,
        best.keep[:count],
        order.cost[:count],
    )
    found = np.argsort(-gain, kind="stable")[:CANDIDATES]
    return [[int(one[x]), int(two[x])] for x in found.tolist() if gain[x] > 0.0]


@compiled
def _best_paths(
    left: Ints,
    right: Ints,
    root_left: Reals,
    root_right: Reals,
    loss: Reals,
    root: Reals,
    traded: Keep,
    keep: Keep,
    cost: Reals,
) -> tuple[Reals, Ints, Ints]:
    """By untraded asset: the most that two pairs over it gain net of costs, and which they are.

    In a row, out = P·d/(Q + S·d) for d in, which gains (√(ν_b·P) − √(ν_a·Q))²/S.
    """
    n, m = len(root), len(left)
    start = np.zeros(n + 1, np.int64)
    for u in range(m):
        if not keep[u] and traded[left[u]] != traded[right[u]]:
            start[(right[u] if traded[left[u]] else left[u]) + 1] += 1
    for x in range(n):
        start[x + 1] += start[x]
    end = start.copy()
    by = np.empty(start[n], np.int64)
    for u in range(m):
        if not keep[u] and traded[left[u]] != traded[right[u]]:
            x = right[u] if traded[left[u]] else left[u]
            by[end[x]] = u
            end[x] += 1
    gain, one, two = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
    for x in range(n):
        for i in range(start[x], start[x + 1]):
            u = by[i]
            flip = left[u] == x
            a = right[u] if flip else left[u]
            near, far = (root_right[u], root_left[u]) if flip else (root_left[u], root_right[u])
            for j in range(start[x], start[x + 1]):
                v = by[j]
                turn = left[v] == x
                b = right[v] if turn else left[v]
                if a == b:
                    continue
                back, out = (root_left[v], root_right[v]) if turn else (root_right[v], root_left[v])
                # √P − √Q and S, all divided by the square of loss² and so on.
                pays = root[b] * far * out / (loss[u] * loss[v]) - root[a] * near * back
                if pays <= 0.0:
                    continue
                fee_u, fee_v = 1 / (loss[u] * loss[u]), 1 / (loss[v] * loss[v])
                slope = fee_u * back * back + fee_u * fee_v * far * far
                worth = pays * pays / slope - cost[u] - cost[v]
                if worth > gain[x]:
                    gain[x], one[x], two[x] = worth, u, v
    return gain, one, two


def warm() -> None:
    """Compiles all kernels, or takes them from the cache."""
    plans.warm()
    none, some = np.zeros(0, np.int64), np.zeros(0)
    mask = np.zeros(0, np.bool_)
    _best_paths(none, none, some, some, some, np.ones(1), np.zeros(1, np.bool_), mask, some)


def _among(chosen: Ints, count: int) -> Keep:
    keep = np.zeros(count, dtype=np.bool_)
    keep[chosen] = True
    return keep
