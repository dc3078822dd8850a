"""A log with a bit of everything, written by a real engine, real nodes and real clients.

Its bids come in the open; the fleet's scenario has sealed ones.

auction 1   winners of two solvers, a tie, rejected bids, a cancelled intent that is filled
auction 2   after a withdrawal and a market update; partial fills, several legs, a decay
auction 3   left open by a stop, voided by the next start
auction 4   left sealed by a stop, voided by the next start
auction 5   nobody bids
auction 6   nothing to solve, only an intent that expired
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.audit.log_copy import Forgery, LogCopy
from support.audit.scripted_node import Script, ScriptedNode, Task, silence
from support.market import signer
from support.worlds import PATIENCE
from walras.app.config import SolverConfig, read_config
from walras.app.engine import Engine, run_engine
from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import NoteKey, open_checkpoint, parse_vkey
from walras.audit.tiles import hash_tile, hash_tiles
from walras.audit.vrf import VrfKey
from walras.core.assets import Asset
from walras.core.bids import Bid, Execution, Fill, Proposal
from walras.core.errors import Reason
from walras.core.intents import Decay, Intent, Leg
from walras.market.kinds import AnyVenue, ConstantProduct
from walras.protocol.problem import OpenIntent, Price, Problem
from walras.protocol.records import Cancel, Credit, Deposit, MarketUpdate, Withdrawal
from walras.rpc.server import start
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.signing import sign_record
from walras.store.folder import blobs_of

DOMAIN = "test.example.org/audit"
W, U, D = "eip155:1/slip44:60", "eip155:1/erc20:0xusdc", "eip155:1/erc20:0xdai"
WHOLE, WHOLE_U = 10**18, 10**6

PRICES = {
    W: Price(10**9, "test"),
    U: Price(10**21 // 3000, "test"),
    D: Price(10**9 // 3000, "test"),
}
VENUES = (
    ConstantProduct("du", 1_000, (D, U), (3_000_000 * WHOLE, 3_000_000 * WHOLE_U), 500),
    ConstantProduct("dw", 1_000, (D, W), (3_000_000 * WHOLE, 1_000 * WHOLE), 500),
    ConstantProduct("wd", 1_000, (W, D), (1_000 * WHOLE, 3_000_000 * WHOLE), 3_000),
    ConstantProduct("wu", 1_000, (W, U), (1_000 * WHOLE, 3_000_000 * WHOLE_U), 3_000),
)
OWNERS = ("alice", "bob", "carol", "dave", "erin", "frank", "gina", "henry", "mallory")


def owner(name: str) -> bytes:
    return signer(name).public_key


@dataclass
class Clock:
    """Milliseconds, moved by hand."""

    now: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True)
class Recorded:
    """The log that was written, and what its clients kept.

    Attributes:
        log: as it is exported.
        key: of the log.
        engine: the engine's signer.
        keys: every other signer, by public key.
        vrf: the engine's.
        receipts: leaf, its index, the receipt's checkpoint.
    """

    log: LogCopy
    key: NoteKey
    engine: Signer
    keys: dict[bytes, Signer]
    vrf: VrfKey
    receipts: list[tuple[bytes, int, bytes]]

    def forgery(self) -> Forgery:
        leaves, blobs = list(self.log.leaves), dict(self.log.blobs)
        return Forgery(DOMAIN, self.engine, self.keys, self.vrf, leaves, blobs)


def order(
    name: str,
    nonce: int,
    legs: dict[str, int],
    units: int,
    settlement: str,
    limit: int,
    *,
    min_units: int = 0,
    expiry_ms: int = 1 << 60,
    decay: Decay | None = None,
) -> Intent:
    return Intent(
        DOMAIN,
        owner(name),
        nonce,
        0,
        expiry_ms,
        tuple(Leg(asset, quantity) for asset, quantity in legs.items()),
        units,
        min_units,
        settlement,
        limit,
        decay,
    )


NO_PROBES_MS = 86_400_000
"""Between two signed probes: the clock stands still for most of the time, so none is due."""


@dataclass
class Play:
    """One engine's life in several runs, with the nodes that it asks."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    nodes: dict[str, ScriptedNode] = field(default_factory=dict)
    solvers: list[SolverConfig] = field(default_factory=list)
    receipts: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    ids: dict[str, bytes] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    async def add_nodes(self, *names: str) -> None:
        for name in names:
            node = self.nodes[name] = ScriptedNode(name, signer(name))
            address = await node.start()
            self.solvers.append(SolverConfig(name=name, address=address, slots=8))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Engine, Client]]:
        config = read_config(
            None,
            data=self.folder,
            domain=DOMAIN,
            solvers=self.solvers,
            interval_ms=1_000,
            solve_ms=20_000,
            **{"fleet": {"probe_interval_ms": NO_PROBES_MS}, **self.settings},
        )
        async with run_engine(config, self.clock) as engine:
            await engine.fleet.settle_in(PATIENCE)
            server, address = await start(engine, "127.0.0.1:0")
            try:
                async with Client(address, attempts=1) as client:
                    yield engine, client
            finally:
                await server.stop(None)

    async def submit(self, client: Client, name: str, intent: Intent) -> bytes:
        leaf = sign_record(
            intent, next(s for s in map(signer, OWNERS) if s.public_key == intent.owner)
        )
        answer = await client.submit(leaf)
        self.ids[name] = answer.intent_id
        receipt = answer.receipt
        self.receipts.append((leaf, receipt.inclusion.leaf_index, receipt.checkpoint))
        return answer.intent_id

    async def cancel(self, client: Client, name: str, owner_name: str) -> None:
        await client.cancel(
            sign_record(Cancel(DOMAIN, owner(owner_name), self.ids[name]), signer(owner_name))
        )

    async def batch(self, engine: Engine) -> None:
        opened = await engine.auctioneer.open()
        self.clock.now += 1_500
        assert await engine.auctioneer.settle(opened) is not None


