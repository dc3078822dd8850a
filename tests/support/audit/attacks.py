"""What somebody who owns the engine's key may try, each with how the auditor must answer.

Every attack rewrites the log, signs it anew, and returns the index of the entry to be named.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from support.audit.log_copy import Forgery
from support.audit.scenario import DOMAIN, U, W, owner, signer
from walras.auction.award import award
from walras.auction.batch import AwardedBatch, ClosedBatch
from walras.auction.candidates import ScoredBid
from walras.auction.observed import withheld
from walras.audit import envelope
from walras.audit.merkle import Tree
from walras.audit.phases import Bidding
from walras.audit.replay import Replay
from walras.audit.vrf import VrfKey
from walras.core.bids import Bundle, SettledFill
from walras.core.errors import Reason
from walras.core.intents import Intent
from walras.market.kinds import ConstantProduct, Rfq
from walras.protocol.dispatch import decode_dispatch, encode_dispatch
from walras.protocol.problem import Price, Problem, Rules
from walras.protocol.records import (
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Cancel,
    Closed,
    Credit,
    Deposit,
    Genesis,
    MarketUpdate,
    Opened,
    RulesSet,
    Sealed,
    Settled,
    Voided,
    Withdrawal,
)
from walras.protocol.trade import decode_bid, encode_problem
from walras.protocol.values import encode_balances
from walras.protocol.venues import encode_venues

Attack = Callable[[Forgery], int]

ATTACKS: dict[str, tuple[Attack, Reason]] = {}
"""Name → the attack, and the reason for which it must be refused."""


def refused_for(reason: Reason) -> Callable[[Attack], Attack]:
    def register(attack: Attack) -> Attack:
        ATTACKS[attack.__name__] = (attack, reason)
        return attack

    return register


# what the forger works out with the engine's own code


def replayed(forgery: Forgery, end: int) -> Replay:
    """The log's first `end` entries, as an auditor reads them."""
    tree = Tree()
    machine = Replay(forgery.engine.public_key, forgery.blobs.__getitem__, tree.root)
    for leaf in forgery.leaves[:end]:
        machine.apply(leaf)
        tree.append(leaf)
    return machine


def closed_batch(forgery: Forgery, auction_id: int) -> ClosedBatch:
    """The batch as the log up to its closing gives it."""
    phase = replayed(forgery, forgery.of(Closed, auction_id))._phase
    assert isinstance(phase, Bidding)
    record = forgery.read(forgery.of(Closed, auction_id))
    assert isinstance(record, Closed)
    committed = phase.committed
    set_digest = committed.set_digest() if committed else b""
    unopened = tuple(phase.unopened)
    return phase.batch.close(phase.received, set_digest, record.bid_secret, unopened)


def sealed_problem(forgery: Forgery, auction_id: int) -> Problem:
    return closed_batch(forgery, auction_id).sealed.problem


def seed(forgery: Forgery, batch: ClosedBatch) -> bytes:
    return forgery.vrf.prove(batch.tie_input())[1]


def award_among(
    forgery: Forgery, auction_id: int, admit: Callable[[ScoredBid], bool]
) -> AwardedBatch:
    """The award that the rules give if only the admitted bids had come."""
    batch = closed_batch(forgery, auction_id)
    bids = [b for b in batch.bids if isinstance(b.outcome, ScoredBid) and admit(b.outcome)]
    return awarded_by(replace(batch, bids=tuple(bids)), seed(forgery, batch))


def awarded_by(batch: ClosedBatch, tie_seed: bytes) -> AwardedBatch:
    """As the engine makes it."""
    return AwardedBatch(batch.sealed, award(batch.sealed.problem, batch.scored(), tie_seed))


def settle_as(forgery: Forgery, awarded: AwardedBatch) -> int:
    """Put the bundle of another award into the log; returns the award's index."""
    forgery.blob(awarded.certificate())
    return forgery.rebundle(awarded.sealed.auction_id, awarded.bundle())


def settle_again(forgery: Forgery, batch: ClosedBatch, awarded: AwardedBatch) -> None:
    """Award and settle otherwise, with the states that follow, and end the log there."""
    end = forgery.of(Settled, batch.sealed.auction_id)
    settle_as(forgery, awarded)
    touched = replayed(forgery, end).state.settle(awarded.award.winners, withheld(batch))
    balances = forgery.blob(encode_balances(touched.balances))
    venues = forgery.blob(encode_venues(touched.venues))
    forgery.change(end, balances_digest=balances, venues_digest=venues)
    del forgery.leaves[end + 1 :]


