"""Reference prices in a running engine: feeders over gRPC, and pools that are pushed by trades."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.audit.fleet_scenario import sells
from support.audit.price_scenario import ONE_U, feed
from support.audit.scenario import DOMAIN as AUDIT_DOMAIN
from support.audit.scenario import (
    PRICES,
    VENUES,
    WHOLE,
    WHOLE_U,
    Play,
    U,
    W,
    copy_log,
    fund,
    order,
    owner,
    write_keys,
)
from support.audit.scripted_node import Task
from support.market import DOMAIN, ETH, STRANGE, USD, signer
from support.worlds import World, fresh, refusal, running, soon

from walras.api.v1 import market_service_pb2 as market_pb
from walras.audit.note import parse_vkey
from walras.audit.prices import check_prices
from walras.cli.commands.feed import _feed
from walras.core.errors import InvalidInput, Reason
from walras.market.kinds import ConstantProduct
from walras.market.reference import VENUES as BY_VENUES
from walras.protocol.prices import PriceFeed
from walras.protocol.problem import Problem
from walras.protocol.records import Credit, Deposit, MarketUpdate
from walras.sdk.signing import sign_record, verify_receipt

FAY, FOX = signer("fay"), signer("fox")
FEEDERS = [key.public_key.hex() for key in (FAY, FOX)]


# a pushed pool


async def sealed_after(
    tmp_path: Path, pushes: int, removed: tuple[str, ...] = (), **rules: object
) -> tuple[list[Problem], ConstantProduct]:
    """The problems of auctions in which mallory sells 900 W each time to the pool of W and U, and
    of one more; and that pool in the end. The log is audited.
    """
    seen: list[Problem] = []

    async def script(task: Task) -> AsyncIterator[bytes]:
        seen.append(task.problem)
        async for bid in sells(task):
            yield bid

    # Collars that let the push happen: what is looked at is the price that they stand around.
    settings = {"rules": {"collar_bps": 10_000, "sealed_bids": False, **rules}}
    play = Play(tmp_path, settings=settings)
    write_keys(tmp_path)
    await play.add_nodes("first")
    play.nodes["first"].script = script
    async with play.running() as (engine, client):
        operator = engine.operator
        assert operator is not None
        await fund(engine, client)
        (wu,) = (venue for venue in VENUES if venue.id == "wu")
        update = MarketUpdate(
            AUDIT_DOMAIN, operator.public_key, 7, (), (replace(wu, cost=0),), removed
        )
        await client.put_venues(sign_record(update, operator))
        credit = Credit(owner("mallory"), W, 5_000 * WHOLE)
        deposit = Deposit(AUDIT_DOMAIN, operator.public_key, 8, (credit,))
        await client.deposit(sign_record(deposit, operator))
        for number in range(pushes):
            await _fed(play, client)
            push = order("mallory", number, {W: -1}, 900 * WHOLE, U, 1)
            await play.submit(client, f"push {number}", push)
            await play.batch(engine)
        await _fed(play, client)
        small = order("alice", 1, {W: -1}, WHOLE // 100, U, 1)
        await play.submit(client, "small", small)
        await play.batch(engine)
        log, key = await copy_log(client), parse_vkey(engine.verifier_key)
        pool = engine.sequencer.state.market.venues["wu"]
    await play.nodes["first"].stop()
    assert log.audit(key).auctions == pushes + 1
    assert isinstance(pool, ConstantProduct)
    for problem in seen:
        check_prices(problem)
    return seen, pool


async def _fed(play: Play, client: Any) -> None:
    if play.settings["rules"].get("feeders"):
        await feed(play, client, "fay")
        await feed(play, client, "fox")


def shown(problem: Problem) -> int:
    return next(i.amount for i in problem.references[U].inputs if i.source == BY_VENUES)


async def test_a_pushed_pool_does_not_move_the_reference(tmp_path: Path) -> None:
    """Its price falls to less than a third; neither does what the venues say together move."""
    rules = {"feeders": FEEDERS, "price_quorum": 3, "numeraire": W, "max_price_ratio": 0}
    (before, after), pool = await soon(sealed_after(tmp_path, 1, **rules), 60)
    held_w, held_u = pool.reserves
    assert held_u * WHOLE * 3 < held_w * 3_000 * WHOLE_U
    assert before.prices[U].amount == after.prices[U].amount == ONE_U
    assert shown(before) == pytest.approx(ONE_U, rel=1e-9)
    assert shown(after) == pytest.approx(ONE_U, rel=1e-9)


async def test_where_nothing_else_stands_against_a_push_the_cap_does(tmp_path: Path) -> None:
    """The operator and the only path, no feeder: half of what is said is the pusher's."""
    rules = {
        "numeraire": W,
        "price_quorum": 2,
        "max_price_move_bps": 200,
        "max_price_ratio": 0,
    }
    problems, _ = await soon(sealed_after(tmp_path, 3, ("du",), **rules), 60)
    amounts = [problem.prices[U].amount for problem in problems]
    assert amounts[0] == ONE_U
    assert shown(problems[1]) > 3 * ONE_U
    for earlier, later in pairwise(amounts):
        assert later == earlier + earlier * 200 // 10_000


