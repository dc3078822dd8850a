"""A node of the SDK has the engine's word for each opening, and hangs up once it has."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, pool, sell, signer
from support.nodes import serving
from support.solvers import Crosser
from support.worlds import World, running, soon

from walras.app.opening import MAX_OPENED
from walras.app.report import AuctionReport
from walras.audit import envelope
from walras.audit.evidence import check_evidence
from walras.cli.auditing import audit_files
from walras.cli.fetch import fetch_log
from walras.core.bids import Proposal
from walras.protocol.problem import Problem
from walras.protocol.sealed_bids import BidReceipt, decode_committed, decode_receipt
from walras.sdk import node as sdk
from walras.sdk.client import Client
from walras.sdk.solver import Deadline
from walras.store.folder import FolderSource

ANN, BOB = signer("ann"), signer("bob")
OPEN_MS = 20_000


async def crossed(world: World) -> AuctionReport:
    """A batch of two intents that cross, and its winner."""
    await world.open_market([pool()])
    await world.nodes_here()
    await world.fund(ANN.public_key, ETH, WHOLE_ETH)
    await world.fund(BOB.public_key, USD, 3_000 * WHOLE_USD)
    await world.submit(sell(ANN.public_key), ANN)
    await world.submit(buy(BOB.public_key), BOB)
    report: AuctionReport = await soon(world.auction())
    assert report.winners
    return report


async def test_openings_have_receipts(tmp_path: Path) -> None:
    kept: dict[str, list[bytes]] = {"task": [], "receipt": [], "closing": []}
    node = sdk.Node(Crosser(), signer("node"), evidence=lambda kind, data: kept[kind].append(data))
    async with serving(node) as address:
        solvers = [{"name": "node", "address": address}]
        async with running(tmp_path / "engine", solvers=solvers, open_ms=OPEN_MS) as world:
            report = await crossed(world)
            # The call ends with the last receipt, not with the time that there is for openings.
            assert report.seconds["open"] < OPEN_MS / 4_000
            async with Client(world.address) as client:
                await fetch_log(client, tmp_path / "log")
            source = FolderSource(tmp_path / "log")
            audited, _ = audit_files(source, world.key, quiet=True)
            assert audited.counts.unopened == 0
            given = [decode_receipt(envelope.decode(one).body) for one in kept["receipt"]]
            opened = [one for one in given if one.opened]
            assert sum(len(one.opened) for one in opened) == audited.counts.bids >= 1
            assert count(given) == 2 * audited.counts.bids
            committed = [
                one
                for one in source.entries()
                if envelope.decode(one).payload_type.startswith("application/vnd.walras.committed.")
            ]
            until = decode_committed(envelope.decode(committed[0]).body).open_until_ms
            assert all(one.received_ms <= until for one in opened)
            held = check_evidence(
                list(source.entries()),
                source.blob,
                world.key.public_key,
                world.key.name,
                [*kept["task"], *kept["receipt"]],
            )
            assert (held.tasks, held.receipts) == (1, len(given))


class Repeater(Crosser):
    """As many bids as the rules allow; prices in other units make another bid."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
        for found in super().solve(problem, deadline):
            for n in range(1, problem.rules.max_bids + 1):
                yield replace(found, prices={a: p * n for a, p in found.prices.items()})


async def test_as_many_openings_as_bids_may_be_have_receipts(tmp_path: Path) -> None:
    receipts: list[bytes] = []
    node = sdk.Node(
        Repeater(),
        signer("node"),
        evidence=lambda kind, data: receipts.append(data) if kind == "receipt" else None,
    )
    async with serving(node) as address:
        solvers = [{"name": "node", "address": address}]
        async with running(tmp_path / "engine", solvers=solvers, open_ms=OPEN_MS) as world:
            await crossed(world)
    opened = [one for one in map(envelope.decode, receipts) if decode_receipt(one.body).opened]
    assert sum(len(decode_receipt(one.body).opened) for one in opened) > MAX_OPENED


def count(receipts: list[BidReceipt]) -> int:
    """Of commitments and openings."""
    return sum(len(one.digests) for one in receipts)
