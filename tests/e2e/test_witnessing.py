"""An engine with two witnesses in processes of their own: what it publishes, over HTTP and
gRPC, and what witnesses make of an engine that forked.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.market import DOMAIN, ETH, WHOLE_ETH, pool, sell, signer
from support.witnesses import WitnessProcess, witnesses
from support.worlds import World, running, until

from walras.api.v1 import log_service_pb2 as pb
from walras.app.publishing import Publishing
from walras.audit.note import NoteKey, format_vkey, open_checkpoint, parse_checkpoint, parse_note
from walras.audit.policy import Policy, parse_policy
from walras.audit.proof import encode_proof, log_only, open_proof, parse_proof
from walras.audit.tiles import bundles, hash_tiles
from walras.audit.verifier import replay, verify_entries
from walras.cli import main as cli
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.sdk.client import Client
from walras.sdk.keys import read_or_write_key
from walras.sdk.signing import sign_record, to_proof
from walras.store.folder import FolderSource
from walras.web.client import Peer
from walras.web.log_files import log_handler
from walras.web.server import serving

ANN = signer("ann")
SECONDS = 30.0


@dataclass(slots=True)
class Watched:
    """A data folder whose engine's log two witnesses know, and the policy that asks for both."""

    data: Path
    key: NoteKey
    processes: list[WitnessProcess]
    policy_file: Path
    policy: Policy

    def log(self, name: str = "log", **settings: Any) -> dict[str, Any]:
        folder = self.data.parent / name
        policy = str(self.policy_file)
        return {"folder": str(folder), "policy": policy, "interval_ms": 10, **settings}


@asynccontextmanager
async def watched(folder: Path, quorum: str = "all") -> AsyncIterator[Watched]:
    data = folder / "engine"
    key = NoteKey(DOMAIN, read_or_write_key(data / "engine.key").public_key)
    async with witnesses(folder, "one two", format_vkey(key)) as processes:
        text = f"log {format_vkey(key)}\n" + "".join(each.policy_line for each in processes)
        text += f"group both {quorum} one two\nquorum both\n"
        file = folder / "witnesses.policy"
        file.write_text(text)
        yield Watched(data, key, processes, file, parse_policy(text.encode()))


def publishing(world: World) -> Publishing:
    assert world.engine.publishing is not None
    return world.engine.publishing


async def all_published(world: World) -> bytes:
    """The note that covers all of the log, once it is published."""
    size = world.engine.sequencer.tree.size

    def done() -> bool:
        newest = publishing(world).newest
        return newest is not None and newest.size >= size

    await until(done, SECONDS)
    newest = publishing(world).newest
    assert newest is not None
    return newest.note


async def trade(world: World) -> bytes:
    await world.fund(ANN.public_key, ETH, 10 * WHOLE_ETH)
    intent = await world.submit(sell(ANN.public_key), ANN)
    await world.auction()
    return intent


def run(*args: str) -> int:
    return cli.run(list(args))


async def test_an_engine_publishes_what_its_witnesses_cosigned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with watched(tmp_path) as made, running(made.data, log=made.log()) as world:
        await world.open_market([pool()])
        intent = await trade(world)
        note = await all_published(world)
        approved = made.policy.approve(parse_note(note))
        assert sorted(approved.times) == ["one", "two"]
        assert approved.checkpoint.root == world.engine.sequencer.tree.root()

        # gRPC gives the same note, for the newest and by its size.
        size = approved.checkpoint.size
        answer = await world.log.GetCheckpoint(pb.GetCheckpointRequest())
        assert (answer.checkpoint, answer.published_checkpoint) == (note, note)
        sized = await world.log.GetCheckpoint(pb.GetCheckpointRequest(tree_size=size))
        assert sized.checkpoint == note

        # The folder is a whole log: level A, B and C.
        source = FolderSource(tmp_path / "log")
        await until(lambda: source.checkpoint() == note, SECONDS)
        log = verify_entries(source, made.key, earlier=[note])
        assert replay(log, source, made.key).auctions == 1

        # Its receipts are for the file's sake alone.
        async with Client(world.address) as client:
            proof = await client.receipt(intent)
        assert open_proof(parse_proof(encode_proof(proof)), made.policy).checkpoint.size == size
        file, vkey = str(tmp_path / "a.tlog-proof"), world.engine.verifier_key
        policy = str(made.policy_file)
        get = ["receipt", "get", intent.hex(), "--out", file, "--address", world.address]
        assert await asyncio.to_thread(run, *get, "--policy", policy, "--log-key", vkey) == 0
    verify = ["receipt", "verify", file]
    assert await asyncio.to_thread(run, *verify, "--policy", policy, "--json") == 0
    assert f'"id": "{intent.hex()}"' in capsys.readouterr().out
    assert run(*verify, "--key", vkey, "--intent", intent.hex()) == 0
    assert run(*verify, "--key", vkey, "--intent", "00" * 32) == 1
    assert run(*verify, "--key", format_vkey(NoteKey(DOMAIN, ANN.public_key))) == 1
    assert run(*verify) == 2


