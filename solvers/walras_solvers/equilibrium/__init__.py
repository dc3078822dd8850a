"""A whole batch at one price vector: prices at which supply meets demand, then fills, then exact
integers. How it works and what it costs is in docs/equilibrium.md.
"""

from collections.abc import Iterable

from walras.sdk import Deadline, Description, Problem, Proposal
from walras_solvers.equilibrium.bids import bids
from walras_solvers.equilibrium.kernels import warm


class Equilibrium:
    """Clears the batch by Newton's method on excess demand and a program over markets."""

    def __init__(self) -> None:
        """Compile what is compiled, so that the first problem does not wait for it."""
        warm()

    def describe(self) -> Description:
        """Name and version."""
        return Description("equilibrium", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        """Better and better bids for the batch, its parts, and groups on their own."""
        yield from bids(problem, deadline)
