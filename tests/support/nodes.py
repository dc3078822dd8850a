"""Solver nodes on loopback, honest and otherwise."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import grpc

from walras.auction.batch import MAX_BID_BYTES
from walras.audit.keys import Signer
from walras.core.bids import Proposal
from walras.fleet.asking import Allowance, Answer
from walras.fleet.nodes import Node
from walras.fleet.sending import Outgoing
from walras.protocol.problem import Problem
from walras.sdk import node as sdk
from walras.sdk.solver import Solver

SERVICE = "walras.api.v1.SolverService"


@asynccontextmanager
async def serving(
    node: sdk.Node, listen: str = "127.0.0.1:0", *, grace: float = 0.0
) -> AsyncIterator[str]:
    """`node` behind gRPC; yields its address."""
    server, address = await sdk.start(node, listen)
    try:
        yield address
    finally:
        await server.stop(grace)


async def asked(
    node: Node,
    problems: Sequence[Outgoing],
    *,
    seconds: float = 30.0,
    max_bids: int = 100,
    bid_bytes: int = MAX_BID_BYTES,
    allowance: Allowance | None = None,
    checkpoint: bytes = b"",
) -> AsyncGenerator[Answer, None]:
    """What an engine's node answers, in the open; it is hung up on in the end."""
    end = time.monotonic() + seconds
    talk = node.ask(
        problems,
        end=end,
        last=end,
        max_bids=max_bids,
        bid_bytes=bid_bytes,
        allowance=allowance,
        checkpoint=checkpoint,
    )
    try:
        async with aclosing(talk.answers()) as answers:
            async for answer in answers:
                yield answer
    finally:
        await talk.close()


class Impostor(sdk.Node):
    """Shows one key and signs with another."""

    def __init__(self, solver: Solver, shown: Signer, used: Signer) -> None:
        super().__init__(solver, shown)
        self._used = used

    def _sign(self, problem: Problem, digest: bytes, proposal: Proposal) -> bytes:
        self._signer, shown = self._used, self._signer
        try:
            return super()._sign(problem, digest, proposal)
        finally:
            self._signer = shown


class Babbler(sdk.Node):
    """Sends bytes that are no envelope."""

    def _sign(self, problem: Problem, digest: bytes, proposal: Proposal) -> bytes:
        return b"\xff\x00 not an envelope"


@asynccontextmanager
async def raw_server(describe: bytes, answers: tuple[bytes, ...]) -> AsyncIterator[str]:
    """A server that answers with these very bytes, whether or not they are messages."""

    async def on_describe(request: bytes, context: object) -> bytes:
        return describe

    async def on_solve(requests: object, context: object) -> AsyncIterator[bytes]:
        for answer in answers:
            yield answer

    handlers = {
        "Describe": grpc.unary_unary_rpc_method_handler(on_describe),
        "Solve": grpc.stream_stream_rpc_method_handler(on_solve),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