def reseal(forgery: Forgery, auction_id: int, **changes: object) -> int:
    """Seal another problem."""
    problem = replace(sealed_problem(forgery, auction_id), **changes)  # type: ignore[arg-type]  # any fields
    digest = forgery.blob(encode_problem(problem))
    return forgery.change(forgery.of(Sealed, auction_id), problem_digest=digest)


def rebundled(reason: Reason, name: str, change: Callable[[Bundle], Bundle]) -> None:
    """Register the attack that changes the bundle of auction 1."""

    def attack(forgery: Forgery) -> int:
        return forgery.rebundle(1, change(forgery.bundle(1)))

    ATTACKS[name] = (attack, reason)


# the award


@refused_for(Reason.AWARD_MISMATCH)
def best_bid_left_out_of_the_award(forgery: Forgery) -> int:
    best = max(forgery.bundle(1).winners, key=lambda winner: winner.score)
    return settle_as(forgery, award_among(forgery, 1, lambda bid: bid.id != best.bid_id))


@refused_for(Reason.AWARD_INCOMPATIBLE)
def winner_replaced_by_a_loser(forgery: Forgery) -> int:
    """Alice alone through the pool instead of alice with bob; all the rest follows from that."""
    honest = award_among(forgery, 1, lambda _: True)
    best = max(honest.award.winners, key=lambda bid: bid.score)
    won = {bid.id for bid in honest.award.winners}
    # The best of them: one that a better one dominates is refused for that.
    loser = max(
        (
            bid.outcome
            for bid in closed_batch(forgery, 1).bids
            if isinstance(bid.outcome, ScoredBid)
            and bid.outcome.id not in won
            and "wu" in bid.outcome.venues
        ),
        key=lambda bid: bid.score,
    )
    others = [bid for bid in honest.award.winners if bid is not best]
    winners = sorted([*others, loser], key=lambda bid: bid.id)
    score = sum(bid.score for bid in winners)
    award = replace(honest.award, winners=tuple(winners), score=score)
    return settle_as(forgery, AwardedBatch(honest.sealed, award))


@refused_for(Reason.CERTIFICATE_INCOMPLETE)
def nobody_wins(forgery: Forgery) -> int:
    return settle_as(forgery, award_among(forgery, 1, lambda _: False))


@refused_for(Reason.AWARD_MISMATCH)
def award_in_an_empty_auction(forgery: Forgery) -> int:
    other = replace(
        forgery.bundle(1), auction_id=5, problem_digest=forgery.bundle(5).problem_digest
    )
    return forgery.rebundle(5, other)


@refused_for(Reason.TIE_MISMATCH)
def ties_drawn_by_another_key(forgery: Forgery) -> int:
    """Any of many keys may give the ties that are wanted."""
    batch = closed_batch(forgery, 1)
    proof, output = VrfKey.from_seed(sha256(b"a better one").digest()).prove(batch.tie_input())
    settle_as(forgery, awarded_by(batch, output))
    return forgery.change(forgery.of(Awarded, 1), tie_proof=proof)


@refused_for(Reason.TIE_MISMATCH)
def ties_of_another_auction(forgery: Forgery) -> int:
    batch = closed_batch(forgery, 1)
    proof, output = forgery.vrf.prove(closed_batch(forgery, 2).tie_input())
    settle_as(forgery, awarded_by(batch, output))
    return forgery.change(forgery.of(Awarded, 1), tie_proof=proof)


@refused_for(Reason.TIE_MISMATCH)
def ties_without_a_proof(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Awarded, 1), tie_proof=b"")


@refused_for(Reason.AWARD_MISMATCH)
def tie_steered(forgery: Forgery) -> int:
    """The award for another seed than the proof gives."""
    honest = forgery.bundle(1).winners
    batch = closed_batch(forgery, 1)
    tried = (awarded_by(batch, sha256(bytes([n])).digest()) for n in range(256))
    return settle_as(forgery, next(a for a in tried if a.bundle().winners != honest))


