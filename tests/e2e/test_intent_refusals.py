"""IntentService refuses what breaks a rule, with its reason, and nothing has changed."""

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
    sell,
)
from support.orders import ANN, BOB, cancellation, good, parts, submission
from support.worlds import World, fresh, refusal, running

from walras.api.v1 import intent_service_pb2 as pb
from walras.api.v1 import record_pb2
from walras.audit import envelope
from walras.core.intents import Intent
from walras.protocol.codec import encode
from walras.protocol.records import Cancel, Kind, Withdrawal
from walras.sdk.signing import sign_record

TYPE = Kind.INTENT.payload_type
GRPC = grpc.StatusCode
DOMAIN_OTHER = "other.example/walras"


@pytest.fixture
async def world(world: World) -> World:
    """Ann has 100 ETH, Bob 200,000 USD."""
    await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
    await world.fund(BOB.public_key, USD, 200_000 * WHOLE_USD)
    return world


def rewired(**changes: Any) -> bytes:
    """An intent signed by Ann whose message says what no `Intent` can."""
    message = record_pb2.Intent.FromString(encode(sell(ANN.public_key))[1])
    for name, value in changes.items():
        setattr(message, name, value)
    return envelope.seal(TYPE, message.SerializeToString(deterministic=True), ANN)


def rewired_without_legs() -> bytes:
    message = record_pb2.Intent.FromString(encode(sell(ANN.public_key))[1])
    del message.legs[:]
    return envelope.seal(TYPE, message.SerializeToString(deterministic=True), ANN)


def with_quantity(text: str) -> bytes:
    message = record_pb2.Intent.FromString(encode(sell(ANN.public_key))[1])
    message.legs[0].quantity = text
    return envelope.seal(TYPE, message.SerializeToString(deterministic=True), ANN)


def sealed_body(change: Callable[[bytes], bytes]) -> bytes:
    """A changed body, properly signed."""
    return envelope.seal(TYPE, change(encode(sell(ANN.public_key))[1]), ANN)


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
    "no legs": (rewired_without_legs, BAD, "INTENT_MALFORMED"),
    "zero quantity": (lambda: with_quantity("0"), BAD, "INTENT_MALFORMED"),
    "zero units": (lambda: rewired(units="0"), BAD, "AMOUNT_OUT_OF_RANGE"),
    "negative units": (lambda: rewired(units="-1"), BAD, "AMOUNT_OUT_OF_RANGE"),
    "units of 2^255": (lambda: rewired(units=str(2**255)), BAD, "AMOUNT_OUT_OF_RANGE"),
    "limit of 2^255": (lambda: rewired(limit=str(2**255)), BAD, "AMOUNT_OUT_OF_RANGE"),
    "leg · units of 2^255": (lambda: with_quantity(str(-(2**254))), BAD, "AMOUNT_OUT_OF_RANGE"),
    "min_units above units": (
        lambda: rewired(min_units=str(2 * WHOLE_ETH)),
        BAD,
        "INTENT_MALFORMED",
    ),
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