async def test_a_receipt_of_submission_becomes_a_file_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "engine") as world:
        await world.open_market()
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        envelope = sign_record(sell(ANN.public_key), ANN)
        async with Client(world.address) as client:
            answer = await client.submit(envelope)
            later = await client.receipt(answer.intent_id)
        proof = parse_proof(encode_proof(to_proof(envelope, answer.receipt)))
        assert proof.extra == envelope
        for each in (proof, later):
            assert open_proof(each, log_only(world.key), envelope).times == {}
        with pytest.raises(AuditFailure):
            open_proof(proof, log_only(world.key), envelope[:-1])


async def test_every_file_of_the_folder_is_served_as_it_is(tmp_path: Path) -> None:
    log = {"folder": str(tmp_path / "log"), "interval_ms": 10}
    async with running(tmp_path / "engine", log=log) as world:
        await world.open_market([pool()])
        await trade(world)
        await all_published(world)
    folder = tmp_path / "log"
    paths = sorted(str(path.relative_to(folder)) for path in files(folder))
    size = parse_checkpoint(parse_note((folder / "checkpoint").read_bytes()).text).size
    needed = {tile.path for tile in (*bundles(size), *hash_tiles(size))}
    assert needed | {"checkpoint", "log.vkey"} <= set(paths)
    assert all(path.startswith(("tile/", "blob/")) for path in set(paths) - needed - TOP)
    async with (
        serving("127.0.0.1:0", log_handler(folder)) as address,
        Peer(f"http://{address}", max_bytes=1 << 30) as peer,
    ):
        for path in paths:
            answer = await peer.ask("GET", f"/{path}", seconds=SECONDS)
            assert (answer.status, answer.body) == (200, (folder / path).read_bytes())
            text = path in TOP
            assert answer.content_type == (
                "text/plain; charset=utf-8" if text else "application/octet-stream"
            )
        for path in STRANGE:
            assert (await peer.ask("GET", path, seconds=SECONDS)).status == 404, path
        assert (await peer.ask("POST", "/checkpoint", seconds=SECONDS)).status == 405
        # Whoever asks for the connection to be closed gets all of a large file first.
        large = folder / "blob" / sha256(bytes(3 << 20)).hexdigest()
        large.write_bytes(bytes(3 << 20))
        for _ in range(5):
            got = await whole(address, "GET", f"/blob/{large.name}")
            assert got.partition(b"\r\n\r\n")[2] == bytes(3 << 20)
        head = await headers(address, "HEAD", "/checkpoint")
        assert b"\r\nCache-Control: no-cache\r\n" in head
        assert head.endswith(b"\r\n\r\n")
        tile = await headers(address, "GET", f"/{min(needed)}?query")
        assert b"\r\nCache-Control: public, max-age=31536000, immutable\r\n" in tile
        assert b"\r\nAccess-Control-Allow-Origin: *\r\n" in tile


