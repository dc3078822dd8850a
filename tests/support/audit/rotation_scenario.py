"""A log whose engine got new keys twice, by a real engine and real nodes that commit and open.

run 1   genesis, market, auction 1
run 2   a new VRF key and a new engine key in one start; auction 2, which is left sealed
run 3   voids it by the key that sealed it; another engine key; auction 3
"""

import asyncio
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support.audit.bid_scenario import SETTINGS, batch, orders, sells
from support.audit.log_copy import Forgery, LogCopy
from support.audit.scenario import DOMAIN, Play, copy_log, fund, interrupted, write_keys
from support.audit.scripted_node import ScriptedNode
from walras.app.rotating import prepare
from walras.audit.bindings import EngineKeys
from walras.audit.keys import Signer
from walras.audit.vrf import VrfKey
from walras.sdk.keys import read_key, read_seed


@dataclass(frozen=True)
class Rotated:
    """The log, and every key that its engine had.

    Attributes:
        log: as it is exported.
        keys: the engine's, as its state has them.
        signers: the engine's, in order.
        vrfs: the engine's, in order.
        notes: the checkpoint at the end of each run.
        nodes: with what they kept.
    """

    log: LogCopy
    keys: EngineKeys
    signers: tuple[Signer, ...]
    vrfs: tuple[VrfKey, ...]
    notes: tuple[bytes, ...]
    nodes: dict[str, ScriptedNode]

    def forgery(self, term: int = -1) -> Forgery:
        """In the hands of whoever owns every key; it signs by one of the engine's."""
        leaves, blobs = list(self.log.leaves), dict(self.log.blobs)
        every = {signer.public_key: signer for signer in self.signers}
        return Forgery(DOMAIN, self.signers[term], every, self.vrfs[-1], leaves, blobs)


async def _play(play: Play) -> Rotated:
    engine_file, vrf_file = play.folder / "engine.key", play.folder / "vrf.key"
    signers, vrfs = [read_key(engine_file)], [VrfKey.from_seed(read_seed(vrf_file))]
    notes = []
    await play.add_nodes("first", "second")
    for node in play.nodes.values():
        node.script = sells
    async with play.running() as (engine, client):
        await fund(engine, client)
        await batch(play, engine, client)
        notes.append((await client.checkpoint()).checkpoint)
    signers.append(prepare(engine_file))
    prepare(vrf_file)
    async with play.running() as (engine, client):
        vrfs.append(VrfKey.from_seed(read_seed(vrf_file)))
        entered = asyncio.Event()
        play.nodes["first"].script = interrupted(entered)
        await orders(play, client)
        work = asyncio.create_task(play.batch(engine))
        await entered.wait()
        notes.append((await client.checkpoint()).checkpoint)
        work.cancel()
        await asyncio.wait([work])
    signers.append(prepare(engine_file))
    play.nodes["first"].script = sells
    async with play.running() as (engine, client):
        await batch(play, engine, client)
        log = await copy_log(client)
        notes.append(log.note)
        keys = engine.sequencer.state.in_force.engine_keys
    for node in play.nodes.values():
        await node.stop()
    return Rotated(log, keys, tuple(signers), tuple(vrfs), tuple(notes), dict(play.nodes))


@cache
def rotated() -> Rotated:
    """The log, written once for all tests of a process."""
    with TemporaryDirectory() as folder:
        write_keys(Path(folder))
        return asyncio.run(_play(Play(Path(folder), settings=SETTINGS)))
