"""Each node in its turn."""

from walras.balance.policies.edf import Edf, even
from walras.balance.view import Draw, NodeView, Pool, Request


class RoundRobin:
    """Weighted round robin from a drawn start: of weights 2 and 1 the first has every other two
    turns of three; with equal weights each node has one turn a round. Load is not looked at.

    Source: Envoy, Supported load balancers, weighted round robin; gRPC A58.
    """

    def __init__(self) -> None:
        self._turns = Edf(even)

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:  # noqa: ARG002 - the protocol's
        return self._turns.turn(pool, draw)
