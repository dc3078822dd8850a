"""Key files: 64 hexadecimal digits of an Ed25519 seed, readable by their owner only."""

import os
import secrets
from pathlib import Path

from walras.audit.keys import SEED_BYTES, Signer
from walras.core.errors import InvalidInput, Reason


def write_key(path: Path) -> Signer:
    """Make a new key in a new file.

    Raises:
        InvalidInput: CONFIG_INVALID if the file is there already; a key is never overwritten.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"{path} is there already",
            hint="choose another name; a key is never overwritten",
        ) from None
    with os.fdopen(descriptor, "w") as file:
        file.write(seed.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return Signer.from_seed(seed)


def read_key(path: Path) -> Signer:
    """The key in `path`. Raises as `read_seed`."""
    return Signer.from_seed(read_seed(path))


def read_seed(path: Path) -> bytes:
    """The 32-byte secret seed in `path`.

    Raises:
        InvalidInput: CONFIG_INVALID if there is none or it is not a key.
    """
    try:
        seed = bytes.fromhex(path.read_text().strip())
        Signer.from_seed(seed)
    except FileNotFoundError:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"there is no key file {path}",
            hint=f"make one: walras keygen {path}",
        ) from None
    except (ValueError, InvalidInput):
        raise InvalidInput(
            Reason.CONFIG_INVALID, f"{path} does not hold 64 hexadecimal digits"
        ) from None
    return seed


def read_or_write_key(path: Path) -> Signer:
    """The key in `path`, made first if there is none."""
    return read_key(path) if path.exists() else write_key(path)


def read_or_write_seed(path: Path) -> bytes:
    """The secret seed in `path`, made first if there is none."""
    if not path.exists():
        write_key(path)
    return read_seed(path)
