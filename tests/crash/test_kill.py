"""An engine in a process of its own is killed again and again while clients hand in intents.

Whatever was acknowledged is in the log of the last run, at the place and under the checkpoint that
its receipt says; the log is audited clean; a request asked again is answered as it was.
"""

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.audit import pool_solver
from support.audit.log_copy import LogCopy, read_leaf
from support.audit.pool_solver import PoolSolver
from support.audit.scenario import (
    DOMAIN,
    PRICES,
    VENUES,
    WHOLE,
    U,
    W,
    copy_log,
    order,
    signer,
)

from walras.api.v1 import intent_service_pb2 as ipb
from walras.api.v1 import intent_service_pb2_grpc as igrpc
from walras.api.v1 import ledger_service_pb2 as lpb
from walras.api.v1 import ledger_service_pb2_grpc as lgrpc
from walras.app.config import read_config
from walras.app.engine import run_engine
from walras.audit.keys import Signer
from walras.audit.note import parse_vkey
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.protocol.records import (
    Cancel,
    Credit,
    Deposit,
    MarketUpdate,
    Settled,
    Voided,
    Withdrawal,
)
from walras.sdk.client import Client
from walras.sdk.keys import read_or_write_key
from walras.sdk.node import Node, start
from walras.sdk.signing import sign_record, verify_receipt
from walras.sdk.status import to_error

KILLS = 12
KILLED_AT_START = 3
"""Of these kills come before the engine serves."""
START_SECONDS = 120.0
LONGEST_RUN = 0.8
"""Seconds from the first answer to the kill, at most."""


