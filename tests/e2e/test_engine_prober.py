"""The prober that every engine runs: what it sees is logged, ejects, and is replayed."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.audit.scenario import copy_log
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, sell, signer
from support.nodes import raw_server, serving
from support.solvers import Crosser
from support.worlds import World, running, soon, until

from walras.api.v1 import solver_service_pb2 as pb
from walras.app.probing import own_prober
from walras.audit import envelope
from walras.audit.keys import public_key
from walras.audit.merkle import Tree
from walras.audit.replay import Replay
from walras.balance.events import Rule
from walras.balance.status import State
from walras.protocol.codec import decode
from walras.protocol.fleet import FleetChanged
from walras.protocol.records import Kind
from walras.sdk.client import Client
from walras.sdk.keys import read_seed
from walras.sdk.node import Node

INTERVAL_MS, TIMEOUT_MS = 1_000, 400
FAST = {
    "probe_interval_ms": INTERVAL_MS,
    "probe_timeout_ms": TIMEOUT_MS,
    "base_ejection_ms": 200,
    "interval_ms": 100,
}
ANN, BOB, HONEST = signer("ann"), signer("bob"), signer("honest")


@asynccontextmanager
async def probing(folder: Path, *solvers: dict[str, Any]) -> AsyncIterator[World]:
    """An engine that ran one batch, so that its nodes are the fleet's; enough is left for more."""
    async with running(folder, solvers=list(solvers), fleet=FAST) as world:
        await world.open_market()
        await world.nodes_here()
        await world.fund(ANN.public_key, ETH, 2 * WHOLE_ETH)
        await world.fund(BOB.public_key, USD, 6_000 * WHOLE_USD)
        await auction(world)
        yield world


async def auction(world: World) -> None:
    """One batch of two orders that cross."""
    await world.submit(sell(ANN.public_key), ANN)
    await world.submit(buy(BOB.public_key), BOB)
    await soon(world.auction())


async def test_a_stopped_node_is_ejected_by_the_log_and_comes_back(tmp_path: Path) -> None:
    """Nobody asks it anything meanwhile: it is the probes that tell."""
    folder = tmp_path / "engine"
    async with (
        serving(Node(Crosser(), HONEST)) as address,
        probing(
            folder,
            {"name": "honest", "address": address},
            {"name": "mortal", "plugin": "baseline"},
        ) as world,
    ):
        standing = world.state.fleet.standing
        node = next(node for node in world.engine.fleet.ready() if node.name == "mortal")
        key, process = node.public_key, node._process
        assert process is not None
        own = public_key(read_seed(folder / "prober.key"))
        assert world.state.fleet.rules.probers == (own,)

        def at(key: bytes) -> str:
            return standing.status(key, world.clock()).state

        await until(lambda: standing.status(key, world.clock()).rtt_us)
        os.kill(process.pid, signal.SIGSTOP)
        stopped = world.clock()
        try:
            await until(lambda: at(key) == State.EJECTED)
            # Due times lie in the first part of each epoch: the second failure is within three.
            assert world.clock() - stopped <= 3 * INTERVAL_MS + 500  # for a busy machine
            assert at(HONEST.public_key) != State.EJECTED
        finally:
            os.kill(process.pid, signal.SIGCONT)
        epoch = world.state.fleet.epochs[own].epoch
        await until(lambda: world.state.fleet.epochs[own].epoch >= epoch + 2)
        await auction(world)  # its sealing tells the time
        assert at(key) != State.EJECTED

        async with Client(world.address) as client:
            log = await copy_log(client)
        tree = Tree()
        machine = Replay(world.engine.sequencer.signer.public_key, log.blob, tree.root)
        rules: list[Rule] = []
        for leaf in log.leaves:
            machine.apply(leaf)
            tree.append(leaf)
            rules += rules_of(leaf, key)
        assert rules.index(Rule.CONSECUTIVE_ERRORS) < rules.index(Rule.EJECTION_OVER)
        assert machine.counts.records[Kind.OBSERVATIONS.value] >= 4


def rules_of(leaf: bytes, node: bytes) -> list[Rule]:
    """Why a leaf changes a node's standing, if it does."""
    signed = envelope.decode(leaf)
    if signed.payload_type != Kind.FLEET.payload_type:
        return []
    record = decode(Kind.FLEET, signed.body)
    assert isinstance(record, FleetChanged)
    return [change.rule for change in record.changes if change.node == node]


@pytest.mark.parametrize("liar_first", [True, False])
async def test_a_stranger_who_shows_a_nodes_key_is_not_probed_in_its_place(
    tmp_path: Path, *, liar_first: bool
) -> None:
    """It has no echo to give, and the node that has one would be ejected."""
    shown = pb.DescribeResponse(name="x", version="1", public_key=HONEST.public_key)
    async with (
        raw_server(shown.SerializeToString(), ()) as liar,
        serving(Node(Crosser(), HONEST)) as honest,
    ):
        solvers = [
            {"name": "liar", "address": liar},
            {"name": "honest", "address": honest, "public_key": HONEST.public_key.hex()},
        ]
        async with probing(tmp_path, *solvers[:: 1 if liar_first else -1]) as world:
            engine = world.engine
            prober = own_prober(bytes(32), engine.sequencer, engine.fleet, engine.probing)
            assert prober._targets() == {HONEST.public_key: honest}
