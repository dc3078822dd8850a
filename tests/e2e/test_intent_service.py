"""IntentService over a real channel: what it takes, what it refuses, and that a refusal changes nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from nacl import bindings

from support.market import (
    DULL,
    ETH,
    NEVER,
    STRANGE,
    USD,
    WHOLE_ETH,
    WHOLE_USD,
    buy,
    intent,
    nonce,
    sell,
    signer,
)
from support.nodes import serving
from support.solvers import Crosser, Hanging
from support.worlds import Clock, World, first, fresh, refusal, running, soon
from walras.api.v1 import intent_service_pb2 as pb
from walras.api.v1 import record_pb2
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.core.intents import Intent, Leg
from walras.ledger.state import State
from walras.protocol.codec import encode
from walras.protocol.records import Cancel, Kind, Withdrawal
from walras.sdk.node import Node
from walras.sdk.signing import intent_id, sign_record, verify_receipt

ANN, BOB = signer("ann"), signer("bob")
TYPE = Kind.INTENT.payload_type
GRPC = grpc.StatusCode
DOMAIN_OTHER = "other.example/walras"


@pytest.fixture
async def world(world: World) -> World:
    """Ann has 100 ETH, Bob 200,000 USD."""
    await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
    await world.fund(BOB.public_key, USD, 200_000 * WHOLE_USD)
    return world


def submission(data: bytes, request_id: str | None = None) -> pb.SubmitIntentRequest:
    return pb.SubmitIntentRequest(
        request_id=fresh() if request_id is None else request_id, envelope=data
    )


def cancellation(intent_id: bytes, owner: Signer, domain: str = "") -> pb.CancelIntentRequest:
    record = Cancel(domain or "test.example/walras", owner.public_key, intent_id)
    return pb.CancelIntentRequest(request_id=fresh(), envelope=sign_record(record, owner))


def good() -> bytes:
    return sign_record(sell(ANN.public_key), ANN)


def rewired(**changes: Any) -> bytes:
    """An intent signed by Ann whose message says what no `Intent` can."""
    message = record_pb2.Intent.FromString(encode(sell(ANN.public_key))[1])
    for name, value in changes.items():
        setattr(message, name, value)
    return envelope.seal(TYPE, message.SerializeToString(deterministic=True), ANN)


def with_quantity(text: str) -> bytes:
    message = record_pb2.Intent.FromString(encode(sell(ANN.public_key))[1])
    message.legs[0].quantity = text
    return envelope.seal(TYPE, message.SerializeToString(deterministic=True), ANN)


def sealed_body(change: Callable[[bytes], bytes]) -> bytes:
    """A changed body, properly signed."""
    return envelope.seal(TYPE, change(encode(sell(ANN.public_key))[1]), ANN)


def parts(data: bytes) -> envelope.Envelope:
    return envelope.decode(data)


def forged() -> bytes:
    """Ann's intent, signed by Bob, who claims to be Ann."""
    theirs = parts(sign_record(sell(ANN.public_key), BOB))
    return envelope.encode(replace(theirs, signer=ANN.public_key))


def tampered() -> bytes:
    found = parts(good())
    return envelope.encode(replace(found, body=found.body.replace(b"1990", b"1190")))


def transplanted() -> bytes:
    """The signature of another of Ann's records."""
    return envelope.encode(replace(parts(good()), signature=parts(good()).signature))


def cross_typed() -> bytes:
    """A valid signature over a cancellation, shown as one over an intent."""
    kept = parts(sign_record(Cancel("d", ANN.public_key, bytes(32)), ANN))
    return envelope.encode(replace(kept, payload_type=TYPE))


def malleable() -> bytes:
    """S + L in place of S: the same group element, another encoding."""
    found = parts(good())
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(found.signature[32:], "little") + order
    return envelope.encode(
        replace(found, signature=found.signature[:32] + s.to_bytes(32, "little"))
    )


def low_order(key: bytes) -> Callable[[], bytes]:
    """The all-zero trick: with a key of small order, R = key and S = 0 fit many messages."""

    def make() -> bytes:
        body = encode(replace(sell(ANN.public_key), owner=key))[1]
        return envelope.encode(envelope.Envelope(TYPE, body, key, key + bytes(32)))

    return make


def unnormalised(body: bytes) -> bytes:
    """The nonce's varint one byte longer than it need be."""
    message = record_pb2.Intent.FromString(body)
    head = record_pb2.Intent(domain=message.domain, owner=message.owner).SerializeToString()
    message.domain, message.owner = "", b""
    number, message.nonce = message.nonce, 0
    assert number < 128
    return head + b"\x18" + bytes([number | 0x80, 0]) + message.SerializeToString()


def numbered(number: int) -> Intent:
    return intent(ANN.public_key, -1, 1_990 * WHOLE_USD, number=number)


