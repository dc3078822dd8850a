"""The Merkle tree by its hash tiles: what the tree in memory says, from as few tiles as needed."""

import random
from collections.abc import Callable
from functools import cache

import pytest

from walras.audit.merkle import Tree, verify_consistency, verify_inclusion
from walras.audit.tiled import TiledTree
from walras.audit.tiles import Tile, hash_tile, hash_tiles
from walras.core.errors import AuditFailure, Reason

SIZES = (1, 2, 255, 256, 257, 511, 512, 1_000, 65_535, 65_536, 65_537, 66_000)


@cache
def tree(size: int) -> Tree:
    made = Tree()
    for number in range(size):
        made.append(number.to_bytes(4, "big"))
    return made


def stored(size: int, asked: list[Tile] | None = None) -> Callable[[Tile], bytes | None]:
    """Tiles as a host has them, which was at `size` when it wrote them."""
    there = {tile: hash_tile(tree(size), tile) for tile in hash_tiles(size)}

    def read(tile: Tile) -> bytes | None:
        if asked is not None:
            asked.append(tile)
        return there.get(tile)

    return read


@pytest.mark.parametrize("size", SIZES)
def test_roots_and_proofs_are_those_of_the_tree_in_memory(size: int) -> None:
    whole = tree(size)
    tiled = TiledTree(size, whole.root(), stored(size))
    rng = random.Random(size)
    for _ in range(25):
        old, index = rng.randint(0, size), rng.randrange(size)
        assert tiled.root(old) == whole.root(old)
        proof = tiled.consistency_proof(old)
        assert proof == whole.consistency_proof(old)
        verify_consistency(old, tiled.root(old), size, whole.root(), proof)
        path = tiled.inclusion_proof(index)
        assert path == whole.inclusion_proof(index)
        verify_inclusion(tiled.leaf(index), index, size, path, whole.root())


def test_the_empty_tree_needs_no_tile() -> None:
    tiled = TiledTree(0, Tree().root(), lambda _: None)
    assert tiled.root() == Tree().root()


def test_an_old_root_takes_few_tiles() -> None:
    size = 66_000
    asked: list[Tile] = []
    tiled = TiledTree(size, tree(size).root(), stored(size, asked))
    assert [tile.level for tile in asked] == [0, 1, 2]
    tiled.root(40_000)
    tiled.root(40_000)
    assert len(asked) <= 3 + 2
    assert len(list(hash_tiles(size))) == 258 + 2 + 1


@pytest.mark.parametrize("size", [257, 66_000])
def test_a_changed_byte_of_any_tile_is_found(size: int) -> None:
    """At the edge at once; elsewhere, by whoever asks for what is under it."""
    whole, rng = tree(size), random.Random(1)
    tiles = list(hash_tiles(size))
    for tile in tiles[:2] + tiles[-5:]:
        read = stored(size)
        bad = bytearray(read(tile) or b"")
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)

        def lying(each: Tile, wrong: Tile = tile, content: bytes = bytes(bad)) -> bytes | None:
            return content if each == wrong else stored(size)(each)

        with pytest.raises(AuditFailure) as caught:
            TiledTree(size, whole.root(), lying).leaf(256 ** ((tile.level or 0) + 1) * tile.index)
        assert caught.value.reason is Reason.LOG_MALFORMED


def test_a_missing_and_a_short_tile_are_named() -> None:
    whole = tree(257)
    for content, reason in ((None, Reason.LOG_INCOMPLETE), (b"\0" * 32, Reason.LOG_MALFORMED)):
        read = stored(257)
        tiled = TiledTree(
            257, whole.root(), lambda t, c=content, r=read: c if t == Tile(0, 0, 256) else r(t)
        )
        with pytest.raises(AuditFailure) as caught:
            tiled.leaf(3)
        assert (caught.value.reason, caught.value.fields["tile"]) == (reason, "tile/0/000")


def test_tiles_of_another_log_are_refused_at_once() -> None:
    with pytest.raises(AuditFailure) as caught:
        TiledTree(300, tree(301).root(), stored(300))
    assert caught.value.reason is Reason.LOG_MALFORMED
