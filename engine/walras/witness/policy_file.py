"""Reading a tlog-policy from a file."""

from pathlib import Path

from walras.audit.policy import MAX_POLICY_BYTES, Policy, parse_policy
from walras.core.errors import InvalidInput, Reason


def read_policy(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        InvalidInput: CONFIG_INVALID: there is no such file; POLICY_INVALID.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_POLICY_BYTES + 1)
    except FileNotFoundError:
        raise InvalidInput(Reason.CONFIG_INVALID, f"there is no policy {path}") from None
    return parse_policy(data)