def _fill(bundle: Bundle, **change: int) -> Bundle:
    first, *others = bundle.fills
    changed = {name: getattr(first, name) + by for name, by in change.items()}
    return replace(bundle, fills=(replace(first, **changed), *others))


def _winner(bundle: Bundle, **change: object) -> Bundle:
    first, *others = bundle.winners
    return replace(bundle, winners=(replace(first, **change), *others))  # type: ignore[arg-type]  # any fields


def _reward(bundle: Bundle, **change: int) -> Bundle:
    first, *others = bundle.rewards
    changed = {name: getattr(first, name) + by for name, by in change.items()}
    return replace(bundle, rewards=(replace(first, **changed), *others))


for _name, _change in {
    "score_of_a_winner_one_more": lambda b: _winner(b, score=b.winners[0].score + 1),
    "score_of_a_winner_one_less": lambda b: _winner(b, score=b.winners[0].score - 1),
    "solver_of_a_winner_changed": lambda b: _winner(b, solver=owner("mallory")),
    "bid_digest_of_a_winner_changed": lambda b: _winner(b, bid_digest=bytes(32)),
    "winners_in_another_order": lambda b: replace(b, winners=b.winners[::-1]),
    "total_score_one_more": lambda b: replace(b, score=b.score + 1),
    "reward_one_more": lambda b: _reward(b, amount=1),
    "reward_one_less": lambda b: _reward(b, amount=-1),
    "reference_one_less": lambda b: _reward(b, reference=-1),
    "reward_left_out": lambda b: replace(b, rewards=b.rewards[1:]),
    "fill_one_unit_less": lambda b: _fill(b, units=-1),
    "settlement_one_atom_less": lambda b: _fill(b, settlement=-1),
    "settlement_one_atom_more": lambda b: _fill(b, settlement=1),
    "fill_left_out": lambda b: replace(b, fills=b.fills[1:]),
    "fill_twice": lambda b: replace(b, fills=(*b.fills, b.fills[0])),
    "fill_of_an_unknown_intent": lambda b: replace(
        b, fills=(*b.fills, SettledFill(sha256(b"nobody").digest(), 1, 1))
    ),
    "execution_twice": lambda b: replace(b, executions=(*b.executions, b.executions[-1])),
    "execution_left_out": lambda b: replace(b, executions=b.executions[:-1]),
    "executions_in_another_order": lambda b: replace(b, executions=b.executions[::-1]),
    "execution_pays_one_atom_less": lambda b: replace(
        b,
        executions=(
            replace(b.executions[0], amount_out=b.executions[0].amount_out - 1),
            *b.executions[1:],
        ),
    ),
    "bundle_of_another_problem": lambda b: replace(b, problem_digest=bytes(32)),
    "bundle_of_another_auction": lambda b: replace(b, auction_id=2),
    "bundle_of_another_engine": lambda b: replace(b, domain="elsewhere"),
}.items():
    rebundled(Reason.AWARD_MISMATCH, _name, _change)


@refused_for(Reason.AWARD_MISMATCH)
def venue_state_after_the_award_changed(forgery: Forgery) -> int:
    """One atom is taken from a pool, in the bundle and in the settlement alike."""
    venues = award_among(forgery, 1, lambda _: True).venues()
    pool = venues["wd"]
    assert isinstance(pool, ConstantProduct)
    venues["wd"] = replace(pool, reserves=(pool.reserves[0], pool.reserves[1] - 1))
    digest = forgery.blob(encode_venues(venues))
    forgery.change(forgery.of(Settled, 1), venues_digest=digest)
    return forgery.rebundle(1, replace(forgery.bundle(1), venues_digest=digest))


@refused_for(Reason.SIGNER_UNKNOWN)
def bundle_signed_by_another_key(forgery: Forgery) -> int:
    return forgery.rebundle(1, forgery.bundle(1), signer("mallory"))


@refused_for(Reason.PAYLOAD_TYPE_WRONG)
def bundle_of_another_type(forgery: Forgery) -> int:
    digest = forgery.blob(forgery.leaves[0])
    return forgery.change(forgery.of(Awarded, 1), bundle_digest=digest)


# the settlement


@refused_for(Reason.SETTLEMENT_MISMATCH)
def balances_after_settlement_changed(forgery: Forgery) -> int:
    at = forgery.of(Settled, 1)
    digest = forgery.blob(encode_balances({(owner("mallory"), U): 10**12}))
    return forgery.change(at, balances_digest=digest)


