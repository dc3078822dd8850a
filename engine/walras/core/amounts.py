"""Amounts: whole numbers of atoms, |amount| < 2^255, decimal strings on the wire (protocol §1)."""

import re

from walras.core.errors import InvalidInput, Reason

AMOUNT_LIMIT = 1 << 255
"""Every amount is strictly smaller than this in magnitude."""

_CANONICAL = re.compile(r"0|-?[1-9][0-9]{0,76}")
_SAFE_DIGITS = 76
"""10^76 < 2^255: a number of so many digits is in range."""


def parse_amount(text: str, name: str = "amount") -> int:
    """The integer that `text` writes canonically.

    Args:
        text: decimal digits, "-" in front of a negative one; no "+", no leading zero, no "-0", no
            space.
        name: of the field, for the error.

    Raises:
        InvalidInput: AMOUNT_MALFORMED or AMOUNT_OUT_OF_RANGE.
    """
    # A log has millions of amounts, so the usual ones are told apart without the pattern.
    digits = text.removeprefix("-")
    if digits.isdigit() and digits.isascii() and len(digits) <= _SAFE_DIGITS and digits[0] != "0":
        return int(text)
    if not _CANONICAL.fullmatch(text):
        shown = text if len(text) <= 90 else f"{text[:80]}… ({len(text)} characters)"
        raise InvalidInput(
            Reason.AMOUNT_MALFORMED,
            f"{name} is not a canonical decimal integer: {shown!r}",
            hint="write digits only, with '-' for negatives and no leading zeros",
            field=name,
        )
    return check_amount(int(text), name)


def check_amount(amount: int, name: str = "amount") -> int:
    """`amount`, if it is in range.

    Raises:
        InvalidInput: AMOUNT_OUT_OF_RANGE.
    """
    if not -AMOUNT_LIMIT < amount < AMOUNT_LIMIT:
        raise InvalidInput(
            Reason.AMOUNT_OUT_OF_RANGE, f"{name} must be below 2^255 in magnitude", field=name
        )
    return amount


def parse_positive(text: str, name: str = "amount") -> int:
    """As `parse_amount`, for an amount of at least 1."""
    amount = parse_amount(text, name)
    if amount < 1:
        raise InvalidInput(
            Reason.AMOUNT_OUT_OF_RANGE, f"{name} must be at least 1, not {amount}", field=name
        )
    return amount


def ceil_div(a: int, b: int) -> int:
    """ceil(a / b) toward plus infinity, for b > 0 or b < 0."""
    return -(-a // b)
