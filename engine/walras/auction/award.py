"""The award of one auction (protocol §6): fairness, selection, rewards; for engine and auditor."""

from collections.abc import Iterable
from dataclasses import dataclass

from walras.auction.candidates import ScoredBid
from walras.auction.fairness import Dropped, fair
from walras.auction.rewards import rewards
from walras.auction.selection import select
from walras.core.bids import Reward
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
    """

    winners: tuple[ScoredBid, ...]
    score: int
    bound: int
    settled: bool
    rewards: tuple[Reward, ...]
    dropped: tuple[Dropped, ...]


def award(problem: Problem, bids: Iterable[ScoredBid], seed: bytes) -> Award:
    """The award; without bids, one without winners and of score 0.

    Args:
        problem: that the bids are for.
        bids: all valid ones, in any order, with distinct ids.
        seed: SHA-256 of the envelope that closed the auction.
    """
    kept, dropped = fair(bids)
    selection = select(kept, problem.balances, seed)
    return Award(
        winners=selection.winners,
        score=selection.total,
        bound=selection.bound,
        settled=selection.settled,
        rewards=rewards(selection, problem.balances, problem.rules.reward_cap),
        dropped=dropped,
    )
