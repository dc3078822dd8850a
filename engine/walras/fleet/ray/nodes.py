"""Ray's nodes as an engine has them: specs to dial, and a target to keep.

    async with RayNodes(deployment) as nodes:
        await nodes.scale({"eu": 2, "us": 2})
        specs = await nodes.specs()
        await nodes.keep(fleet)  # in a task

Ray itself runs in a child (`walras.fleet.ray.follow`), which is started again when it ends.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any, Self

import structlog

from walras.balance.events import Change
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.nodes import STOP_SECONDS, NodeSpec, end_child
from walras.fleet.ray.values import Deployment, Placed, check_target
from walras.fleet.registry import LAST_RETRY_SECONDS, Fleet

log = structlog.get_logger()

CONNECT_SECONDS = 30.0
"""For a child to say its first word."""

SILENT_SECONDS = 10.0
"""A child that says nothing for so long hangs, and is ended."""

LOOK_SECONDS = 1.0
MAX_LINE_BYTES = 4 << 20


class RayNodes:
    """The nodes of a deployment, wherever they are now; `group` is who operates them.

    `faults` says why nodes do not run, by name, as of the last word heard; `reason` is why their
    number was last changed, and is logged of nodes that come and go from then on.
    """

    def __init__(self, deployment: Deployment, group: str = "") -> None:
        self._deployment = deployment
        self._group = group
        self.reason: Change | None = None
        self._target: dict[str, int] = {}
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._last_word = 0.0
        self._nodes: list[Placed] = []
        self._error = ""
        self.faults: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Nothing is started before somebody asks."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """As `close`."""
        await self.close()

    async def placed(self) -> list[Placed]:
        """The nodes that run, by region and number; at most a second or two old.

        Raises:
            SolverFault: NODE_UNREACHABLE: the cluster, or the child that looks at it, is away. The
                nodes may well be there, where they were.
        """
        await self._ensure()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._heard.wait()
        except TimeoutError:
            self._error = f"nothing was heard of it for {CONNECT_SECONDS:.0f} s"
        silent = asyncio.get_running_loop().time() - self._last_word
        if not self._error and silent > SILENT_SECONDS:
            self._error = f"nothing was heard of it for {silent:.0f} s"
        if self._error:
            why = self._error
            await self._end()
            raise SolverFault(
                Reason.NODE_UNREACHABLE, f"the Ray cluster at {self._deployment.address}: {why}"
            )
        return list(self._nodes)

    async def specs(self) -> list[NodeSpec]:
        """What to dial: each node's address and the key that it must show.

        Raises:
            SolverFault: as `placed`.
        """
        return [
            NodeSpec(
                node.name,
                address=node.address,
                public_key=node.public_key,
                group=self._group,
                slots=self._deployment.slots,
            )
            for node in await self.placed()
        ]

    async def scale(self, target: Mapping[str, int]) -> None:
        """Have `target[region]` nodes in its regions from now on; `specs` shows when it is so.

        The target is kept: nodes that are lost for good are made again.

        Raises:
            InvalidInput: FIELD_INVALID.
            SolverFault: NODE_CRASHED: the child does not start; the target is kept all the same.
        """
        self._target = {**self._target, **check_target(target)}
        await self._ensure()
        await self._tell(self._target)

    async def keep(self, fleet: Fleet) -> None:
        """Keep `fleet` in step, until cancelled: what comes is added, what goes is removed, and
        what moved is dialled at its new address.

        While the cluster is away the fleet keeps the nodes it has.

        Raises:
            InvalidInput: FLEET_INVALID: a node of another origin has the name of one of these.
        """
        ours: dict[str, NodeSpec] = {}
        pause = LOOK_SECONDS
        while True:
            try:
                specs = {spec.name: spec for spec in await self.specs()}
            except SolverFault as fault:
                if pause == LOOK_SECONDS:
                    log.warning("ray is away", why=str(fault))
                pause = min(2 * pause, LAST_RETRY_SECONDS)
            else:
                if pause > LOOK_SECONDS:
                    log.info("ray is here")
                pause = LOOK_SECONDS
                for name in [name for name, spec in ours.items() if specs.get(name) != spec]:
                    await fleet.remove(name, self.reason)
                    del ours[name]
                for name in specs.keys() - ours.keys():
                    fleet.add(specs[name], self.reason)
                    ours[name] = specs[name]
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """End the child; the nodes stay on the cluster."""
        await self._end()

    async def _ensure(self) -> None:
        if self._child is not None:
            return
        self._error = ""
        self._heard.clear()
        command = [sys.executable, "-m", "walras.fleet.ray.follow"]
        try:
            self._child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=MAX_LINE_BYTES,
            )
        except OSError as error:
            raise SolverFault(
                Reason.NODE_CRASHED, f"the program that follows Ray does not start: {error}"
            ) from error
        self._last_word = asyncio.get_running_loop().time()
        self._reading = asyncio.create_task(self._read(self._child))
        await self._tell(self._deployment.to_json())
        if self._target:
            await self._tell(self._target)

    async def _tell(self, document: object) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        # A child that is gone is noticed by who reads from it.
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                self._child.stdin.write(json.dumps(document).encode() + b"\n")
                await self._child.stdin.drain()

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        why = "the program that follows it has ended; is Ray installed (walras[ray])?"
        try:
            while line := await child.stdout.readline():
                word: dict[str, Any] = json.loads(line)
                if "error" in word:
                    why = str(word["error"])
                    break
                nodes = [Placed.from_json(node) for node in word["nodes"]]
                self._nodes = [n for n in nodes if self._deployment.place(n.name)]
                self.faults = {str(name): str(why) for name, why in word["faults"].items()}
                self._last_word = asyncio.get_running_loop().time()
                self._heard.set()
        except (InvalidInput, ValueError, LookupError, TypeError, AttributeError) as error:
            why = f"the program that follows it says nonsense: {error}"
        self._error = why
        self._heard.set()

    async def _end(self) -> None:
        child, self._child = self._child, None
        reading, self._reading = self._reading, None
        if child is not None:
            await end_child(child, STOP_SECONDS)
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
