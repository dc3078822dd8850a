"""What people get wrong is said in words, with what to do, and nothing is overwritten."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from walras.cli.engines import solver_configs
from walras.cli.fetch import _check_free
from walras.cli.main import run
from walras.core.errors import InvalidInput, Reason
from walras.sdk.client import Client
from walras.sdk.plugins import load

Captured = pytest.CaptureFixture[str]

PORTS = ["nonsense", "127.0.0.1:99999", "http://127.0.0.1:7400", "127.0.0.1:7400/"]


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Commands send the log to this test's stderr, which nobody else may write to."""
    yield
    structlog.reset_defaults()


def test_no_command_is_no_error(capsys: Captured) -> None:
    for args in ([], ["solver"]):
        assert run(args) == 2
        captured = capsys.readouterr()
        assert "Usage: walras" in captured.out
        assert captured.err == ""


@pytest.mark.parametrize("listen", PORTS)
def test_no_server_listens_on_what_is_no_address(
    listen: str, tmp_path: Path, capsys: Captured
) -> None:
    for args in (
        ["serve", "--data", str(tmp_path / "data"), "--listen", listen],
        ["solver", "serve", "baseline", "--listen", listen],
        ["health", listen],
    ):
        assert run(args) == 2
        assert f"{listen!r} is not host:port" in capsys.readouterr().err


@pytest.mark.parametrize("address", PORTS)
async def test_no_client_dials_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidInput, match="is not host:port"):
        Client(address)


def test_a_port_in_use_is_said_by_engine_and_solver(tmp_path: Path, capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        for args in (
            ["serve", "--data", str(tmp_path / "data"), "--listen", listen],
            ["solver", "serve", "baseline", "--listen", listen],
        ):
            assert run(args) == 2
            shown = capsys.readouterr().err
            assert f"error: CONFIG_INVALID: cannot listen on {listen}\nhint: " in shown


def test_a_solver_of_this_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "of_this_folder.py").write_text("class Wrong:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # which the command adds to
    assert run(["solver", "check", "of_this_folder:Wrong"]) == 2
    assert "of_this_folder:Wrong is not a solver" in capsys.readouterr().err


def test_what_a_solver_raises_as_it_is_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raising.py").write_text(
        "class Solver:\n    def __init__(self):\n        raise OSError('no licence')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidInput, match="OSError: no licence") as caught:
        load("raising:Solver")
    assert caught.value.reason is Reason.CONFIG_INVALID
    with pytest.raises(InvalidInput, match="PYTHONPATH"):
        load("no_such_module:Solver")


def test_a_misspelt_solver_starts_no_engine() -> None:
    with pytest.raises(InvalidInput, match="there is no solver 'optimiser'"):
        solver_configs(["optimiser"])
    assert [config["plugin"] for config in solver_configs(["a:B", "baseline"])] == [
        "a:B",
        "baseline",
    ]


def test_a_log_is_not_written_over_another(tmp_path: Path) -> None:
    _check_free(tmp_path, "one+00+aa")
    (tmp_path / "log.vkey").write_text("one+00+aa\n")
    _check_free(tmp_path, "one+00+aa")
    with pytest.raises(InvalidInput, match="log of another engine"):
        _check_free(tmp_path, "two+00+bb")


def test_a_files_intent_takes_no_order_options(tmp_path: Path, capsys: Captured) -> None:
    key = tmp_path / "k"
    run(["keygen", str(key)])
    for option in (["--fill-or-kill"], ["--min", "1 USDC"], ["--max", "1 USDC"]):
        capsys.readouterr()
        assert run(["submit", "--key", str(key), "--file", "x.json", *option]) == 2
        assert "do not go with --file" in capsys.readouterr().err


def test_a_market_goes_into_a_folder_that_is_there(tmp_path: Path, capsys: Captured) -> None:
    assert run(["generate", "--out", str(tmp_path / "none" / "m.json")]) == 2
    assert f"there is no folder {tmp_path / 'none'}" in capsys.readouterr().err


def test_a_list_in_the_environment_that_is_no_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("WALRAS_OPERATORS", "ab")
    assert run(["serve", "--data", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert '"operators"' in shown
    assert "written as JSON" in shown