TOP = {"checkpoint", "log.vkey"}
STRANGE = [
    "/",
    "//checkpoint",
    "/checkpoint/",
    "/Checkpoint",
    "/tile/0",
    "/tile/0/000/",
    "/tile/00/000",
    "/tile/0/0",
    "/tile/0/x000/000",
    "/tile/0/000.p/0",
    "/tile/0/000.p/256",
    "/tile/64/000",
    "/tile/../checkpoint",
    "/tile/0/../../checkpoint",
    "/..%2f..%2fetc/passwd",
    "/../engine/engine.key",
    "/blob/" + "g" * 64,
    "/blob/" + "0" * 64,
    "/blob/../checkpoint",
    "/%63heckpoint",
    "/tile/0/%30%30%30",
]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def whole(address: str, method: str, path: str) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    async with asyncio.timeout(SECONDS):
        answer = await reader.read()
    writer.close()
    return answer


async def headers(address: str, method: str, path: str) -> bytes:
    answer = await whole(address, method, path)
    head, blank, body = answer.partition(b"\r\n\r\n")
    return head + blank + (body if method == "HEAD" else b"")


async def test_without_its_witnesses_an_engine_goes_on_and_publishes_later(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as made:
        async with running(made.data, log=made.log(timeout_ms=500)) as world:
            await world.open_market([pool()])
            before = await all_published(world)
            one, two = made.processes
            await two.kill()
            await trade(world)  # nobody waits for a witness
            found = await world.log.GetCheckpoint(pb.GetCheckpointRequest())
            assert (
                open_checkpoint(found.checkpoint, made.key).size
                > parse_checkpoint(parse_note(found.published_checkpoint).text).size
            )
            assert publishing(world).newest is not None
            assert parse_note((tmp_path / "log/checkpoint").read_bytes()).text == (
                parse_note(before).text
            )
            await two.start()
            note = await all_published(world)
            made.policy.approve(parse_note(note))
        # A start goes on where the folder and the witnesses are.
        async with running(made.data, log=made.log()) as world:
            assert publishing(world).newest is not None
            await trade(world)
            made.policy.approve(parse_note(await all_published(world)))
            source = FolderSource(tmp_path / "log")
            verify_entries(source, made.key, earlier=[before, note])
        assert one.process is not None


async def test_a_fork_is_cosigned_by_nobody(tmp_path: Path) -> None:
    async with watched(tmp_path) as made:
        async with running(made.data, log=made.log()) as world:
            await world.open_market([pool()])
            fork_at = world.engine.sequencer.tree.size
            await all_published(world)
        shutil.copytree(made.data, tmp_path / "copy")
        async with running(made.data, log=made.log()) as world:
            await trade(world)
            note = await all_published(world)
        seen = open_checkpoint(note, made.key)
        held = {path: path.read_bytes() for path in files(tmp_path) if path.suffix == ".checkpoint"}
        assert len(held) == 2

        # The copy is behind what the witnesses saw, then beside it.
        with capture_logs() as told:
            async with running(tmp_path / "copy", log=made.log("other")) as world:
                assert world.engine.sequencer.tree.size == fork_at
                await until(lambda: grave(told, "was it set back?"), SECONDS)
                owner = signer("bob").public_key
                while world.engine.sequencer.tree.size <= seen.size:
                    await world.fund(owner, ETH, WHOLE_ETH)
                await until(lambda: grave(told, "it answered 422"), SECONDS)
                newest = publishing(world).newest
                assert newest is None or newest.size == fork_at
        assert {path: path.read_bytes() for path in held} == held
        with pytest.raises(ExceptionGroup) as caught:
            async with running(tmp_path / "copy", log=made.log("log")):
                pass
        (error,) = caught.value.exceptions
        assert isinstance(error, InvalidInput)
        assert error.reason is Reason.CONFIG_INVALID
        assert "is not of this log" in error.message
        assert sha256(DOMAIN.encode()).hexdigest() in {path.stem for path in held}


def grave(told: list[Any], words: str) -> bool:
    return any(
        entry["log_level"] == "error" and words in entry.get("why", "") for entry in list(told)
    )
