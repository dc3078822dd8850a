"""The fleet: every configured node, kept connected."""

import asyncio
from collections.abc import Iterable

import structlog

from walras.core.errors import SolverFault
from walras.fleet.nodes import Node, NodeSpec

log = structlog.get_logger()

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
CHECK_SECONDS = 0.25


def _unvouched(node: Node) -> bool:
    return not (node.spec.public_key or node.spec.plugin)


class Fleet:
    """The nodes an engine asks."""

    def __init__(self, specs: Iterable[NodeSpec]) -> None:
        self._nodes = [Node(spec) for spec in specs]
        self._faults: dict[str, SolverFault] = {}

    def ready(self) -> list[Node]:
        """Connected nodes, in the order of the configuration; one for each key.

        Of two with one key it is the first whose key is more than its own word, as a stranger can
        show anybody's; if there is none, the first.
        """
        found: dict[bytes, Node] = {}
        for node in sorted(self._nodes, key=_unvouched):
            if node.connected:
                found.setdefault(node.public_key, node)
        return [node for node in self._nodes if found.get(node.public_key) is node]

    def faults(self) -> dict[str, SolverFault]:
        """Why the nodes that are not connected are not."""
        return {
            node.name: self._faults[node.name] for node in self._nodes if node.name in self._faults
        }

    async def serve(self) -> None:
        """Keep every node connected, until cancelled; then close them all."""
        try:
            async with asyncio.TaskGroup() as group:
                for node in self._nodes:
                    group.create_task(self._keep(node))
        finally:
            await asyncio.gather(*(node.close() for node in self._nodes))

    async def settle_in(self, seconds: float) -> None:
        """Wait until every node is connected or has failed to, for at most `seconds`."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            if all(node.connected or node.name in self._faults for node in self._nodes):
                return
            await asyncio.sleep(0.01)

    async def _keep(self, node: Node) -> None:
        pause = FIRST_RETRY_SECONDS
        while True:
            if node.connected:
                await asyncio.sleep(CHECK_SECONDS)
                continue
            try:
                await node.connect()
            except SolverFault as fault:
                if node.name not in self._faults:
                    log.warning("solver is away", node=node.name, why=str(fault))
                self._faults[node.name] = fault
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_RETRY_SECONDS)
            else:
                log.info("solver is here", node=node.name, public_key=node.public_key.hex())
                self._faults.pop(node.name, None)
                pause = FIRST_RETRY_SECONDS
