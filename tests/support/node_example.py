"""The solver in docs/examples/nodejs as a process, its packages installed once into a cache."""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.verifier.node import program

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/nodejs"
INSTALL_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Running:
    """A node that serves."""

    address: str
    public_key: bytes


@cache
def packages() -> Path:
    """node_modules of the example; the first of all processes that asks installs them.

    Without node and npm the test that asks is skipped, and the skip says how to get them.
    """
    program("nodejs", "node")
    program("npm", "npm")
    listed = EXAMPLE / "package.json"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "walras-examples"
    home.mkdir(parents=True, exist_ok=True)
    place = home / f"nodejs-{hashlib.sha256(listed.read_bytes()).hexdigest()[:16]}"
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=home) as draft:
                made = Path(draft) / "made"
                made.mkdir()
                shutil.copy(listed, made)
                command = ["npm", "install", "--ignore-scripts", "--no-package-lock"]
                subprocess.run(
                    [*command, "--no-audit", "--no-fund", "--silent"],
                    cwd=made,
                    check=True,
                    timeout=INSTALL_SECONDS,
                )
                made.rename(place)
    return place / "node_modules"


@asynccontextmanager
async def node_example(folder: Path, *options: object) -> AsyncIterator[Running]:
    """The example, copied into `folder` and run there with `options`."""
    for part in ("docs/examples/nodejs", "docs/verifier", "proto"):
        ignored = shutil.ignore_patterns("node_modules")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored, dirs_exist_ok=True)
    link = folder / "node_modules"
    if not link.exists():
        link.symlink_to(packages())
    words = ["node", folder / "docs/examples/nodejs/node.mjs", *options]
    process = await asyncio.create_subprocess_exec(*map(str, words), stdout=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
        ready = json.loads(line)
        yield Running(ready["address"], bytes.fromhex(ready["public_key"]))
        assert process.returncode is None, "the node ended by itself"
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(10):
            await process.wait()
