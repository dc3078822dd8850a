"""What is to run on a Ray cluster, and what does, as values and as JSON. No Ray here."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from walras.audit.keys import check_public_key
from walras.core.addresses import check_address
from walras.core.errors import InvalidInput, Reason

MAX_NODES = 1_024
"""In one region: the share of a region's resource that a node takes allows no more on one host."""

NOTICE_SECONDS = 2.5
"""A node that is to go serves this long after it said so: engines look every second."""

GRACE_SECONDS = 10.0
"""And then has as long for calls that are in flight."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,31}")
_REGION = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,14}[a-zA-Z0-9])?)?")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Nodes of one solver on one cluster.

    Attributes:
        solver: an installed solver's name or module:Class, on the cluster's hosts.
        keys: folder of the nodes' key files; made if need be, as are the keys.
        name: nodes are called <name>-<region>-<number>, or <name>-<number> without regions.
        address: the cluster's, as `ray.init` takes it: auto, host:port or ray://host:port.
        namespace: Ray's; deployments in it are told apart by their names.
        slots: problems that each node works on at the same time, and CPUs that it reserves.
    """

    solver: str
    keys: Path
    name: str = "ray"
    address: str = "auto"
    namespace: str = "walras"
    slots: int = 1

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise _invalid("name", self.name, "1 to 32 of letters, digits, '.', '_', '-'")
        if not 1 <= self.slots <= MAX_NODES:
            raise _invalid("slots", self.slots, f"1 to {MAX_NODES}")

    def node(self, region: str, number: int) -> str:
        """A node's name."""
        return f"{self.name}-{region}-{number}" if region else f"{self.name}-{number}"

    def place(self, node: str) -> tuple[str, int] | None:
        """Region and number of a node's name; None where the node is not of this deployment."""
        rest = node.removeprefix(f"{self.name}-")
        region, _, number = rest.rpartition("-")
        if rest == node or not re.fullmatch(r"[1-9][0-9]{0,8}", number):
            return None
        found = region, int(number)
        return found if _REGION.fullmatch(region) and self.node(*found) == node else None

    def to_json(self) -> dict[str, Any]:
        """For `from_json`."""
        return {**asdict(self), "keys": str(self.keys)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Deployment":
        """What `to_json` wrote."""
        return cls(**{**document, "keys": Path(document["keys"])})


@dataclass(frozen=True, slots=True)
class Placed:
    """A node as it says it runs.

    Attributes:
        name, region: what it is called and where it was asked to be.
        address: host:port on which it serves.
        public_key: what it signs bids with.
        host: Ray's id of the host, in hexadecimal.
        slots: problems that it works on at the same time.
        draining: it is about to go and should get no more work.
    """

    name: str
    region: str
    address: str
    public_key: bytes
    host: str
    slots: int
    draining: bool = False

    def to_json(self) -> dict[str, Any]:
        """For `from_json`."""
        return {**asdict(self), "public_key": self.public_key.hex()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Placed":
        """What `to_json` wrote.

        Raises:
            InvalidInput, ValueError, TypeError, LookupError: it is something else.
        """
        return checked(cls(**{**document, "public_key": bytes.fromhex(document["public_key"])}))


def checked(placed: Placed) -> Placed:
    """`placed`, if it can be dialled and its key is one.

    Raises:
        InvalidInput: FIELD_INVALID or PUBLIC_KEY_INVALID.
    """
    check_address(placed.address)
    check_public_key(placed.public_key)
    return placed


def said(error: str) -> str:
    """What an exception that came from a host says: what follows the last frame of its traceback,
    1,000 characters of it.
    """
    lines = error.strip().splitlines()
    frames = [place for place, line in enumerate(lines) if line.startswith((" ", "\t"))]
    last = lines[frames[-1] + 1 :] if frames else lines
    return "\n".join(last or lines)[-1_000:]


def check_target(target: Mapping[str, int]) -> dict[str, int]:
    """`target`, if it says for regions how many nodes there shall be.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    for region, count in target.items():
        if not _REGION.fullmatch(region):
            raise _invalid("region", region, "up to 16 letters, digits and inner '-'")
        if not 0 <= count <= MAX_NODES:
            raise _invalid("count", count, f"0 to {MAX_NODES} nodes in a region")
    return dict(target)


def _invalid(field: str, value: object, allowed: str) -> InvalidInput:
    return InvalidInput(
        Reason.FIELD_INVALID, f"{field} {str(value)[:80]!r} is not {allowed}", field=field
    )
