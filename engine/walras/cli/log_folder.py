"""Reading a log folder for commands that replay it."""

from pathlib import Path

from walras.audit.note import parse_vkey
from walras.audit.verifier import VerifiedLog, verify_entries
from walras.cli.options import parse_log_key
from walras.cli.output import waiting
from walras.core.errors import InvalidInput, Reason
from walras.store.folder import FolderSource


def read_log(folder: Path, log_key: str) -> tuple[FolderSource, VerifiedLog]:
    """The folder and its entries, each verified.

    Args:
        folder: a log folder.
        log_key: verifier key, or a file with it; empty takes the one that the folder names.

    Raises:
        AuditFailure: what does not hold.
        InvalidInput: FIELD_INVALID or PUBLIC_KEY_INVALID: there is no log or no key.
    """
    source = FolderSource(folder)
    verifier_key = parse_log_key(log_key) or source.verifier_key()
    if not verifier_key:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{folder} names no verifier key",
            hint="give the log's key by --key",
        )
    with waiting("verifying the log"):
        return source, verify_entries(source, parse_vkey(verifier_key))
