"""The npm packages with the contracts, fetched once into a cache outside the repository.

What is fetched is fixed by npm/package-lock.json, with digests. The cache is in
$WALRAS_CONTRACTS_CACHE, or else in the user's cache folder.
"""

import fcntl
import functools
import hashlib
import json
import os
import posixpath
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
LOCK = HERE / "npm" / "package-lock.json"
_FETCH_SECONDS = 240
_COMPILE_SECONDS = 120
_COMPILE = """
const fs = require("fs");
const solc = require(process.argv[1]);
fs.writeFileSync(process.argv[2], solc.compile(fs.readFileSync(0, "utf8")));
process.exit(0);
"""
_IMPORT = re.compile(r'import\s+(?:\{[^}]*\}\s+from\s+)?"([^"]+)"')


def cache() -> Path:
    """The cache folder, made if it is not there."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("WALRAS_CONTRACTS_CACHE") or Path(home) / "walras-contracts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def once(name: str, make: Callable[[Path], None]) -> Path:
    """What `make` puts at the path it is given; made by the first that asks, of all processes."""
    place = cache() / name
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=cache()) as draft:
                made = Path(draft) / "made"
                make(made)
                made.rename(place)
    return place


@functools.cache
def modules() -> Path:
    """node_modules with the packages of npm/package-lock.json.

    Without node, or without a network for the first fetch, the test that asks is skipped; in CI it
    fails.
    """
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    try:
        return once(f"npm-{digest}", _fetch) / "node_modules"
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or error
        message = f"the contracts cannot be fetched: install node and npm, be online once ({told})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def _fetch(place: Path) -> None:
    place.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCK.with_name(name), place)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(
        command, cwd=place, check=True, capture_output=True, text=True, timeout=_FETCH_SECONDS
    )


def creation_code(path: str) -> bytes:
    """The creation code of the compiled artifact that a package ships at `path`."""
    artifact = json.loads((modules() / path).read_bytes())
    code: str = artifact.get("bytecode") or artifact["evm"]["bytecode"]["object"]
    return bytes.fromhex(code.removeprefix("0x"))


def compiled(source: str) -> dict[str, bytes]:
    """Contract → creation code, of the Solidity file `source` beside this one and its imports,
    compiled by the packages' solc.
    """
    sources = _with_imports(source)
    # What the packages in question were built with.
    settings = {
        "optimizer": {"enabled": True, "runs": 9999},
        "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
    }
    task = {"language": "Solidity", "sources": sources, "settings": settings}
    data = json.dumps(task).encode()

    def compile_into(place: Path) -> None:
        command = ["node", "-e", _COMPILE, str(modules() / "solc"), str(place)]
        subprocess.run(
            command, input=data, check=True, capture_output=True, timeout=_COMPILE_SECONDS
        )
        found = json.loads(place.read_bytes())
        failed = [
            e["formattedMessage"] for e in found.get("errors", ()) if e["severity"] == "error"
        ]
        assert not failed, "\n".join(failed)

    result: dict[str, Any] = json.loads(
        once(f"solc-{hashlib.sha256(data).hexdigest()[:16]}", compile_into).read_bytes()
    )
    return {
        name: bytes.fromhex(contract["evm"]["bytecode"]["object"])
        for name, contract in result["contracts"][source].items()
    }


def _with_imports(source: str) -> dict[str, dict[str, str]]:
    sources: dict[str, dict[str, str]] = {}
    wanted = [source]
    while wanted:
        name = wanted.pop()
        if name in sources:
            continue
        text = (modules() / name if "/" in name else HERE / name).read_text()
        sources[name] = {"content": text}
        for found in _IMPORT.findall(text):
            base = posixpath.dirname(name) if found.startswith(".") else ""
            wanted.append(posixpath.normpath(posixpath.join(base, found)))
    return sources
