"""Chance that anybody can repeat: uniform draws from a seed."""

from hashlib import sha256


class Draws:
    """A stream of uniform integers, fixed by its seed: SHA-256(seed ‖ counter), 8 bytes, by draw.

    Rejection keeps it uniform: a draw at or above the greatest multiple of n is thrown away.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._counter = 0

    def __call__(self, n: int) -> int:
        """Uniform over 0 … n−1; 1 ≤ n ≤ 2^64."""
        limit = (1 << 64) - (1 << 64) % n
        while True:
            digest = sha256(self._seed + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
            value = int.from_bytes(digest[:8], "big")
            if value < limit:
                return value % n
