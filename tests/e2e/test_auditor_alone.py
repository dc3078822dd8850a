"""An auditor's installation: its dependencies alone, and the commands that they are enough for."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.audit.scenario import recorded

from walras.audit.note import format_vkey
from walras.store.folder import write_log_folder

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"

LOADED = """
import sys, json
from walras.cli.main import run
code = run(sys.argv[1:])
names = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(names), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = recorded()
    path = tmp_path_factory.mktemp("log")
    write_log_folder(
        path, made.log.leaves, made.log.note, format_vkey(made.key), made.log.blobs.items()
    )
    return path


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel's `audit` extra, and nothing else."""
    home = tmp_path_factory.mktemp("auditor")
    source = home / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "engine", "solvers"):
        item = ROOT / name
        if item.is_dir():
            shutil.copytree(item, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(item, source / name)
    run(UV, "build", "--quiet", "--wheel", "--out-dir", home / "dist", cwd=source)
    (wheel,) = (home / "dist").glob("walras-*.whl")
    shutil.rmtree(source)
    run(UV, "venv", "--quiet", "--python", sys.executable, home / "venv", cwd=home)
    made = home / "venv/bin/python"
    run(
        UV, "pip", "install", "--quiet", "--python", made,
        "--constraint", ROOT / "constraints.txt", f"{wheel}[audit]",
        cwd=home,
    )  # fmt: skip
    return made


def run(*command: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    # No PYTHONPATH, no active environment: nothing of the source tree may help.
    environ = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL", "COV"))
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == code, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The log by the server that ships with the engine, in this environment."""
    command = [sys.executable, "-m", "walras.cli.main", "log", "serve", str(folder)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--json", "--with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()


def engines_alone() -> set[str]:
    """What the extra `engine` installs, by the names that its packages are imported as."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = next(
        each
        for each in document["tool"]["importlinter"]["contracts"]
        if each["name"].startswith("An auditor needs")
    )
    return {name for name in contract["forbidden_modules"] if not name.startswith("walras")}


def test_the_audit_extra_is_small_and_enough(python: Path, folder: Path, tmp_path: Path) -> None:
    """From a folder, from a URL, and a second time from what the first left."""
    vkey = format_vkey(recorded().key)
    installed = run(UV, "pip", "list", "--python", python, "--format", "json", cwd=tmp_path)
    names = {each["name"] for each in json.loads(installed.stdout)}
    assert len(names) < 20
    assert names.isdisjoint({"grpcio", "sqlalchemy", "ortools", "numba", "numpy", "h11"})
    with served(folder) as url:
        for log in (folder, url):
            state = tmp_path / f"state-{log == url}"
            command = [python, "-c", LOADED, "audit", log, "--key", vkey, "--json"]
            first = run(*command, "--state", state, cwd=tmp_path)
            told = json.loads(first.stdout)
            assert (told["ok"], told["entries"]) == (True, len(recorded().log.leaves))
            # Typer brings pydantic; nothing of ours uses it here.
            loaded = set(json.loads(first.stderr.splitlines()[-1])) - {"pydantic"}
            assert engines_alone().isdisjoint(loaded)
            again = json.loads(run(*command, "--state", state, cwd=tmp_path).stdout)
            assert again["since"] == told["entries"]
            assert {name: again[name] for name in ("records", "intents", "score", "fills")} == {
                name: told[name] for name in ("records", "intents", "score", "fills")
            }


def test_what_takes_an_engine_says_so(python: Path, tmp_path: Path) -> None:
    """Also where only an argument tells: an engine's log is asked for by gRPC."""
    for words in (["serve"], ["demo"], ["audit", "127.0.0.1:1"]):
        done = run(python, "-m", "walras.cli.main", *words, cwd=tmp_path, code=2)
        assert "walras[engine]" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_contract_names_all_that_the_engine_alone_is_installed_with() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    modules = {
        "googleapis-common-protos": "",  # google.rpc, beside protobuf's google
        "grpcio": "grpc",
        "grpcio-health-checking": "grpc_health",
        "grpcio-reflection": "grpc_reflection",
        "grpcio-status": "grpc_status",
        "prometheus-client": "prometheus_client",
        "pydantic-settings": "pydantic_settings",
    }
    listed = document["project"]["optional-dependencies"]["engine"]
    names = {each.partition(">")[0].partition("[")[0] for each in listed}
    assert {modules.get(name, name) for name in names} - {""} == engines_alone()
