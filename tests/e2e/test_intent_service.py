"""IntentService over a real channel: receipts, repetitions, cancellations, lists, watching."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.market import (
    ETH,
    USD,
    WHOLE_ETH,
    WHOLE_USD,
    buy,
    nonce,
    sell,
    signer,
)
from support.nodes import serving
from support.orders import ANN, BOB, cancellation, good, parts, submission
from support.solvers import Crosser, Hanging
from support.worlds import Clock, World, first, fresh, refusal, running, soon, until

from walras.api.v1 import intent_service_pb2 as pb
from walras.api.v1 import record_pb2
from walras.audit import envelope
from walras.core.intents import Leg
from walras.ledger.state import State
from walras.protocol.records import Kind
from walras.sdk.node import Node
from walras.sdk.signing import intent_id, sign_record, verify_receipt

TYPE = Kind.INTENT.payload_type
BAD = grpc.StatusCode.INVALID_ARGUMENT
GRPC = grpc.StatusCode


@pytest.fixture
async def world(world: World) -> World:
    """Ann has 100 ETH, Bob 200,000 USD."""
    await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
    await world.fund(BOB.public_key, USD, 200_000 * WHOLE_USD)
    return world


async def test_receipt(world: World) -> None:
    made = sell(ANN.public_key)
    data = sign_record(made, ANN)
    answer = await world.intents.SubmitIntent(submission(data))
    assert answer.intent_id == intent_id(made)
    checkpoint = verify_receipt(data, answer.receipt, world.key)
    assert checkpoint.size == world.engine.sequencer.tree.size
    assert checkpoint.root == world.engine.sequencer.tree.root()
    status = (await world.intents.GetIntent(pb.GetIntentRequest(intent_id=answer.intent_id))).intent
    assert status == pb.IntentStatus(
        intent_id=answer.intent_id,
        state=pb.INTENT_STATE_OPEN,
        units=str(made.units),
        remaining=str(made.units),
        settled="0",
        envelope=data,
        leaf_index=answer.receipt.inclusion.leaf_index,
    )


async def test_receipts_of_a_batch(world: World) -> None:
    envelopes = [good() for _ in range(20)]
    request = pb.SubmitIntentsRequest(request_id=fresh(), envelopes=envelopes)
    answer = await world.intents.SubmitIntents(request)
    assert len(answer.results) == 20
    for data, result in zip(envelopes, answer.results, strict=True):
        receipt = {"inclusion": result.inclusion, "checkpoint": answer.checkpoint}
        verify_receipt(data, _receipt(**receipt), world.key)


def _receipt(**parts: Any) -> Any:
    from walras.api.v1.log_service_pb2 import Receipt

    return Receipt(**parts)


async def test_repeated_request(world: World) -> None:
    request = submission(good(), "!" + "~" * 63)
    answer = await world.intents.SubmitIntent(request)
    await world.submit(sell(ANN.public_key), ANN)  # the log goes on
    before = world.snapshot()
    again = await world.intents.SubmitIntent(request)
    assert again.SerializeToString() == answer.SerializeToString()
    other = await refusal(world.intents.SubmitIntent(submission(good(), request.request_id)))
    assert (other.code, other.reason) == (GRPC.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert world.snapshot() == before
    # Methods do not share their ids.
    await world.intents.SubmitIntents(
        pb.SubmitIntentsRequest(request_id=request.request_id, envelopes=[good()])
    )


async def test_concurrent_repetitions(world: World) -> None:
    request = submission(good())
    size = world.engine.sequencer.tree.size
    answers = await asyncio.gather(*(world.intents.SubmitIntent(request) for _ in range(20)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert world.engine.sequencer.tree.size == size + 1


async def test_repeated_after_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.open_market()
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        single = submission(good())
        many = pb.SubmitIntentsRequest(request_id=fresh(), envelopes=[good(), b"bad", good()])
        first_answers = [
            await world.intents.SubmitIntent(single),
            await world.intents.SubmitIntents(many),
        ]
        gone = cancellation(first_answers[0].intent_id, ANN)
        first_answers.append(await world.intents.CancelIntent(gone))
        before = world.snapshot()
    async with running(tmp_path) as world:
        assert world.snapshot() == before
        again = [
            await world.intents.SubmitIntent(single),
            await world.intents.SubmitIntents(many),
            await world.intents.CancelIntent(gone),
        ]
        assert [a.SerializeToString() for a in again] == [
            a.SerializeToString() for a in first_answers
        ]
        refused = await refusal(world.intents.SubmitIntent(submission(good(), single.request_id)))
        assert refused.reason == "REQUEST_ID_REUSED"
        assert world.snapshot() == before


async def test_book_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.open_market()
        await world.fund(ANN.public_key, ETH, 2 * WHOLE_ETH)
        ids = [await world.submit(sell(ANN.public_key), ANN) for _ in range(3)]
        await world.intents.CancelIntent(cancellation(ids[1], ANN))
        before: tuple[int, bytes, State] = world.snapshot()
    async with running(tmp_path) as world:
        assert world.snapshot() == before
        assert set(world.state.book.entries) == {ids[0], ids[2]}
        await world.fund(BOB.public_key, USD, 10_000 * WHOLE_USD)
        await world.submit(buy(BOB.public_key), BOB)
        assert (await world.auction()).intents == 3


async def test_cancel(world: World) -> None:
    name = await world.submit(sell(ANN.public_key), ANN)
    request = cancellation(name, ANN)
    answer = await world.intents.CancelIntent(request)
    verify_receipt(request.envelope, answer.receipt, world.key)
    assert answer.sealed_in_auction_id == 0
    assert answer.intent.state == pb.INTENT_STATE_CANCELLED
    assert answer.intent.remaining == str(WHOLE_ETH)
    status = await world.intents.GetIntent(pb.GetIntentRequest(intent_id=name))
    assert status.intent == answer.intent
    assert name not in world.state.book.entries
    assert (await world.intents.CancelIntent(request)) == answer


async def test_cancel_refused(world: World) -> None:
    name = await world.submit(sell(ANN.public_key), ANN)
    gone = await world.submit(sell(ANN.public_key), ANN)
    await world.intents.CancelIntent(cancellation(gone, ANN))
    before = world.snapshot()
    cases = [
        (cancellation(name, BOB), GRPC.PERMISSION_DENIED, "OWNER_MISMATCH"),
        (cancellation(name, ANN, "other"), GRPC.FAILED_PRECONDITION, "DOMAIN_WRONG"),
        (cancellation(name, ANN, "d" * 60_000), BAD, "FIELD_INVALID"),
        (cancellation(name, ANN, "é"), BAD, "FIELD_INVALID"),
        (cancellation(bytes(32), ANN), GRPC.NOT_FOUND, "INTENT_UNKNOWN"),
        (cancellation(bytes(31), ANN), BAD, "FIELD_INVALID"),
        (cancellation(gone, ANN), GRPC.FAILED_PRECONDITION, "INTENT_CLOSED"),
        (pb.CancelIntentRequest(request_id="r", envelope=good()), BAD, "PAYLOAD_TYPE_WRONG"),
    ]
    for request, code, reason in cases:
        refused = await refusal(world.intents.CancelIntent(request))
        assert (refused.code, refused.reason) == (code, reason)
        assert world.snapshot() == before


async def test_cancel_while_sealed(tmp_path: Path) -> None:
    solver = Hanging()
    async with (
        serving(Node(solver, signer("slow"))) as slow,
        serving(Node(Crosser(), signer("honest"))) as honest,
    ):
        solvers = [{"name": "slow", "address": slow}, {"name": "honest", "address": honest}]
        async with running(tmp_path, solvers=solvers, solve_ms=20_000) as world:
            await world.open_market()
            await world.nodes_here()
            await world.fund(ANN.public_key, ETH, WHOLE_ETH)
            await world.fund(BOB.public_key, USD, 2_010 * WHOLE_USD)
            sold = await world.submit(sell(ANN.public_key), ANN)
            bought = await world.submit(buy(BOB.public_key), BOB)
            running_batch = asyncio.create_task(world.auction())
            await asyncio.to_thread(solver.started.wait, 10)
            answer = await world.intents.CancelIntent(cancellation(sold, ANN))
            assert answer.sealed_in_auction_id == 1
            assert answer.intent.state == pb.INTENT_STATE_CANCELLED
            twice = await refusal(world.intents.CancelIntent(cancellation(sold, ANN)))
            assert twice.reason == "INTENT_CLOSED"
            late = await world.submit(sell(ANN.public_key), ANN)
            assert (
                await world.intents.CancelIntent(cancellation(late, ANN))
            ).sealed_in_auction_id == 0
            solver.release.set()
            report = await soon(running_batch)
            assert report.filled == 2
            for name in (sold, bought):
                status = (await world.intents.GetIntent(pb.GetIntentRequest(intent_id=name))).intent
                assert status.state == pb.INTENT_STATE_FILLED
            assert not world.state.book.entries
            assert not world.state.book.open_by_owner


async def test_cancel_behind_the_seal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation in the very commit that seals is one of a sealed intent."""
    async with serving(Node(Crosser(), signer("honest"))) as address:
        from walras.fleet.nodes import Node as Dialled
        from walras.fleet.nodes import NodeSpec

        node = Dialled(NodeSpec("honest", address=address))
        await node.connect()
        monkeypatch.setattr(world.engine.fleet, "ready", lambda: [node])
        sold = await world.submit(sell(ANN.public_key), ANN)
        await world.submit(buy(BOB.public_key), BOB)
        batch = await world.engine.auctioneer.open()
        await asyncio.sleep(0.02)
        queue, store = world.engine.sequencer._queue, world.engine.store
        entered, gate, commit = asyncio.Event(), asyncio.Event(), store.commit

        async def held(*args: Any) -> None:
            entered.set()
            await gate.wait()
            await commit(*args)

        monkeypatch.setattr(store, "commit", held)
        busy = asyncio.create_task(world.fund(ANN.public_key, ETH, 1))
        await soon(entered.wait())
        assert queue.empty()
        settling = asyncio.create_task(world.engine.auctioneer.settle(batch))
        await until(lambda: queue.qsize() == 1)
        cancelling = asyncio.create_task(soon(world.intents.CancelIntent(cancellation(sold, ANN))))
        await until(lambda: queue.qsize() == 2)
        gate.set()
        await busy
        assert (await cancelling).sealed_in_auction_id == batch.opened.auction_id
        report = await soon(settling)
        assert report.filled == 2
        await node.close()


