"""The same node for the same shard."""

from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256
from itertools import chain, count

from walras.balance.rest import base_of, gone_from
from walras.balance.rules import BPS
from walras.balance.view import Draw, NodeView, Pool, Request

POINTS = 128
"""On the ring for a node of average weight."""

RINGS = 4
"""Pools whose ring is kept; a router has one pool for each kind of part."""

_BITS = 24  # of a ring entry say whose it is


class RingHash:
    """Consistent hashing with bounded loads, so a shard's node holds what the shard needs.

    A request goes clockwise from the SHA-256 of its key to the first node that
    - has fewer calls of this router in flight than ⌈c · (all + 1) · its share of the weight⌉, and
    - with this request makes none wait longer than `max_wait_ms`: neither this one by the calls
      there now (`expected_us` less round trip and service), nor calls on average by how they come
      and what they take (`NodeView.wait_us`).
    So a node that is about to have too much keeps as many shards as it can serve, and the others
    go on clockwise. Where none has both, the first within the bound of load alone; there always is
    one if no node was left out, and else the least expected delay. A node that leaves moves its own
    keys only; one that comes takes keys for itself only, but for the few points by which the
    average moves where weights differ. A request without a key goes to a node drawn by weight, as
    in Envoy.

    O(log n) while the first node is idle, else O(n) to sum up the calls in flight; with a limit of
    waiting, O(slots) more for each node that is looked at.

    Source: Mirrokni, Thorup, Zadimoghaddam, Consistent Hashing with Bounded Loads, SODA 2018
    (arXiv 1608.01350); Envoy, ring hash and `hash_balance_factor`; gRPC A42.

    Args:
        hash_balance_factor_bps: c, > 10,000; with less, load may find no place on the ring.
        max_wait_ms: 0: no limit.
    """

    def __init__(self, *, hash_balance_factor_bps: int = 12_500, max_wait_ms: int = 0) -> None:
        self._factor_bps = hash_balance_factor_bps
        self._max_wait_us = max_wait_ms * 1_000
        self._rings: dict[Pool, list[int]] = {}
        self._points: dict[bytes, list[int]] = {}

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        if not request.key:
            return pool.one(draw)
        walk = self._clockwise(pool, request.key)
        first = next(walk)
        if first.in_flight == 0 and not self._is_late(first):
            return first
        nodes = base_of(pool).nodes
        calls = sum(node.in_flight for node in nodes) + 1
        weights = sum(max(node.weight, 1) for node in nodes)
        late: NodeView | None = None
        seen: list[NodeView] = []
        for node in chain([first], walk):
            room = -(-self._factor_bps * calls * max(node.weight, 1) // (BPS * weights))
            if node.in_flight < room:
                if not self._is_late(node):
                    return node
                late = late or node
            seen.append(node)
        return late or min(seen, key=lambda node: node.expected_us)

    def _is_late(self, node: NodeView) -> bool:
        if not self._max_wait_us:
            return False
        backlog_us = node.expected_us - node.rtt_us - node.service_us
        return backlog_us > self._max_wait_us or node.wait_us > self._max_wait_us

    def _clockwise(self, pool: Pool, key: bytes) -> Iterator[NodeView]:
        """The nodes of the pool in the order of the ring from the key on, each once."""
        base, gone = base_of(pool), gone_from(pool)
        ring = self._ring(base)
        start = bisect_left(ring, _hash(key) << _BITS)
        left = len(pool)
        seen: set[int] = set()
        for at in range(start, start + len(ring)):
            place = ring[at % len(ring)] & ((1 << _BITS) - 1)
            if place in seen:
                continue
            seen.add(place)
            node = base.nodes[place]
            if node.key not in gone:
                yield node
                left -= 1
                if left == 0:
                    return

    def _ring(self, pool: Pool) -> list[int]:
        """Points in ascending order, each with the place of its node in the pool behind it."""
        ring = self._rings.get(pool)
        if ring is None:
            if len(self._rings) >= RINGS:
                del self._rings[next(iter(self._rings))]
            kept = {node.key for each in (*self._rings, pool) for node in each.nodes}
            self._points = {key: self._points[key] for key in kept & self._points.keys()}
            total = sum(max(node.weight, 1) for node in pool.nodes)
            ring = []
            for place, node in enumerate(pool.nodes):
                share = POINTS * len(pool) * max(node.weight, 1)
                points = self._points_of(node.key, max(1, (2 * share + total) // (2 * total)))
                ring.extend([point << _BITS | place for point in points])
            ring.sort()
            self._rings[pool] = ring
        return ring

    def _points_of(self, key: bytes, number: int) -> list[int]:
        points = self._points.setdefault(key, [])
        for block in count(len(points) // 4):
            if len(points) >= number:
                break
            digest = sha256(b"walras ring\0" + block.to_bytes(4, "big") + key).digest()
            points += [int.from_bytes(digest[at : at + 8], "big") for at in range(0, 32, 8)]
        return points[:number]


def _hash(key: bytes) -> int:
    return int.from_bytes(sha256(b"walras key\0" + key).digest()[:8], "big")
