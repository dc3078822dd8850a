"""The engine: store, sequencer, fleet and auctioneer, wired together.

    async with run_engine(config) as engine: …

Everything here runs in one task group: what fails for good stops the whole engine, and a restart
finds the state as the last commit left it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from walras.app.auctioneer import Auctioneer
from walras.app.batches import Batches
from walras.app.canaries import Canaries
from walras.app.config import Config, RayConfig
from walras.app.flow import Flow
from walras.app.planning import Planner
from walras.app.probing import Probing, own_prober
from walras.app.publishing import Publishing
from walras.app.report import AuctionReport
from walras.app.resizing import ClusterNodes, LocalNodes, Sized
from walras.app.rotating import OwnKeys, bind_next, read_own_keys
from walras.app.sequencer import Sequencer, Transaction
from walras.auction.search import warm
from walras.audit.bindings import open_at_size
from walras.audit.keys import Signer, public_key
from walras.audit.note import NoteKey, format_vkey
from walras.audit.vrf import VrfKey
from walras.balance.events import Change, Rule
from walras.balance.rules import FleetRules, check_rules
from walras.core.errors import InvalidInput, Reason, SolverFault, WalrasError
from walras.fleet.ray.nodes import RayNodes
from walras.fleet.registry import Fleet
from walras.protocol.records import Genesis, RulesSet
from walras.sdk.keys import read_or_write_key, read_or_write_seed
from walras.store.database import Store, lock_folder, open_store
from walras.store.load import load

log = structlog.get_logger()

REMEMBER_REQUESTS_MS = 24 * 3_600_000
FORGET_EVERY_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine's parts.

    Attributes:
        config: what it was told.
        store: the database.
        sequencer: the single writer.
        fleet: the solver nodes.
        auctioneer: runs the batches.
        probing: takes observations of probers into the log.
        planner: what the fleet can take, and how large it should be.
        flow: how concentrated the order flow is.
        operator: the key made for the operator in the data folder; None where others were
            configured.
        verifier_key: of the log, as a C2SP note key.
        publishing: of the log's files and cosigned checkpoints; None where none was configured.
    """

    config: Config
    store: Store
    sequencer: Sequencer
    fleet: Fleet
    auctioneer: Auctioneer
    probing: Probing
    planner: Planner
    flow: Flow
    operator: Signer | None
    verifier_key: str
    publishing: Publishing | None = None


def wall_clock() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def run_engine(
    config: Config, clock: Callable[[], int] = wall_clock
) -> AsyncIterator[Engine]:
    """An engine on `config.data`, recovered from whatever an earlier run left there.

    The auctions are run by whoever holds it: `engine.auctioneer.serve()`, or batch by batch.
    """
    folder_lock = lock_folder(config.data)
    try:
        operator = None
        if not config.operators:
            operator = read_or_write_key(config.operator_key or config.data / "operator.key")
        # No auction waits for a compiler: a second, or half a minute on a new machine.
        await asyncio.to_thread(warm)
        store = await open_store(config.data)
        try:
            async with _run(config, clock, store, operator) as engine:
                yield engine
        finally:
            await store.close()
    finally:
        folder_lock.close()


@asynccontextmanager
async def _run(
    config: Config,
    clock: Callable[[], int],
    store: Store,
    operator: Signer | None,
) -> AsyncIterator[Engine]:
    loaded = await load(store)
    own = read_own_keys(config, loaded.state.keys)
    signer, vrf = Signer.from_seed(own.engine.seed), VrfKey.from_seed(own.vrf.newest)
    sequencer = Sequencer(loaded.state, loaded.tree, loaded.checkpoint, store, signer, clock)
    fleet = Fleet(config.nodes())
    last = AuctionReport.from_json(loaded.auction.summary) if loaded.auction else None
    prober_seed = read_or_write_seed(config.data / "prober.key")
    batches = Batches(sequencer, fleet, solve_ms=config.solve_ms, open_ms=config.open_ms, vrf=vrf)
    auctioneer = Auctioneer(
        sequencer,
        fleet,
        batches,
        clock,
        interval_ms=config.interval_ms,
        rules=config.rules.value(),
        fleet_rules=_fleet_rules(config, prober_seed),
        next_id=last.auction_id + 1 if last else 1,
    )
    genesis = _first_record(config, own, operator)
    flow = Flow(sequencer.state.fleet)
    auctioneer.on_auction.append(flow.add)
    probing = Probing(sequencer, auctioneer.quietly)
    ray = None
    if config.ray is not None:
        ray = RayNodes(config.ray.deployment(config.data / "solvers"), config.ray.group)
    sized = _sized(config, fleet, auctioneer, ray)
    planner = Planner(sequencer.state, auctioneer, config, clock, sized)
    auctioneer.on_auction.append(planner.add)
    verifier_key = format_vkey(NoteKey(config.domain, public_key(own.engine.newest)))
    publishing = None
    if config.log is not None:
        first_key = _first_key(loaded.state.genesis or genesis)
        publishing = Publishing(config.log, config.data, sequencer, store, first_key)
    engine = Engine(
        config,
        store,
        sequencer,
        fleet,
        auctioneer,
        probing,
        planner,
        flow,
        operator,
        verifier_key,
        publishing,
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(sequencer.serve())]
        try:
            await _begin(sequencer, genesis, config, replaced=own.vrf.next_seed is not None)
            if publishing is not None:
                await publishing.begin()
                tasks.append(group.create_task(publishing.serve()))
            if last is not None and last.state in {"open", "sealed"}:
                log.warning("voiding the batch that an earlier run left", id=last.auction_id)
                await auctioneer.void(last, Reason.BATCH_INTERRUPTED)
            await bind_next(sequencer, own)
            tasks.append(group.create_task(fleet.serve()))
            tasks.append(group.create_task(_forget(store, clock)))
            tasks.append(group.create_task(planner.serve()))
            prober = own_prober(prober_seed, sequencer, fleet, probing)
            tasks.append(group.create_task(prober.serve()))
            if ray is not None and config.ray is not None:
                tasks.append(group.create_task(_keep(ray, config.ray, fleet)))
            if config.canaries is not None and operator is not None:
                canaries = Canaries(
                    sequencer,
                    auctioneer,
                    operator,
                    read_or_write_seed(config.data / "canaries.key"),
                    every=config.canaries.every,
                    value=config.canaries.value,
                    interval_ms=config.interval_ms,
                )
                tasks.append(group.create_task(canaries.serve()))
            yield engine
        finally:
            for task in reversed(tasks):
                task.cancel()


