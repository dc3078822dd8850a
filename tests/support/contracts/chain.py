"""An EVM with an empty chain, and how to call contracts on it."""

from collections.abc import Sequence

from pyrevm import EVM
from vyper.utils import keccak256, method_id

CALLER = "0x" + "11" * 20
WORD = 1 << 256


class Chain:
    """One EVM. What a call changes stays changed."""

    def __init__(self) -> None:
        self._evm = EVM()

    def deploy(self, code: bytes, *arguments: int) -> str:
        """The address of the contract that the creation code makes."""
        address: str = self._evm.deploy(CALLER, code + words(arguments))
        return address

    def call(self, to: str, data: bytes) -> bytes | None:
        """What the contract returns; None where it reverts."""
        try:
            return bytes(self._evm.message_call(CALLER, to, calldata=data))
        except RuntimeError as error:
            if str(error).startswith("Revert"):
                return None
            raise

    def read(self, to: str, slot: int) -> int:
        """A word of the contract's storage."""
        value: int = self._evm.storage(to, slot)
        return value

    def write(self, to: str, slot: int, value: int) -> None:
        """Put a word into the contract's storage."""
        self._evm.insert_account_storage(to, slot, value)


def call_data(signature: str, *arguments: int) -> bytes:
    """The call of a function whose arguments are all of one word."""
    return method_id(signature) + words(arguments)


def words(numbers: Sequence[int]) -> bytes:
    """ABI words; negative numbers in two's complement."""
    return b"".join((n % WORD).to_bytes(32, "big") for n in numbers)


def numbers(data: bytes) -> list[int]:
    """The unsigned numbers in ABI words."""
    return [int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data), 32)]


def signed(number: int, bits: int = 256) -> int:
    """The two's complement number in the low bits."""
    number %= 1 << bits
    return number - (1 << bits) if number >> (bits - 1) else number


def entry(slot: int, key: int) -> int:
    """Where a mapping at `slot` keeps what `key` leads to."""
    return int.from_bytes(keccak256(words([key, slot])), "big")
