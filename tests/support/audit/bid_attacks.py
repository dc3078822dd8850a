"""What somebody who owns the engine's key may try with sealed bids. As `attacks`, on the log of
`bid_scenario`.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from support.audit.attacks import Attack, awarded_by, closed_batch, replayed, seed, settle_as
from support.audit.log_copy import Forgery
from support.audit.scenario import owner
from walras.audit import envelope
from walras.audit.openings import commitment_to, public_bid_key, seal_bid
from walras.audit.phases import Bidding
from walras.core.errors import Reason
from walras.protocol.dispatch import decode_dispatch
from walras.protocol.records import Awarded, BidReceived, Closed, Sealed, Settled, Voided
from walras.protocol.sealed_bids import (
    BidUnopened,
    Commitment,
    Committed,
    Opening,
    ReceivedCommitment,
    decode_commitment,
    decode_commitments,
    encode_commitments,
)

BID_ATTACKS: dict[str, tuple[Attack, Reason]] = {}
"""Name → the attack, and the reason for which it must be refused."""


def refused_for(reason: Reason) -> Callable[[Attack], Attack]:
    def register(attack: Attack) -> Attack:
        BID_ATTACKS[attack.__name__] = (attack, reason)
        return attack

    return register


def commitments(forgery: Forgery, auction_id: int) -> list[ReceivedCommitment]:
    record = forgery.read(forgery.of(Committed, auction_id))
    return list(decode_commitments(forgery.blobs[record.commitments_digest]))


def recommit(forgery: Forgery, auction_id: int, made: list[ReceivedCommitment]) -> int:
    """Close another list of commitments; returns the record's index."""
    digest = forgery.blob(encode_commitments(made))
    at = forgery.of(Committed, auction_id)
    return forgery.change(at, commitments=len(made), commitments_digest=digest)


@refused_for(Reason.COMMITMENT_MISMATCH)
def commitment_dropped_after_it_was_opened(forgery: Forgery) -> int:
    made = commitments(forgery, 2)
    recommit(forgery, 2, made[1:])
    return forgery.of(BidReceived, 2)


@refused_for(Reason.COMMITMENT_MISMATCH)
def commitments_in_another_order(forgery: Forgery) -> int:
    recommit(forgery, 2, commitments(forgery, 2)[::-1])
    return forgery.of(BidReceived, 2)


@refused_for(Reason.COMMITMENT_MISMATCH)
def bid_that_nobody_committed_to(forgery: Forgery) -> int:
    at = forgery.of(Closed, 2)
    last = forgery.read(forgery.of(BidReceived, 2))
    return forgery.insert(at, last)


@refused_for(Reason.COMMITMENT_MISMATCH)
def other_bid_than_was_committed_to(forgery: Forgery) -> int:
    """The last look: a bid of the engine's friend, made when the others were open."""
    at = forgery.of(BidReceived, 2)
    record = forgery.read(at)
    found = forgery.blobs[record.bid_digest]
    made = forgery.blob(found[:-1] + bytes([found[-1] ^ 1]))
    return forgery.change(at, bid_digest=made)


@refused_for(Reason.COMMITMENT_MISMATCH)
def another_salt(forgery: Forgery) -> int:
    return forgery.change(forgery.of(BidReceived, 2), salt=bytes(32))


@refused_for(Reason.COMMITMENT_MISMATCH)
def bid_received_at_another_time(forgery: Forgery) -> int:
    at = forgery.of(BidReceived, 2)
    return forgery.change(at, received_ms=forgery.read(at).received_ms - 1)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def late_commitment_taken(forgery: Forgery) -> int:
    sealed = forgery.read(forgery.of(Sealed, 2))
    assert isinstance(sealed, Sealed)
    first, *others = commitments(forgery, 2)
    late = replace(first, received_ms=sealed.deadline_ms + 1)
    return recommit(forgery, 2, [late, *others])


@refused_for(Reason.RECORD_UNAUTHORISED)
def commitment_of_a_stranger(forgery: Forgery) -> int:
    first, *others = commitments(forgery, 2)
    return recommit(forgery, 2, [replace(first, solver=owner("mallory")), *others])