@refused_for(Reason.SETTLEMENT_MISMATCH)
def venues_after_settlement_changed(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Settled, 1), venues_digest=forgery.blob(encode_venues({})))


@refused_for(Reason.SETTLEMENT_MISMATCH)
def another_bundle_settled(forgery: Forgery) -> int:
    settled = forgery.read(forgery.of(Awarded, 2))
    assert isinstance(settled, Awarded)
    return forgery.change(forgery.of(Settled, 1), bundle_digest=settled.bundle_digest)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def settlement_missing(forgery: Forgery) -> int:
    """A withdrawal stands next, and finds the batch undecided."""
    at = forgery.of(Settled, 1)
    del forgery.leaves[at]
    return at


@refused_for(Reason.LOG_INCOMPLETE)
def log_cut_before_a_settlement(forgery: Forgery) -> int:
    at = forgery.of(Settled, 2)
    del forgery.leaves[at:]
    return at


@refused_for(Reason.LOG_INCOMPLETE)
def log_cut_before_a_closing(forgery: Forgery) -> int:
    at = forgery.of(Closed, 2)
    del forgery.leaves[at:]
    return at


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def settlement_twice(forgery: Forgery) -> int:
    at = forgery.of(Settled, 1)
    return forgery.insert(at + 1, forgery.read(at))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def award_missing(forgery: Forgery) -> int:
    at = forgery.of(Awarded, 1)
    del forgery.leaves[at]
    return at


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def award_twice(forgery: Forgery) -> int:
    at = forgery.of(Awarded, 1)
    return forgery.insert(at + 1, forgery.read(at))


# bids and rejections


@refused_for(Reason.BID_UNACCOUNTED)
def best_bid_left_out_of_the_closing(forgery: Forgery) -> int:
    best = max(forgery.bundle(1).winners, key=lambda winner: winner.score)
    batch = closed_batch(forgery, 1)
    kept = replace(batch, bids=tuple(b for b in batch.bids if b.digest != best.bid_digest))
    at = forgery.write(forgery.of(Closed, 1), kept.record())
    settle_as(forgery, awarded_by(kept, seed(forgery, kept)))
    return at


@refused_for(Reason.BID_UNACCOUNTED)
def closing_over_other_bids(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Closed, 1), bids_digest=bytes(32))


@refused_for(Reason.BID_UNACCOUNTED)
def closing_of_another_problem(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Closed, 1), problem_digest=bytes(32))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def bid_after_the_closing(forgery: Forgery) -> int:
    late = forgery.move(forgery.of(BidReceived, 2), forgery.of(Closed, 2))
    forgery.write(forgery.of(Closed, 2), closed_batch(forgery, 2).record())
    return late


@refused_for(Reason.BID_UNACCOUNTED)
def bid_twice_without_rejection(forgery: Forgery) -> int:
    """The same bid comes again and is not called a duplicate."""
    at = forgery.of(BidReceived, 2)
    forgery.insert(at + 1, forgery.read(at))
    return forgery.of(Closed, 2)


@refused_for(Reason.REJECTION_MISMATCH)
def rejection_for_the_wrong_reason(forgery: Forgery) -> int:
    at = forgery.find(BidRejectedRecord, lambda r: r.reason == Reason.LIMIT_BROKEN)
    return forgery.change(at, reason=Reason.COLLAR_BROKEN.value)


@refused_for(Reason.REJECTION_MISMATCH)
def rejection_with_wrong_numbers(forgery: Forgery) -> int:
    at = forgery.find(BidRejectedRecord, lambda r: r.reason == Reason.LIMIT_BROKEN)
    record = forgery.read(at)
    assert isinstance(record, BidRejectedRecord)
    (name, value), *others = record.details
    return forgery.change(at, details=((name, value + "0"), *others))


@refused_for(Reason.REJECTION_MISMATCH)
def rejection_of_a_valid_bid(forgery: Forgery) -> int:
    at = forgery.of(BidReceived, 2)
    bid = forgery.read(at)
    assert isinstance(bid, BidReceived)
    record = BidRejectedRecord(2, bid.bid_digest, Reason.LIMIT_BROKEN.value, ())
    return forgery.insert(at + 1, record)


