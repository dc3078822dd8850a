"""`walras audit` and `walras monitor` as programs: files given, codes returned, signals obeyed."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.audit.bid_scenario import NAMES, recorded_bids
from support.audit.grown import host
from support.audit.scenario import Recorded, recorded
from support.orders import ANN

from walras.audit.cosignature import WitnessKey
from walras.audit.evidence import encode_evidence
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, format_vkey, sign_checkpoint
from walras.audit.proof import TlogProof, encode_proof
from walras.cli.main import run
from walras.core.errors import Reason
from walras.store.folder import write_log_folder

Captured = pytest.CaptureFixture[str]

WALRAS = (sys.executable, "-m", "walras.cli.main")


def write(folder: Path, made: Recorded, leaves: list[bytes] | None = None) -> Path:
    leaves = made.log.leaves if leaves is None else leaves
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    name = made.key.name
    note = sign_checkpoint(Checkpoint(name, tree.size, tree.root()), name, made.engine)
    write_log_folder(folder, leaves, note, format_vkey(made.key), made.log.blobs.items())
    return folder


def audited(capsys: Captured, *words: object, code: int = 0) -> Any:
    capsys.readouterr()  # what recording the log has printed
    assert run(["audit", *map(str, words), "--json"]) == code
    shown = capsys.readouterr()
    return json.loads(shown.out if code == 0 else shown.err)


def test_an_audit_leaves_what_the_next_goes_on_from(tmp_path: Path, capsys: Captured) -> None:
    made = recorded()
    size, half = len(made.log.leaves), made.receipts[5][1] + 1
    log, state = write(tmp_path / "log", made, made.log.leaves[:half]), tmp_path / "state"
    first = audited(capsys, log, "--state", state)
    assert (first["entries"], first["since"]) == (half, 0)
    write(log, made)
    second = audited(capsys, log, "--state", state)
    assert (second["entries"], second["since"]) == (size, half)
    assert 0 < second["replayed_from"] <= half
    whole = audited(capsys, log)
    counts = ("records", "intents", "auctions", "voided", "bids", "rejected", "fills", "score")
    assert {name: second[name] for name in counts} == {name: whole[name] for name in counts}
    assert run(["audit", str(log), "--state", str(state)]) == 0
    assert f"{size} entries (0 of them new)" in capsys.readouterr().out


def test_signatures_up_to_a_checkpoint_are_believed_and_nothing_else(
    tmp_path: Path, capsys: Captured
) -> None:
    made = recorded()
    half = made.receipts[5][1] + 1
    since = tmp_path / "checkpoint"
    since.write_bytes(host(made.log, half, made.key, made.engine).files["checkpoint"])
    log = write(tmp_path / "log", made)
    found = audited(capsys, log, "--since", since)
    assert (found["since"], found["replayed_from"], found["auctions"]) == (half, 0, 4)
    since.write_bytes(since.read_bytes()[:-9] + b"AAAAAAA=\n")
    failed = audited(capsys, log, "--since", since, code=1)
    assert failed["error"]["reason"] == "CHECKPOINT_INVALID"
    since.write_bytes(b"origin\n1\n" + since.read_bytes().split(b"\n", 2)[2])
    failed = audited(capsys, log, "--since", since, code=1)
    assert failed["error"]["reason"] == "CHECKPOINT_INVALID"


def receipts(made: Recorded) -> list[bytes]:
    tree, found = Tree(), []
    for leaf in made.log.leaves:
        tree.append(leaf)
    for leaf, index, note in made.receipts:
        size = int(note.split(b"\n")[1])
        found.append(encode_proof(TlogProof(index, tree.inclusion_proof(index, size), note, leaf)))
    return found


def test_receipts_are_held_against_the_log(tmp_path: Path, capsys: Captured) -> None:
    made = recorded()
    log = write(tmp_path / "log", made)
    words: list[object] = []
    for number, data in enumerate(receipts(made)):
        (tmp_path / f"{number}.tlog-proof").write_bytes(data)
        words += ["--receipt", tmp_path / f"{number}.tlog-proof"]
    assert audited(capsys, log, *words)["receipts"] == len(made.receipts) == 13
    assert audited(capsys, log, "--state", tmp_path / "state", *words)["receipts"] == 13
    assert audited(capsys, log, "--state", tmp_path / "state", *words)["receipts"] == 13
    # The engine gave these, and then signs a log without one of the records.
    leaves = made.log.leaves[: made.receipts[-1][1]]
    failed = audited(capsys, write(tmp_path / "short", made, leaves), *words, code=1)
    assert failed["error"]["reason"] == Reason.LOG_INCOMPLETE


def test_a_receipt_that_proves_nothing_is_refused(tmp_path: Path, capsys: Captured) -> None:
    made = recorded()
    log, path = write(tmp_path / "log", made), tmp_path / "bad.tlog-proof"
    honest = receipts(made)[0]
    lines = honest.split(b"\n")
    bad = {
        b"\n".join([lines[0], *lines[2:]]): (2, Reason.FIELD_INVALID),  # carries no record
        b"\n".join([*lines[:2], b"index 1", *lines[3:]]): (1, Reason.PROOF_INVALID),
        honest[:-9] + b"AAAAAAA=\n": (1, Reason.CHECKPOINT_INVALID),
        b"": (1, Reason.PROOF_INVALID),
    }
    for data, (code, reason) in bad.items():
        path.write_bytes(data)
        failed = audited(capsys, log, "--receipt", path, code=code)
        assert failed["error"]["reason"] == reason


def test_what_a_node_kept_is_held_against_the_log(tmp_path: Path, capsys: Captured) -> None:
    """Also by an audit that goes on: what was kept may be of any auction."""
    sealed = recorded_bids()
    made, words = sealed.log, []
    total = 0
    for name in NAMES:
        node = sealed.nodes[name]
        kept = [*node.tasks, *node.receipts, *(one.committed for one in node.closings)]
        total += len(kept)
        path = tmp_path / f"{name}.evidence"
        path.write_bytes(encode_evidence(kept))
        words += ["--evidence", path]
    log, state = write(tmp_path / "log", made), tmp_path / "state"
    for _ in range(2):
        found = audited(capsys, log, "--state", state, *words)["evidence"]
        assert sum(found.values()) == total
        assert found["tasks"] > 0
        assert found["receipts"] > 0
        assert found["closings"] > 0
    assert audited(capsys, log)["evidence"] is None
    assert run(["audit", str(log), *map(str, words)]) == 0
    assert f"{found['tasks']} tasks" in capsys.readouterr().out
    (tmp_path / "cut").write_bytes(b"\x00")
    failed = audited(capsys, log, "--evidence", tmp_path / "cut", code=2)
    assert failed["error"]["reason"] == Reason.ENVELOPE_MALFORMED


def test_a_policy_asks_for_its_quorum(tmp_path: Path, capsys: Captured) -> None:
    made = recorded()
    log, path = write(tmp_path / "log", made), tmp_path / "witnesses.policy"
    path.write_text(f"log {format_vkey(made.key)}\nquorum none\n")
    assert audited(capsys, log, "--policy", path)["ok"]
    witness = format_vkey(WitnessKey("w.example/w", ANN.public_key))
    path.write_text(f"log {format_vkey(made.key)}\nwitness w {witness}\nquorum w\n")
    failed = audited(capsys, log, "--policy", path, code=1)
    assert failed["error"]["reason"] == Reason.QUORUM_UNMET


@pytest.mark.parametrize("name", ["nowhere", "ftp://x/", "http://", "https://a b/"])
def test_what_names_no_log(name: str, capsys: Captured) -> None:
    assert audited(capsys, name, code=2)["error"]["reason"] == Reason.FIELD_INVALID


# the monitor


@contextmanager
def monitoring(*words: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*WALRAS, "monitor", *map(str, words), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_it_watches_until_it_is_told_to_stop(tmp_path: Path) -> None:
    made = recorded()
    half = made.receipts[5][1] + 1
    log, state = write(tmp_path / "log", made, made.log.leaves[:half]), tmp_path / "state"
    words = (log, "--key", format_vkey(made.key), "--state", state, "--interval", "1s")
    with monitoring(*words) as process:
        first = line(process)
        assert (first["ok"], first["new"]) == (True, half)
        write(log, made)
        while not (found := line(process))["new"]:
            assert found["entries"] == half
        assert found["entries"] == len(made.log.leaves)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=180) == 0
    with monitoring(*words) as process:
        again = line(process)
        assert (again["entries"], again["new"]) == (len(made.log.leaves), 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=180) == 0


def test_it_ends_by_itself_when_the_log_is_frozen(tmp_path: Path) -> None:
    made = recorded()
    log = write(tmp_path / "log", made)
    words = ("--interval", "1s", "--max-age", "2s", "--evidence", tmp_path / "evidence")
    with monitoring(log, "--key", format_vkey(made.key), *words) as process:
        assert process.wait(timeout=180) == 1
        assert process.stderr is not None
        error = json.loads(process.stderr.read())["error"]
    assert error["reason"] == "LOG_FROZEN"
    shown = (tmp_path / "evidence/checkpoint").read_bytes()
    assert shown == (log / "checkpoint").read_bytes()
    found = json.loads((tmp_path / "evidence/evidence.json").read_text())
    assert int(found["fields"]["now_s"]) - int(found["fields"]["since_s"]) > 2


def test_it_watches_what_everybody_sees(capsys: Captured) -> None:
    assert run(["monitor", "127.0.0.1:7400", "--key", format_vkey(recorded().key)]) == 2
    assert "a folder or a URL" in capsys.readouterr().err
