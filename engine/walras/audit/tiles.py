"""A log as static files: hash tiles and entry bundles (protocol §8).

A hash tile packs 256 neighbouring hashes of one level of the Merkle tree, every eighth level only:
tile n of level l holds the hashes of the complete subtrees over 256^l leaves from 256·n on. A
bundle holds 256 neighbouring entries, each behind its length in two bytes. The last of each row may
be partial: its path then says how many are in it.

    tile/0/x001/234            hash tile 1234 of level 0
    tile/1/004.p/210           hash tile 4 of level 1, the first 210 hashes
    tile/entries/x001/234      the entries under the first
    blob/<64 hex>              what an entry names by its SHA-256; this log's own

The same paths are served over HTTP and stored in folders.

Source: C2SP tlog-tiles.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from walras.audit.merkle import Tree
from walras.core.errors import AuditFailure, InvalidInput, Reason

CHECKPOINT = "checkpoint"
"""The path of the signed note over everything else."""
VERIFIER_KEY = "log.vkey"
"""The path of the verifier key that the log claims; trust one that you got elsewhere."""
TILE_WIDTH = 256
TILE_HEIGHT = 8
MAX_ENTRY_BYTES = 65_535
MAX_LEVEL = 63
MAX_PATH_CHARS = 64
"""No tile of a log below 2^63 entries has a longer path."""

_TILE = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)
_BLOB = re.compile(r"blob/([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """One file of a log.

    Attributes:
        level: of the hash tile; None for a bundle of entries.
        index: its place in the row, from 0.
        width: how many hashes or entries are in it, 1 to 256.
    """

    level: int | None
    index: int
    width: int

    @property
    def path(self) -> str:
        """Where it is served and stored, relative to the log."""
        thousands = f"{self.index % 1000:03}"
        rest = self.index // 1000
        while rest:
            thousands = f"x{rest % 1000:03}/{thousands}"
            rest //= 1000
        kind = "entries" if self.level is None else self.level
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{kind}/{thousands}{partial}"


def parse_tile_path(path: str) -> Tile | None:
    """The tile whose path this is; None for what is no tile's path."""
    found = _TILE.fullmatch(path)
    if found is None or len(path) > MAX_PATH_CHARS:
        return None
    level, index, width = found.groups()
    tile = Tile(
        None if level == "entries" else int(level),
        int(index.replace("/", "").replace("x", "")),
        int(width or TILE_WIDTH),
    )
    # One path a tile: neither leading zeros nor a partial tile that is full.
    return tile if tile.path == path and (tile.level or 0) <= MAX_LEVEL else None


def blob_path(digest: bytes) -> str:
    """Where the blob of a SHA-256 is served and stored, relative to the log."""
    return f"blob/{digest.hex()}"


def is_blob_path(path: str) -> bool:
    """Whether a path is that of a blob."""
    return _BLOB.fullmatch(path) is not None


def hash_tiles(size: int, old_size: int = 0) -> Iterator[Tile]:
    """The hash tiles of a log of `size` entries that one of `old_size` did not have."""
    level = 0
    while size:
        yield from _row(level, size, old_size)
        level, size, old_size = level + 1, size >> TILE_HEIGHT, old_size >> TILE_HEIGHT


def bundles(size: int, old_size: int = 0) -> Iterator[Tile]:
    """The bundles of a log of `size` entries, in order, that one of `old_size` did not have."""
    return _row(None, size, old_size)


def tile_files(
    entries: Sequence[bytes], tree: Tree, old_size: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file that a log has and its first `old_size` entries did not.

    Bundles come first and hash tiles from level 0 upward, so that whoever stores them in order
    never has a hash without what it is of.

    Args:
        entries: the log, entry for entry; only what is written is read, by slices.
        tree: over exactly these entries.
        old_size: of the log when its files were last written.

    Raises:
        InvalidInput: MESSAGE_TOO_LARGE for an entry that does not fit; FIELD_INVALID for a tree of
            another size.
    """
    if tree.size != len(entries):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"the tree has {tree.size} leaves for {len(entries)} entries",
            field="tree",
        )
    for tile in bundles(tree.size, old_size):
        start = TILE_WIDTH * tile.index
        yield tile.path, encode_bundle(entries[start : start + tile.width])
    for tile in hash_tiles(tree.size, old_size):
        yield tile.path, hash_tile(tree, tile)


def hash_tile(tree: Tree, tile: Tile) -> bytes:
    """The content of a hash tile: `width` hashes of 32 bytes.

    Raises:
        InvalidInput: FIELD_INVALID for a bundle, or if the tree does not reach that far.
    """
    if tile.level is None:
        raise InvalidInput(
            Reason.FIELD_INVALID, "a bundle's content is entries, not hashes", field="tile"
        )
    start = TILE_WIDTH * tile.index
    return tree.hashes(TILE_HEIGHT * tile.level, start, start + tile.width)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The content of a bundle: each entry behind its length, two bytes, big-endian.

    Raises:
        InvalidInput: MESSAGE_TOO_LARGE for an entry of more than 65,535 bytes.
    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise InvalidInput(
                Reason.MESSAGE_TOO_LARGE,
                f"a log entry has at most {MAX_ENTRY_BYTES} bytes, not {len(entry)}",
                hint="store it by its SHA-256 and log the digest",
            )
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle.

    Raises:
        AuditFailure: LOG_MALFORMED if `data` is not exactly that many entries.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + 2
        end = start + int.from_bytes(data[at:start], "big")
        if end > len(data):
            raise AuditFailure(Reason.LOG_MALFORMED, "a bundle ends within an entry")
        entries.append(data[start:end])
        at = end
    if len(entries) != width:
        raise AuditFailure(
            Reason.LOG_MALFORMED, f"a bundle has {len(entries)} entries, not {width}"
        )
    return entries


def _row(level: int | None, size: int, old_size: int) -> Iterator[Tile]:
    """The tiles of one row of `size` elements that a row of `old_size` did not have."""
    if size <= old_size:
        return
    full = size // TILE_WIDTH
    for index in range(old_size // TILE_WIDTH, full):
        yield Tile(level, index, TILE_WIDTH)
    if size % TILE_WIDTH:
        yield Tile(level, full, size % TILE_WIDTH)