@refused_for(Reason.REJECTION_MISMATCH)
def rejection_twice(forgery: Forgery) -> int:
    at = forgery.find(BidRejectedRecord, lambda r: r.reason == Reason.BID_DUPLICATE)
    return forgery.insert(at + 1, forgery.read(at))


@refused_for(Reason.BID_UNACCOUNTED)
def rejection_missing(forgery: Forgery) -> int:
    """Of the last bid that breaks a rule: nothing shows it before the closing."""
    del forgery.leaves[forgery.find(BidRejectedRecord, lambda r: r.reason == Reason.BID_DUPLICATE)]
    return forgery.of(Closed, 1)


@refused_for(Reason.REJECTION_MISMATCH)
def earlier_rejection_missing(forgery: Forgery) -> int:
    """The next rejection stands where the missing one is due."""
    at = forgery.of(BidRejectedRecord, 1)
    del forgery.leaves[at]
    return forgery.of(BidRejectedRecord, 1)


@refused_for(Reason.BID_UNACCOUNTED)
def bid_that_breaks_a_rule_accepted(forgery: Forgery) -> int:
    """A bid whose execution pays one atom too many takes part in all that follows."""
    at = forgery.of(BidReceived, 2)
    bid = forgery.read(at)
    assert isinstance(bid, BidReceived)
    honest = decode_bid(envelope.decode(forgery.blobs[bid.bid_digest]).body)
    (step,) = honest.proposal.executions
    greedy = replace(step, amount_out=step.amount_out + 1)
    made = replace(honest, proposal=replace(honest.proposal, executions=(greedy,)))
    digest = forgery.blob(forgery.seal(made, forgery.keys[bid.solver]))
    forgery.change(at, bid_digest=digest)
    closed = forgery.write(forgery.of(Closed, 2), closed_batch(forgery, 2).record())
    settle_as(forgery, award_among(forgery, 2, lambda _: True))
    return closed


@refused_for(Reason.RECORD_UNAUTHORISED)
def bid_of_a_solver_that_was_not_asked(forgery: Forgery) -> int:
    return forgery.change(forgery.of(BidReceived, 2), solver=owner("mallory"))


@refused_for(Reason.DISPATCH_MISMATCH)
def solver_that_was_asked_left_out_of_the_dispatch(forgery: Forgery) -> int:
    sealed = forgery.read(forgery.of(Sealed, 2))
    bid = forgery.read(forgery.of(BidReceived, 2))
    assert isinstance(sealed, Sealed)
    assert isinstance(bid, BidReceived)
    plan = decode_dispatch(forgery.blobs[sealed.dispatch_digest])
    (gone,) = (at for at, node in enumerate(plan.nodes) if node.public_key == bid.solver)
    parts = tuple(
        replace(part, nodes=tuple(at for at in part.nodes if at != gone), asked=part.asked - 1)
        for part in plan.parts
    )
    digest = forgery.blob(encode_dispatch(replace(plan, parts=parts)))
    return forgery.change(forgery.of(Sealed, 2), dispatch_digest=digest)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def bid_after_the_deadline(forgery: Forgery) -> int:
    sealed = forgery.read(forgery.of(Sealed, 2))
    assert isinstance(sealed, Sealed)
    return forgery.change(forgery.of(BidReceived, 2), received_ms=sealed.deadline_ms + 1)


@refused_for(Reason.BID_UNACCOUNTED)
def auction_voided_for_its_bids(forgery: Forgery) -> int:
    at = forgery.of(Closed, 2)
    del forgery.leaves[at : forgery.of(Settled, 2) + 1]
    return forgery.insert(at, Voided(2, Reason.BATCH_INTERRUPTED.value))


# the problem


@refused_for(Reason.PROBLEM_MISMATCH)
def intent_left_out_of_the_problem(forgery: Forgery) -> int:
    intents = dict(sealed_problem(forgery, 1).intents)
    del intents[min(intents)]
    return reseal(forgery, 1, intents=intents)


@refused_for(Reason.PROBLEM_MISMATCH)
def fewer_units_in_the_problem(forgery: Forgery) -> int:
    intents = dict(sealed_problem(forgery, 1).intents)
    first = min(intents)
    intents[first] = replace(intents[first], remaining=intents[first].remaining - 1)
    return reseal(forgery, 1, intents=intents)


