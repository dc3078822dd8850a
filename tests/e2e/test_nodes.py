"""The solver-node contract: whatever a node does costs its own bids, never the batch."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, sell, signer
from support.nodes import Babbler, Impostor, raw_server, serving
from support.solvers import Crosser, Flooding, Greedy, Hanging, Patient, Raising, RaisingLater
from support.worlds import PATIENCE, World, running, soon, until

from walras.api.v1 import solver_service_pb2 as pb
from walras.api.v1 import solver_service_pb2_grpc
from walras.app.report import AuctionReport, SolverReport
from walras.core.errors import Reason
from walras.protocol.trade import encode_intent, encode_problem
from walras.sdk.node import Node

ANN, BOB = signer("ann"), signer("bob")
HONEST, OTHER = signer("honest"), signer("other")
TESTS = Path(__file__).parent.parent


@asynccontextmanager
async def market(
    folder: Path, addresses: dict[str, str], plugins: dict[str, str] | None = None, **flags: Any
) -> AsyncIterator[World]:
    """An engine that asks these nodes, with one pair of intents that cross."""
    solvers = [{"name": name, "address": address} for name, address in addresses.items()]
    solvers += [{"name": name, "plugin": plugin} for name, plugin in (plugins or {}).items()]
    async with running(folder, solvers=solvers, **flags) as world:
        await world.open_market()
        await world.engine.fleet.settle_in(PATIENCE)
        await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
        await world.fund(BOB.public_key, USD, 200_000 * WHOLE_USD)
        yield world


async def batch(world: World) -> AuctionReport:
    """One more pair, and its auction."""
    await world.submit(sell(ANN.public_key), ANN)
    await world.submit(buy(BOB.public_key), BOB)
    return await soon(world.auction())


def of(report: AuctionReport, name: str) -> SolverReport:
    return next(solver for solver in report.solvers if solver.name == name)


def settled_by(report: AuctionReport, name: str) -> bool:
    return report.state == "settled" and report.filled == 2 and of(report, name).winners == 1


@asynccontextmanager
async def beside_honest(folder: Path, node: Node, **flags: Any) -> AsyncIterator[World]:
    """`node`, called guest, and an honest one."""
    async with (
        serving(node) as guest,
        serving(Node(Crosser(), HONEST)) as honest,
        market(folder, {"guest": guest, "honest": honest}, **flags) as world,
    ):
        yield world


async def test_honest_nodes(tmp_path: Path) -> None:
    async with beside_honest(tmp_path, Node(Crosser(), OTHER)) as world:
        report = await batch(world)
        assert (report.state, report.bids, report.rejected, report.winners) == ("settled", 2, 0, 1)
        assert report.filled == report.intents == 2
        assert report.score > 0
        assert not any(solver.fault for solver in report.solvers)
        assert world.state.balance(ANN.public_key, USD) == 2_000 * WHOLE_USD
        assert world.state.balance(BOB.public_key, ETH) == WHOLE_ETH
        # Either could have won: a reward is what the winner adds, which here is nothing.
        assert {solver.reward for solver in report.solvers} == {0}


async def test_hanging(tmp_path: Path) -> None:
    solver = Hanging()
    async with beside_honest(tmp_path, Node(solver, OTHER), solve_ms=300) as world:
        report = await batch(world)
        assert settled_by(report, "honest")
        assert of(report, "guest").fault.startswith("NODE_TIMEOUT")
        # It still hangs: a second problem waits for the slot in vain.
        report = await batch(world)
        assert settled_by(report, "honest")
        assert of(report, "guest").fault.startswith("NODE_TIMEOUT")
        solver.release.set()


async def test_patient_node_keeps_its_bid_and_its_place(tmp_path: Path) -> None:
    """Who thinks until the deadline is late with nothing: the bid counts, and it is soon free."""
    async with (
        serving(Node(Patient(), OTHER)) as address,
        market(tmp_path, {"guest": address}, solve_ms=300) as world,
    ):
        for _ in range(3):
            report = await batch(world)
            assert settled_by(report, "guest")
            assert not of(report, "guest").fault


async def test_late_bids_do_not_count(tmp_path: Path) -> None:
    class Late(Hanging):
        def solve(self, problem: Any, deadline: Any) -> Any:
            super().solve(problem, deadline)
            return Crosser().solve(problem, deadline)

    solver = Late()
    async with beside_honest(tmp_path, Node(solver, OTHER), solve_ms=300) as world:
        running_batch = asyncio.create_task(batch(world))
        await asyncio.to_thread(solver.started.wait, 10)
        await asyncio.sleep(0.4)
        solver.release.set()
        report = await running_batch
        assert settled_by(report, "honest")
        assert of(report, "guest").bids == 0
        assert of(report, "guest").fault.startswith("NODE_TIMEOUT")


async def test_raising(tmp_path: Path) -> None:
    async with beside_honest(tmp_path, Node(Raising(), OTHER)) as world:
        for _ in range(2):
            report = await batch(world)
            assert settled_by(report, "honest")
            assert of(report, "guest").fault.startswith("NODE_FAILED")


async def test_raising_after_a_bid(tmp_path: Path) -> None:
    async with (
        serving(Node(RaisingLater(), OTHER)) as address,
        market(tmp_path, {"guest": address}) as world,
    ):
        report = await batch(world)
        assert settled_by(report, "guest")  # what came before the fault counts
        assert of(report, "guest").fault.startswith("NODE_FAILED")


async def test_garbage_bid(tmp_path: Path) -> None:
    async with beside_honest(tmp_path, Babbler(Crosser(), OTHER)) as world:
        report = await batch(world)
        assert settled_by(report, "honest")
        guest = of(report, "guest")
        assert (guest.bids, guest.rejected, guest.winners) == (1, 1, 0)
        assert report.rejected == 1


async def test_signs_with_another_key(tmp_path: Path) -> None:
    for used in (signer("third"), HONEST):
        node = Impostor(Crosser(), shown=OTHER, used=used)
        async with beside_honest(tmp_path / used.public_key.hex()[:8], node) as world:
            report = await batch(world)
            assert settled_by(report, "honest")
            guest = of(report, "guest")
            assert (guest.bids, guest.rejected, guest.winners) == (1, 1, 0)


async def test_breaks_a_rule(tmp_path: Path) -> None:
    async with beside_honest(tmp_path, Node(Greedy(), OTHER)) as world:
        report = await batch(world)
        assert settled_by(report, "honest")
        assert (of(report, "guest").bids, of(report, "guest").rejected) == (1, 1)


async def test_a_solver_that_finds_too_many_bids_is_stopped_by_its_node(tmp_path: Path) -> None:
    rules = {"max_bids": 3}
    async with beside_honest(tmp_path, Node(Flooding(), OTHER), rules=rules) as world:
        report = await batch(world)
        assert report.state == "settled"
        assert report.filled == 2
        guest = of(report, "guest")
        assert (guest.bids, guest.rejected) == (3, 0)
        assert guest.fault == ""
        assert of(report, "honest").bids == 1


BABBLE = pb.SolveResponse(answers=[pb.Answer(bid=b"x")]).SerializeToString()


@pytest.mark.parametrize("answers", [(b"\xff\xff\xff",), (b"", b""), (BABBLE,) * 2])
async def test_no_messages(tmp_path: Path, answers: tuple[bytes, ...]) -> None:
    """A server whose bytes are no SolveResponse, or an empty one."""
    describe = pb.DescribeResponse(public_key=OTHER.public_key).SerializeToString()
    async with (
        raw_server(describe, answers) as guest,
        serving(Node(Crosser(), HONEST)) as honest,
        market(tmp_path, {"guest": guest, "honest": honest}) as world,
    ):
        report = await batch(world)
        assert settled_by(report, "honest")
        guest_report = of(report, "guest")
        assert guest_report.fault or guest_report.unopened > 0
        assert guest_report.bids == 0


@pytest.mark.parametrize(
    "describe",
    [
        b"\xff\xff\xff",
        b"",
        pb.DescribeResponse(public_key=b"short").SerializeToString(),
        pb.DescribeResponse(public_key=bytes(32)).SerializeToString(),
    ],
)
async def test_describes_itself_badly(tmp_path: Path, describe: bytes) -> None:
    async with (
        raw_server(describe, ()) as guest,
        serving(Node(Crosser(), HONEST)) as honest,
        market(tmp_path, {"guest": guest, "honest": honest}) as world,
    ):
        report = await batch(world)
        assert settled_by(report, "honest")
        assert of(report, "guest").fault.startswith("NODE_")


async def test_unexpected_key(tmp_path: Path) -> None:
    async with serving(Node(Crosser(), OTHER)) as guest, serving(Node(Crosser(), HONEST)) as honest:
        solvers = [
            {"name": "guest", "address": guest, "public_key": HONEST.public_key.hex()},
            {"name": "honest", "address": honest, "public_key": HONEST.public_key.hex()},
        ]
        async with market(tmp_path, {}, solve_ms=500) as world:
            pass  # the folder exists and holds another configuration's batches
        async with running(tmp_path, solvers=solvers) as world:
            await world.engine.fleet.settle_in(PATIENCE)
            report = await batch(world)
            assert settled_by(report, "honest")
            assert "NODE_MALFORMED" in of(report, "guest").fault


async def test_two_nodes_with_one_key(tmp_path: Path) -> None:
    async with beside_honest(tmp_path, Node(Crosser(), HONEST)) as world:
        report = await batch(world)
        assert [solver.name for solver in report.solvers] == ["guest"]
        assert settled_by(report, "guest")


async def test_unreachable_then_here(tmp_path: Path) -> None:
    async with serving(Node(Crosser(), OTHER)) as address:
        pass  # now nobody listens there
    async with (
        serving(Node(Crosser(), HONEST)) as honest,
        market(tmp_path, {"guest": address, "honest": honest}) as world,
    ):
        report = await batch(world)
        assert settled_by(report, "honest")
        assert of(report, "guest").fault.startswith("NODE_UNREACHABLE")
        async with serving(Node(Crosser(), OTHER), address):
            await connected(world, 2)
            report = await batch(world)
            assert not of(report, "guest").fault
            assert of(report, "guest").bids == 1


async def test_goes_away_and_comes_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        address = await first.enter_async_context(serving(Node(Crosser(), OTHER)))
        honest = await stack.enter_async_context(serving(Node(Crosser(), HONEST)))
        world = await stack.enter_async_context(
            market(tmp_path, {"guest": address, "honest": honest})
        )
        await first.aclose()
        report = await batch(world)
        assert settled_by(report, "honest")
        assert of(report, "guest").fault.startswith("NODE_UNREACHABLE")
        await stack.enter_async_context(serving(Node(Crosser(), OTHER), address))
        await connected(world, 2)
        report = await batch(world)
        assert of(report, "guest").bids == 1
        assert not of(report, "guest").fault


async def connected(world: World, count: int) -> None:
    await until(lambda: len(world.engine.fleet.ready()) >= count)


async def test_child_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins as processes: one kills itself mid-stream, one prints more than a pipe holds."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    plugins = {"dying": "support.solvers:Dying", "chatty": "support.solvers:Chatty"}
    async with market(tmp_path, {}, plugins, solve_ms=5_000) as world:
        await connected(world, 2)
        keys = {node.name: node.public_key for node in world.engine.fleet.ready()}
        report = await batch(world)
        # What a node committed to and died with, nobody can open.
        assert (report.state, report.filled, report.bids) == ("settled", 2, 1)
        assert of(report, "dying").unopened == 1
        assert of(report, "dying").fault.startswith(("NODE_UNREACHABLE", "NODE_CRASHED"))
        assert of(report, "chatty").bids == 1
        assert not of(report, "chatty").fault
        # Between batches a process is missed at once, and started again under its key.
        chatty = next(node for node in world.engine.fleet.ready() if node.name == "chatty")
        assert chatty._process is not None
        os.kill(chatty._process.pid, signal.SIGKILL)
        await chatty._process.wait()
        await connected(world, 2)
        assert {node.name: node.public_key for node in world.engine.fleet.ready()} == keys
        report = await batch(world)
        assert (report.state, report.filled) == ("settled", 2)
        assert of(report, "chatty").bids == 1


async def test_plugin_that_is_not_there(tmp_path: Path) -> None:
    plugins = {"missing": "support.solvers:Nobody"}
    async with market(tmp_path, {}, plugins) as world:
        report = await batch(world)
        assert (report.state, report.filled) == ("settled", 0)
        assert of(report, "missing").fault.startswith("NODE_CRASHED")
        assert of(report, "missing").public_key == ""


async def test_its_contract(tmp_path: Path) -> None:
    """A node by itself: hanging up frees its slot, what is wrong with a request is said."""
    solver = Hanging()
    async with (
        serving(Node(solver, OTHER)) as address,
        running(tmp_path) as world,
        grpc.aio.insecure_channel(address) as channel,
    ):
        await world.open_market()
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        await world.submit(sell(ANN.public_key), ANN)
        problem = world.state.problem(1, world.clock())
        body = encode_problem(problem)
        intents = [encode_intent(found.intent) for found in problem.intents.values()]
        part = pb.ProblemPart(problem=body, problem_digest=sha256(body).digest())
        request = pb.SolveRequest(parts=[part], intents=intents, budget_ms=10_000)
        stub: Any = solver_service_pb2_grpc.SolverServiceStub(channel)
        described = await stub.Describe(pb.DescribeRequest())
        assert (described.name, described.version, described.slots) == ("hanging", "1", 1)
        assert described.public_key == OTHER.public_key
        call = stub.Solve(iter([request]))
        reading = asyncio.create_task(read(call))
        await asyncio.to_thread(solver.started.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        solver.release.set()
        done, invalid = pb.PART_STATUS_DONE, pb.PART_STATUS_INVALID
        assert await soon(status(stub, request)) == done

        def changed(intents: list[bytes] = intents, **fields: Any) -> Any:
            other = pb.ProblemPart(
                **{"problem": body, "problem_digest": part.problem_digest} | fields
            )
            return pb.SolveRequest(parts=[other], intents=intents, budget_ms=10_000)

        garbage = b"\xff"
        assert await status(stub, changed(problem=garbage)) == invalid  # another digest
        assert await status(stub, changed(problem_digest=bytes(32))) == invalid
        wrong = {"problem": garbage, "problem_digest": sha256(garbage).digest()}
        assert await status(stub, changed(**wrong)) == invalid
        assert await status(stub, changed(problem=b"", problem_digest=b"")) == invalid
        assert await status(stub, changed(intents=[])) == done  # it has seen them
        other, unknown = encode_intent(buy(BOB.public_key)), pb.PART_STATUS_BASE_UNKNOWN
        async with serving(Node(Crosser(), HONEST)) as fresh, grpc.aio.insecure_channel(fresh) as c:
            stub = solver_service_pb2_grpc.SolverServiceStub(c)
            assert await status(stub, changed(intents=[other])) == unknown
            assert await status(stub, changed(intents=[garbage])) == unknown
            assert await status(stub, request) == done


async def read(call: Any) -> list[Any]:
    return [answer async for answer in call]


async def status(stub: Any, request: pb.SolveRequest) -> int:
    """How its only part ended."""
    responses = await read(stub.Solve(iter([request])))
    last: int = responses[-1].answers[-1].status
    return last


async def test_rejections_are_logged_with_their_reason(tmp_path: Path) -> None:
    from walras.audit import envelope
    from walras.protocol.codec import decode
    from walras.protocol.records import KIND_OF_TYPE, BidReceived, BidRejectedRecord

    async with beside_honest(tmp_path, Node(Greedy(), OTHER)) as world:
        await batch(world)
        from walras.api.v1.log_service_pb2 import GetEntriesRequest

        entries = (await world.log.GetEntries(GetEntriesRequest())).entries
        records = []
        for entry in entries:
            signed = envelope.decode(entry)
            records.append(decode(KIND_OF_TYPE[signed.payload_type], signed.body))
        rejected = [record for record in records if isinstance(record, BidRejectedRecord)]
        received = [record for record in records if isinstance(record, BidReceived)]
        assert [record.reason for record in rejected] == [Reason.FILL_UNITS]
        assert {record.solver for record in received} == {HONEST.public_key, OTHER.public_key}
