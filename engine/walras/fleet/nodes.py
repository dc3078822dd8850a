"""Solver nodes as the engine sees them: dial, describe, ask for bids.

A node that the engine starts itself and one that a stranger runs are dialled alike. Whatever a node
does wrong ends as a `SolverFault` that costs its own bids.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import structlog

from walras.api.v1 import record_pb2, solver_service_pb2, solver_service_pb2_grpc
from walras.audit.keys import check_public_key
from walras.balance.rules import NodeInfo
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.asking import Answer, Solve, ask, fault_of
from walras.fleet.sending import Holding, Outgoing
from walras.protocol.fleet import node_from_wire
from walras.sdk.node import OPTIONS

log = structlog.get_logger()

DESCRIBE_SECONDS = 5.0
START_SECONDS = 30.0
STOP_SECONDS = 3.0
SOLVE_METHOD = "/walras.api.v1.SolverService/Solve"

_GONE = {Reason.NODE_UNREACHABLE, Reason.NODE_CRASHED}


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A configured node.

    Attributes:
        name: unique among the engine's nodes.
        plugin: an installed solver's name or module:Class, to be started here; or empty.
        address: host:port of a node that somebody runs; or empty.
        public_key: the key that a remote node must show; empty to take what it shows.
        key_file: where a node started here keeps its key.
        group: who operates it, as the engine's operator knows; empty: nobody else does.
        region: where it is; empty: what the node says.
        slots: problems that it works on at the same time, at most; a node may say fewer.
    """

    name: str
    plugin: str = ""
    address: str = ""
    public_key: bytes = b""
    key_file: Path | None = None
    group: str = ""
    region: str = ""
    slots: int = 1


