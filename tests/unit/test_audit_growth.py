"""An audit that goes on from an earlier one comes to what an audit of the whole log comes to."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from support.audit.bid_scenario import recorded_bids
from support.audit.fleet_scenario import recorded_fleet
from support.audit.grown import Host, host
from support.audit.log_copy import LogCopy, read_leaf
from support.audit.rotation_scenario import rotated
from support.audit.scenario import Recorded, recorded

from walras.audit.counts import Counts
from walras.audit.keys import Signer
from walras.audit.merkle import Tree, verify_consistency
from walras.audit.note import NoteKey, format_vkey, open_checkpoint
from walras.audit.replay import Replay
from walras.audit.snapshot import decode_paused, encode_paused
from walras.cli.auditing import Wanted, audit_files
from walras.cli.state_file import Known, read_state, write_state
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.ledger.book import Book
from walras.ledger.fleet import Fleet
from walras.ledger.market import Market
from walras.ledger.state import State
from walras.protocol.records import Awarded, Opened, Settled, Voided


def bids() -> Recorded:
    return recorded_bids().log


LOGS: dict[str, Callable[[], Recorded]] = {
    "recorded": recorded,
    "bids": bids,
    "fleet": recorded_fleet,
}


def serve(made: Recorded, size: int | None = None) -> Host:
    return host(made.log, len(made.log.leaves) if size is None else size, made.key, made.engine)


def commits(log: LogCopy) -> list[int]:
    """Sizes at which the log may be published: not within a settlement."""
    ends = []
    deciding = False
    for size, leaf in enumerate(log.leaves, 1):
        record = read_leaf(leaf)
        deciding = (
            deciding or type(record).__name__ in {"BidReceived", "Closed", "BidUnopened"}
        ) and not isinstance(record, Settled | Voided)
        if not deciding:
            ends.append(size)
    return ends


# a paused replay


@pytest.mark.parametrize("name", LOGS)
def test_a_paused_replay_goes_on_to_the_same_end(name: str) -> None:
    """From every rest of the log; each snapshot has one encoding."""
    made = LOGS[name]()
    log = made.log
    tree = Tree()
    for leaf in log.leaves:
        tree.append(leaf)
    roots = tree.root

    def through(machine: Replay, start: int) -> Replay:
        for leaf in log.leaves[start:]:
            machine.apply(leaf)
        machine.finish()
        return machine

    whole = through(Replay(made.key.public_key, log.blob, roots), 0)
    first = Replay(made.key.public_key, log.blob, roots)
    rests = 0
    for index, leaf in enumerate(log.leaves):
        paused = first.pause()
        # The start, each end of a batch, and some of the rest, for time.
        if paused is not None and (index % 7 == 0 or isinstance(read_leaf(leaf), Opened)):
            rests += 1
            data = encode_paused(paused)
            again = decode_paused(data)
            assert encode_paused(again) == data
            resumed = through(Replay.resume(again, made.key.public_key, log.blob, roots), index)
            assert resumed.counts == whole.counts
            assert resumed.state == whole.state
        first.apply(leaf)
    assert rests >= 3


def test_whatever_joins_the_state_joins_the_snapshot() -> None:
    """Who adds a field here adds it to `audit.snapshot`, or an audit that goes on loses it."""
    assert {f.name for f in fields(State)} == {
        "genesis", "keys", "rules", "balances", "nonces", "book", "market", "fleet", "changes",
    }  # fmt: skip
    assert {f.name for f in fields(Market)} == {
        "assets", "venues", "prices", "watch", "pricing",
        "priced",  # follows from the rest at a sealing
    }  # fmt: skip
    assert {f.name for f in fields(Book)} == {"entries", "open_by_owner"}
    assert {f.name for f in fields(Fleet)} == {
        "standing", "version", "at_ms", "epochs", "pending",
    }  # fmt: skip
    assert {f.name for f in fields(Counts) if f.type is not int} == {
        "records", "intents", "passed_over", "split_views", "unproven_awards",
    }  # fmt: skip
    machine = Replay(bytes(32), lambda _: b"", lambda _: b"")
    assert set(vars(machine)) == {
        "state", "counts", "_engine", "_read_blob", "_root_at", "_index", "_phase", "_auction_id",
        "_watched", "_unpriced", "_ended", "_past",
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff", b'{"index":0}', b"[" * 100_000],
)
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_paused(data)
    assert caught.value.reason is Reason.CONFIG_INVALID


# an audit in steps


@pytest.mark.parametrize("name", LOGS)
def test_an_audit_in_steps_ends_where_the_whole_one_does(name: str) -> None:
    made = LOGS[name]()
    whole, known_whole = audit_files(serve(made), made.key)
    sizes = commits(made.log)
    steps = [sizes[0], *sizes[3:-1:9], sizes[-1]]
    known: Known | None = None
    for before, size in zip([0, *steps], steps, strict=False):
        stepped, known = audit_files(serve(made, size), made.key, Wanted(known=known))
        assert (stepped.size, stepped.since) == (size, before)
        assert stepped.replayed_from <= before
    assert stepped.counts == whole.counts
    assert stepped.state == whole.state
    assert stepped.root == whole.root
    assert known is not None
    assert known.paused == known_whole.paused


def test_only_what_is_needed_is_read() -> None:
    made = recorded()
    size = len(made.log.leaves)
    opened = max(i for i, leaf in enumerate(made.log.leaves) if isinstance(read_leaf(leaf), Opened))
    _, known = audit_files(serve(made, opened), made.key)
    files = serve(made)
    found, _ = audit_files(files, made.key, Wanted(known=known))
    assert (found.since, found.replayed_from) == (opened, opened)
    # One bundle and two hash tiles hold a log of this size; no blob of an earlier auction is read.
    named = {path for path in files.asked if path.startswith("blob/")}
    assert len(named) < len(made.log.blobs) / 4
    again = serve(made)
    _, latest = audit_files(files, made.key, Wanted(known=known))
    audit_files(again, made.key, Wanted(known=latest))
    assert not any(path.startswith("blob/") for path in again.asked[:-20])
    assert size > opened


def test_signatures_that_an_audit_vouches_for_are_not_verified_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from walras.audit import envelope

    made = recorded()
    sizes = commits(made.log)
    old = sizes[len(sizes) // 2]
    verified = 0
    verify = envelope.verify_envelope

    def counted(signed: envelope.Envelope) -> None:
        nonlocal verified
        verified += signed.payload_type != "application/vnd.walras.bundle.v1+protobuf"
        verify(signed)

    _, known = audit_files(serve(made, old), made.key)
    since = serve(made, old).files["checkpoint"]
    monkeypatch.setattr(envelope, "verify_envelope", counted)
    found, _ = audit_files(serve(made), made.key, Wanted(since=since))
    assert (found.since, found.replayed_from) == (old, 0)
    by_since, verified = verified, 0
    audit_files(serve(made), made.key, Wanted(known=known))
    by_state, verified = verified, 0
    whole, _ = audit_files(serve(made), made.key)
    assert verified - by_since == old
    assert by_state <= by_since
    assert found.counts == whole.counts


def test_a_rewritten_past_is_a_fork_and_proven() -> None:
    """The engine itself signs another history under a larger checkpoint."""
    made = recorded()
    sizes = commits(made.log)
    old = sizes[len(sizes) // 2]
    _, known = audit_files(serve(made, old), made.key)
    leaves = [leaf for index, leaf in enumerate(made.log.leaves) if index != old - 3]
    fork = host(LogCopy(b"", leaves, made.log.blobs, {}), len(leaves), made.key, made.engine)
    with pytest.raises(AuditFailure) as caught:
        audit_files(fork, made.key, Wanted(known=known))
    assert caught.value.reason is Reason.ROOT_MISMATCH
    told = caught.value.fields
    audited = open_checkpoint(known.checkpoint, made.key)
    newer = open_checkpoint(fork.files["checkpoint"], made.key)
    root = bytes.fromhex(told["root"])
    proof = [bytes.fromhex(each) for each in told["proof"].split()]
    verify_consistency(audited.size, root, newer.size, newer.root, proof)
    assert root != audited.root


def test_two_roots_of_one_size_are_a_fork() -> None:
    made = recorded()
    size = commits(made.log)[-1]
    _, known = audit_files(serve(made, size), made.key)
    leaves = [*made.log.leaves[: size - 1], made.log.leaves[0]]
    fork = host(LogCopy(b"", leaves, made.log.blobs, {}), size, made.key, made.engine)
    with pytest.raises(AuditFailure) as caught:
        audit_files(fork, made.key, Wanted(known=known))
    assert (caught.value.reason, caught.value.fields["proof"]) == (Reason.ROOT_MISMATCH, "")


def test_an_older_checkpoint_is_no_growth() -> None:
    made = recorded()
    sizes = commits(made.log)
    _, known = audit_files(serve(made), made.key)
    older = serve(made)
    older.files["checkpoint"] = serve(made, sizes[4]).files["checkpoint"]
    with pytest.raises(AuditFailure) as caught:
        audit_files(older, made.key, Wanted(known=known))
    assert caught.value.reason is Reason.LOG_INCOMPLETE
    fork = host(
        LogCopy(b"", made.log.leaves[1:], made.log.blobs, {}), sizes[4], made.key, made.engine
    )
    older.files["checkpoint"] = fork.files["checkpoint"]
    with pytest.raises(AuditFailure) as caught:
        audit_files(older, made.key, Wanted(known=known))
    assert caught.value.reason is Reason.ROOT_MISMATCH


def test_a_forged_award_in_what_is_new_is_named() -> None:
    from dataclasses import replace

    made = recorded()
    forgery = made.forgery()
    index = forgery.rebundle(2, replace(forgery.bundle(2), score=forgery.bundle(2).score + 1))
    assert isinstance(forgery.read(index), Awarded)
    before = max(size for size in commits(made.log) if size < index)
    log = forgery.log()
    files = host(log, len(log.leaves), made.key, made.engine)
    _, known = audit_files(host(log, before, made.key, made.engine), made.key)
    with pytest.raises(AuditFailure) as caught:
        audit_files(files, made.key, Wanted(known=known))
    assert (caught.value.reason, caught.value.fields["index"]) == (
        Reason.AWARD_MISMATCH, str(index),
    )  # fmt: skip


@pytest.mark.parametrize("what", ["an entry", "a signature"])
def test_a_wrong_entry_in_what_is_new_is_named(what: str) -> None:
    made = recorded()
    sizes = commits(made.log)
    old, wrong = sizes[4], sizes[-1] - 1
    leaves = list(made.log.leaves)
    leaf = bytearray(leaves[wrong])
    leaf[-100] ^= 1
    leaves[wrong] = bytes(leaf)
    bad = host(LogCopy(b"", leaves, made.log.blobs, {}), len(leaves), made.key, made.engine)
    expected = Reason.SIGNATURE_INVALID
    if what == "an entry":  # under the right checkpoint and tiles
        honest = serve(made)
        bundle = next(path for path in honest.files if path.startswith("tile/entries"))
        honest.files[bundle] = bad.files[bundle]
        bad, expected = honest, Reason.ROOT_MISMATCH
    _, known = audit_files(serve(made, old), made.key)
    with pytest.raises(AuditFailure) as caught:
        audit_files(bad, made.key, Wanted(known=known))
    assert (caught.value.reason, caught.value.fields["index"]) == (expected, str(wrong))


def test_a_log_without_hash_tiles_is_audited_from_its_beginning_only() -> None:
    made = recorded()
    _, known = audit_files(serve(made, commits(made.log)[2]), made.key)
    bare = serve(made)
    for path in [path for path in bare.files if path.startswith(("tile/0", "tile/1"))]:
        del bare.files[path]
    audit_files(bare, made.key)
    with pytest.raises(AuditFailure) as caught:
        audit_files(bare, made.key, Wanted(known=known))
    assert caught.value.reason is Reason.LOG_INCOMPLETE


def test_a_partial_tile_that_has_given_way_to_the_full_one_is_found_in_it() -> None:
    """The host has grown since the checkpoint was read, and has cleaned up."""
    from support.audit.scenario import U, W, order, signer

    from walras.audit.verifier import verify_growth
    from walras.sdk.signing import sign_record

    made = recorded()
    alice = signer("alice")
    leaves = [sign_record(order("alice", n, {W: -1}, 1, U, 1), alice) for n in range(600)]
    log = LogCopy(b"", leaves, {}, {})
    full = host(log, 600, made.key, made.engine)
    published = host(log, 300, made.key, made.engine).files
    full.files |= {path: each for path, each in published.items() if "tile/1" in path}
    full.files["checkpoint"] = published["checkpoint"]
    audited = open_checkpoint(host(log, 100, made.key, made.engine).files["checkpoint"], made.key)
    assert "tile/entries/001.p/44" not in full.files
    found = verify_growth(full, made.key, audited, start=100)
    assert list(found.entries) == leaves[100:300]
    # What lies before the bundle of entry 100 is not read, nor behind the checkpoint.
    late = open_checkpoint(host(log, 290, made.key, made.engine).files["checkpoint"], made.key)
    full.asked.clear()
    verify_growth(full, made.key, late, start=290)
    assert "tile/entries/000" not in full.asked
    assert "tile/entries/002.p/88" not in full.asked


# the state file


def test_the_state_file_is_of_one_log_and_one_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recorded()
    _, known = audit_files(serve(made), made.key)
    path, vkey = tmp_path / "new" / "state", format_vkey(made.key)
    assert read_state(path, vkey) is None
    write_state(path, known)
    assert read_state(path, vkey) == known
    assert [each.name for each in path.parent.iterdir()] == ["state"]
    other = format_vkey(NoteKey("localhost/other", Signer.from_seed(b"\7" * 32).public_key))
    with pytest.raises(InvalidInput, match="it is of the log"):
        read_state(path, other)
    monkeypatch.setattr("walras.cli.state_file.__version__", "9.9")
    with pytest.raises(InvalidInput, match="release"):
        read_state(path, vkey)


def test_a_damaged_state_file_is_refused(tmp_path: Path) -> None:
    made = recorded()
    _, known = audit_files(serve(made), made.key)
    path = tmp_path / "state"
    write_state(path, known)
    honest = path.read_bytes()
    for at in (*range(0, len(honest), len(honest) // 50), len(honest) - 1):
        path.write_bytes(honest[:at] + bytes([honest[at] ^ 1]) + honest[at + 1 :])
        with pytest.raises(InvalidInput) as caught:
            read_state(path, format_vkey(made.key))
        assert caught.value.reason is Reason.CONFIG_INVALID
    for at in (0, 1, len(honest) // 2, len(honest) - 1):
        path.write_bytes(honest[:at])
        with pytest.raises(InvalidInput):
            read_state(path, format_vkey(made.key))


@pytest.mark.parametrize("trusted", [0, -1])
def test_a_log_whose_keys_change_is_audited_in_steps(trusted: int) -> None:
    """From any one key of the engine; checkpoints are signed by the key of their time."""
    made = rotated()
    key = NoteKey(made.keys.name, made.signers[trusted].public_key)
    signers = {signer.public_key: signer for signer in made.signers}
    known: Known | None = None
    sizes = [size for size in commits(made.log) if trusted == 0 or size > made.keys.terms[-1][0]]
    steps = [*sizes[::6], sizes[-1]]
    for size in steps:
        engine = made.keys.at(size)
        files = host(made.log, size, engine, signers[engine.public_key])
        stepped, known = audit_files(files, key, Wanted(known=known))
    whole, known_whole = audit_files(files, key)
    assert stepped.counts == whole.counts
    assert stepped.state == whole.state
    assert known is not None
    assert known.paused == known_whole.paused
