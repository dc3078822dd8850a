"""The node that is expected to answer first, of a few; the default."""

from collections.abc import Sequence

from walras.balance.rest import PerPool, base_of
from walras.balance.view import Draw, NodeView, Pool, Request


class LeastExpectedDelay:
    """Draws `sample` nodes by weight and takes the least `NodeView.expected_us`:
    round trip + max(slots, load + 1) · service / slots.

    Candidates are of different operator groups while there are enough. So whether a group is
    a candidate hangs on its weight alone, and to split one into many identities gains nothing.
    Among equals the one drawn first wins, which is a draw by weight.

    Source: Linux Virtual Server's shortest expected delay, (calls + 1) / rate, on d choices as in
    M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001.

    Args:
        sample: ≥ 1.
    """

    def __init__(self, *, sample: int = 3) -> None:
        self._sample = sample
        self._groups = PerPool(_groups)

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:  # noqa: ARG002 - the protocol's
        if len(pool) <= self._sample:
            return soonest(pool.nodes, draw)
        groups = self._groups(base_of(pool))
        return first_soonest(candidates(pool, self._sample, groups, draw))


def _groups(pool: Pool) -> int:
    return len({node.group or node.key for node in pool.nodes})


def candidates(pool: Pool, count: int, groups: int, draw: Draw) -> list[NodeView]:
    """`count` nodes drawn by weight, of different groups as far as there are any.

    The pool has more than `count` nodes; `groups` is how many groups they are of, or more.
    """
    wanted = min(count, groups)
    if wanted == 1:
        return pool.sample(count, draw)
    taken: list[NodeView] = []
    seen: set[str | bytes] = set()
    spare: dict[bytes, NodeView] = {}
    for _ in range(8 * count):
        node = pool.one(draw)
        name = node.group or node.key
        if name not in seen:
            seen.add(name)
            taken.append(node)
            if len(taken) == wanted:
                break
        else:
            spare[node.key] = node
    if len(taken) < count and spare:
        keys = {node.key for node in taken}
        taken += [node for node in spare.values() if node.key not in keys][: count - len(taken)]
    return taken


def first_soonest(nodes: Sequence[NodeView]) -> NodeView:
    """The first of those with the least expected delay."""
    best, least = nodes[0], nodes[0].expected_us
    for node in nodes[1:]:
        if (expected := node.expected_us) < least:
            best, least = node, expected
    return best


def soonest(nodes: Sequence[NodeView], draw: Draw) -> NodeView:
    """The one with the least expected delay; equals are drawn by weight."""
    expected = [node.expected_us for node in nodes]
    least = min(expected)
    equals = [node for node, each in zip(nodes, expected, strict=True) if each == least]
    return equals[0] if len(equals) == 1 else Pool(equals).one(draw)
