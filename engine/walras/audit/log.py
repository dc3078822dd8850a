"""Level A of the audit: the entries are the ones the checkpoint commits to (protocol §9)."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import islice

from walras.audit.merkle import HASH_BYTES, Tree
from walras.audit.note import Checkpoint
from walras.audit.tiles import hash_tiles
from walras.core.errors import AuditFailure, Reason


def verify_log(
    entries: Iterable[bytes],
    checkpoint: Checkpoint,
    stored_tiles: Mapping[str, bytes] | None = None,
) -> Tree:
    """The tree over `entries`, if it is the one that `checkpoint` commits to.

    Args:
        entries: the log from its first entry; at most one more than the checkpoint covers is taken.
        checkpoint: opened and so verified.
        stored_tiles: hash tiles by path, from anywhere; read only to name the first wrong entry.

    Raises:
        AuditFailure: LOG_INCOMPLETE (fewer entries than the checkpoint covers), LOG_MALFORMED
            (more), ROOT_MISMATCH (as many, but others). `fields["index"]` is the first wrong
            entry's index where the tiles, or the surplus itself, prove which it is.
    """
    tree = Tree()
    for entry in islice(entries, checkpoint.size + 1):
        tree.append(entry)
    if tree.size < checkpoint.size:
        reason = Reason.LOG_INCOMPLETE
        message = f"the log ends after {tree.size} of {checkpoint.size} entries"
    elif tree.size > checkpoint.size:
        reason = Reason.LOG_MALFORMED
        message = f"the log goes on after the {checkpoint.size} entries of its checkpoint"
    elif tree.root() != checkpoint.root:
        reason = Reason.ROOT_MISMATCH
        message = f"the {tree.size} entries of the log do not hash to the checkpoint's root"
    else:
        return tree
    index = first_divergence(tree, stored_tiles or {}, checkpoint)
    if index is None and tree.size > checkpoint.size:
        # The entries before may be the right ones; then it is the first one too many.
        index = checkpoint.size if tree.root(checkpoint.size) == checkpoint.root else None
    if index is None:
        raise AuditFailure(reason, message)
    raise AuditFailure(reason, f"{message}; entry {index} is the first wrong one", index=index)


def first_divergence(
    tree: Tree, stored_tiles: Mapping[str, bytes], checkpoint: Checkpoint
) -> int | None:
    """The index of the first entry that is not the one the checkpoint commits to.

    The stored leaf hashes are believed only if they hash to the checkpoint's root, so that a
    damaged tile never accuses an entry.

    Args:
        tree: over the entries as they were found.
        stored_tiles: content by path. Only the tiles of level 0 are read.
        checkpoint: verified.

    Returns:
        An index up to `min(tree.size, checkpoint.size)`, which is the first entry missing or too
        many; None if no entry differs, or if the tiles are incomplete or themselves not the
        checkpoint's.
    """
    committed = Tree()
    for tile in hash_tiles(checkpoint.size):
        if tile.level != 0:
            break
        content = stored_tiles.get(tile.path, b"")
        if len(content) != HASH_BYTES * tile.width:
            return None
        for at in range(0, len(content), HASH_BYTES):
            committed.append_hash(content[at : at + HASH_BYTES])
    if committed.root() != checkpoint.root:
        return None
    common = min(tree.size, checkpoint.size)
    # Prefixes agree up to the first wrong entry and never after it.
    first = bisect_left(
        range(common), True, key=lambda index: tree.root(index + 1) != committed.root(index + 1)
    )
    return None if first == tree.size == checkpoint.size else first
