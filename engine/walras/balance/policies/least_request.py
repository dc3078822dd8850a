"""The node with the fewest calls in flight, of a few."""

from functools import lru_cache
from math import isqrt

from walras.balance.policies.edf import UNIT, Edf
from walras.balance.rest import PerPool, base_of
from walras.balance.rules import BPS
from walras.balance.view import Draw, NodeView, Pool, Request

ONE = 1 << 64
"""Fixed point."""


class LeastRequest:
    """Envoy's least request, by this router's own calls in flight.

    - All weights equal: `choice_count` draws, a node may come twice, the first with the fewest
      calls in flight (gRPC A48, the same).
    - Else: round robin by weight / (in flight + 1)^bias, taken when a node has its turn.

    Source: Envoy, Supported load balancers, weighted least request; LeastRequestLbConfig.

    Args:
        choice_count: ≥ 1.
        active_request_bias_bps: the bias in 1/10,000, ≥ 0; 0 is plain round robin.
    """

    def __init__(self, *, choice_count: int = 2, active_request_bias_bps: int = BPS) -> None:
        self._choice_count = choice_count
        self._bias_bps = active_request_bias_bps
        self._turns = Edf(self._interval)
        self._is_equal = PerPool(_is_equal)

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:  # noqa: ARG002 - the protocol's
        if not self._is_equal(base_of(pool)):
            return self._turns.turn(pool, draw)
        best = pool.one(draw)
        for _ in range(self._choice_count - 1):
            other = pool.one(draw)
            if other.in_flight < best.in_flight:
                best = other
        return best

    def _interval(self, node: NodeView) -> int:
        return UNIT * power(node.in_flight + 1, self._bias_bps) // (ONE * max(node.weight, 1))


def _is_equal(pool: Pool) -> bool:
    return len({node.weight for node in pool.nodes}) == 1


@lru_cache(maxsize=4096)
def power(base: int, exponent_bps: int) -> int:
    """`base` to the power `exponent_bps`/10,000, in 1/2^64; base ≥ 1, exponent ≥ 0.

    Integers only, so every machine gets the same: the fraction of the exponent is written in
    binary, and its bits take the square root, the root of that, and so on. Relative error < 2^-38.
    """
    whole, part = divmod(exponent_bps, BPS)
    result: int = base**whole * ONE
    root = base * ONE
    for _ in range(40):
        root = isqrt(root * ONE)
        bit, part = divmod(2 * part, BPS)
        if bit:
            result = result * root // ONE
    return result
