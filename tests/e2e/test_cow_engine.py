"""A CoW solver engine competes: engine, adapter node, a real Walras engine, an audit."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.cow_engine import cow_engine, solve
from support.market import DOMAIN, ETH, USD, WHOLE_ETH, WHOLE_USD, buy, pool, sell, signer
from support.nodes import serving
from support.worlds import World, running, soon

from walras.app.report import AuctionReport
from walras.cli.auditing import audit_files
from walras.cli.fetch import fetch_log
from walras.market.kinds import Rfq
from walras.sdk.client import Client
from walras.sdk.node import Node
from walras.sdk.signing import sign_quote
from walras.store.folder import FolderSource
from walras_solvers.cow_adapter import CowAdapter

ANN, BOB, MAKER = signer("ann"), signer("bob"), signer("maker")


@asynccontextmanager
async def asking(folder: Path, address: str, **flags: Any) -> AsyncIterator[World]:
    """An engine that asks the node at `address`, with a market and two owners."""
    solvers = [{"name": "cow", "address": address}]
    async with running(folder, solvers=solvers, solve_ms=5_000, **flags) as world:
        await world.open_market([pool()])
        await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
        await world.fund(BOB.public_key, USD, 200_000 * WHOLE_USD)
        await world.nodes_here()
        yield world


def check(report: AuctionReport, *, bids: int, filled: int) -> None:
    (solver,) = report.solvers
    assert not solver.fault
    assert (solver.bids, solver.rejected, solver.unopened) == (bids, 0, 0)
    assert (report.state, report.filled) == ("settled", filled)


async def audited(world: World, folder: Path) -> int:
    """The auctions that an auditor finds to hold."""
    async with Client(world.address) as client:
        await fetch_log(client, folder)
    return audit_files(FolderSource(folder), world.key, quiet=True)[0].counts.auctions


async def test_it_wins_and_the_audit_holds(tmp_path: Path) -> None:
    """Its routes and its match, sealed and opened like anybody's bids."""
    with cow_engine() as engine:
        solver = CowAdapter(engine.url)
        async with (
            serving(Node(solver, signer("node"))) as address,
            asking(tmp_path / "engine", address) as world,
        ):
            await world.submit(sell(ANN.public_key, 1_900), ANN)
            check(await soon(world.auction(), 30), bids=1, filled=1)
            paid = pool().swap(ETH, WHOLE_ETH, USD).amount_out
            assert world.state.balance(ANN.public_key, USD) == paid

            await world.submit(sell(ANN.public_key, 1_980), ANN)
            await world.submit(buy(BOB.public_key, 2_010), BOB)
            check(await soon(world.auction(), 30), bids=3, filled=2)
            assert world.state.balance(ANN.public_key, USD) == paid + 1_995 * WHOLE_USD
            assert world.state.balance(BOB.public_key, ETH) == WHOLE_ETH

            assert await audited(world, tmp_path / "log") == 2
        assert [auction["id"] for auction in engine.auctions] == ["1", "2"]
        assert (solver.counts.failed, solver.counts.refused.total()) == (0, 0)


async def test_as_a_command(tmp_path: Path) -> None:
    """`walras solver cow`, and a maker's quote that is better than the pool."""
    with cow_engine() as engine:
        words = ["-m", "walras.cli.main", "solver", "cow", "--engine-url", engine.url]
        options = ["--with-parent", "--json", "--key", tmp_path / "node.key"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *map(str, [*words, *options]), stdin=PIPE, stdout=PIPE
        )
        try:
            assert process.stdout is not None
            ready = json.loads(await soon(process.stdout.readline(), 60))
            async with asking(tmp_path / "engine", ready["address"]) as world:
                amounts = 5 * WHOLE_ETH, 10_100 * WHOLE_USD
                quote = Rfq("quote", 0, (ETH, USD), bytes(32), 7, *amounts, 1 << 62, bytes(64), 0)
                await world.open_market([pool(), sign_quote(DOMAIN, quote, MAKER)])
                await world.submit(sell(ANN.public_key, 1_900), ANN)
                check(await soon(world.auction(), 30), bids=1, filled=1)
                assert world.state.balance(ANN.public_key, USD) == 2_020 * WHOLE_USD
        finally:
            assert process.stdin is not None
            process.stdin.close()
            assert await soon(process.wait(), 20) == 0


async def test_what_it_gets_wrong_costs_nothing(tmp_path: Path) -> None:
    """Solutions that break a rule are no bids; the one that holds still wins."""

    def respond(auction: Any) -> Any:
        (good,) = solve(auction)["solutions"]
        greedy = {**good, "prices": dict.fromkeys(good["prices"], "1")}
        foreign = {**good, "interactions": [{"kind": "custom"}]}
        return {"solutions": [greedy, foreign, "?", good]}

    with cow_engine(respond) as engine:
        solver = CowAdapter(engine.url)
        async with (
            serving(Node(solver, signer("node"))) as address,
            asking(tmp_path / "engine", address) as world,
        ):
            await world.submit(sell(ANN.public_key, 1_900), ANN)
            check(await soon(world.auction(), 30), bids=1, filled=1)
        assert solver.counts.refused.total() == 3


async def test_an_engine_that_answers_nonsense(tmp_path: Path) -> None:
    """No bid, no fault: the node did what it could."""
    with cow_engine(lambda _: b"\x00" * 1_000) as engine:
        async with (
            serving(Node(CowAdapter(engine.url), signer("node"))) as address,
            asking(tmp_path / "engine", address) as world,
        ):
            await world.submit(sell(ANN.public_key, 1_900), ANN)
            check(await soon(world.auction(), 30), bids=0, filled=0)
