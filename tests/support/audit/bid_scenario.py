"""A log of sealed bids, some of which are never opened, by a real engine and real nodes.

auction 1   two honest nodes; one that opens nothing, one that opens something else, one that
            commits to the same bid twice and sends what is no commitment
auction 2   two honest nodes
auction 3   left by a stop after its commitments were closed, voided by the next start
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from support.audit.fleet_scenario import proposals
from support.audit.scenario import (
    DOMAIN,
    NO_PROBES_MS,
    WHOLE,
    WHOLE_U,
    Play,
    Recorded,
    U,
    W,
    fund,
    order,
    record,
    signer,
)
from support.audit.scripted_node import ScriptedNode, Task, silence
from walras.app.engine import Engine
from walras.audit import envelope
from walras.protocol.records import Credit, Deposit
from walras.protocol.sealed_bids import decode_opening
from walras.sdk.client import Client
from walras.sdk.signing import sign_record

NAMES = ("first", "second", "silent", "false", "noisy")
BOND, FORFEIT = 10 * WHOLE_U, 7 * WHOLE_U
FLEET = {
    "probe_interval_ms": NO_PROBES_MS,
    "all_up_to": 8,
    "bond_asset": U,
    "forfeit": FORFEIT,
}
SETTINGS = {"fleet": FLEET, "open_ms": 500}
_nonces = count(1)


@dataclass(frozen=True)
class SealedRecorded:
    """The log, and what its nodes kept."""

    log: Recorded
    nodes: dict[str, ScriptedNode]


async def sells(task: Task) -> AsyncIterator[bytes]:
    for proposal in proposals(task):
        yield task.bid(proposal)


def garbled(openings: list[bytes]) -> list[bytes]:
    """Signed openings of the right commitments, in which there is something else."""
    made = []
    for opening in openings:
        found = decode_opening(envelope.decode(opening, 1 << 24).body)
        other = type(found)(
            found.domain, found.auction_id, found.solver, found.commitment, found.sealed[::-1]
        )
        made.append(sign_record(other, signer("false")))
    return made


async def batch(play: Play, engine: Engine, client: Client) -> None:
    await orders(play, client)
    await play.batch(engine)


async def orders(play: Play, client: Client) -> None:
    for name in ("alice", "bob"):
        one = order(name, next(_nonces), {W: -1}, WHOLE // 100, U, 29 * WHOLE_U)
        await play.submit(client, f"{name} {one.nonce}", one)


async def play_all(play: Play) -> None:
    await play.add_nodes(*NAMES)
    nodes = play.nodes
    for node in nodes.values():
        node.script = sells
    nodes["silent"].opens = lambda _: []
    nodes["false"].opens = garbled
    nodes["noisy"].commits = lambda sent: [sent, sent, b"no commitment"]
    async with play.running() as (engine, client):
        await fund(engine, client)
        await bond(engine, client)
        await batch(play, engine, client)
        for name in ("silent", "false", "noisy"):
            nodes[name].script = silence
        await batch(play, engine, client)
        await stopped(play, engine, client)
    async with play.running():
        pass


async def bond(engine: Engine, client: Client) -> None:
    operator = engine.operator
    assert operator is not None
    credits_ = tuple(Credit(signer(name).public_key, U, BOND) for name in NAMES)
    deposit = Deposit(DOMAIN, operator.public_key, 99, credits_)
    await client.deposit(sign_record(deposit, operator))


async def stopped(play: Play, engine: Engine, client: Client) -> None:
    """The engine is stopped while it waits for openings."""
    await orders(play, client)
    closed = asyncio.Event()

    def hold(_: list[bytes]) -> list[bytes]:
        closed.set()
        return []

    for node in play.nodes.values():
        node.opens = hold
    work = asyncio.create_task(play.batch(engine))
    await closed.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@cache
def recorded_bids() -> SealedRecorded:
    """The log, written once for all tests of a process."""
    with TemporaryDirectory() as folder:
        play = Play(Path(folder), settings=SETTINGS)
        made = asyncio.run(record(play, play_all))
    return SealedRecorded(made, play.nodes)