def _first_record(config: Config, own: OwnKeys, operator: Signer | None) -> Genesis:
    """What a new log begins with."""
    operators = tuple(bytes.fromhex(key) for key in config.operators)
    if operator is not None:
        operators = (operator.public_key,)
    engine, vrf = public_key(own.engine.seed), public_key(own.vrf.seed)
    return Genesis(config.domain, engine, operators, vrf)


def _first_key(genesis: Genesis) -> str:
    return format_vkey(NoteKey(genesis.domain, genesis.engine))


def _fleet_rules(config: Config, prober_seed: bytes) -> FleetRules:
    """Those configured, with the engine's own prober."""
    probers = tuple(sorted({*config.fleet.probers, public_key(prober_seed)}))
    rules = replace(config.fleet, probers=probers)
    try:
        check_rules(rules)  # the engine's own may have been named already
    except ValueError as error:
        raise InvalidInput(Reason.CONFIG_INVALID, f"fleet: {error}") from error
    return rules


async def _begin(sequencer: Sequencer, genesis: Genesis, config: Config, *, replaced: bool) -> None:
    """Write the first records of a new log, or see that an old one is this engine's.

    Args:
        sequencer: of the log.
        genesis: what it would begin with.
        config: of the engine.
        replaced: a VRF key waits, so that the present one may be lost.

    Raises:
        InvalidInput: CONFIG_INVALID if the log was begun under another domain, key or operators.
        WalrasError: CHECKPOINT_INVALID or ROOT_MISMATCH if the stored log is not the one that was
            signed last; to go on would fork it.
    """
    present = sequencer.state.genesis
    if present is not None:
        keys = sequencer.state.in_force
        # Operators may change while the engine runs: the configuration says the first, or some now.
        operators = genesis.operators
        named = operators == present.operators or set(operators) <= set(keys.operators)
        for name, ours in (
            ("domain", present.domain == genesis.domain),
            ("engine", keys.engine == genesis.engine),
            ("operators", named),
            ("vrf_key", replaced or keys.vrf_key == genesis.vrf_key),
        ):
            if not ours:
                raise InvalidInput(
                    Reason.CONFIG_INVALID,
                    f"the log in {config.data} has another {name}",
                    hint="restore the configuration or the key file, or choose another data folder",
                )
        if sequencer.checkpoint is not None:
            signed = open_at_size(sequencer.checkpoint.note, keys.engine_keys)
            if signed.root != sequencer.tree.root():
                raise WalrasError(
                    Reason.ROOT_MISMATCH,
                    f"the log in {config.data} is not the one that was signed last",
                    hint="the database is damaged or was changed from outside; restore a copy",
                )
        return

    def command(tx: Transaction) -> None:
        rules = RulesSet(config.rules.value())
        tx.state.begin(genesis)
        tx.record(genesis)
        tx.state.set_rules(rules)
        tx.record(rules)

    await sequencer.run(command)


def _sized(
    config: Config, fleet: Fleet, auctioneer: Auctioneer, ray: RayNodes | None
) -> Sized | None:
    """The nodes whose number follows the load."""
    if config.scale is None:
        return None
    if ray is not None and config.ray is not None and config.scale.solver == config.ray.name:
        regions = tuple(config.ray.regions) or ("",)
        return ClusterNodes(ray, regions, config.ray.nodes, config.ray.slots)
    spec = next(spec for spec in fleet.specs if spec.name == config.scale.solver)
    return LocalNodes(fleet, auctioneer, spec, config.data / "solvers")


async def _keep(ray: RayNodes, config: RayConfig, fleet: Fleet) -> None:
    """Keep the fleet in step with the cluster, until cancelled; the nodes stay there."""
    sized = ClusterNodes(ray, tuple(config.regions) or ("",), config.nodes, config.slots)
    try:
        try:
            await sized.resize(config.nodes, Change(Rule.CONFIGURED))
        except SolverFault as fault:
            log.warning("ray is away", why=str(fault))  # the target is kept
        await ray.keep(fleet)
    finally:
        await ray.close()


async def _forget(store: Store, clock: Callable[[], int]) -> None:
    while True:
        await store.forget_requests(clock() - REMEMBER_REQUESTS_MS)
        await asyncio.sleep(FORGET_EVERY_SECONDS)
