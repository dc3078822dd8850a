"""A log of a fleet, written by a real engine: six nodes, problems in parts, and all that happens to
nodes and venues.

`broken` fails every call until it is ejected, `liar` signs what does not hold until it is blocked.
`four` was shown another log than this one.
Then a venue with a price that nobody believes, a node drained and resumed, a prober's report, and a
restart after which ejection and block are over. The first auction holds a canary.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from support.audit.scenario import (
    DOMAIN,
    NO_PROBES_MS,
    WHOLE,
    WHOLE_U,
    D,
    Play,
    Recorded,
    U,
    W,
    fund,
    order,
    owner,
    record,
    signer,
    sold,
)
from support.audit.scripted_node import Task
from walras.app.engine import Engine
from walras.audit.probes import due_ms, vrf_input
from walras.audit.vrf import VrfKey
from walras.balance.rules import FleetRules
from walras.balance.status import State
from walras.core.bids import Proposal
from walras.market.kinds import ConstantProduct
from walras.protocol.fleet import FleetUpdate
from walras.protocol.probes import (
    Challenge,
    Echo,
    Observation,
    Observations,
    encode_observations,
)
from walras.protocol.records import MarketUpdate
from walras.sdk.client import Client
from walras.sdk.signing import sign_record

HONEST = ("one", "two", "three", "four")
NAMES = (*HONEST, "broken", "liar")
RULES = {
    "policy": "random",
    "weigh": "uniform",
    "part_intents": 2,
    "all_up_to": 2,
    "fan_out": 2,
    "standby": 1,
    "fade_half_life": 2,
    "base_ejection_ms": 20_000,
    "probe_interval_ms": NO_PROBES_MS,
}
PARTS = 2
"""Of every problem, at least."""
MOST_BATCHES = 12

_nonces = count(1_000)


async def sells(task: Task) -> AsyncIterator[bytes]:
    """Each intent by itself through the first venue that takes it."""
    for proposal in proposals(task):
        yield task.bid(proposal)


def proposals(task: Task) -> list[Proposal]:
    found = []
    for name, entry in task.problem.intents.items():
        pair = {entry.intent.legs[0].asset, entry.intent.settlement_asset}
        venues = [v.id for v in task.problem.venues.values() if set(v.assets) == pair]
        if venues:
            found.append(sold(task.problem, {name: entry.remaining}, venues[0]))
    return found


async def fails(task: Task) -> AsyncIterator[bytes]:
    for _ in range(1):
        raise OSError("out of order")
    yield b""


async def lies(task: Task) -> AsyncIterator[bytes]:
    """What it fills is empty."""
    for proposal in proposals(task):
        yield task.bid(replace(proposal, fills=()))


async def batch(play: Play, engine: Engine, client: Client, *, canary: bool = False) -> None:
    """Four orders of three markets, auctioned; one of them may be a canary."""
    orders = [
        order("alice", next(_nonces), {W: -1}, WHOLE // 100, U, 29 * WHOLE_U),
        order("bob", next(_nonces), {W: -1}, WHOLE // 100, U, 29 * WHOLE_U),
        order("carol", next(_nonces), {D: -1}, 30 * WHOLE, W, 9 * WHOLE // 1_000),
        order("erin", next(_nonces), {D: -1}, 30 * WHOLE, U, 29 * WHOLE_U),
    ]
    names = [await play.submit(client, str(one.nonce), one) for one in orders]
    if canary:
        engine.auctioneer.canaries.add(names[2])
    await play.batch(engine)
    engine.auctioneer.canaries.clear()


async def update(engine: Engine, client: Client, **nodes: str) -> None:
    """Drain or resume a node, as the operator."""
    operator = engine.operator
    assert operator is not None
    keys = {what: (owner(name),) for what, name in nodes.items()}
    record = FleetUpdate(DOMAIN, operator.public_key, next(_nonces), **keys)
    await client.update_fleet(sign_record(record, operator))


async def put(engine: Engine, client: Client, *, price: int) -> None:
    """A pool of W against U at this many U for a W."""
    operator = engine.operator
    assert operator is not None
    pool = ConstantProduct("odd", 0, (W, U), (1_000 * WHOLE, price * 1_000 * WHOLE_U), 3_000)
    update = MarketUpdate(DOMAIN, operator.public_key, next(_nonces), venues=(pool,))
    await client.put_venues(sign_record(update, operator))


FORKED = 1, bytes(range(32))
"""Size and root of a checkpoint that is not the log's."""


