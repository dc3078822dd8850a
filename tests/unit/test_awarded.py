"""Checking an award: what a forger might claim, and what trees prove by hand."""

import subprocess
import sys
from dataclasses import replace

import pytest
from support.auctions import candidate, key, problem
from support.certified import CAP, SEED, Auction, auction

from walras.auction.award import award
from walras.auction.awarded import check_award
from walras.auction.certificate import MAX_STEPS, Steps, check_tree, heaviest_leaf
from walras.auction.components import SCORE_SHIFT, components, tie
from walras.auction.selection import select
from walras.core.errors import AuditFailure, Reason
from walras.protocol.certificate import (
    BRANCH,
    LEAF,
    Certificate,
    Reference,
    Tree,
    encode_certificate,
)
from walras.protocol.problem import Rules

MADE = auction(5)


def refused(made: Auction, winners: list[bytes], certificate: Certificate) -> AuditFailure:
    with pytest.raises(AuditFailure) as caught:
        check_award(made.problem, made.bids, SEED, winners, certificate)
    return caught.value


def test_a_winner_left_out_is_refused_or_at_least_not_settled() -> None:
    """Refused where anybody finds more without searching."""
    reasons = []
    certificate = MADE.award.certificate
    for missing in MADE.winners:
        winners = [identity for identity in MADE.winners if identity != missing]
        solvers = {bid.bid.solver for bid in MADE.award.winners if bid.id in winners}
        left = tuple(one for one in certificate.references if one.solver in solvers)
        fewer = replace(certificate, references=left)
        try:
            found = check_award(MADE.problem, MADE.bids, SEED, winners, fewer)
        except AuditFailure as failure:
            reasons.append(failure.reason)
        else:
            assert not found.settled
            assert found.bound == MADE.award.score > found.score
    assert set(reasons) == {Reason.AWARD_MISMATCH}


def test_a_tie_steered_to_another_is_not_settled() -> None:
    bids = [
        candidate("whole", 4, ["g", "h"]),
        candidate("left", 2, ["g"]),
        candidate("right", 2, ["h"]),
    ]
    made = problem({}, balances={}, rules=Rules(reward_cap=CAP))
    right = award(made, bids, SEED)
    whole = [key("whole")]
    parts = sorted([key("left"), key("right")])
    won = [bid.id for bid in right.winners]
    wrong = whole if won == parts else parts
    assert check_award(made, bids, SEED, won, right.certificate).settled
    # The greedy choice is the whole: only the parts' place in its stead is refused at once.
    if wrong == parts:
        with pytest.raises(AuditFailure, match="by falling score"):
            check_award(made, bids, SEED, wrong, right.certificate)
        return
    found = check_award(made, bids, SEED, wrong, right.certificate)
    assert found.score == found.bound == 4
    assert not found.settled


def test_a_worse_bid_on_the_same_resources_cannot_win() -> None:
    bids = [candidate(name, 5, ["g"]) for name in ("a", "b")]
    made = problem({}, balances={})
    right = award(made, bids, SEED)
    (won,) = right.winners
    assert won.id == max((key("a"), key("b")), key=lambda one: tie(SEED, one))
    loser = key("a") if won.id == key("b") else key("b")
    with pytest.raises(AuditFailure) as caught:
        check_award(made, bids, SEED, [loser], right.certificate)
    assert caught.value.reason is Reason.AWARD_MISMATCH
    assert caught.value.fields["bid_id"] == loser.hex()


def test_winners_that_cannot_win_are_refused() -> None:
    certificate = MADE.award.certificate
    unknown = refused(MADE, sorted([*MADE.winners, bytes(32)]), certificate)
    assert unknown.reason is Reason.AWARD_MISMATCH
    assert refused(MADE, MADE.winners[::-1], certificate).reason is Reason.AWARD_MISMATCH
    twice = [MADE.winners[0], *MADE.winners]
    assert refused(MADE, twice, certificate).reason is Reason.AWARD_MISMATCH
    others = {bid.id for bid in MADE.bids} - set(MADE.winners)
    reasons = {refused(MADE, sorted([*MADE.winners, one]), certificate).reason for one in others}
    assert Reason.AWARD_INCOMPATIBLE in reasons
    assert reasons <= {Reason.AWARD_MISMATCH, Reason.AWARD_INCOMPATIBLE}


