"""Any node."""

from walras.balance.view import Draw, NodeView, Pool, Request


class RandomPick:
    """Draws by weight; load is not looked at. Source: Envoy, Supported load balancers, random."""

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:  # noqa: ARG002 - the protocol's
        return pool.one(draw)
