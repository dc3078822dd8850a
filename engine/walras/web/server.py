"""HTTP/1.1 for strangers: small, bounded in every direction, nothing but what is needed here.

    async with serving("127.0.0.1:7480", handler) as address: …

A handler gets a request whole and answers it whole, or with an open file. Connections, heads,
bodies and the time for each have bounds. There is no TLS: a proxy or a CDN stands in front.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

import h11
import structlog

from walras.core.errors import InvalidInput, Reason

log = structlog.get_logger()

MAX_HEAD_BYTES = 16 << 10
MAX_CONNECTIONS = 512
CHUNK_BYTES = 256 << 10
MAX_LINGER_BYTES = 4 << 20
"""Of what a peer still sends once it was answered, read to be thrown away."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its method, its path as sent and without the query, its body."""

    method: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """One answer.

    Attributes:
        status: HTTP's.
        body: all of it, or an open file that is read from its beginning and closed.
        content_type: of the body.
        headers: others.
    """

    status: int
    body: bytes | BinaryIO = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server bears.

    Attributes:
        body_bytes: of a request.
        connections: at once; who comes then is sent away.
        idle_seconds: until the head of the next request is there.
        body_seconds: until its body is.
        handler_seconds: for the answer to be made.
        send_seconds: until the peer has taken a chunk of it.
    """

    body_bytes: int = 0
    connections: int = MAX_CONNECTIONS
    idle_seconds: float = 30.0
    body_seconds: float = 10.0
    handler_seconds: float = 30.0
    send_seconds: float = 30.0


@contextlib.asynccontextmanager
async def serving(
    listen: str, handler: Handler, limits: Limits | None = None
) -> AsyncIterator[str]:
    """Serve on host:port while the context lasts; gives the address, with the port that was taken.

    Raises:
        InvalidInput: CONFIG_INVALID: nothing can listen there.
    """
    bounds = limits or Limits()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Connection(reader, writer, handler, bounds).serve()
            await _hang_up(reader, writer, bounds)
        except (OSError, TimeoutError):
            log.debug("a peer went away or was too slow")
        finally:
            # Nobody waits for a peer that does not take what it asked for.
            writer.transport.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(tasks) >= bounds.connections:
            writer.transport.abort()
            return
        # Not asyncio's own task for it: Python 3.11 reports its cancellation as an error.
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    host, _, port = listen.rpartition(":")
    try:
        server = await asyncio.start_server(connected, host.strip("[]") or None, int(port))
    except (OSError, ValueError, OverflowError) as error:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"cannot listen on {listen}: {error}",
            hint="give another host:port; port 0 takes any",
        ) from error
    try:
        taken = server.sockets[0].getsockname()[1]
        yield f"{host}:{taken}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _hang_up(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits
) -> None:
    """Close when the peer has the answer: to close on what it still sends would reset it."""
    async with asyncio.timeout(limits.send_seconds):
        await writer.drain()
        writer.write_eof()
        left = MAX_LINGER_BYTES
        while left > 0 and (data := await reader.read(1 << 16)):
            left -= len(data)


class _TooLarge(Exception):
    """The body of a request passes its bound."""


class _Connection:
    """One connection, request after request."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        limits: Limits,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def serve(self) -> None:
        """Answer until the peer hangs up, errs or is too slow."""
        while True:
            try:
                head = await self._within(self._limits.idle_seconds, self._event())
                if not isinstance(head, h11.Request):
                    return
                body = await self._within(self._limits.body_seconds, self._body())
            except h11.RemoteProtocolError as error:
                if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                    await self._send("GET", Response(error.error_status_hint, b"bad request\n"))
                return
            except _TooLarge:
                await self._send("POST", Response(413, b"the body is too large\n"))
                return
            method = head.method.decode("ascii")
            path = head.target.decode("ascii").partition("?")[0]
            await self._send(method, await self._answer(Request(method, path, body)))
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._within(self._limits.handler_seconds, self._handler(request))
        except TimeoutError:
            log.warning("an answer took too long", path=request.path)
            return Response(503, b"busy\n")
        except Exception:
            # One request that fails must not end those who ask for something else.
            log.exception("a handler failed", path=request.path)
            return Response(500, b"internal error\n")

    async def _body(self) -> bytes:
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        parts: list[bytes] = []
        size = 0
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data), "h11 gives data until the end of a message"
            size += len(event.data)
            if size > self._limits.body_bytes:
                raise _TooLarge
            parts.append(bytes(event.data))
        return b"".join(parts)

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(1 << 16))
        return event

    async def _send(self, method: str, response: Response) -> None:
        body = response.body
        try:
            size = len(body) if isinstance(body, bytes) else os.fstat(body.fileno()).st_size
            headers = {
                "Content-Type": response.content_type,
                "Content-Length": str(size),
                "X-Content-Type-Options": "nosniff",
                **response.headers,
            }
            await self._write(
                h11.Response(status_code=response.status, headers=list(headers.items()))
            )
            if method != "HEAD":
                await self._send_body(body, size)
            await self._write(h11.EndOfMessage())
        finally:
            if not isinstance(body, bytes):
                body.close()

    async def _send_body(self, body: bytes | BinaryIO, size: int) -> None:
        if isinstance(body, bytes):
            if body:
                await self._write(h11.Data(data=body))
            return
        left = size
        while left:
            chunk = await asyncio.to_thread(body.read, min(left, CHUNK_BYTES))
            if not chunk:
                raise OSError("a file became shorter while it was sent")
            await self._write(h11.Data(data=chunk))
            left -= len(chunk)

    async def _write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
        await self._within(self._limits.send_seconds, self._writer.drain())

    @staticmethod
    async def _within(seconds: float, work: Awaitable[T]) -> T:
        async with asyncio.timeout(seconds):
            return await work