def test_an_account_that_is_overspent_is_refused() -> None:
    owner = ("owner", "asset")
    bids = [candidate(name, 5, [name], spends={owner: 3}) for name in "ab"]
    made = problem({}, balances={owner: 5})
    right = award(made, bids, SEED)
    with pytest.raises(AuditFailure) as caught:
        check_award(made, bids, SEED, sorted(map(key, "ab")), right.certificate)
    assert caught.value.reason is Reason.AWARD_INCOMPATIBLE
    assert caught.value.fields["asset"] == "asset"


def test_references_are_those_of_the_winners() -> None:
    certificate = MADE.award.certificate
    first, *rest = certificate.references
    for references in (rest, [first, first, *rest], [*certificate.references[::-1]]):
        wrong = replace(certificate, references=tuple(references))
        assert refused(MADE, MADE.winners, wrong).reason is Reason.CERTIFICATE_INCOMPLETE


def test_a_reference_is_reached_by_others() -> None:
    certificate = MADE.award.certificate
    first, *rest = certificate.references
    numbers = {bid.id: n for n, bid in enumerate(sorted(MADE.bids, key=lambda bid: bid.id))}
    own = [n for bid in MADE.bids if bid.bid.solver == first.solver for n in [numbers[bid.id]]]
    everyone = tuple(n for n in range(len(numbers)) if n not in own)
    for attained in ((own[0],), everyone, first.attained[::-1], (1_000_000,)):
        wrong = replace(first, attained=attained)
        failure = refused(MADE, MADE.winners, replace(certificate, references=(wrong, *rest)))
        assert failure.reason is Reason.REWARD_MISMATCH
        assert failure.fields["solver"] == first.solver.hex()


def test_a_reference_that_is_not_proven_makes_a_reward_smaller() -> None:
    certificate = MADE.award.certificate
    first, *rest = certificate.references
    (right, *_) = MADE.award.rewards
    loose = []
    without = [bid for bid in MADE.bids if bid.bid.solver != first.solver]
    for component in components(without, MADE.problem.balances, None):
        if len(component.places) > 1:
            bound = sum(component.weights) >> SCORE_SHIFT
            loose.append(Tree(0, (), (0,), (), bound))
    wrong = replace(certificate, references=(replace(first, trees=tuple(loose)), *rest))
    found = check_award(MADE.problem, MADE.bids, SEED, MADE.winners, wrong)
    assert found.rewards[0].reference > right.reference
    assert found.rewards[0].amount == 0 <= right.amount


def test_a_triangle_is_proven_by_one_cut() -> None:
    bids = [
        candidate(name, 10, groups)
        for name, groups in (("a", ["f", "g"]), ("b", ["g", "h"]), ("c", ["f", "h"]))
    ]
    (component,) = components(bids, {}, None)
    assert len(component.rows) == 3
    weight = 10 << SCORE_SHIFT
    # Rows alone cannot do better than half of each bid.
    halves = Tree(SCORE_SHIFT, (), (1, 0), (((0, 5), (1, 5), (2, 5)),), 15)
    assert check_tree(component, halves) == 15 * weight // 10
    cut = Tree(SCORE_SHIFT, ((0, 1, 2),), (1, 0), (((3, 10),),), 10)
    assert check_tree(component, cut) == weight
    shared, other = sorted(component.touches[1], key=lambda row: row not in component.touches[2])
    branched = Tree(SCORE_SHIFT, (), (2, 0, 1, 0), (((other, 10),),), 20)
    assert check_tree(component, branched) == 2 * weight
    branched = Tree(SCORE_SHIFT, (), (2, 0, 1, 0), (((shared, 10),),), 10)
    assert check_tree(component, branched) == weight


