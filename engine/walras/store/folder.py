"""A log as a folder of files that can be copied, served and audited anywhere.

    checkpoint              signed note over everything else
    log.vkey                the verifier key it claims; trust one that you got elsewhere
    tile/…                  hash tiles and entry bundles, as C2SP tlog-tiles names them
    blob/<64 hex>           the problems, bids and bundles that entries name, by their SHA-256

Everything in a folder is hostile until the audit has checked it.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from walras.audit import envelope
from walras.audit.files import LogFiles
from walras.audit.merkle import Tree
from walras.audit.tiles import CHECKPOINT, VERIFIER_KEY, blob_path, tile_files
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.protocol.codec import decode
from walras.protocol.probes import Observations
from walras.protocol.records import (
    KIND_OF_TYPE,
    Awarded,
    BidReceived,
    Kind,
    Observed,
    Sealed,
    Settled,
)
from walras.protocol.sealed_bids import BidUnopened, Committed

_WITH_BLOBS = {
    Kind.SEALED,
    Kind.BID_RECEIVED,
    Kind.AWARDED,
    Kind.OBSERVED,
    Kind.COMMITTED,
    Kind.BID_UNOPENED,
    Kind.SETTLED,
    Kind.OBSERVATIONS,
}


def blobs_of(entry: bytes) -> tuple[bytes, ...]:
    """The digests of the blobs that a log entry names.

    Raises:
        InvalidInput: the entry is not a record; nothing is said of its signature.
    """
    signed = envelope.decode(entry)
    kind = KIND_OF_TYPE.get(signed.payload_type)
    # Most entries are intents, which name none.
    if kind not in _WITH_BLOBS:
        return ()
    match decode(kind, signed.body):
        case Sealed(problem_digest=digest, dispatch_digest=dispatch):
            return (digest, dispatch) if dispatch else (digest,)
        case BidReceived(bid_digest=digest):
            return (digest,)
        case Awarded(bundle_digest=bundle, certificate_digest=certificate):
            return (bundle, certificate)
        case Committed(commitments_digest=digest):
            return (digest,)
        case BidUnopened(opening_digest=digest):
            return (digest,) if digest else ()
        case Observed(calls_digest=digest) | Observations(list_digest=digest):
            return (digest,)
        case Settled(bundle_digest=bundle, balances_digest=balances, venues_digest=venues):
            return (bundle, balances, venues)
        case _:
            return ()


def write_log_folder(
    folder: Path,
    entries: Sequence[bytes],
    checkpoint: bytes,
    verifier_key: str,
    blobs: Iterable[tuple[bytes, bytes]],
) -> None:
    """Write a log to `folder`; the checkpoint comes last, so what it covers is there.

    Args:
        folder: made if need be. A log that is there already is replaced file by file.
        entries: as many as the checkpoint covers.
        checkpoint: signed note.
        verifier_key: of the log.
        blobs: digest and content of what the entries name.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for digest, body in blobs:
        _write(folder / blob_path(digest), body)
    tree = Tree()
    for entry in entries:
        tree.append(entry)
    for path, content in tile_files(entries, tree):
        _write(folder / path, content)
    _write(folder / VERIFIER_KEY, f"{verifier_key}\n".encode())
    _write(folder / CHECKPOINT, checkpoint)


class FolderSource(LogFiles):
    """A log folder, read for an audit. What is in it is hostile.

    Every reading raises AuditFailure LOG_MALFORMED for what is no regular file, or one longer than
    any that an engine writes.

    Raises, when made:
        InvalidInput: FIELD_INVALID if there is no log in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / CHECKPOINT).is_file():
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"there is no log in {folder}: it has no file {CHECKPOINT!r}",
                hint="write one: walras export ADDRESS DIR",
            )

    def read(self, path: str, most: int) -> bytes | None:
        """The file at a path of the log; None where there is none."""
        try:
            return _read(self.folder / path, most)
        except FileNotFoundError:
            return None


def _read(path: Path, most: int) -> bytes:
    """The content of the regular file `path`, of at most `most` bytes.

    Raises:
        AuditFailure: LOG_MALFORMED.
        FileNotFoundError: there is no such file.
    """
    # Without waiting: nobody may ever write to a pipe that stands there.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise AuditFailure(Reason.LOG_MALFORMED, f"{path} is not a regular file")
        if status.st_size > most:
            raise AuditFailure(
                Reason.LOG_MALFORMED,
                f"{path} has {status.st_size} bytes, more than the {most} that it may have",
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    """Put `content` at `path`: whole or, after a crash, not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