@refused_for(Reason.PROBLEM_MISMATCH)
def filled_intent_in_the_problem_again(forgery: Forgery) -> int:
    filled = sealed_problem(forgery, 1).intents[forgery.bundle(1).fills[0].intent_id]
    intents = {**sealed_problem(forgery, 2).intents, filled.id: filled}
    return reseal(forgery, 2, intents=intents)


@refused_for(Reason.PROBLEM_MISMATCH)
def balance_in_the_problem_changed(forgery: Forgery) -> int:
    balances = dict(sealed_problem(forgery, 1).balances)
    balances[min(balances)] += 1
    return reseal(forgery, 1, balances=balances)


@refused_for(Reason.PROBLEM_MISMATCH)
def price_in_the_problem_changed(forgery: Forgery) -> int:
    prices = dict(sealed_problem(forgery, 1).prices)
    return reseal(forgery, 1, prices=prices | {W: Price(prices[W].amount + 1, "test")})


@refused_for(Reason.PROBLEM_MISMATCH)
def source_of_a_price_changed(forgery: Forgery) -> int:
    prices = dict(sealed_problem(forgery, 1).prices)
    return reseal(forgery, 1, prices=prices | {W: Price(prices[W].amount, "elsewhere")})


@refused_for(Reason.PROBLEM_MISMATCH)
def venue_in_the_problem_changed(forgery: Forgery) -> int:
    venues = dict(sealed_problem(forgery, 1).venues)
    return reseal(forgery, 1, venues=venues | {"wu": replace(venues["wu"], cost=0)})


@refused_for(Reason.PROBLEM_MISMATCH)
def rules_in_the_problem_changed(forgery: Forgery) -> int:
    return reseal(forgery, 1, rules=Rules(collar_bps=10_000))


@refused_for(Reason.PROBLEM_MISMATCH)
def problem_of_another_time(forgery: Forgery) -> int:
    return reseal(forgery, 2, sealed_ms=sealed_problem(forgery, 2).sealed_ms + 1)


@refused_for(Reason.PROBLEM_MISMATCH)
def sealed_at_another_time_than_its_problem(forgery: Forgery) -> int:
    """A decay would stand elsewhere."""
    sealed = forgery.read(forgery.of(Sealed, 2))
    assert isinstance(sealed, Sealed)
    return forgery.change(forgery.of(Sealed, 2), sealed_ms=sealed.sealed_ms + 1)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def sealed_before_its_time(forgery: Forgery) -> int:
    opened = forgery.read(forgery.of(Opened, 1))
    assert isinstance(opened, Opened)
    return forgery.change(forgery.of(Sealed, 1), sealed_ms=opened.seal_after_ms - 1)


@refused_for(Reason.PROBLEM_MISMATCH)
def opened_under_other_rules(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Opened, 1), rules_digest=bytes(32))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def rules_changed_within_a_batch(forgery: Forgery) -> int:
    return forgery.insert(forgery.of(Sealed, 1), RulesSet(Rules(collar_bps=1)))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def market_update_within_a_batch(forgery: Forgery) -> int:
    at = forgery.find(MarketUpdate, lambda record: record.nonce == 3)
    return forgery.move(at, forgery.of(Closed, 1))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def withdrawal_within_a_batch(forgery: Forgery) -> int:
    return forgery.move(forgery.find(Withdrawal), forgery.of(Closed, 1))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def withdrawal_between_award_and_settlement(forgery: Forgery) -> int:
    return forgery.move(forgery.find(Withdrawal), forgery.of(Settled, 1))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def auction_id_skipped(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Opened, 5), auction_id=6)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def auction_id_repeated(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Opened, 2), auction_id=1)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def award_of_another_auction(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Awarded, 1), auction_id=2)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def opened_while_another_is_open(forgery: Forgery) -> int:
    at = forgery.of(Voided, 3)
    del forgery.leaves[at]
    return forgery.of(Opened, 4)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def settled_auction_voided(forgery: Forgery) -> int:
    return forgery.insert(forgery.of(Settled, 1) + 1, Voided(1, Reason.BATCH_INTERRUPTED.value))


# what users and operators did not sign


@refused_for(Reason.NONCE_USED)
def intent_replayed(forgery: Forgery) -> int:
    """The engine hands in a filled intent again, byte for byte."""
    forgery.leaves.append(forgery.leaves[forgery.find(Intent)])
    return len(forgery.leaves) - 1