class Node:
    """One node of the fleet.

    Attributes:
        spec: as configured.
        name: unique among the engine's nodes.
        public_key: its own; empty until it was connected once, unless it is configured.
        address: host:port where it was reached; empty before.
        info: what is known of it; as good as empty before it was connected.
    """

    def __init__(self, spec: NodeSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.public_key = spec.public_key
        self.address = spec.address
        self.info = NodeInfo(spec.name, spec.public_key, spec.group, spec.region)
        self._held = Holding(0)
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None
        self._channel: grpc.aio.Channel | None = None
        self._stub: solver_service_pb2_grpc.SolverServiceAsyncStub | None = None
        self._solve: Solve | None = None

    @property
    def connected(self) -> bool:
        """Whether it can be asked."""
        alive = self._process is None or self._process.returncode is None
        return self._stub is not None and alive

    async def connect(self) -> None:
        """Start it if it is to be started here, dial it, and see who it is.

        Raises:
            SolverFault: NODE_CRASHED, NODE_UNREACHABLE, NODE_TIMEOUT or NODE_MALFORMED.
        """
        await self.close()
        self.address = await self._start() if self.spec.plugin else self.spec.address
        self._channel = grpc.aio.insecure_channel(self.address, options=OPTIONS)
        stub = solver_service_pb2_grpc.SolverServiceStub(self._channel)
        try:
            answer = await stub.Describe(
                solver_service_pb2.DescribeRequest(),
                timeout=DESCRIBE_SECONDS,
                wait_for_ready=bool(self.spec.plugin),
            )
        except grpc.aio.AioRpcError as error:
            await self.close()
            raise fault_of(self.name, error) from error
        try:
            key = check_public_key(_field(answer, "public_key"))
        except InvalidInput as error:
            await self.close()
            raise SolverFault(
                Reason.NODE_MALFORMED, f"{self.name} shows an invalid key", node=self.name
            ) from error
        if self.spec.public_key and key != self.spec.public_key:
            await self.close()
            raise SolverFault(
                Reason.NODE_MALFORMED,
                f"{self.name} shows the key {key.hex()}, not the one configured",
                node=self.name,
            )
        try:
            self.info = _info(self.spec, key, answer)
        except InvalidInput as error:
            await self.close()
            raise SolverFault(
                Reason.NODE_MALFORMED, f"{self.name}: {error.message}", node=self.name
            ) from error
        self.public_key = key
        self._held = Holding(answer.held_problems)
        self._stub = stub
        self._solve = self._channel.unary_stream(SOLVE_METHOD)

    async def solve(
        self, problems: Sequence[Outgoing], *, seconds: float, max_bids: int, checkpoint: bytes
    ) -> AsyncGenerator[Answer, None]:
        """Its bids, as they come, for at most `seconds`; every problem ends once.

        Args:
            problems: at most `MAX_PARTS`; each sent as the difference to one that the node holds,
                if it holds one.
            seconds: that bids count.
            max_bids: for a problem; more are its fault.
            checkpoint: the log's newest signed note.
        """
        end = time.monotonic() + seconds
        bases = [self._held.base_for(problem) for problem in problems]
        places = list(range(len(problems)))
        while places:
            parts = [problems[place].part(bases[place]) for place in places]
            forgotten: list[int] = []
            async with aclosing(self._ask(parts, end, max_bids, checkpoint)) as answers:
                async for answer in answers:
                    place, fault = places[answer.part], answer.fault
                    forgot = fault is not None and fault.reason is Reason.BASE_UNKNOWN
                    if forgot and bases[place] is not None:
                        forgotten.append(place)
                        continue
                    if answer.ended and fault is None:
                        self._held.add(problems[place])
                    yield replace(answer, part=place)
            if forgotten:
                # As it may after a restart: once more, whole.
                self._held.clear()
                bases = [None] * len(problems)
            places = forgotten

    async def _ask(
        self, parts: Sequence[bytes], end: float, max_bids: int, checkpoint: bytes
    ) -> AsyncGenerator[Answer, None]:
        if self._solve is None:
            fault = SolverFault(
                Reason.NODE_UNREACHABLE, f"{self.name} is not connected", node=self.name
            )
            for place in range(len(parts)):
                yield Answer(place, ended=True, fault=fault)
            return
        async with aclosing(
            ask(self.name, self._solve, parts, end, max_bids, checkpoint)
        ) as answers:
            async for answer in answers:
                if answer.fault is not None and answer.fault.reason in _GONE:
                    await self.close()
                yield answer

    async def load(self, seconds: float) -> tuple[int, int] | None:
        """Calls in flight and expected latency (µs) as the node says; None where it does not."""
        if self._stub is None:
            return None
        request = solver_service_pb2.ReportLoadRequest()
        try:
            answer = await self._stub.ReportLoad(request, timeout=seconds)
        except grpc.aio.AioRpcError:
            return None
        return answer.in_flight, answer.latency_us

    async def close(self) -> None:
        """Hang up, and end the process if it was started here."""
        self._stub = self._solve = None
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        if self._process is not None:
            process, self._process = self._process, None
            await end_child(process, STOP_SECONDS)
        if self._output is not None:
            self._output.cancel()
            self._output = None

    async def _start(self) -> str:
        command = [sys.executable, "-m", "walras.cli.main", "solver", "serve", self.spec.plugin]
        command += ["--listen", "127.0.0.1:0", "--name", self.name, "--json", "--with-parent"]
        command += ["--slots", str(self.spec.slots)]
        if self.spec.key_file is not None:
            command += ["--key", str(self.spec.key_file)]
        try:
            # It fails where the engine has no file descriptor or process left.
            process = self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
            address = str(json.loads(line)["address"])
            address.encode("ascii")  # nothing else can be dialled
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            await self.close()
            raise SolverFault(
                Reason.NODE_CRASHED,
                f"{self.name} ({self.spec.plugin}) did not start",
                hint=f"try it by itself: walras solver serve {self.spec.plugin}",
                node=self.name,
            ) from error
        # What a solver prints would fill the pipe and hang it.
        self._output = asyncio.create_task(_discard(process.stdout))
        return address


async def _discard(output: asyncio.StreamReader) -> None:
    while await output.read(1 << 16):
        pass


async def end_child(process: asyncio.subprocess.Process, seconds: float) -> None:
    """End a child that runs --with-parent by ending its input; kill it after `seconds`."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _info(spec: NodeSpec, key: bytes, answer: solver_service_pb2.DescribeResponse) -> NodeInfo:
    """What a node says of itself, bounded; the operator's word goes before the node's."""
    return node_from_wire(
        record_pb2.FleetNode(
            name=spec.name,
            public_key=key,
            group=spec.group,
            region=spec.region or answer.region,
            # More slots are more work: a node's own word may only lower what its operator gives it.
            slots=min(max(answer.slots, 1), spec.slots),
            chains=answer.chains,
            venue_kinds=answer.venue_kinds,
            max_intents=answer.max_intents,
            max_venues=answer.max_venues,
        )
    )


def _field(answer: object, name: str) -> bytes:
    # gRPC hands over None in place of bytes that are no message.
    return getattr(answer, name, b"")
