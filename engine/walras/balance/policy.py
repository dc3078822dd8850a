"""The protocol of a balancing policy."""

from typing import Protocol

from walras.balance.view import Draw, NodeView, Pool, Request


class Policy(Protocol):
    """Picks a node of a pool for a request.

    A policy may remember what it did (round robin's turn, Prequal's probes), never what time it is
    or what chance said: both come in.
    """

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        """One node of `pool`, which is not empty."""
        ...
