"""The command line itself: the overview, exit codes, and errors as text and as JSON."""

import json
import subprocess
import sys
from keyword import iskeyword
from pathlib import Path

import pytest
import typer

from walras import __version__
from walras.cli import main
from walras.cli.main import COMMANDS, run
from walras.core.errors import AuditFailure, InvalidInput, Reason, SolverFault, WalrasError

Captured = pytest.CaptureFixture[str]


def test_the_overview_names_every_command(capsys: Captured) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(name: str, capsys: Captured) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: walras " + name in shown
    if name not in {"solver", "fleet", "log", "receipt", "keys"}:  # their own commands have it
        assert "--json" in shown


@pytest.mark.parametrize("name", ["list", "serve", "check", "cow", "new"])
def test_every_solver_command_has_json(name: str, capsys: Captured) -> None:
    assert run(["solver", name, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["list", "show", "drain", "resume", "verify", "top", "probe", "simulate"]
)
def test_every_fleet_command_has_json(name: str, capsys: Captured) -> None:
    assert run(["fleet", name, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


OF_FLEET = {"probe", "ray_up"}
"""Modules of commands that are within `walras fleet` only."""

OF_SOLVER = {"solver_check", "solver_cow", "solver_new"}
"""Those within `walras solver` only."""


def test_the_fleets_overview_names_its_commands(capsys: Captured) -> None:
    assert run(["fleet", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name.partition("_")[0] in shown for name in OF_FLEET)


def test_no_command_is_left_out_of_the_overview() -> None:
    folder = Path(main.__file__).parent / "commands"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"} - OF_FLEET - OF_SOLVER
    assert modules == {f"{name}_" if iskeyword(name) else name for name in COMMANDS}


def test_version(capsys: Captured) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"walras {__version__}\n"


@pytest.mark.parametrize(
    "args",
    [["nosuch"], ["keygen"], ["submit", "--sell", "5 ETH"], ["keygen", "x", "--nosuch"]],
)
def test_wrong_usage_is_an_input_error(args: list[str], capsys: Captured) -> None:
    assert run(args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: FIELD_INVALID: ")
    assert "--help" in captured.err


def test_errors_as_json_are_one_object(capsys: Captured) -> None:
    assert run(["audit", "/nowhere/at/all", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    error = json.loads(captured.err)["error"]
    assert error["reason"] == "FIELD_INVALID"
    assert set(error) == {"reason", "message", "hint", "fields"}


class _Fake:
    """A command module that raises."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def register(self, app: typer.Typer, name: str) -> None:
        def command() -> None:
            raise self._error

        app.command(name)(command)


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (InvalidInput(Reason.NONCE_USED, "no", hint="do"), 2, "error: NONCE_USED: no\nhint: do\n"),
        (AuditFailure(Reason.ROOT_MISMATCH, "bad"), 1, "audit failed: ROOT_MISMATCH: bad\n"),
        (WalrasError(Reason.ENGINE_UNREACHABLE, "x"), 1, "error: ENGINE_UNREACHABLE: x\n"),
        (SolverFault(Reason.NODE_TIMEOUT, "slow"), 1, "error: NODE_TIMEOUT: slow\n"),
        (
            BaseExceptionGroup("", [ValueError(), InvalidInput(Reason.NOT_FOUND, "in a task")]),
            2,
            "error: NOT_FOUND: in a task\n",
        ),
        (
            FileNotFoundError(2, "No such file", "a.json"),
            2,
            "error: FIELD_INVALID: a.json: No such file\nhint: check the path\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    shown: str,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(main, "import_module", lambda _: _Fake(error))
    assert run(["keygen"]) == code
    assert capsys.readouterr().err == shown


def test_what_nobody_expected_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "import_module", lambda _: _Fake(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        run(["keygen"])


def test_keygen_makes_a_key_once(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "my.key"
    assert run(["keygen", str(file), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert len(bytes.fromhex(made["public_key"])) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    assert run(["keygen", str(file)]) == 2
    assert file.read_bytes() == before


def test_the_overview_imports_no_heavy_module() -> None:
    code = "import sys, walras.cli.main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    loaded = set(done.stdout.split())
    assert "walras.cli.main" in loaded
    assert not loaded & {"grpc", "ortools", "sqlalchemy", "numpy", "pydantic", "asyncio"}


def test_a_simple_order_has_one_other_side(tmp_path: Path, capsys: Captured) -> None:
    key = tmp_path / "k"
    run(["keygen", str(key)])
    for args in (
        [],
        ["--sell", "5 ETH", "--buy", "5 ETH"],
        ["--sell", "5 ETH", "--file", "x.json"],
    ):
        capsys.readouterr()
        assert run(["submit", "--key", str(key), *args, "--min", "1 USDC"]) == 2
        assert "--sell, --buy and --file" in capsys.readouterr().err
