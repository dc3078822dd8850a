"""A log folder over HTTP, as C2SP tlog-tiles says: the files as they lie, nothing computed.

    GET /checkpoint                   never from a cache without asking
    GET /log.vkey                     likewise
    GET /tile/…  /tile/entries/…      never changes
    GET /blob/<64 hex>                never changes

Any web server or CDN can do the same; the headers are what it has to add.
"""

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from walras.audit.tiles import CHECKPOINT, VERIFIER_KEY, is_blob_path, parse_tile_path
from walras.web.server import Handler, Request, Response

# A browser may read the log wherever it is served from; there is nothing secret in it.
_OPEN = {"Access-Control-Allow-Origin": "*"}
_MUTABLE = {"Cache-Control": "no-cache", **_OPEN}
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable", **_OPEN}
_MISSING = {"Cache-Control": "no-store", **_OPEN}
_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"


def log_handler(folder: Path) -> Handler:
    """What answers requests for the log in `folder`."""

    async def handle(request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return Response(405, b"this log is read only\n", headers={"Allow": "GET, HEAD"})
        found = _kind(request.path.removeprefix("/"))
        if found is not None:
            content_type, headers = found
            file = await asyncio.to_thread(_open, folder / request.path.removeprefix("/"))
            if file is not None:
                return Response(200, file, content_type, headers)
        return Response(404, b"not found\n", headers=_MISSING)

    return handle


def _kind(path: str) -> tuple[str, Mapping[str, str]] | None:
    """Content type and headers of a file of the log; None for any other path."""
    if path in {CHECKPOINT, VERIFIER_KEY}:
        return _TEXT, _MUTABLE
    if parse_tile_path(path) is not None or is_blob_path(path):
        return _BYTES, _IMMUTABLE
    return None


def _open(path: Path) -> BinaryIO | None:
    # Without waiting: nobody may ever write to a pipe that stands there.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")