@refused_for(Reason.NONCE_USED)
def nonce_used_by_another_intent(forgery: Forgery) -> int:
    intent = forgery.read(forgery.find(Intent))
    assert isinstance(intent, Intent)
    return forgery.insert(len(forgery.leaves), replace(intent, units=intent.units - 1))


@refused_for(Reason.NONCE_USED)
def withdrawal_replayed(forgery: Forgery) -> int:
    forgery.leaves.append(forgery.leaves[forgery.find(Withdrawal)])
    return len(forgery.leaves) - 1


@refused_for(Reason.NONCE_USED)
def deposit_replayed(forgery: Forgery) -> int:
    forgery.leaves.append(forgery.leaves[forgery.find(Deposit)])
    return len(forgery.leaves) - 1


@refused_for(Reason.SIGNER_UNKNOWN)
def deposit_by_a_stranger(forgery: Forgery) -> int:
    credit = Credit(owner("mallory"), U, 10**15)
    return forgery.insert(len(forgery.leaves), Deposit(DOMAIN, owner("mallory"), 1, (credit,)))


@refused_for(Reason.RECORD_UNAUTHORISED)
def deposit_in_an_operators_name(forgery: Forgery) -> int:
    genesis = forgery.read(0)
    assert isinstance(genesis, Genesis)
    deposit = Deposit(DOMAIN, genesis.operators[0], 99, (Credit(owner("mallory"), U, 10**15),))
    return forgery.insert(len(forgery.leaves), deposit, signer("mallory"))


@refused_for(Reason.SIGNER_UNKNOWN)
def market_update_by_a_stranger(forgery: Forgery) -> int:
    update = MarketUpdate(DOMAIN, owner("mallory"), 1, prices={W: Price(1, "mallory")})
    return forgery.insert(forgery.of(Opened, 1), update)


@refused_for(Reason.SIGNATURE_INVALID)
def quote_that_its_maker_did_not_sign(forgery: Forgery) -> int:
    at = forgery.find(MarketUpdate, lambda record: record.nonce == 3)
    record = forgery.read(at)
    assert isinstance(record, MarketUpdate)
    terms = (owner("alice"), 1_000, 10**18, 10**12, 1 << 60)
    quote = Rfq("quote", 0, (W, U), *terms, bytes(64), 10**18)
    return forgery.change(at, venues=(*record.venues, quote))


@refused_for(Reason.RECORD_UNAUTHORISED)
def intent_in_anothers_name(forgery: Forgery) -> int:
    at = forgery.find(Intent)
    return forgery.write(at, forgery.read(at), signer("mallory"))


@refused_for(Reason.RECORD_UNAUTHORISED)
def intent_signed_by_the_engine(forgery: Forgery) -> int:
    at = forgery.find(Intent)
    return forgery.write(at, forgery.read(at), forgery.engine)


@refused_for(Reason.RECORD_UNAUTHORISED)
def award_signed_by_a_stranger(forgery: Forgery) -> int:
    at = forgery.of(Awarded, 1)
    return forgery.write(at, forgery.read(at), signer("mallory"))


@refused_for(Reason.BALANCE_INSUFFICIENT)
def withdrawal_of_more_than_there_is(forgery: Forgery) -> int:
    record = Withdrawal(DOMAIN, owner("mallory"), 1, W, 10**20, 1 << 60)
    return forgery.insert(len(forgery.leaves), record)


@refused_for(Reason.OWNER_MISMATCH)
def cancellation_by_another_owner(forgery: Forgery) -> int:
    at = forgery.find(Cancel)
    cancel = forgery.read(at)
    assert isinstance(cancel, Cancel)
    return forgery.write(at, replace(cancel, owner=owner("mallory")))


@refused_for(Reason.INTENT_UNKNOWN)
def cancellation_of_a_filled_intent(forgery: Forgery) -> int:
    fill = forgery.bundle(1).fills[0]
    whose = sealed_problem(forgery, 1).intents[fill.intent_id].intent.owner
    return forgery.insert(len(forgery.leaves), Cancel(DOMAIN, whose, fill.intent_id))


