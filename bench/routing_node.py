"""The peers that run in node, installed from npm into a cache folder on first use.

Nothing of theirs is part of this project; `peers/package.json` names the exact releases.
"""

import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

from bench.routing_instances import Instance, NoAnswer, as_json
from walras.core.bids import Execution

SOURCES = Path(__file__).parent / "peers"
INSTALL_SECONDS = 300


@cache
def folder() -> Path:
    """Where the peers are installed.

    Raises:
        NoAnswer: without node, npm or the registry.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NoAnswer("node and npm are not installed")
    files = sorted(SOURCES.iterdir())
    digest = sha256((SOURCES / "package.json").read_bytes()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = root / "walras" / f"routing-peers-{digest}"
    place.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, place / file.name)
    done = place / "installed"
    if not done.exists():
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(
                command, cwd=place, check=True, capture_output=True, timeout=INSTALL_SECONDS
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
            raise NoAnswer(f"npm install failed: {said[-1] if said else error}") from error
        done.touch()
    return place


def ask(
    script: str, instance: Instance, seconds: float, *arguments: str
) -> tuple[float, tuple[Execution, ...]]:
    """Milliseconds by the peer's own clock, without start and set-up, and what it would execute.

    Raises:
        NoAnswer: as `folder`; the peer failed, or took longer, start and set-up included.
    """
    place = folder()
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "instance.json"
        file.write_text(json.dumps(as_json(instance)))
        try:
            ran = subprocess.run(
                ["node", script, str(file), *arguments],
                cwd=place,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NoAnswer(f"over {seconds:.0f} s") from error
    if ran.returncode:
        lines = ran.stderr.strip().splitlines()
        raise NoAnswer(next((line for line in lines if "Error" in line), "node failed"))
    answer = json.loads(ran.stdout)
    return answer["ms"], _executions(instance, answer["swaps"])


def _executions(
    instance: Instance, swaps: list[tuple[int, int, int, str | None]]
) -> tuple[Execution, ...]:
    executions = []
    paid = 0
    for pool, token_in, token_out, given in swaps:
        amount = paid if given is None else int(given)
        asset_in, asset_out = instance.assets[token_in], instance.assets[token_out]
        venue = instance.venues[str(pool)]
        paid = venue.swap(asset_in, amount, asset_out).amount_out
        executions.append(Execution(venue.id, asset_in, amount, asset_out, paid))
    return tuple(executions)
