"""The fleet: every configured node, kept connected. Nodes come and go while it serves."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable

import structlog

from walras.balance.events import Change
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.nodes import STOP_SECONDS, Node, NodeSpec
from walras.protocol.dispatch import LoadProbe

log = structlog.get_logger()

FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
CHECK_SECONDS = 0.25
LOAD_SECONDS = 0.1


def _unvouched(node: Node) -> bool:
    return not (node.spec.public_key or node.spec.plugin)


class Fleet:
    """The nodes an engine asks.

    Attributes:
        in_flight: calls of the engine by node's key.
        reasons: why a node came or went, by its name, where it was not configured to.
    """

    def __init__(self, specs: Iterable[NodeSpec]) -> None:
        self._nodes = {spec.name: Node(spec) for spec in specs}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._faults: dict[str, SolverFault] = {}
        self.in_flight: Counter[bytes] = Counter()
        self.reasons: dict[str, Change] = {}

    @property
    def specs(self) -> list[NodeSpec]:
        """Of every node, connected or not."""
        return [node.spec for node in self._nodes.values()]

    @property
    def nodes(self) -> list[Node]:
        """Every node, connected or not."""
        return list(self._nodes.values())

    def find(self, key: bytes) -> Node | None:
        """The node of this key, if it was ever connected; as in `ready` if several show it."""
        return self.by_key().get(key)

    def by_key(self) -> dict[bytes, Node]:
        """Every node that was ever connected, or whose key is configured; as `find`."""
        found: dict[bytes, Node] = {}
        for node in sorted(self._nodes.values(), key=_unvouched):
            if node.public_key:
                found.setdefault(node.public_key, node)
        return found

    def add(self, spec: NodeSpec, reason: Change | None = None) -> None:
        """Keep one more node connected, for a reason that is logged once it is there.

        Raises:
            InvalidInput: FLEET_INVALID if a node has this name.
        """
        if spec.name in self._nodes:
            raise InvalidInput(Reason.FLEET_INVALID, f"there is a node {spec.name} already")
        self._nodes[spec.name] = Node(spec)
        self._note(spec.name, reason)
        if self._group is not None:
            self._keep(spec.name)

    async def remove(self, name: str, reason: Change | None = None) -> None:
        """Let a node go, and end its process if it was started here; calls to it fail."""
        self._note(name, reason)
        node = self._nodes.pop(name)
        self._faults.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=STOP_SECONDS)
        await node.close()

    def ready(self) -> list[Node]:
        """Connected nodes, in the order of the configuration; one for each key.

        Of two with one key it is the first whose key is more than its own word, as a stranger can
        show anybody's; if there is none, the first.
        """
        found: dict[bytes, Node] = {}
        nodes = list(self._nodes.values())
        for node in sorted(nodes, key=_unvouched):
            if node.connected:
                found.setdefault(node.public_key, node)
        return [node for node in nodes if found.get(node.public_key) is node]

    def _note(self, name: str, reason: Change | None) -> None:
        if reason is None:
            self.reasons.pop(name, None)
        else:
            self.reasons[name] = reason

    async def loads(self, count: int, now_us: int) -> list[LoadProbe]:
        """What up to `count` nodes drawn by chance say of their load, for Prequal's pool; those
        that do not answer at once are left out.
        """
        ready = self.ready()
        asked = random.sample(ready, min(count, len(ready)))
        answers = await asyncio.gather(*(node.load(LOAD_SECONDS) for node in asked))
        return [
            LoadProbe(node.public_key, answer[0], answer[1], now_us)
            for node, answer in zip(asked, answers, strict=True)
            if answer is not None
        ]

    def faults(self) -> dict[str, SolverFault]:
        """Why the nodes that are not connected are not."""
        return dict(self._faults)

    async def serve(self) -> None:
        """Keep every node connected, until cancelled; then close them all."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for name in self._nodes:
                    self._keep(name)
                # The group must not end while there is no node.
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            await asyncio.gather(*(node.close() for node in self._nodes.values()))

    async def settle_in(self, seconds: float) -> None:
        """Wait until every node is connected or has failed to, for at most `seconds`."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            nodes = self._nodes.values()
            if all(node.connected or node.name in self._faults for node in nodes):
                return
            await asyncio.sleep(0.01)

    def _keep(self, name: str) -> None:
        assert self._group is not None
        self._tasks[name] = self._group.create_task(self._keep_connected(self._nodes[name]))

    async def _keep_connected(self, node: Node) -> None:
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
