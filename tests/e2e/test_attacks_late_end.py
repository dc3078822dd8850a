"""Calls that end late hang up on no connection but their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from support.market import signer
from support.nodes import SERVICE, asked
from support.worlds import PATIENCE, soon, until

from walras.api.v1 import solver_service_pb2 as pb
from walras.core.errors import Reason
from walras.fleet import registry
from walras.fleet.nodes import Node, NodeSpec
from walras.fleet.registry import Fleet
from walras.fleet.sending import Outgoing

KEY = signer("stranger").public_key


@asynccontextmanager
async def half_dead() -> AsyncIterator[str]:
    """Describes itself slowly; every other call fails at once, the others hang."""
    calls = 0

    async def describe(request: bytes, context: object) -> bytes:
        await asyncio.sleep(0.2)
        return pb.DescribeResponse(name="x", version="1", public_key=KEY).SerializeToString()

    async def solve(requests: object, context: Any) -> AsyncIterator[bytes]:
        nonlocal calls
        calls += 1
        if calls % 2:
            await asyncio.sleep(0.05)  # the other one is there by then
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        await asyncio.sleep(30)
        yield b""

    handlers = {
        "Describe": grpc.unary_unary_rpc_method_handler(describe),
        "Solve": grpc.stream_stream_rpc_method_handler(solve),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def fault_of(node: Node) -> Reason:
    """How one call of it ends."""
    (end,) = [answer async for answer in asked(node, [Outgoing(b"problem", {})], seconds=5)]
    assert end.fault is not None
    return end.fault.reason


async def test_a_call_that_ends_late_does_not_end_the_dialling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The keeper looks between the end of the one call and that of the other.
    monkeypatch.setattr(registry, "CHECK_SECONDS", 0.0)
    async with half_dead() as address:
        fleet = Fleet([NodeSpec("stranger", address=address)])
        serving = asyncio.create_task(fleet.serve())
        try:
            await fleet.settle_in(PATIENCE)
            node = fleet.find(KEY)
            assert node is not None
            reasons = await soon(asyncio.gather(fault_of(node), fault_of(node)))
            assert set(reasons) == {Reason.NODE_UNREACHABLE, Reason.NODE_CRASHED}
            await until(lambda: node.connected)
        finally:
            serving.cancel()
            await asyncio.wait([serving])