# what the solvers propose


def through(
    problem: Problem, venues: dict[str, AnyVenue], venue: str, give: str, amount: int, take: str
) -> Execution:
    """A swap with the exact output, after those made on `venues` before."""
    swap = (venues.get(venue) or problem.venues[venue]).swap(give, amount, take)
    venues[venue] = swap.after
    return Execution(venue, give, amount, take, swap.amount_out)


def sold(problem: Problem, fills: dict[bytes, int], venue: str) -> Proposal:
    """Several sales of one asset for another, through one venue, all at the price it pays."""
    first: OpenIntent = problem.intents[next(iter(fills))]
    give, take = first.intent.legs[0].asset, first.intent.settlement_asset
    amount = sum(fills.values())
    step = through(problem, {}, venue, give, amount, take)
    return Proposal(
        tuple(Fill(name, units) for name, units in fills.items()),
        {give: step.amount_out, take: amount},
        (step,),
    )


async def settled_alone(play: Play, task: Task) -> AsyncIterator[bytes]:
    """The coincidence of wants, the best bid by far, and a tied bid."""
    ids = play.ids
    yield task.bid(coincidence(ids))
    yield task.bid(sold(task.problem, {ids["gina"]: 3_000 * WHOLE}, "dw"))


def coincidence(ids: dict[str, bytes]) -> Proposal:
    return Proposal(
        (Fill(ids["alice"], WHOLE), Fill(ids["bob"], 3_000 * WHOLE_U)), {W: 3_000, U: 10**12}
    )


async def settled_by_pool(play: Play, task: Task) -> AsyncIterator[bytes]:
    """A bid that the coincidence beats, one that wins, and the other tied bid."""
    ids = play.ids
    yield task.bid(sold(task.problem, {ids["alice"]: WHOLE}, "wu"))
    yield task.bid(sold(task.problem, {ids["carol"]: WHOLE, ids["frank"]: WHOLE}, "wd"))
    yield task.bid(sold(task.problem, {ids["gina"]: 3_000 * WHOLE}, "dw"))


BROKEN = (
    Reason.ENVELOPE_MALFORMED,
    Reason.SOLVER_MISMATCH,
    Reason.SIGNATURE_INVALID,
    Reason.SOLVER_MISMATCH,
    Reason.AUCTION_WRONG,
    Reason.DIGEST_WRONG,
    Reason.BID_EMPTY,
    Reason.FILL_UNKNOWN_INTENT,
    Reason.FILL_DUPLICATE,
    Reason.FILL_UNITS,
    Reason.PRICE_MISSING,
    Reason.LIMIT_BROKEN,
    Reason.COLLAR_BROKEN,
    Reason.EXECUTION_OUTPUT_WRONG,
    Reason.EXECUTION_INVALID,
    Reason.NOT_CONSERVED,
    Reason.SCORE_NOT_POSITIVE,
    Reason.BID_DUPLICATE,
)
"""Why, in this order, the bids of `rejected` are."""


