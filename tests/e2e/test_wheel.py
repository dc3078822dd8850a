"""The wheel, installed elsewhere without the source tree, runs the demo."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"


def run(*command: object, cwd: Path) -> str:
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
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.timeout(600)
def test_the_wheel_alone_runs_the_demo(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "engine", "solvers", "constraints.txt"):
        item = ROOT / name
        if item.is_dir():
            shutil.copytree(item, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(item, source / name)
    run(UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", cwd=source)
    (wheel,) = (tmp_path / "dist").glob("walras-*.whl")
    shutil.copy(source / "constraints.txt", tmp_path)
    shutil.rmtree(source)

    home = tmp_path / "elsewhere"
    home.mkdir()
    run(UV, "venv", "--quiet", "--python", sys.executable, home / "venv", cwd=home)
    python = home / "venv/bin/python"
    constraints = tmp_path / "constraints.txt"
    run(
        UV, "pip", "install", "--quiet", "--python", python, "--constraint", constraints,
        f"{wheel}[engine]",
        cwd=home,
    )  # fmt: skip
    where = run(python, "-c", "import walras, walras_solvers; print(walras.__file__)", cwd=home)
    assert where.startswith(str(home))

    walras = home / "venv/bin/walras"
    assert run(walras, "--version", cwd=home).strip().endswith("0.1.0")
    summary = json.loads(run(walras, "demo", "--json", cwd=home))
    assert len(summary["batches"]) >= 5
    wins = summary["wins"]
    assert wins["baseline"] > 0
    assert wins["optimizer"] > 0
