"""`walras why`: every intent and every bid of real logs has its reason; the engine agrees."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from support.audit.bid_scenario import recorded_bids
from support.audit.log_copy import read_leaf
from support.audit.scenario import BROKEN, Recorded, recorded
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, pool, sell, signer
from support.nodes import serving
from support.solvers import Crosser
from support.worlds import World, refusal, running

from walras.api.v1 import auction_service_pb2 as pb
from walras.auction.why import Explanation, Verdict
from walras.audit import envelope
from walras.audit.explain import explain
from walras.audit.verifier import VerifiedLog, verify_entries
from walras.cli.commands.why import _read
from walras.cli.fetch import fetch_log
from walras.cli.main import run
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.core.intents import Intent
from walras.protocol.records import BidReceived, BidRejectedRecord, Kind
from walras.protocol.sealed_bids import Committed, decode_commitments
from walras.rpc import why as why_rpc
from walras.sdk.client import Client
from walras.sdk.node import Node

ANN, BOB = signer("ann"), signer("bob")


@cache
def verified(which: str) -> tuple[Recorded, VerifiedLog]:
    made = recorded() if which == "open" else recorded_bids().log
    return made, verify_entries(made.log, made.key)


def why(which: str, asked: bytes, auction_id: int = 0) -> Explanation:
    made, log = verified(which)
    return explain(log, made.log, asked, auction_id)


def intents(made: Recorded) -> dict[str, bytes]:
    found = {}
    for leaf in made.log.leaves:
        record = read_leaf(leaf)
        if isinstance(record, Intent):
            signed = envelope.decode(leaf)
            name = f"{record.owner.hex()[:8]} {record.nonce}"
            found[name] = envelope.record_id(signed.payload_type, signed.body)
    return found


def test_every_intent_has_its_reason() -> None:
    made, _ = verified("open")
    found = Counter(why("open", one).verdict for one in intents(made).values())
    assert found[Verdict.FILLED] >= 5
    assert found[Verdict.EXPIRED] == 2
    assert found[Verdict.VOIDED] == 1
    assert found[Verdict.UNTOUCHED] == 3
    assert found[Verdict.CLOSED_BEFORE] == 1
    assert found[Verdict.PENDING] == 1
    assert sum(found.values()) == len(intents(made))


def test_every_bid_has_the_reason_that_is_logged() -> None:
    made, _ = verified("open")
    rejected: dict[bytes, BidRejectedRecord] = {}
    received = Counter[bytes]()
    for record in map(read_leaf, made.log.leaves):
        if isinstance(record, BidRejectedRecord):
            rejected[record.bid_digest] = record
        if isinstance(record, BidReceived):
            received[record.bid_digest] += 1
    assert len(rejected) == len(BROKEN)
    for digest, times in received.items():
        found = why("open", digest)
        assert found.subject == "bid"
        if digest in rejected and times == 1:
            assert found.verdict is Verdict.REJECTED
            assert found.fields["reason"] == rejected[digest].reason
            for name, value in rejected[digest].details:
                assert found.fields[f"detail.{name}"] == value
        else:
            assert found.verdict in {Verdict.WON, Verdict.OUTBID}


def test_every_commitment_has_its_reason() -> None:
    made, _ = verified("sealed")
    verdicts = Counter[Verdict]()
    for record in map(read_leaf, made.log.leaves):
        if isinstance(record, Committed):
            for one in decode_commitments(made.log.blob(record.commitments_digest)):
                found = why("sealed", sha256(one.envelope).digest())
                verdicts[found.verdict] += 1
                if found.verdict is Verdict.UNOPENED:
                    assert found.fields["reason"].startswith(("OPENING_", "COMMITMENT_"))
    assert verdicts[Verdict.UNOPENED] >= 3
    assert verdicts[Verdict.VOIDED] >= 2
    assert verdicts[Verdict.WON] >= 2
    assert verdicts[Verdict.OUTBID] >= 4


def test_another_auction_can_be_asked_about() -> None:
    made, _ = verified("open")
    first = intents(made)
    carol = next(one for one in first.values() if why("open", one).verdict is Verdict.UNTOUCHED)
    later = why("open", carol)
    with pytest.raises(InvalidInput) as caught:
        why("open", carol, 99)
    assert caught.value.reason is Reason.NOT_FOUND
    earlier = [why("open", carol, number) for number in range(1, later.auction_id)]
    assert all(one.verdict is not Verdict.UNTOUCHED for one in earlier if one.auction_id == 3)
    assert {one.auction_id for one in earlier} == set(range(1, later.auction_id))


def test_what_is_in_no_log() -> None:
    with pytest.raises(InvalidInput) as caught:
        why("open", bytes(32))
    assert caught.value.reason is Reason.NOT_FOUND
    assert "refused" in caught.value.hint


def test_a_log_that_does_not_hold_explains_nothing() -> None:
    made, log = verified("open")
    name = next(iter(intents(made).values()))
    forged = made.forgery()
    index = forged.find(BidRejectedRecord)
    forged.change(index, reason="BID_EMPTY")
    copy = forged.log()
    with pytest.raises(AuditFailure) as caught:
        explain(verify_entries(copy, made.key), copy, name)
    assert caught.value.reason is Reason.REJECTION_MISMATCH
    assert log.entries != copy.leaves


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with (
        serving(Node(Crosser(), signer("one"), "one")) as first,
        serving(Node(Crosser(), signer("two"), "two")) as second,
    ):
        solvers = [{"name": "one", "address": first}, {"name": "two", "address": second}]
        async with running(tmp_path / "engine", solvers=solvers) as world:
            await world.open_market([pool()])
            await world.nodes_here()
            await world.fund(ANN.public_key, ETH, 10 * WHOLE_ETH)
            await world.fund(BOB.public_key, USD, 20_100 * WHOLE_USD)
            yield world


async def test_the_engine_says_what_its_log_says(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sold, bought = (
        await world.submit(sell(ANN.public_key), ANN),
        await world.submit(buy(BOB.public_key), BOB),
    )
    waiting = await refusal(world.auctions.Why(pb.WhyRequest(id=bytes(32))))
    assert waiting.reason == "NOT_FOUND"
    whole = sell(ANN.public_key, ethers=10, min_units=10 * WHOLE_ETH)
    all_or_none = await world.submit(whole, ANN)
    async with Client(world.address) as client:
        pending = await client.why(sold)
        assert (pending.verdict, pending.auction_id) == ("PENDING", 0)
        await world.auction()
        lonely = await world.submit(sell(ANN.public_key), ANN)
        await world.auction()
        late = await world.submit(sell(ANN.public_key), ANN)
        short = await client.why(all_or_none)
        assert (short.verdict, short.auction_id) == ("NOT_BACKED", 2)
        before = await client.why(all_or_none, 1)
        assert before.verdict == "UNTOUCHED"
        folder = tmp_path / "log"
        await fetch_log(client, folder)
        asked = [sold, bought, lonely, late]
        bids = [
            read_leaf(entry).bid_digest
            async for entry in client.entries(0, 10_000)
            if envelope.decode(entry).payload_type == Kind.BID_RECEIVED.payload_type
        ]
        assert len(bids) == 2
        commitments = [
            sha256(one.envelope).digest()
            async for entry in client.entries(0, 10_000)
            if isinstance(record := read_leaf(entry), Committed)
            for one in decode_commitments(await client.blob(record.commitments_digest))
        ]
        by_commitment = [await client.why(name) for name in commitments]
        assert sorted(one.id for one in by_commitment) == sorted(
            [(await client.why(name)).id for name in bids]
        )
        answers = {name: _read(await client.why(name)) for name in [*asked, *bids]}
        assert await client.why(bids[0], 1) == await client.why(bids[0])
        none = await refusal(world.auctions.Why(pb.WhyRequest(id=bids[0], auction_id=2)))
        assert none.reason == "NOT_FOUND"
        wrong = await refusal(world.auctions.Why(pb.WhyRequest(id=b"short")))
        assert wrong.reason == "FIELD_INVALID"
    assert [answers[name].verdict for name in asked] == ["FILLED", "FILLED", "UNTOUCHED", "PENDING"]
    assert sorted(answers[name].verdict for name in bids) == ["OUTBID", "WON"]
    for name, answer in answers.items():
        capsys.readouterr()
        assert run(["why", name.hex(), "--log", str(folder), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == answer.document()
    assert run(["why", lonely.hex(), "--log", str(folder)]) == 0
    assert "no bid touched it" in capsys.readouterr().out
    assert run(["why", all_or_none.hex(), "--log", str(folder), "--json"]) == 0
    proven = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert proven["verdict"] == "NOT_BACKED"
    assert int(proven["fields"]["available"]) == 9 * WHOLE_ETH
    assert int(proven["fields"]["needed"]) == 10 * WHOLE_ETH
    assert run(["why", "00" * 32, "--log", str(folder)]) == 2
    assert run(["why", "nonsense"]) == 2


async def test_explanations_wait_in_a_short_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(why_rpc, "MAX_WAITING", 0)
    refused = await refusal(world.auctions.Why(pb.WhyRequest(id=bytes(32))))
    assert refused.reason == "QUEUE_FULL"
    monkeypatch.setattr(why_rpc, "MAX_WAITING", 1)
    monkeypatch.setattr(why_rpc, "_SECONDS", 0.0)
    late = await refusal(world.auctions.Why(pb.WhyRequest(id=bytes(32))))
    assert late.reason == "DEADLINE_PASSED"


async def test_more_bids_than_are_read_are_left_to_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await world.submit(sell(ANN.public_key), ANN)
    await world.submit(buy(BOB.public_key), BOB)
    await world.auction()
    monkeypatch.setattr(why_rpc, "MAX_BYTES", 100)
    refused = await refusal(world.auctions.Why(pb.WhyRequest(id=sold)))
    assert refused.reason == "OVERLOADED"
