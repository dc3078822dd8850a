"""A log folder that grows with its log: what is new is added, the checkpoint comes last.

Files are on the disk before the checkpoint that covers them, so that whatever moment a crash comes
at, the folder is the log at the size that its checkpoint says. A partial tile goes once the full
one is there.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from walras.audit.bindings import EngineKeys, open_at_size
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, open_checkpoint, parse_head, parse_note, parse_vkey
from walras.audit.tiles import CHECKPOINT, TILE_WIDTH, VERIFIER_KEY, bundles, hash_tiles
from walras.core.errors import AuditFailure, InvalidInput, Reason


class GrowingFolder:
    """The folder that one engine publishes its log in. Its methods block; run them in a thread.

    Args:
        folder: made if need be.
        verifier_key: the log's first, which its readers follow to the later ones.
    """

    def __init__(self, folder: Path, verifier_key: str) -> None:
        self.folder = folder
        self._verifier_key = verifier_key
        self._touched: set[Path] = set()

    def begin(self, tree: Tree, keys: EngineKeys | None = None) -> int:
        """How much of the log is there already.

        Args:
            tree: of the log.
            keys: the engine's; None: the one of the verifier key alone.

        Raises:
            InvalidInput: CONFIG_INVALID: what is there is of another log, or of more than `tree`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            note = (self.folder / CHECKPOINT).read_bytes()
        except FileNotFoundError:
            self.add([(VERIFIER_KEY, f"{self._verifier_key}\n".encode())])
            return 0
        found = self._open(note, keys)
        if found.size > tree.size or tree.root(found.size) != found.root:
            raise self._foreign(
                f"its checkpoint of {found.size} entries is not of this log, which has {tree.size}"
            )
        return found.size

    def has(self, path: str) -> bool:
        """Whether a file is there."""
        return (self.folder / path).exists()

    def add(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Put each content at its path, whole or not at all."""
        for path, content in files:
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.draft")
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
            self._touched.update(
                parent for parent in target.parents if parent.is_relative_to(self.folder)
            )

    def publish(self, note: bytes, old_size: int) -> None:
        """Put a checkpoint there, once all that it covers is added and on the disk.

        Args:
            note: it.
            old_size: of the one that was there.
        """
        self._sync()
        self.add([(CHECKPOINT, note)])
        self._sync()
        self._prune(old_size, parse_head(parse_note(note).text).size)

    def _sync(self) -> None:
        for path in sorted(self._touched, reverse=True):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._touched.clear()

    def _prune(self, old_size: int, size: int) -> None:
        for tile in (*bundles(size, old_size), *hash_tiles(size, old_size)):
            if tile.width == TILE_WIDTH:
                shutil.rmtree(self.folder / f"{tile.path}.p", ignore_errors=True)

    def _open(self, note: bytes, keys: EngineKeys | None) -> Checkpoint:
        try:
            if keys is not None:
                return open_at_size(note, keys)
            return open_checkpoint(note, parse_vkey(self._verifier_key))
        except AuditFailure as error:
            raise self._foreign(error.message) from error

    def _foreign(self, why: str) -> InvalidInput:
        return InvalidInput(
            Reason.CONFIG_INVALID,
            f"{self.folder} cannot take this log: {why}",
            hint="restore the database, or give the log another folder",
        )
