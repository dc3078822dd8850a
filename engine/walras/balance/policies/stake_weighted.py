"""By what is at stake."""

from walras.balance.view import Draw, NodeView, Pool, Request


class StakeWeighted:
    """Draws linear in bonded stake, so to split a stake over identities changes nothing.

    The stake is in `NodeView.weight`: for this policy `walras.balance.chooser.weigh` takes stake
    whatever the rules' `weigh` says, and adds what plain stake lacks: a cap on each operator's
    group and slow start.
    """

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:  # noqa: ARG002 - the protocol's
        return pool.one(draw)