def report(
    rules: FleetRules, epoch: int, log: tuple[int, bytes], **changes: object
) -> tuple[Observations, bytes]:
    """The prober, holding this checkpoint, saw no echo of `broken`; its challenge then changed.
    `four` echoed that it holds another log.
    """
    prober = owner("prober")
    asked = challenge("broken", rules, epoch, log)
    asked = replace(asked, **changes)  # type: ignore[arg-type]  # any fields
    silent = sign_record(asked, signer("prober"))
    asked_too = sign_record(challenge("four", rules, epoch, log), signer("prober"))
    echo = Echo(DOMAIN, owner("four"), sha256(asked_too).digest(), *FORKED, in_flight=0, slots=1)
    seen = {
        owner("broken"): Observation(silent, b"", 0),
        owner("four"): Observation(asked_too, sign_record(echo, signer("four")), 900),
    }
    body = encode_observations(each for _, each in sorted(seen.items()))
    return Observations(DOMAIN, prober, epoch, sha256(body).digest()), body


def challenge(node: str, rules: FleetRules, epoch: int, log: tuple[int, bytes]) -> Challenge:
    key = VrfKey.from_seed(sha256(b"prober").digest())
    proof, output = key.prove(vrf_input(DOMAIN, epoch, owner(node)))
    return Challenge(
        domain=DOMAIN,
        epoch=epoch,
        prober=key.public_key,
        node=owner(node),
        nonce=sha256(b"nonce" + node.encode()).digest(),
        checkpoint_size=log[0],
        checkpoint_root=log[1],
        vrf_proof=proof,
        sent_ms=due_ms(output, epoch, rules),
    )


async def play_all(play: Play) -> None:
    await play.add_nodes(*NAMES)
    for name, node in play.nodes.items():
        node.script = {"broken": fails, "liar": lies}.get(name, sells)
    async with play.running() as (engine, client):
        await fund(engine, client)
        fleet = engine.sequencer.state.fleet

        def state(name: str) -> State:
            return fleet.standing.status(owner(name), fleet.at_ms).state

        for number in range(MOST_BATCHES):
            await batch(play, engine, client, canary=number == 0)
            if (state("broken"), state("liar")) == (State.EJECTED, State.BLOCKED):
                break
        else:
            raise AssertionError(f"broken is {state('broken')}, liar is {state('liar')}")
        await batch(play, engine, client)
        await put(engine, client, price=300_000)
        await batch(play, engine, client)
        await update(engine, client, drained="one")
        await batch(play, engine, client)
        await update(engine, client, resumed="one")
        tree = engine.sequencer.tree
        epoch = play.clock.now // NO_PROBES_MS
        record, body = report(fleet.rules, epoch, (tree.size, tree.root()))
        await engine.probing.log(record, sign_record(record, signer("prober")), body)
        await put(engine, client, price=3_000)
        await batch(play, engine, client)
    play.nodes["broken"].script = play.nodes["liar"].script = sells
    play.clock.now += 120_000
    async with play.running() as (engine, client):
        await batch(play, engine, client)


@cache
def recorded_fleet() -> Recorded:
    """The log, written once for all tests of a process."""
    with TemporaryDirectory() as folder:
        play = Play(Path(folder), settings={"fleet": RULES})
        made = asyncio.run(record(play, play_all))
    prober = signer("prober")
    return replace(made, keys={**made.keys, prober.public_key: prober})
