"""An engine in a process of its own, as `walras serve` runs it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from walras.core.errors import Reason, WalrasError
from walras.fleet.nodes import end_child

START_SECONDS = 180.0
"""The first start on a machine compiles the search for winners: half a minute, or more if busy."""
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """What a serving engine says of itself.

    Attributes:
        address: host:port.
        domain: of its log.
        verifier_key: of its log.
        pid: of its process.
    """

    address: str
    domain: str
    verifier_key: str
    pid: int


@asynccontextmanager
async def serve_in_child(config: Path, log_file: Path) -> AsyncIterator[Served]:
    """An engine that serves until the end of the block, then stops as it does on SIGTERM.

    Args:
        config: its TOML.
        log_file: what it says on stderr.

    Raises:
        WalrasError: INTERNAL if it does not start.
    """
    command = [sys.executable, "-m", "walras.cli.main", "serve", "--json", "--with-parent"]
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            "--config",
            str(config),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        try:
            async with asyncio.timeout(START_SECONDS):
                ready = json.loads(await process.stdout.readline())
        except (TimeoutError, ValueError) as error:
            raise WalrasError(
                Reason.INTERNAL, f"the engine did not start; it said: {_last_words(log_file)}"
            ) from error
        yield Served(ready["address"], ready["domain"], ready["verifier_key"], process.pid)
    finally:
        await end_child(process, STOP_SECONDS)


def _last_words(log_file: Path) -> str:
    return log_file.read_text(errors="replace").strip()[-500:]