async def test_the_pool_that_is_pushed_far_is_taken_out(tmp_path: Path) -> None:
    """By what operator and feeders say; the other path still shows a price."""
    rules = {"feeders": FEEDERS, "price_quorum": 3, "numeraire": W, "max_price_ratio": 2}
    (before, after), _ = await soon(sealed_after(tmp_path, 1, **rules), 60)
    assert "wu" in before.venues
    assert "wu" not in after.venues
    assert shown(after) == pytest.approx(PRICES[U].amount, rel=1e-9)
    assert after.prices[U].amount == ONE_U


# feeders over gRPC


def feeding(tmp_path: Path) -> Any:
    return running(tmp_path, rules={"feeders": FEEDERS, "price_quorum": 2})


def said(world: World, sequence: int, **changes: Any) -> bytes:
    made = PriceFeed(DOMAIN, FAY.public_key, sequence, world.clock(), {USD: 5 * 10**17})
    return sign_record(replace(made, **changes), FAY)


async def put(world: World, envelope: bytes, request_id: str = "") -> market_pb.PutPricesResponse:
    request = market_pb.PutPricesRequest(request_id=request_id or fresh(), envelope=envelope)
    answer: market_pb.PutPricesResponse = await world.market.PutPrices(request)
    return answer


async def test_feeds_are_logged_and_survive_a_restart(tmp_path: Path) -> None:
    async with feeding(tmp_path) as world:
        await world.engine.auctioneer.open()
        await world.open_market()
        leaf = said(world, 3)
        answer = await put(world, leaf, "once")
        verify_receipt(leaf, answer.receipt, world.key)
        again = await put(world, leaf, "once")
        assert again.receipt.inclusion.leaf_index == answer.receipt.inclusion.leaf_index
        kept = world.state.market.pricing
        assert kept.feeds[FAY.public_key].sequence == 3
    async with feeding(tmp_path) as world:
        assert world.state.market.pricing == kept
        await put(world, said(world, 4))


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"sequence": 3}, grpc.StatusCode.ALREADY_EXISTS, "FEED_STALE"),
        ({"at_ms": 1}, grpc.StatusCode.ALREADY_EXISTS, "FEED_STALE"),
        ({"at_ms": 1 << 60}, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
        ({"domain": "other"}, grpc.StatusCode.FAILED_PRECONDITION, "DOMAIN_WRONG"),
        ({"prices": {STRANGE: 1}}, grpc.StatusCode.FAILED_PRECONDITION, "ASSET_UNKNOWN"),
        ({"prices": {}}, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
        ({"prices": {USD: 0}}, grpc.StatusCode.INVALID_ARGUMENT, "AMOUNT_OUT_OF_RANGE"),
        ({"feeder": FOX.public_key}, grpc.StatusCode.PERMISSION_DENIED, "OWNER_MISMATCH"),
    ],
)
async def test_what_a_feeder_may_not_say(
    tmp_path: Path, changes: dict[str, Any], code: grpc.StatusCode, reason: str
) -> None:
    async with feeding(tmp_path) as world:
        await world.engine.auctioneer.open()
        await world.open_market()
        await put(world, said(world, 3))
        before = world.snapshot()
        refused = await refusal(put(world, said(world, **{"sequence": 4, **changes})))
        assert (refused.code, refused.reason) == (code, reason)
        assert world.snapshot() == before


async def test_strangers_are_turned_away_before_anything_waits(tmp_path: Path) -> None:
    async with feeding(tmp_path) as world:
        await world.engine.auctioneer.open()
        await world.open_market()
        stranger = signer("stranger")
        made = PriceFeed(DOMAIN, stranger.public_key, 1, 1, {USD: 1})
        async with world.engine.auctioneer.idle:
            refused = await soon(refusal(put(world, sign_record(made, stranger))))
        assert refused.reason == "SIGNER_UNKNOWN"


async def test_prices_are_said_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with feeding(tmp_path) as world:
        await world.engine.auctioneer.open()
        await world.open_market()
        await soon(_feed(["USD=0.0005", "ETH=1"], FAY, world.address, "", as_json=True))
        document = json.loads(capsys.readouterr().out)
        assert document["prices"] == {USD: str(5 * 10**17), ETH: str(10**9)}
        prices = world.state.market.pricing.feeds[FAY.public_key].prices
        assert {asset: amount for asset, (amount, _) in prices.items()} == {
            USD: 5 * 10**17,
            ETH: 10**9,
        }
        with pytest.raises(InvalidInput) as error:
            await soon(_feed(["USD=1"], signer("no"), world.address, "", as_json=True))
        assert error.value.reason is Reason.SIGNER_UNKNOWN