async def test_get_intent(world: World) -> None:
    for name, code, reason in [
        (bytes(32), GRPC.NOT_FOUND, "INTENT_UNKNOWN"),
        (b"", BAD, "FIELD_INVALID"),
        (bytes(33), BAD, "FIELD_INVALID"),
    ]:
        refused = await refusal(world.intents.GetIntent(pb.GetIntentRequest(intent_id=name)))
        assert (refused.code, refused.reason) == (code, reason)


async def test_list_walks_everything_once(world: World) -> None:
    envelopes = [good() for _ in range(7)]
    envelopes += [sign_record(buy(BOB.public_key), BOB) for _ in range(5)]
    request = pb.SubmitIntentsRequest(request_id=fresh(), envelopes=envelopes)
    ids = [result.intent_id for result in (await world.intents.SubmitIntents(request)).results]
    await world.intents.CancelIntent(cancellation(ids[2], ANN))

    async def walk(**asked: Any) -> list[bytes]:
        found: list[bytes] = []
        listing = pb.ListIntentsRequest(**asked)
        while True:
            page = await world.intents.ListIntents(listing)
            assert len(page.intents) <= (listing.page_size or 100)
            found += [status.intent_id for status in page.intents]
            if not page.next_page_token:
                return found
            assert page.intents
            listing.page_token = page.next_page_token

    for size in (0, 1, 3, 4, 11, 12, 13, 1_000, 4_000_000_000):
        assert await walk(page_size=size) == ids
    assert await walk(page_size=3, owner=ANN.public_key) == ids[:7]
    assert await walk(page_size=2, owner=BOB.public_key, state=pb.INTENT_STATE_OPEN) == ids[7:]
    assert await walk(state=pb.INTENT_STATE_CANCELLED) == [ids[2]]
    assert await walk(state=pb.INTENT_STATE_FILLED) == []
    assert await walk(owner=signer("nobody").public_key) == []


