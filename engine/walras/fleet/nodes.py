"""Solver nodes as the engine sees them: dial, describe, ask for bids.

A node that the engine starts itself and one that a stranger runs are dialled alike. Whatever a node
does wrong ends as a `SolverFault` that costs its own bids.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from walras.api.v1 import record_pb2, solver_service_pb2, solver_service_pb2_grpc
from walras.auction.batch import MAX_BID_BYTES
from walras.audit.keys import check_public_key
from walras.balance.rules import NodeInfo
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.asking import Allowance, Solve, fault_of
from walras.fleet.conversation import Conversation
from walras.fleet.sending import Holding, Outgoing
from walras.protocol.fleet import node_from_wire
from walras.sdk.held import MAX_MESSAGE_BYTES

log = structlog.get_logger()

DESCRIBE_SECONDS = 5.0
START_SECONDS = 180.0
STOP_SECONDS = 3.0
MAX_ANSWER_MESSAGE_BYTES = 16 << 20
OPTIONS = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Of one message, unpacked: a node's own word must not fill the engine's memory. The largest
    # that an honest one sends is a longest bid behind what makes a message full.
    ("grpc.max_receive_message_length", MAX_ANSWER_MESSAGE_BYTES),
]
SOLVE_METHOD = "/walras.api.v1.SolverService/Solve"


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
        held: the problems that it is known to hold.
        method: that it is asked by; None while it is not connected.
    """

    def __init__(self, spec: NodeSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.public_key = spec.public_key
        self.address = spec.address
        self.info = NodeInfo(spec.name, spec.public_key, spec.group, spec.region)
        self.held = Holding(0)
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None
        self._channel: grpc.aio.Channel | None = None
        self._stub: solver_service_pb2_grpc.SolverServiceAsyncStub | None = None
        self.method: Solve | None = None

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
        self.held = Holding(answer.held_problems)
        self._stub = stub
        self.method = self._channel.stream_stream(SOLVE_METHOD)

    def ask(
        self,
        problems: Sequence[Outgoing],
        *,
        end: float,
        last: float,
        max_bids: int,
        bid_bytes: int = MAX_BID_BYTES,
        allowance: Allowance | None = None,
        **sent: bytes,
    ) -> Conversation:
        """Ask for bids; to be closed in the end.

        Args:
            problems: at most `MAX_PARTS`; each sent as the difference to one that the node holds,
                if it holds one.
            end: of the time to bid, by `time.monotonic`.
            last: of the conversation, likewise.
            max_bids: for a problem; more are the node's fault.
            bid_bytes: of a bid, or of a commitment; likewise.
            allowance: what the node may still send for the batch.
            sent: `checkpoint`, the log's newest signed note, and `task`, a Task in its envelope.
        """
        return Conversation(
            self, problems, end, last, max_bids, bid_bytes, allowance or Allowance(), sent
        )

    async def load(self, seconds: float) -> tuple[int, int] | None:
        """Calls in flight and expected latency (µs) as the node says; None where it does not."""
        if self._stub is None:
            return None
        request = solver_service_pb2.ReportLoadRequest()
        try:
            answer = await self._stub.ReportLoad(request, timeout=seconds)
        except grpc.aio.AioRpcError:
            return None
        # gRPC hands over None in place of bytes that are no message.
        in_flight = getattr(answer, "in_flight", None)
        return None if in_flight is None else (in_flight, answer.latency_us)

    async def close(self) -> None:
        """Hang up, and end the process if it was started here."""
        self._stub = self.method = None
        # All at once: who dials while this waits has a channel and a process of its own.
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        output, self._output = self._output, None
        if channel is not None:
            await channel.close()
        if process is not None:
            await end_child(process, STOP_SECONDS)
        if output is not None:
            output.cancel()

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
