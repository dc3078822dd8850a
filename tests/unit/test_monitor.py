"""A log that is watched: what ends the watch, with which evidence, and what does not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.audit.attacks import awarded_by, closed_batch, seed, settle_again
from support.audit.grown import Host, host
from support.audit.log_copy import LogCopy
from support.audit.rotation_scenario import rotated
from support.audit.scenario import Recorded, recorded
from support.orders import ANN

from walras.auction.awarded import check_award
from walras.auction.batch import AwardedBatch
from walras.auction.certificate import heaviest_leaf
from walras.auction.components import components, score_of
from walras.audit import envelope
from walras.audit.cosignature import WitnessKey, cosign
from walras.audit.counts import Unproven
from walras.audit.merkle import verify_consistency
from walras.audit.note import (
    NoteKey,
    format_vkey,
    open_checkpoint,
    parse_note,
    parse_vkey,
    with_signatures,
)
from walras.audit.policy import Policy, parse_policy
from walras.audit.snapshot import decode_paused
from walras.audit.tiles import CHECKPOINT
from walras.cli.auditing import audit_files
from walras.cli.monitoring import Monitor
from walras.cli.state_file import read_state
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError
from walras.protocol.certificate import LEAF, Tree
from walras.protocol.records import Awarded, Kind, Settled

START_S, MAX_AGE_S = 1_700_000_000, 900


class Watched:
    """A monitor of the recorded log, at a time that is moved by hand.

    Attributes:
        host: what serves the log.
        now_s: seconds since 1970.
    """

    def __init__(self, folder: Path, size: int, policy: Policy | None = None) -> None:
        self.folder = folder
        self.now_s = START_S
        self.host = serve(size)
        self._policy = policy
        self.monitor = self.anew()

    def anew(self) -> Monitor:
        """After a restart."""
        made = self.monitor = Monitor(
            self.host,
            recorded().key,
            policy=self._policy,
            state=self.folder / "state",
            evidence=self.folder / "evidence",
            max_age_s=MAX_AGE_S,
            clock=lambda: self.now_s,
        )
        return made

    def show(self, other: Host) -> None:
        """From now on the host shows these files."""
        self.host.files = other.files

    def failure(self) -> AuditFailure:
        """What a round ends the watch with."""
        with pytest.raises(AuditFailure) as caught:
            self.monitor.round()
        return caught.value

    def evidence(self) -> dict[str, object]:
        found = json.loads((self.folder / "evidence/evidence.json").read_text())
        assert isinstance(found, dict)
        return found


def serve(size: int, made: Recorded | None = None, log: LogCopy | None = None) -> Host:
    made = made or recorded()
    return host(log or made.log, size, made.key, made.engine)


def whole() -> int:
    return len(recorded().log.leaves)


def half() -> int:
    """The checkpoint of a receipt is the end of a commit."""
    return recorded().receipts[5][1] + 1


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path, half())


def test_a_log_that_grows_is_audited_as_it_does(watched: Watched) -> None:
    first = watched.monitor.round().document()
    assert (first["ok"], first["entries"], first["new"]) == (True, half(), half())
    watched.now_s += 60
    quiet = watched.monitor.round().document()
    assert (quiet["ok"], quiet["new"], quiet["age_s"]) == (True, 0, 60)
    assert "auctions" not in quiet
    watched.show(serve(whole()))
    grown = watched.monitor.round().document()
    assert (grown["entries"], grown["new"], grown["age_s"]) == (whole(), whole() - half(), 0)
    assert (grown["auctions"], grown["voided"]) == (4, 2)
    json.dumps([first, quiet, grown])
    assert not (watched.folder / "evidence").exists()


def test_after_a_restart_it_goes_on(watched: Watched) -> None:
    """With what was audited, and with the time at which it was first seen."""
    watched.monitor.round()
    watched.now_s += MAX_AGE_S - 1
    watched.host.asked.clear()
    found = watched.anew().round()
    assert (found.size, found.new, found.age_s) == (half(), 0, MAX_AGE_S - 1)
    assert watched.host.asked == [CHECKPOINT]
    watched.now_s += 2
    watched.anew()
    assert watched.failure().reason is Reason.LOG_FROZEN


def test_a_fork_ends_the_watch_with_both_checkpoints(watched: Watched) -> None:
    """The evidence convicts by itself, for anybody who has the key."""
    made = recorded()
    watched.monitor.round()
    leaves = [leaf for index, leaf in enumerate(made.log.leaves) if index != half() - 2]
    watched.show(serve(len(leaves), log=LogCopy(b"", leaves, made.log.blobs, {})))
    assert watched.failure().reason is Reason.ROOT_MISMATCH
    told = watched.evidence()
    folder = watched.folder / "evidence"
    assert told["files"] == ["checkpoint", "checkpoint-audited"]
    key = parse_vkey(str(told["verifier_key"]))
    new, old = (open_checkpoint((folder / name).read_bytes(), key) for name in told["files"])  # type: ignore[attr-defined]
    fields = told["fields"]
    assert isinstance(fields, dict)
    root = bytes.fromhex(fields["root"])
    proof = [bytes.fromhex(each) for each in fields["proof"].split()]
    verify_consistency(old.size, root, new.size, new.root, proof)
    assert (old.size, old.root == root) == (half(), False)


def test_two_checkpoints_of_one_size_end_the_watch(watched: Watched) -> None:
    made = recorded()
    watched.monitor.round()
    leaves = [*made.log.leaves[: half() - 1], made.log.leaves[0]]
    watched.show(serve(half(), log=LogCopy(b"", leaves, {}, {})))
    assert watched.failure().reason is Reason.ROOT_MISMATCH
    folder = watched.folder / "evidence"
    notes = {(folder / name).read_bytes() for name in ("checkpoint", "checkpoint-audited")}
    assert {open_checkpoint(note, made.key).size for note in notes} == {half()}
    assert len(notes) == 2


def test_an_older_fork_is_found_as_well(watched: Watched) -> None:
    made = recorded()
    watched.monitor.round()
    fork = serve(half() - 5, log=LogCopy(b"", made.log.leaves[1:], made.log.blobs, {}))
    watched.host.files[CHECKPOINT] = fork.files[CHECKPOINT]
    assert watched.failure().reason is Reason.ROOT_MISMATCH


def test_a_wrong_award_ends_the_watch_and_is_named(watched: Watched) -> None:
    watched.monitor.round()
    forgery = recorded().forgery()
    index = forgery.rebundle(2, replace(forgery.bundle(2), score=forgery.bundle(2).score + 1))
    assert index >= half()
    watched.show(serve(whole(), log=forgery.log()))
    failure = watched.failure()
    assert (failure.reason, failure.fields["index"]) == (Reason.AWARD_MISMATCH, str(index))
    told = watched.evidence()
    assert (told["reason"], told["fields"]) == (
        "AWARD_MISMATCH",
        {"index": str(index), "level": "B"},
    )
    assert told["at_s"] == START_S


def damage(files: dict[str, bytes], what: str) -> None:
    """What any host can do to a log that is sound."""
    match what:
        case "no checkpoint":
            del files[CHECKPOINT]
        case "a checkpoint of noise":
            files[CHECKPOINT] = b"\xff" * 100
        case "a stranger's checkpoint":
            files[CHECKPOINT] = files[CHECKPOINT][:-9] + b"AAAAAAA=\n"
        case "an older checkpoint":
            files[CHECKPOINT] = serve(half() - 3).files[CHECKPOINT]
        case "no entries":
            for path in [path for path in files if path.startswith("tile/entries")]:
                del files[path]
        case "other entries":
            for path in [path for path in files if path.startswith("tile/entries")]:
                files[path] = files[path][:-1] + bytes([files[path][-1] ^ 1])
        case "no tiles":
            for path in [path for path in files if path.startswith("tile/0")]:
                del files[path]
        case "other tiles":
            for path in [path for path in files if path.startswith("tile/0")]:
                files[path] = bytes(len(files[path]))
        case "no blobs":
            for path in [path for path in files if path.startswith("blob/")]:
                del files[path]
        case "other blobs":
            files.update({path: b"x" for path in files if path.startswith("blob/")})


@pytest.mark.parametrize(
    "what",
    [
        "no checkpoint", "a checkpoint of noise", "a stranger's checkpoint", "an older checkpoint",
        "no entries", "other entries", "no tiles", "other tiles", "no blobs", "other blobs",
    ],
)  # fmt: skip
def test_a_host_that_fails_proves_nothing_until_it_lasts(watched: Watched, what: str) -> None:
    watched.monitor.round()
    sound = serve(whole())
    broken = Host(dict(sound.files))
    damage(broken.files, what)
    watched.show(broken)
    watched.now_s += MAX_AGE_S
    found = watched.monitor.round()
    assert found.trouble is not None
    assert (found.document()["ok"], found.size) == (False, half())
    watched.show(sound)
    assert watched.monitor.round().size == whole()
    watched.show(broken)
    watched.now_s += MAX_AGE_S + 1
    failure = watched.failure()
    assert failure.reason is Reason.LOG_FROZEN
    told = watched.evidence()
    assert isinstance(told["fields"], dict)
    assert int(told["fields"]["now_s"]) - int(told["fields"]["since_s"]) == MAX_AGE_S + 1
    audited = (watched.folder / "evidence/checkpoint-audited").read_bytes()
    assert open_checkpoint(audited, recorded().key).size == whole()


def test_a_host_that_never_answers_is_frozen_in_the_end(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(path: str, most: int) -> bytes:
        raise WalrasError(Reason.LOG_UNREACHABLE, f"{path}: no answer")

    monkeypatch.setattr(watched.host, "read", silent)
    watched.now_s += MAX_AGE_S
    assert watched.monitor.round().document()["reason"] == "LOG_UNREACHABLE"
    watched.now_s += 1
    assert watched.failure().reason is Reason.LOG_FROZEN
    assert watched.evidence()["files"] == []


def test_a_changed_state_file_ends_the_watch_before_it_begins(watched: Watched) -> None:
    watched.monitor.round()
    text = (watched.folder / "state").read_text()
    (watched.folder / "state").write_text(text.replace("test.example.org", "rest.example.org"))
    with pytest.raises(InvalidInput):
        watched.anew()


# with witnesses

KEYS = tuple(WitnessKey(f"w{number}.example/w", ANN.public_key) for number in (1,))


def policy() -> Policy:
    lines = [
        f"log {format_vkey(recorded().key)}",
        f"witness w1 {format_vkey(KEYS[0])}",
        "quorum w1",
    ]
    return parse_policy("".join(f"{line}\n" for line in lines).encode())


def cosigned(size: int, time_s: int) -> Host:
    files = serve(size)
    note = files.files[CHECKPOINT]
    line = cosign(parse_note(note).text, KEYS[0].name, ANN, time_s)
    files.files[CHECKPOINT] = with_signatures(note, [line])
    return files


def test_without_a_quorum_nothing_is_new(tmp_path: Path) -> None:
    watched = Watched(tmp_path, half(), policy())
    found = watched.monitor.round()
    assert (found.size, found.document()["reason"]) == (0, "QUORUM_UNMET")
    watched.show(cosigned(half(), START_S - 5))
    assert (watched.monitor.round().size, watched.monitor.round().age_s) == (half(), 5)
    watched.show(serve(whole()))
    watched.now_s += MAX_AGE_S - 4
    failure = watched.failure()
    assert failure.reason is Reason.LOG_FROZEN
    assert "QUORUM_UNMET" in failure.message


def test_a_log_that_rests_is_cosigned_anew_and_not_frozen(tmp_path: Path) -> None:
    watched = Watched(tmp_path, half(), policy())
    for _ in range(4):
        watched.show(cosigned(half(), watched.now_s))
        assert watched.monitor.round().age_s == 0
        watched.now_s += MAX_AGE_S
        assert watched.monitor.round().age_s == MAX_AGE_S
    watched.now_s += 1
    assert watched.failure().reason is Reason.LOG_FROZEN


def test_a_witness_whose_clock_is_ahead_holds_off_no_alarm(tmp_path: Path) -> None:
    watched = Watched(tmp_path, half(), policy())
    watched.show(cosigned(half(), START_S + 100 * MAX_AGE_S))
    assert watched.monitor.round().age_s == 0
    watched.now_s += MAX_AGE_S
    assert watched.monitor.round().age_s == MAX_AGE_S
    watched.now_s += 1
    assert watched.failure().reason is Reason.LOG_FROZEN


def test_an_old_view_that_is_new_to_the_monitor_is_frozen_at_once(tmp_path: Path) -> None:
    """Others may have been shown more since the quorum saw this."""
    watched = Watched(tmp_path, half(), policy())
    watched.show(cosigned(half(), START_S - MAX_AGE_S - 1))
    assert watched.failure().reason is Reason.LOG_FROZEN


def test_what_nobody_signed_accuses_nobody(watched: Watched) -> None:
    """A host makes up a binding of keys, and a checkpoint by the key that it leads to."""
    made = rotated()
    index = next(i for i, leaf in enumerate(made.log.leaves) if b"key-binding" in leaf)
    watched.monitor.round()
    leaves = [*recorded().log.leaves[: half()], made.log.leaves[index][:-1]]
    stranger = NoteKey(recorded().key.name, ANN.public_key)
    log = LogCopy(b"", leaves, recorded().log.blobs, {})
    watched.show(host(log, len(leaves), stranger, ANN))
    found = watched.monitor.round()
    assert found.trouble is not None
    assert not (watched.folder / "evidence").exists()


def test_a_binding_that_the_host_slips_in_accuses_nobody(tmp_path: Path) -> None:
    """The engine's newest key signed the checkpoint, and bindings lead to it; the host adds one."""
    made, key = rotated(), NoteKey(recorded().key.name, rotated().signers[0].public_key)
    size = len(made.log.leaves)
    shown = host(made.log, size, key, made.signers[-1])
    monitor = Monitor(
        shown,
        key,
        policy=None,
        state=None,
        evidence=tmp_path,
        max_age_s=MAX_AGE_S,
        clock=lambda: START_S,
    )
    false = envelope.seal(Kind.KEY_BINDING.payload_type, b"\xff\xff", made.signers[0])
    assert monitor.round().trouble is None
    grown = host(
        replace(made.log, leaves=[*made.log.leaves, made.log.leaves[-1]]),
        size + 1,
        key,
        made.signers[-1],
    )
    lying = host(replace(made.log, leaves=[*made.log.leaves, false]), size + 1, key, ANN)
    shown.files = lying.files | {
        path: content for path, content in grown.files.items() if "entries" not in path
    }
    trouble = monitor.round().trouble
    assert trouble is not None
    assert trouble.reason is Reason.ROOT_MISMATCH
    assert not any(tmp_path.iterdir())
    # A binding that the engine's own checkpoint commits to is the engine's.
    shown.files = host(
        replace(made.log, leaves=[*made.log.leaves, false]), size + 1, key, made.signers[-1]
    ).files
    with pytest.raises(AuditFailure) as caught:
        monitor.round()
    assert caught.value.reason is Reason.KEY_BINDING_INVALID


