"""Programs that the tests of the second verifier run: Node and Chromium."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
MODULE = ROOT / "docs/verifier/walras-verify.mjs"
PAGE = ROOT / "docs/verifier/index.html"
DRIVER = Path(__file__).with_name("driver.mjs")

INSTALL_SECONDS = 280


@cache
def program(package: str, *names: str) -> str:
    """The path of the first of these programs; in CI, where root may, its package is installed.

    Outside CI a test whose program is missing is skipped, and the skip says how to get it.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and os.environ.get("CI"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-q"], ["install", "-qy", "--no-install-recommends", package]):
            subprocess.run(
                ["apt-get", *command],
                check=True,
                capture_output=True,
                env=environment,
                timeout=INSTALL_SECONDS,
            )
        found = next(filter(None, map(shutil.which, names)), None)
        assert found, f"{package} was installed, and has none of {names}"
    if found is None:
        pytest.skip(f"no {names[0]} on this machine; on Debian: apt-get install {package}")
    return found


def node() -> str:
    return program("nodejs", "node")


def chromium() -> str:
    return program("chromium", "chromium", "chromium-browser", "google-chrome", "chrome")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tlog_proof(index: int, hashes: Iterable[bytes], checkpoint: bytes, extra: str = "") -> bytes:
    """A receipt in C2SP tlog-proof's format, written down from its text alone."""
    lines = ["c2sp.org/tlog-proof@v1", f"extra {extra}" if extra else None, f"index {index}"]
    text = [line for line in [*lines, *map(b64, hashes), "", ""] if line is not None]
    return "\n".join(text).encode() + checkpoint


class EsVerifier:
    """The ES module in one Node process that is asked many times."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, cases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """One verdict a case: `code` is the reason, or None; beside it what the module tells."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(cases)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the driver ended; its error stands above"
        verdicts: list[dict[str, Any]] = json.loads(line)
        return verdicts

    def codes(self, cases: Iterable[dict[str, Any]]) -> list[str | None]:
        return [verdict["code"] for verdict in self.ask(cases)]


@contextmanager
def es_verifier() -> Iterator[EsVerifier]:
    with subprocess.Popen(
        [node(), str(DRIVER), str(MODULE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        yield EsVerifier(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
