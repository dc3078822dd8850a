"""Whatever is changed in a log, an auditor sees it.

Without the engine's key level A sees every changed byte, and where the hash tiles stand beside the
entries it names the first wrong one. With the key, the records that replay computes admit no other
bytes than those it computes.
"""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.audit.log_copy import LogCopy, read_leaf, signed_log
from support.audit.scenario import DOMAIN, U, W, order, recorded, signer

from walras.audit import envelope
from walras.audit.note import format_vkey
from walras.audit.tiles import TILE_WIDTH
from walras.audit.verifier import verify_entries
from walras.core.errors import AuditFailure, Reason
from walras.protocol.records import (
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Closed,
    Sealed,
    Settled,
)
from walras.sdk.signing import sign_record
from walras.store.folder import FolderSource, blob_path, blobs_of, write_log_folder

STRIDE = 37
"""Every so manieth byte of the entries is flipped; coprime to the sizes of what is in them."""


def refusal(log: LogCopy, earlier: list[bytes] | None = None) -> AuditFailure:
    with pytest.raises(AuditFailure) as failure:
        verify_entries(log, recorded().key, earlier=earlier or [])
    return failure.value


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= bit
    return bytes(changed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = recorded()
    path = tmp_path_factory.mktemp("log")
    write_log_folder(
        path, made.log.leaves, made.log.note, format_vkey(made.key), made.log.blobs.items()
    )
    return path


# without the engine's key: files


def test_a_flipped_byte_of_an_entry_is_caught_and_the_entry_named(folder: Path) -> None:
    """In the folder as it is served: the entries and the two bytes of each one's length."""
    made = recorded()
    assert len(made.log.leaves) < TILE_WIDTH
    (file,) = (folder / "tile/entries/000.p").iterdir()
    honest = file.read_bytes()
    ends: list[int] = []
    for leaf in made.log.leaves:
        ends.append((ends[-1] if ends else 0) + 2 + len(leaf))
    rng = random.Random(1)
    try:
        for at in range(0, len(honest), STRIDE):
            file.write_bytes(flipped(honest, at, 1 << rng.randrange(8)))
            with pytest.raises(AuditFailure) as failure:
                verify_entries(FolderSource(folder), made.key)
            entry = next(index for index, end in enumerate(ends) if at < end)
            start = ends[entry] - len(made.log.leaves[entry])
            error = failure.value
            if at >= start:
                assert error.reason is Reason.ROOT_MISMATCH
                assert error.fields["index"] == str(entry)
            else:  # a wrong length shifts what follows, to the bundle's end or beyond it
                assert error.reason in {Reason.ROOT_MISMATCH, Reason.LOG_MALFORMED}
                assert error.fields["index"] in {str(entry), "0"}
    finally:
        file.write_bytes(honest)


@pytest.mark.parametrize("bit", [1, 0x20, 0x80])
def test_a_flipped_byte_of_the_checkpoint_is_caught(bit: int) -> None:
    log = recorded().log
    for at in range(len(log.note)):
        changed = replace(log, note=flipped(log.note, at, bit))
        assert refusal(changed).reason is Reason.CHECKPOINT_INVALID, at


def test_a_flipped_byte_of_a_hash_tile_is_caught_and_the_tile_named() -> None:
    log = recorded().log
    for path, content in log.tiles.items():
        for at in range(0, len(content), 3):
            error = refusal(replace(log, tiles={**log.tiles, path: flipped(content, at)}))
            assert (error.reason, error.fields["tile"]) == (Reason.LOG_MALFORMED, path)
        error = refusal(replace(log, tiles={**log.tiles, path: content[:-32]}))
        assert (error.reason, error.fields["tile"]) == (Reason.LOG_MALFORMED, path)


def test_a_flipped_byte_of_a_blob_is_caught_and_its_entry_named() -> None:
    """Of every blob, at one place."""
    made = recorded()
    rng = random.Random(2)
    first_use: dict[bytes, int] = {}
    for index, leaf in enumerate(made.log.leaves):
        for digest in blobs_of(leaf):
            first_use.setdefault(digest, index)
    assert first_use.keys() == made.log.blobs.keys()
    for digest, body in made.log.blobs.items():
        # Two empty states are blobs without a byte to flip.
        bad = flipped(body, rng.randrange(len(body)), 1 << rng.randrange(8)) if body else b"\0"
        with pytest.raises(AuditFailure) as failure:
            replace(made.log, blobs={**made.log.blobs, digest: bad}).audit(made.key)
        assert failure.value.reason is Reason.BLOB_MISMATCH
        assert failure.value.fields["index"] == str(first_use[digest])


def test_the_folder_is_audited_like_the_log_it_is_of(folder: Path) -> None:
    made = recorded()
    source = FolderSource(folder)
    assert verify_entries(source, made.key).entries == made.log.leaves
    assert {digest: source.blob(digest) for digest in made.log.blobs} == made.log.blobs
    assert all((folder / blob_path(digest)).is_file() for digest in made.log.blobs)


def test_in_a_log_of_many_files_the_wrong_one_is_found(tmp_path: Path) -> None:
    """Three bundles, four hash tiles."""
    made = recorded()
    alice = signer("alice")
    sold = [order("alice", nonce, {W: -1}, 1, U, 1) for nonce in range(2 * TILE_WIDTH + 9)]
    log = signed_log([sign_record(one, alice) for one in sold], {}, DOMAIN, made.engine)
    write_log_folder(tmp_path, log.leaves, log.note, format_vkey(made.key), [])
    source = FolderSource(tmp_path)
    assert verify_entries(source, made.key).tree.size == len(sold)
    files = sorted(path for path in (tmp_path / "tile").rglob("*") if path.is_file())
    assert len(files) == 3 + 4
    for file in files:
        honest = file.read_bytes()
        file.write_bytes(flipped(honest, len(honest) - 70))
        with pytest.raises(AuditFailure) as failure:
            verify_entries(source, made.key)
        name = file.relative_to(tmp_path).as_posix()
        if "entries" in name:
            bundle = int(file.name) if file.name.isdigit() and ".p" not in name else 2
            last = min(TILE_WIDTH * (bundle + 1), len(sold)) - 1
            assert failure.value.reason is Reason.ROOT_MISMATCH
            assert failure.value.fields["index"] == str(last)
        else:
            assert failure.value.fields["tile"] == name
        file.unlink()
        if name == "tile/0/000":  # reads as a log without hash tiles, which proves no less
            verify_entries(source, made.key)
        else:
            with pytest.raises(AuditFailure) as failure:
                verify_entries(source, made.key)
            missing = Reason.LOG_INCOMPLETE if "entries" in name else Reason.LOG_MALFORMED
            assert failure.value.reason is missing
        file.write_bytes(honest)


# without the engine's key: entries


@given(st.data())
def test_entries_missing_swapped_repeated_or_changed_are_named(data: st.DataObject) -> None:
    log = recorded().log
    size = len(log.leaves)
    leaves = list(log.leaves)
    at = data.draw(st.integers(0, size - 1), "at")
    match data.draw(st.sampled_from(["missing", "swapped", "repeated", "flipped", "added"])):
        case "missing":
            del leaves[at]
        case "swapped":
            other = data.draw(st.integers(0, size - 1).filter(lambda i: i != at), "with")
            leaves[at], leaves[other] = leaves[other], leaves[at]
        case "repeated":
            leaves.insert(at, leaves[at])
        case "flipped":
            byte = data.draw(st.integers(0, len(leaves[at]) - 1), "byte")
            leaves[at] = flipped(leaves[at], byte, 1 << data.draw(st.integers(0, 7), "bit"))
        case "added":
            leaves.insert(at, data.draw(st.binary(min_size=1, max_size=100), "entry"))
    first = next(
        (i for i, (a, b) in enumerate(zip(leaves, log.leaves, strict=False)) if a != b),
        min(len(leaves), size),
    )
    error = refusal(replace(log, leaves=leaves))
    assert error.fields["index"] == str(first)
    # Without tiles the log is refused all the same.
    refusal(replace(log, leaves=leaves, tiles={}))


@pytest.mark.parametrize("keep", [0, 1, 50, -1])
def test_a_truncated_log_is_refused(keep: int) -> None:
    log = recorded().log
    short = log.leaves[:keep]
    error = refusal(replace(log, leaves=short))
    assert error.reason is Reason.LOG_INCOMPLETE
    assert error.fields["index"] == str(len(short))


def test_an_older_checkpoint_does_not_cover_newer_entries() -> None:
    made = recorded()
    for _, _, note in made.receipts[:-1]:
        error = refusal(replace(made.log, note=note, tiles={}))
        size = int(note.split(b"\n")[1])
        assert error.reason is Reason.LOG_MALFORMED
        assert error.fields["index"] == str(size)


# with the engine's key, against what somebody kept


def test_every_receipt_is_in_the_log_it_was_given_for() -> None:
    made = recorded()
    assert len(made.receipts) == 13
    for leaf, index, note in made.receipts:
        assert made.log.leaves[index] == leaf
        verify_entries(made.log, made.key, earlier=[note])


@settings(max_examples=20)
@given(at=st.integers(2, 100))
def test_a_rewritten_log_is_refused_by_whoever_kept_a_checkpoint(at: int) -> None:
    """The engine itself signs another history; each receipt given after the change convicts it."""
    made = recorded()
    leaves = [leaf for index, leaf in enumerate(made.log.leaves) if index != at]
    fork = signed_log(leaves, made.log.blobs, DOMAIN, made.engine)
    verify_entries(fork, made.key)
    for _, index, note in made.receipts:
        if index >= at:
            reason = refusal(fork, [note]).reason
            size = int(note.split(b"\n")[1])
            short = size > len(leaves)
            assert reason is (Reason.LOG_INCOMPLETE if short else Reason.ROOT_MISMATCH)
        else:
            verify_entries(fork, made.key, earlier=[note])


def test_a_shortened_log_is_refused_by_whoever_kept_a_checkpoint() -> None:
    made = recorded()
    _, index, note = made.receipts[-1]
    short = signed_log(made.log.leaves[:index], made.log.blobs, DOMAIN, made.engine)
    verify_entries(short, made.key)
    assert refusal(short, [note]).reason is Reason.LOG_INCOMPLETE


def test_a_checkpoint_of_a_stranger_convicts_nobody() -> None:
    made = recorded()
    note = made.receipts[0][2]
    forged = flipped(note, note.index(b"\n") + 1)
    assert refusal(made.log, [forged]).reason is Reason.CHECKPOINT_INVALID


def test_a_forged_signature_under_a_right_checkpoint_is_named() -> None:
    """Even the engine's checkpoint makes no entry of a bad signature."""
    made = recorded()
    leaves = list(made.log.leaves)
    leaves[7] = flipped(leaves[7], len(leaves[7]) - 100)
    error = refusal(signed_log(leaves, made.log.blobs, DOMAIN, made.engine))
    assert (error.reason, error.fields["index"]) == (Reason.SIGNATURE_INVALID, "7")


# with the engine's key: what replay computes admits no other bytes

COMPUTED = (Closed, Awarded, Settled, BidRejectedRecord)


def test_no_computed_record_has_a_byte_to_spare() -> None:
    """Each is signed anew with one bit flipped, under a right checkpoint: 200 of the places."""
    made = recorded()
    places = [
        (index, at)
        for index, leaf in enumerate(made.log.leaves)
        if isinstance(read_leaf(leaf), COMPUTED)
        for at in range(len(envelope.decode(leaf).body))
    ]
    rng = random.Random(3)
    for index, at in rng.sample(places, 200):
        forgery = made.forgery()
        signed = envelope.decode(forgery.leaves[index])
        body = flipped(signed.body, at, 1 << rng.randrange(8))
        forgery.leaves[index] = envelope.seal(signed.payload_type, body, made.engine)
        with pytest.raises(AuditFailure) as failure:
            forgery.log().audit(made.key)
        assert failure.value.fields["index"] == str(index), failure.value


def test_no_bundle_and_no_problem_has_a_byte_to_spare() -> None:
    made = recorded()
    rng = random.Random(4)
    for number in (1, 2):
        awarded, sealed = made.forgery().of(Awarded, number), made.forgery().of(Sealed, number)
        (bundle, _), (problem, *_) = (blobs_of(made.log.leaves[i]) for i in (awarded, sealed))
        signed = envelope.decode(made.log.blobs[bundle])
        for at in rng.sample(range(len(signed.body)), 60):
            forgery = made.forgery()
            body = flipped(signed.body, at, 1 << rng.randrange(8))
            digest = forgery.blob(envelope.seal(signed.payload_type, body, made.engine))
            forgery.change(awarded, bundle_digest=digest)
            forgery.change(forgery.of(Settled, number), bundle_digest=digest)
            with pytest.raises(AuditFailure) as failure:
                forgery.log().audit(made.key)
            assert failure.value.fields["index"] == str(awarded), failure.value
        content = made.log.blobs[problem]
        for at in rng.sample(range(len(content)), 40):
            forgery = made.forgery()
            digest = forgery.blob(flipped(content, at, 1 << rng.randrange(8)))
            forgery.change(sealed, problem_digest=digest)
            with pytest.raises(AuditFailure) as failure:
                forgery.log().audit(made.key)
            assert failure.value.fields["index"] == str(sealed), failure.value


def test_a_bid_is_its_solvers_to_the_last_byte() -> None:
    """The engine logs that a bid came otherwise than it did: it is not the solver's any more."""
    made = recorded()
    rng = random.Random(5)
    at = made.forgery().of(BidReceived, 2)
    (digest,) = blobs_of(made.log.leaves[at])
    content = made.log.blobs[digest]
    for place in rng.sample(range(len(content)), 60):
        forgery = made.forgery()
        forgery.change(at, bid_digest=forgery.blob(flipped(content, place)))
        with pytest.raises(AuditFailure) as failure:
            forgery.log().audit(made.key)
        assert failure.value.reason is Reason.BID_UNACCOUNTED
        assert failure.value.fields["index"] == str(forgery.of(Closed, 2))