def test_whoever_trusts_an_old_key_is_told_of_a_wrong_settlement(tmp_path: Path) -> None:
    """The newest key signed it, to which bindings lead that hold."""
    made, key = rotated(), NoteKey(recorded().key.name, rotated().signers[0].public_key)
    forgery = made.forgery()
    at = forgery.of(Settled, 1)
    forgery.write(at, replace(forgery.read(at), balances_digest=bytes(32)), made.signers[0])
    monitor = Monitor(
        host(forgery.log(), len(forgery.leaves), key, made.signers[-1]),
        key,
        policy=None,
        state=None,
        evidence=tmp_path,
        max_age_s=MAX_AGE_S,
        clock=lambda: START_S,
    )
    with pytest.raises(AuditFailure) as caught:
        monitor.round()
    assert caught.value.reason is Reason.SETTLEMENT_MISMATCH
    assert caught.value.fields["index"] == str(at)


def test_a_checkpoint_of_a_key_that_the_policy_dropped_accuses_nobody(tmp_path: Path) -> None:
    """After a rotation a host shows the old key's last checkpoint, which is older."""
    made, key = rotated(), NoteKey(recorded().key.name, rotated().signers[0].public_key)
    shown = host(made.log, len(made.log.leaves), key, made.signers[-1])
    newest = format_vkey(made.keys.newest)
    monitor = Monitor(
        shown,
        key,
        policy=parse_policy(f"log {newest}\nquorum none\n".encode()),
        state=None,
        evidence=tmp_path,
        max_age_s=MAX_AGE_S,
        clock=lambda: START_S,
    )
    assert monitor.round().trouble is None
    shown.files[CHECKPOINT] = made.notes[0]
    trouble = monitor.round().trouble
    assert trouble is not None
    assert trouble.reason is Reason.LOG_UNKNOWN
    assert not any(tmp_path.iterdir())