@refused_for(Reason.COMMITMENT_MISMATCH)
def number_of_commitments_one_more(forgery: Forgery) -> int:
    at = forgery.of(Committed, 2)
    return forgery.change(at, commitments=forgery.read(at).commitments + 1)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def bids_open_before_the_closing(forgery: Forgery) -> int:
    at = forgery.of(Committed, 2)
    forgery.move(at, forgery.of(Closed, 2) - 1)
    return at


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def commitments_closed_twice(forgery: Forgery) -> int:
    at = forgery.of(Committed, 2)
    return forgery.insert(at + 1, forgery.read(at))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def no_commitments_in_the_log(forgery: Forgery) -> int:
    at = forgery.of(Committed, 2)
    del forgery.leaves[at]
    return at


@refused_for(Reason.BID_UNACCOUNTED)
def opened_bid_forgotten(forgery: Forgery) -> int:
    """The last of them, so that nothing is out of order before the closing."""
    at = forgery.of(Closed, 2)
    assert isinstance(forgery.read(at - 1), BidReceived)
    del forgery.leaves[at - 1]
    return at - 1


@refused_for(Reason.COMMITMENT_MISMATCH)
def opened_bid_said_to_be_invalid(forgery: Forgery) -> int:
    """The bid was opened as it must be; the opening itself shows it."""
    at = forgery.of(BidReceived, 2)
    bid = forgery.read(at)
    key = forgery.read(forgery.of(Sealed, 2)).bid_key
    first = commitments(forgery, 2)[0]
    wanted = decode_commitment(envelope.decode(first.envelope).body)
    sealed = seal_bid(forgery.blobs[bid.bid_digest], bid.salt, key)
    opening = Opening(wanted.domain, 2, wanted.solver, wanted.commitment, sealed)
    digest = forgery.blob(forgery.seal(opening))
    forgery.write(at, BidUnopened(2, 0, bid.solver, Reason.OPENING_INVALID.value, digest))
    return forgery.of(Closed, 2)


@refused_for(Reason.COMMITMENT_MISMATCH)
def opening_that_its_solver_did_not_sign(forgery: Forgery) -> int:
    """The engine throws the opening away, and says that another came, which opens nothing."""
    at = forgery.of(BidReceived, 2)
    bid = forgery.read(at)
    wanted = decode_commitment(envelope.decode(commitments(forgery, 2)[0].envelope).body)
    opening = Opening(wanted.domain, 2, wanted.solver, wanted.commitment, b"nothing")
    digest = forgery.blob(forgery.seal(opening, forgery.engine))
    forgery.write(at, BidUnopened(2, 0, bid.solver, Reason.OPENING_INVALID.value, digest))
    return forgery.of(Closed, 2)


@refused_for(Reason.COMMITMENT_MISMATCH)
def opening_of_another_auction(forgery: Forgery) -> int:
    """What the solver signed for one batch says nothing of its commitment in another."""
    at = forgery.of(BidReceived, 2)
    bid = forgery.read(at)
    wanted = decode_commitment(envelope.decode(commitments(forgery, 2)[0].envelope).body)
    opening = Opening(wanted.domain, 1, wanted.solver, wanted.commitment, b"nothing")
    digest = forgery.blob(forgery.seal(opening))
    forgery.write(at, BidUnopened(2, 0, bid.solver, Reason.OPENING_INVALID.value, digest))
    return forgery.of(Closed, 2)


@refused_for(Reason.COMMITMENT_MISMATCH)
def no_time_to_open(forgery: Forgery) -> int:
    at = forgery.of(Committed, 2)
    return forgery.change(at, open_until_ms=forgery.read(at).closed_ms - 1)


@refused_for(Reason.COMMITMENT_MISMATCH)
def commitment_that_counts_called_none(forgery: Forgery) -> int:
    at = forgery.of(BidReceived, 2)
    bid = forgery.read(at)
    return forgery.write(at, BidUnopened(2, 0, bid.solver, Reason.COMMITMENT_INVALID.value))