BAD = GRPC.INVALID_ARGUMENT
BROKEN: dict[str, tuple[Callable[[], bytes], grpc.StatusCode, str]] = {
    "empty": (lambda: b"", BAD, "ENVELOPE_MALFORMED"),
    "noise": (lambda: b"\x00\xff" * 50, BAD, "ENVELOPE_MALFORMED"),
    "truncated": (lambda: good()[:-1], BAD, "ENVELOPE_MALFORMED"),
    "trailing byte": (lambda: good() + b"\x00", BAD, "ENVELOPE_MALFORMED"),
    "unknown envelope field": (lambda: good() + b"\x22\x01x", BAD, "ENVELOPE_MALFORMED"),
    "two signatures": (lambda: good() + good()[-132 - 3 :], BAD, "ENVELOPE_MALFORMED"),
    "65,536 bytes": (
        lambda: sealed_body(lambda body: body + b"\x62" + b"x" * 65_536),
        BAD,
        "ENVELOPE_MALFORMED",
    ),
    "another record": (
        lambda: sign_record(Cancel("d", ANN.public_key, bytes(32)), ANN),
        BAD,
        "PAYLOAD_TYPE_WRONG",
    ),
    "forged": (forged, GRPC.UNAUTHENTICATED, "SIGNATURE_INVALID"),
    "tampered": (tampered, GRPC.UNAUTHENTICATED, "SIGNATURE_INVALID"),
    "signature of another": (transplanted, GRPC.UNAUTHENTICATED, "SIGNATURE_INVALID"),
    "signature of another type": (cross_typed, GRPC.UNAUTHENTICATED, "SIGNATURE_INVALID"),
    "malleable signature": (malleable, GRPC.UNAUTHENTICATED, "SIGNATURE_INVALID"),
    "key of order 1": (
        low_order(b"\x01" + bytes(31)),
        GRPC.UNAUTHENTICATED,
        "PUBLIC_KEY_INVALID",
    ),
    "key of order 4": (low_order(bytes(32)), GRPC.UNAUTHENTICATED, "PUBLIC_KEY_INVALID"),
    "key off the curve": (
        low_order(b"\x02" + bytes(31)),
        GRPC.UNAUTHENTICATED,
        "PUBLIC_KEY_INVALID",
    ),
    "signed by another": (
        lambda: sign_record(sell(ANN.public_key), BOB),
        GRPC.PERMISSION_DENIED,
        "OWNER_MISMATCH",
    ),
    "not protobuf": (lambda: sealed_body(lambda _: b"\xff\xff"), BAD, "MESSAGE_MALFORMED"),
    "not UTF-8": (lambda: sealed_body(lambda _: b"\x0a\x01\xff"), BAD, "MESSAGE_MALFORMED"),
    "unknown field": (
        lambda: sealed_body(lambda body: body + b"\x7a\x01x"),
        BAD,
        "UNKNOWN_FIELD",
    ),
    "fields out of order": (
        lambda: sealed_body(lambda body: b"\x28\x01" + body),
        BAD,
        "NON_CANONICAL",
    ),
    "field twice": (lambda: sealed_body(lambda body: body + body[-12:]), BAD, "NON_CANONICAL"),
    "long varint": (
        lambda: envelope.seal(TYPE, unnormalised(encode(numbered(1))[1]), ANN),
        BAD,
        "NON_CANONICAL",
    ),
    "default written out": (
        lambda: sealed_body(lambda body: body.replace(b"\x28", b"\x20\x00\x28", 1)),
        BAD,
        "NON_CANONICAL",
    ),
    "domain": (
        lambda: sign_record(replace(sell(ANN.public_key), domain=DOMAIN_OTHER), ANN),
        GRPC.FAILED_PRECONDITION,
        "DOMAIN_WRONG",
    ),
    "no domain": (lambda: rewired(domain=""), BAD, "INTENT_MALFORMED"),
    "long domain": (lambda: rewired(domain="d" * 60_000), BAD, "INTENT_MALFORMED"),
    "expired": (
        lambda: sign_record(intent(ANN.public_key, -1, 1, expiry_ms=1_000), ANN),
        GRPC.FAILED_PRECONDITION,
        "INTENT_EXPIRED",
    ),
    "no window": (lambda: rewired(not_before_ms=NEVER), BAD, "INTENT_MALFORMED"),
    "unknown asset": (
        lambda: sign_record(intent(ANN.public_key, -1, 1, asset=STRANGE), ANN),
        GRPC.FAILED_PRECONDITION,
        "ASSET_UNKNOWN",
    ),
    "unpriced asset": (
        lambda: sign_record(intent(ANN.public_key, -1, 1, settlement_asset=DULL), ANN),
        GRPC.FAILED_PRECONDITION,
        "ASSET_UNPRICED",
    ),
    "malformed asset": (lambda: rewired(settlement_asset="USD"), BAD, "ASSET_MALFORMED"),
    "settlement among legs": (lambda: rewired(settlement_asset=ETH), BAD, "INTENT_MALFORMED"),
    "no legs": (lambda: rewired_without_legs(), BAD, "INTENT_MALFORMED"),
    "zero quantity": (lambda: with_quantity("0"), BAD, "INTENT_MALFORMED"),
    "zero units": (lambda: rewired(units="0"), BAD, "AMOUNT_OUT_OF_RANGE"),
    "negative units": (lambda: rewired(units="-1"), BAD, "AMOUNT_OUT_OF_RANGE"),
    "units of 2^255": (lambda: rewired(units=str(2**255)), BAD, "AMOUNT_OUT_OF_RANGE"),
    "limit of 2^255": (lambda: rewired(limit=str(2**255)), BAD, "AMOUNT_OUT_OF_RANGE"),
    "leg · units of 2^255": (lambda: with_quantity(str(-(2**254))), BAD, "AMOUNT_OUT_OF_RANGE"),
    "min_units above units": (lambda: rewired(min_units=str(2 * WHOLE_ETH)), BAD, "INTENT_MALFORMED"),
    "negative min_units": (lambda: rewired(min_units="-1"), BAD, "INTENT_MALFORMED"),
    "a giver who pays": (lambda: rewired(limit="-1"), BAD, "INTENT_MALFORMED"),
    "insufficient balance": (
        lambda: sign_record(sell(ANN.public_key, ethers=101, min_units=101 * WHOLE_ETH), ANN),
        GRPC.FAILED_PRECONDITION,
        "BALANCE_INSUFFICIENT",
    ),
    "no balance at all": (
        lambda: sign_record(sell(BOB.public_key), BOB),
        GRPC.FAILED_PRECONDITION,
        "BALANCE_INSUFFICIENT",
    ),
} | {
    f"limit {text[:20]!r}": (lambda text=text: rewired(limit=text), BAD, "AMOUNT_MALFORMED")  # type: ignore[misc]  # binds text
    for text in ("01", "+1", "1e3", "", " 1", "1 ", "-0", "0x1", "1_0", "٣", "1.0", "9" * 78)
}


