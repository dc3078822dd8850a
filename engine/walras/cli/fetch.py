"""Bringing a server's log here, as a log folder."""

from hashlib import sha256
from pathlib import Path

from walras.audit.bindings import open_at_size
from walras.audit.note import format_vkey, parse_vkey
from walras.audit.tiles import VERIFIER_KEY
from walras.cli.options import parse_log_key
from walras.cli.output import progress
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.sdk.calls import bounded
from walras.sdk.client import Client
from walras.sdk.rotation import log_keys
from walras.store.folder import blobs_of, write_log_folder

_BLOBS_IN_FLIGHT = 8


async def fetch_log(client: Client, folder: Path, log_key: str = "") -> tuple[int, int]:
    """Write the log of `client`'s engine to `folder`.

    Args:
        client: of the engine.
        folder: made if need be.
        log_key: the verifier key that must have signed it, or that bindings lead from to the one
            that did; empty takes the server's own.

    Returns:
        How many entries and blobs it has.

    Raises:
        AuditFailure: CHECKPOINT_INVALID if another key signed it; LOG_INCOMPLETE, BLOB_MISMATCH.
        InvalidInput: FIELD_INVALID if the folder holds the log of another key.
    """
    answer = await client.checkpoint()
    verifier_key = parse_log_key(log_key) or answer.verifier_key
    keys = await log_keys(client, parse_vkey(verifier_key))
    checkpoint = open_at_size(answer.checkpoint, keys)
    _check_free(folder, {format_vkey(key) for key in keys.all})
    entries: list[bytes] = []
    with progress("entries", checkpoint.size) as advance:
        async for entry in client.entries(0, checkpoint.size):
            entries.append(entry)
            advance(1)
    if len(entries) != checkpoint.size:
        raise AuditFailure(
            Reason.LOG_INCOMPLETE,
            f"the server gives {len(entries)} of the {checkpoint.size} entries it signed",
        )
    digests = list(dict.fromkeys(digest for entry in entries for digest in blobs_of(entry)))

    with progress("blobs", len(digests)) as advance:

        async def fetch(digest: bytes) -> tuple[bytes, bytes]:
            body = await client.blob(digest)
            if sha256(body).digest() != digest:
                raise AuditFailure(
                    Reason.BLOB_MISMATCH, f"the server gives another blob for {digest.hex()}"
                )
            advance(1)
            return digest, body

        blobs = await bounded(fetch, digests, _BLOBS_IN_FLIGHT)
    write_log_folder(folder, entries, answer.checkpoint, verifier_key, blobs)
    return len(entries), len(blobs)


def _check_free(folder: Path, verifier_keys: set[str]) -> None:
    """Another engine's log must not be overwritten: two logs in a folder are none."""
    held = folder / VERIFIER_KEY
    if held.is_file() and held.read_text(errors="replace").strip() not in verifier_keys:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{folder} holds the log of another engine",
            hint="choose another folder, or remove it",
        )