@refused_for(Reason.COMMITMENT_MISMATCH)
def unopened_for_another_reason(forgery: Forgery) -> int:
    at = forgery.find(BidUnopened, lambda r: r.reason == Reason.COMMITMENT_DUPLICATE)
    return forgery.change(at, reason=Reason.OPENING_MISSING.value)


@refused_for(Reason.COMMITMENT_MISMATCH)
def unopened_laid_at_anothers_door(forgery: Forgery) -> int:
    at = forgery.of(BidUnopened, 1)
    plan = decode_dispatch(forgery.blobs[forgery.read(forgery.of(Sealed, 1)).dispatch_digest])
    others = [node.public_key for node in plan.nodes]
    mine = forgery.read(at).solver
    return forgery.change(at, solver=next(key for key in others if key != mine))


@refused_for(Reason.COMMITMENT_MISMATCH)
def secret_of_another_batch(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Closed, 2), bid_secret=sha256(b"another").digest())


@refused_for(Reason.FIELD_INVALID)
def secret_too_short(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Closed, 2), bid_secret=b"short")


@refused_for(Reason.COMMITMENT_MISMATCH)
def bids_sealed_in_the_open(forgery: Forgery) -> int:
    """The rules ask for sealed bids, and the batch has no key to seal them to."""
    return forgery.change(forgery.of(Sealed, 2), bid_key=b"")


@refused_for(Reason.COMMITMENT_MISMATCH)
def other_key_to_seal_to(forgery: Forgery) -> int:
    """One whose secret somebody else has; it comes out when the secret is due."""
    forgery.change(forgery.of(Sealed, 2), bid_key=public_bid_key(sha256(b"mine").digest()))
    return forgery.of(Closed, 2)


@refused_for(Reason.TIE_MISMATCH)
def ties_over_a_smaller_set(forgery: Forgery) -> int:
    """As if the last commitment had not come: the set would have given other ties."""
    phase = replayed(forgery, forgery.of(Closed, 2))._phase
    assert isinstance(phase, Bidding)
    assert phase.committed is not None
    kept = [one for one in phase.committed.outcomes if isinstance(one, Commitment)][:-1]
    digest = sha256(b"".join(sorted(one.commitment for one in kept))).digest()
    batch = replace(closed_batch(forgery, 2), set_digest=digest)
    proof, _ = forgery.vrf.prove(batch.tie_input())
    settle_as(forgery, awarded_by(batch, seed(forgery, batch)))
    return forgery.change(forgery.of(Awarded, 2), tie_proof=proof)


@refused_for(Reason.BID_UNACCOUNTED)
def voided_when_the_bids_were_open(forgery: Forgery) -> int:
    at = forgery.of(Closed, 2)
    del forgery.leaves[at : forgery.of(Settled, 2) + 1]
    return forgery.insert(at, Voided(2, Reason.BATCH_INTERRUPTED.value))


@refused_for(Reason.PAYLOAD_TYPE_WRONG)
def commitment_as_an_entry(forgery: Forgery) -> int:
    forgery.leaves.append(commitments(forgery, 2)[0].envelope)
    return len(forgery.leaves) - 1


@refused_for(Reason.COMMITMENT_MISMATCH)
def commitment_of_a_friend_slipped_in(forgery: Forgery) -> int:
    """Made when the others were open; then each bid stands where another is due."""
    first, *others = commitments(forgery, 2)
    found = decode_commitment(envelope.decode(first.envelope).body)
    made = forgery.seal(replace(found, commitment=commitment_to(b"better", bytes(32))))
    recommit(forgery, 2, [replace(first, envelope=made), first, *others])
    return forgery.of(BidReceived, 2)


@refused_for(Reason.BLOB_MISMATCH)
def list_of_commitments_exchanged(forgery: Forgery) -> int:
    """Under the digest that was signed and shown."""
    at = forgery.of(Committed, 2)
    digest = forgery.read(at).commitments_digest
    forgery.blobs[digest] = encode_commitments(commitments(forgery, 2)[1:])
    return at
