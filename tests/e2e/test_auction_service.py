"""AuctionService over a real channel, and batches from end to end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, pool, sell, signer
from support.nodes import serving
from support.solvers import Crosser, Hanging
from support.worlds import Clock, World, refusal, running, soon, until

from walras.api.v1 import auction_service_pb2 as pb
from walras.api.v1 import intent_service_pb2
from walras.audit import envelope
from walras.core.bids import Bundle
from walras.core.intents import Decay
from walras.ledger.settlement import BUFFER
from walras.protocol.codec import decode
from walras.protocol.records import Kind
from walras.sdk.node import Node

ANN, BOB = signer("ann"), signer("bob")
SOLVER = signer("solver")
GRPC = grpc.StatusCode


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """One honest solver; Ann has 10 ETH, Bob 20,100 USD."""
    async with serving(Node(Crosser(), SOLVER, "crosser")) as address:
        solvers = [{"name": "crosser", "address": address}]
        async with running(tmp_path / "engine", solvers=solvers) as world:
            await furnish(world)
            yield world


async def furnish(world: World) -> None:
    await world.open_market([pool()])
    await world.nodes_here()
    await world.fund(ANN.public_key, ETH, 10 * WHOLE_ETH)
    await world.fund(BOB.public_key, USD, 20_100 * WHOLE_USD)


async def pair(world: World) -> tuple[bytes, bytes]:
    return await world.submit(sell(ANN.public_key), ANN), await world.submit(
        buy(BOB.public_key), BOB
    )


async def get(world: World, auction_id: int) -> pb.Auction:
    found = await world.auctions.GetAuction(pb.GetAuctionRequest(auction_id=auction_id))
    return found.auction


async def status(world: World, name: bytes) -> intent_service_pb2.IntentStatus:
    request = intent_service_pb2.GetIntentRequest(intent_id=name)
    return (await world.intents.GetIntent(request)).intent


async def test_an_auction_from_end_to_end(world: World) -> None:
    sold, bought = await pair(world)
    report = await world.auction()
    found = await get(world, 1)
    assert found.state == pb.AUCTION_STATE_SETTLED
    assert (found.intents, found.filled, found.bids, found.rejected, found.winners) == (
        2,
        2,
        1,
        0,
        1,
    )
    # Half-way between 1,990 and 2,010: ten dollars of surplus for either side, in score units.
    assert found.score == str(2 * 10 * WHOLE_USD * 5 * 10**17 // 10**18)
    (solver,) = found.solvers
    assert (solver.name, solver.public_key) == ("crosser", SOLVER.public_key)
    assert (solver.bids, solver.winners, solver.score) == (1, 1, found.score)
    assert int(solver.reward) == int(found.score)  # without it there would be nothing
    assert found.problem_digest.hex() == report.problem_digest
    state = world.state
    assert state.balance(ANN.public_key, USD) == 2_000 * WHOLE_USD
    assert state.balance(BOB.public_key, ETH) == WHOLE_ETH
    assert state.balance(ANN.public_key, ETH) == 9 * WHOLE_ETH
    assert state.balance(BOB.public_key, USD) == 18_100 * WHOLE_USD
    assert not any(owner == BUFFER for owner, _ in state.balances)
    for name, settled in ((sold, 2_000), (bought, -2_000)):
        intent = await status(world, name)
        assert intent.state == intent_service_pb2.INTENT_STATE_FILLED
        assert (intent.remaining, intent.settled) == ("0", str(settled * WHOLE_USD))
    answer = await world.auctions.GetBundle(pb.GetBundleRequest(auction_id=1))
    assert sha256(answer.envelope).digest() == found.bundle_digest
    signed = envelope.open_envelope(answer.envelope, Kind.BUNDLE.payload_type, world.key.public_key)
    bundle = decode(Kind.BUNDLE, signed.body)
    assert isinstance(bundle, Bundle)
    assert bundle.problem_digest == found.problem_digest
    assert {fill.intent_id: fill.settlement for fill in bundle.fills} == {
        sold: 2_000 * WHOLE_USD,
        bought: -2_000 * WHOLE_USD,
    }
    assert str(bundle.score) == found.score


async def test_nothing_to_decide(world: World) -> None:
    batch = await world.engine.auctioneer.open()
    size = world.engine.sequencer.tree.size
    assert await world.engine.auctioneer.settle(batch) is None
    assert world.engine.sequencer.tree.size == size
    found = await get(world, 1)
    assert found.state == pb.AUCTION_STATE_OPEN
    refused = await refusal(world.auctions.GetBundle(pb.GetBundleRequest(auction_id=1)))
    assert (refused.code, refused.reason) == (GRPC.NOT_FOUND, "NOT_FOUND")
    await pair(world)
    report = await world.engine.auctioneer.settle(batch)
    assert report is not None
    assert report.filled == 2


async def test_unknown_ids(world: World) -> None:
    for auction_id in (0, 1, 1 << 63, (1 << 64) - 1):
        for call in (
            world.auctions.GetAuction(pb.GetAuctionRequest(auction_id=auction_id)),
            world.auctions.GetBundle(pb.GetBundleRequest(auction_id=auction_id)),
        ):
            refused = await refusal(call)
            assert (refused.code, refused.reason) == (GRPC.NOT_FOUND, "NOT_FOUND")


async def test_list_walks_everything_once(world: World) -> None:
    await world.submit(sell(ANN.public_key), ANN)
    for _ in range(5):
        await world.auction()
    for size in (0, 1, 2, 4, 5, 6, 100_000):
        request = pb.ListAuctionsRequest(page_size=size)
        found: list[int] = []
        while True:
            page = await world.auctions.ListAuctions(request)
            assert len(page.auctions) <= (size or 100)
            found += [auction.auction_id for auction in page.auctions]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert found == [5, 4, 3, 2, 1]
    assert page.auctions[-1] == await get(world, 1)
    for token in ("!!", "LTE=", "eA=="):
        refused = await refusal(
            world.auctions.ListAuctions(pb.ListAuctionsRequest(page_token=token))
        )
        assert (refused.code, refused.reason) == (GRPC.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_watch(world: World) -> None:
    calls = [world.auctions.WatchAuctions(pb.WatchAuctionsRequest()) for _ in range(3)]
    for call in calls:
        await soon(call.initial_metadata())
    await pair(world)
    await world.auction()
    await world.submit(sell(ANN.public_key), ANN)
    await world.auction()
    expected = [await get(world, 1), await get(world, 2)]
    for call in calls:
        assert [(await soon(call.read())).auction for _ in range(2)] == expected
        call.cancel()


async def test_one_intent_in_many_batches(world: World) -> None:
    """A partial fill leaves the rest open; what is settled adds up."""
    name = await world.submit(sell(ANN.public_key, ethers=2), ANN)
    await world.submit(buy(BOB.public_key, ethers=2), BOB)
    report = await world.auction()
    assert report.filled == 2
    intent = await status(world, name)
    assert (intent.units, intent.remaining) == (str(2 * WHOLE_ETH), "0")


async def test_windows_and_decay(tmp_path: Path) -> None:
    """Not before its time, not after it; and the limit moves with the clock."""
    clock = Clock()
    async with serving(Node(Crosser(), SOLVER)) as address:
        solvers = [{"name": "crosser", "address": address}]
        async with running(tmp_path, clock, solvers=solvers) as world:
            await furnish(world)
            now = clock()
            later = replace(
                sell(ANN.public_key),
                not_before_ms=now + 100_000,
                expiry_ms=now + 300_000,
                limit=1_900 * WHOLE_USD,
                decay=Decay(2_100 * WHOLE_USD, now + 100_000, now + 200_000),
            )
            name = await world.submit(later, ANN)
            await world.submit(buy(BOB.public_key), BOB)
            assert (await world.auction()).intents == 1
            clock.offset_ms += 110_000
            report = await world.auction()
            assert (report.intents, report.filled) == (2, 0)  # still above 2,010
            clock.offset_ms += 60_000
            report = await world.auction()
            assert (report.intents, report.filled) == (2, 2)
            assert (await status(world, name)).state == intent_service_pb2.INTENT_STATE_FILLED
            gone = await world.submit(replace(sell(ANN.public_key), expiry_ms=clock() + 1_000), ANN)
            clock.offset_ms += 1_000
            assert (await world.auction()).intents == 0
            assert (await status(world, gone)).state == intent_service_pb2.INTENT_STATE_EXPIRED


async def test_unbacked_intents_sit_out(world: World) -> None:
    from support.market import DOMAIN, NEVER, nonce
    from support.worlds import fresh

    from walras.api.v1 import ledger_service_pb2
    from walras.protocol.records import Withdrawal
    from walras.sdk.signing import sign_record

    await pair(world)
    record = Withdrawal(DOMAIN, ANN.public_key, nonce(), ETH, 10 * WHOLE_ETH, NEVER)
    request = ledger_service_pb2.WithdrawRequest(
        request_id=fresh(), envelope=sign_record(record, ANN)
    )
    await world.ledger.Withdraw(request)
    report = await world.auction()
    assert (report.intents, report.filled) == (1, 0)
    await world.fund(ANN.public_key, ETH, WHOLE_ETH)
    assert (await world.auction()).filled == 2


async def test_an_interrupted_batch_is_voided(tmp_path: Path) -> None:
    """The engine stops while solvers think: nothing moved, and the next run says so."""
    solver = Hanging()
    async with serving(Node(solver, SOLVER)) as address:
        solvers = [{"name": "slow", "address": address}]
        async with running(tmp_path, solvers=solvers, solve_ms=20_000) as world:
            await furnish(world)
            names = await pair(world)
            settling = asyncio.create_task(world.auction())
            await asyncio.to_thread(solver.started.wait, 10)
            settling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await settling
            before = world.snapshot()
        solver.release.set()
    async with serving(Node(Crosser(), SOLVER)) as address:
        solvers = [{"name": "quick", "address": address}]
        async with running(tmp_path, solvers=solvers) as world:
            size, _, state = world.snapshot()
            assert (size, state) == (before[0] + 1, before[2])
            found = await get(world, 1)
            assert found.state == pb.AUCTION_STATE_VOIDED
            assert found.void_reason == "BATCH_INTERRUPTED"
            await world.nodes_here()
            report = await world.auction()
            assert (report.auction_id, report.filled) == (2, 2)
            for name in names:
                assert (await status(world, name)).remaining == "0"


async def test_auctions_survive_a_restart(tmp_path: Path) -> None:
    async with serving(Node(Crosser(), SOLVER)) as address:
        solvers = [{"name": "crosser", "address": address}]
        async with running(tmp_path, solvers=solvers) as world:
            await furnish(world)
            await pair(world)
            await world.auction()
            before, told = world.snapshot(), await get(world, 1)
        async with running(tmp_path, solvers=solvers) as world:
            assert world.snapshot() == before
            assert await get(world, 1) == told
            await world.nodes_here()
            await pair(world)
            assert (await world.auction()).auction_id == 2


async def test_it_runs_by_itself(world: World) -> None:
    """Traders come and go while the auctioneer serves; money and ETH are neither made nor lost."""
    call: Any = world.auctions.WatchAuctions(pb.WatchAuctionsRequest())
    await soon(call.initial_metadata())
    serving_auctions = asyncio.create_task(world.engine.auctioneer.serve())
    filled = 0
    for _ in range(3):
        await pair(world)
        while True:
            auction = (await soon(call.read())).auction
            filled += auction.filled
            if auction.filled:
                break
    assert filled == 6
    serving_auctions.cancel()
    totals = {
        asset: sum(amount for (_, name), amount in world.state.balances.items() if name == asset)
        for asset in (ETH, USD)
    }
    assert totals == {ETH: 10 * WHOLE_ETH, USD: 20_100 * WHOLE_USD}


async def test_a_book_that_cannot_be_filled_rests_until_something_changes(world: World) -> None:
    """Or an idle engine would log the same batch for ever."""
    auctions: list[int] = []
    world.engine.auctioneer.on_auction.append(lambda report: auctions.append(report.filled))
    await world.submit(sell(ANN.public_key), ANN)
    serving_batches = asyncio.create_task(world.engine.auctioneer.serve())
    try:
        await until(lambda: auctions == [0])
        await asyncio.sleep(0.3)  # thirty times the interval
        assert auctions == [0]
        await world.submit(buy(BOB.public_key), BOB)
        await until(lambda: auctions == [0, 2])
        # Time alone can change what an intent asks for, so this one is tried again and again.
        now = world.clock()
        decaying = replace(
            sell(ANN.public_key), decay=Decay(2 * sell(ANN.public_key).limit, now, now + 60_000)
        )
        await world.submit(decaying, ANN)
        await until(lambda: len(auctions) >= 5)
    finally:
        serving_batches.cancel()
        await asyncio.gather(serving_batches, return_exceptions=True)
