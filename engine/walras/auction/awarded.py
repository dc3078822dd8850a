"""An award and its check (protocol §6): fairness, compatibility, optimality, rewards, by proof.

The auditor's side: it follows what an engine claims to the rules by a certificate, and searches
nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from walras.auction.candidates import ScoredBid
from walras.auction.certificate import Steps, check_tree
from walras.auction.components import Balances, Component, components, greedy, score_of
from walras.auction.fairness import Dropped, fair
from walras.core.bids import Reward
from walras.core.errors import AuditFailure, Reason
from walras.protocol.certificate import Certificate, Reference, Tree
from walras.protocol.problem import Problem


@dataclass(frozen=True, slots=True)
class Award:
    """Who won and what follows from it.

    Attributes:
        winners: by ascending bid id.
        score: the sum of the winners'.
        bound: no selection from the kept bids scores more; equal to `score` unless the effort ran
            out.
        settled: score and ties are proven, so that these are the winners that the rules ask for.
        rewards: of the solvers that won, by ascending key.
        dropped: by fairness, by ascending bid id.
        certificate: proves all of this.
    """

    winners: tuple[ScoredBid, ...]
    score: int
    bound: int
    settled: bool
    rewards: tuple[Reward, ...]
    dropped: tuple[Dropped, ...]
    certificate: Certificate


def check_award(
    problem: Problem,
    bids: Iterable[ScoredBid],
    seed: bytes,
    winners: Sequence[bytes],
    certificate: Certificate,
) -> Award:
    """The award that follows from these winners by this certificate.

    Args:
        problem: that the bids are for.
        bids: all valid ones, in any order, with distinct ids.
        seed: of the ties.
        winners: ids that somebody says have won.
        certificate: that they sent with it.

    Raises:
        AuditFailure: AWARD_MISMATCH, a winner is not one that may win; AWARD_INCOMPATIBLE, two
            cannot win together; CERTIFICATE_INCOMPLETE, a proof is missing or one too many;
            REWARD_MISMATCH, a reference is not attained; and what `check_tree` raises. `component`
            and `solver` name the place. A certificate that leaves a gap is no error, if the choice
            is no worse than the greedy one: then the award is not settled.
    """
    kept, dropped = fair(bids)
    found = components(kept, problem.balances, seed)
    if list(winners) != sorted(set(winners)):
        raise AuditFailure(Reason.AWARD_MISMATCH, "the winners are not distinct and in order")
    won = _check_winners(kept, found, frozenset(winners), problem.balances)
    bounds, settled = [], True
    trees, steps = iter(certificate.trees), Steps()
    for number, component in enumerate(found):
        bound = _bound(component, trees, {"component": number}, steps)
        bounds.append(score_of(bound))
        weight = sum(
            weight
            for place, weight in zip(component.places, component.weights, strict=True)
            if place.id in won
        )
        if bound < weight:
            # Weak duality does not allow it: the check of trees is wrong.
            raise AuditFailure(
                Reason.CERTIFICATE_BOUND, "the bound is below the winners", component=number
            )
        settled = settled and bound == weight
        if bound > weight and sum(component.weights[b] for b in greedy(component)) > weight:
            # A search that ends early has begun with this choice at the least.
            raise AuditFailure(
                Reason.AWARD_MISMATCH,
                "the award is not proven, and less than what is chosen by falling score",
                component=number,
            )
    _end(trees)
    score = sum(bid.score for bid in won.values())
    solvers = sorted({bid.bid.solver for bid in won.values()})
    if [reference.solver for reference in certificate.references] != solvers:
        raise AuditFailure(
            Reason.CERTIFICATE_INCOMPLETE, "the references are not those of the solvers that won"
        )
    numbers = {bid.id: number for number, bid in enumerate(kept)}
    rewards = []
    for reference in certificate.references:
        solver = reference.solver
        touched = [
            any(place.id in won and place.bid.solver == solver for place in component.places)
            for component in found
        ]
        without = [
            bid
            for component, touches in zip(found, touched, strict=True)
            if touches
            for bid in component.bids
            if bid.bid.solver != solver
        ]
        rest = sum(b for b, touches in zip(bounds, touched, strict=True) if not touches)
        value = rest + _check_reference(reference, without, kept, numbers, problem.balances, steps)
        rewards.append(reward(solver, value, score, problem.rules.reward_cap))
    return Award(
        winners=tuple(won[identity] for identity in winners),
        score=score,
        bound=sum(bounds),
        settled=settled,
        rewards=tuple(rewards),
        dropped=dropped,
        certificate=certificate,
    )


def reward(solver: bytes, reference: int, total: int, cap: int) -> Reward:
    """What a solver adds to the total, up to the cap; never less than nothing.

    Args:
        solver: its key.
        reference: the proven upper bound of what would be reached without its bids.
        total: what was reached.
        cap: score units.
    """
    return Reward(solver, reference, max(0, min(cap, total - reference)))


def _check_winners(
    kept: Sequence[ScoredBid],
    found: Sequence[Component],
    winners: frozenset[bytes],
    balances: Balances,
) -> Mapping[bytes, ScoredBid]:
    """The winners by id, if they may all win."""
    places = {place.id: place for component in found for place in component.places}
    for identity in sorted(winners):
        if identity not in places:
            known = any(bid.id == identity for bid in kept)
            raise AuditFailure(
                Reason.AWARD_MISMATCH,
                "a better bid uses the same resources as a winner"
                if known
                else "a winner is not among the bids that may win",
                bid_id=identity.hex(),
            )
    won = {identity: places[identity] for identity in sorted(winners)}
    _check_compatible(won.values(), balances)
    return won


def _check_compatible(chosen: Iterable[ScoredBid], balances: Balances) -> None:
    taken: set[tuple[str, str]] = set()
    spent: dict[tuple[bytes, str], int] = {}
    for bid in chosen:
        uses = {("group", name) for name in bid.surplus} | {("venue", name) for name in bid.venues}
        if not taken.isdisjoint(uses):
            name = min(taken & uses)[1]
            raise AuditFailure(
                Reason.AWARD_INCOMPATIBLE, f"two winners touch {name}", bid_id=bid.id.hex()
            )
        taken |= uses
        for account, amount in bid.spends.items():
            spent[account] = spent.get(account, 0) + amount
            if spent[account] > balances.get(account, 0):
                raise AuditFailure(
                    Reason.AWARD_INCOMPATIBLE,
                    "the winners spend more than an account has",
                    owner=account[0].hex(),
                    asset=account[1],
                )


def _check_reference(
    reference: Reference,
    without: Sequence[ScoredBid],
    kept: Sequence[ScoredBid],
    numbers: Mapping[bytes, int],
    balances: Balances,
    steps: Steps,
) -> int:
    """The proven bound over the bids of the touched components without the solver's.

    Raises REWARD_MISMATCH if the stated choice is none, or if it falls short of a proven bound: the
    reference would be higher than what can be reached.
    """
    solver = reference.solver.hex()
    allowed = {numbers[bid.id] for bid in without}
    attained = reference.attained
    if list(attained) != sorted(set(attained)) or not allowed.issuperset(attained):
        raise AuditFailure(
            Reason.REWARD_MISMATCH, "a reference is not attained by others' bids", solver=solver
        )
    chosen = [kept[number] for number in attained]
    try:
        _check_compatible(chosen, balances)
    except AuditFailure as error:
        raise AuditFailure(
            Reason.REWARD_MISMATCH, "a reference's bids cannot win together", solver=solver
        ) from error
    trees = iter(reference.trees)
    bound = 0
    for number, component in enumerate(components(without, balances, None)):
        place = {"component": number, "solver": solver}
        bound += score_of(_bound(component, trees, place, steps))
    _end(trees)
    if sum(bid.score for bid in chosen) > bound:
        # Weak duality does not allow it: the check of trees is wrong.
        raise AuditFailure(Reason.CERTIFICATE_BOUND, "the bound is below a choice", solver=solver)
    return bound


def _bound(
    component: Component, trees: Iterator[Tree], place: Mapping[str, object], steps: Steps
) -> int:
    """The proven bound of a component, in weight."""
    if len(component.places) == 1:
        return component.weights[0]
    tree = next(trees, None)
    if tree is None:
        raise AuditFailure(
            Reason.CERTIFICATE_INCOMPLETE, "a component has no tree", **dict[str, Any](place)
        )
    return check_tree(component, tree, place, steps)


def _end(trees: Iterator[Tree]) -> None:
    if next(trees, None) is not None:
        raise AuditFailure(Reason.CERTIFICATE_INCOMPLETE, "there are more trees than components")
