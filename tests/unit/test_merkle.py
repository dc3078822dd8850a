"""The Merkle tree against the vectors of Certificate Transparency and RFC 6962's definitions."""

from collections.abc import Callable

import pytest

from walras.audit import merkle
from walras.audit.merkle import EMPTY_ROOT, Tree, leaf_hash, node_hash
from walras.core.errors import AuditFailure, InvalidInput, Reason

# The eight-leaf tree of the Certificate Transparency project (transparency-dev/merkle,
# proof/verify_test.go): leaves, the root at every size, proofs.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# Index (from 0), size, proof.
INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
# Old size, new size, proof.
CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]


def reference_tree() -> Tree:
    tree = Tree()
    for leaf in LEAVES:
        tree.append(leaf)
    return tree


def unhex(proof: list[str]) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, proof))


def refused_inclusion(
    leaf: bytes, index: int, size: int, proof: tuple[bytes, ...], root: bytes
) -> bool:
    with pytest.raises(AuditFailure) as caught:
        merkle.verify_inclusion(leaf, index, size, proof, root)
    return caught.value.reason is Reason.PROOF_INVALID


def refused_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: tuple[bytes, ...]
) -> bool:
    with pytest.raises(AuditFailure) as caught:
        merkle.verify_consistency(old, old_root, new, new_root, proof)
    return caught.value.reason is Reason.PROOF_INVALID


def test_the_hashes_of_certificate_transparency() -> None:
    """transparency-dev/merkle, rfc6962/rfc6962_test.go."""
    empty_leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    leaf = "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    node = "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    assert EMPTY_ROOT.hex() == ROOTS[0]
    assert leaf_hash(b"").hex() == empty_leaf
    assert leaf_hash(b"L123456").hex() == leaf
    assert node_hash(b"N123", b"N456").hex() == node


