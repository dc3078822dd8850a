"""A log folder that grows: at every size it is the folder that an export would write."""

from pathlib import Path

import pytest
from support.witnesses import LOG_KEY, checkpoint_of, tree_of

from walras.audit.log import verify_log
from walras.audit.merkle import Tree
from walras.audit.note import open_checkpoint, parse_vkey
from walras.audit.tiles import bundles, encode_bundle, hash_tile, hash_tiles, tile_files
from walras.core.errors import InvalidInput, Reason
from walras.store.folder import FolderSource
from walras.store.publish import GrowingFolder

TREE, ENTRIES = tree_of(1_000)
SIZES = [1, 2, 255, 256, 257, 511, 700, 1_000]


def add(growing: GrowingFolder, old: int, new: int) -> None:
    for tile in bundles(new, old):
        start = 256 * tile.index
        growing.add([(tile.path, encode_bundle(ENTRIES[start : start + tile.width]))])
    growing.add((tile.path, hash_tile(TREE, tile)) for tile in hash_tiles(new, old))


def check(folder: Path, size: int) -> None:
    source = FolderSource(folder)
    checkpoint = open_checkpoint(source.checkpoint(), parse_vkey(LOG_KEY))
    assert checkpoint.size == size
    verify_log(source.entries(), checkpoint, source.hash_tiles())
    small = Tree()
    for entry in ENTRIES[:size]:
        small.append(entry)
    for path, content in tile_files(ENTRIES[:size], small):
        assert (folder / path).read_bytes() == content


def test_it_is_whole_at_every_size(tmp_path: Path) -> None:
    old = GrowingFolder(tmp_path, LOG_KEY).begin(TREE)
    assert old == 0
    for size in SIZES:
        growing = GrowingFolder(tmp_path, LOG_KEY)
        assert growing.begin(TREE) == old
        add(growing, old, size)
        growing.publish(checkpoint_of(TREE, size), old)
        check(tmp_path, size)
        old = size
    assert FolderSource(tmp_path).verifier_key() == LOG_KEY
    # Partial tiles are gone where the full one is there, drafts everywhere.
    partial = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.p"))
    assert partial == ["tile/0/003.p", "tile/1/000.p", "tile/entries/003.p"]
    assert not list(tmp_path.rglob("*.draft"))


@pytest.mark.parametrize("after", range(8))
def test_whenever_it_stops_the_folder_is_the_log_of_its_checkpoint(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = GrowingFolder(tmp_path, LOG_KEY)
    growing.begin(TREE)
    add(growing, 0, 250)
    growing.publish(checkpoint_of(TREE, 250), 0)
    left = after

    def replace(path: Path, target: Path) -> Path:
        nonlocal left
        if left == 0:
            raise OSError(28, "No space left on device")
        left -= 1
        path.rename(target)
        return target

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        try:
            add(growing, 250, 300)
            growing.publish(checkpoint_of(TREE, 300), 250)
        except OSError:
            check(tmp_path, 250)
        else:
            assert after >= 6
            check(tmp_path, 300)
    again = GrowingFolder(tmp_path, LOG_KEY)
    old = again.begin(TREE)
    add(again, old, 300)
    again.publish(checkpoint_of(TREE, 300), old)
    check(tmp_path, 300)


def test_another_log_is_not_written_over(tmp_path: Path) -> None:
    growing = GrowingFolder(tmp_path, LOG_KEY)
    growing.begin(TREE)
    add(growing, 0, 300)
    growing.publish(checkpoint_of(TREE, 300), 0)
    short, _ = tree_of(200)
    other, _ = tree_of(400, "other ")
    for tree in (short, other):
        with pytest.raises(InvalidInput) as caught:
            GrowingFolder(tmp_path, LOG_KEY).begin(tree)
        assert caught.value.reason is Reason.CONFIG_INVALID
    (tmp_path / "checkpoint").write_bytes(b"anything")
    with pytest.raises(InvalidInput, match="cannot take this log"):
        GrowingFolder(tmp_path, LOG_KEY).begin(TREE)
    assert (tmp_path / "checkpoint").read_bytes() == b"anything"
