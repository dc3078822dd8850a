"""What it costs to send sub-problems to nodes, and how much of them travels."""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random

from walras.app.collecting import Collected, Collection
from walras.auction.batch import OpenBatch, ReceivedBid, SealedBatch
from walras.audit.keys import Signer
from walras.core.bids import Fill, Proposal
from walras.core.errors import SwapError
from walras.datasets.generate import START_MS, generate
from walras.datasets.market import to_intent
from walras.fleet.nodes import Node, NodeSpec
from walras.fleet.sending import Outgoing, request
from walras.market.kinds import AnyVenue
from walras.protocol.codec import Signed
from walras.protocol.dispatch import Assignment, Dispatch, NodeLoad
from walras.protocol.problem import OpenIntent, Problem, Rules
from walras.protocol.records import Opened
from walras.protocol.trade import encode_problem
from walras.sdk.signing import intent_id, sign_record
from walras.sdk.solver import Deadline, Description

ENGINE = Signer.from_seed(bytes(32))
NODES = 16
PARTS = 1_000
ROUNDS = 7
MOST_MS = 1.0
MOST_SHARE = 0.10
BOOK_CHANGES = 0.05
VENUES_MOVED = 5


class Trivial:
    """Bids at once: one fill of the first intent, at its limit. Its own time is nothing."""

    def describe(self) -> Description:
        return Description("trivial", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:  # noqa: ARG002 - as solvers are
        found = next(iter(problem.intents.values()))
        leg = found.intent.legs[0].asset
        yield Proposal(
            (Fill(found.id, found.remaining),), {leg: 1, found.intent.settlement_asset: 1}
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be shown, what was found, and whether that is enough."""

    what: str
    found: str
    met: bool


def run() -> None:
    """Print the tables, then the claims; each is met or not."""
    claims = [asyncio.run(overhead()), deltas()]
    print("\nClaims\n")
    for claim in claims:
        print(f"{'met' if claim.met else 'NOT MET':8}{claim.what}: {claim.found}")


async def overhead() -> Claim:
    """Wall time of `Collection.run` over the number of parts, each of which goes to one node.

    In it: intents and requests are serialized, sent, read, parsed and checked by the node, a
    solver's thread is woken, its bid signed, sent and read. The solver's own time, some
    microseconds, is not taken off. Not in it: parts are serialized when a batch is sealed, and
    bids are checked by the auction.
    """
    print(f"\n{PARTS:,} parts of one intent, each to one of {NODES} node processes with one slot")
    print(
        "Milliseconds per part; CPU is of all threads, and together over the cores the least wall\n"
    )
    columns = ("round", "wall", "engine CPU", "nodes' CPU", "CPU/cores", "load before")
    print("".join(f"{name:>13}" for name in columns))
    walls = []
    async with fleet(NODES, "bench.fleet_dispatch:Trivial") as nodes:
        for number in range(ROUNDS):
            sealed, bodies = batch(number + 1, nodes)
            load = os.getloadavg()[0]
            spent = _nodes_cpu(nodes.values())
            wall, own, collected = await _collect(sealed, bodies, nodes)
            spent = _nodes_cpu(nodes.values()) - spent
            walls.append(1_000 * wall / PARTS)
            shown = (walls[-1], *(1_000 * s / PARTS for s in (own, spent)))
            both = 1_000 * (own + spent) / PARTS / (os.cpu_count() or 1)
            print(
                f"{number:>13}" + "".join(f"{ms:>13.3f}" for ms in (*shown, both)), f"{load:>12.1f}"
            )
            assert len(collected.bids) == PARTS, collected.faults
    later = sorted(walls[1:])
    return Claim(
        f"{PARTS:,} sub-problems to {NODES} local nodes ≤ {MOST_MS:.0f} ms each",
        f"{later[len(later) // 2]:.2f} ms (median of {len(later)} rounds after the first; best"
        f" {later[0]:.2f}, worst {later[-1]:.2f})",
        later[len(later) // 2] <= MOST_MS,
    )


def _nodes_cpu(nodes: Iterable[Node]) -> float:
    """CPU seconds of their processes so far."""
    ticks = 0
    for node in nodes:
        process = node._process  # noqa: SLF001 - nobody but a measurement asks for it
        assert process is not None
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        ticks += int(user) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK")


async def _collect(
    sealed: SealedBatch, bodies: Sequence[bytes], nodes: dict[bytes, Node]
) -> tuple[float, float, Collected]:
    """Seconds, CPU seconds of this process, and what came; bids are checked afterwards."""
    loop = asyncio.get_running_loop()
    waiting: list[tuple[asyncio.Future[ReceivedBid], bytes, bytes, int]] = []

    def check(bid: bytes, key: bytes, now_ms: int) -> asyncio.Future[ReceivedBid]:
        waiting.append((loop.create_future(), bid, key, now_ms))
        return waiting[-1][0]

    began, cpu = time.perf_counter(), time.process_time()

    def sign(made: Signed) -> bytes:
        return sign_record(made, ENGINE)

    collection = Collection(sealed, bodies, nodes, Counter(), b"", wall_ms, check, sign)
    await collection.run()
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    await collection.close()
    for future, bid, key, now_ms in waiting:
        future.set_result(sealed.evaluate(bid, key, now_ms))
    return wall, spent, await collection.finish()


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def fleet(count: int, plugin: str, slots: int = 1) -> AsyncIterator[dict[bytes, Node]]:
    """Node processes, by key."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
    with tempfile.TemporaryDirectory() as folder:
        nodes = [
            Node(NodeSpec(f"n{i}", plugin=plugin, key_file=Path(folder) / f"{i}.key", slots=slots))
            for i in range(count)
        ]
        try:
            for some in range(0, count, 4):
                await asyncio.gather(*(node.connect() for node in nodes[some : some + 4]))
            yield {node.public_key: node for node in sorted(nodes, key=lambda n: n.public_key)}
        finally:
            await asyncio.gather(*(node.close() for node in nodes))


def batch(number: int, nodes: dict[bytes, Node]) -> tuple[SealedBatch, list[bytes]]:
    """A sealed batch whose parts have one intent each, with a few venues, dealt out in turn."""
    whole = market(seed=number, intents=PARTS, venues=24, auction_id=number)
    venues = list(whole.venues.values())
    parts = []
    for place, (name, entry) in enumerate(whole.intents.items()):
        near = venues[place % len(venues) :][:4]
        parts.append(
            replace(
                whole,
                intents={name: entry},
                balances={
                    held: amount
                    for held, amount in whole.balances.items()
                    if held[0] == entry.intent.owner and held[1] in entry.intent.assets
                },
                venues={venue.id: venue for venue in sorted(near, key=lambda v: v.id)},
                prices={
                    asset: price
                    for asset, price in whole.prices.items()
                    if asset in entry.intent.assets
                },
            )
        )
    bodies = [encode_problem(part) for part in parts]
    assignments = tuple(
        Assignment(sha256(body).digest(), (place % len(nodes),), 1)
        for place, body in enumerate(bodies)
    )
    plan = Dispatch(b"", tuple(NodeLoad(key) for key in nodes), (), assignments)
    opened = OpenBatch(Opened(number, bytes(32), 0, 0))
    names = {key: node.name for key, node in nodes.items()}
    digest = sha256(encode_problem(whole)).digest()
    return opened.seal(whole, digest, parts, plan, names, wall_ms() + 60_000, b"", b""), bodies


def market(seed: int, intents: int, venues: int, auction_id: int = 1) -> Problem:
    """A generated market as a sealed problem, everything open and backed."""
    made = generate(seed, assets=40, venues=venues, accounts=max(4, intents // 5), intents=intents)
    owners = {account.id: sha256(account.id.encode()).digest() for account in made.accounts}
    opened: dict[bytes, OpenIntent] = {}
    for nonce, one in enumerate(made.intents):
        intent = to_intent(
            one, "bench", owners[one.account], nonce, not_before_ms=0, expiry_ms=1 << 60
        )
        name = intent_id(intent)
        opened[name] = OpenIntent(name, intent, intent.units)
    return Problem(
        domain="bench",
        auction_id=auction_id,
        sealed_ms=START_MS,
        rules=Rules(),
        intents=dict(sorted(opened.items())),
        balances={
            (owners[account.id], asset): amount
            for account in made.accounts
            for asset, amount in account.balances.items()
        },
        venues={venue.id: venue for venue in sorted(made.venues, key=lambda v: v.id)},
        prices=dict(made.prices),
    )


def deltas() -> Claim:
    """Batches of one book, of which 5 % changes each time while a few venues move."""
    print(
        f"\n1,000 intents, 200 venues; each time {BOOK_CHANGES:.0%} of the intents are new,"
        f" {VENUES_MOVED} venues moved\n"
    )
    print(f"{'batch':>10}{'whole, bytes':>14}{'sent, bytes':>14}{'share':>8}{'ms to make':>12}")
    rng = Random(1)
    pool = list(market(seed=1, intents=2_000, venues=200).intents.values())
    problem = market(seed=1, intents=2_000, venues=200)
    book, waiting = pool[:1_000], pool[1_000:]
    held: Outgoing | None = None
    shares = []
    for number in range(8):
        if held is not None:
            changed = int(BOOK_CHANGES * len(book))
            for place in rng.sample(range(len(book)), changed):
                book[place] = waiting.pop()
            problem = replace(problem, venues=moved(problem.venues, rng))
        problem = replace(
            problem,
            auction_id=number + 1,
            sealed_ms=START_MS + 1_000 * number,
            intents={entry.id: entry for entry in sorted(book, key=lambda e: e.id)},
        )
        owners = {entry.intent.owner for entry in book}
        sealed = replace(
            problem, balances={k: v for k, v in problem.balances.items() if k[0] in owners}
        )
        outgoing = Outgoing(encode_problem(sealed), sealed.intents)
        whole = len(request([outgoing.part(None)], 1_000, bytes(200)))
        began = time.perf_counter()
        sent = len(request([outgoing.part(held)], 1_000, bytes(200)))
        took = time.perf_counter() - began
        shares.append(sent / whole)
        print(f"{number:>10}{whole:>14,}{sent:>14,}{shares[-1]:>8.1%}{1_000 * took:>12.1f}")
        held = outgoing
    worst = max(shares[1:])
    return Claim(
        f"difference-encoded problems ≤ {MOST_SHARE:.0%} of the full size in steady state",
        f"at most {worst:.1%}, intents' bodies included",
        worst <= MOST_SHARE,
    )


def moved(venues: Mapping[str, AnyVenue], rng: Random) -> dict[str, AnyVenue]:
    """The venues after a swap on each of a few."""
    after = dict(venues)
    for name in rng.sample(sorted(venues), VENUES_MOVED):
        asset_in, asset_out = rng.sample(list(after[name].assets), 2)
        after[name] = _swapped(after[name], asset_in, asset_out)
    return after


def _swapped(venue: AnyVenue, asset_in: str, asset_out: str) -> AnyVenue:
    """After the largest swap of a power of ten that it can do and that does not empty it."""
    for power in range(20, -1, -1):
        try:
            return venue.swap(asset_in, 10**power, asset_out).after
        except SwapError:
            pass
    raise AssertionError(f"{venue.id} can do no swap")
