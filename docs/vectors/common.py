"""What all vectors share: keys, assets, and the one way in which values become JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from typing import Any

from walras.audit.keys import Signer
from walras.core.errors import WalrasError

DOMAIN = "example.org/walras"
ETH = "eip155:1/slip44:60"
USDC = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
DAI = "eip155:1/erc20:0x6b175474e89094c44da98b954eedeac495271d0f"
WHOLE, WHOLE_USDC = 10**18, 10**6
NOW = 1_767_225_600_000


def seed_of(name: str) -> bytes:
    """The secret seed of everything that is called so."""
    return sha256(f"walras vectors: {name}".encode()).digest()


def signer(name: str) -> Signer:
    """The key pair of that seed."""
    return Signer.from_seed(seed_of(name))


def plain(value: Any) -> Any:
    """As the files have it: integers as decimal strings, bytes in lowercase hexadecimal."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


def reason_of(call: Any, *given: Any) -> str:
    """The reason for which `call` refuses what is given; a vector that is not refused is none."""
    try:
        call(*given)
    except WalrasError as error:
        return error.reason.value
    raise AssertionError(f"{call} refuses nothing of this")
