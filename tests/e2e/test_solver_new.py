"""What `walras solver new` writes builds, type-checks, passes its tests and bids in an auction.

Nothing is fetched: the wheel is built with this environment's hatchling and put where an
environment of its author's would have it.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from walras.cli.main import run

NAME = "first-try"
ENV = {**os.environ, "NO_COLOR": "1", "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
Captured = pytest.CaptureFixture[str]


def command(*words: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its exit code must be `code`."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=ENV,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / NAME
    assert run(["solver", "new", NAME, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages with the project's wheel in it."""
    out = tmp_path_factory.mktemp("wheel")
    uv = find_uv_bin()
    python = ("--python", sys.executable)
    command(
        *(uv, "build", "--wheel", "--no-build-isolation", *python, "--out-dir", out), cwd=project
    )
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        names = set(held.namelist())
    assert {"first_try/__init__.py", "first_try/solver.py", "first_try/py.typed"} <= names
    assert not any(name.startswith("tests/") for name in names)
    target = out / "site"
    command(uv, "pip", "install", *python, "--no-deps", "--target", target, wheel, cwd=out)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the wheel were installed, here and in the processes that are started."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))


def test_it_keeps_to_its_types(project: Path) -> None:
    mypy = (sys.executable, "-m", "mypy")
    command(*mypy, cwd=project)
    # It knows what a Proposal is, so that a wrong one does not pass.
    source = project / "src/first_try/solver.py"
    text = source.read_text()
    try:
        source.write_text(text.replace("scored.score >", "scored.scores >"))
        done = command(*mypy, cwd=project, code=1)
    finally:
        source.write_text(text)
    assert '"ScoredBid" has no attribute "scores"' in done.stdout


def test_its_own_tests_pass(project: Path) -> None:
    done = command(sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", cwd=project)
    assert "4 passed" in done.stdout


def document(*words: str | Path, capsys: Captured) -> Any:
    """What a command prints with --json. The nodes that it starts are processes of their own."""
    assert run([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_bids_in_an_auction(installed: None, tmp_path: Path, capsys: Captured) -> None:
    assert document("solver", "list", capsys=capsys)[NAME] == "first_try:FirstTrySolver"
    market = tmp_path / "market.json"
    document("generate", "--seed", "7", "--intents", "40", "--out", market, capsys=capsys)
    words = ("auction", market, "--solver", NAME, "--solve-seconds", "5")
    done = document(*words, capsys=capsys)
    assert done["rejected"] == 0
    assert 1 <= done["winners"] <= done["bids"]
    assert done["score"] > 0
    assert done["solvers"][0]["fault"] == ""


def test_it_passes_the_check(
    installed: None, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walras.cli.solver_problems.HUGE_INTENTS", 500)  # 10,000 take a while
    words = ("solver", "check", NAME, "--markets", "1", "--against", "baseline")
    done = document(*words, capsys=capsys)
    assert done["ok"]
    assert done["rejected"] == []
    assert done["summary"][NAME]["bids"] > 0
    assert done["summary"]["baseline"]["share_of_best"] == 1.0


@pytest.mark.parametrize(
    "name", ["", "My-Solver", "9lives", "a--b", "a-", "-a", "a_b", "../a", "x" * 51, "é"]
)
def test_a_name_that_is_none_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["solver", "new", "--", name]) == 2
    assert "cannot be a solver's name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("class", "another use for 'class'"),
        ("json", "another use for 'json'"),
        ("walras", "another use for 'walras'"),
        ("tests", "another use for 'tests'"),
        ("baseline", "a solver 'baseline' is installed"),
    ],
)
def test_a_name_that_is_taken_is_refused(name: str, why: str, capsys: Captured) -> None:
    assert run(["solver", "new", name]) == 2
    assert why in capsys.readouterr().err


def test_nothing_is_written_over(project: Path, capsys: Captured) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    assert run(["solver", "new", "another-try", "--out", str(project)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before


def test_files_are_listed(tmp_path: Path, capsys: Captured) -> None:
    assert run(["solver", "new", "third-try", "--out", str(tmp_path / "x"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = {str(p.relative_to(tmp_path / "x")) for p in (tmp_path / "x").rglob("*") if p.is_file()}
    assert set(told["files"]) == found
    assert {"pyproject.toml", "README.md", ".gitignore", "tests/test_solver.py"} <= found
    for path in (tmp_path / "x").rglob("*.*"):
        assert not path.is_file() or "${" not in path.read_text()
