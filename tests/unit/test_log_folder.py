"""The log folder: what is written is read back; what is missing or damaged is said."""

from pathlib import Path

import pytest

from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, NoteKey, format_vkey, open_checkpoint, sign_checkpoint
from walras.audit.verifier import verify_entries
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.protocol.fleet import FleetChanged, FleetUpdate
from walras.protocol.probes import Observations
from walras.protocol.records import (
    Awarded,
    BidReceived,
    Closed,
    Observed,
    Opened,
    Sealed,
    Settled,
    VenuesWatched,
    Voided,
)
from walras.sdk.signing import sign_record
from walras.store.folder import FolderSource, blob_path, blobs_of, write_log_folder

SIGNER = Signer.from_seed(b"\x01" * 32)
KEY = NoteKey("localhost/test", SIGNER.public_key)
BLOBS = [(bytes([n]) * 32, bytes([n]) * n) for n in range(3)]


def _entries(count: int) -> list[bytes]:
    return [sign_record(Voided(number, "BATCH_INTERRUPTED"), SIGNER) for number in range(count)]


def _write(folder: Path, count: int) -> list[bytes]:
    entries = _entries(count)
    tree = Tree()
    for entry in entries:
        tree.append(entry)
    note = sign_checkpoint(Checkpoint(KEY.name, count, tree.root()), KEY.name, SIGNER)
    write_log_folder(folder, entries, note, format_vkey(KEY), BLOBS)
    return entries


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_what_is_written_is_read_back(tmp_path: Path, count: int) -> None:
    entries = _write(tmp_path / "log", count)
    source = FolderSource(tmp_path / "log")
    assert list(source.entries()) == entries
    assert source.verifier_key() == format_vkey(KEY)
    assert open_checkpoint(source.checkpoint(), KEY).size == count
    for digest, body in BLOBS:
        assert source.blob(digest) == body
    assert verify_entries(source, KEY).checkpoint.size == count


def test_a_folder_without_a_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no log"):
        FolderSource(tmp_path)


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    _write(tmp_path, 300)
    (tmp_path / "tile/entries/000").unlink()
    with pytest.raises(AuditFailure) as caught:
        list(FolderSource(tmp_path).entries())
    assert caught.value.reason is Reason.LOG_INCOMPLETE
    assert "tile/entries/000" in caught.value.message


def test_a_broken_bundle_says_where_it_begins(tmp_path: Path) -> None:
    _write(tmp_path, 300)
    path = tmp_path / "tile/entries/001.p/44"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AuditFailure) as caught:
        list(FolderSource(tmp_path).entries())
    assert caught.value.reason is Reason.LOG_MALFORMED
    assert caught.value.fields["index"] == "256"


def test_a_missing_blob_is_named(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    (tmp_path / blob_path(BLOBS[2][0])).unlink()
    with pytest.raises(AuditFailure) as caught:
        FolderSource(tmp_path).blob(BLOBS[2][0])
    assert caught.value.reason is Reason.BLOB_MISSING
    assert caught.value.fields["digest"] == BLOBS[2][0].hex()


@pytest.mark.parametrize("size", [b"", b"-1", b"1e9", "\u0665".encode(), b"9" * 30])
def test_a_checkpoint_with_a_hostile_size_reads_nothing(tmp_path: Path, size: bytes) -> None:
    _write(tmp_path, 1)
    (tmp_path / "checkpoint").write_bytes(b"origin\n" + size + b"\nroot\n")
    assert list(FolderSource(tmp_path).entries()) == []
    assert FolderSource(tmp_path).hash_tiles() == {}


def test_a_huge_size_ends_at_the_first_missing_file(tmp_path: Path) -> None:
    _write(tmp_path, 1)
    (tmp_path / "checkpoint").write_bytes(b"origin\n9223372036854775807\nroot\n")
    with pytest.raises(AuditFailure, match=r"tile/entries/000 is not there"):
        list(FolderSource(tmp_path).entries())
    assert FolderSource(tmp_path).hash_tiles() == {}


def test_the_checkpoint_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, 3)

    def fail(self: Path, target: Path) -> Path:
        if target.name == "log.vkey":
            raise OSError(28, "No space left on device")
        return original(self, target)

    original = Path.replace
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        _write(tmp_path, 5)
    assert not (tmp_path / "checkpoint").exists()
    assert not list(tmp_path.rglob("*.draft"))


def test_the_blobs_that_an_entry_names() -> None:
    a, b, c = (bytes([n]) * 32 for n in (1, 2, 3))
    key = SIGNER.public_key
    named = {
        Sealed(1, a, 5, 6): (a,),
        Sealed(1, a, 5, 6, b, c): (a, b),
        Observed(1, 5, a, b, (c,)): (a,),
        Observations("d", key, 7, a): (a,),
        FleetUpdate("d", key, 1, (a,)): (),
        FleetChanged(1, 5, left=(a,)): (),
        VenuesWatched(5, released=("v",)): (),
        BidReceived(1, a, key, 5): (a,),
        Awarded(1, a, b"proof", b): (a, b),
        Settled(1, a, b, c): (a, b, c),
        Opened(1, a, 5, 6): (),
        Closed(1, a, 0, b): (),
        Voided(1, "BATCH_INTERRUPTED"): (),
    }
    for record, digests in named.items():
        assert blobs_of(sign_record(record, SIGNER)) == digests
