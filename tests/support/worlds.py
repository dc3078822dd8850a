"""A running engine behind real gRPC, and what tests ask of it."""

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.market import DOMAIN, deposit, market_update
from walras.api.v1 import auction_service_pb2_grpc as auctions_grpc
from walras.api.v1 import intent_service_pb2 as intents_pb
from walras.api.v1 import intent_service_pb2_grpc as intents_grpc
from walras.api.v1 import ledger_service_pb2 as ledger_pb
from walras.api.v1 import ledger_service_pb2_grpc as ledger_grpc
from walras.api.v1 import log_service_pb2_grpc as log_grpc
from walras.api.v1 import market_service_pb2 as market_pb
from walras.api.v1 import market_service_pb2_grpc as market_grpc
from walras.app.config import Config, read_config
from walras.app.engine import Engine, run_engine, wall_clock
from walras.app.report import AuctionReport
from walras.audit.keys import Signer
from walras.audit.note import NoteKey, parse_vkey
from walras.core.intents import Intent
from walras.fleet.nodes import Node
from walras.ledger.changes import Changes
from walras.ledger.state import State
from walras.market.kinds import AnyVenue
from walras.rpc.server import start
from walras.sdk.signing import sign_record

PATIENCE = 60.0
"""Seconds. Nobody waits so long but where it fails: machines that run tests are busy ones."""


@dataclass(slots=True)
class Clock:
    """The wall clock, put forward by hand."""

    offset_ms: int = 0

    def __call__(self) -> int:
        return wall_clock() + self.offset_ms


@dataclass(slots=True)
class World:
    """An engine, its address, and a client channel with a stub for each service."""

    engine: Engine
    address: str
    channel: grpc.aio.Channel
    clock: Clock
    intents: Any = field(init=False)
    auctions: Any = field(init=False)
    market: Any = field(init=False)
    ledger: Any = field(init=False)
    log: Any = field(init=False)

    def __post_init__(self) -> None:
        self.intents = intents_grpc.IntentServiceStub(self.channel)
        self.auctions = auctions_grpc.AuctionServiceStub(self.channel)
        self.market = market_grpc.MarketServiceStub(self.channel)
        self.ledger = ledger_grpc.LedgerServiceStub(self.channel)
        self.log = log_grpc.LogServiceStub(self.channel)

    @property
    def operator(self) -> Signer:
        """Who may deposit and put venues."""
        assert self.engine.operator is not None
        return self.engine.operator

    @property
    def key(self) -> NoteKey:
        """The log's verifier key."""
        return parse_vkey(self.engine.verifier_key)

    @property
    def state(self) -> State:
        """The engine's."""
        return self.engine.sequencer.state

    async def open_market(self, venues: Iterable[AnyVenue] = ()) -> market_pb.PutVenuesResponse:
        """List the tiny market."""
        record = market_update(self.operator.public_key, venues)
        return await self.market.PutVenues(
            market_pb.PutVenuesRequest(
                request_id=fresh(), envelope=sign_record(record, self.operator)
            )
        )

    async def fund(self, owner: bytes, asset: str, amount: int) -> ledger_pb.DepositResponse:
        """Deposit for `owner`."""
        record = deposit(self.operator.public_key, owner, asset, amount)
        return await self.ledger.Deposit(
            ledger_pb.DepositRequest(
                request_id=fresh(), envelope=sign_record(record, self.operator)
            )
        )

    async def submit(self, intent: Intent, owner: Signer) -> bytes:
        """Sign and submit; returns the intent's id."""
        envelope = sign_record(intent, owner)
        request = intents_pb.SubmitIntentRequest(request_id=fresh(), envelope=envelope)
        answer = await self.intents.SubmitIntent(request)
        found: bytes = answer.intent_id
        return found

    async def auction(self) -> AuctionReport:
        """Run one batch."""
        report = await self.engine.auctioneer.settle(await self.engine.auctioneer.open())
        assert report is not None, "there was nothing to decide"
        return report

    async def nodes_here(self, *away: str) -> None:
        """Wait until every node is connected, or, of those `away`, known not to be reached."""
        fleet = self.engine.fleet

        def there(node: Node) -> bool:
            return node.name in fleet.faults() if node.name in away else node.connected

        await until(lambda: all(there(node) for node in fleet.nodes))

    def snapshot(self) -> tuple[int, bytes, State]:
        """The log and the state, to compare with later ones."""
        state = copy.deepcopy(self.state)
        assert state.changes == Changes(), "a command that was refused left changes behind"
        return self.engine.sequencer.tree.size, self.engine.sequencer.tree.root(), state


@asynccontextmanager
async def running(folder: Path, clock: Clock | None = None, **flags: Any) -> AsyncIterator[World]:
    """A world on `folder`; flags as in the configuration."""
    settings: dict[str, Any] = {
        "domain": DOMAIN,
        "interval_ms": 10,
        "solve_ms": 1_000,
        "solvers": [],
    }
    config: Config = read_config(None, data=folder, **{**settings, **flags})
    ticking = clock or Clock()
    async with run_engine(config, ticking) as engine:
        server, address = await start(engine, "127.0.0.1:0")
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                yield World(engine, address, channel, ticking)
        finally:
            await server.stop(0)


def fresh() -> str:
    """A request id."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Refused:
    """How a call failed: the gRPC code, ErrorInfo's reason and metadata, and whether to retry."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    retry: bool
    message: str


async def refusal(call: Awaitable[Any]) -> Refused:
    """How `call` fails; it must."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    status = rpc_status.from_call(error)
    assert status is not None, f"no google.rpc.Status in {error!r}"
    info = error_details_pb2.ErrorInfo()
    retry = False
    for detail in status.details:
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = True
        else:
            assert detail.Unpack(info)
    assert info.domain == "walras"
    message = error.details() or ""
    return Refused(error.code(), info.reason, dict(info.metadata), retry, message)


async def first(stream: Any) -> Any:
    """The first answer of a stream, so that a refused one raises."""
    async for answer in stream:
        return answer
    raise AssertionError("the stream ended without an answer")


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for what nothing tells of."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the engine's parts have no event for it
            await asyncio.sleep(0.002)


async def soon(call: Awaitable[Any], seconds: float = PATIENCE) -> Any:
    """`call`, or a failure within `seconds`."""
    async with asyncio.timeout(seconds):
        return await call