def test_a_branch_takes_from_a_budget_to_the_last_atom() -> None:
    owner, account, half = ("owner", "asset"), (key("owner"), "asset"), 1 << 200
    bids = [candidate(name, 10, [name], spends={owner: half}) for name in "abc"]
    one_at_a_time = Tree(0, (), (2, 0, 3, 0, 4, 0, 0), (), 10)
    (component,) = components(bids, {account: 2 * half - 1}, None)
    assert check_tree(component, one_at_a_time) == 10 << SCORE_SHIFT
    (component,) = components(bids, {account: 2 * half}, None)
    # Beside one there is room for another: the leaves leave more open, or may be split further.
    assert heaviest_leaf(component, one_at_a_time).bound == 30 << SCORE_SHIFT
    two = Tree(0, (), (2, 3, 0, 4, 0, 0, 3, 4, 0, 0, 4, 0, 0), (), 20)
    assert check_tree(component, two) == 20 << SCORE_SHIFT
    with pytest.raises(AuditFailure) as caught:
        check_tree(component, Tree(0, (), (2, 3, 4, 0, 0, 0, 0), (), 20))
    assert caught.value.reason is Reason.CERTIFICATE_BRANCH
    assert caught.value.fields["node"] == "2"


def test_an_award_over_nothing_needs_no_proof() -> None:
    made = problem({}, balances={})
    found = check_award(made, [], SEED, [], Certificate())
    assert (found.winners, found.score, found.settled) == ((), 0, True)
    extra = Certificate(references=(Reference(bytes(32), (), ()),))
    with pytest.raises(AuditFailure) as caught:
        check_award(made, [], SEED, [], extra)
    assert caught.value.reason is Reason.CERTIFICATE_INCOMPLETE


def test_the_checking_side_needs_no_solver() -> None:
    code = (
        "import sys; import walras.auction.awarded, walras.protocol.certificate;"
        "print([m for m in ('numba', 'numpy', 'ortools', 'grpc') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"


def test_what_checking_may_take_has_a_bound() -> None:
    """Some 100 KB of splits over a long account would keep an auditor at work for as long as the
    engine likes: 64 MiB of them, for hours.
    """
    count, deep = 2_000, 16
    bids = [candidate(f"{n}", 100, [f"g{n}"], spends={("o", "a"): 10}) for n in range(count)]
    (component,) = components(bids, {(key("o"), "a"): 10 * count - 1}, None)

    def nodes(depth: int) -> list[int]:
        return [LEAF] if depth == deep else [depth + BRANCH, *nodes(depth + 1), *nodes(depth + 1)]

    bomb = Tree(0, (), tuple(nodes(0)), (), 0)
    assert len(encode_certificate(Certificate((bomb,)))) < 1 << 18
    with pytest.raises(AuditFailure) as caught:
        check_tree(component, bomb)
    assert caught.value.reason is Reason.CERTIFICATE_TOO_LARGE


def test_all_trees_share_the_steps() -> None:
    (component,) = components(
        [candidate("a", 10, ["f", "g"]), candidate("b", 10, ["g", "h"])], {}, None
    )
    tree = Tree(0, (), (1, 2, 0, 0), (((0, 5),),), 10)
    steps = Steps()
    check_tree(component, tree, None, steps)
    # Four nodes, a price of a row of two places, and a split at a place of that row.
    assert MAX_STEPS - steps.left == 4 + 2 + 2
    few = Steps(2 * 8 - 1)
    check_tree(component, tree, None, few)
    with pytest.raises(AuditFailure) as caught:
        check_tree(component, tree, {"component": 1}, few)
    assert caught.value.reason is Reason.CERTIFICATE_TOO_LARGE
    assert caught.value.fields["component"] == "1"


def test_an_engine_leaves_out_a_proof_that_takes_too_many_steps() -> None:
    """The choice stands, with the gap that it then has, and an auditor follows."""
    made = select(MADE.bids, MADE.problem.balances, SEED, steps=4)
    proven = select(MADE.bids, MADE.problem.balances, SEED)
    assert (made.settled, proven.settled) == (False, True)
    assert made.total <= proven.total < made.bound
    trees = iter(made.trees)
    for part in made.parts:
        if len(part.component.places) > 1:
            bound = check_tree(part.component, next(trees))
            assert bound >> SCORE_SHIFT == part.bound
