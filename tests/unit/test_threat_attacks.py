"""Attacks of docs/threat-model.md that nothing refuses, and what is left of them.

What is accepted there is performed here: the test says how far it goes and what shows it.
"""

from dataclasses import replace
from hashlib import sha256

import pytest
from support.auctions import (
    ETH,
    PRICES,
    USDC,
    WHOLE_ETH,
    WHOLE_USDC,
    bid,
    candidate,
    intent,
    problem,
    scored,
)
from support.audit.attacks import awarded_by, closed_batch, seed, settle_again, settle_as
from support.audit.bid_scenario import recorded_bids
from support.audit.scenario import DOMAIN, recorded

from walras.auction.award import award
from walras.auction.awarded import check_award
from walras.auction.batch import AwardedBatch
from walras.auction.components import tie
from walras.audit.evidence import check_evidence
from walras.audit.vrf import VrfKey, verify
from walras.core.errors import AuditFailure, BidRejected, Reason
from walras.protocol.certificate import Certificate, Reference
from walras.protocol.problem import Price, Problem, Rules
from walras.protocol.records import BidReceived, BidRejectedRecord, Closed
from walras.protocol.sealed_bids import BidUnopened, Committed

SELL = intent("ann", {ETH: -1}, USDC, 2_900 * WHOLE_USDC, units=WHOLE_ETH)
BUY = intent("bob", {ETH: 1}, USDC, -3_100 * WHOLE_USDC, units=WHOLE_ETH)
FUNDS = {
    ("ann", ETH): WHOLE_ETH,
    ("bob", USDC): 4_000 * WHOLE_USDC,
    ("shill", ETH): WHOLE_ETH,
    ("shill", USDC): 10_000 * WHOLE_USDC,
}


def at(price: int) -> dict[str, int]:
    """Clearing prices: so many USDC for an ETH."""
    return {ETH: price * WHOLE_USDC, USDC: WHOLE_ETH}


# the auctioneer


def test_an_award_to_nobody_is_refused_though_it_admits_its_gap() -> None:
    """All bids are left out; the search "ended early". Anybody finds more than nothing."""
    made = recorded()
    forgery = made.forgery()
    batch = closed_batch(forgery, 1)
    honest = awarded_by(batch, seed(forgery, batch)).award
    proof = Certificate(honest.certificate.trees)
    nobody = replace(honest, winners=(), score=0, rewards=(), certificate=proof)
    at = settle_as(forgery, AwardedBatch(batch.sealed, nobody))
    with pytest.raises(AuditFailure) as refusal:
        forgery.log().audit(made.key)
    assert refusal.value.reason is Reason.AWARD_MISMATCH
    assert refusal.value.fields["index"] == str(at)


def test_a_worse_award_passes_as_unproven_and_states_its_gap() -> None:
    """Worse than the best, no worse than what falling scores give: nothing refuses it."""
    both = candidate("both", 10, ["g", "h"], solver="friend")
    left = candidate("left", 9, ["g"], solver="s")
    right = candidate("right", 8, ["h"], solver="t")
    bids = sorted([both, left, right], key=lambda one: one.id)
    # Fairness asks of a bid over two groups as much surplus in each as a bid for one brings.
    terms = problem({}, balances={})
    honest = award(terms, bids, b"seed")
    assert {one.id for one in honest.winners} == {left.id, right.id}
    others = tuple(n for n, one in enumerate(bids) if one is not both)
    proof = Certificate(honest.certificate.trees, (Reference(both.bid.solver, others, ()),))
    worse = check_award(terms, bids, b"seed", [both.id], proof)
    assert not worse.settled
    assert (worse.score, worse.bound) == (10, 17)
    # The bound is part of the bundle. An award to nobody is refused.
    with pytest.raises(AuditFailure) as refusal:
        check_award(terms, bids, b"seed", [], Certificate(honest.certificate.trees))
    assert refusal.value.reason is Reason.AWARD_MISMATCH


def test_an_auctioneer_with_a_solver_of_its_own_grinds_ties_until_the_set_closes() -> None:
    """It draws for sets that nobody sees, and sends the commitment whose seed it likes."""
    engine = VrfKey.from_seed(sha256(b"engine").digest())
    closed = [sha256(name).digest() for name in (b"one", b"two", b"three")]
    friend, rival = sha256(b"friend's bid").digest(), sha256(b"rival's bid").digest()
    head = b"walras tie v1\0" + b"test" + b"\0" + (7).to_bytes(8, "big")
    liked = []
    for number in range(64):
        made = sha256(b"salt %d" % number).digest()
        whole = head + sha256(b"".join(sorted([*closed, made]))).digest()
        proof, drawn = engine.prove(whole)
        if tie(drawn, friend) > tie(drawn, rival):
            liked.append(number)
        # Each of these awards would verify.
        assert verify(engine.public_key, whole, proof) == drawn
    # Among equals it takes two tries on average. It cannot make a worse bid win.
    assert 16 < len(liked) < 48
    bids = [candidate("better", 6, ["g"], solver="s"), candidate("worse", 5, ["g"], solver="t")]
    terms = problem({}, balances={})
    for number in range(8):
        found = award(terms, bids, sha256(b"%d" % number).digest())
        assert [one.score for one in found.winners] == [6]


def test_an_opening_that_is_withheld_draws_no_other_ties() -> None:
    """The set is of commitments. Who does not open is logged, and changes nobody's tie."""
    forgery = recorded_bids().log.forgery()
    batch = closed_batch(forgery, 1)
    assert any(one.reason == Reason.OPENING_MISSING for one in batch.unopened)
    fewer = replace(batch, bids=batch.bids[1:])
    assert fewer.tie_input() == batch.tie_input()
    assert seed(forgery, fewer) == seed(forgery, batch)


