"""Making the award of one auction (protocol §6): fairness, selection, rewards, and the proof."""

from collections.abc import Iterable

from walras.auction.awarded import Award
from walras.auction.candidates import ScoredBid
from walras.auction.fairness import fair
from walras.auction.rewards import rewards
from walras.auction.selection import EFFORT, select
from walras.protocol.certificate import Certificate
from walras.protocol.problem import Problem

__all__ = ["Award", "award"]


def award(
    problem: Problem, bids: Iterable[ScoredBid], seed: bytes, *, effort: int = EFFORT
) -> Award:
    """The award; without bids, one without winners and of score 0.

    Args:
        problem: that the bids are for.
        bids: all valid ones, in any order, with distinct ids.
        seed: of the ties.
        effort: see `select`.
    """
    kept, dropped = fair(bids)
    selection = select(kept, problem.balances, seed, effort=effort)
    earned, references = rewards(
        selection, problem.balances, problem.rules.reward_cap, effort=effort
    )
    return Award(
        winners=selection.winners,
        score=selection.total,
        bound=selection.bound,
        settled=selection.settled,
        rewards=earned,
        dropped=dropped,
        certificate=Certificate(selection.trees, references),
    )
