"""What a witness remembers: for each log the checkpoint that it last cosigned, in a file each.

    <folder>/lock                           held while a witness runs
    <folder>/<SHA-256 of origin>.checkpoint the note, with the log's signature and the witness' own

A file is replaced whole: written beside, synced, renamed, and the folder synced, before anybody is
told. So after a crash it holds the old note or the new one, and a cosignature that was given out is
never forgotten.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from walras.audit.cosignature import WitnessKey, cosigned_at
from walras.audit.note import Head, parse_head, parse_note
from walras.core.errors import AuditFailure, InvalidInput, Reason

SUFFIX = ".checkpoint"


def origin_hash(origin: str) -> str:
    """How files and URLs name a log."""
    return sha256(origin.encode()).hexdigest()


class Book:
    """The checkpoints last cosigned. Make one with `open_book`."""

    def __init__(self, folder: Path, key: WitnessKey) -> None:
        self._folder = folder
        self._notes: dict[str, bytes] = {}
        self._heads: dict[str, Head] = {}
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            self._read(path, key)
        # A draft is what a crash left before anything was said.
        for draft in folder.glob(".*.draft"):
            draft.unlink()

    def latest(self, origin: str) -> Head | None:
        """The head last cosigned; None if none ever was."""
        return self._heads.get(origin)

    def note(self, name: str) -> bytes | None:
        """The note last cosigned of the log with this origin hash."""
        return self._notes.get(name)

    def write(self, note: bytes) -> None:
        """Remember a cosigned checkpoint; it is on the disk when this returns.

        Raises:
            OSError: it may not be; nobody may be told of it.
        """
        head = parse_head(parse_note(note).text)
        name = origin_hash(head.origin)
        replace_synced(self._folder / f"{name}{SUFFIX}", note)
        self._notes[name], self._heads[head.origin] = note, head

    def _read(self, path: Path, key: WitnessKey) -> None:
        try:
            data = path.read_bytes()
            note = parse_note(data)
            head = parse_head(note.text)
            ours = cosigned_at(note, key) is not None
        except AuditFailure as error:
            raise _damaged(path, error.message) from error
        name = origin_hash(head.origin)
        if not ours or path.name != f"{name}{SUFFIX}":
            raise _damaged(path, f"it is not what {key.name} cosigned of this log")
        self._notes[name], self._heads[head.origin] = data, head


@contextmanager
def open_book(folder: Path, key: WitnessKey) -> Iterator[Book]:
    """The book in `folder`, made if need be, for one process at a time.

    Raises:
        InvalidInput: CONFIG_INVALID: another process has it, or a file in it is not this witness'.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidInput(
                Reason.CONFIG_INVALID,
                f"another witness runs on {folder}",
                hint="stop it, or choose another folder",
            ) from error
        yield Book(folder, key)


def replace_synced(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole and on the disk when this returns, or raise OSError."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _damaged(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        Reason.CONFIG_INVALID,
        f"{path} cannot be relied on: {why}",
        hint="restore it from a copy no older than the last answer, or begin with a new key:"
        " a witness that forgets may cosign a fork",
    )
