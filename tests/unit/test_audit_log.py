"""Level A: the log is the one its checkpoint commits to, or the first wrong entry is named."""

from collections.abc import Callable
from itertools import repeat

import pytest

from walras.audit.log import first_divergence, verify_log
from walras.audit.merkle import EMPTY_ROOT, Tree
from walras.audit.note import Checkpoint
from walras.audit.tiles import tile_files
from walras.core.errors import AuditFailure, Reason

SIZE = 600
ENTRIES = [b"entry %d" % index for index in range(SIZE)]


def tree_of(entries: list[bytes]) -> Tree:
    tree = Tree()
    for entry in entries:
        tree.append(entry)
    return tree


TREE = tree_of(ENTRIES)
CHECKPOINT = Checkpoint("walras.example/log", SIZE, TREE.root())
FILES = dict(tile_files(ENTRIES, TREE))


def failure(entries: list[bytes], files: dict[str, bytes] | None = None) -> AuditFailure:
    with pytest.raises(AuditFailure) as caught:
        verify_log(entries, CHECKPOINT, files)
    return caught.value


def test_the_right_log_gives_its_tree() -> None:
    tree = verify_log(iter(ENTRIES), CHECKPOINT)
    assert tree.size == SIZE
    assert tree.root() == CHECKPOINT.root
    empty = Checkpoint("walras.example/log", 0, EMPTY_ROOT)
    assert verify_log([], empty).size == 0


@pytest.mark.parametrize("index", [0, 1, 255, 256, 511, 512, 599])
def test_a_changed_entry_is_named(index: int) -> None:
    changed = [*ENTRIES[:index], ENTRIES[index] + b"!", *ENTRIES[index + 1 :]]
    error = failure(changed, FILES)
    assert error.reason is Reason.ROOT_MISMATCH
    assert error.fields == {"index": str(index)}
    assert f"entry {index} " in error.message
    # Without hash tiles the log is refused all the same.
    assert failure(changed).fields == {}


@pytest.mark.parametrize(
    ("tamper", "reason", "index"),
    [
        (lambda log: log[:40] + log[41:], Reason.LOG_INCOMPLETE, "40"),
        (lambda log: log[:-1], Reason.LOG_INCOMPLETE, "599"),
        (lambda _: [], Reason.LOG_INCOMPLETE, "0"),
        (lambda log: [*log[:300], b"inserted", *log[300:]], Reason.LOG_MALFORMED, "300"),
        (lambda log: [*log, b"more"], Reason.LOG_MALFORMED, "600"),
        (lambda log: [*log[:7], log[8], log[7], *log[9:]], Reason.ROOT_MISMATCH, "7"),
        (lambda log: log[::-1], Reason.ROOT_MISMATCH, "0"),
        (lambda log: [*log[:3], *[b"x"] * 597], Reason.ROOT_MISMATCH, "3"),
    ],
)
def test_dropped_added_and_moved_entries_are_named(
    tamper: Callable[[list[bytes]], list[bytes]], reason: Reason, index: str
) -> None:
    error = failure(tamper(ENTRIES), FILES)
    assert error.reason is reason
    assert error.fields["index"] == index


def test_a_surplus_is_named_without_tiles() -> None:
    assert failure([*ENTRIES, b"more"]).fields == {"index": "600"}
    # Unless an entry before it is wrong too, which then nothing shows.
    assert failure([b"x", *ENTRIES[1:], b"more"]).fields == {}


def test_an_endless_log_ends_the_audit() -> None:
    with pytest.raises(AuditFailure) as caught:
        verify_log(repeat(b"again"), CHECKPOINT)
    assert caught.value.reason is Reason.LOG_MALFORMED


def test_damaged_tiles_accuse_nobody() -> None:
    changed = tree_of([*ENTRIES[:9], b"wrong", *ENTRIES[10:]])
    assert first_divergence(changed, FILES, CHECKPOINT) == 9
    path = "tile/0/001"
    damaged = [
        {},
        {name: content for name, content in FILES.items() if name != path},
        FILES | {path: FILES[path][:-32]},
        FILES | {path: FILES[path][:-1]},
        FILES | {path: FILES[path][:-1] + bytes([FILES[path][-1] ^ 1])},
        FILES | {"tile/0/002.p/88": FILES["tile/0/002.p/88"] + bytes(32)},
        # Tiles made to fit the changed log are not those of the checkpoint.
        dict(tile_files([*ENTRIES[:9], b"wrong", *ENTRIES[10:]], changed)),
    ]
    for files in damaged:
        assert first_divergence(changed, files, CHECKPOINT) is None
        assert failure([*ENTRIES[:9], b"wrong", *ENTRIES[10:]], files).fields == {}


def test_a_right_log_diverges_nowhere() -> None:
    assert first_divergence(TREE, FILES, CHECKPOINT) is None
