"""The JavaScript solver of docs/examples/nodejs against a real engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from support.market import DOMAIN, ETH, USD, WHOLE_ETH, WHOLE_USD, buy, pool, sell, signer
from support.node_example import Running, node_example, packages
from support.probes import challenge
from support.worlds import World, running, soon

from walras.api.v1 import solver_service_pb2 as pb
from walras.api.v1 import solver_service_pb2_grpc
from walras.app.report import AuctionReport
from walras.audit.note import NoteKey, format_vkey
from walras.audit.probes import open_echo
from walras.cli.auditing import Wanted, audit_files, read_evidence
from walras.cli.fetch import fetch_log
from walras.datasets.generate import START_MS, generate
from walras.protocol.trade import encode_intent, encode_problem
from walras.sdk.calls import bounded
from walras.sdk.client import Client
from walras.sdk.keys import write_key
from walras.sdk.markets import load_market, sign_market_intents
from walras.sdk.signing import sign_record
from walras.store.folder import FolderSource

ANN, BOB, CAT = signer("ann"), signer("bob"), signer("cat")
PROBER = signer("prober")


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    packages()


@asynccontextmanager
async def world_of(folder: Path, node: Running, **flags: Any) -> AsyncIterator[World]:
    """An engine that asks the node alone."""
    solver = {"name": "js", "address": node.address, "public_key": node.public_key.hex()}
    async with running(folder / "engine", solvers=[solver], solve_ms=5_000, **flags) as world:
        await world.nodes_here()
        yield world


def of(report: AuctionReport) -> Any:
    assert report.state == "settled"
    (solver,) = report.solvers
    assert not solver.fault
    assert (solver.rejected, solver.unopened) == (0, 0)
    return solver


async def audited(world: World, folder: Path, kept: tuple[bytes, ...] = ()) -> Any:
    """Levels A, B and C of the engine's log, and what a node kept, held against it."""
    async with Client(world.address) as client:
        await fetch_log(client, folder)
    return audit_files(FolderSource(folder), world.key, Wanted(evidence=kept), quiet=True)[0]


async def test_it_wins_sealed_and_opened_and_the_audit_holds(tmp_path: Path) -> None:
    """Three batches under one key: a route, orders that cross, and both at once, by deltas."""
    async with running(tmp_path / "engine") as world:
        await world.open_market([pool()])
        await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
        for owner in (BOB, CAT):
            await world.fund(owner.public_key, USD, 200_000 * WHOLE_USD)
        log_key = format_vkey(world.key)
    key, evidence = tmp_path / "solver.key", tmp_path / "evidence"
    public_key = write_key(key).public_key
    options = ("--key", key, "--log-key", log_key, "--evidence", evidence)
    async with (
        node_example(tmp_path / "example", *options) as node,
        world_of(tmp_path, node) as world,
    ):
        assert node.public_key == public_key

        await world.submit(sell(ANN.public_key, 1_900), ANN)
        report = await soon(world.auction(), 30)
        assert (of(report).bids, of(report).winners, report.filled) == (1, 1, 1)
        paid = pool().swap(ETH, WHOLE_ETH, USD).amount_out
        assert world.state.balance(ANN.public_key, USD) == paid

        # More is bought than sold: the last buyer is filled in part, at the middle of the limits.
        await world.submit(sell(ANN.public_key, 1_985, ethers=3), ANN)
        await world.submit(buy(BOB.public_key, 2_015, ethers=2), BOB)
        await world.submit(buy(CAT.public_key, 2_011, ethers=2), CAT)
        report = await soon(world.auction(), 30)
        assert of(report).winners == 1
        assert report.filled == 3
        settled = world.state.balance(ANN.public_key, USD) - paid
        assert settled == 3 * 1_998 * WHOLE_USD
        assert world.state.balance(CAT.public_key, ETH) == WHOLE_ETH

        # Two markets' worth: what is left of the buyer by the pool.
        await world.submit(buy(BOB.public_key, 2_060, ethers=5, min_units=5 * WHOLE_ETH), BOB)
        report = await soon(world.auction(), 30)
        assert of(report).winners == 1
        assert world.state.balance(BOB.public_key, ETH) == 7 * WHOLE_ETH

        found = await audited(world, tmp_path / "log", read_evidence([evidence]))
        assert found.counts.auctions == 3
        assert found.evidence.tasks == found.evidence.closings == 3
        # One at least for the commitment of each batch, and one for its opening.
        assert found.evidence.receipts >= 6
        assert found.evidence.later == found.evidence.void == 0


async def test_a_generated_market(tmp_path: Path) -> None:
    """Orders of every shape and venues of every kind: many bids, none of them wrong or shut."""
    market = generate(3, intents=200)
    async with (
        node_example(tmp_path / "example") as node,
        world_of(tmp_path, node) as world,
        Client(world.address) as client,
    ):
        await load_market(client, market, world.operator, DOMAIN)
        world.clock.offset_ms = START_MS - world.clock()
        signed = sign_market_intents(market, DOMAIN, world.clock())
        await bounded(client.submit, [envelope for _, envelope in signed], 8)
        report = await soon(world.auction(), 60)
        assert of(report).bids > 20
        assert of(report).winners > 5
        assert (await audited(world, tmp_path / "log")).counts.auctions == 1


