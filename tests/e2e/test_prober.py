"""The prober against real nodes over gRPC: honest ones, stopped ones, liars, and nobody."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from support.market import DOMAIN
from support.nodes import SERVICE, serving
from support.probes import LOG, NODES, note, seed
from support.solvers import Crosser
from support.worlds import soon, until

from walras.api.v1 import solver_service_pb2 as pb
from walras.api.v1 import solver_service_pb2_grpc
from walras.audit import probes
from walras.audit.keys import Signer
from walras.audit.probes import check_observations, open_challenge
from walras.balance.events import Probed
from walras.balance.rules import FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.core.errors import InvalidInput, Reason
from walras.fleet import prober as probing
from walras.fleet.nodes import end_child
from walras.fleet.prober import Prober
from walras.protocol.probes import Observations, decode_observation_list
from walras.sdk.node import Node

A, B, C = NODES
INTERVAL_MS, TIMEOUT_MS = 400, 150
WALL: Callable[[], int] = lambda: time.time_ns() // 1_000_000  # noqa: E731 - a clock


class Watcher:
    """A prober with the log's side of it: checks every report as an engine does."""

    def __init__(self, targets: dict[bytes, str], name: str = "prober", **rules: Any) -> None:
        key = Signer.from_seed(seed(name)).public_key
        settings = {
            "probers": (key,),
            "probe_interval_ms": INTERVAL_MS,
            "probe_timeout_ms": TIMEOUT_MS,
        }
        self.rules = FleetRules(**{**settings, **rules})
        self.targets = targets
        self.epochs: list[int] = []
        self.reports: list[dict[bytes, Probed]] = []
        self.reported_ms: list[int] = []
        self.sent: list[bytes] = []
        self.listener: Callable[[Probed], None] = lambda _: None
        self.fails = False
        self.prober = Prober(
            seed(name),
            DOMAIN,
            rules=lambda: self.rules,
            targets=lambda: self.targets,
            checkpoint=lambda: (9, LOG.root()),
            report=self._take,
        )

    async def _take(self, record: Observations, leaf: bytes, body: bytes) -> None:
        if self.fails:
            self.fails = False
            raise InvalidInput(Reason.OBSERVATION_STALE, "so it goes")
        nodes = {key: NodeInfo(key.hex(), key) for key in self.targets}
        events, _ = check_observations(
            record, body, domain=DOMAIN, rules=self.rules, nodes=nodes, root_at=LOG.root
        )
        for event in events:
            self.listener(event)
        self.sent += [each.challenge for each in decode_observation_list(body)]
        self.epochs.append(record.epoch)
        self.reported_ms.append(WALL())
        self.reports.append({event.node: event for event in events})

    async def next(self, count: int = 1) -> dict[bytes, Probed]:
        """The report after so many more."""
        wanted = len(self.reports) + count
        await until(lambda: len(self.reports) >= wanted)
        return self.reports[wanted - 1]


@asynccontextmanager
async def watching(targets: dict[bytes, str], **rules: Any) -> AsyncIterator[Watcher]:
    watcher = Watcher(targets, **rules)
    async with probing_by(watcher):
        yield watcher


