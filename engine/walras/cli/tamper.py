"""Showing that an audit would find a lie: one byte of a copied log, changed."""

import shutil
from pathlib import Path

from walras.audit import envelope
from walras.audit.tiles import TILE_WIDTH, bundles
from walras.core.errors import InvalidInput, Reason
from walras.protocol.records import Kind
from walras.store.folder import FolderSource


def copy_with_flipped_byte(folder: Path, copy: Path) -> int:
    """Copy a log folder and change one byte of an intent in the copy.

    Returns:
        The index of the changed entry.

    Raises:
        InvalidInput: NOT_FOUND if the log holds no intent.
    """
    shutil.copytree(folder, copy)
    entries = list(FolderSource(copy).entries())
    intents = [
        index
        for index, entry in enumerate(entries)
        if envelope.decode(entry).payload_type == Kind.INTENT.payload_type
    ]
    if not intents:
        raise InvalidInput(Reason.NOT_FOUND, f"the log in {folder} holds no intent")
    index = intents[len(intents) // 2]
    tile = next(t for t in bundles(len(entries)) if t.index == index // TILE_WIDTH)
    path = copy / tile.path
    data = bytearray(path.read_bytes())
    before = entries[tile.index * TILE_WIDTH : index]
    at = sum(2 + len(entry) for entry in before) + 2 + len(entries[index]) // 3
    data[at] ^= 0x01
    path.write_bytes(data)
    return index
