"""`walras simulate` as people run it."""

import json
import re
import sys
from pathlib import Path

import pytest

from walras.cli.main import run
from walras.simulator.scenario import SCENARIOS

Captured = pytest.CaptureFixture[str]
SHORT = ("--nodes", "4", "--seconds", "2", "--routers", "2")


def document(capsys: Captured, *args: str) -> dict[str, object]:
    assert run(["simulate", *args, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_without_a_scenario_it_lists_them(capsys: Captured) -> None:
    assert run(["simulate"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in SCENARIOS)
    assert run(["simulate", "--json"]) == 0
    assert [found["name"] for found in json.loads(capsys.readouterr().out)] == [*SCENARIOS]


def test_a_table_has_a_row_for_each_policy(capsys: Captured) -> None:
    args = ["simulate", "plain", *SHORT, "--policy", "random", "--policy", "prequal"]
    assert run(args) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["policy", "random", "prequal"]
    assert "p99.9" in rows[2]


def test_options_replace_what_the_scenario_says(capsys: Captured) -> None:
    found = document(
        capsys, "slow-nodes", *SHORT, "--slots", "2", "--load", "0.3", "--seed", "9",
        "--slow-nodes", "1", "--slow-factor", "3", "--service", "pareto", "--service-ms", "5",
        "--scv", "2", "--timeout-ms", "900", "--regions", "2", "--policy", "random",
    )  # fmt: skip
    used = found["scenario"]
    assert isinstance(used, dict)
    assert (used["nodes"], used["slots"], used["load"], used["seed"]) == (4, 2, 0.3, 9)
    assert (used["slow_nodes"], used["slow_factor"], used["timeout_ms"]) == (1, 3, 900)
    assert used["service"] == {"kind": "pareto", "mean_us": 5000.0, "scv": 2.0}
    assert used["rtt_ms"] == [[1.0, 80.0], [80.0, 1.0]]


def test_every_scenario_runs(capsys: Captured) -> None:
    for name in SCENARIOS:
        if name != "trace":
            found = document(
                capsys, name, "--nodes", "20", "--seconds", "0.5", "--policy", "random"
            )
            results = found["results"]
            assert isinstance(results, list)
            assert results[0]["calls"] > 0


def test_a_fleet_too_small_for_its_groups_is_refused_at_once(capsys: Captured) -> None:
    assert run(["simulate", "sybil", "--nodes", "3"]) == 2
    said = capsys.readouterr()
    assert "simulating" not in said.err + said.out
    assert "groups of 8, 3, 3, 3, 3 in 20 nodes: of 3, some would have none" in said.err
    assert "give --nodes 7 or more" in said.err
    short = ("--seconds", "1", "--policy", "random")
    for nodes, groups, own in (("7", [2, 1, 1, 1, 1], 2), ("40", [16, 6, 6, 6, 6], 16)):
        used = document(capsys, "sybil", "--nodes", nodes, *short)["scenario"]
        assert isinstance(used, dict)
        assert (used["groups"], used["first_slots"]) == (groups, [2] * own)


@pytest.mark.parametrize("wrong", [("--policy", "chance"), ("--slots", "0"), ("--load", "11")])
def test_nothing_is_simulated_before_all_is_checked(
    capsys: Captured, wrong: tuple[str, str]
) -> None:
    assert run(["simulate", "plain", *SHORT, "--policy", "random", *wrong]) == 2
    said = capsys.readouterr()
    assert "simulating" not in said.err + said.out


def test_a_limit_of_waiting_moves_shards_of_slow_nodes(capsys: Captured) -> None:
    def run_with(limit_ms: str) -> dict[str, float]:
        args = ("--seconds", "12", "--policy", "ring_hash", "--max-wait-ms", limit_ms)
        found = document(capsys, "slow-nodes", *args)
        assert isinstance(found["scenario"], dict)
        assert found["scenario"]["rules"]["max_wait_ms"] == int(limit_ms)
        assert isinstance(found["results"], list)
        result: dict[str, float] = found["results"][0]
        return result

    free, held = run_with("0"), run_with("20")
    assert held["p99_ms"] < 0.6 * free["p99_ms"]
    assert held["timeouts"] == held["errors"] == 0


def test_a_trace_needs_its_file_and_only_a_trace(capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("at_ms,cost_us\n0,5000\n10,5000\n20,7000\n", encoding="utf-8")
    found = document(capsys, "trace", str(file), "--policy", "least_expected_delay")
    results = found["results"]
    assert isinstance(results, list)
    assert results[0]["timeouts"] == 0
    assert run(["simulate", "trace", str(file), "--load", "2", "--arrival-scv", "4"]) == 2
    assert "--load, --arrival-scv would do nothing" in capsys.readouterr().err
    assert run(["simulate", "trace", str(file), "--policy", "random"]) == 0
    assert "load as recorded" in capsys.readouterr().out
    assert run(["simulate", "trace"]) == 2
    assert run(["simulate", "plain", str(file)]) == 2
    assert run(["simulate", "trace", str(tmp_path / "none.csv")]) == 2


@pytest.mark.parametrize(
    "args",
    [["nosuch"], ["plain", "--policy", "best"], ["plain", "--service", "odd"],
     ["plain", "--nodes", "0"], ["plain", "--load", "nan"], ["regions", "--regions", "0"]],
)  # fmt: skip
def test_what_is_wrong_is_an_input_error_with_a_hint(args: list[str], capsys: Captured) -> None:
    assert run(["simulate", *args, "--seconds", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: FIELD_INVALID: " in captured.err


def test_plots_are_files_and_a_page_that_needs_nothing_else(
    capsys: Captured, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="install walras[plots]")
    folder = tmp_path / "plots"
    found = document(
        capsys, "plain", *SHORT, "--policy", "random", "--policy", "round_robin",
        "--plots", str(folder),
    )  # fmt: skip
    names = ["latency.png", "time.png", "flow.png", "index.html"]
    assert found["plots"] == [str(folder / name) for name in names]
    for name in names[:3]:
        assert (folder / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    page = (folder / "index.html").read_text()
    assert page.count("<svg") == 3
    assert page.count("<tr>") == 3
    # Nothing is fetched: what looks like an address names a vocabulary or a place in the page.
    assert not re.findall(r"<(?:script|img|link|iframe)\b", page)
    fetched = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(target.startswith("#") for target in fetched)


def test_without_matplotlib_plots_say_how_to_get_it(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(["simulate", "plain", *SHORT, "--plots", str(tmp_path / "plots")]) == 2
    shown = capsys.readouterr().err
    assert "walras[plots]" in shown
    assert not (tmp_path / "plots").exists()
