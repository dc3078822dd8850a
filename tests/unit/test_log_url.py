"""A log over HTTP from a host that cannot be trusted: files, bounds, deadlines."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.audit.grown import host
from support.audit.scenario import recorded

from walras.cli.auditing import Wanted, audit_files
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError
from walras.web.log_url import UrlSource


class Files(BaseHTTPRequestHandler):
    """The files of a log; `special` paths answer in their own way."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    special: dict[str, Callable[[BaseHTTPRequestHandler], None]]
    connections: list[object]

    def setup(self) -> None:
        super().setup()
        self.connections.append(self)

    def do_GET(self) -> None:
        path = self.path.removeprefix("/log/")
        if path in self.special:
            self.special[path](self)
            return
        status, body = (200, self.files[path]) if path in self.files else (404, b"not here")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


Special = dict[str, Callable[[BaseHTTPRequestHandler], None]]


@contextmanager
def served(files: dict[str, bytes], special: Special | None = None) -> Iterator[tuple[str, list]]:  # type: ignore[type-arg]
    connections: list[object] = []
    members = {"files": files, "special": special or {}, "connections": connections}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Files,), members))
    thread = threading.Thread(target=partial(server.serve_forever, 0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/log", connections
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def source(url: str, seconds: float = 5.0) -> Iterator[UrlSource]:
    made = UrlSource(url, seconds=seconds)
    try:
        yield made
    finally:
        made.close()


def test_a_log_over_http_is_audited_like_the_log_it_is_of() -> None:
    """All of it over one connection, missing files included."""
    made = recorded()
    size = len(made.log.leaves)
    local = host(made.log, size, made.key, made.engine)
    with served(local.files) as (url, connections), source(url) as remote:
        assert remote.verifier_key() == local.verifier_key()
        found, known = audit_files(remote, made.key)
        again, _ = audit_files(remote, made.key, Wanted(known=known))
        assert remote.read("tile/0/999", 8192) is None
        assert len(connections) == 1
    expected, _ = audit_files(local, made.key)
    assert (found.counts, found.state, found.root) == (
        expected.counts, expected.state, expected.root,
    )  # fmt: skip
    assert again.counts == expected.counts


def test_there_is_no_log_at_a_url_without_a_checkpoint() -> None:
    with served({}) as (url, _), source(url) as remote:
        with pytest.raises(InvalidInput) as caught:
            remote.checkpoint()
        assert caught.value.reason is Reason.FIELD_INVALID


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/", "http://", "http:///log", "http://a:b@x/", "http://x/?a", "http://x/#a",
        "http://x:99999/", "http://x y/", "http://ü/", "http://x/\n", "x", "//x",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_log_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        UrlSource(url)


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[..., None]:
    def say(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return say


def chunked(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")
    except OSError:
        handler.close_connection = True


def drip(where: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """A byte now and then, for ever: no single wait is long."""

    def say(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        try:
            if where == "body":
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
            else:
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                handler.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            return

    return say


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nx")
    handler.close_connection = True


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\xff\x00 hello\r\n\r\n")
    handler.close_connection = True


BAD: dict[str, tuple[Callable[[BaseHTTPRequestHandler], None], Reason]] = {
    "a redirect": (answer(302, Location="http://127.0.0.1:1/"), Reason.LOG_UNREACHABLE),
    "an error": (answer(500), Reason.LOG_UNREACHABLE),
    "too much": (answer(200, bytes(8193)), Reason.LOG_MALFORMED),
    "no end": (chunked, Reason.LOG_MALFORMED),
    "a drip of a body": (drip("body"), Reason.LOG_UNREACHABLE),
    "a drip of a header": (drip("header"), Reason.LOG_UNREACHABLE),
    "an answer cut short": (cut, Reason.LOG_UNREACHABLE),
    "no http": (nonsense, Reason.LOG_UNREACHABLE),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_bounded_and_the_next_one_is_read(name: str) -> None:
    say, reason = BAD[name]
    files = {"tile/0/000": bytes(8192)}
    with served(files, {"tile/0/001": say}) as (url, _), source(url, seconds=0.4) as remote:
        began = time.monotonic()
        with pytest.raises(WalrasError) as caught:
            remote.read("tile/0/001", 8192)
        assert caught.value.reason is reason
        assert isinstance(caught.value, AuditFailure) == (reason is Reason.LOG_MALFORMED)
        assert time.monotonic() - began < 5
        assert remote.read("tile/0/000", 8192) == bytes(8192)


def test_a_page_that_says_not_found_at_length_is_no_file() -> None:
    special: Special = {"tile/0/001": answer(404, bytes(1 << 20))}
    with served({"x": b"y"}, special) as (url, _), source(url) as remote:
        assert remote.read("tile/0/001", 32) is None
        assert remote.read("x", 1) == b"y"


def test_a_connection_that_the_host_closed_meanwhile_is_made_anew() -> None:
    def once(handler: BaseHTTPRequestHandler) -> None:
        answer(200, b"y")(handler)
        handler.close_connection = True  # without saying so

    with served({"x": b"y"}, {"last": once}) as (url, connections), source(url) as remote:
        assert remote.read("last", 1) == b"y"
        assert remote.read("x", 1) == b"y"
        assert len(connections) == 2


def test_nobody_there() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/"
        with source(url) as remote, pytest.raises(WalrasError) as caught:
            remote.checkpoint()
    assert caught.value.reason is Reason.LOG_UNREACHABLE


def test_a_host_that_is_silent_in_the_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with source(url, seconds=0.3) as remote, pytest.raises(WalrasError) as caught:
            remote.read("checkpoint", 1)
    assert caught.value.reason is Reason.LOG_UNREACHABLE
