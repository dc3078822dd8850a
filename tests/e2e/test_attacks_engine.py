"""Attacks on a running engine: by its callers, its solvers, its disk and its clock."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from support.market import ETH, WHOLE_ETH, sell, signer
from support.nodes import raw_server, serving
from support.solvers import Crosser
from support.worlds import Clock, World, fresh, running, soon

from walras.api.v1 import intent_service_pb2 as intents_pb
from walras.api.v1 import log_service_pb2 as log_pb
from walras.api.v1 import solver_service_pb2 as solver_pb
from walras.app.report import AuctionReport
from walras.core.errors import Reason, SolverFault, WalrasError
from walras.fleet.nodes import Node as Dialled
from walras.fleet.nodes import NodeSpec
from walras.rpc import log as log_service
from walras.sdk.node import Node
from walras.sdk.signing import sign_record
from walras.store import schema
from walras.store.commit import Commit

ANN, HONEST = signer("ann"), signer("honest")
HOUR_MS = 3_600_000


async def _rows(world: World) -> int:
    async with world.engine.store.read() as db:
        return len((await db.execute(schema.request.select())).all())


async def test_worthless_batches_leave_nothing_on_the_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.open_market()
        before = await _rows(world)
        request = intents_pb.SubmitIntentsRequest(request_id=fresh(), envelopes=[b""] * 100)
        for _ in range(2):
            answer = await world.intents.SubmitIntents(request)
            assert {r.refusal.reason for r in answer.results} == {"ENVELOPE_MALFORMED"}
        assert await _rows(world) == before
        # A batch of which anything was taken is remembered whole.
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        good = sign_record(sell(ANN.public_key), ANN)
        request = intents_pb.SubmitIntentsRequest(request_id=fresh(), envelopes=[b"", good])
        first = await world.intents.SubmitIntents(request)
        assert await world.intents.SubmitIntents(request) == first


async def test_a_blob_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_service, "READ_BYTES", 100)
    monkeypatch.setattr(log_service, "CHUNK_BYTES", 60)
    async with running(tmp_path) as world:
        for size in (0, 99, 100, 101, 250):
            digest, body = bytes([size]) * 32, bytes(range(size))
            commit = Commit(first_leaf=world.engine.sequencer.tree.size, blobs={digest: body})
            await world.engine.store.commit(commit, world.state, 0)
            call = world.log.GetBlob(log_pb.GetBlobRequest(digest=digest))
            chunks = [answer.chunk async for answer in call]
            assert b"".join(chunks) == body
            assert chunks == [b""] or all(0 < len(chunk) <= 60 for chunk in chunks)


@pytest.mark.parametrize("liar_first", [True, False])
async def test_a_stranger_who_shows_a_known_key_displaces_nobody(
    tmp_path: Path, *, liar_first: bool
) -> None:
    shown = solver_pb.DescribeResponse(name="x", version="1", public_key=HONEST.public_key)
    async with (
        raw_server(shown.SerializeToString(), ()) as liar,
        serving(Node(Crosser(), HONEST)) as honest,
    ):
        solvers = [
            {"name": "liar", "address": liar},
            {"name": "honest", "address": honest, "public_key": HONEST.public_key.hex()},
        ]
        async with running(tmp_path, solvers=solvers[:: 1 if liar_first else -1]) as world:
            await world.nodes_here()
            assert [node.name for node in world.engine.fleet.ready()] == ["honest"]


@pytest.mark.parametrize(
    "said", ["'[' * 60_000", '\'{"address": "\\\\ud800:1"}\'', "'7'", "'\\x00' * 200_000"]
)
async def test_what_a_plugin_prints_ends_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (tmp_path / "noisy.py").write_text(f"import os\nos.write(1, ({said} + chr(10)).encode())\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    node = Dialled(NodeSpec("noisy", plugin="noisy:Solver"))
    with pytest.raises(SolverFault) as caught:
        await node.connect()
    assert caught.value.reason is Reason.NODE_CRASHED


async def test_a_plugin_that_prints_while_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chatty.py").write_text(
        "print('hello')\nfrom walras_solvers.baseline import Baseline as Solver\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    node = Dialled(NodeSpec("chatty", plugin="chatty:Solver"))
    try:
        await node.connect()
        assert node.connected
    finally:
        await node.close()


async def test_a_log_that_was_changed_is_not_continued(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.open_market()
    with sqlite3.connect(tmp_path / "walras.db") as database:
        (leaf,) = database.execute("SELECT envelope FROM leaf WHERE leaf_index = 2").fetchone()
        changed = leaf[:-1] + bytes([leaf[-1] ^ 1])
        database.execute("UPDATE leaf SET envelope = ? WHERE leaf_index = 2", (changed,))
    database.close()
    with pytest.RaisesGroup(
        pytest.RaisesExc(WalrasError, check=lambda error: error.reason is Reason.ROOT_MISMATCH)
    ):
        async with running(tmp_path):
            pass


async def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "walras.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(WalrasError, match="the database failed: file is not a database"):
        async with running(tmp_path):
            pass


async def test_a_clock_that_is_set_back_does_not_stop_the_auctions(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock, interval_ms=50) as world:
        await world.open_market()
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        reports: asyncio.Queue[AuctionReport] = asyncio.Queue()
        world.engine.auctioneer.on_auction.append(reports.put_nowait)
        auctions = asyncio.create_task(world.engine.auctioneer.serve())
        await asyncio.sleep(0.1)
        clock.offset_ms = -HOUR_MS
        await world.submit(sell(ANN.public_key), ANN)
        report = await soon(reports.get())
        assert report.intents == 1
        auctions.cancel()
        await asyncio.gather(auctions, return_exceptions=True)