@refused_for(Reason.DOMAIN_WRONG)
def intent_for_another_engine(forgery: Forgery) -> int:
    at = forgery.find(Intent)
    intent = forgery.read(at)
    assert isinstance(intent, Intent)
    return forgery.write(at, replace(intent, domain="elsewhere"))


@refused_for(Reason.PROBLEM_MISMATCH)
def intent_never_logged(forgery: Forgery) -> int:
    """Without the intent's record, what was sealed does not add up."""
    del forgery.leaves[forgery.find(Intent)]
    return forgery.of(Sealed, 1)


@refused_for(Reason.INTENT_UNKNOWN)
def cancelled_intent_never_logged(forgery: Forgery) -> int:
    """Dave took his back before a batch saw it; the cancellation is left over."""
    cancel = forgery.read(forgery.find(Cancel))
    assert isinstance(cancel, Cancel)
    del forgery.leaves[forgery.find(Intent, lambda intent: intent.owner == cancel.owner)]
    return forgery.find(Cancel)


@refused_for(Reason.PROBLEM_MISMATCH)
def cancellation_never_logged(forgery: Forgery) -> int:
    del forgery.leaves[forgery.find(Cancel)]
    return forgery.of(Sealed, 1)


# the log's frame


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def genesis_twice(forgery: Forgery) -> int:
    return forgery.insert(len(forgery.leaves), forgery.read(0))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def genesis_second(forgery: Forgery) -> int:
    forgery.move(0, 1)
    return 0


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def genesis_missing(forgery: Forgery) -> int:
    del forgery.leaves[0]
    return 0


@refused_for(Reason.RECORD_UNAUTHORISED)
def genesis_of_another_engine(forgery: Forgery) -> int:
    return forgery.change(0, engine=owner("mallory"))


@refused_for(Reason.LOG_INCOMPLETE)
def empty_log(forgery: Forgery) -> int:
    forgery.leaves.clear()
    return 0


@refused_for(Reason.PAYLOAD_TYPE_WRONG)
def unknown_payload_type(forgery: Forgery) -> int:
    forgery.leaves.append(
        envelope.seal("application/vnd.walras.edict.v1+protobuf", b"1", forgery.engine)
    )
    return len(forgery.leaves) - 1


@refused_for(Reason.PAYLOAD_TYPE_WRONG)
def bundle_as_an_entry(forgery: Forgery) -> int:
    return forgery.insert(len(forgery.leaves), forgery.bundle(1))


@refused_for(Reason.PAYLOAD_TYPE_WRONG)
def bid_as_an_entry(forgery: Forgery) -> int:
    bid = forgery.read(forgery.of(BidReceived, 2))
    assert isinstance(bid, BidReceived)
    forgery.leaves.append(forgery.blobs[bid.bid_digest])
    return len(forgery.leaves) - 1


@refused_for(Reason.UNKNOWN_FIELD)
def field_that_nobody_knows(forgery: Forgery) -> int:
    at = forgery.of(Awarded, 1)
    signed = envelope.decode(forgery.leaves[at])
    body = signed.body + b"\xf8\x01\x01"
    forgery.leaves[at] = envelope.seal(signed.payload_type, body, forgery.engine)
    return at


# blobs


def _without(name: str, find: Callable[[Forgery], tuple[int, bytes]]) -> None:
    def missing(forgery: Forgery) -> int:
        at, digest = find(forgery)
        del forgery.blobs[digest]
        return at

    def changed(forgery: Forgery) -> int:
        at, digest = find(forgery)
        forgery.blobs[digest] += b"\0"
        return at

    ATTACKS[f"{name}_blob_missing"] = (missing, Reason.BLOB_MISSING)
    ATTACKS[f"{name}_blob_changed"] = (changed, Reason.BLOB_MISMATCH)


def _named(kind: type, field: str) -> Callable[[Forgery], tuple[int, bytes]]:
    def find(forgery: Forgery) -> tuple[int, bytes]:
        at = forgery.of(kind, 2)
        return at, getattr(forgery.read(at), field)

    return find


_without("problem", _named(Sealed, "problem_digest"))
_without("bid", _named(BidReceived, "bid_digest"))
_without("bundle", _named(Awarded, "bundle_digest"))
_without("certificate", _named(Awarded, "certificate_digest"))
_without("balances", _named(Settled, "balances_digest"))
_without("venues", _named(Settled, "venues_digest"))
