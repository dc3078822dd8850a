"""A log over HTTP, read for an audit: files by GET, nothing believed, everything bounded.

One connection is kept open, as a log is thousands of small files; urllib would open one for each.
Redirects are not followed: whoever is asked is who was named. The standard library alone, so that
an auditor needs no more.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from walras.audit.files import LogFiles
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError

SECONDS = 30.0
"""For an answer, from the request to its last byte, up to `BYTES_A_SECOND`'s worth."""

BYTES_A_SECOND = 1 << 18
"""A host that is slower than this over a longer answer is given up."""

_CHUNK = 1 << 16
_AGENT = "walras-audit"


def is_url(text: str) -> bool:
    """Whether a log is named by a URL."""
    return text.startswith(("http://", "https://"))


class UrlSource(LogFiles):
    """A log by the prefix of its URLs. Not for several threads at once.

    Args:
        url: of the log; `/checkpoint` and the other paths come behind it.
        seconds: for an answer.

    Raises, when made:
        InvalidInput: FIELD_INVALID for what is no http or https URL.
    """

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _no_url(url) from None
        plain = url.isascii() and url.isprintable() and " " not in url
        if not (is_url(url) and parts.hostname and plain):
            raise _no_url(url)
        if parts.username is not None or parts.query or parts.fragment:
            raise _no_url(url)
        self.url = url.rstrip("/")
        self._host = parts.hostname
        self._port = port or (443 if parts.scheme == "https" else 80)
        self._authority = parts.netloc
        self._prefix = parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._seconds = seconds
        self._open: tuple[socket.socket, http.client.HTTPConnection] | None = None

    def read(self, path: str, most: int) -> bytes | None:
        """The file at a path of the log; None where the host says that there is none.

        Raises:
            AuditFailure: LOG_MALFORMED: it has more than `most` bytes.
            WalrasError: LOG_UNREACHABLE: no answer in time, or another than 200, 404 and 410.
        """
        kept = self._open is not None
        try:
            try:
                return self._get(path, most)
            except (OSError, http.client.HTTPException):
                if not kept:
                    raise
                # The host may close what is idle; then it has not seen this request.
                return self._get(path, most)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(path, str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Hang up."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def _get(self, path: str, most: int) -> bytes | None:
        done = False
        try:
            fresh = self._open is None
            sock, connection = self._open = self._open or self._connect()
            with _deadline(sock, self._seconds + most / BYTES_A_SECOND):
                if fresh and isinstance(sock, ssl.SSLSocket):
                    sock.do_handshake()
                connection.request(
                    "GET",
                    f"{self._prefix}/{path}",
                    headers={"Host": self._authority, "User-Agent": _AGENT},
                )
                with connection.getresponse() as response:
                    body = self._body(response, path, most)
                    done = response.isclosed() and not response.will_close
            return body
        finally:
            # What was not read to its end cannot carry another answer.
            if not done:
                self.close()

    def _body(self, response: http.client.HTTPResponse, path: str, most: int) -> bytes | None:
        if response.status in {http.client.NOT_FOUND, http.client.GONE}:
            response.read(_CHUNK)  # if that is all of it, the connection can go on
            return None
        if response.status != http.client.OK:
            raise self._unreachable(path, f"the status is {response.status}")
        parts: list[bytes] = []
        size = 0
        while chunk := response.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise AuditFailure(
                    Reason.LOG_MALFORMED,
                    f"{self.url}/{path} has more than the {most} bytes that it may have",
                )
            parts.append(chunk)
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return b"".join(parts)

    def _connect(self) -> tuple[socket.socket, http.client.HTTPConnection]:
        sock = socket.create_connection((self._host, self._port), timeout=self._seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            sock = self._tls.wrap_socket(
                sock, server_hostname=self._host, do_handshake_on_connect=False
            )
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.auto_open = 0
        connection.sock = sock
        return sock, connection

    def _unreachable(self, path: str, why: str) -> WalrasError:
        return WalrasError(Reason.LOG_UNREACHABLE, f"{self.url}/{path} cannot be read: {why}")


@contextlib.contextmanager
def _deadline(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Shut `sock` after `seconds`: a timeout of its own begins anew with each byte.

    Raises:
        TimeoutError: it did.
    """
    late = threading.Event()

    def shut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            # Not SSLSocket's own, which would say farewell first.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError):
        if late.is_set():
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError(f"no answer within {seconds:g} s")


def _no_url(url: str) -> InvalidInput:
    return InvalidInput(
        Reason.FIELD_INVALID,
        f"not the URL of a log: {url[:200]!a}",
        hint="write http://host:port/path or https://host/path, without user, query and fragment",
    )
