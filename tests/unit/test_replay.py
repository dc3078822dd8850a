"""Levels B and C of the audit, over a log that a real engine wrote."""

from collections import Counter

import pytest
from support.audit.attacks import ATTACKS, awarded_by, closed_batch, settle_as
from support.audit.log_copy import read_leaf, signed_log
from support.audit.scenario import BROKEN, DOMAIN, W, owner, recorded, signer

from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import NoteKey
from walras.audit.replay import Replay
from walras.audit.verifier import replay, verify_entries
from walras.core.errors import AuditFailure, Reason
from walras.ledger.settlement import BUFFER
from walras.protocol.records import Awarded, BidReceived, BidRejectedRecord, Closed, Sealed, Settled


def test_the_honest_log_is_audited_to_the_last_number() -> None:
    made = recorded()
    counts = made.log.audit(made.key, earlier=[note for _, _, note in made.receipts])
    assert counts.records == Counter(
        {
            "genesis": 1,
            "rules": 1,
            "market": 2,
            "deposit": 1,
            "withdrawal": 2,
            "intent": 13,
            "cancel": 6,
            "opened": 6,
            "sealed": 5,
            "bid-received": 5 + 1 + len(BROKEN) + 3,
            "bid-rejected": len(BROKEN),
            "closed": 4,
            "awarded": 4,
            "settled": 4,
            "voided": 2,
            "fleet": 2,
            "observed": 3,
        }
    )
    assert counts.intents == Counter(filled=5, cancelled=5, expired=2, open=1)
    assert (counts.auctions, counts.voided) == (4, 2)
    assert (counts.bids, counts.rejected) == (9 + len(BROKEN), len(BROKEN))
    assert (counts.winners, counts.fills, counts.unproven) == (3 + 3, 5 + 3, 0)
    forgery = made.forgery()
    assert counts.score == sum(forgery.bundle(number).score for number in (1, 2, 5, 6))
    assert [forgery.bundle(number).score > 0 for number in (1, 2, 5, 6)] == [
        True,
        True,
        False,
        False,
    ]


def test_the_rejections_are_those_that_the_bids_ask_for() -> None:
    rejections = [
        r for r in map(read_leaf, recorded().log.leaves) if isinstance(r, BidRejectedRecord)
    ]
    assert [r.reason for r in rejections] == list(BROKEN)


def test_replayed_balances_add_up() -> None:
    """What was deposited less what was withdrawn is with owners, the buffer and the venues."""
    made = recorded()
    tree = Tree()
    machine = Replay(made.key.public_key, made.log.blob, tree.root)
    moved: Counter[str] = Counter()
    for leaf in made.log.leaves:
        before = dict(machine.state.market.venues.items())
        total = _held(machine)
        machine.apply(leaf)
        tree.append(leaf)
        if before != machine.state.market.venues or total != _held(machine):
            moved[type(read_leaf(leaf)).__name__] += 1
        if type(read_leaf(leaf)).__name__ == "Settled":
            assert _held(machine) == total
    assert moved == Counter(MarketUpdate=2, Deposit=1, Withdrawal=2, Settled=2)
    assert machine.state.balance(owner("bob"), W) == 11 * 10**18
    assert any(holder == BUFFER for holder, _ in machine.state.balances)


def _held(machine: Replay) -> Counter[str]:
    held: Counter[str] = Counter()
    for (_, asset), amount in machine.state.balances.items():
        held[asset] += amount
    for venue in machine.state.market.venues.values():
        for asset, reserve in zip(venue.assets, venue.reserves, strict=True):  # type: ignore[union-attr]  # pools all
            held[asset] += reserve
    return held


@pytest.mark.parametrize("name", ATTACKS)
def test_a_forger_with_the_engines_key_is_refused(name: str) -> None:
    attack, reason = ATTACKS[name]
    made = recorded()
    forgery = made.forgery()
    index = attack(forgery)
    forged = forgery.log()
    # The forgery is perfect on level A.
    verified = verify_entries(forged, made.key)
    with pytest.raises(AuditFailure) as refusal:
        replay(verified, forged, made.key)
    assert refusal.value.reason is reason, refusal.value
    assert refusal.value.fields["index"] == str(index), refusal.value


def test_ties_follow_the_closed_set_of_bids() -> None:
    """Other histories, with one more bid that is no bid: each award is recomputed and accepted."""
    made = recorded()
    outcomes = Counter[bytes]()
    for number in range(8):
        forgery = made.forgery()
        at, data = forgery.of(Closed, 1), b"%d" % number
        late = forgery.read(forgery.of(Sealed, 1))
        assert isinstance(late, Sealed)
        digest = forgery.blob(data)
        received = BidReceived(1, digest, owner("rogue"), late.sealed_ms)
        forgery.insert(at, received)
        rejected = BidRejectedRecord(1, digest, Reason.ENVELOPE_MALFORMED.value, ())
        forgery.insert(at + 1, rejected)
        batch = closed_batch(forgery, 1)
        forgery.write(at + 2, batch.record())
        proof, seed = forgery.vrf.prove(batch.tie_input())
        awarded = awarded_by(batch, seed)
        settle_as(forgery, awarded)
        forgery.change(forgery.of(Awarded, 1), tie_proof=proof)
        del forgery.leaves[forgery.of(Settled, 1) + 1 :]
        counts = forgery.log().audit(made.key)
        assert (counts.auctions, counts.bids) == (1, 6 + len(BROKEN) + 1)
        outcomes += Counter(winner.solver for winner in awarded.bundle().winners)
    # The coincidence of wants is the first node's, carol's sale the second's; the tie varies.
    assert outcomes.keys() == {owner("first"), owner("second")}
    assert outcomes.total() == 3 * 8
    assert 8 < outcomes[owner("first")] < 16


def test_every_prefix_that_the_engine_signed_is_audited_clean() -> None:
    """Not only the whole log: whoever stops at any receipt's checkpoint finds it in order."""
    made = recorded()
    for _, index, _ in made.receipts:
        part = signed_log(made.log.leaves[: index + 1], made.log.blobs, DOMAIN, made.engine)
        assert part.audit(made.key).records["intent"] >= 1


def test_a_log_of_another_domain_than_its_genesis_is_refused() -> None:
    made = recorded()
    other = NoteKey("elsewhere", made.engine.public_key)
    log = signed_log(made.log.leaves, made.log.blobs, "elsewhere", made.engine)
    with pytest.raises(AuditFailure) as refusal:
        log.audit(other)
    assert refusal.value.reason is Reason.CHECKPOINT_INVALID


def test_a_log_signed_by_another_engine_is_refused() -> None:
    made = recorded()
    thief: Signer = signer("mallory")
    log = signed_log(made.log.leaves, made.log.blobs, DOMAIN, thief)
    with pytest.raises(AuditFailure) as refusal:
        log.audit(made.key)
    assert refusal.value.reason is Reason.CHECKPOINT_INVALID
    with pytest.raises(AuditFailure) as refusal:
        log.audit(NoteKey(DOMAIN, thief.public_key))
    assert refusal.value.reason is Reason.RECORD_UNAUTHORISED
    assert refusal.value.fields["index"] == "0"
