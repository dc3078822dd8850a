"""A log as files, wherever they lie: what an audit reads of them, and how much at most.

Everything read is hostile until the audit has checked it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from walras.audit.merkle import HASH_BYTES
from walras.audit.note import MAX_NOTE_BYTES, SIZE_LIMIT
from walras.audit.tiles import (
    CHECKPOINT,
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    VERIFIER_KEY,
    Tile,
    blob_path,
    bundles,
    decode_bundle,
    hash_tiles,
)
from walras.core.errors import AuditFailure, InvalidInput, Reason

MAX_BLOB_BYTES = 1 << 30
"""A bundle's envelope is at most this long, and no blob is longer."""

_MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
_MAX_TILE_BYTES = TILE_WIDTH * HASH_BYTES


class LogFiles(ABC):
    """A log by its paths; a `verifier.Source`.

    While it grows, entries and hash tiles are read as far as the checkpoint that was read last.

    Attributes:
        note: that checkpoint; empty before the first.
    """

    note: bytes = b""
    _size: int | None = None

    @abstractmethod
    def read(self, path: str, most: int) -> bytes | None:
        """The file at a path of the log; None where there is none.

        Args:
            path: as `walras.audit.tiles` names it.
            most: bytes that it may have.

        Raises:
            AuditFailure: LOG_MALFORMED: it is no file, or longer.
            WalrasError: LOG_UNREACHABLE.
        """

    def checkpoint(self) -> bytes:
        """The signed note, as it is now.

        Raises:
            InvalidInput: FIELD_INVALID: there is none, so there is no log.
        """
        note = self.read(CHECKPOINT, MAX_NOTE_BYTES)
        if note is None:
            raise InvalidInput(Reason.FIELD_INVALID, f"there is no log: no file {CHECKPOINT!r}")
        self.note, self._size = note, _claimed_size(note)
        return note

    def verifier_key(self) -> str:
        """The key that the log itself names; empty where it names none."""
        try:
            return (self.read(VERIFIER_KEY, MAX_NOTE_BYTES) or b"").decode().strip()
        except UnicodeDecodeError:
            return ""

    def entries(self, start: int = 0) -> Iterator[bytes]:
        """The log from entry `start`, as far as the checkpoint's size line says.

        Raises:
            AuditFailure: LOG_INCOMPLETE for a missing bundle, LOG_MALFORMED for a bad one.
        """
        for tile in bundles(self._read_size(), start):
            first = tile.index * TILE_WIDTH
            data, width = self.read(tile.path, _MAX_BUNDLE_BYTES), tile.width
            if data is None and width < TILE_WIDTH:
                # The log has grown since: the full one stands in its place.
                width = TILE_WIDTH
                data = self.read(Tile(None, tile.index, width).path, _MAX_BUNDLE_BYTES)
            if data is None:
                raise AuditFailure(
                    Reason.LOG_INCOMPLETE, f"the bundle {tile.path} is not there", index=first
                )
            try:
                found = decode_bundle(data, width)
            except AuditFailure as failure:
                raise AuditFailure(
                    failure.reason,
                    f"{tile.path}, which begins at entry {first}: {failure.message}",
                    index=first,
                ) from failure
            yield from found[max(0, start - first) : tile.width]

    def hash_tile(self, tile: Tile) -> bytes | None:
        """What is stored as a hash tile; None where nothing is."""
        content = self.read(tile.path, _MAX_TILE_BYTES)
        if content is None and tile.width < TILE_WIDTH:
            full = self.read(Tile(tile.level, tile.index, TILE_WIDTH).path, _MAX_TILE_BYTES)
            content = None if full is None else full[: HASH_BYTES * tile.width]
        return content

    def hash_tiles(self) -> dict[str, bytes]:
        """The stored hash tiles by path, up to the first that is not there."""
        found: dict[str, bytes] = {}
        for tile in hash_tiles(self._read_size()):
            content = self.hash_tile(tile)
            if content is None:
                break
            found[tile.path] = content
        return found

    def blob(self, digest: bytes) -> bytes:
        """What stands under `digest`.

        Raises:
            AuditFailure: BLOB_MISSING.
        """
        body = self.read(blob_path(digest), MAX_BLOB_BYTES)
        if body is None:
            raise AuditFailure(
                Reason.BLOB_MISSING, f"the blob {digest.hex()} is not there", digest=digest.hex()
            )
        return body

    def _read_size(self) -> int:
        if self._size is None:
            self.checkpoint()
        return self._size or 0


def _claimed_size(note: bytes) -> int:
    # Read before the note is verified, so only as far as files reach; the audit compares.
    lines = note.split(b"\n", 2)
    size = lines[1] if len(lines) > 1 else b""
    if not (size.isascii() and size.isdigit() and len(size) <= 19):
        return 0
    return min(int(size), SIZE_LIMIT - 1)