def test_an_opening_that_came_is_called_missing() -> None:
    """The log holds by itself; its solver has a receipt for the opening, which the log breaks."""
    made = recorded_bids().log
    forgery = made.forgery()
    first, end = forgery.of(Committed, 2) + 1, forgery.of(Closed, 2)
    ends = [i for i in range(first, end) if isinstance(forgery.read(i), BidReceived | BidUnopened)]
    at = next(i for i in ends if isinstance(forgery.read(i), BidReceived))
    assert not isinstance(forgery.read(at + 1), BidRejectedRecord)
    solver, place = forgery.read(at).solver, ends.index(at)
    forgery.write(at, BidUnopened(2, place, solver, Reason.OPENING_MISSING.value))
    batch = closed_batch(forgery, 2)
    forgery.write(end, batch.record())
    settle_again(forgery, batch, awarded_by(batch, seed(forgery, batch)))
    before = made.log.audit(made.key).unopened
    forged = forgery.log()
    assert forged.audit(made.key).unopened == before + 1
    node = next(n for n in recorded_bids().nodes.values() if n.signer.public_key == solver)
    with pytest.raises(AuditFailure) as caught:
        check_evidence(forged.leaves, forged.blob, made.key.public_key, DOMAIN, node.receipts)
    assert caught.value.reason is Reason.RECEIPT_BROKEN


# users and solvers together


def test_the_surplus_of_a_shill_is_there_for_every_solver() -> None:
    """A solver's own generous intents make its bid score more; others fill them as well."""
    shill = {
        "gives away": intent("shill", {ETH: -1}, USDC, 0, units=WHOLE_ETH),
        "overpays": intent("shill", {ETH: 1}, USDC, -9_000 * WHOLE_USDC, units=WHOLE_ETH),
    }
    made = problem({"sell": SELL, "buy": BUY} | shill, balances=FUNDS)
    own = [(name, WHOLE_ETH) for name in shill]
    wash = scored(made, bid(own, at(3_000), solver="shill's"), "wash")
    meet = [("sell", WHOLE_ETH), ("buy", WHOLE_ETH)]
    plain = scored(made, bid(meet, at(3_000), solver="honest"), "plain")
    all_four = scored(made, bid([*own, *meet], at(3_000), solver="honest"), "all four")
    assert wash.score > plain.score
    assert all_four.score == wash.score + plain.score
    # Against a solver that leaves such intents aside the wash takes the market for a batch …
    alone = award(made, [wash, plain], b"seed")
    assert [one.id for one in alone.winners] == [wash.id]
    # … and is stated a reward up to what it added on paper, no more than the cap.
    assert alone.rewards[0].amount == min(Rules().reward_cap, wash.score - plain.score)
    # Whoever fills all that is there wins, and then the wash adds nothing.
    together = award(made, [wash, plain, all_four], b"seed")
    assert [one.id for one in together.winners] == [all_four.id]


def test_a_solver_that_bids_under_two_names_is_rewarded_for_neither() -> None:
    bids = [candidate(f"by {name}", 50, ["g"], solver=name) for name in ("s", "its double")]
    found = award(problem({}, balances={}), bids, b"seed")
    assert [one.amount for one in found.rewards] == [0]


# prices


def repriced(made: Problem, percent: int) -> Problem:
    """The same problem with another reference price of ETH."""
    price = Price(PRICES[ETH].amount * percent // 100, "pushed")
    return replace(made, prices={**PRICES, ETH: price})


def refused(made: Problem, price: int) -> Reason | None:
    sent = bid([("sell", WHOLE_ETH), ("buy", WHOLE_ETH)], at(price))
    try:
        scored(made, sent)
    except BidRejected as error:
        return error.reason
    return None


@pytest.mark.parametrize("percent", [50, 80, 125, 200])
def test_a_pushed_price_stops_trades_and_makes_none_beyond_a_limit(percent: int) -> None:
    """At the market's price the collar refuses, at the pushed one the owner's limit."""
    made = problem({"sell": SELL, "buy": BUY}, balances=FUNDS)
    assert refused(made, 3_000) is None
    pushed = repriced(made, percent)
    assert refused(pushed, 3_000) is Reason.COLLAR_BROKEN
    assert refused(pushed, 30 * percent) is Reason.LIMIT_BROKEN
    assert {refused(pushed, price) for price in range(2_000, 6_001, 100)} <= {
        Reason.COLLAR_BROKEN,
        Reason.LIMIT_BROKEN,
    }


def test_within_the_collar_a_bid_may_take_an_owner_to_its_limit() -> None:
    """A loose limit is the owner's risk up to the collar: scores do not ask who gains."""
    made = problem(
        {
            "sell": intent("ann", {ETH: -1}, USDC, 0, units=WHOLE_ETH),
            "buy": intent("bob", {ETH: 1}, USDC, -4_000 * WHOLE_USDC, units=WHOLE_ETH),
        },
        balances=FUNDS,
    )
    found = {price: refused(made, price) for price in (2_727, 2_728, 3_299, 3_301)}
    assert found[2_728] is found[3_299] is None
    assert found[2_727] is found[3_301] is Reason.COLLAR_BROKEN
    fills = [("sell", WHOLE_ETH), ("buy", WHOLE_ETH)]
    low, high = (scored(made, bid(fills, at(price)), str(price)) for price in (2_728, 3_299))
    assert abs(low.score - high.score) <= 1
