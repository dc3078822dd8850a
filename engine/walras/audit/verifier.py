"""The auditor: what a log proves, from its bytes and the engine's public key alone
(protocol §9).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from walras.audit import envelope
from walras.audit.log import verify_log
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, NoteKey, open_checkpoint
from walras.audit.replay import Counts, Replay
from walras.audit.tiles import hash_tile, hash_tiles
from walras.core.errors import AuditFailure, Reason, WalrasError

Progress = Callable[[int, int], None]
"""Called now and then with how many entries are done, and of how many."""

_EVERY = 500


def _silent(_done: int, _total: int) -> None:
    return


class Source(Protocol):
    """Where a log is read from. Nothing it gives is believed."""

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint."""
        ...

    def entries(self) -> Iterable[bytes]:
        """The log's entries from the first."""
        ...

    def hash_tiles(self) -> Mapping[str, bytes]:
        """Hash tiles by path; empty where there are none."""
        ...

    def blob(self, digest: bytes) -> bytes:
        """The bytes of a SHA-256. Raises AuditFailure BLOB_MISSING."""
        ...


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """Level A holds: the checkpoint is the engine's, it commits to these entries, each is signed.

    Attributes:
        checkpoint: the newest.
        entries: all of them.
        tree: over the entries.
    """

    checkpoint: Checkpoint
    entries: Sequence[bytes]
    tree: Tree


def verify_entries(
    source: Source,
    key: NoteKey,
    *,
    earlier: Iterable[bytes] = (),
    progress: Progress = _silent,
) -> VerifiedLog:
    """Level A: every signature, every inclusion, consistency with checkpoints seen before.

    Args:
        source: of the log.
        key: the engine's, from somewhere the log's host has no say in.
        earlier: signed checkpoints that anybody was given before, such as those of receipts.
        progress: told of how far it is.

    Raises:
        AuditFailure: what is wrong, and where `fields["index"]` is known, which entry.
    """
    checkpoint = open_checkpoint(source.checkpoint(), key)
    entries = list(source.entries())
    tiles = source.hash_tiles()
    tree = verify_log(entries, checkpoint, tiles)
    if tiles:
        _check_tiles(tree, tiles)
    for note in earlier:
        _check_earlier(tree, open_checkpoint(note, key))
    for index, leaf in enumerate(entries):
        if index % _EVERY == 0:
            progress(index, len(entries))
        try:
            envelope.verify_envelope(envelope.decode(leaf))
        except WalrasError as error:
            raise AuditFailure(
                error.reason, f"entry {index}: {error.message}", index=index
            ) from error
    progress(len(entries), len(entries))
    return VerifiedLog(checkpoint, entries, tree)


def replay(
    log: VerifiedLog,
    source: Source,
    key: NoteKey,
    *,
    progress: Progress = _silent,
) -> Counts:
    """Levels B and C: every claim follows from what stands before it, and nothing is left out.

    Raises:
        AuditFailure: the first record that does not follow, its index in `fields["index"]`.
    """
    return replayed(log, source, key, progress=progress).counts


def replayed(
    log: VerifiedLog,
    source: Source,
    key: NoteKey,
    *,
    progress: Progress = _silent,
) -> Replay:
    """As `replay`, with the state that the log adds up to."""
    machine = Replay(key.public_key, source.blob, log.tree.root)
    for index, leaf in enumerate(log.entries):
        if index % _EVERY == 0:
            progress(index, len(log.entries))
        machine.apply(leaf)
    progress(len(log.entries), len(log.entries))
    machine.finish()
    if machine.state.domain != log.checkpoint.origin:
        raise AuditFailure(
            Reason.CHECKPOINT_INVALID, "the checkpoint's origin is not the log's domain"
        )
    return machine


def _check_tiles(tree: Tree, tiles: Mapping[str, bytes]) -> None:
    for tile in hash_tiles(tree.size):
        if tiles.get(tile.path) != hash_tile(tree, tile):
            raise AuditFailure(
                Reason.LOG_MALFORMED,
                f"{tile.path} does not hold the hashes of the log's entries",
                tile=tile.path,
            )


def _check_earlier(tree: Tree, checkpoint: Checkpoint) -> None:
    if checkpoint.size > tree.size:
        raise AuditFailure(
            Reason.LOG_INCOMPLETE,
            f"a checkpoint of {checkpoint.size} entries was signed; the log has {tree.size}",
        )
    if tree.root(checkpoint.size) != checkpoint.root:
        raise AuditFailure(
            Reason.ROOT_MISMATCH,
            f"the log was rewritten: its first {checkpoint.size} entries are not those of a"
            " checkpoint signed before",
        )
