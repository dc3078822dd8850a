"""The log's Merkle tree: append, prove, verify (protocol §8).

    leaf(entry)       = SHA-256(00 ‖ entry)
    node(left, right) = SHA-256(01 ‖ left ‖ right)

A tree of n leaves splits into the largest power of two below n on the left and the rest on the
right, so every complete subtree, once there, stays for ever. `Tree` keeps the hash of each: level k
is a row of hashes over 2^k leaves. Roots and proofs, for any earlier size too, then take O(log n).

Source: RFC 6962 §2.1 (tree, proofs) and RFC 9162 §2.1.3.2, §2.1.4.2 (verification).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from hashlib import sha256

from walras.core.errors import AuditFailure, InvalidInput, Reason

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
"""The root of the tree without leaves."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a log entry as a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above `left` and `right`."""
    return sha256(b"\x01" + left + right).digest()


class Subtrees(ABC):
    """A tree by the hashes of its complete subtrees, wherever those are: roots and proofs."""

    __slots__ = ()

    @property
    @abstractmethod
    def size(self) -> int:
        """How many leaves there are."""

    @abstractmethod
    def _subtree(self, level: int, index: int) -> bytes:
        """The hash of complete subtree `index` over 2^level leaves; the tree has it."""

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` leaves; all, if None.

        Raises:
            InvalidInput: FIELD_INVALID if the tree was never of that size.
        """
        size = self._check_size(size)
        return self._range_hash(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """The hashes that lead from leaf `index` to the root at `size`, from the leaf upward.

        Raises:
            InvalidInput: FIELD_INVALID if the tree was never of that size, or index ≥ size.
        """
        size = self._check_size(size)
        if not 0 <= index < size:
            raise InvalidInput(
                Reason.FIELD_INVALID, f"there is no leaf {index} in a tree of {size}", field="index"
            )
        return self._path(size, index, index + 1)

    def consistency_proof(self, old_size: int, new_size: int | None = None) -> tuple[bytes, ...]:
        """The hashes that show the tree of `old_size` to be a prefix of that of `new_size`.

        Empty where there is nothing to show: for equal sizes, and from the empty tree.

        Raises:
            InvalidInput: FIELD_INVALID if the tree was never of these sizes, in this order.
        """
        new_size = self._check_size(new_size)
        if not 0 <= old_size <= new_size:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"a tree of {new_size} never had {old_size} leaves before",
                field="old_size",
            )
        if old_size in (0, new_size):
            return ()
        # The last complete subtree of the old tree is where both trees part; it heads the proof
        # unless it is the old tree itself, whose root the verifier holds.
        span = old_size & -old_size
        head = () if span == old_size else (self._range_hash(old_size - span, old_size),)
        return head + self._path(new_size, old_size - span, old_size)

    def _path(self, size: int, start: int, stop: int) -> tuple[bytes, ...]:
        """The siblings on the way from the subtree [start, stop) to the root at `size`, upward."""
        low, high = 0, size
        path: list[bytes] = []
        while (low, high) != (start, stop):
            middle = low + (1 << (high - low - 1).bit_length() - 1)
            if start < middle:
                path.append(self._range_hash(middle, high))
                high = middle
            else:
                path.append(self._range_hash(low, middle))
                low = middle
        return tuple(reversed(path))

    def _range_hash(self, start: int, stop: int) -> bytes:
        """The hash of RFC 6962's subtree over leaves [start, stop), which has at least one."""
        peaks: list[bytes] = []
        while start < stop:
            level = (stop - start).bit_length() - 1
            peaks.append(self._subtree(level, start >> level))
            start += 1 << level
        result = peaks.pop()
        while peaks:
            result = node_hash(peaks.pop(), result)
        return result

    def _check_size(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise InvalidInput(
                Reason.FIELD_INVALID, f"the tree has {self.size} leaves, not {size}", field="size"
            )
        return size


class Tree(Subtrees):
    """An append-only tree in memory: 64 bytes a leaf, all levels together."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        # Row k packs the hashes of the complete subtrees over 2^k leaves, from the left.
        self._levels = [bytearray()]

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, entry: bytes) -> int:
        """Append a log entry; returns its index."""
        return self.append_hash(leaf_hash(entry))

    def append_hash(self, leaf: bytes) -> int:
        """Append an entry by its leaf hash, 32 bytes; returns its index."""
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
        index = self.size
        self._levels[0] += leaf
        # Each trailing 1 of the index is a left sibling that waited for this subtree.
        level = 0
        while index >> level & 1:
            parent = sha256(b"\x01" + self._levels[level][-2 * HASH_BYTES :]).digest()
            level += 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += parent
        return index

    def hashes(self, level: int, start: int, stop: int) -> bytes:
        """The packed hashes of the complete subtrees [start, stop) over 2^level leaves.

        Raises:
            InvalidInput: FIELD_INVALID if the tree does not have all of them.
        """
        if not 0 <= start <= stop <= self.size >> level:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"subtrees {start} to {stop} of level {level} are not all in a tree of {self.size}",
                field="level",
            )
        if start == stop:
            return b""
        return bytes(self._levels[level][HASH_BYTES * start : HASH_BYTES * stop])

    def _subtree(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][HASH_BYTES * index : HASH_BYTES * (index + 1)])


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Return if `proof` shows the leaf hash `leaf` at `index` under the root of `size` leaves.

    Raises:
        AuditFailure: PROOF_INVALID.
    """
    _check_hashes(leaf, root, *proof)
    if not 0 <= index < size:
        raise _invalid(f"there is no leaf {index} in a tree of {size}")
    _check_length(proof, _inclusion_length(index, size))
    position, last = index, size - 1
    result = leaf
    for sibling in proof:
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            # A last node without a right sibling moved up unhashed: skip those levels.
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        position, last = position >> 1, last >> 1
    if result != root:
        raise _invalid("the inclusion proof leads to another root")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if `proof` shows that the tree of `old_size` is a prefix of that of `new_size`.

    Raises:
        AuditFailure: PROOF_INVALID.
    """
    _check_hashes(old_root, new_root, *proof)
    if not 0 <= old_size <= new_size:
        raise _invalid(f"a tree of {old_size} is never a prefix of one of {new_size}")
    for size, root in ((old_size, old_root), (new_size, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise _invalid("the root of the empty tree is wrong")
    if old_size in (0, new_size):
        _check_length(proof, 0)
        if old_size == new_size and old_root != new_root:
            raise _invalid("the roots of two trees of one size differ")
        return
    # Start at the old tree's last complete subtree; for a power of two that is the old root.
    span = (old_size & -old_size).bit_length() - 1
    hashes = list(proof)
    if old_size == 1 << span:
        hashes.insert(0, old_root)
    position, last = (old_size - 1) >> span, (new_size - 1) >> span
    _check_length(hashes, 1 + _inclusion_length(position, last + 1))
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    if old != old_root:
        raise _invalid("the consistency proof leads to another old root")
    if new != new_root:
        raise _invalid("the consistency proof leads to another new root")


def _inclusion_length(index: int, size: int) -> int:
    """How many hashes prove leaf `index` of `size`.

    Below the node where the ways to this leaf and to the last one part, every level has a sibling;
    above it, only those levels where the way comes from the right.
    """
    inner = (index ^ (size - 1)).bit_length()
    return inner + (index >> inner).bit_count()


def _check_length(proof: Sequence[bytes], expected: int) -> None:
    if len(proof) != expected:
        raise _invalid(f"the proof has {len(proof)} hashes, not {expected}")


def _check_hashes(*hashes: bytes) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise _invalid(f"a hash does not have {HASH_BYTES} bytes")


def _invalid(why: str) -> AuditFailure:
    return AuditFailure(Reason.PROOF_INVALID, why)