def unproven() -> LogCopy:
    """The engine's log up to its first settlement, of which the certificate proves next to nothing:
    the choice may be the best one, or not.
    """
    forgery = recorded().forgery()
    batch = closed_batch(forgery, 1)
    drawn = seed(forgery, batch)
    problem, bids = batch.sealed.problem, batch.scored()
    honest = awarded_by(batch, drawn).award
    dropped = {one.bid_id for one in honest.dropped}
    kept = [one for one in bids if one.id not in dropped]
    several = [c for c in components(kept, problem.balances, drawn) if len(c.places) > 1]
    trees = []
    for component in several:
        tree = Tree(0, (), (LEAF,), (), 0)
        trees.append(replace(tree, bound=score_of(heaviest_leaf(component, tree).bound)))
    proof = replace(honest.certificate, trees=tuple(trees))
    winners = [one.id for one in honest.winners]
    loose = check_award(problem, bids, drawn, winners, proof)
    assert not loose.settled
    settle_again(forgery, batch, AwardedBatch(batch.sealed, loose))
    return forgery.log()


def test_an_award_that_is_not_proven_is_named_and_may_end_the_watch(tmp_path: Path) -> None:
    log, made = unproven(), recorded()
    files = host(log, len(log.leaves), made.key, made.engine)
    at = made.forgery().of(Awarded, 1)

    def watch(state: str, *, proven: bool) -> Monitor:
        return Monitor(
            files,
            made.key,
            policy=None,
            state=tmp_path / state,
            evidence=tmp_path / "evidence",
            max_age_s=MAX_AGE_S,
            proven=proven,
            clock=lambda: START_S,
        )

    told = watch("told", proven=False).round().document()
    assert (told["ok"], told["unproven"], told["unproven_auctions"]) == (True, 1, [1])
    with pytest.raises(AuditFailure) as caught:
        watch("alarmed", proven=True).round()
    assert caught.value.reason is Reason.AWARD_UNPROVEN
    fields = caught.value.fields
    assert (fields["auction_id"], fields["index"]) == ("1", str(at))
    assert int(fields["bound"]) > int(fields["score"])
    # It was told once: a restart goes on behind it, and still counts it.
    again = watch("alarmed", proven=True)
    assert again.round().trouble is None
    gap = Unproven(1, at, int(fields["score"]), int(fields["bound"]))
    known = read_state(tmp_path / "alarmed", format_vkey(made.key))
    assert known is not None
    assert decode_paused(known.paused).counts.unproven_awards == [gap]
    document = audit_files(files, made.key)[0].document()
    assert document["unproven"] == 1
    assert document["unproven_awards"] == [
        {"auction_id": 1, "index": at, "score": fields["score"], "bound": fields["bound"]}
    ]
