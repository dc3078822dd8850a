"""A witness over HTTP: statuses, what it remembers, and how little it takes from strangers."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from support.witnesses import (
    LOG_KEY,
    LOG_NOTE_KEY,
    ORIGIN,
    checkpoint_of,
    policy_text,
    signer_of,
    tree_of,
    witness_key,
    witnesses,
)

from walras.audit.cosignature import check_cosignature, cosigned_at
from walras.audit.merkle import Tree
from walras.audit.note import is_signed, parse_note
from walras.audit.policy import parse_policy
from walras.audit.witness import MAX_REQUEST_BYTES, SIZE_TYPE, encode_request, parse_cosignatures
from walras.core.errors import InvalidInput, Reason
from walras.web.client import Answer, Peer
from walras.web.server import Limits, serving
from walras.witness.book import open_book
from walras.witness.server import Witness, known_logs

TREE, _ = tree_of(40)
FORK, _ = tree_of(40, "other ")
KEY = witness_key("w")
SECONDS = 20.0


@asynccontextmanager
async def witness(folder: Path, limits: Limits | None = None) -> AsyncIterator[Peer]:
    logs = known_logs(parse_policy(policy_text("w", "none")))
    bounds = limits or Limits(body_bytes=MAX_REQUEST_BYTES)
    with open_book(folder, KEY) as book:
        made = Witness(KEY.name, signer_of("w"), logs, book)
        async with (
            serving("127.0.0.1:0", made.handle, bounds) as address,
            Peer(f"http://{address}") as peer,
        ):
            yield peer


def files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


async def add(peer: Peer, old: int, new: int, tree: Tree = TREE) -> Answer:
    proof = tree.consistency_proof(old, new) if old <= new else ()
    return await post(peer, encode_request(old, proof, checkpoint_of(tree, new)))


async def post(peer: Peer, body: bytes) -> Answer:
    return await peer.ask("POST", "/add-checkpoint", body, seconds=SECONDS)


async def test_it_cosigns_what_follows(tmp_path: Path) -> None:
    async with witness(tmp_path) as peer:
        for old, new in [(0, 3), (3, 3), (3, 17), (17, 40)]:
            answer = await add(peer, old, new)
            assert answer.status == 200, answer
            text = parse_note(checkpoint_of(TREE, new)).text
            (line,) = parse_cosignatures(text, answer.body).signatures
            assert check_cosignature(text, line, KEY) > 1_700_000_000
        name = sha256(ORIGIN.encode()).hexdigest()
        shown = await peer.ask("GET", f"/{name}/checkpoint", seconds=SECONDS)
        assert shown.status == 200
        note = parse_note(shown.body)
        assert note.text == parse_note(checkpoint_of(TREE, 40)).text
        assert is_signed(note, LOG_NOTE_KEY)
        assert cosigned_at(note, KEY) is not None
        for path in (f"/{name}/", f"/{name}", "/", "/checkpoint", f"/{'0' * 64}/checkpoint"):
            assert (await peer.ask("GET", path, seconds=SECONDS)).status == 404


async def test_it_refuses_with_the_specified_statuses(tmp_path: Path) -> None:
    async with witness(tmp_path) as peer:
        good = encode_request(0, (), checkpoint_of(TREE, 7))
        for body, status in [
            (b"", 400),
            (good[1:], 400),
            (good.replace(b"old 0", b"old 00"), 400),
            (good.replace(b"old 0", b"old 8"), 400),
            (good.replace(ORIGIN.encode(), b"log.example/other"), 404),
            (good.replace(b"\n7\n", b"\n8\n"), 403),
            (encode_request(0, [bytes(32)], checkpoint_of(TREE, 7)), 422),
            (encode_request(3, TREE.consistency_proof(3, 7), checkpoint_of(TREE, 7)), 409),
        ]:
            answer = await post(peer, body)
            assert answer.status == status, answer
        unsigned = good.partition("\n\n— ".encode())[0] + b"\n\n"
        stranger = "— log.example/stranger AAAAAAAAAAAAAAAA\n".encode()
        assert (await post(peer, unsigned + stranger)).status == 403
        assert (await add(peer, 0, 7)).status == 200
        for old, new, tree, status in [
            (0, 9, TREE, 409),  # forgets what was cosigned
            (3, 9, TREE, 409),
            (9, 9, TREE, 409),
            (7, 3, TREE, 400),  # a rollback, said openly
            (7, 7, FORK, 409),  # as the specification has it
            (7, 9, FORK, 422),
        ]:
            answer = await add(peer, old, new, tree)
            assert answer.status == status, (old, new, answer)
            if status == 409:
                assert (answer.content_type, answer.body) == (SIZE_TYPE, b"7\n")
        assert (await peer.ask("GET", "/add-checkpoint", seconds=SECONDS)).status == 405
        assert (await peer.ask("POST", "/", seconds=SECONDS)).status == 405
        assert (await add(peer, 7, 9)).status == 200


async def test_of_requests_at_the_same_time_one_wins(tmp_path: Path) -> None:
    """What the specification warns of: two follow on one size, and the smaller is stored last."""
    async with witness(tmp_path) as peer:
        await add(peer, 0, 3)
        peers = [Peer(peer.url) for _ in range(16)]
        sizes = range(4, 20)
        answers = await asyncio.gather(
            *(add(one, 3, new) for one, new in zip(peers, sizes, strict=True))
        )
        for one in peers:
            one.close()
        won = [new for new, a in zip(sizes, answers, strict=True) if a.status == 200]
        assert len(won) == 1
        assert {a.body for a in answers if a.status != 200} == {f"{won[0]}\n".encode()}
        assert (await add(peer, won[0], 40)).status == 200


async def test_it_remembers(tmp_path: Path) -> None:
    async with witness(tmp_path) as peer:
        assert (await add(peer, 0, 7)).status == 200
    (tmp_path / f".{sha256(ORIGIN.encode()).hexdigest()}.checkpoint.draft").write_bytes(b"half a")
    async with witness(tmp_path) as peer:
        assert not files(tmp_path, ".*.draft")
        assert (await add(peer, 0, 9, FORK)).status == 409
        assert (await add(peer, 7, 9, FORK)).status == 422
        assert (await add(peer, 7, 9)).status == 200


async def test_it_does_not_start_on_what_it_cannot_rely_on(tmp_path: Path) -> None:
    async with witness(tmp_path) as peer:
        assert (await add(peer, 0, 7)).status == 200
        with pytest.raises(InvalidInput, match="another witness runs"), open_book(tmp_path, KEY):
            pass
    (path,) = files(tmp_path, "*.checkpoint")
    good = path.read_bytes()
    for bad in (b"", good[:-1], good.replace(b"\n7\n", b"\n6\n"), checkpoint_of(TREE, 7)):
        path.write_bytes(bad)
        with pytest.raises(InvalidInput) as caught, open_book(tmp_path, KEY):
            pass
        assert caught.value.reason is Reason.CONFIG_INVALID
    path.write_bytes(good)
    path.rename(path.with_name(f"{'0' * 64}.checkpoint"))
    with pytest.raises(InvalidInput, match="cannot be relied on"), open_book(tmp_path, KEY):
        pass


async def test_what_cannot_be_stored_is_not_cosigned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with witness(tmp_path) as peer:
        assert (await add(peer, 0, 7)).status == 200
        with monkeypatch.context() as patch:

            def full(_descriptor: int) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(os, "fsync", full)
            assert (await add(peer, 7, 9)).status == 500
        assert (await add(peer, 7, 12)).status == 200


async def test_a_body_has_a_bound(tmp_path: Path) -> None:
    async with witness(tmp_path) as peer:
        answer = await post(peer, b"x" * (MAX_REQUEST_BYTES + 1))
        assert answer.status == 413
        assert (await add(peer, 0, 7)).status == 200


async def test_who_sends_too_much_still_hears_why(tmp_path: Path) -> None:
    async with witness(tmp_path) as peer:
        for _ in range(10):
            assert (await post(peer, b"x" * (2 << 20))).status == 413


async def raw(url: str, data: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(SECONDS):
            return await reader.read()
    finally:
        writer.close()


async def test_what_is_no_http_is_answered_once_and_hung_up_on(tmp_path: Path) -> None:
    async with witness(tmp_path) as peer:
        for data in (
            b"\r\n\r\nhello\r\n\r\n",
            b"GET\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
            b"\xff" * 99,
        ):
            answer = await raw(peer.url, data + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400 "), answer
        long = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000
        assert (await raw(peer.url, long)).startswith(b"HTTP/1.1 431 ")
        lied = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n" * 2 + b"\r\n"
        assert (await raw(peer.url, lied)).startswith(b"HTTP/1.1 400 ")
        assert (await add(peer, 0, 7)).status == 200


async def test_who_is_slow_is_hung_up_on(tmp_path: Path) -> None:
    limits = Limits(MAX_REQUEST_BYTES, idle_seconds=0.3, body_seconds=0.3)
    async with witness(tmp_path, limits) as peer:
        head = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        for data in (b"", b"POST", head, head + b"\r\n", head + b"\r\nold 0"):
            assert await raw(peer.url, data) == b""


async def test_connections_have_a_bound(tmp_path: Path) -> None:
    limits = Limits(MAX_REQUEST_BYTES, connections=2)
    async with witness(tmp_path, limits) as peer:
        host, _, port = peer.url.removeprefix("http://").rpartition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(ConnectionError):
            await add(peer, 0, 7)
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    assert (await add(peer, 0, 7)).status == 200
                    break
                except ConnectionError:
                    await asyncio.sleep(0.05)


async def test_a_witness_process_that_is_killed_remembers(tmp_path: Path) -> None:
    async with witnesses(tmp_path, "one", LOG_KEY) as (process,), Peer(process.url) as peer:
        size = 0
        for new in (3, 9):
            assert (await add(peer, size, new)).status == 200
            size = new
            await process.kill()
            await process.start()
            answer = await add(peer, 0, 40, FORK)
            assert (answer.status, answer.body) == (409, f"{size}\n".encode())
            assert (await add(peer, size, 40, FORK)).status == 422