@asynccontextmanager
async def probing_by(*watchers: Watcher) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(watcher.prober.serve()) for watcher in watchers]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def raw_probe(answer: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[str]:
    """A server whose Probe answers with whatever bytes `answer` gives for the request's."""

    async def on_probe(request: bytes, context: object) -> bytes:
        return await answer(request)

    handlers = {"Probe": grpc.unary_unary_rpc_method_handler(on_probe)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_real_nodes_answer() -> None:
    node = Node(Crosser(), A)
    node.checkpoint = note(4)
    async with (
        serving(node) as a,
        serving(Node(Crosser(), B)) as b,
        watching({A.public_key: a, B.public_key: b}) as watcher,
    ):
        await watcher.next(3)
    assert watcher.epochs == list(range(watcher.epochs[0], watcher.epochs[0] + 3))
    for epoch, report, at_ms in zip(
        watcher.epochs, watcher.reports, watcher.reported_ms, strict=True
    ):
        assert report.keys() == {A.public_key, B.public_key}
        assert all(1 <= (event.rtt_us or 0) < TIMEOUT_MS * 1_000 for event in report.values())
        # Complete before the epoch is over, give or take what the machine is busy with.
        assert epoch * INTERVAL_MS <= at_ms <= (epoch + 1) * INTERVAL_MS + 100
    nonces = [open_challenge(sent).nonce for sent in watcher.sent]
    assert len(set(nonces)) == len(nonces) == 6
    assert watcher.prober.missed == 0


class Proxy:
    """Forwards connections to an address. It may let one wait before it is made, or freeze those
    that are there: nothing gets through any more, and nobody is told.
    """

    def __init__(self, address: str) -> None:
        self.host, _, self.port = address.rpartition(":")
        self.seconds = 0.0
        self._frozen = asyncio.Event()
        self._joined: set[asyncio.Task[Any]] = set()

    def freeze(self) -> None:
        self._frozen.set()
        self._frozen = asyncio.Event()

    async def close(self) -> None:
        """No connection is left, nor a socket of one."""
        for task in self._joined:
            task.cancel()
        await asyncio.gather(*self._joined, return_exceptions=True)

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._joined.add(task)
        async with AsyncExitStack() as ends:
            ends.push_async_callback(_hang_up, writer)
            await asyncio.sleep(self.seconds)
            frozen = self._frozen
            there, to_there = await asyncio.open_connection(self.host, int(self.port))
            ends.push_async_callback(_hang_up, to_there)

            async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
                with suppress(ConnectionError):
                    while data := await source.read(1 << 16):
                        if not frozen.is_set():
                            to.write(data)
                            await to.drain()
                to.close()

            await asyncio.gather(copy(reader, to_there), copy(there, writer))


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def proxy(address: str, seconds: float = 0.0) -> AsyncIterator[tuple[str, Proxy]]:
    """The proxy's address, and itself."""
    found = Proxy(address)
    found.seconds = seconds
    server = await asyncio.start_server(found.join, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", found
    finally:
        server.close()
        await found.close()


async def test_the_time_of_a_handshake_is_no_round_trip() -> None:
    """Three nodes, so that one at least is not due just when its epoch begins."""
    async with AsyncExitStack() as stack:
        targets = {}
        for node in NODES:
            address = await stack.enter_async_context(serving(Node(Crosser(), node)))
            slow, _ = await stack.enter_async_context(proxy(address, 0.06))
            targets[node.public_key] = slow
        watcher = await stack.enter_async_context(watching(targets))
        first = await watcher.next()
    assert 0 < min(event.rtt_us or 0 for event in first.values()) < 50_000


async def test_a_connection_that_went_dead_is_replaced() -> None:
    """As after a partition: TCP itself would try for a quarter of an hour."""
    async with (
        serving(Node(Crosser(), A)) as address,
        proxy(address) as (way, partition),
        watching({A.public_key: way}) as watcher,
    ):
        assert (await watcher.next())[A.public_key].rtt_us is not None
        partition.freeze()
        assert (await watcher.next())[A.public_key].rtt_us is None
        assert (await watcher.next())[A.public_key].rtt_us is not None


async def test_an_echo_that_comes_just_too_late_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC's timer and the clock that measures are two: one must not refuse what the other took."""
    slow = count(0, TIMEOUT_MS * 1_000_000 + 1_000)
    monkeypatch.setattr(probing, "time", SimpleNamespace(monotonic_ns=lambda: next(slow)))
    async with serving(Node(Crosser(), A)) as address:
        watcher = Watcher({A.public_key: address})
        watcher.prober._clock = WALL
        async with probing_by(watcher):
            assert (await watcher.next())[A.public_key].rtt_us is None


@asynccontextmanager
async def node_process(folder: Path) -> AsyncIterator[tuple[bytes, str, int]]:
    """`walras solver serve` in a process of its own: key, address and process id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "walras.cli.main", "solver", "serve", "baseline"),
        *("--listen", "127.0.0.1:0", "--key", str(folder / "node.key"), "--json", "--with-parent"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await soon(process.stdout.readline(), 30))
        yield bytes.fromhex(ready["public_key"]), ready["address"], process.pid
    finally:
        await end_child(process, 3.0)


async def test_a_stopped_node_is_ejected_within_three_intervals_and_comes_back(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        key, address, pid = await stack.enter_async_context(node_process(tmp_path))
        fast = {"base_ejection_ms": 200, "interval_ms": 100}
        watcher = await stack.enter_async_context(watching({key: address}, **fast))
        standing = Standing(watcher.rules)
        standing.join(NodeInfo("node", key), WALL() - 60_000)
        ejected: list[int] = []

        def apply(event: Probed) -> None:
            if standing.apply(event):
                ejected.append(WALL())

        watcher.listener = apply
        assert (await watcher.next())[key].rtt_us is not None
        os.kill(pid, signal.SIGSTOP)
        stopped = WALL()
        try:
            await until(lambda: ejected)
            assert ejected[0] - stopped <= 3 * INTERVAL_MS + 100  # for a busy machine
            assert standing.status(key, WALL()).state == "ejected"
            silent = watcher.reports[-1][key]
            assert silent.rtt_us is None
            assert watcher.reported_ms[-1] - silent.at_ms < TIMEOUT_MS + 100
            await watcher.next()
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: watcher.reports[-1][key].rtt_us is not None)
        await until(
            lambda: not standing.tick(WALL()) and standing.status(key, WALL()).state != "ejected",
            10,
        )


async def test_nobody_there_and_then_somebody() -> None:
    async with serving(Node(Crosser(), A)) as address:
        pass
    async with watching({A.public_key: address}) as watcher:
        assert (await watcher.next())[A.public_key].rtt_us is None
        async with serving(Node(Crosser(), A), address):
            await until(lambda: watcher.reports[-1][A.public_key].rtt_us is not None)
        await until(lambda: watcher.reports[-1][A.public_key].rtt_us is None)


async def test_nodes_come_go_and_move() -> None:
    async with (
        serving(Node(Crosser(), A)) as first,
        serving(Node(Crosser(), A)) as second,
        watching({}) as watcher,
    ):
        await asyncio.sleep(2 * INTERVAL_MS / 1_000)
        assert not watcher.reports  # nothing seen, nothing said
        watcher.targets = {A.public_key: first}
        assert (await watcher.next())[A.public_key].rtt_us is not None
        watcher.targets = {A.public_key: second}
        assert (await watcher.next(2))[A.public_key].rtt_us is not None
        assert next(iter(watcher.prober._channels.values()))[0] == second
        watcher.targets = {}
        await until(lambda: not watcher.prober._channels)


async def garbage(request: bytes) -> bytes:
    return b"\xff\xff\xff"


async def empty(request: bytes) -> bytes:
    return b""


async def flood(request: bytes) -> bytes:
    return pb.ProbeResponse(echo=bytes(1 << 20)).SerializeToString()


async def parrot(request: bytes) -> bytes:
    return pb.ProbeResponse(echo=pb.ProbeRequest.FromString(request).challenge).SerializeToString()


async def late(request: bytes) -> bytes:
    await asyncio.sleep(2 * TIMEOUT_MS / 1_000)
    return b""


async def test_what_is_no_echo_costs_only_who_sent_it() -> None:
    liars = [Signer.from_seed(seed(f"liar {number}")).public_key for number in range(5)]
    async with AsyncExitStack() as stack:
        targets = {B.public_key: await stack.enter_async_context(serving(Node(Crosser(), B)))}
        for liar, answer in zip(liars, (garbage, empty, flood, parrot, late), strict=True):
            targets[liar] = await stack.enter_async_context(raw_probe(answer))
        watcher = await stack.enter_async_context(watching(targets))
        for _ in range(2):
            report = await watcher.next()
            assert report[B.public_key].rtt_us is not None
            assert [report[liar].rtt_us for liar in liars] == [None] * 5


async def test_another_nodes_key_is_no_echo() -> None:
    """A node cannot be passed off as another: the challenge names who is to answer."""
    async with (
        serving(Node(Crosser(), B)) as address,
        watching({A.public_key: address}) as watcher,
    ):
        assert (await watcher.next())[A.public_key].rtt_us is None


async def test_a_node_that_was_handed_another_log_is_alive_all_the_same() -> None:
    node = Node(Crosser(), A)
    node.checkpoint = note(4).replace(note(4).split(b"\n")[2], note(5).split(b"\n")[2])
    async with (
        serving(node) as a,
        serving(Node(Crosser(), B)) as b,
        watching({A.public_key: a, B.public_key: b}) as watcher,
    ):
        report = await watcher.next()
    assert report[A.public_key].rtt_us is not None
    assert report[B.public_key].rtt_us is not None


async def test_a_report_that_fails_is_lost_and_no_more() -> None:
    async with serving(Node(Crosser(), A)) as address:
        watcher = Watcher({A.public_key: address})
        watcher.fails = True
        async with probing_by(watcher):
            await watcher.next(2)
    assert not watcher.fails


async def test_three_probers_one_median() -> None:
    """Each probes at times of its own; the median of their round trips is the claim."""
    names = ("one", "two", "three")
    keys = tuple(sorted(Signer.from_seed(seed(name)).public_key for name in names))
    async with serving(Node(Crosser(), A)) as address:
        watchers = [
            Watcher({A.public_key: address}, name, probers=keys, quorum=3) for name in names
        ]
        standing = Standing(watchers[0].rules)
        standing.join(NodeInfo("node", A.public_key), WALL() - 60_000)
        for watcher in watchers:
            watcher.listener = standing.apply
        async with probing_by(*watchers):
            await until(lambda: all(watcher.reports for watcher in watchers))
            await until(lambda: standing.status(A.public_key, WALL()).probers == 3)
        least = sorted(
            min(report[A.public_key].rtt_us or 0 for report in watcher.reports[-4:])
            for watcher in watchers
        )
        assert standing.status(A.public_key, WALL()).rtt_us == least[1] > 0
        times = {watcher.reports[0][A.public_key].at_ms for watcher in watchers}
        assert len(times) == 3


async def test_more_nodes_than_a_list_holds_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "MAX_OBSERVATIONS", 2)
    monkeypatch.setattr(probes, "MAX_OBSERVATIONS", 2)
    addresses = [raw_probe(empty) for _ in range(3)]
    async with addresses[0] as a, addresses[1] as b, addresses[2] as c:
        targets = dict(zip((n.public_key for n in NODES), (a, b, c), strict=True))
        async with watching(targets) as watcher:
            await watcher.next(3)
    assert [len(report) for report in watcher.reports] == [2, 2, 2]
    probed = [key for report in watcher.reports for key in report]
    assert sorted(probed) == sorted([*targets, *targets])


async def test_who_wakes_too_late_says_nothing() -> None:
    async with serving(Node(Crosser(), A)) as address:
        watcher = Watcher({A.public_key: address})
        late_ms = [0]
        watcher.prober._clock = lambda: WALL() + late_ms[0]
        plain = watcher.prober._sleep_until

        async def oversleep(at_ms: int, rules: FleetRules) -> bool:
            in_time = await plain(at_ms, rules)
            late_ms[0] = probes.MAX_LATE_MS + 1 if at_ms % INTERVAL_MS else 0
            return in_time

        watcher.prober._sleep_until = oversleep  # type: ignore[method-assign]  # the fault
        async with probing_by(watcher):
            await until(lambda: watcher.prober.missed >= 1)
        assert not watcher.reports


async def test_hostile_challenges_are_refused_by_a_node() -> None:
    async with (
        serving(Node(Crosser(), A)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = solver_service_pb2_grpc.SolverServiceStub(channel)
        for challenge in (b"", b"\xff" * 100, bytes(1 << 16)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Probe(pb.ProbeRequest(challenge=challenge), timeout=5)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
