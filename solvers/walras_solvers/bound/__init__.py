"""An upper bound on the score of any bid, and of any award, from any vector of dual prices.

The formula, why it holds and what it does not bound are in docs/bound.md.
"""

from dataclasses import dataclass

from walras.sdk import Deadline, Problem
from walras_solvers.bound.scale import Duals
from walras_solvers.bound.search import best_duals, bound_at

SECONDS = 5.0
"""That the search for dual prices takes at most, unless a deadline is given, and one round more."""


@dataclass(frozen=True, slots=True)
class Bound:
    """No valid bid, and no award, scores more.

    Attributes:
        score: in score units.
        duals: asset → the dual price that it was computed at: score units per 10^18 atoms, times
            2^64. `bound_at(problem, duals)` is `score` again.
    """

    score: int
    duals: Duals


def score_bound(problem: Problem, deadline: Deadline | None = None) -> Bound:
    """The lowest bound found until the deadline, or for `SECONDS`.

    Args:
        problem: sealed; every asset of its intents has a reference price.
        deadline: one evaluation and one linear program may end a little later.
    """
    found = best_duals(problem, Deadline.after(SECONDS) if deadline is None else deadline)
    return Bound(found.bound, found.duals)


__all__ = ["SECONDS", "Bound", "bound_at", "score_bound"]