def test_every_root_while_growing_and_afterwards() -> None:
    tree = Tree()
    assert tree.size == 0
    assert tree.root().hex() == ROOTS[0]
    for index, leaf in enumerate(LEAVES):
        assert tree.append(leaf) == index
        assert tree.size == index + 1
        assert tree.root().hex() == ROOTS[index + 1]
    for size, root in enumerate(ROOTS):
        assert tree.root(size).hex() == root


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_inclusion_vectors(index: int, size: int, proof: list[str]) -> None:
    assert reference_tree().inclusion_proof(index, size) == unhex(proof)
    root = bytes.fromhex(ROOTS[size])
    merkle.verify_inclusion(leaf_hash(LEAVES[index]), index, size, unhex(proof), root)


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY)
def test_consistency_vectors(old: int, new: int, proof: list[str]) -> None:
    assert reference_tree().consistency_proof(old, new) == unhex(proof)
    roots = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new])
    merkle.verify_consistency(old, roots[0], new, roots[1], unhex(proof))


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_corrupt_inclusion_proofs_are_refused(index: int, size: int, proof: list[str]) -> None:
    good, leaf, root = unhex(proof), leaf_hash(LEAVES[index]), bytes.fromhex(ROOTS[size])
    some = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")
    for other in {index - 1, index + 1, index ^ 2, index + size} - {index}:
        assert refused_inclusion(leaf, other, size, good, root)
    # The same proof may stand for a tree of another size only where its shape is the same.
    for other_size in (0, size * 2, size // 2, -size):
        assert refused_inclusion(leaf, index, other_size, good, root)
    for wrong in (b"", leaf[:31], leaf + b"\x00", some, EMPTY_ROOT):
        assert refused_inclusion(wrong, index, size, good, root)
        assert refused_inclusion(leaf, index, size, good, wrong)
        assert refused_inclusion(leaf, index, size, (*good, wrong), root)
        assert refused_inclusion(leaf, index, size, (wrong, *good), root)
    assert refused_inclusion(leaf, index, size, (*good, root), root)
    if good:
        assert refused_inclusion(leaf, index, size, good[:-1], root)
        assert refused_inclusion(leaf, index, size, good[1:], root)
        assert refused_inclusion(leaf, index, size, (), root)
    if len(good) > 1:
        assert refused_inclusion(leaf, index, size, good[::-1], root)
        assert refused_inclusion(leaf, index, size, (good[0], some, *good[1:]), root)


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY[1:])
def test_corrupt_consistency_proofs_are_refused(old: int, new: int, proof: list[str]) -> None:
    good, old_root, new_root = unhex(proof), bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new])
    for other in {old - 1, old + 1, old ^ 2} - {old}:
        assert refused_consistency(other, old_root, new, new_root, good)
    for other in (new * 2, new // 2, 0, -new):
        assert refused_consistency(old, old_root, other, new_root, good)
    for wrong in (b"WrongRoot", b"", old_root[:31], EMPTY_ROOT):
        assert refused_consistency(old, wrong, new, new_root, good)
        assert refused_consistency(old, old_root, new, wrong, good)
    assert refused_consistency(old, new_root, new, old_root, good)
    for extra in (b"", old_root, new_root, good[0]):
        assert refused_consistency(old, old_root, new, new_root, (*good, extra))
        assert refused_consistency(old, old_root, new, new_root, (extra, *good))
    for less in (good[:-1], good[1:], ()):
        assert refused_consistency(old, old_root, new, new_root, less)


def test_every_changed_byte_of_a_proof_is_refused() -> None:
    tree = reference_tree()
    leaf, root = leaf_hash(LEAVES[5]), tree.root()
    inclusion = tree.inclusion_proof(5)
    old_root, consistency = tree.root(6), tree.consistency_proof(6)
    for position in range(32 * 3):
        for flip in range(1, 256):
            changed = bytearray(b"".join(inclusion))
            changed[position] ^= flip
            hashes = tuple(bytes(changed[at : at + 32]) for at in (0, 32, 64))
            assert refused_inclusion(leaf, 5, 8, hashes, root)
            changed = bytearray(b"".join(consistency))
            changed[position] ^= flip
            hashes = tuple(bytes(changed[at : at + 32]) for at in (0, 32, 64))
            assert refused_consistency(6, old_root, 8, root, hashes)


def test_no_byte_passes_from_one_hash_to_the_next() -> None:
    """A node's two children are hashed back to back, so only their lengths keep them apart."""
    left, right, root = leaf_hash(b""), leaf_hash(b"\x00"), bytes.fromhex(ROOTS[2])
    merkle.verify_inclusion(left, 0, 2, (right,), root)
    assert node_hash(left + right[:1], right[1:]) == root
    assert refused_inclusion(left + right[:1], 0, 2, (right[1:],), root)
    merkle.verify_consistency(1, left, 2, root, (right,))
    assert refused_consistency(1, left + right[:1], 2, root, (right[1:],))


def test_a_leaf_outside_the_tree_is_refused_though_its_path_leads_to_the_root() -> None:
    tree = reference_tree()
    for index in (1, -1):
        for size in (2, 4):
            leaf, proof = leaf_hash(LEAVES[size - 1]), tree.inclusion_proof(size - 1, size)
            assert refused_inclusion(leaf, index, 1, proof, tree.root(size))


def test_trees_of_size_zero_and_equal_size() -> None:
    tree = reference_tree()
    root = tree.root()
    merkle.verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    merkle.verify_consistency(0, EMPTY_ROOT, 8, root, tree.consistency_proof(0))
    merkle.verify_consistency(8, root, 8, root, tree.consistency_proof(8))
    assert refused_consistency(0, root, 8, root, ())
    assert refused_consistency(0, root, 0, root, ())
    assert refused_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, (EMPTY_ROOT,))
    assert refused_consistency(0, EMPTY_ROOT, 8, root, (root,))
    assert refused_consistency(8, root, 8, EMPTY_ROOT, ())
    assert refused_consistency(8, root, 8, root, (root,))
    assert refused_consistency(1, root, 0, EMPTY_ROOT, ())
    assert refused_consistency(-1, root, 8, root, ())
    assert refused_inclusion(EMPTY_ROOT, 0, 0, (), EMPTY_ROOT)


def test_a_tree_refuses_what_it_cannot_prove() -> None:
    tree = reference_tree()
    requests: list[Callable[[], object]] = [
        lambda: tree.root(9),
        lambda: tree.root(-1),
        lambda: tree.inclusion_proof(8),
        lambda: tree.inclusion_proof(-1),
        lambda: tree.inclusion_proof(4, 4),
        lambda: tree.inclusion_proof(0, 9),
        lambda: tree.consistency_proof(9),
        lambda: tree.consistency_proof(5, 4),
        lambda: tree.consistency_proof(-1),
        lambda: tree.hashes(0, 0, 9),
        lambda: tree.hashes(3, 0, 2),
        lambda: tree.hashes(1, 2, 1),
    ]
    for request in requests:
        with pytest.raises(InvalidInput) as caught:
            request()
        assert caught.value.reason is Reason.FIELD_INVALID
    with pytest.raises(ValueError, match="32 bytes"):
        tree.append_hash(bytes(31))
    assert tree.root().hex() == ROOTS[8]


def test_hashes_are_the_rows_of_complete_subtrees() -> None:
    tree = reference_tree()
    tree.append(b"ninth")
    leaves = [leaf_hash(leaf) for leaf in LEAVES]
    assert tree.hashes(0, 0, 9) == b"".join([*leaves, leaf_hash(b"ninth")])
    pairs = [node_hash(*leaves[at : at + 2]) for at in range(0, 8, 2)]
    assert tree.hashes(1, 1, 4) == b"".join(pairs[1:])
    assert tree.hashes(3, 0, 1).hex() == ROOTS[8]
    assert tree.hashes(40, 0, 0) == b""
