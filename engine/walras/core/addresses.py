"""Network addresses as people write them: host:port."""

import re

from walras.core.errors import InvalidInput, Reason

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^:\[\]/\s]+):([0-9]{1,5})")


def check_address(text: str) -> str:
    """`text`, if it has the form host:port.

    gRPC would take the port modulo 65,536, and would look up anything else as a name.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    found = _ADDRESS.fullmatch(text)
    if not found or int(found[1]) > 65_535:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{text[:80]!r} is not host:port",
            hint="write it as 127.0.0.1:7400, without a scheme; a port is at most 65535",
        )
    return text


def is_address(text: str) -> bool:
    """Whether `text` has the form host:port."""
    try:
        check_address(text)
    except InvalidInput:
        return False
    return True
