"""What one audit leaves for the next, in a file.

    {"digest": "<SHA-256 of the rest>", "format": "walras audit 1"}
    {"checkpoint": …, "release": …, "seen_s": …, "verifier_key": …}
    {"auction_id": …, …}                        a paused replay, as `audit.snapshot` writes it

The file is replaced whole, so after a crash it holds the old state or the new one. Its digest shows
damage, not malice: whoever can write it can make an audit believe anything.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from walras import __version__
from walras.core.errors import InvalidInput, Reason
from walras.witness.book import replace_synced

MAX_STATE_BYTES = 1 << 32
_FORMAT = "walras audit 1"


@dataclass(frozen=True, slots=True)
class Known:
    """What an audit that held leaves behind.

    Attributes:
        verifier_key: that it was held against.
        checkpoint: signed note; everything under it was audited.
        seen_s: when this checkpoint was first seen, in seconds since 1970.
        paused: a replay that goes on from the last rest before it.
    """

    verifier_key: str
    checkpoint: bytes
    seen_s: int
    paused: bytes


def write_state(path: Path, known: Known) -> None:
    """Put it on the disk; when this returns, it is there.

    Raises:
        OSError: it may not be.
    """
    head = {
        "checkpoint": known.checkpoint.decode(),
        "release": __version__,
        "seen_s": known.seen_s,
        "verifier_key": known.verifier_key,
    }
    body = json.dumps(head, sort_keys=True).encode() + b"\n" + known.paused + b"\n"
    first = {"digest": sha256(body).hexdigest(), "format": _FORMAT}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_synced(path, json.dumps(first, sort_keys=True).encode() + b"\n" + body)


def read_state(path: Path, verifier_key: str) -> Known | None:
    """What was left; None if there is no such file.

    Args:
        path: of the file.
        verifier_key: of the log that is to be audited.

    Raises:
        InvalidInput: CONFIG_INVALID: it is damaged, or of another log or release.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STATE_BYTES)
    except FileNotFoundError:
        return None
    first, _, body = data.partition(b"\n")
    if (
        first
        != json.dumps(
            {"digest": sha256(body).hexdigest(), "format": _FORMAT}, sort_keys=True
        ).encode()
    ):
        raise _unusable(path, "it is damaged, or no state of an audit")
    line, _, paused = body.partition(b"\n")
    head = json.loads(line)
    if head["verifier_key"] != verifier_key:
        raise _unusable(path, f"it is of the log {head['verifier_key']}")
    if head["release"] != __version__:
        # The rules may be others.
        raise _unusable(path, f"release {head['release']} wrote it, and this is {__version__}")
    return Known(
        verifier_key, head["checkpoint"].encode(), head["seen_s"], paused.removesuffix(b"\n")
    )


def _unusable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        Reason.CONFIG_INVALID,
        f"{path} cannot be gone on from: {why}",
        hint="remove it, or name another file, and the audit begins with the first entry",
    )