async def test_list_refused(world: World) -> None:
    for asked, reason in [
        ({"page_token": "!!!!"}, "PAGE_TOKEN_INVALID"),
        ({"page_token": "MQ"}, "PAGE_TOKEN_INVALID"),
        ({"page_token": "LTE="}, "PAGE_TOKEN_INVALID"),
        ({"page_token": "OTk5OTk5OTk5OTk5OTk5OTk5OTk="}, "PAGE_TOKEN_INVALID"),
        ({"page_token": "é"}, "PAGE_TOKEN_INVALID"),
        ({"owner": b"short"}, "FIELD_INVALID"),
        ({"state": 9}, "FIELD_INVALID"),
    ]:
        refused = await refusal(world.intents.ListIntents(pb.ListIntentsRequest(**asked)))
        assert (refused.code, refused.reason) == (BAD, reason)


async def test_watch_refused(world: World) -> None:
    for asked, code, reason in [
        ({}, BAD, "FIELD_INVALID"),
        ({"intent_ids": [bytes(32)], "owner": ANN.public_key}, BAD, "FIELD_INVALID"),
        ({"intent_ids": [bytes(31)]}, BAD, "FIELD_INVALID"),
        ({"owner": b"short"}, BAD, "FIELD_INVALID"),
        (
            {"intent_ids": [number.to_bytes(32, "big") for number in range(1_001)]},
            BAD,
            "FIELD_INVALID",
        ),
        ({"intent_ids": [bytes(32)]}, GRPC.NOT_FOUND, "INTENT_UNKNOWN"),
    ]:
        refused = await refusal(
            first(world.intents.WatchIntents(pb.WatchIntentsRequest(**asked), timeout=5))
        )
        assert (refused.code, refused.reason) == (code, reason)


