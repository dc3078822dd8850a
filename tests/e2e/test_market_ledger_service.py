"""MarketService and LedgerService over a real channel."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.market import (
    ASSETS,
    DOMAIN,
    DULL,
    ETH,
    NEVER,
    PRICES,
    STRANGE,
    USD,
    WHOLE_ETH,
    WHOLE_USD,
    buy,
    deposit,
    market_update,
    nonce,
    pool,
    sell,
    signer,
)
from support.nodes import serving
from support.solvers import Hanging
from support.worlds import World, fresh, refusal, running, soon, until

from walras.api.v1 import ledger_service_pb2 as ledger_pb
from walras.api.v1 import market_service_pb2 as market_pb
from walras.api.v1 import record_pb2
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.core.assets import Asset
from walras.ledger.settlement import BUFFER
from walras.market.kinds import (
    Bridge,
    Concentrated,
    Offer,
    OrderBook,
    Rfq,
    StablePool,
    StableSwap,
    Tick,
    Weighted,
)
from walras.protocol.codec import Signed, encode
from walras.protocol.problem import Price
from walras.protocol.records import Credit, Kind, MarketUpdate, Withdrawal
from walras.protocol.values import price_to_wire
from walras.protocol.venues import venue_from_wire
from walras.sdk.node import Node
from walras.sdk.signing import sign_quote, sign_record, verify_receipt

ANN, BOB = signer("ann"), signer("bob")
GRPC = grpc.StatusCode
BAD = GRPC.INVALID_ARGUMENT
FAILED = GRPC.FAILED_PRECONDITION

Make = Callable[[World], bytes]


def withdrawal(owner: Signer, amount: int, **changes: Any) -> Withdrawal:
    return replace(Withdrawal(DOMAIN, owner.public_key, nonce(), ETH, amount, NEVER), **changes)


def update(world: World, **changes: Any) -> bytes:
    made = MarketUpdate(DOMAIN, world.operator.public_key, nonce())
    return sign_record(replace(made, **changes), world.operator)


def credit(world: World, **changes: Any) -> bytes:
    made = deposit(world.operator.public_key, ANN.public_key, ETH, 1)
    return sign_record(replace(made, **changes), world.operator)


def rewired(record: Signed, key: Signer, change: Callable[[Any], object]) -> bytes:
    """A record whose message says what no value can."""
    kind, body = encode(record)
    message_class: Any = {
        Kind.DEPOSIT: record_pb2.Deposit,
        Kind.WITHDRAWAL: record_pb2.Withdrawal,
        Kind.MARKET: record_pb2.MarketUpdate,
    }[kind]
    message = message_class.FromString(body)
    change(message)
    return envelope.seal(kind.payload_type, message.SerializeToString(deterministic=True), key)


def credited(text: str) -> Make:
    def make(world: World) -> bytes:
        made = deposit(world.operator.public_key, ANN.public_key, ETH, 1)
        return rewired(made, world.operator, lambda m: setattr(m.credits[0], "amount", text))

    return make


def withdrawn(text: str) -> Make:
    return lambda _: rewired(withdrawal(ANN, 1), ANN, lambda m: setattr(m, "amount", text))


AMOUNTS = {
    "": "AMOUNT_MALFORMED",
    "01": "AMOUNT_MALFORMED",
    "+1": "AMOUNT_MALFORMED",
    "1e3": "AMOUNT_MALFORMED",
    " 1": "AMOUNT_MALFORMED",
    "0": "AMOUNT_OUT_OF_RANGE",
    "-1": "AMOUNT_OUT_OF_RANGE",
    str(2**255): "AMOUNT_OUT_OF_RANGE",
}

BAD_DEPOSITS: dict[str, tuple[Make, grpc.StatusCode, str]] = {
    "noise": (lambda _: b"noise", BAD, "ENVELOPE_MALFORMED"),
    "a withdrawal": (
        lambda _: sign_record(withdrawal(ANN, 1), ANN),
        BAD,
        "PAYLOAD_TYPE_WRONG",
    ),
    "by a stranger": (
        lambda _: sign_record(deposit(ANN.public_key, ANN.public_key, ETH, 1), ANN),
        GRPC.PERMISSION_DENIED,
        "SIGNER_UNKNOWN",
    ),
    "in the operator's name": (
        lambda w: sign_record(deposit(w.operator.public_key, ANN.public_key, ETH, 1), ANN),
        GRPC.PERMISSION_DENIED,
        "OWNER_MISMATCH",
    ),
    "for another engine": (lambda w: credit(w, domain="other"), FAILED, "DOMAIN_WRONG"),
    "for a long domain": (lambda w: credit(w, domain="d" * 60_000), BAD, "FIELD_INVALID"),
    "of an unlisted asset": (
        lambda w: credit(w, credits=(Credit(ANN.public_key, STRANGE, 1),)),
        FAILED,
        "ASSET_UNKNOWN",
    ),
    "half of an unlisted asset": (
        lambda w: credit(
            w, credits=(Credit(ANN.public_key, ETH, 1), Credit(ANN.public_key, STRANGE, 1))
        ),
        FAILED,
        "ASSET_UNKNOWN",
    ),
    "of nothing": (lambda w: credit(w, credits=()), BAD, "FIELD_INVALID"),
    "of 257 credits": (
        lambda w: credit(w, credits=(Credit(ANN.public_key, ETH, 1),) * 257),
        BAD,
        "FIELD_INVALID",
    ),
    "to a short key": (
        lambda w: credit(w, credits=(Credit(b"short", ETH, 1),)),
        GRPC.UNAUTHENTICATED,
        "PUBLIC_KEY_INVALID",
    ),
    "of a malformed asset": (
        lambda w: credit(w, credits=(Credit(ANN.public_key, "ETH", 1),)),
        BAD,
        "ASSET_MALFORMED",
    ),
    "beyond 2^255 in sum": (
        lambda w: credit(w, credits=(Credit(ANN.public_key, ETH, 2**254),) * 2),
        BAD,
        "AMOUNT_OUT_OF_RANGE",
    ),
} | {f"amount {text[:8]!r}": (credited(text), BAD, reason) for text, reason in AMOUNTS.items()}

BAD_WITHDRAWALS: dict[str, tuple[Make, grpc.StatusCode, str]] = {
    "noise": (lambda _: b"", BAD, "ENVELOPE_MALFORMED"),
    "a deposit": (credit, BAD, "PAYLOAD_TYPE_WRONG"),
    "of another's": (
        lambda _: sign_record(withdrawal(ANN, 1), BOB),
        GRPC.PERMISSION_DENIED,
        "OWNER_MISMATCH",
    ),
    "of too much": (
        lambda _: sign_record(withdrawal(ANN, 10 * WHOLE_ETH + 1), ANN),
        FAILED,
        "BALANCE_INSUFFICIENT",
    ),
    "of an unlisted asset": (
        lambda _: sign_record(withdrawal(ANN, 1, asset=STRANGE), ANN),
        FAILED,
        "BALANCE_INSUFFICIENT",
    ),
    "expired": (
        lambda _: sign_record(withdrawal(ANN, 1, expiry_ms=1), ANN),
        FAILED,
        "INTENT_EXPIRED",
    ),
    "for another engine": (
        lambda _: sign_record(withdrawal(ANN, 1, domain="other"), ANN),
        FAILED,
        "DOMAIN_WRONG",
    ),
} | {f"amount {text[:8]!r}": (withdrawn(text), BAD, reason) for text, reason in AMOUNTS.items()}

BAD_UPDATES: dict[str, tuple[Make, grpc.StatusCode, str]] = {
    "noise": (lambda _: b"\x0a", BAD, "ENVELOPE_MALFORMED"),
    "by a stranger": (
        lambda _: sign_record(market_update(ANN.public_key), ANN),
        GRPC.PERMISSION_DENIED,
        "SIGNER_UNKNOWN",
    ),
    "for another engine": (lambda w: update(w, domain="other"), FAILED, "DOMAIN_WRONG"),
    "trades what is not listed": (
        lambda w: update(w, venues=(replace(pool(), assets=(ETH, STRANGE)),)),
        FAILED,
        "ASSET_UNKNOWN",
    ),
    "prices what is not listed": (
        lambda w: update(w, prices={STRANGE: Price(1, "test")}),
        FAILED,
        "ASSET_UNKNOWN",
    ),
    "removes what is not there": (
        lambda w: update(w, venues=(pool("new"),), removed_venues=("none",)),
        FAILED,
        "VENUE_UNKNOWN",
    ),
    "removes a long name": (
        lambda w: update(w, removed_venues=("n" * 60_000,)),
        FAILED,
        "VENUE_UNKNOWN",
    ),
    "removes twice": (
        lambda w: update(w, removed_venues=("pool", "pool")),
        BAD,
        "FIELD_INVALID",
    ),
    "lists twice": (lambda w: update(w, assets=(ASSETS[0], ASSETS[0])), BAD, "FIELD_INVALID"),
    "puts a venue twice": (
        lambda w: update(w, venues=(pool("a"), pool("a"))),
        BAD,
        "VENUE_MALFORMED",
    ),
    "no symbol": (lambda w: update(w, assets=(Asset(ETH, "", 18),)), BAD, "FIELD_INVALID"),
    "256 decimals": (lambda w: update(w, assets=(Asset(ETH, "E", 256),)), BAD, "FIELD_INVALID"),
    "malformed asset": (
        lambda w: update(w, assets=(Asset("x" * 60_000, "E", 1),)),
        BAD,
        "ASSET_MALFORMED",
    ),
    "price of zero": (
        lambda w: update(w, prices={ETH: Price(0, "test")}),
        BAD,
        "AMOUNT_OUT_OF_RANGE",
    ),
    "price without source": (lambda w: update(w, prices={ETH: Price(1, "")}), BAD, "FIELD_INVALID"),
    "venue without kind": (
        lambda w: rewired(
            market_update(w.operator.public_key),
            w.operator,
            lambda m: m.venues.add(id="n" * 60_000, cost="0"),
        ),
        BAD,
        "VENUE_MALFORMED",
    ),
    "negative reserve": (
        lambda w: rewired(
            market_update(w.operator.public_key, [pool()]),
            w.operator,
            lambda m: m.venues[0].constant_product.reserves.__setitem__(0, "-1"),
        ),
        BAD,
        "VENUE_MALFORMED",
    ),
}


@pytest.fixture
async def world(world: World) -> World:
    """Ann has 10 ETH; there is a pool."""
    await world.fund(ANN.public_key, ETH, 10 * WHOLE_ETH)
    await put(world, update(world, venues=(pool(),)))
    return world


async def put(world: World, data: bytes) -> market_pb.PutVenuesResponse:
    return await world.market.PutVenues(
        market_pb.PutVenuesRequest(request_id=fresh(), envelope=data)
    )


async def take(world: World, record: Withdrawal, owner: Signer) -> ledger_pb.WithdrawResponse:
    return await world.ledger.Withdraw(
        ledger_pb.WithdrawRequest(request_id=fresh(), envelope=sign_record(record, owner))
    )


@pytest.mark.parametrize(
    ("service", "method", "name"),
    [("ledger", "Deposit", name) for name in BAD_DEPOSITS]
    + [("ledger", "Withdraw", name) for name in BAD_WITHDRAWALS]
    + [("market", "PutVenues", name) for name in BAD_UPDATES],
)
async def test_refused(world: World, service: str, method: str, name: str) -> None:
    cases = {"Deposit": BAD_DEPOSITS, "Withdraw": BAD_WITHDRAWALS, "PutVenues": BAD_UPDATES}
    requests: dict[str, Any] = {
        "Deposit": ledger_pb.DepositRequest,
        "Withdraw": ledger_pb.WithdrawRequest,
        "PutVenues": market_pb.PutVenuesRequest,
    }
    make, code, reason = cases[method][name]
    data = make(world)
    before = world.snapshot()
    call = getattr(getattr(world, service), method)
    refused = await refusal(call(requests[method](request_id=fresh(), envelope=data)))
    assert (refused.code, refused.reason) == (code, reason)
    no_id = await refusal(call(requests[method](request_id="", envelope=data)))
    assert (no_id.code, no_id.reason) == (BAD, "REQUEST_ID_INVALID")
    assert world.snapshot() == before


async def test_deposit_and_withdraw(world: World) -> None:
    data = credit(world, credits=(Credit(BOB.public_key, ETH, 5), Credit(BOB.public_key, USD, 7)))
    request = ledger_pb.DepositRequest(request_id=fresh(), envelope=data)
    answer = await world.ledger.Deposit(request)
    verify_receipt(data, answer.receipt, world.key)
    assert await world.ledger.Deposit(request) == answer
    taking = sign_record(withdrawal(BOB, 2), BOB)
    taken = ledger_pb.WithdrawRequest(request_id=fresh(), envelope=taking)
    left = await world.ledger.Withdraw(taken)
    verify_receipt(taking, left.receipt, world.key)
    assert (left.balance.asset, left.balance.amount) == (ETH, "3")
    assert left.balance.owner == BOB.public_key
    await take(world, withdrawal(BOB, 3), BOB)
    # The answer to a repetition is the one that was given, not what is true now.
    assert await world.ledger.Withdraw(taken) == left
    assert world.state.balance(BOB.public_key, ETH) == 0
    assert (BOB.public_key, ETH) not in world.state.balances
    assert await balances(world, BOB) == {USD: 7}


async def balances(world: World, owner: Signer, page_size: int = 0) -> dict[str, int]:
    request = ledger_pb.GetBalancesRequest(owner=owner.public_key, page_size=page_size)
    found: dict[str, int] = {}
    while True:
        page = await world.ledger.GetBalances(request)
        assert len(page.balances) <= (page_size or 100)
        for balance in page.balances:
            assert balance.owner == owner.public_key
            assert balance.asset not in found
            found[balance.asset] = int(balance.amount)
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_nonces_of_an_operator_and_of_an_owner(world: World) -> None:
    used = nonce()
    await put(world, update(world, nonce=used))
    request = ledger_pb.DepositRequest(request_id=fresh(), envelope=credit(world, nonce=used))
    refused = await refusal(world.ledger.Deposit(request))
    assert (refused.code, refused.reason) == (GRPC.ALREADY_EXISTS, "NONCE_USED")
    await take(world, withdrawal(ANN, 1, nonce=used), ANN)
    twice = ledger_pb.WithdrawRequest(
        request_id=fresh(), envelope=sign_record(withdrawal(ANN, 2, nonce=used), ANN)
    )
    assert (await refusal(world.ledger.Withdraw(twice))).reason == "NONCE_USED"
    same = ledger_pb.WithdrawRequest(
        request_id="same", envelope=sign_record(withdrawal(ANN, 3), ANN)
    )
    await world.ledger.Withdraw(same)
    same.envelope = sign_record(withdrawal(ANN, 4), ANN)
    refused = await refusal(world.ledger.Withdraw(same))
    assert (refused.code, refused.reason) == (GRPC.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_balances_page_by_page(world: World) -> None:
    names = [f"eip155:1/erc20:0x{number:040x}" for number in range(1, 12)]
    await put(world, update(world, assets=tuple(Asset(name, "X", 0) for name in names)))
    await world.ledger.Deposit(
        ledger_pb.DepositRequest(
            request_id=fresh(),
            envelope=credit(
                world, credits=tuple(Credit(BOB.public_key, a, i + 1) for i, a in enumerate(names))
            ),
        )
    )
    expected = {name: i + 1 for i, name in enumerate(names)}
    for size in (0, 1, 2, 10, 11, 12, 5_000):
        found = await balances(world, BOB, size)
        assert found == expected
        assert list(found) == sorted(names)
    assert await balances(world, signer("nobody")) == {}
    for asked, reason in [
        ({"owner": b"short"}, "FIELD_INVALID"),
        ({"owner": b""}, "FIELD_INVALID"),
        ({"owner": ANN.public_key, "page_token": "!"}, "PAGE_TOKEN_INVALID"),
    ]:
        refused = await refusal(world.ledger.GetBalances(ledger_pb.GetBalancesRequest(**asked)))
        assert (refused.code, refused.reason) == (BAD, reason)


async def test_assets_page_by_page(world: World) -> None:
    names = [f"eip155:1/erc20:0x{number:040x}" for number in range(1, 8)]
    await put(world, update(world, assets=tuple(Asset(name, "X", 0) for name in names)))
    expected = sorted([*names, *(asset.id for asset in ASSETS)])
    for size in (0, 1, 3, len(expected), 5_000):
        found: list[str] = []
        request = market_pb.ListAssetsRequest(page_size=size)
        while True:
            page = await world.market.ListAssets(request)
            for listed in page.assets:
                found.append(listed.asset.id)
                priced = PRICES.get(listed.asset.id)
                assert listed.HasField("price") == (priced is not None)
                if priced is not None:
                    assert listed.price == price_to_wire(listed.asset.id, priced)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert found == expected
    for token in ("!", "x", "%%%%"):
        refused = await refusal(
            world.market.ListAssets(market_pb.ListAssetsRequest(page_token=token))
        )
        assert (refused.code, refused.reason) == (BAD, "PAGE_TOKEN_INVALID")


async def test_every_kind_of_venue(world: World, tmp_path: Path) -> None:
    one = 10**18
    terms = (bytes(32), nonce(), one, 2 * 10**9, NEVER)
    quote = Rfq("q", 0, (ETH, USD), *terms, bytes(64), one)
    venues = (
        pool("cp"),
        Weighted("w", 3, (ETH, DULL), (one, one), (one // 4, 3 * one // 4), (1, 1), 10**15),
        StableSwap("s", 0, (USD, DULL), (one, one), (10**30, one), 20_000, 4_000_000),
        OrderBook("b", 7, (ETH, USD), (Offer(one, 2 * 10**9),), (Offer(10**9, one),)),
        OrderBook("empty", 0, (ETH, USD), (), ()),
        Concentrated("c", 5, (ETH, USD), 1 << 96, 0, 7, 500, 10, (Tick(-10, 7), Tick(10, -7))),
        StablePool("t", 0, (USD, DULL), (one, one), (10**30, one), 200_000, 10**14),
        Bridge("r", 0, (USD, DULL), (one, one), (10**12, 1), 400, (1, 10**12), 60_000),
        sign_quote(DOMAIN, quote, ANN),
    )
    data = update(world, venues=venues, removed_venues=("pool",))
    answer = await put(world, data)
    verify_receipt(data, answer.receipt, world.key)
    for size in (0, 1, 2, 9):
        found = []
        request = market_pb.GetSnapshotRequest(page_size=size)
        while True:
            page = await world.market.GetSnapshot(request)
            assert page.log_size == world.engine.sequencer.tree.size
            found += [venue_from_wire(message) for message in page.venues]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert found == sorted(venues, key=lambda venue: venue.id)
    refused = await refusal(world.market.GetSnapshot(market_pb.GetSnapshotRequest(page_token="-")))
    assert (refused.code, refused.reason) == (BAD, "PAGE_TOKEN_INVALID")


async def test_market_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.open_market([pool("a"), pool("b")])
        await put(world, update(world, removed_venues=("a",), venues=(pool("b", depth=7),)))
        # Removed and put in one update: it is there.
        await put(world, update(world, removed_venues=("b",), venues=(pool("b", depth=8),)))
        request = market_pb.PutVenuesRequest(request_id=fresh(), envelope=update(world))
        answer = await world.market.PutVenues(request)
        before = world.snapshot()
    async with running(tmp_path) as world:
        assert world.snapshot() == before
        assert world.state.market.venues == {"b": pool("b", depth=8)}
        assert await world.market.PutVenues(request) == answer


@pytest.fixture
async def sealed(tmp_path: Path) -> AsyncIterator[tuple[World, Hanging, "asyncio.Task[Any]"]]:
    """A world whose batch is out for bids until the solver is released."""
    solver = Hanging()
    async with serving(Node(solver, signer("slow"))) as address:
        solvers = [{"name": "slow", "address": address}]
        async with running(tmp_path, solvers=solvers, solve_ms=20_000) as world:
            await world.open_market([pool()])
            await world.nodes_here()
            await world.fund(ANN.public_key, ETH, 10 * WHOLE_ETH)
            await world.submit(sell(ANN.public_key), ANN)
            task = asyncio.create_task(world.auction())
            await asyncio.to_thread(solver.started.wait, 10)
            yield world, solver, task
            solver.release.set()
            await soon(task)


async def test_withdrawals_and_updates_wait_for_the_batch(
    sealed: tuple[World, Hanging, "asyncio.Task[Any]"],
) -> None:
    world, solver, task = sealed
    before = world.snapshot()
    taking = asyncio.create_task(take(world, withdrawal(ANN, WHOLE_ETH), ANN))
    putting = asyncio.create_task(put(world, update(world, venues=(pool("new"),))))
    # Deposits do not wait.
    await soon(world.fund(BOB.public_key, USD, WHOLE_USD))
    assert not taking.done()
    assert not putting.done()
    assert world.state.balance(ANN.public_key, ETH) == 10 * WHOLE_ETH
    assert "new" not in world.state.market.venues
    assert world.engine.sequencer.tree.size == before[0] + 1
    solver.release.set()
    await soon(taking)
    await soon(putting)
    assert task.done()
    assert world.state.balance(ANN.public_key, ETH) == 9 * WHOLE_ETH
    assert "new" in world.state.market.venues


async def test_only_so_many_wait(
    sealed: tuple[World, Hanging, "asyncio.Task[Any]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, solver, _ = sealed
    monkeypatch.setattr("walras.app.auctioneer.MAX_WAITING_PER_SIGNER", 2)
    waiting = [asyncio.create_task(take(world, withdrawal(ANN, 1), ANN)) for _ in range(2)]
    await until(lambda: world.engine.auctioneer._waiting.total() == 2)
    request = ledger_pb.WithdrawRequest(
        request_id=fresh(), envelope=sign_record(withdrawal(ANN, 1), ANN)
    )
    refused = await refusal(world.ledger.Withdraw(request))
    assert (refused.code, refused.reason) == (GRPC.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert refused.retry
    # Nobody keeps the others out, and who has nothing to take need not wait to hear it.
    await world.fund(BOB.public_key, ETH, 1)
    others = asyncio.create_task(take(world, withdrawal(BOB, 1), BOB))
    await until(lambda: world.engine.auctioneer._waiting.total() == 3)
    others.cancel()
    poor = signer("poor")
    request = ledger_pb.WithdrawRequest(
        request_id=fresh(), envelope=sign_record(withdrawal(poor, 1), poor)
    )
    assert (await refusal(world.ledger.Withdraw(request))).reason == "BALANCE_INSUFFICIENT"
    # Who gives up makes room.
    for task in waiting:
        task.cancel()
    await until(lambda: not world.engine.auctioneer._waiting)
    solver.release.set()
    await soon(take(world, withdrawal(ANN, 1), ANN))


async def test_the_buffer_cannot_be_taken(world: World) -> None:
    body = encode(Withdrawal(DOMAIN, BUFFER, nonce(), ETH, 1, NEVER))[1]
    forged = envelope.encode(
        envelope.Envelope(Kind.WITHDRAWAL.payload_type, body, BUFFER, BUFFER + bytes(32))
    )
    request = ledger_pb.WithdrawRequest(request_id=fresh(), envelope=forged)
    refused = await refusal(world.ledger.Withdraw(request))
    assert (refused.code, refused.reason) == (GRPC.UNAUTHENTICATED, "PUBLIC_KEY_INVALID")


async def test_configured_operators(tmp_path: Path) -> None:
    """Two operators by key; the engine then makes none of its own."""
    chiefs = (signer("chief"), signer("deputy"))
    keys = [chief.public_key.hex() for chief in chiefs]
    async with running(tmp_path, operators=keys) as world:
        assert world.engine.operator is None
        assert not (tmp_path / "operator.key").exists()
        for chief in chiefs:
            await put(world, sign_record(market_update(chief.public_key), chief))
        stranger = sign_record(market_update(BOB.public_key), BOB)
        request = market_pb.PutVenuesRequest(request_id=fresh(), envelope=stranger)
        assert (await refusal(world.market.PutVenues(request))).reason == "SIGNER_UNKNOWN"


async def test_a_bought_intent_needs_money(world: World) -> None:
    """The settlement asset counts for the least fill at the worst limit."""
    await world.fund(BOB.public_key, USD, 2_010 * WHOLE_USD - 1)
    from walras.api.v1 import intent_service_pb2

    made = buy(BOB.public_key, 2_010, min_units=WHOLE_ETH)
    request = intent_service_pb2.SubmitIntentRequest(
        request_id=fresh(), envelope=sign_record(made, BOB)
    )
    refused = await refusal(world.intents.SubmitIntent(request))
    assert (refused.code, refused.reason) == (FAILED, "BALANCE_INSUFFICIENT")
    assert refused.metadata["needed"] == str(2_010 * WHOLE_USD)
    assert refused.metadata["available"] == str(2_010 * WHOLE_USD - 1)
    await world.fund(BOB.public_key, USD, 1)
    await world.intents.SubmitIntent(request)


async def test_a_quote_that_its_maker_did_not_sign_changes_nothing(world: World) -> None:
    terms = (bytes(32), nonce(), 10**18, 2 * 10**9, NEVER)
    quote = sign_quote(DOMAIN, Rfq("q", 0, (ETH, USD), *terms, bytes(64), 10**18), ANN)
    better = replace(quote, amount_out=3 * 10**9)
    refused = await refusal(put(world, update(world, venues=(pool("cp"), better))))
    assert refused.reason == "SIGNATURE_INVALID"
    await put(world, update(world, venues=(quote,)))
    again = await refusal(put(world, update(world, venues=(replace(quote, id="again"),))))
    assert again.reason == "NONCE_USED"
