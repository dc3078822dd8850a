"""Tiles: the paths and counts of C2SP tlog-tiles, contents by definition, bundles."""

from itertools import pairwise

import pytest

from walras.audit import tiles
from walras.audit.merkle import Tree, leaf_hash, node_hash
from walras.audit.tiles import Tile
from walras.core.errors import AuditFailure, InvalidInput, Reason


def log_of(size: int) -> tuple[list[bytes], Tree]:
    entries = [b"entry %d" % index for index in range(size)]
    tree = Tree()
    for entry in entries:
        tree.append(entry)
    return entries, tree


def subtree_root(hashes: list[bytes]) -> bytes:
    """The root over a power of two of hashes, level by level."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [node_hash(left, right) for left, right in pairs]
    return hashes[0]


def split(content: bytes) -> list[bytes]:
    assert len(content) % 32 == 0
    return [content[at : at + 32] for at in range(0, len(content), 32)]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        # The specification's example index.
        (Tile(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (Tile(None, 1_234_067, 256), "tile/entries/x001/x234/067"),
        (Tile(0, 0, 256), "tile/0/000"),
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(3, 7, 255), "tile/3/007.p/255"),
        (Tile(0, 999, 256), "tile/0/999"),
        (Tile(0, 1000, 256), "tile/0/x001/000"),
        (Tile(1, 1_000_000, 256), "tile/1/x001/x000/000"),
        (Tile(None, 1234, 8), "tile/entries/x001/234.p/8"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    assert tile.path == path


def test_the_specifications_example_of_70000_entries() -> None:
    found = list(tiles.hash_tiles(70_000))
    assert found == [
        *(Tile(0, index, 256) for index in range(273)),
        Tile(0, 273, 112),
        Tile(1, 0, 256),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]
    assert [tile.width for tile in tiles.bundles(70_000)] == [256] * 273 + [112]


def test_the_specifications_example_of_256_entries() -> None:
    assert list(tiles.hash_tiles(256)) == [Tile(0, 0, 256), Tile(1, 0, 1)]
    assert list(tiles.bundles(256)) == [Tile(None, 0, 256)]


def test_an_empty_log_has_no_files() -> None:
    assert not list(tiles.hash_tiles(0))
    assert not list(tiles.bundles(0))
    assert not list(tiles.tile_files([], Tree()))


def test_hash_tiles_hold_what_the_specification_says() -> None:
    entries, tree = log_of(70_000)
    files = dict(tiles.tile_files(entries, tree))
    row = [leaf_hash(entry) for entry in entries]
    for level in range(3):
        paths = [tile.path for tile in tiles.hash_tiles(70_000) if tile.level == level]
        assert [each for path in paths for each in split(files[path])] == row
        full = len(row) // 256
        row = [subtree_root(row[256 * index : 256 * index + 256]) for index in range(full)]
    assert row == []


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700])
def test_a_log_is_read_back_from_its_bundles(size: int) -> None:
    entries, tree = log_of(size)
    files = dict(tiles.tile_files(entries, tree))
    read = [
        entry
        for tile in tiles.bundles(size)
        for entry in tiles.decode_bundle(files[tile.path], tile.width)
    ]
    assert read == entries
    expected = {tile.path for tile in (*tiles.bundles(size), *tiles.hash_tiles(size))}
    assert set(files) == expected


@pytest.mark.parametrize("steps", [[0, 1, 2, 256, 257], [0, 255, 256, 600, 600, 601], [0, 768]])
def test_files_written_step_by_step_are_those_written_at_once(steps: list[int]) -> None:
    stored: dict[str, bytes] = {}
    for old, new in pairwise(steps):
        entries, tree = log_of(new)
        fresh = dict(tiles.tile_files(entries, tree, old))
        assert not fresh.keys() & stored.keys()
        assert bool(fresh) == (new > old)
        stored |= fresh
    entries, tree = log_of(steps[-1])
    for path, content in tiles.tile_files(entries, tree):
        assert stored[path] == content


def test_files_need_a_tree_over_the_same_entries() -> None:
    entries, tree = log_of(3)
    with pytest.raises(InvalidInput) as caught:
        list(tiles.tile_files(entries[:2], tree))
    assert caught.value.reason is Reason.FIELD_INVALID
    for tile in (Tile(None, 0, 3), Tile(0, 0, 4), Tile(0, 1, 1), Tile(1, 0, 1)):
        with pytest.raises(InvalidInput) as caught:
            tiles.hash_tile(tree, tile)
        assert caught.value.reason is Reason.FIELD_INVALID


def test_a_bundle_byte_for_byte() -> None:
    entries = [b"ab", b"", b"c" * 258]
    data = b"\x00\x02ab\x00\x00\x01\x02" + b"c" * 258
    assert tiles.encode_bundle(entries) == data
    assert tiles.decode_bundle(data, 3) == entries


def test_the_largest_entry() -> None:
    largest = b"x" * 65_535
    assert tiles.decode_bundle(tiles.encode_bundle([largest]), 1) == [largest]
    with pytest.raises(InvalidInput) as caught:
        tiles.encode_bundle([largest + b"x"])
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE


def test_a_bundle_of_another_shape_is_malformed() -> None:
    data = tiles.encode_bundle([b"ab", b"", b"cde"])
    bad = [(data[:length], 3) for length in range(len(data))]
    bad += [(data + b"\x00", 3), (data + b"\x00\x00", 3), (data, 2), (data, 4), (b"", 1)]
    for content, width in bad:
        with pytest.raises(AuditFailure) as caught:
            tiles.decode_bundle(content, width)
        assert caught.value.reason is Reason.LOG_MALFORMED
