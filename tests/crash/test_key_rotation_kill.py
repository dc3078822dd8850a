"""An engine is killed at every step of a rotation of both its keys; the next start goes on.

The engine runs in a process of its own and kills itself, by SIGKILL, at the n-th of the steps that
change what is on the disk. Whatever it leaves, one of the two files holds the key in force.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.audit import pool_solver
from support.audit.scenario import DOMAIN, copy_log

from walras.app.config import Config, read_config
from walras.app.engine import run_engine
from walras.app.rotating import engine_key_file, next_file, prepare, vrf_key_file
from walras.audit.keys import public_key
from walras.audit.note import NoteKey
from walras.rpc.server import start
from walras.sdk.client import Client
from walras.sdk.keys import read_seed

STEPS = ("before the commit", "after the commit", "after one rename", "after both")


def config_of(folder: Path) -> Config:
    return read_config(None, data=folder, domain=DOMAIN, solvers=[], listen="127.0.0.1:0")


def run_and_die(folder: Path, step: str) -> None:
    """What the child does: an engine that kills itself at a step; "" lets it live."""
    from walras.store.database import Store

    commit, replace, renamed = Store.commit, Path.replace, []

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def committing(self: Store, *args: object) -> None:
        binds = any(b"key-binding" in leaf for leaf in args[0].leaves)  # type: ignore[attr-defined]  # a commit
        if binds and step == STEPS[0]:
            die()
        await commit(self, *args)  # type: ignore[arg-type]  # as it was called
        if binds and step == STEPS[1]:
            die()

    def replacing(self: Path, target: Path) -> Path:
        replace(self, target)
        renamed.append(target)
        if step in STEPS[2:] and len(renamed) == STEPS.index(step) - 1:
            die()
        return target

    Store.commit, Path.replace = committing, replacing  # type: ignore[method-assign]  # in the child alone

    async def live() -> None:
        async with run_engine(config_of(folder)):
            pass

    asyncio.run(live())


def child(folder: Path, step: str) -> int:
    paths = [str(Path(pool_solver.__file__).parents[2]), str(Path(__file__).parent)]
    code = "import sys; from pathlib import Path; import test_key_rotation_kill as t;"
    code += "t.run_and_die(Path(sys.argv[1]), sys.argv[2])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", code, str(folder), step]
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun")

    async def live() -> None:
        async with run_engine(config_of(folder)):
            pass

    asyncio.run(live())
    return folder


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_a_key_and_its_binding(
    begun: Path, tmp_path: Path, step: str
) -> None:
    folder = tmp_path / "data"
    subprocess.run(["cp", "-r", str(begun), str(folder)], check=True)
    config = config_of(folder)
    files = [engine_key_file(config), vrf_key_file(config)]
    old = [public_key(read_seed(file)) for file in files]
    new = [prepare(file).public_key for file in files]
    assert child(folder, step) == -signal.SIGKILL

    async def again() -> None:
        async with run_engine(config) as engine:
            keys = engine.sequencer.state.in_force
            assert [keys.engine, keys.vrf_key] == new
            assert [public_key(read_seed(file)) for file in files] == new
            assert not any(next_file(file).exists() for file in files)
            # Both bindings are there, once, and every earlier key leads to the newest.
            assert [record.role for _, record in keys.bindings] == ["vrf", "engine"]
            server, address = await start(engine, "127.0.0.1:0")
            try:
                async with Client(address) as client:
                    log = await copy_log(client)
            finally:
                await server.stop(None)
        for key in (old[0], new[0]):
            counts = log.audit(NoteKey(DOMAIN, key))
            assert counts.records["key-binding"] == 2

    asyncio.run(again())
