"""A log's Merkle tree, read from its hash tiles as far as needed; nothing is believed.

The tiles at the right edge hold the tree's peaks, and the peaks hash to the root: so these tiles
are the checkpoint's or are refused. Every other tile is full, and hashes to one hash in the tile
above it, which was checked before. A root or a proof at any size reads O(log n) tiles, of which
most are remembered.

Source: C2SP tlog-tiles; RFC 6962 §2.1.
"""

from collections.abc import Callable
from functools import lru_cache

from walras.audit.merkle import HASH_BYTES, Subtrees, node_hash
from walras.audit.tiles import TILE_HEIGHT, TILE_WIDTH, Tile
from walras.core.errors import AuditFailure, Reason

_REMEMBERED = 1_024
"""Tiles, of 8 KiB."""


class TiledTree(Subtrees):
    """The tree of `size` leaves and the root `root`.

    Args:
        size: of a verified checkpoint.
        root: its.
        read: the content of a hash tile, from anywhere; None where there is none.

    Raises, when made and when asked for anything:
        AuditFailure: LOG_INCOMPLETE: a tile is not there; LOG_MALFORMED: one does not hold what the
            root commits to. `fields["tile"]` is its path.
    """

    def __init__(self, size: int, root: bytes, read: Callable[[Tile], bytes | None]) -> None:
        self._size = size
        self._read = read
        self._edge: dict[int, bytes] = {}
        level, row = 0, size
        while row:
            if row % TILE_WIDTH:
                tile = Tile(level, row // TILE_WIDTH, row % TILE_WIDTH)
                self._edge[level] = self._content(tile)
            level, row = level + 1, row >> TILE_HEIGHT
        if self.root() != root:
            raise AuditFailure(
                Reason.LOG_MALFORMED,
                f"the hash tiles at the end of the {size} entries are not of the checkpoint's root",
            )
        self._full = lru_cache(_REMEMBERED)(self._checked)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    def leaf(self, index: int) -> bytes:
        """The hash of leaf `index`, which is below the size."""
        return self._subtree(0, index)

    def _subtree(self, level: int, index: int) -> bytes:
        row, height = divmod(level, TILE_HEIGHT)
        first = index << height
        place, offset = divmod(first, TILE_WIDTH)
        # What is not in the row's last, partial tile is in a full one.
        at_edge = place == (self._size >> TILE_HEIGHT * row) // TILE_WIDTH
        content = self._edge[row] if at_edge else self._full(row, place)
        return _fold(content, offset, 1 << height)

    def _checked(self, row: int, place: int) -> bytes:
        tile = Tile(row, place, TILE_WIDTH)
        content = self._content(tile)
        if _fold(content, 0, TILE_WIDTH) != self._subtree(TILE_HEIGHT * (row + 1), place):
            raise AuditFailure(
                Reason.LOG_MALFORMED,
                f"{tile.path} does not hold the hashes that the checkpoint commits to",
                tile=tile.path,
            )
        return content

    def _content(self, tile: Tile) -> bytes:
        content = self._read(tile)
        if content is None:
            raise AuditFailure(
                Reason.LOG_INCOMPLETE,
                f"the hash tile {tile.path} is not there",
                hint="an audit from the beginning needs none: leave out --state and --since",
                tile=tile.path,
            )
        if len(content) != HASH_BYTES * tile.width:
            raise AuditFailure(
                Reason.LOG_MALFORMED,
                f"{tile.path} has {len(content)} bytes, not {HASH_BYTES * tile.width}",
                tile=tile.path,
            )
        return content


def _fold(content: bytes, start: int, count: int) -> bytes:
    """The hash over `count` neighbouring hashes, a power of two of them."""
    row = [
        content[at : at + HASH_BYTES]
        for at in range(HASH_BYTES * start, HASH_BYTES * (start + count), HASH_BYTES)
    ]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]
