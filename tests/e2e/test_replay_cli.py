"""`walras replay` on a real engine's log: what other solvers and rules would have made of it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.audit.bid_scenario import recorded_bids
from support.audit.scenario import Recorded, U, W, recorded, sold
from support.solvers import RaisingLater

from walras.audit.note import format_vkey
from walras.cli.main import run
from walras.core.bids import Proposal
from walras.protocol.problem import Problem
from walras.sdk.solver import Deadline, Description
from walras.store.folder import write_log_folder

Captured = pytest.CaptureFixture[str]
BRIEF = ("--solve-seconds", "1")


class Half:
    """Sells half of each W for U, each through the pool by itself; and more than there is."""

    def describe(self) -> Description:
        return Description("half", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        for name, entry in problem.intents.items():
            if entry.intent.group == f"{W}>{U}":
                yield sold(problem, {name: entry.remaining // 2}, "wu")
                yield sold(problem, {name: entry.remaining + 1}, "wu")


class Chainless(Half):
    """Takes another chain's assets only."""

    def describe(self) -> Description:
        return Description("chainless", "1", chains=("eip155:99",))


class Failing(RaisingLater):
    """Raises where it should go on."""


def folder_of(made: Recorded, folder: Path) -> Path:
    write_log_folder(
        folder,
        made.log.leaves,
        made.log.checkpoint(),
        format_vkey(made.key),
        made.log.blobs.items(),
    )
    return folder


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(recorded(), tmp_path_factory.mktemp("open"))


def replayed(capsys: Captured, log: Path, *args: str) -> Any:
    capsys.readouterr()
    assert run(["replay", str(log), "--json", *args]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_better_solver_earns_and_the_others_lose(capsys: Captured, log: Path) -> None:
    found = replayed(capsys, log, "--solver", "optimizer", "--solver", "baseline", *BRIEF)
    assert [one["auction_id"] for one in found["auctions"]] == [1, 2, 5, 6]
    for one in found["auctions"]:
        before, after = one["logged"], one["replayed"]
        assert int(after["score"]) >= int(before["score"])
        shares = [*after["solvers"], *after["entrants"]]
        assert sum(int(run["score"]) for run in shares) == int(after["score"])
        assert sum(int(run["score"]) for run in before["solvers"]) == int(before["score"])
        assert {run["name"] for run in after["entrants"]} == {"optimizer", "baseline"}
        assert not any(run["fault"] or run["invalid"] for run in after["entrants"])
    total = found["total"]
    assert int(total["replayed"]["score"]) > int(total["logged"]["score"])
    assert int(total["logged"]["score"]) == sum(
        int(one["logged"]["score"]) for one in found["auctions"]
    )
    optimizer = next(run for run in total["replayed"]["entrants"] if run["name"] == "optimizer")
    assert int(optimizer["reward"]) > 0
    assert optimizer["winners"] >= 3


def test_the_same_again(capsys: Captured, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    args = ("--solver", "test_replay_cli:Half", "--auctions", "1..2")
    assert replayed(capsys, log, *args) == replayed(capsys, log, *args)


def test_invalid_proposals_and_failures_are_told(
    capsys: Captured, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    names = [f"test_replay_cli:{name}" for name in ("Half", "Chainless", "Failing")]
    args = [arg for name in names for arg in ("--solver", name)]
    found = replayed(capsys, log, *args, "--auctions", "1")
    (one,) = found["auctions"]
    by_name = {run["name"]: run for run in one["replayed"]["entrants"]}
    half, chainless, failing = (by_name[name] for name in names)
    assert (half["proposals"], half["bids"]) == (2, 1)
    assert half["invalid"] == [{"proposal": 2, "reason": "FILL_UNITS"}]
    assert (chainless["proposals"], chainless["fault"]) == (0, "")
    assert failing["fault"].startswith("ZeroDivisionError")
    assert one["replayed"]["score"] == one["logged"]["score"]
    assert run(["replay", str(log), *args, "--auctions", "1"]) == 0
    shown = capsys.readouterr().out
    assert "FILL_UNITS" in shown
    assert "failed: ZeroDivisionError" in shown


def test_other_rules(capsys: Captured, log: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("reward_cap = 1000\n")
    found = replayed(capsys, log, "--rules", str(rules), "--auctions", "1")
    (one,) = found["auctions"]
    assert one["replayed"]["score"] == one["logged"]["score"]
    assert {run["reward"] for run in one["replayed"]["solvers"] if run["winners"]} == {"1000"}
    rules.write_text("[rules]\ncollar_bps = 20\nmax_open = 200000\n")
    found = replayed(capsys, log, "--rules", str(rules), "--auctions", "1")
    (tight,) = found["auctions"]
    assert int(tight["replayed"]["score"]) < int(tight["logged"]["score"])
    rules.write_text("max_open = 1\n")
    assert run(["replay", str(log), "--rules", str(rules)]) == 2
    assert "CONFIG_INVALID" in capsys.readouterr().err


def test_sealed_bids_compete_as_well(capsys: Captured, tmp_path: Path) -> None:
    log = folder_of(recorded_bids().log, tmp_path / "log")
    found = replayed(capsys, log, "--solver", "optimizer", *BRIEF)
    assert len(found["auctions"]) == 2
    for one in found["auctions"]:
        assert one["logged"]["solvers"]
        assert int(one["replayed"]["score"]) >= int(one["logged"]["score"])


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--solver", "nosuch"],
        ["--solver", "baseline", "--solver", "baseline"],
        ["--solver", "baseline", "--auctions", "2.."],
        ["--solver", "baseline", "--auctions", "99"],
        ["--rules", "nowhere.toml"],
    ],
)
def test_wrong_input(capsys: Captured, log: Path, args: list[str]) -> None:
    assert run(["replay", str(log), *args]) == 2
    assert capsys.readouterr().err.splitlines()[-2:]
