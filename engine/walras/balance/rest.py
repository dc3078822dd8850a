"""A pool less some of its nodes, without copying it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Generic, TypeVar

from walras.balance.view import Draw, NodeView, Pool

TRIES = 16
"""Draws from the whole pool before the rest is made for itself."""

KEPT = 8
"""Pools of which what was worked out is kept; a router has a few, for different kinds of work."""

Value = TypeVar("Value")


class Rest(Pool):
    """The nodes of `base` other than `gone`; what is drawn is distributed as by `base.without`.

    A node of the base is drawn until one is not gone, which is a draw by weight among the others
    and O(log n), where `Pool.without` is O(n). Only if nearly all weight is gone, or a policy walks
    through `nodes`, the rest is made for itself, once.

    Args:
        base: not empty; of a rest, its own base is taken.
        gone: nodes of it; at least one node must be left.
    """

    def __init__(self, base: Pool, gone: Iterable[NodeView]) -> None:
        self.base: Pool = base.base if isinstance(base, Rest) else base
        self._gone = dict(base.left_out) if isinstance(base, Rest) else {}
        self._gone |= {node.key: node for node in gone}

    @property
    def left_out(self) -> Mapping[bytes, NodeView]:
        """The nodes that are left out, by key."""
        return self._gone

    @property
    def gone(self) -> AbstractSet[bytes]:
        """Keys of the nodes that are left out."""
        return self._gone.keys()

    def __len__(self) -> int:
        return len(self.base) - len(self._gone)

    @cached_property
    def exact(self) -> Pool:
        """The rest as a pool of its own. O(n), once."""
        return self.base.without(self._gone)

    @cached_property
    def nodes(self) -> Sequence[NodeView]:  # type: ignore[override]  # made when first asked for
        return self.exact.nodes

    def one(self, draw: Draw) -> NodeView:
        """One node, by weight."""
        for _ in range(TRIES):
            node = self.base.one(draw)
            if node.key not in self._gone:
                return node
        return self.exact.one(draw)

    def sample(self, count: int, draw: Draw) -> list[NodeView]:
        """Up to `count` different nodes, each drawn by weight among those not drawn yet."""
        if count >= len(self):
            return list(self.nodes)
        drawn: dict[bytes, NodeView] = {}
        for _ in range(TRIES * count):
            node = self.base.one(draw)
            if node.key not in self._gone:
                drawn[node.key] = node
                if len(drawn) == count:
                    return list(drawn.values())
        return [*drawn.values(), *self.exact.without(drawn).sample(count - len(drawn), draw)]

    def without(self, keys: Iterable[bytes]) -> Pool:
        """The pool less these nodes. O(n)."""
        return self.base.without([*self._gone, *keys])

    @cached_property
    def regions(self) -> Mapping[str, Pool]:
        """A pool for each region that has a node left."""
        gone: dict[str, list[NodeView]] = {}
        for node in self._gone.values():
            gone.setdefault(node.region, []).append(node)
        return dict(self._left(gone))

    def _left(self, gone: Mapping[str, Sequence[NodeView]]) -> Iterator[tuple[str, Pool]]:
        for name, pool in self.base.regions.items():
            if name not in gone:
                yield name, pool
            elif len(gone[name]) < len(pool):
                yield name, Rest(pool, gone[name])


def base_of(pool: Pool) -> Pool:
    """The pool that `pool` is a rest of, or itself."""
    return pool.base if isinstance(pool, Rest) else pool


def gone_from(pool: Pool) -> AbstractSet[bytes]:
    """Keys of the nodes of `base_of(pool)` that are not in `pool`."""
    return pool.gone if isinstance(pool, Rest) else frozenset()


class PerPool(Generic[Value]):
    """What is worked out once for a pool, kept for the latest eight.

    Args:
        make: its value for a pool; never None.
    """

    def __init__(self, make: Callable[[Pool], Value]) -> None:
        self._make = make
        self._kept: dict[Pool, Value] = {}

    def __call__(self, pool: Pool) -> Value:
        value = self._kept.get(pool)
        if value is None:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            value = self._kept[pool] = self._make(pool)
        return value
