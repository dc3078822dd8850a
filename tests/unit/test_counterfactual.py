"""Other bids, and other rules, for a sealed auction."""

from dataclasses import replace
from hashlib import sha256

import pytest
from support.auctions import ETH, USDC, WHOLE_ETH, WHOLE_USDC, candidate, intent, key, pool, problem
from support.certified import SEED, auction

from walras.auction.award import award
from walras.auction.counterfactual import (
    AFTER_SEALING,
    Entrant,
    counterfactual,
    earned,
    with_rules,
)
from walras.core.bids import Execution, Fill, Proposal
from walras.core.errors import InvalidInput, Reason
from walras.protocol.problem import Rules
from walras.protocol.trade import encode_problem

SELL = intent("ann", {ETH: -1}, USDC, 2_900 * WHOLE_USDC, units=WHOLE_ETH)
WORLD = problem({"sell": SELL}, balances={("ann", ETH): WHOLE_ETH}, venues=[pool("pool")])
DIGEST = sha256(encode_problem(WORLD)).digest()


def sale() -> Proposal:
    swap = WORLD.venues["pool"].swap(ETH, WHOLE_ETH, USDC)
    return Proposal(
        (Fill(key("sell"), WHOLE_ETH),),
        {ETH: swap.amount_out, USDC: WHOLE_ETH},
        (Execution("pool", ETH, WHOLE_ETH, USDC, swap.amount_out),),
    )


def entrant(rules: Rules = WORLD.rules) -> Entrant:
    return Entrant(key("new"), rules)


def test_a_proposal_is_judged_as_the_auction_would() -> None:
    one = entrant()
    for proposal in (sale(), sale(), replace(sale(), executions=()), replace(sale(), fills=())):
        one.propose(WORLD, DIGEST, proposal)
    assert one.proposals == 4
    assert [reason for _, reason in one.invalid] == ["BID_DUPLICATE", "NOT_CONSERVED", "BID_EMPTY"]
    (scored,) = one.scored
    assert (scored.bid.solver, scored.bid.problem_digest) == (key("new"), DIGEST)
    assert scored.score > 0


def test_what_cannot_be_written_is_refused_and_not_raised() -> None:
    one = entrant()
    one.propose(WORLD, DIGEST, replace(sale(), fills=(Fill(key("sell"), -1),)))
    one.propose(WORLD, DIGEST, replace(sale(), prices={ETH: 1 << 300, USDC: 1}))
    assert [number for number, _ in one.invalid] == [1, 2]
    assert not one.scored


def test_its_bids_are_limited_and_judged_by_the_rules_that_are_asked_for() -> None:
    few = entrant(replace(WORLD.rules, max_bids=1))
    for proposal in (replace(sale(), fills=()), sale()):
        few.propose(WORLD, DIGEST, proposal)
    assert few.invalid == [(1, "BID_EMPTY"), (2, "BID_LIMIT")]
    tight = entrant(replace(WORLD.rules, collar_bps=1))
    tight.propose(WORLD, DIGEST, sale())
    assert tight.invalid == [(1, "COLLAR_BROKEN")]


def test_only_rules_that_did_not_make_the_problem_can_change() -> None:
    logged = Rules()
    changed = with_rules(logged, {"collar_bps": 5, "reward_cap": 7, "max_open": logged.max_open})
    assert changed == replace(logged, collar_bps=5, reward_cap=7)
    for wrong in ({"max_open": 1}, {"nosuch": 1}, {"collar_bps": -1}, {"collar_bps": "5"}):
        with pytest.raises(InvalidInput) as caught:
            with_rules(logged, dict(wrong))
        assert caught.value.reason is Reason.CONFIG_INVALID
    assert set(AFTER_SEALING) < set(Rules.__dataclass_fields__)


def test_without_entrants_it_is_the_award_that_was() -> None:
    made = auction(5)
    again = counterfactual(made.problem, made.problem.rules, SEED, made.bids)
    assert again == made.award
    total = earned(again, made.bids)
    assert sum(one.score for one in total) == made.award.score
    assert sum(one.bids for one in total) == len(made.bids)
    assert sum(one.winners for one in total) == len(made.winners)
    rewards = {one.solver: one.amount for one in made.award.rewards}
    assert {one.solver: one.reward for one in total if one.winners} == rewards


def test_an_entrant_takes_from_who_it_beats_and_earns_what_it_adds() -> None:
    logged = [candidate("old", 10, ["g"], solver="old"), candidate("side", 3, ["h"], solver="old")]
    new = candidate("new", 14, ["g"], solver="new")
    before = earned(award(WORLD, logged, SEED), logged)
    assert [(one.score, one.reward) for one in before] == [(13, 13)]
    made = counterfactual(WORLD, WORLD.rules, SEED, [*logged, new])
    after = {one.solver: one for one in earned(made, [*logged, new])}
    assert (after[key("new")].score, after[key("new")].reward) == (14, 4)
    assert (after[key("old")].score, after[key("old")].reward) == (3, 3)
    capped = counterfactual(WORLD, replace(WORLD.rules, reward_cap=2), SEED, [*logged, new])
    assert {one.reward for one in earned(capped, [*logged, new])} == {2}
