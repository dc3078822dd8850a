"""Earliest deadline first: a weighted round robin whose weights may change at every turn."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from walras.balance.rest import base_of, gone_from
from walras.balance.view import Draw, NodeView, Pool

UNIT = 1 << 96
"""A node of weight w is due every UNIT / w; large against any weight, so rounding does not show."""

Interval = Callable[[NodeView], int]
"""The time between two turns of a node, ≥ 1."""


def even(node: NodeView) -> int:
    """The interval of a node by its weight alone."""
    return UNIT // max(node.weight, 1)


class Edf:
    """Turns in virtual time; who is due first is next, and due again an interval later.

    Starts at a drawn node and goes on in the order of the keys, the phases spread evenly. A node
    keeps its turn when the pool is made anew. One that was left out for a while gets one turn at
    once, not all that it missed. O(log n) a turn, O(n) for a new pool. Source: gRPC
    A58 (a first deadline within one period); Envoy, weighted round robin.

    Args:
        interval: asked when a node gets a turn, so load at that moment counts.
    """

    def __init__(self, interval: Interval) -> None:
        self._interval = interval
        self._now = 0
        self._pool: Pool | None = None
        self._queue: list[tuple[int, int, NodeView]] = []

    def turn(self, pool: Pool, draw: Draw) -> NodeView:
        """The next node of `pool`, which is not empty."""
        base, gone = base_of(pool), gone_from(pool)
        if base is not self._pool:
            self._load(base, draw)
        skipped = []
        while (due := heappop(self._queue))[2].key in gone:
            skipped.append(due)
        deadline, place, node = due
        self._now = max(self._now, deadline)
        for entry in (*skipped, (self._now + self._interval(node), place, node)):
            heappush(self._queue, entry)
        return node

    def _load(self, pool: Pool, draw: Draw) -> None:
        known = {node.key: deadline for deadline, _, node in self._queue}
        count = len(pool)
        start = draw(count)
        self._queue = []
        for rank, node in enumerate(pool.nodes):
            interval = self._interval(node)
            phase = interval * ((rank - start) % count + 1) // count
            deadline = min(known.get(node.key, self._now + phase), self._now + interval)
            self._queue.append((deadline, (rank - start) % count, node))
        heapify(self._queue)
        self._pool = pool