def rewired_without_legs() -> bytes:
    message = record_pb2.Intent.FromString(encode(sell(ANN.public_key))[1])
    del message.legs[:]
    return envelope.seal(TYPE, message.SerializeToString(deterministic=True), ANN)


@pytest.mark.parametrize("name", BROKEN)
async def test_refused(world: World, name: str) -> None:
    make, code, reason = BROKEN[name]
    data = make()
    before = world.snapshot()
    refused = await refusal(world.intents.SubmitIntent(submission(data)))
    assert (refused.code, refused.reason) == (code, reason)
    assert refused.message
    assert world.snapshot() == before
    # Among others it is refused alike, and the others stand.
    other = good()
    batch = pb.SubmitIntentsRequest(request_id=fresh(), envelopes=[data, other])
    results = (await world.intents.SubmitIntents(batch)).results
    assert results[0].refusal.reason == reason
    assert results[1].intent_id == envelope.record_id(TYPE, parts(other).body)
    assert world.engine.sequencer.tree.size == before[0] + 1
    # A refused nonce, id or request is not used up.
    await world.submit(sell(ANN.public_key), ANN)


def test_the_tricks_are_what_they_claim() -> None:
    assert bindings.crypto_core_ed25519_is_valid_point(ANN.public_key)
    for key in (b"\x01" + bytes(31), bytes(32)):
        assert not bindings.crypto_core_ed25519_is_valid_point(key)
    assert len(BROKEN["65,536 bytes"][0]()) > envelope.MAX_ENVELOPE_BYTES


async def test_too_large_for_grpc(world: World) -> None:
    before = world.snapshot()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.intents.SubmitIntent(submission(bytes(5 << 20)))
    assert caught.value.code() is GRPC.RESOURCE_EXHAUSTED
    assert world.snapshot() == before


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


@pytest.mark.parametrize("count", [0, 1_025])
async def test_size_of_a_batch(world: World, count: int) -> None:
    before = world.snapshot()
    request = pb.SubmitIntentsRequest(request_id=fresh(), envelopes=[b"x"] * count)
    refused = await refusal(world.intents.SubmitIntents(request))
    assert (refused.code, refused.reason) == (BAD, "FIELD_INVALID")
    assert world.snapshot() == before


