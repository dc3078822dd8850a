"""HTTP/1.1 to one server that is not trusted: one connection, kept open, answers with a bound.

    peer = Peer("https://witness.example/w1")
    answer = await peer.ask("POST", "/add-checkpoint", body, seconds=5)

Redirects are not followed: whoever is asked is who was configured.
"""

import asyncio
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import h11

from walras.core.errors import InvalidInput, Reason

MAX_ANSWER_BYTES = 1 << 18
MAX_HEAD_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; every part is hostile."""

    status: int
    content_type: str
    body: bytes


class Peer:
    """A server, by the prefix of its URLs.

    Not for several tasks at once.

    Raises, when made:
        InvalidInput: CONFIG_INVALID for what is no http or https URL.
    """

    def __init__(self, url: str, *, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _no_url(url) from None
        plain = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme not in {"http", "https"} or not parts.hostname or not plain:
            raise _no_url(url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise _no_url(url)
        self.url = url
        self._host = parts.hostname
        self._port = port or (443 if parts.scheme == "https" else 80)
        self._authority = parts.netloc
        self._prefix = parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._max_bytes = max_bytes
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter, h11.Connection] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._open is not None:
            self._open[1].transport.abort()
            self._open = None

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        seconds: float,
        content_type: str = "",
    ) -> Answer:
        """Ask once, or twice where a kept connection turns out to be dead.

        Cancelled at any moment it leaves no connection in an unknown state.

        Raises:
            ConnectionError: no connection, no HTTP, too long, or not in time.
        """
        reused = self._open is not None
        done = False
        try:
            async with asyncio.timeout(seconds):
                try:
                    answer = await self._exchange(method, path, body, content_type)
                except (OSError, EOFError):
                    if not reused:
                        raise
                    # The server may close what is idle; then it has not seen this request.
                    self.close()
                    answer = await self._exchange(method, path, body, content_type)
            done = True
        except TimeoutError:
            raise self._failed(f"no answer within {seconds:g} s") from None
        except (OSError, EOFError, UnicodeError, h11.ProtocolError) as error:
            raise self._failed(str(error) or type(error).__name__) from error
        finally:
            if not done:
                self.close()
        return answer

    async def _exchange(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        if self._open is None:
            reader, writer = await asyncio.open_connection(
                self._host,
                self._port,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
            http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
            self._open = reader, writer, http
        reader, writer, http = self._open
        headers = [("Host", self._authority), ("Content-Length", str(len(body)))]
        if content_type:
            headers.append(("Content-Type", content_type))
        request = h11.Request(method=method, target=self._prefix + path, headers=headers)
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(http.send(event) or b"")
        await writer.drain()
        answer = await self._read(reader, http)
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            http.start_next_cycle()
        else:
            self.close()
        return answer

    async def _read(self, reader: asyncio.StreamReader, http: h11.Connection) -> Answer:
        status, content_type = 0, ""
        parts: list[bytes] = []
        size = 0
        while True:
            match http.next_event():
                case h11.NEED_DATA:
                    data = await reader.read(1 << 16)
                    if not data and not status:
                        raise EOFError("the connection was closed")
                    http.receive_data(data)
                case h11.Response() as response:
                    status = response.status_code
                    found = dict(response.headers).get(b"content-type", b"")
                    content_type = found.decode("latin-1")
                case h11.Data(data=data):
                    size += len(data)
                    if size > self._max_bytes:
                        raise OSError(f"the answer has more than {self._max_bytes} bytes")
                    parts.append(bytes(data))
                case h11.EndOfMessage():
                    return Answer(status, content_type, b"".join(parts))
                case h11.InformationalResponse():
                    continue
                case other:
                    raise EOFError(f"the connection ended: {other}")

    def _failed(self, why: str) -> ConnectionError:
        return ConnectionError(f"{self.url} does not answer: {why}")


def _no_url(url: str) -> InvalidInput:
    return InvalidInput(
        Reason.CONFIG_INVALID,
        f"not the URL of a server: {url[:200]!a}",
        hint="write http://host:port/path or https://host/path, without user, query and fragment",
    )
