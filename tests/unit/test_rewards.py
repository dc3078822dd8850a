"""Rewards and the award as a whole."""

from dataclasses import replace

from support.auctions import candidate, key, problem

from walras.auction.award import Award, award
from walras.auction.components import Balances, components
from walras.auction.rewards import rewards as rewards_and_proofs
from walras.auction.selection import Part, Selection, select
from walras.core.bids import Reward
from walras.protocol.certificate import Certificate
from walras.protocol.problem import Rules

SEED = b"seed"


def rewards(selection: Selection, balances: Balances, cap: int) -> tuple[Reward, ...]:
    return rewards_and_proofs(selection, balances, cap)[0]


def test_a_reward_is_what_the_total_would_lack() -> None:
    bids = [
        candidate("a", 10, ["g"], solver="ann"),
        candidate("b", 7, ["g"], solver="bea"),
        candidate("c", 4, ["h"], solver="bea"),
        candidate("d", 3, ["h"], solver="ann"),
        candidate("e", 2, ["i"], solver="cyd"),
    ]
    found = rewards(select(bids, {}, SEED), {}, cap=100)
    assert found == tuple(
        sorted(
            [
                Reward(key("ann"), reference=7 + 4 + 2, amount=3),
                Reward(key("bea"), reference=10 + 3 + 2, amount=1),
                Reward(key("cyd"), reference=10 + 4, amount=2),
            ],
            key=lambda reward: reward.solver,
        )
    )


def test_a_reward_is_capped_and_a_loser_gets_none() -> None:
    bids = [candidate("a", 10, ["g"], solver="ann"), candidate("b", 7, ["g"], solver="bea")]
    assert rewards(select(bids, {}, SEED), {}, cap=2) == (Reward(key("ann"), 7, 2),)
    assert rewards(select(bids, {}, SEED), {}, cap=0) == (Reward(key("ann"), 7, 0),)


def test_a_solver_that_bids_against_itself_gains_nothing() -> None:
    bids = [candidate("a", 10, ["g"], solver="ann"), candidate("b", 10, ["g"], solver="bea")]
    more = [*bids, *(candidate(f"a{n}", 9, ["g"], solver="ann") for n in range(3))]
    for made in (bids, more):
        (reward,) = rewards(select(made, {}, SEED), {}, cap=100)
        assert (reward.reference, reward.amount) == (10, 0)


def test_without_a_solver_an_account_is_free_for_others() -> None:
    owner, account = ("owner", "asset"), (key("owner"), "asset")
    bids = [
        candidate("a", 10, ["g"], spends={owner: 9 << 100}, solver="ann"),
        candidate("b", 4, ["h"], spends={owner: 5 << 100}, solver="bea"),
        candidate("c", 3, ["i"], spends={owner: 5 << 100}, solver="bea"),
    ]
    balances = {account: 10 << 100}
    assert rewards(select(bids, balances, SEED), balances, cap=100) == (Reward(key("ann"), 7, 3),)


def test_a_reward_is_never_negative() -> None:
    # A selection that was cut short may be worse than what is found without its winner.
    worse, better = candidate("a", 1, ["g"], solver="ann"), candidate("b", 9, ["g"], solver="bea")
    (component,) = components([worse, better], {}, SEED)
    part = Part(component, winners=(worse,), total=1, bound=9, settled=False, tree=None)
    cut = Selection(winners=(worse,), total=1, bound=9, settled=False, parts=(part,))
    assert rewards(cut, {}, cap=100) == (Reward(key("ann"), 9, 0),)


def test_an_award_without_bids() -> None:
    assert award(problem({}, balances={}), [], SEED) == Award(
        winners=(),
        score=0,
        bound=0,
        settled=True,
        rewards=(),
        dropped=(),
        certificate=Certificate(),
    )


def test_the_reference_is_over_the_bids_that_fairness_kept() -> None:
    # Without ann's bid for g there would be no baseline and "both" could win; it stays dropped.
    bids = [
        candidate("a", 5, ["g"], solver="ann"),
        candidate("both", 8, {"g": 4, "h": 4}, solver="bea"),
        candidate("h", 1, ["h"], solver="cyd"),
    ]
    made = award(problem({}, balances={}, rules=Rules(reward_cap=100)), bids, SEED)
    assert made.score == made.bound == 6
    assert [(d.bid.id, d.group) for d in made.dropped] == [(key("both"), "g")]
    assert {r.solver: (r.reference, r.amount) for r in made.rewards} == {
        key("ann"): (1, 5),
        key("cyd"): (5, 1),
    }


def test_an_award_reads_the_problem() -> None:
    owner = ("owner", "asset")
    bids = [candidate(name, 5, [name], spends={owner: 3}, solver=name) for name in "abc"]
    made = problem({}, balances={owner: 6}, rules=Rules(reward_cap=1))
    first = award(made, bids, SEED)
    assert first.score == 10
    assert [reward.amount for reward in first.rewards] == [0, 0]
    rich = award(replace(made, balances={(key("owner"), "asset"): 9}), bids, SEED)
    assert rich.score == 15
    assert [reward.amount for reward in rich.rewards] == [1, 1, 1]
