"""Weigh, then pick: what holds for every policy.

Nodes that must not be asked are left out before (filter). `weigh` says what share a node may get
before its load is looked at, a policy picks by load, and `Chooser` explores and keeps the cap.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from walras.balance.policies import POLICIES
from walras.balance.rest import PerPool, Rest
from walras.balance.rules import BPS, FleetRules
from walras.balance.view import Draw, NodeView, Pool, Request
from walras.core.errors import InvalidInput, Reason

WINDOW = 1_024
"""Picks over which a group's flow is held to its cap."""

MAX_TOTAL = 1 << 48
"""Bound of all weights together; a draw is of at most 2^64."""

RESTS = 64
"""Rests of a pool that are kept for the next pick."""

Group = str | bytes


def group_of(node: NodeView) -> Group:
    """Who operates a node; a node without a group is its own, by its key."""
    return node.group or node.key


def weigh(
    nodes: Sequence[NodeView], rules: FleetRules, warm_bps: Mapping[bytes, int] | None = None
) -> None:
    """Sets `NodeView.weight`: base · warm-up, cut so that no group has more than its cap.

    The base is 1 (`uniform`), the slots or the stake; policy `stake_weighted` takes the stake
    always. What a capped group loses goes to the others in proportion (water-filling): with the k
    heaviest groups at the cap c, each has c / (1 − k·c) of what the others have together. A cap
    that all groups together cannot fill is raised to 1/groups. Where weights are scaled, integer
    division moves a node's by less than one unit.

    Args:
        nodes: all that may be asked.
        rules: `weigh`, `policy` and `group_cap_bps` count.
        warm_bps: a node's warm-up factor by key, 0 … 10,000; a node not named is warm.

    Raises:
        InvalidInput: CONFIG_INVALID, for an unknown `weigh`.
    """
    kind = "stake" if rules.policy == "stake_weighted" else rules.weigh
    warm = warm_bps or {}
    weights = {node.key: _base(node, kind) * warm.get(node.key, BPS) for node in nodes}
    groups: Counter[Group] = Counter()
    for node in nodes:
        groups[group_of(node)] += weights[node.key]
    capped, top, bottom = _water_fill(+groups, rules.group_cap_bps)
    if capped:
        for node in nodes:
            name, weight = group_of(node), weights[node.key]
            if name not in capped:
                weights[node.key] = weight * bottom * MAX_TOTAL
            elif weight:
                weights[node.key] = max(1, weight * top * MAX_TOTAL // groups[name])
    total = sum(weights.values())
    for node in nodes:
        weight = weights[node.key]
        if total > MAX_TOTAL and weight:
            weight = max(1, weight * MAX_TOTAL // total)
        node.weight = weight


def _base(node: NodeView, kind: str) -> int:
    match kind:
        case "uniform":
            return 1
        case "slots":
            return node.slots
        case "stake":
            return node.stake
    message = f"nodes cannot be weighed by {kind!r}"
    hint = "use uniform, slots or stake"
    raise InvalidInput(Reason.CONFIG_INVALID, message, hint=hint, weigh=kind)


def _water_fill(groups: Mapping[Group, int], cap_bps: int) -> tuple[frozenset[Group], int, int]:
    """The groups to be cut and, as a fraction, what each of them weighs then; none: nothing is cut.

    The others keep their weights.
    """
    if not groups or cap_bps >= BPS:
        return frozenset(), 1, 1
    cap = feasible(cap_bps, len(groups))
    heaviest = sorted(groups, key=lambda name: -groups[name])
    left_bps, left = BPS, sum(groups.values())
    cut = 0
    for name in heaviest:
        # Its part of what is left, were it not cut, is groups[name]/left · left_bps.
        if left_bps <= cap or groups[name] * left_bps <= cap * left:
            break
        cut, left_bps, left = cut + 1, left_bps - cap, left - groups[name]
    if cut == 0:
        return frozenset(), 1, 1
    if left == 0:
        return frozenset(heaviest), max(groups.values()), 1
    return frozenset(heaviest[:cut]), cap * left, left_bps


def feasible(cap_bps: int, groups: int) -> int:
    """The cap, or what `groups` groups need to take everything."""
    return max(cap_bps, -(-BPS // max(groups, 1)))


class Chooser:
    """Picks nodes by the rules' policy, explores, and holds each group to its cap.

    - A share `explore_bps` of the picks is drawn by weight alone.
    - A group that had more than `group_cap_bps` of the last 1,024 picks is left out while another
      group of the pool can take the pick. So a group has at most one pick above its cap in any
      such window. Where a pool's groups are too few for the cap it is 1/groups in that pool.

    Picks follow from the rules, the pools, the requests and the draws since it was made.

    Args:
        rules: those in force; with other rules, make another.

    Raises:
        InvalidInput: CONFIG_INVALID, for an unknown policy.
    """

    def __init__(self, rules: FleetRules) -> None:
        make = POLICIES.get(rules.policy)
        if make is None:
            message = f"there is no policy {rules.policy!r}"
            hint = f"use one of {', '.join(POLICIES)}"
            raise InvalidInput(Reason.CONFIG_INVALID, message, hint=hint, policy=rules.policy)
        self.policy = make(rules)
        self._explore_bps = rules.explore_bps
        self._flow = _Flow(rules.group_cap_bps) if rules.group_cap_bps < BPS else None

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        """One node of `pool`, which is not empty."""
        if self._flow is None:
            return self._one(pool, request, draw)
        node = self._one(self._flow.allowed(pool), request, draw)
        self._flow.count(group_of(node))
        return node

    def pick_many(
        self, pool: Pool, request: Request, draw: Draw, count: int, standby: int = 0
    ) -> list[NodeView]:
        """`count` different nodes in the order of picking, then `standby` more that do not count
        as their groups' flow; fewer where the pool is smaller.

        `in_flight` of those picked is as before; each is picked as if alone among the others.
        """
        picked: list[NodeView] = []
        for turn in range(min(count + standby, len(pool))):
            rest = Rest(pool, picked) if picked else pool
            allowed = rest if self._flow is None else self._flow.allowed_rest(pool, rest, picked)
            node = self._one(allowed, request, draw)
            if self._flow is not None and turn < count:
                self._flow.count(group_of(node))
            picked.append(node)
        return picked

    def _one(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        if self._explore_bps and draw(BPS) < self._explore_bps:
            return pool.one(draw)
        return self.policy.pick(pool, request, draw)


class _Flow:
    """Picks per group in a sliding window, and who is above the cap."""

    def __init__(self, cap_bps: int) -> None:
        self._cap_bps = cap_bps
        self._window: deque[Group] = deque()
        self._counts: dict[Group, int] = {}
        self._heavy: set[Group] = set()  # at most BPS/cap groups: those above the rules' cap
        self._members = PerPool(_members)
        self._rests: PerPool[dict[frozenset[Group], Pool]] = PerPool(lambda _: {})

    def count(self, name: Group) -> None:
        """A pick went to this group."""
        self._window.append(name)
        self._counts[name] = self._counts.get(name, 0) + 1
        if len(self._window) > WINDOW:
            old = self._window.popleft()
            self._counts[old] -= 1
            if not self._counts[old]:
                del self._counts[old]
        self._heavy.add(name)
        self._heavy = {name for name in self._heavy if self._is_above(name, self._cap_bps)}

    def allowed(self, pool: Pool) -> Pool:
        """The pool less the groups that are above the cap. O(1) unless the pool is a new one."""
        if not self._heavy:
            return pool
        over = self._over(pool)
        if not over:
            return pool
        rests = self._rests(pool)
        if over not in rests:
            if len(rests) >= RESTS:
                rests.clear()
            rests[over] = Rest(pool, self._nodes_of(pool, over))
        return rests[over]

    def allowed_rest(self, pool: Pool, rest: Pool, picked: Sequence[NodeView]) -> Pool:
        """`rest`, which is `pool` less `picked`, less the groups above the cap, if any is left."""
        if not self._heavy:
            return rest
        nodes = self._nodes_of(pool, self._over(pool))
        gone = {node.key: node for node in (*nodes, *picked)}
        return Rest(pool, gone.values()) if len(gone) < len(pool) else rest

    def _over(self, pool: Pool) -> frozenset[Group]:
        members = self._members(pool)
        cap = feasible(self._cap_bps, len(members))
        over = (name for name in self._heavy if name in members and self._is_above(name, cap))
        found = frozenset(over)
        return found if len(found) < len(members) else frozenset()

    def _nodes_of(self, pool: Pool, names: Iterable[Group]) -> list[NodeView]:
        members = self._members(pool)
        return [node for name in names for node in members[name]]

    def _is_above(self, name: Group, cap_bps: int) -> bool:
        return self._counts.get(name, 0) * BPS > cap_bps * (len(self._window) + 1)


def _members(pool: Pool) -> dict[Group, list[NodeView]]:
    found: dict[Group, list[NodeView]] = {}
    for node in pool.nodes:
        found.setdefault(group_of(node), []).append(node)
    return found
