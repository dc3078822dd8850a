"""`walras fleet probe` against a real engine with a real node, and the log that comes of it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, sell, signer
from support.nodes import serving
from support.solvers import Crosser
from support.worlds import World, running, soon

from walras.audit.keys import Signer
from walras.audit.note import Checkpoint, sign_checkpoint
from walras.cli.commands.probe import Watch, _probe
from walras.cli.remote import Log
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.sdk.client import Client
from walras.sdk.keys import read_key, read_seed, write_key
from walras.sdk.node import Node

NODE, ANN, BOB = signer("node"), signer("ann"), signer("bob")


@asynccontextmanager
async def engine(folder: Path, prober: Signer) -> AsyncIterator[World]:
    """An engine with one node that ran one batch, so that its fleet is known."""
    fleet = {
        "probers": [prober.public_key.hex()],
        "probe_interval_ms": 500,
        "probe_timeout_ms": 200,
    }
    async with (
        serving(Node(Crosser(), NODE)) as address,
        running(folder, solvers=[{"name": "node", "address": address}], fleet=fleet) as world,
    ):
        await world.open_market()
        await world.nodes_here()
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        await world.fund(BOB.public_key, USD, 3_000 * WHOLE_USD)
        await world.submit(sell(ANN.public_key), ANN)
        await world.submit(buy(BOB.public_key), BOB)
        await soon(world.auction())
        yield world


async def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `walras fleet probe`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "walras.cli.main", "fleet", "probe", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await soon(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_daemon_reports_and_the_log_holds_it(tmp_path: Path) -> None:
    prober = write_key(tmp_path / "prober.key")
    async with engine(tmp_path / "engine", prober) as world:
        log_key = world.engine.verifier_key
        code, out, err = await run(
            *("--key", str(tmp_path / "prober.key"), "--log-key", log_key),
            *("--engine", world.address, "--count", "2", "--json"),
        )
        assert (code, err) == (0, "")
        first, second = map(json.loads, out.splitlines())
        assert second["epoch"] > first["epoch"]
        assert second["leaf_index"] > first["leaf_index"]
        for report in (first, second):
            assert [node["public_key"] for node in report["nodes"]] == [NODE.public_key.hex()]
            assert 0 < report["nodes"][0]["rtt_us"] <= 200_000
        assert world.state.fleet.epochs[prober.public_key].epoch == second["epoch"]
        status = world.state.fleet.standing.status(NODE.public_key, world.engine.sequencer.clock())
        # Of this prober alone, or the lower of its and the engine's own.
        assert 0 < status.rtt_us <= min(r["nodes"][0]["rtt_us"] for r in (first, second))

        watch = Watch(world.address, 1, as_json=True)
        with pytest.raises(InvalidInput) as stranger:
            await soon(_probe(watch, bytes(32), log_key))
        assert stranger.value.reason is Reason.PROBER_UNKNOWN
        assert f'probers = ["{Signer.from_seed(bytes(32)).public_key.hex()}"]' in str(
            stranger.value
        )


async def test_an_engine_with_two_logs_is_caught(tmp_path: Path) -> None:
    """The prober was shown a checkpoint that is signed by the engine's key and not of its log."""
    prober = write_key(tmp_path / "prober.key")
    async with engine(tmp_path / "engine", prober) as world:
        fork = sign_checkpoint(
            Checkpoint(world.key.name, 3, bytes(range(32))),
            world.key.name,
            read_key(tmp_path / "engine" / "engine.key"),
        )
        watch = Watch(world.address, 0, as_json=True)
        honest = watch.refresh

        async def refresh(client: Client, engine_log: Log) -> None:
            await honest(client, engine_log)
            watch.hold(fork, engine_log)

        watch.refresh = refresh  # type: ignore[method-assign]  # the engine shows a fork
        seed = read_seed(tmp_path / "prober.key")
        with pytest.raises(AuditFailure) as caught:
            await soon(_probe(watch, seed, world.engine.verifier_key))
        assert caught.value.reason is Reason.SPLIT_VIEW
        assert caught.value.fields["note"] == fork.decode()
        assert prober.public_key not in world.state.fleet.epochs
