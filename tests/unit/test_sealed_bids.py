"""Sealed bids: what the log says of them, what nodes can show, and what a forger is refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from support.audit.bid_attacks import BID_ATTACKS, recommit
from support.audit.bid_scenario import BOND, FORFEIT, NAMES, SETTINGS, batch, recorded_bids
from support.audit.fleet_scenario import proposals
from support.audit.log_copy import read_leaf
from support.audit.scenario import DOMAIN, Play, U, fund, owner, record, signer, write_keys
from support.audit.scripted_node import Task as ScriptedTask

from walras.audit import envelope
from walras.audit.evidence import Evidence, check_evidence, decode_evidence, encode_evidence
from walras.audit.openings import is_bid_key, open_bid, public_bid_key, seal_bid
from walras.audit.verifier import replay, replayed, verify_entries
from walras.core.errors import AuditFailure, BidRejected, InvalidInput, Reason
from walras.protocol.records import Awarded, BidReceived, Closed, Kind, Sealed
from walras.protocol.sealed_bids import (
    BidReceipt,
    BidUnopened,
    Committed,
    ReceivedCommitment,
    Task,
    decode_commitment,
    decode_commitments,
    decode_committed,
    decode_receipt,
    decode_task,
)
from walras.sdk.signing import sign_record

RECORDS = (Sealed, Committed, BidReceived, BidUnopened, Closed, Awarded)


def of_auction(number: int) -> list[object]:
    leaves = map(read_leaf, recorded_bids().log.log.leaves)
    return [r for r in leaves if isinstance(r, RECORDS) and r.auction_id == number]


def test_the_honest_log_is_audited() -> None:
    made = recorded_bids()
    counts = made.log.log.audit(made.log.key)
    assert (counts.auctions, counts.voided, counts.voided_committed) == (2, 1, 1)
    assert counts.unopened > 0
    assert counts.winners >= 2


def test_what_came_of_each_commitment() -> None:
    """The commitments stand in the log before any bid, and each has its end."""
    records = of_auction(1)
    sealed, committed = records[:2]
    assert isinstance(sealed, Sealed)
    assert isinstance(committed, Committed)
    ends = Counter(
        (r.solver, r.reason if isinstance(r, BidUnopened) else "opened")
        for r in records
        if isinstance(r, BidReceived | BidUnopened)
    )
    assert sum(ends.values()) == committed.commitments
    names = {owner(name): name for name in NAMES}
    found = {(names[solver], reason) for solver, reason in ends}
    assert found == {
        ("first", "opened"),
        ("second", "opened"),
        ("noisy", "opened"),
        ("noisy", Reason.COMMITMENT_DUPLICATE.value),
        ("noisy", Reason.COMMITMENT_INVALID.value),
        ("silent", Reason.OPENING_MISSING.value),
        ("false", Reason.OPENING_INVALID.value),
    }
    assert isinstance(records[-1], Awarded)
    assert isinstance(records[-2], Closed)
    assert public_bid_key(records[-2].bid_secret) == sealed.bid_key


def test_whoever_does_not_open_broke_a_promise() -> None:
    """As who wins and does not settle: the circuit breaker counts it."""
    made = recorded_bids()
    log = made.log.log
    state = replayed(verify_entries(log, made.log.key), log, made.log.key).state
    fleet = state.fleet
    broke = {n for n in NAMES if fleet.standing.status(owner(n), fleet.at_ms).fade_bps}
    assert broke == {"silent", "false"}
    # Each withheld two: one costs the forfeit, the other what is left of the bond.
    left = {name: state.balances.get((owner(name), U), 0) for name in NAMES}
    assert 2 * FORFEIT > BOND > FORFEIT
    assert left == {name: 0 if name in broke else BOND for name in NAMES}


def test_nodes_can_show_that_they_were_in_time() -> None:
    """Task and receipts, signed by the engine, and the closing that names what came."""
    made = recorded_bids()
    engine = made.log.engine.public_key
    for name in ("first", "silent"):
        node = made.nodes[name]
        task = decode_task(
            envelope.open_envelope(node.tasks[0], Kind.TASK.payload_type, engine).body
        )
        assert (task.domain, task.auction_id, task.solver) == (DOMAIN, 1, owner(name))
        given = [
            decode_receipt(envelope.open_envelope(r, Kind.BID_RECEIPT.payload_type, engine).body)
            for r in node.receipts
        ]
        first = [r for r in given if r.auction_id == 1]
        digests = {d for r in first if not r.opened for d in r.digests}
        assert digests
        assert all(r.received_ms <= task.deadline_ms for r in first if not r.opened)
        listed = decode_commitments(node.closings[0].commitments)
        assert digests <= {sha256(one.envelope).digest() for one in listed}
        # An opening has one too; who opens nothing has none.
        committed = decode_committed(envelope.decode(node.closings[0].committed).body)
        opened = [r for r in first if r.opened]
        assert {c for r in opened for c in r.opened} == (
            set() if name == "silent" else promised(listed, owner(name))
        )
        assert all(r.received_ms <= committed.open_until_ms for r in opened)


def promised(listed: Iterable[ReceivedCommitment], solver: bytes) -> set[bytes]:
    return {
        decode_commitment(envelope.decode(one.envelope).body).commitment
        for one in listed
        if one.solver == solver
    }


@pytest.mark.parametrize("at_once", [True, False])
def test_who_answers_much_before_it_reads_opens_all_of_it(tmp_path: Path, *, at_once: bool) -> None:
    """Many commitments in a message, or many messages: more than gRPC buffers receipts for."""
    most = 500  # twice that many bids, below the rules' limit

    async def many(task: ScriptedTask) -> AsyncIterator[bytes]:
        for factor in range(1, most + 1):
            for proposal in proposals(task):
                prices = {asset: factor * price for asset, price in proposal.prices.items()}
                yield task.bid(replace(proposal, prices=prices))

    async def play_one(play: Play) -> None:
        await play.add_nodes("many")
        node = play.nodes["many"]
        node.script, node.at_once = many, at_once
        async with play.running() as (engine, client):
            await fund(engine, client)
            await batch(play, engine, client)

    # The call ends with the last receipt: a long time to open costs none.
    play = Play(tmp_path, settings={**SETTINGS, "open_ms": 20_000})
    write_keys(tmp_path)
    made = asyncio.run(record(play, play_one))
    counts = made.log.audit(made.key)
    assert counts.bids >= most
    assert (counts.unopened, counts.winners > 0) == (0, True)


def evidence(*names: str) -> list[bytes]:
    nodes = [recorded_bids().nodes[name] for name in names]
    return [
        data
        for node in nodes
        for data in (*node.tasks, *node.receipts, *(c.committed for c in node.closings))
    ]


def held(kept: list[bytes], leaves: list[bytes] | None = None) -> Evidence:
    made = recorded_bids().log
    log = made.log
    return check_evidence(
        log.leaves if leaves is None else leaves, log.blob, made.engine.public_key, DOMAIN, kept
    )


def test_the_log_is_what_the_engines_word_says() -> None:
    kept = evidence(*NAMES)
    assert list(decode_evidence(encode_evidence(kept))) == kept
    found = held(kept)
    assert found.tasks + found.receipts + found.closings == len(kept)
    assert (found.void, found.later) == (0, 0)
    first = list(recorded_bids().log.log.leaves)
    cut = next(i for i, leaf in enumerate(first) if read_leaf(leaf) == of_auction(2)[0])
    assert held(kept, first[: cut - 1]).later > 0


@pytest.mark.parametrize("lie", ["dropped", "closing", "deadline", "late", "parts", "opening"])
def test_what_an_engine_signed_is_held_against_it(lie: str) -> None:
    made = recorded_bids()
    forgery = made.log.forgery()
    kept = evidence("first", "second")
    at = forgery.of(Committed, 2)
    if lie == "dropped":
        commitments = list(decode_commitments(forgery.blobs[forgery.read(at).commitments_digest]))
        recommit(forgery, 2, commitments[1:])
    elif lie == "closing":
        forgery.change(at, closed_ms=forgery.read(at).closed_ms + 1)
    elif lie == "late":
        commitments = list(decode_commitments(forgery.blobs[forgery.read(at).commitments_digest]))
        later = [replace(one, received_ms=one.received_ms + 1) for one in commitments]
        recommit(forgery, 2, later)
        kept = list(made.nodes["first"].receipts)
    elif lie == "opening":
        opened = forgery.of(BidReceived, 2)
        solver = forgery.read(opened).solver
        forgery.write(opened, BidUnopened(2, 0, solver, Reason.OPENING_MISSING.value))
    elif lie == "deadline":
        sealed = forgery.of(Sealed, 2)
        forgery.change(sealed, deadline_ms=forgery.read(sealed).deadline_ms + 1)
    else:
        forgery.change(forgery.of(Sealed, 2), dispatch_digest=b"")
    log = forgery.log()
    with pytest.raises(AuditFailure) as caught:
        check_evidence(log.leaves, log.blob, made.log.engine.public_key, DOMAIN, kept)
    assert caught.value.reason is Reason.RECEIPT_BROKEN
    assert caught.value.fields["auction_id"] == "2"


def test_a_log_that_ends_earlier_breaks_no_word() -> None:
    """Whoever holds an older copy of the log accuses nobody of what it does not reach."""
    leaves = recorded_bids().log.log.leaves
    kept = evidence(*NAMES)
    whole = held(kept)
    for end in range(1, len(leaves)):
        found = held(kept, leaves[:end])
        agreed = found.tasks + found.receipts + found.closings + found.void
        assert agreed + found.later == len(kept)
    assert whole.later == 0


def test_who_copies_a_commitment_makes_no_proof_of_it() -> None:
    """What somebody else did not open is not missing because a copier sent an opening for it."""
    made = recorded_bids()
    listed = decode_commitments(made.nodes["silent"].closings[0].commitments)
    withheld = min(promised(listed, owner("silent")))
    until = decode_committed(envelope.decode(made.nodes["silent"].closings[0].committed).body)
    copied = BidReceipt(DOMAIN, 1, owner("noisy"), (bytes(32),), until.open_until_ms, (withheld,))
    assert held([sign_record(copied, made.log.engine)]).receipts == 1
    own = sign_record(replace(copied, solver=owner("silent")), made.log.engine)
    with pytest.raises(AuditFailure) as caught:
        held([own])
    assert caught.value.reason is Reason.RECEIPT_BROKEN


def test_a_late_opening_is_late_by_its_receipt() -> None:
    """The engine says in the receipt that it came too late, and so it may be missing."""
    made = recorded_bids()
    forgery = made.log.forgery()
    opened = forgery.of(BidReceived, 2)
    solver = forgery.read(opened).solver
    name = next(name for name in ("first", "second") if owner(name) == solver)
    receipts = [decode_receipt(envelope.decode(one).body) for one in made.nodes[name].receipts]
    until = forgery.read(forgery.of(Committed, 2)).open_until_ms
    late = [
        sign_record(replace(one, received_ms=until + 1), made.log.engine)
        for one in receipts
        if one.opened and one.auction_id == 2
    ]
    assert late
    forgery.write(opened, BidUnopened(2, 0, solver, Reason.OPENING_MISSING.value))
    assert held(late, forgery.log().leaves).receipts == len(late)


def test_what_is_no_evidence() -> None:
    made = recorded_bids()
    stranger = sign_record(decode_as_task(made.nodes["first"].tasks[0]), signer("mallory"))
    leaf = made.log.log.leaves[0]
    for kept, reason in (
        (stranger, Reason.SIGNER_UNKNOWN),
        (leaf, Reason.PAYLOAD_TYPE_WRONG),
        (b"x", Reason.ENVELOPE_MALFORMED),
    ):
        with pytest.raises(InvalidInput) as caught:
            held([kept])
        assert caught.value.reason is reason
    with pytest.raises(InvalidInput):
        list(decode_evidence(encode_evidence([b"abc"])[:-1]))


def decode_as_task(data: bytes) -> Task:
    return decode_task(envelope.decode(data).body)


@pytest.mark.parametrize("name", BID_ATTACKS)
def test_a_forger_of_bids_is_refused(name: str) -> None:
    attack, reason = BID_ATTACKS[name]
    made = recorded_bids().log
    forgery = made.forgery()
    index = attack(forgery)
    forged = forgery.log()
    verified = verify_entries(forged, made.key)
    with pytest.raises(AuditFailure) as refusal:
        replay(verified, forged, made.key)
    assert refusal.value.reason is reason, refusal.value
    assert refusal.value.fields["index"] == str(index), refusal.value


SECRET = bytes(range(32))


def test_a_box_opens_to_what_was_committed_to_and_nothing_else() -> None:
    key = public_bid_key(SECRET)
    salt = bytes(32)
    commitment = sha256(b"a bid" + salt).digest()
    assert open_bid(seal_bid(b"a bid", salt, key), commitment, SECRET) == (b"a bid", salt)
    for sealed, wanted, secret in (
        (seal_bid(b"a bid", salt, key), bytes(32), SECRET),
        (seal_bid(b"another", salt, key), commitment, SECRET),
        (seal_bid(b"a bid", salt, key)[:-1], commitment, SECRET),
        (seal_bid(b"a bid", salt, key), commitment, bytes(32)),
        (b"", commitment, SECRET),
        (seal_bid(b"", b"short", key), sha256(b"short").digest(), SECRET),
    ):
        with pytest.raises(BidRejected) as caught:
            open_bid(sealed, wanted, secret)
        assert caught.value.reason is Reason.OPENING_INVALID


def test_no_key_of_small_order_is_sealed_to() -> None:
    assert is_bid_key(public_bid_key(SECRET))
    for bad in (b"", bytes(32), b"\x01" + bytes(31), bytes(31)):
        assert not is_bid_key(bad)