async def test_open_bids(tmp_path: Path) -> None:
    """Where the rules ask for no commitments, bids come as they are."""
    async with (
        node_example(tmp_path / "example") as node,
        world_of(tmp_path, node, rules={"sealed_bids": False}) as world,
    ):
        await world.open_market([pool("a"), pool("b", depth=2_000)])
        await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
        await world.submit(sell(ANN.public_key, 1_900), ANN)
        report = await soon(world.auction(), 30)
        assert of(report).winners == 1
        best = pool("b", depth=2_000).swap(ETH, WHOLE_ETH, USD).amount_out
        assert world.state.balance(ANN.public_key, USD) == best


async def test_it_opens_nothing_that_is_not_in_the_log_it_knows(tmp_path: Path) -> None:
    """A closing of a log under another key proves nothing: the commitment stays shut."""
    stranger = format_vkey(NoteKey(DOMAIN, PROBER.public_key))
    async with (
        node_example(tmp_path / "example", "--log-key", stranger) as node,
        world_of(tmp_path, node) as world,
    ):
        await world.open_market([pool()])
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        await world.submit(sell(ANN.public_key, 1_900), ANN)
        report = await soon(world.auction(), 30)
        (solver,) = report.solvers
        assert (solver.bids, solver.unopened, report.filled) == (0, 1, 0)


async def test_its_contract(tmp_path: Path) -> None:
    """By itself: what it says of itself, problems whole and as deltas, probes, and refusals."""
    async with (
        node_example(tmp_path / "example", "--name", "example") as node,
        running(tmp_path / "engine") as world,
        grpc.aio.insecure_channel(node.address) as channel,
    ):
        await world.open_market([pool()])
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        await world.submit(sell(ANN.public_key, 1_900), ANN)
        problem = world.state.problem(1, world.clock())
        body = encode_problem(problem)
        digest = sha256(body).digest()
        intents = [encode_intent(found.intent) for found in problem.intents.values()]
        stub: Any = solver_service_pb2_grpc.SolverServiceStub(channel)

        described = await stub.Describe(pb.DescribeRequest())
        assert (described.name, described.slots) == ("example", 1)
        assert described.public_key == node.public_key
        assert described.held_problems > 0
        load = await stub.ReportLoad(pb.ReportLoadRequest())
        assert (load.in_flight, load.latency_us > 0) == (0, True)

        async def ask(part: pb.ProblemPart, *bodies: bytes) -> tuple[int, int]:
            """How many bids came for the only part, and how it ended."""
            request = pb.SolveRequest(parts=[part], intents=bodies, budget_ms=10_000)
            answers = [
                a async for response in stub.Solve(iter([request])) for a in response.answers
            ]
            return sum(1 for answer in answers if answer.bid), answers[-1].status

        def delta(base: bytes, *spans: pb.Span) -> pb.ProblemPart:
            made = pb.ProblemDelta(base_digest=base, spans=spans)
            return pb.ProblemPart(delta=made, problem_digest=digest)

        done, invalid = pb.PART_STATUS_DONE, pb.PART_STATUS_INVALID
        unknown = pb.PART_STATUS_BASE_UNKNOWN
        whole = pb.ProblemPart(problem=body, problem_digest=digest)
        assert await ask(whole) == (0, unknown)  # without the intent's body
        assert await ask(whole, *intents) == (1, done)
        assert await ask(whole) == (1, done)  # it has seen it
        head, tail = pb.Span(length=9), pb.Span(offset=12, length=len(body) - 12)
        assert await ask(delta(digest, head, pb.Span(insert=body[9:12]), tail)) == (1, done)
        assert await ask(delta(digest, head, tail)) == (0, invalid)  # other bytes
        assert await ask(delta(digest, pb.Span(length=len(body) + 1))) == (0, invalid)
        assert await ask(delta(bytes(32), head)) == (0, unknown)
        assert await ask(pb.ProblemPart(problem=b"\xff", problem_digest=digest)) == (0, invalid)
        wrong = pb.ProblemPart(problem=b"\xff", problem_digest=sha256(b"\xff").digest())
        assert await ask(wrong) == (0, invalid)

        asked: Any = SimpleNamespace(public_key=node.public_key)
        sent = sign_record(challenge(asked), PROBER)
        echo = (await stub.Probe(pb.ProbeRequest(challenge=sent))).echo
        found = open_echo(echo, sent, DOMAIN, node.public_key)
        assert (found.checkpoint_size, found.slots) == (0, 1)
        for bad in (
            sent[:-1],
            sign_record(challenge(ANN), PROBER),
            sign_record(challenge(asked), ANN),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Probe(pb.ProbeRequest(challenge=bad))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Solve(iter([pb.SolveRequest(parts=[whole], task=b"no task")])).read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await stub.ReportLoad(pb.ReportLoadRequest())).in_flight == 0
