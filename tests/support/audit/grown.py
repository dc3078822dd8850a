"""A log as it was at its earlier sizes: what an auditor comes back to."""

from functools import cache

from support.audit.log_copy import LogCopy
from walras.audit.files import LogFiles
from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, NoteKey, format_vkey, sign_checkpoint
from walras.audit.tiles import CHECKPOINT, VERIFIER_KEY, blob_path, tile_files
from walras.core.errors import AuditFailure, Reason


class Host(LogFiles):
    """The files of a log in memory, and which of them were read.

    Attributes:
        files: by path; a test may change them.
        asked: paths, in order.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []

    def read(self, path: str, most: int) -> bytes | None:
        self.asked.append(path)
        content = self.files.get(path)
        if content is not None and len(content) > most:
            raise AuditFailure(Reason.LOG_MALFORMED, f"{path} is too long")
        return content


def host(log: LogCopy, size: int, key: NoteKey, engine: Signer) -> Host:
    """The log's first `size` entries, served."""
    leaves = log.leaves[:size]
    tree = _tree(tuple(leaves))
    files = dict(tile_files(leaves, tree))
    files |= {blob_path(digest): body for digest, body in log.blobs.items()}
    files[VERIFIER_KEY] = f"{format_vkey(key)}\n".encode()
    files[CHECKPOINT] = sign_checkpoint(Checkpoint(key.name, size, tree.root()), key.name, engine)
    return Host(files)


@cache
def _tree(leaves: tuple[bytes, ...]) -> Tree:
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree
