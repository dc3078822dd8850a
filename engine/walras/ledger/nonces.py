"""Used nonces, held by their signers."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

Used = tuple[bytes, int]
"""(signer, nonce)."""


class Nonces(AbstractSet[Used]):
    """A set of (signer, nonce) that grows.

    Nothing of a log takes as much room for ever, so a signer's key is held once, not with each of
    its nonces.
    """

    __slots__ = ("_of", "_size")

    def __init__(self, used: Iterable[Used] = ()) -> None:
        self._of: dict[bytes, set[int]] = {}
        self._size = 0
        for pair in used:
            self.add(pair)

    def __contains__(self, pair: object) -> bool:
        match pair:
            case (bytes() as signer, int() as nonce):
                return nonce in self._of.get(signer, ())
            case _:
                return False

    def __iter__(self) -> Iterator[Used]:
        return ((signer, nonce) for signer, nonces in self._of.items() for nonce in nonces)

    def __len__(self) -> int:
        return self._size

    def add(self, pair: Used) -> None:
        """Take one in; nothing happens where it is there."""
        signer, nonce = pair
        nonces = self._of.get(signer)
        if nonces is None:
            nonces = self._of[signer] = set()
        before = len(nonces)
        nonces.add(nonce)
        self._size += len(nonces) - before
