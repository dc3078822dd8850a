"""One solver node in a Ray worker.

Ray runs an actor with `async` methods in an event loop of its own; the node's gRPC server runs in
that loop. Ray's calls only say where the node is and when it shall go: problems and bids travel
over the contract that every node has.
"""

import asyncio

import grpc
import ray
import ray.actor

from walras.audit.keys import Signer
from walras.fleet.ray.values import Placed
from walras.sdk.node import Node, start
from walras.sdk.plugins import load


class SolverActor:
    """A node of the fleet as a Ray actor.

    When Ray restarts it, the constructor runs again with the same arguments: the node comes back
    with its name and its key, on another port and perhaps another host.

    Args:
        solver: as `walras.sdk.plugins.load` takes it.
        signer: the node's key.
        name, region: what `Placed` says.
        slots: problems that it works on at the same time, each with a solver of its own.
    """

    def __init__(self, solver: str, signer: Signer, name: str, region: str, slots: int) -> None:
        self._node = Node([load(solver) for _ in range(slots)], signer, name, region=region)
        self._about = (name, region, signer.public_key, slots)
        self._starting = asyncio.Lock()
        self._server: grpc.aio.Server | None = None
        self._address = ""
        self._draining = False

    async def where(self) -> Placed:
        """Serve, if it does not yet, on the host's address that Ray uses; say where."""
        async with self._starting:
            if self._server is None:
                host = str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call] # Ray's
                listen = f"[{host}]:0" if ":" in host else f"{host}:0"
                self._server, self._address = await start(self._node, listen)
        name, region, public_key, slots = self._about
        host = ray.get_runtime_context().get_node_id()
        return Placed(name, region, self._address, public_key, host, slots, self._draining)

    async def drain(self, notice: float, grace: float) -> None:
        """Go: serve `notice` seconds more, end calls in flight within `grace`, and exit."""
        self._draining = True
        await asyncio.sleep(notice)
        if self._server is not None:
            await self._server.stop(grace)
        ray.actor.exit_actor()  # type: ignore[no-untyped-call] # Ray's
