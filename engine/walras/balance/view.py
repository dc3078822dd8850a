"""What a policy sees: nodes, the request to place, and the pool to place it in.

Durations are whole microseconds. Integers only: a pick is recomputed from the log.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from walras.balance.queueing import expected_wait_us

Draw = Callable[[int], int]
"""Uniform over 0 … n−1 for n ≥ 1."""


@dataclass(slots=True)
class NodeView:
    """A node as its router sees it. The router keeps it up to date; policies only read it.

    Attributes:
        key: the node's public key.
        group: its operator's; caps count per group.
        region: where it is.
        slots: problems it works on at the same time, ≥ 1.
        stake: bonded, in atoms of the bond's asset.
        weight: its share of picks before load is looked at, ≥ 0; set by the weigh stage.
        in_flight: calls of this router that have not ended.
        reported: calls in flight that the node itself reports; can only worsen its standing.
        others: those of them that were not this router's when it reported; None: not known.
        service_us: estimate of what one call takes on a free slot, ≥ 1.
        rtt_us: the quorum's median of its round trip; 0 while none is known.
        arrived, span: calls that came to it of late, and in how many ms, both in 2^-16; known only
            where the rules have a `max_wait_ms`, else 0.
        variation_bps: C²ₐ + C²ₛ of its queue, in 1/10,000; likewise.
        asked: calls given to it that are not in `arrived` yet.
    """

    key: bytes
    group: str = ""
    region: str = ""
    slots: int = 1
    stake: int = 0
    weight: int = 1
    in_flight: int = 0
    reported: int = 0
    service_us: int = 1
    rtt_us: int = 0
    others: int | None = None
    arrived: int = 0
    span: int = 0
    variation_bps: int = 0
    asked: int = 0

    @property
    def load(self) -> int:
        """Calls in flight, by whichever of the router and the node counts more.

        A report grows old, so only what it says of others counts, with the router's own as of now.
        """
        if self.others is None:
            return max(self.in_flight, self.reported)
        return self.in_flight + self.others

    @property
    def expected_us(self) -> int:
        """When one more call is expected to be answered: it waits where no slot is free."""
        return self.rtt_us + max(self.slots, self.load + 1) * self.service_us // self.slots

    @property
    def wait_us(self) -> int:
        """What calls would wait on average with one more: Allen–Cunneen. O(slots)."""
        calls = self.arrived + (self.asked + 1 << 16)
        return expected_wait_us(self.slots, self.service_us, calls, self.span, self.variation_bps)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be placed.

    Attributes:
        key: of the shard; equal keys go to the same node where a policy has affinity.
        region: where it comes from; empty for anywhere.
        now_us: the router's clock.
    """

    key: bytes = b""
    region: str = ""
    now_us: int = 0


class Pool:
    """The nodes that may be picked, with their weights as of now; made anew when either changes.

    Args:
        nodes: in any order; those of weight 0 are left out unless all have it.
    """

    def __init__(self, nodes: Iterable[NodeView]) -> None:
        every = sorted(nodes, key=lambda node: node.key)
        self.nodes: Sequence[NodeView] = tuple(n for n in every if n.weight > 0) or tuple(every)
        self._cumulative = list(accumulate(max(node.weight, 1) for node in self.nodes))

    def __len__(self) -> int:
        return len(self.nodes)

    def one(self, draw: Draw) -> NodeView:
        """One node, by weight; the pool must not be empty. O(log n)."""
        if len(self.nodes) == 1:
            return self.nodes[0]
        return self.nodes[bisect_right(self._cumulative, draw(self._cumulative[-1]))]

    def sample(self, count: int, draw: Draw) -> list[NodeView]:
        """Up to `count` different nodes, each drawn by weight among those not drawn yet."""
        if count >= len(self.nodes):
            return list(self.nodes)
        drawn: dict[bytes, NodeView] = {}
        for _ in range(4 * count):
            node = self.one(draw)
            drawn[node.key] = node
            if len(drawn) == count:
                return list(drawn.values())
        # A few nodes hold nearly all weight: draw among the others.
        others = self.without(drawn)
        return [*drawn.values(), *others.sample(count - len(drawn), draw)]

    def without(self, keys: Iterable[bytes]) -> "Pool":
        """The pool less these nodes. O(n)."""
        gone = frozenset(keys)
        return Pool(node for node in self.nodes if node.key not in gone)

    @cached_property
    def regions(self) -> Mapping[str, "Pool"]:
        """A pool for each region."""
        names = sorted({node.region for node in self.nodes})
        return {name: Pool(n for n in self.nodes if n.region == name) for name in names}