async def rejected(play: Play, task: Task) -> AsyncIterator[bytes]:
    """A valid bid, and one for each of many rules, which it breaks."""
    ids = play.ids
    good = sold(task.problem, {ids["alice"]: WHOLE // 2}, "wu")
    (step,) = good.executions
    valid = task.bid(good)
    yield valid
    yield b"not an envelope"
    yield sign_record(
        Bid(task.problem.auction_id, task.digest, owner("rogue"), good), signer("mallory")
    )
    broken = bytearray(valid)
    broken[-100] ^= 1
    yield bytes(broken)
    yield task.bid(good, solver=owner("first"))
    yield task.bid(good, auction_id=99)
    yield task.bid(good, problem_digest=sha256(b"another").digest())
    yield task.bid(replace(good, fills=()))
    yield task.bid(replace(good, fills=(Fill(ids["dave"], 1),)))
    yield task.bid(replace(good, fills=good.fills * 2))
    yield task.bid(replace(good, fills=(Fill(ids["alice"], WHOLE + 1),)))
    yield task.bid(replace(good, prices={W: 3_000}))
    yield task.bid(replace(good, prices={W: 2_000, U: 10**12}))
    yield task.bid(replace(good, prices={W: 9_000, U: 10**12}))
    yield task.bid(replace(good, executions=(replace(step, amount_out=step.amount_out + 1),)))
    yield task.bid(replace(good, executions=(replace(step, venue="nowhere"),)))
    yield task.bid(replace(good, executions=()))
    yield task.bid(sold(task.problem, {ids["alice"]: 10**12}, "wu"))
    yield valid


async def second_round(play: Play, task: Task) -> AsyncIterator[bytes]:
    """Carol's rest in part, the decay, and the two-legged sale, through three venues."""
    ids, problem = play.ids, task.problem
    yield task.bid(sold(problem, {ids["carol"]: WHOLE // 2}, "wd"))
    yield task.bid(sold(problem, {ids["erin decays"]: 1_500 * WHOLE}, "dw"))
    units = 10**16
    first = through(problem, {}, "wu", W, units, U)
    other = through(problem, {}, "du", D, 3_000 * units, U)
    worth = {W: first.amount_out, D: other.amount_out // 3_000, U: units}
    yield task.bid(Proposal((Fill(ids["henry"], units),), worth, (first, other)))


def interrupted(entered: asyncio.Event) -> Script:
    """Never answers."""

    async def script(_task: Task) -> AsyncIterator[bytes]:
        entered.set()
        await asyncio.Event().wait()
        yield b""

    return script


# the log


async def play_all(play: Play) -> None:
    """Auctions 1 to 6."""
    await play.add_nodes("first", "second", "rogue")
    async with play.running() as (engine, client):
        await fund(engine, client)
        await first_auction(play, engine, client)
        await between(play, engine, client)
        await second_auction(play, engine, client)
        await play.submit(client, "late", order("gina", 9, {D: -1}, 10**20, W, 1))
        await engine.auctioneer.open()
    async with play.running() as (engine, client):
        await interrupted_auction(play, engine, client)
    async with play.running() as (engine, client):
        await client.withdraw(
            sign_record(Withdrawal(DOMAIN, owner("alice"), 51, U, 1, 1 << 60), signer("alice"))
        )
        await play.batch(engine)
        for name, whose in (("carol", "carol"), ("henry", "henry"), ("late", "gina")):
            await play.cancel(client, name, whose)
        brief = order("bob", 60, {W: -1}, WHOLE, U, 1, expiry_ms=play.clock.now + 1_200)
        await play.submit(client, "brief", brief)
        await play.batch(engine)
        await play.submit(client, "open", order("bob", 61, {W: -1}, WHOLE // 2, U, 1))


async def fund(engine: Engine, client: Client) -> None:
    operator = engine.operator
    assert operator is not None
    assets = (Asset(W, "W", 18), Asset(U, "U", 6), Asset(D, "D", 18))
    market = MarketUpdate(DOMAIN, operator.public_key, 1, assets, VENUES, (), PRICES)
    await client.put_venues(sign_record(market, operator))
    handed_in = [
        Credit(owner(name), asset, amount)
        for name in OWNERS
        for asset, amount in ((W, 10 * WHOLE), (U, 30_000 * WHOLE_U), (D, 30_000 * WHOLE))
    ]
    deposit = Deposit(DOMAIN, operator.public_key, 2, tuple(handed_in))
    await client.deposit(sign_record(deposit, operator))


async def first_auction(play: Play, engine: Engine, client: Client) -> None:
    orders = {
        "alice": order("alice", 1, {W: -1}, WHOLE, U, 2_900 * WHOLE_U),
        "bob": order("bob", 1, {U: -1}, 3_000 * WHOLE_U, W, 98 * WHOLE // 100),
        "carol": order("carol", 1, {W: -1}, 2 * WHOLE, D, 5_800 * WHOLE),
        "dave": order("dave", 1, {W: -1}, WHOLE, U, 2_900 * WHOLE_U),
        "frank": order("frank", 1, {W: -1}, WHOLE, D, 2_900 * WHOLE, min_units=WHOLE),
        "gina": order("gina", 1, {D: -1}, 3_000 * WHOLE, W, 9 * WHOLE // 10),
        "erin": order("erin", 1, {W: -1}, WHOLE, U, 1, expiry_ms=play.clock.now + 1_000),
    }
    for name, made in orders.items():
        await play.submit(client, name, made)
    await play.cancel(client, "dave", "dave")

    async def first(task: Task) -> AsyncIterator[bytes]:
        await play.cancel(client, "frank", "frank")
        async for bid in settled_alone(play, task):
            yield bid

    play.nodes["first"].script = first
    play.nodes["second"].script = partial(settled_by_pool, play)
    play.nodes["rogue"].script = partial(rejected, play)
    await play.batch(engine)
    for node in play.nodes.values():
        node.script = silence


async def between(play: Play, engine: Engine, client: Client) -> None:
    operator = engine.operator
    assert operator is not None
    await client.withdraw(
        sign_record(Withdrawal(DOMAIN, owner("alice"), 50, U, 5, 1 << 60), signer("alice"))
    )
    new = ConstantProduct("wu", 2_000, (W, U), (900 * WHOLE, 2_800_000 * WHOLE_U), 3_000)
    prices = {W: Price(10**9 + 1, "test, later")}
    market = MarketUpdate(DOMAIN, operator.public_key, 3, (), (new,), (), prices)
    await client.put_venues(sign_record(market, operator))


async def second_auction(play: Play, engine: Engine, client: Client) -> None:
    now = play.clock.now
    legs = {W: -1, D: -3_000}
    decay = Decay(55 * WHOLE // 100, now, now + 3_000)
    orders = {
        "henry": order("henry", 1, legs, 10**17, U, 590 * WHOLE_U),
        "erin decays": order("erin", 2, {D: -1}, 1_500 * WHOLE, W, 4 * WHOLE // 10, decay=decay),
    }
    for name, made in orders.items():
        await play.submit(client, name, made)
    play.nodes["second"].script = partial(second_round, play)
    await play.batch(engine)
    play.nodes["second"].script = silence


async def interrupted_auction(play: Play, engine: Engine, client: Client) -> None:
    await play.submit(client, "held", order("dave", 2, {W: -1}, WHOLE, U, 1))
    entered = asyncio.Event()
    play.nodes["first"].script = interrupted(entered)
    work = asyncio.create_task(play.batch(engine))
    await entered.wait()
    await play.cancel(client, "held", "dave")
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    play.nodes["first"].script = silence


async def copy_log(client: Client) -> LogCopy:
    """What an engine gives to auditors."""
    answer = await client.checkpoint()
    size = open_checkpoint(answer.checkpoint, parse_vkey(answer.verifier_key)).size
    leaves = [leaf async for leaf in client.entries(0, size)]
    digests = {digest for leaf in leaves for digest in blobs_of(leaf)}
    blobs = {digest: await client.blob(digest) for digest in digests}
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    tiles = {tile.path: hash_tile(tree, tile) for tile in hash_tiles(size)}
    return LogCopy(answer.checkpoint, leaves, blobs, tiles)


def write_keys(folder: Path) -> None:
    """Keys that stay the same; with a clock moved by hand, so do ties and all else."""
    for name in ("engine", "operator", "vrf", "prober"):
        (folder / f"{name}.key").write_text(sha256(name.encode()).hexdigest())


async def record(play: Play, whole: Callable[[Play], Awaitable[None]]) -> Recorded:
    """The log that `whole` writes."""
    folder = play.folder
    write_keys(folder)
    await whole(play)
    async with play.running() as (engine, client):
        log = await copy_log(client)
        key = parse_vkey(engine.verifier_key)
    for node in play.nodes.values():
        await node.stop()
    signers = [signer(name) for name in (*OWNERS, *play.nodes)]
    signers.append(read_key(folder / "operator.key"))
    keys = {one.public_key: one for one in signers}
    vrf = VrfKey.from_seed(sha256(b"vrf").digest())
    return Recorded(log, key, read_key(folder / "engine.key"), keys, vrf, play.receipts)


@cache
def recorded() -> Recorded:
    """The log, written once for all tests of a process."""
    with TemporaryDirectory() as folder:
        settings = {"rules": {"sealed_bids": False}}
        return asyncio.run(record(Play(Path(folder), settings=settings), play_all))
