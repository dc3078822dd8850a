"""Node views for tests of balancing."""

import heapq
from collections import Counter
from collections.abc import Sequence

from walras.balance.chooser import Chooser, group_of, weigh
from walras.balance.draws import Draws
from walras.balance.rules import FleetRules
from walras.balance.view import NodeView, Pool, Request


def node(name: str, **fields: int | str) -> NodeView:
    """A view whose key is made of its name."""
    return NodeView(key=name.encode(), **fields)  # type: ignore[arg-type]  # the caller's names


def flow_of(
    rules: FleetRules, nodes: Sequence[NodeView], picks: int, *, gap_us: int, seed: bytes = b"seed"
) -> Counter[str | bytes]:
    """Picks per group, with a call every `gap_us` that takes its node's service time and a place
    in its queue.
    """
    weigh(nodes, rules)
    pool, chooser, draw = Pool(nodes), Chooser(rules), Draws(seed)
    flow: Counter[str | bytes] = Counter()
    ends: list[tuple[int, int, NodeView]] = []
    free: dict[bytes, list[int]] = {each.key: [0] * each.slots for each in nodes}
    for turn in range(picks):
        now = turn * gap_us
        while ends and ends[0][0] <= now:
            heapq.heappop(ends)[2].in_flight -= 1
        picked = chooser.pick(pool, Request(key=turn.to_bytes(4, "big"), now_us=now), draw)
        flow[group_of(picked)] += 1
        picked.in_flight += 1
        slots = free[picked.key]
        end = max(now, heapq.heappop(slots)) + picked.service_us
        heapq.heappush(slots, end)
        heapq.heappush(ends, (end, turn, picked))
    return flow