async def test_watch_until_closed(world: World) -> None:
    ids = [await world.submit(sell(ANN.public_key), ANN) for _ in range(2)]
    call = world.intents.WatchIntents(pb.WatchIntentsRequest(intent_ids=ids))
    seen: list[tuple[bytes, int]] = []

    async def read() -> None:
        async for answer in call:
            status = answer.intent
            seen.append((status.intent_id, status.state))

    reading = asyncio.create_task(read())
    await until(lambda: len(seen) == 2)
    assert sorted(seen) == sorted((name, pb.INTENT_STATE_OPEN) for name in ids)
    for name in ids:
        await world.intents.CancelIntent(cancellation(name, ANN))
    await soon(reading)
    assert seen[2:] == [(name, pb.INTENT_STATE_CANCELLED) for name in ids]
    # What is closed already is told at once.
    closed = world.intents.WatchIntents(pb.WatchIntentsRequest(intent_ids=ids))
    assert len(await soon(collect(closed))) == 2


async def collect(call: Any) -> list[Any]:
    return [answer async for answer in call]


async def test_watch_an_owner(world: World) -> None:
    call = world.intents.WatchIntents(pb.WatchIntentsRequest(owner=ANN.public_key))
    await soon(call.initial_metadata())
    await world.submit(buy(BOB.public_key), BOB)
    name = await world.submit(sell(ANN.public_key), ANN)
    answer = await soon(first(call))
    assert answer.intent.intent_id == name
    call.cancel()
    # Whoever hangs up is forgotten.
    service_watchers = world.engine.sequencer.on_commit[0].__self__._watchers  # type: ignore[attr-defined]  # a bound method
    await until(lambda: not service_watchers._queues)


async def test_partial_fills_and_expiry_are_watched(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock) as world:
        await world.open_market()
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        soon_over = replace(sell(ANN.public_key), expiry_ms=clock() + 60_000)
        name = await world.submit(soon_over, ANN)
        call = world.intents.WatchIntents(pb.WatchIntentsRequest(intent_ids=[name]))
        reading = asyncio.create_task(collect(call))
        await soon(call.initial_metadata())
        clock.offset_ms += 60_000
        await world.auction()
        states = [answer.intent.state for answer in await soon(reading)]
        assert states[-1] == pb.INTENT_STATE_EXPIRED
        assert not world.state.book.entries


async def test_multi_leg_round_trip(world: World) -> None:
    """Sixteen legs are the most; what is stored is what was sent."""
    update_assets = [f"eip155:1/erc20:0x{number:040x}" for number in range(1, 18)]
    from support.market import PRICES

    from walras.api.v1 import market_service_pb2
    from walras.core.assets import Asset
    from walras.protocol.records import MarketUpdate

    record = MarketUpdate(
        "test.example/walras",
        world.operator.public_key,
        nonce(),
        tuple(Asset(name, "X", 0) for name in update_assets),
        prices=dict.fromkeys(update_assets, PRICES[USD]),
    )
    await world.market.PutVenues(
        market_service_pb2.PutVenuesRequest(
            request_id=fresh(), envelope=sign_record(record, world.operator)
        )
    )
    legs = tuple(Leg(name, 1) for name in update_assets[:16])
    base = buy(BOB.public_key)
    data = sign_record(replace(base, legs=legs, units=1), BOB)
    answer = await world.intents.SubmitIntent(submission(data))
    status = await world.intents.GetIntent(pb.GetIntentRequest(intent_id=answer.intent_id))
    assert status.intent.envelope == data
    message = record_pb2.Intent.FromString(parts(data).body)
    message.nonce = nonce()
    message.legs.add(asset=update_assets[16], quantity="1")
    too_many = envelope.seal(TYPE, message.SerializeToString(deterministic=True), BOB)
    refused = await refusal(world.intents.SubmitIntent(submission(too_many)))
    assert (refused.code, refused.reason) == (BAD, "INTENT_MALFORMED")
