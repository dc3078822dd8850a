"""Witnesses that hang, lie, babble or come and go: a round ends in time with what is good."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from support.witnesses import TIME, checkpoint_of, policy_text, signer_of, tree_of, witness_key

from walras.app.witnessing import FIRST_REST_SECONDS, Witnesses
from walras.audit.cosignature import cosign
from walras.audit.note import parse_note
from walras.audit.policy import Policy, parse_policy
from walras.audit.witness import SIZE_TYPE, parse_request
from walras.core.errors import InvalidInput, Reason
from walras.web.client import Peer
from walras.web.server import Handler, Limits, Request, Response, serving

TREE, _ = tree_of(40)
NOTE = checkpoint_of(TREE)
TEXT = parse_note(NOTE).text
FORK = checkpoint_of(tree_of(40, "other ")[0])


def line(name: str, text: str = TEXT, time_s: int = TIME, key: str = "") -> bytes:
    return cosign(text, witness_key(name).name, signer_of(key or name), time_s).line.encode()


def fixed(status: int, body: bytes, content_type: str = "text/plain") -> Handler:
    async def answer(_request: Request) -> Response:
        return Response(status, body, content_type)

    return answer


async def good(_request: Request) -> Response:
    return Response(200, line("good"))


async def hang(_request: Request) -> Response:
    await asyncio.sleep(60)
    return Response(200, line("bad"))


async def ahead(request: Request) -> Response:
    """Names sizes that the log does not have."""
    old = parse_request(request.body).old_size
    return Response(409, b"%d\n" % (old + 1000), SIZE_TYPE)


async def restless(request: Request) -> Response:
    """Names another size each time."""
    old = parse_request(request.body).old_size
    return Response(409, b"%d\n" % ((old + 1) % 7), SIZE_TYPE)


async def forked(request: Request) -> Response:
    """Names the checkpoint's own size, when it is asked about it too."""
    return Response(409, b"%d\n" % parse_request(request.body).head.size, SIZE_TYPE)


BAD: list[tuple[str, Handler, str]] = [
    ("hangs", hang, "too slow"),
    ("is ahead", ahead, "was it set back?"),
    ("is restless", restless, "cosigned after none"),
    ("has another root", forked, "did the log fork?"),
    ("says nothing", fixed(200, b""), "signature lines"),
    ("babbles", fixed(200, bytes(range(256))), "UTF-8"),
    ("signs as another", fixed(200, line("good")), "no cosignature of its key"),
    ("signs by another's key", fixed(200, line("bad", key="good")), "no cosignature of its key"),
    ("signs another text", fixed(200, line("bad", parse_note(FORK).text)), "does not verify"),
    ("says no time", fixed(200, line("bad", time_s=0)), "no cosignature of its key"),
    ("injects a text", fixed(200, b"x\n\n" + line("bad")), "not signature lines alone"),
    ("never stops", fixed(200, b"x" * (1 << 20)), "more than"),
    ("redirects", fixed(302, b""), "it answered 302"),
    ("refuses", fixed(422, b"no\n"), "it answered 422: 'no"),
    ("fails", fixed(500, b""), "it answered 500"),
    ("names no size", fixed(409, b"many\n", SIZE_TYPE), "not a size"),
    ("names a size otherwise", fixed(409, b"3\n"), "it answered 409"),
]


@asynccontextmanager
async def policy_of(**handlers: Handler) -> AsyncIterator[Policy]:
    async with asyncio.timeout(30):
        urls = {}
        stack = []
        try:
            for name, handler in handlers.items():
                server = serving("127.0.0.1:0", handler, Limits(1 << 20))
                urls[name] = f"http://{await server.__aenter__()}/prefix"
                stack.append(server)
            text = policy_text(" ".join(handlers), "any").decode()
            for name, url in urls.items():
                key = f"witness {name} "
                start = text.index(key)
                end = text.index("\n", start)
                text = f"{text[:end]} {url}{text[end:]}"
            yield parse_policy(text.encode())
        finally:
            for server in stack:
                await server.__aexit__(None, None, None)


def at_prefix(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        assert (request.method, request.path) == ("POST", "/prefix/add-checkpoint")
        assert parse_request(request.body).note.text == TEXT
        return await handler(request)

    return answer


@pytest.mark.parametrize(("handler", "why"), [(h, w) for _, h, w in BAD], ids=[n for n, *_ in BAD])
async def test_a_bad_witness_costs_its_own_cosignature_alone(handler: Handler, why: str) -> None:
    async with policy_of(good=at_prefix(good), bad=handler) as policy:
        asked = Witnesses(policy, timeout_s=0.5)
        with capture_logs() as told:
            found = await asked.cosign(NOTE, 40, TREE)
            assert (found.names, found.enough, found.asked) == (frozenset(["good"]), True, 2)
            policy.approve(parse_note(found.note))
            if why == "too slow":
                asked.close()
                return  # who is cut off for a quorum's sake is not told of
            assert any(why in entry["why"] for entry in told), told
        # It rests; the good one is asked again over the same connection.
        again = await asked.cosign(NOTE, 40, TREE)
        assert (again.names, again.asked) == (frozenset(["good"]), 1)
        asked.close()


async def test_a_round_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async with policy_of(bad=hang) as policy:
        asked = Witnesses(policy, timeout_s=0.3)
        start = time.monotonic()
        with capture_logs() as told:
            found = await asked.cosign(NOTE, 40, TREE)
        assert 0.25 < time.monotonic() - start < 5
        assert not found.enough
        assert found.note == NOTE
        assert [entry["event"] for entry in told] == ["a witness was too slow"]
        assert (await asked.cosign(NOTE, 40, TREE)).asked == 0
        await asyncio.sleep(FIRST_REST_SECONDS + 0.1)
        assert (await asked.cosign(NOTE, 40, TREE)).asked == 1
        asked.close()


async def test_a_connection_that_died_is_made_anew() -> None:
    limits = Limits(1 << 20, idle_seconds=0.1)
    async with (
        serving("127.0.0.1:0", fixed(200, b"hello"), limits) as address,
        Peer(f"http://{address}") as peer,
    ):
        for _ in range(3):
            assert (await peer.ask("GET", "/", seconds=5)).body == b"hello"
            await asyncio.sleep(0.3)
    with pytest.raises(ConnectionError):
        await Peer(f"http://{address}").ask("GET", "/", seconds=5)


async def test_an_answer_in_parts_and_one_that_breaks_off() -> None:
    async def part(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        writer.write(b"2\r\nde\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def broken(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await writer.drain()
        writer.close()

    async def noise(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()

    assert (await told(part)).body == b"abcde"
    for handler in (broken, noise):
        with pytest.raises(ConnectionError):
            await told(handler)


async def told(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> object:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with Peer(f"http://127.0.0.1:{port}") as peer:
            return await peer.ask("GET", "/", seconds=5)
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "url",
    [
        *("", "witness.example", "ftp://witness.example", "http://", "http://:80", "http://a:b"),
        *("http://a:70000", "http://user:word@a", "http://a/?q", "http://a/#f", "http://a b"),
        *("http://a/\n", "http://ä.example", "http://[::1"),
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Peer(url)
    assert caught.value.reason is Reason.CONFIG_INVALID
