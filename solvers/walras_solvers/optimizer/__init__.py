"""The batch solver: one price vector for everybody, rings and pools included."""

from collections.abc import Iterable

from walras.sdk import Deadline, Description, Problem, Proposal
from walras_solvers.optimizer.search import search
from walras_solvers.router.sparse import warm

MOST = 32
"""Proposals for one problem, at most."""


class Optimizer:
    """Clears the whole batch at once: tâtonnement, linear programs, exact repair."""

    def __init__(self) -> None:
        """Compiles what is compiled, so that the first problem does not wait for it."""
        warm()

    def describe(self) -> Description:
        """Name and version."""
        return Description("optimizer", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        """Bids for single groups first, then better and better ones for the batch and its parts."""
        yield from search(problem, deadline, MOST)
