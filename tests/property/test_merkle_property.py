"""The Merkle tree against RFC 6962's recursive definitions, at every size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.audit import merkle
from walras.audit.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash
from walras.core.errors import AuditFailure

Entries = list[bytes]
entries_lists = st.lists(st.binary(max_size=8), min_size=1, max_size=80)


# RFC 6962 §2.1, §2.1.1 and §2.1.2, as they stand there.


def split(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def mth(entries: Entries) -> bytes:
    if not entries:
        return EMPTY_ROOT
    if len(entries) == 1:
        return leaf_hash(entries[0])
    k = split(len(entries))
    return node_hash(mth(entries[:k]), mth(entries[k:]))


def path(m: int, entries: Entries) -> list[bytes]:
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: Entries, whole: bool) -> list[bytes]:
    if m == len(entries):
        return [] if whole else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], whole), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def tree_of(entries: Entries) -> Tree:
    tree = Tree()
    for entry in entries:
        tree.append(entry)
    return tree


def test_every_proof_at_every_size_to_33() -> None:
    entries = [b"%d" % number for number in range(33)]
    tree = tree_of(entries)
    for size in range(1, 34):
        root = tree.root(size)
        assert root == mth(entries[:size])
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            assert list(proof) == path(index, entries[:size])
            merkle.verify_inclusion(leaf_hash(entries[index]), index, size, proof, root)
        for old in range(1, size + 1):
            proof = tree.consistency_proof(old, size)
            assert list(proof) == subproof(old, entries[:size], True)
            merkle.verify_consistency(old, tree.root(old), size, root, proof)


@given(st.integers(1, 3000), st.data())
def test_large_trees(size: int, data: st.DataObject) -> None:
    tree = tree_of([b"%d" % number for number in range(size)])
    index = data.draw(st.integers(0, size - 1))
    at = data.draw(st.integers(index + 1, size))
    proof = tree.inclusion_proof(index, at)
    assert len(proof) <= (at - 1).bit_length()
    merkle.verify_inclusion(leaf_hash(b"%d" % index), index, at, proof, tree.root(at))
    old = data.draw(st.integers(0, at))
    consistency = tree.consistency_proof(old, at)
    merkle.verify_consistency(old, tree.root(old), at, tree.root(at), consistency)


@given(entries_lists, st.data())
def test_a_proof_holds_for_one_leaf_at_one_place(entries: Entries, data: st.DataObject) -> None:
    size = len(entries)
    entries = [b"%d:%b" % pair for pair in enumerate(entries)]
    tree = tree_of(entries)
    root = tree.root()
    index = data.draw(st.integers(0, size - 1))
    proof = tree.inclusion_proof(index)
    for other in range(size):
        if other != index:
            with pytest.raises(AuditFailure):
                merkle.verify_inclusion(leaf_hash(entries[other]), index, size, proof, root)
            with pytest.raises(AuditFailure):
                merkle.verify_inclusion(leaf_hash(entries[index]), other, size, proof, root)


@given(entries_lists, st.data())
def test_a_rewritten_log_is_inconsistent(entries: Entries, data: st.DataObject) -> None:
    """Whatever entry of the old log is changed, no proof of the new log leads to the old root."""
    entries = [b"%d:%b" % pair for pair in enumerate(entries)]
    old = data.draw(st.integers(1, len(entries)))
    changed = data.draw(st.integers(0, old - 1))
    old_root = tree_of(entries[:old]).root()
    rewritten = tree_of([*entries[:changed], b"rewritten", *entries[changed + 1 :]])
    proof = rewritten.consistency_proof(old)
    with pytest.raises(AuditFailure):
        merkle.verify_consistency(old, old_root, rewritten.size, rewritten.root(), proof)


@given(
    st.integers(0, 2**70),
    st.integers(0, 2**70),
    st.lists(st.binary(min_size=32, max_size=32), max_size=70),
    st.binary(min_size=32, max_size=32),
)
def test_made_up_proofs_only_ever_fail(
    first: int, second: int, proof: list[bytes], root: bytes
) -> None:
    """No crash and no endless loop, however large the numbers; 2^-256 is never."""
    if (first, second) != (0, 1) and first < second:
        with pytest.raises(AuditFailure):
            merkle.verify_inclusion(root, first, second, proof, leaf_hash(root))
    if first != second:
        with pytest.raises(AuditFailure):
            merkle.verify_consistency(first, root, second, leaf_hash(root), proof)