async def test_nonce_is_used_once(world: World) -> None:
    made = sell(ANN.public_key)
    await world.submit(made, ANN)
    before = world.snapshot()
    again = sign_record(replace(made, limit=made.limit + 1), ANN)
    refused = await refusal(world.intents.SubmitIntent(submission(again)))
    assert (refused.code, refused.reason) == (GRPC.ALREADY_EXISTS, "NONCE_USED")
    same = await refusal(world.intents.SubmitIntent(submission(sign_record(made, ANN))))
    assert same.reason == "NONCE_USED"
    assert world.snapshot() == before
    # Nonces are each owner's own, and an owner's withdrawals share them.
    await world.submit(replace(buy(BOB.public_key), nonce=made.nonce), BOB)
    from walras.api.v1 import ledger_service_pb2

    withdrawal = Withdrawal(made.domain, ANN.public_key, made.nonce, ETH, 1, NEVER)
    request = ledger_service_pb2.WithdrawRequest(
        request_id=fresh(), envelope=sign_record(withdrawal, ANN)
    )
    assert (await refusal(world.ledger.Withdraw(request))).reason == "NONCE_USED"


async def test_batch_holds_a_nonce_twice(world: World) -> None:
    made = sell(ANN.public_key)
    envelopes = [sign_record(made, ANN), sign_record(replace(made, limit=made.limit + 1), ANN)]
    request = pb.SubmitIntentsRequest(request_id=fresh(), envelopes=envelopes)
    results = (await world.intents.SubmitIntents(request)).results
    assert results[0].WhichOneof("outcome") == "inclusion"
    assert results[1].refusal.reason == "NONCE_USED"


async def test_open_intent_limit(tmp_path: Path) -> None:
    rules = {"max_open_per_owner": 2, "max_open": 3}
    async with running(tmp_path, rules=rules) as world:
        await world.open_market()
        for owner in (ANN, BOB):
            await world.fund(owner.public_key, ETH, WHOLE_ETH)
        kept = [await world.submit(sell(ANN.public_key), ANN) for _ in range(2)]
        before = world.snapshot()
        refused = await refusal(world.intents.SubmitIntent(submission(good())))
        assert (refused.code, refused.reason) == (GRPC.RESOURCE_EXHAUSTED, "OPEN_INTENT_LIMIT")
        assert refused.retry
        assert refused.metadata["limit"] == "2"
        assert world.snapshot() == before
        await world.submit(sell(BOB.public_key), BOB)
        full = await refusal(
            world.intents.SubmitIntent(submission(sign_record(sell(BOB.public_key), BOB)))
        )
        assert (full.code, full.reason) == (GRPC.RESOURCE_EXHAUSTED, "BOOK_FULL")
        await world.intents.CancelIntent(cancellation(kept[0], ANN))
        await world.submit(sell(ANN.public_key), ANN)


@pytest.mark.parametrize("request_id", ["", "x" * 65, "with space", "tab\t", "ünicode", "\x00"])
async def test_request_id(world: World, request_id: str) -> None:
    before = world.snapshot()
    data = good()
    calls = [
        world.intents.SubmitIntent(submission(data, request_id)),
        world.intents.SubmitIntents(
            pb.SubmitIntentsRequest(request_id=request_id, envelopes=[data])
        ),
        world.intents.CancelIntent(pb.CancelIntentRequest(request_id=request_id, envelope=data)),
    ]
    for call in calls:
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (BAD, "REQUEST_ID_INVALID")
    assert world.snapshot() == before


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
        assert set(world.state.book) == {ids[0], ids[2]}
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
    assert name not in world.state.book
    assert (await world.intents.CancelIntent(request)) == answer


async def test_cancel_refused(world: World) -> None:
    name = await world.submit(sell(ANN.public_key), ANN)
    gone = await world.submit(sell(ANN.public_key), ANN)
    await world.intents.CancelIntent(cancellation(gone, ANN))
    before = world.snapshot()
    cases = [
        (cancellation(name, BOB), GRPC.PERMISSION_DENIED, "OWNER_MISMATCH"),
        (cancellation(name, ANN, DOMAIN_OTHER), GRPC.FAILED_PRECONDITION, "DOMAIN_WRONG"),
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
            await world.engine.fleet.settle_in(5)
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
            assert not world.state.book
            assert not world.state.open_by_owner


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
        while queue.qsize() < 1:
            await asyncio.sleep(0.001)
        cancelling = asyncio.create_task(
            soon(world.intents.CancelIntent(cancellation(sold, ANN)))
        )
        while queue.qsize() < 2:
            await asyncio.sleep(0.001)
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
            seen.append((answer.intent.intent_id, answer.intent.state))

    reading = asyncio.create_task(read())
    while len(seen) < 2:
        await asyncio.sleep(0.005)
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
    async with asyncio.timeout(5):
        while service_watchers._queues:
            await asyncio.sleep(0.005)


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
        assert not world.state.book


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
