"""Options that several commands share, and how their texts are read."""

import re
from pathlib import Path
from typing import Annotated

import typer

from walras.audit.note import MAX_NOTE_BYTES, parse_vkey
from walras.core.errors import InvalidInput, Reason

DEFAULT_ADDRESS = "127.0.0.1:7400"

Address = Annotated[
    str, typer.Option("--address", "-a", envvar="WALRAS_ADDRESS", help="The engine's host:port.")
]
KeyFile = Annotated[Path, typer.Option("--key", "-k", help="Your key file; see walras keygen.")]
LogKey = Annotated[
    str,
    typer.Option(
        "--log-key", help="The log's verifier key, or a file with it. Unset: the server's own."
    ),
]

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration(text: str) -> int:
    """Milliseconds of a duration such as 90s, 10m, 2h or 1d.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if not found:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"{text!r} is not a duration", hint="write 90s, 10m, 2h or 1d"
        )
    return int(found[1]) * _UNITS[found[2]]


def parse_id(text: str, name: str) -> bytes:
    """The 32 bytes that 64 hexadecimal digits write.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{name} has 64 hexadecimal digits; this is {text[:80]!r}",
            field=name,
        )
    return bytes.fromhex(text)


def parse_log_key(text: str) -> str:
    """A verifier key that is given itself or as the name of a file that holds it.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID: there is such a file, and it does not.
    """
    if not text or "+" in text or not Path(text).is_file():
        return text
    with Path(text).open(errors="replace") as file:
        found = file.read(MAX_NOTE_BYTES).strip()
    try:
        parse_vkey(found)
    except InvalidInput as error:
        raise InvalidInput(
            Reason.PUBLIC_KEY_INVALID,
            f"the file {text} holds no verifier key",
            hint=error.hint,
        ) from error
    return found
