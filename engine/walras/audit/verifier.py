"""The auditor: what a log proves, from its bytes and the engine's public key alone
(protocol §9).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from walras.audit import envelope
from walras.audit.bindings import EngineKeys, follow, open_at_size
from walras.audit.counts import Counts, Paused
from walras.audit.files import LogFiles
from walras.audit.log import verify_log
from walras.audit.merkle import Subtrees, Tree, leaf_hash
from walras.audit.note import (
    Checkpoint,
    NoteKey,
    is_signed,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
)
from walras.audit.policy import Policy
from walras.audit.replay import Replay
from walras.audit.tiled import TiledTree
from walras.audit.tiles import hash_tile, hash_tiles
from walras.core.errors import AuditFailure, Reason, WalrasError
from walras.protocol.records import Kind

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
        note: that it is in.
        entries: from `start` on.
        tree: over all entries.
        keys: the engine's, one after the other.
        start: index of the first of `entries`.
        signed_from: signatures were verified from this entry on; those before, by an earlier audit.
    """

    checkpoint: Checkpoint
    note: bytes
    entries: Sequence[bytes]
    tree: Subtrees
    keys: EngineKeys
    start: int = 0
    signed_from: int = 0


def verify_entries(
    source: Source,
    key: NoteKey,
    *,
    earlier: Iterable[bytes] = (),
    policy: Policy | None = None,
    progress: Progress = _silent,
) -> VerifiedLog:
    """Level A: every signature, every inclusion, consistency with checkpoints seen before.

    Args:
        source: of the log.
        key: any one that the engine has had, from somewhere the log's host has no say in.
        earlier: signed checkpoints that anybody was given before, such as those of receipts.
        policy: whose witnesses must have cosigned the checkpoint.
        progress: told of how far it is.

    Raises:
        AuditFailure: what is wrong, and where `fields["index"]` is known, which entry.
    """
    note = source.checkpoint()
    checkpoint = _approved(
        note,
        key,
        policy,
        lambda: follow(enumerate(source.entries()), key),
        lambda claimed: verify_log(list(source.entries()), claimed),
    )
    entries = list(source.entries())
    tiles = source.hash_tiles()
    tree = verify_log(entries, checkpoint, tiles)
    if tiles:
        _check_tiles(tree, tiles)
    keys = follow(enumerate(entries), key)
    open_at_size(note, keys)
    for each in earlier:
        _check_earlier(tree, open_at_size(each, keys))
    _verify_signatures(entries, 0, progress)
    return VerifiedLog(checkpoint, note, entries, tree, keys)


def verify_growth(
    source: LogFiles,
    key: NoteKey,
    audited: Checkpoint,
    *,
    start: int,
    known: EngineKeys | None = None,
    earlier: Iterable[bytes] = (),
    policy: Policy | None = None,
    progress: Progress = _silent,
) -> VerifiedLog:
    """Level A of what a log has grown by since a checkpoint that was audited.

    The hash tiles show that all before it is unchanged, and which entries are the right ones; only
    the tiles that this takes are read.

    Args:
        source: of the log, with hash tiles.
        key: any one that the engine has had.
        audited: a checkpoint of the log that level A once held for.
        start: entries are read from here on, at most from the audited size. Those before the
            audited size are compared with the tiles; their signatures are not verified again.
        known: the engine's keys up to entry `start`; None: there was no binding before it.
        earlier: as of `verify_entries`.
        policy: likewise.
        progress: told of how far it is.

    Raises:
        AuditFailure: as `verify_entries`; and ROOT_MISMATCH with `fields["proof"]` for a fork: the
            root that the log now has at the audited size, and the hashes that prove it.
    """
    note = source.checkpoint()

    def followed() -> EngineKeys:
        return follow(enumerate(source.entries(start), start), key, known)

    def committed(claimed: Checkpoint) -> None:
        _read(source, TiledTree(claimed.size, claimed.root, source.hash_tile), start)

    checkpoint = _approved(note, key, policy, followed, committed)
    if checkpoint.size < audited.size:
        _check_rollback(source, checkpoint, audited)
    if checkpoint.size == audited.size and checkpoint.root != audited.root:
        raise _forked(audited, checkpoint.root, ())
    tree = TiledTree(checkpoint.size, checkpoint.root, source.hash_tile)
    if tree.root(audited.size) != audited.root:
        proof = tree.consistency_proof(audited.size)
        raise _forked(audited, tree.root(audited.size), proof)
    entries = _read(source, tree, start)
    keys = follow(enumerate(entries, start), key, known)
    open_at_size(note, keys)
    for each in earlier:
        _check_earlier(tree, open_at_size(each, keys))
    _verify_signatures(entries[audited.size - start :], audited.size, progress)
    return VerifiedLog(checkpoint, note, entries, tree, keys, start, audited.size)


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
    paused: Paused | None = None,
    keep: Callable[[Paused], None] | None = None,
    progress: Progress = _silent,
) -> Replay:
    """As `replay`, with the state that the log adds up to.

    Args:
        log: its entries from where the replay begins.
        source: of the blobs.
        key: the engine's.
        paused: what an earlier replay left, at entry `log.start`; None begins with the first.
        keep: given the last pause that the log allows. Believe it only once this returns.
        progress: told of how far it is.
    """
    root_at = log.tree.root
    if paused is None:
        machine = Replay(log.keys.first, source.blob, root_at)
    else:
        machine = Replay.resume(paused, log.keys.first, source.blob, root_at)
    rest = _last_rest(log.entries)
    for index in range(len(log.entries) + 1):
        if index == rest and keep is not None:
            found = machine.pause()
            if found is not None:
                keep(found)
        if index % _EVERY == 0 or index == len(log.entries):
            progress(index, len(log.entries))
        if index < len(log.entries):
            machine.apply(log.entries[index])
    machine.finish()
    if machine.state.domain != key.name:
        raise AuditFailure(
            Reason.CHECKPOINT_INVALID, "the checkpoint's origin is not the log's domain"
        )
    return machine


