"""JSON as an exact format: no floats, no NaN, no key twice, UTF-8 only, bounded."""

import json
import re
from collections import Counter
from decimal import Decimal, InvalidOperation

from walras.core.errors import InvalidInput, Reason

MAX_BYTES = 256 << 20
"""A larger document is refused unread."""

MAX_DIGITS = 400
"""A longer number is refused; 2^255 has 77 digits."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_strict(data: bytes, *, decimals: bool = False) -> object:
    """The JSON value in `data`.

    Args:
        data: UTF-8, without a byte order mark, at most MAX_BYTES.
        decimals: read a number with a point or an exponent as an exact `Decimal`; else refuse it.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    if len(data) > MAX_BYTES:
        raise _invalid(f"the file is larger than {MAX_BYTES >> 20} MiB", "split it")
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise _invalid(f"byte {error.start} is not UTF-8", "save the file as UTF-8") from error

    def number(digits: str) -> object:
        if len(digits) > MAX_DIGITS:
            raise _invalid(f"a number has {len(digits)} digits", "check the amounts")
        if not decimals:
            raise _invalid(
                f"{digits} is not a whole number", "write amounts as decimal strings of atoms"
            )
        return _decimal(digits)

    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=number,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise _invalid(
            f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}",
            "no comments, no trailing commas, no byte order mark",
        ) from error
    except RecursionError as error:
        raise _invalid("it is nested too deeply", "a market file is at most five deep") from error
    if _SURROGATE.search(text):
        _check_text(value)
    return value


def _check_text(value: object) -> None:
    # A surrogate that no other one completes is no character: it could be read but never written.
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise _invalid("it escapes half a character", "write \\ud83d\\ude00 as a pair") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _invalid(f"the key {twice[:80]!r} stands twice in one object", "remove one of them")
    return made


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _invalid(f"a number has {len(digits)} digits", "check the amounts")
    return int(digits)


def _decimal(digits: str) -> Decimal:
    # A short text such as 1e999999999 must not become a number of a billion digits later on.
    try:
        number = Decimal(digits)
    except InvalidOperation as error:
        raise _invalid(f"{digits[:40]} is out of range", "check the number") from error
    if abs(number.adjusted()) > MAX_DIGITS:
        raise _invalid(f"{digits[:40]} is out of range", "check the number")
    return number


def _constant(name: str) -> object:
    raise _invalid(f"{name} is not a number", "write amounts as decimal strings of atoms")


def _invalid(message: str, hint: str) -> InvalidInput:
    return InvalidInput(Reason.MARKET_FILE_INVALID, message, hint=hint)