@dataclass
class EngineProcess:
    """`walras serve`, on one folder and one port."""

    folder: Path
    solvers: str
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: Process | None = None

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'domain = "{DOMAIN}"\ndata = "{self.folder / "data"}"\nlisten = "{self.address}"\n'
            f'interval_ms = 60\nsolve_ms = 400\nlog_level = "error"\n{self.solvers}'
        )

    @property
    def config(self) -> Path:
        return self.folder / "walras.toml"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def spawn(self) -> Process:
        paths = [str(Path(pool_solver.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "walras.cli.main", "serve", "--config", str(self.config)),
            "--json",
            env={**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=PIPE,
        )
        return self.process

    async def start(self) -> dict[str, Any]:
        """Spawn it and wait until it serves; what it says of itself."""
        process = await self.spawn()
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
        assert line, f"the engine ended with {await process.wait()}"
        return json.loads(line)  # type: ignore[no-any-return]  # an object, as serve prints it

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        assert await self.process.wait() == -signal.SIGKILL
        self.process = None

    async def close(self) -> None:
        if self.process is not None:
            await self.kill()


@asynccontextmanager
async def engine_process(
    folder: Path, solvers: str, **environment: str
) -> AsyncIterator[EngineProcess]:
    engine = EngineProcess(folder, solvers, environment)
    try:
        yield engine
    finally:
        await engine.close()


METHODS: dict[str, Callable[[grpc.aio.Channel], Any]] = {
    "submit": lambda channel: igrpc.IntentServiceStub(channel).SubmitIntent,
    "cancel": lambda channel: igrpc.IntentServiceStub(channel).CancelIntent,
    "withdraw": lambda channel: lgrpc.LedgerServiceStub(channel).Withdraw,
}


@dataclass
class Acknowledged:
    """A request, its answer, and the record that was acknowledged."""

    method: str
    request: Any
    answer: Any

    async def again(self, channel: grpc.aio.Channel, **changes: str) -> Any:
        request = type(self.request)()
        request.CopyFrom(self.request)
        for name, value in changes.items():
            setattr(request, name, value)
        return await METHODS[self.method](channel)(request, timeout=60)


@dataclass
class Customer:
    """Hands in one record after another; what is not answered it asks again, with the same id."""

    address: str
    signer: Signer
    kept: list[Acknowledged] = field(default_factory=list)
    asked_again: int = 0

    async def live(self, stop: asyncio.Event) -> None:
        async with channel_to(self.address) as channel:
            for number in itertools.count():
                if stop.is_set():
                    return
                await self._act(channel, number)
                await asyncio.sleep(0.01)

    async def _act(self, channel: grpc.aio.Channel, number: int) -> None:
        key = self.signer.public_key
        name = f"{key.hex()[:8]}-{number}"
        # Every tenth asks for more than there is to be had, and is taken back.
        dear = number % 10 == 0
        limit = 9_000_000 if dear else 2_900_000
        intent = replace(order("alice", number, {W: -1}, WHOLE // 1_000, U, limit), owner=key)
        answer = await self._keep(
            channel,
            "submit",
            ipb.SubmitIntentRequest(request_id=name, envelope=sign_record(intent, self.signer)),
        )
        if dear:
            cancel = sign_record(Cancel(DOMAIN, key, answer.intent_id), self.signer)
            await self._keep(
                channel, "cancel", ipb.CancelIntentRequest(request_id=name, envelope=cancel)
            )
        if number % 25 == 0:
            record = Withdrawal(DOMAIN, key, (1 << 40) + number, W, 1, 1 << 60)
            taken = sign_record(record, self.signer)
            await self._keep(
                channel, "withdraw", lpb.WithdrawRequest(request_id=name, envelope=taken)
            )

    async def _keep(self, channel: grpc.aio.Channel, method: str, request: Any) -> Any:
        call = METHODS[method](channel)
        while True:
            try:
                answer = await call(request, timeout=60)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                self.asked_again += 1
                await asyncio.sleep(0.02)
            else:
                self.kept.append(Acknowledged(method, request, answer))
                return answer


def channel_to(address: str) -> grpc.aio.Channel:
    options = [("grpc.max_reconnect_backoff_ms", 100), ("grpc.initial_reconnect_backoff_ms", 50)]
    return grpc.aio.insecure_channel(address, options=options)


async def fund(client: Client, operator: Signer, owners: list[bytes]) -> None:
    """A market of one pool, and W for everybody."""
    key = operator.public_key
    venues = tuple(venue for venue in VENUES if venue.id == "wu")
    assets = (Asset(W, "W", 18), Asset(U, "U", 6))
    prices = {asset: PRICES[asset] for asset in (W, U)}
    update = MarketUpdate(DOMAIN, key, 1, assets, venues, (), prices)
    await client.put_venues(sign_record(update, operator))
    handed_in = tuple(Credit(owner, W, 1_000 * WHOLE) for owner in owners)
    await client.deposit(sign_record(Deposit(DOMAIN, key, 2, handed_in), operator))


async def kill_again_and_again(engine: EngineProcess, rng: random.Random) -> None:
    """Start and kill; the last start stays."""
    early = set(rng.sample(range(1, KILLS), KILLED_AT_START))
    for number in range(KILLS):
        if number in early:
            await engine.spawn()
            await asyncio.sleep(rng.uniform(0.3, 1.5))
        else:
            if number:
                await engine.start()
            await asyncio.sleep(rng.uniform(0.05, LONGEST_RUN))
        await engine.kill()
    await engine.start()


@asynccontextmanager
async def pool_node() -> AsyncIterator[str]:
    """A node that outlives the engines; its address."""
    server, address = await start(Node(PoolSolver(), signer("first")), "127.0.0.1:0")
    try:
        yield address
    finally:
        await server.stop(None)


@pytest.mark.timeout(600)
async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(pool_node())
        solvers = f'[[solvers]]\nname = "pool"\naddress = "{node}"\n'
        engine = await stack.enter_async_context(engine_process(tmp_path, solvers))
        ready = await engine.start()
        customers = [Customer(engine.address, signer(f"customer {n}")) for n in range(4)]
        async with Client(engine.address) as client:
            operator = read_or_write_key(tmp_path / "data" / "operator.key")
            await fund(client, operator, [c.signer.public_key for c in customers])
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for customer in customers:
                group.create_task(customer.live(stop))
            await kill_again_and_again(engine, random.Random(20))
            await asyncio.sleep(0.5)
            stop.set()
        kept = [one for customer in customers for one in customer.kept]
        assert sum(customer.asked_again for customer in customers) > KILLS
        await check_answers(engine.address, kept)
        async with Client(engine.address) as client:
            log = await copy_log(client)
    check_log(log, ready["verifier_key"], kept)


async def check_answers(address: str, kept: list[Acknowledged]) -> None:
    """Asked again, all is answered as it was; asked anew, a nonce is not to be had twice."""
    async with channel_to(address) as channel:
        for one in kept[::7] + [last for last in kept if last.method != "submit"]:
            assert await one.again(channel) == one.answer
        for one in kept[::31]:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await one.again(channel, request_id="anew")
            # A batch that was sealed before may still hold what was cancelled.
            gone = {Reason.INTENT_UNKNOWN, Reason.INTENT_CLOSED}
            wanted = gone if one.method == "cancel" else {Reason.NONCE_USED}
            assert to_error(refusal.value, address).reason in wanted


def check_log(log: LogCopy, verifier_key: str, kept: list[Acknowledged]) -> None:
    key = parse_vkey(verifier_key)
    for one in kept:
        receipt = one.answer.receipt
        leaf = one.request.envelope
        assert log.leaves[receipt.inclusion.leaf_index] == leaf
        verify_receipt(leaf, receipt, key)
    counts = log.audit(key, earlier={one.answer.receipt.checkpoint for one in kept})
    submitted = [one for one in kept if one.method == "submit"]
    others = Counter(one.method for one in kept if one.method != "submit")
    assert counts.records["intent"] == len(submitted) == len(set(log_intents(log)))
    assert counts.records["cancel"] == counts.intents["cancelled"] == others["cancel"] > 10
    assert counts.records["withdrawal"] == others["withdraw"] > 4
    # The kills came while something was going on.
    assert counts.auctions > KILLS
    assert counts.fills > 100
    records = [read_leaf(leaf) for leaf in log.leaves]
    voided = [record for record in records if isinstance(record, Voided)]
    assert {record.reason for record in voided} == {Reason.BATCH_INTERRUPTED.value}
    assert KILLS // 3 < len(voided) <= KILLS
    settled = [record.bundle_digest for record in records if isinstance(record, Settled)]
    assert len(set(settled)) == len(settled) == counts.auctions


def log_intents(log: LogCopy) -> list[bytes]:
    return [leaf for leaf in log.leaves if isinstance(read_leaf(leaf), Intent)]


# solver nodes that the engine started


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def wait_for(condition: Callable[[], object], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another process, which wakes nobody
            await asyncio.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
async def test_solver_processes_end_with_a_killed_engine(tmp_path: Path) -> None:
    """One node idles; the other is in the middle of a problem and heeds no deadline."""
    mark = tmp_path / "busy"
    solvers = "".join(
        f'[[solvers]]\nname = "{name.lower()}"\nplugin = "support.audit.pool_solver:{name}"\n'
        for name in ("PoolSolver", "Stubborn")
    )
    async with engine_process(tmp_path, solvers, **{pool_solver.MARK: str(mark)}) as engine:
        await engine.start()
        async with Client(engine.address) as client:
            owner = signer("alice")
            operator = read_or_write_key(tmp_path / "data" / "operator.key")
            await fund(client, operator, [owner.public_key])
            sale = order("alice", 1, {W: -1}, WHOLE, U, 9 * 10**9)
            await client.submit(sign_record(sale, owner))
        await wait_for(mark.exists, START_SECONDS)
        assert engine.process is not None
        nodes = children(engine.process.pid)
        assert len(nodes) == 2
        assert all(map(alive, nodes))
        await engine.kill()
        await wait_for(lambda: not any(map(alive, nodes)), 10)


async def test_a_second_engine_is_kept_from_the_folder(tmp_path: Path) -> None:
    """Two writers would fork the log; a killed engine leaves no lock behind."""
    async with engine_process(tmp_path, "solvers = []\n") as first:
        await first.start()
        config = read_config(first.config)
        with pytest.raises(InvalidInput) as refusal:
            async with run_engine(config):
                pass
        assert refusal.value.reason is Reason.CONFIG_INVALID
        await first.kill()
        async with run_engine(config) as engine:
            assert engine.sequencer.state.domain == DOMAIN