def _last_rest(entries: Sequence[bytes]) -> int:
    """How many of the entries end where no batch is open, at most; they begin so."""
    for index in range(len(entries) - 1, -1, -1):
        kind = envelope.decode(entries[index]).payload_type
        if kind == Kind.OPENED.payload_type:
            return index
        if kind in {Kind.SETTLED.payload_type, Kind.VOIDED.payload_type}:
            break
    return len(entries)


def _verify_signatures(entries: Sequence[bytes], start: int, progress: Progress) -> None:
    for index, leaf in enumerate(entries, start):
        if (index - start) % _EVERY == 0:
            progress(index - start, len(entries))
        try:
            envelope.verify_envelope(envelope.decode(leaf))
        except WalrasError as error:
            raise AuditFailure(
                error.reason, f"entry {index}: {error.message}", index=index
            ) from error
    progress(len(entries), len(entries))


def _read(source: LogFiles, tree: TiledTree, start: int) -> list[bytes]:
    """The entries from `start` on, each the one that the tree has there."""
    entries: list[bytes] = []
    for index, leaf in enumerate(source.entries(start), start):
        if index >= tree.size or leaf_hash(leaf) != tree.leaf(index):
            raise AuditFailure(
                Reason.ROOT_MISMATCH,
                f"entry {index} is not the one that the checkpoint commits to",
                index=index,
            )
        entries.append(leaf)
    return entries


def _approved(
    note: bytes,
    key: NoteKey,
    policy: Policy | None,
    followed: Callable[[], EngineKeys],
    committed: Callable[[Checkpoint], object],
) -> Checkpoint:
    """The checkpoint, if the key signed it or one that bindings lead to: so that another log's is
    refused before its entries are read. Whether that key was in force is seen once they hold.

    Bindings are followed before the entries are known to be the checkpoint's. A false one is the
    log's only if `committed` finds no fault with them; else the host slipped it in.
    """
    if is_signed(parse_note(note), key):
        checkpoint = open_checkpoint(note, key)
    else:
        try:
            keys = followed()
        except AuditFailure as failure:
            if failure.reason is Reason.KEY_BINDING_INVALID:
                committed(parse_checkpoint(parse_note(note).text))
            raise
        checkpoint = open_at_size(note, keys)
    if policy is not None:
        policy.approve(parse_note(note))
    return checkpoint


def _check_tiles(tree: Tree, tiles: Mapping[str, bytes]) -> None:
    for tile in hash_tiles(tree.size):
        if tiles.get(tile.path) != hash_tile(tree, tile):
            raise AuditFailure(
                Reason.LOG_MALFORMED,
                f"{tile.path} does not hold the hashes of the log's entries",
                tile=tile.path,
            )


def _check_earlier(tree: Subtrees, checkpoint: Checkpoint) -> None:
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


def _check_rollback(source: LogFiles, checkpoint: Checkpoint, audited: Checkpoint) -> None:
    """A checkpoint below one that was audited is of a fork, or older than that."""
    tree = TiledTree(audited.size, audited.root, source.hash_tile)
    if tree.root(checkpoint.size) != checkpoint.root:
        proof = tree.consistency_proof(checkpoint.size)
        raise _forked(checkpoint, tree.root(checkpoint.size), proof)
    raise AuditFailure(
        Reason.LOG_INCOMPLETE,
        f"a checkpoint of {audited.size} entries was signed; the log now shows an older one, of"
        f" {checkpoint.size}",
    )


def _forked(smaller: Checkpoint, root: bytes, proof: Iterable[bytes]) -> AuditFailure:
    """`root` is what the larger of two checkpoints has at the size of the smaller."""
    return AuditFailure(
        Reason.ROOT_MISMATCH,
        f"the log was rewritten: two checkpoints disagree on its first {smaller.size} entries",
        size=smaller.size,
        root=root.hex(),
        proof=" ".join(each.hex() for each in proof),
    )
