"""Solvers for engines that are killed: one that works, one that does not stop."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from support.audit.scenario import U, W, sold
from walras.core.bids import Proposal
from walras.protocol.problem import Problem
from walras.sdk.proposals import self_check
from walras.sdk.solver import Deadline, Description

MARK = "STUBBORN_MARK"
"""Environment variable: the file that `Stubborn` makes once it is busy."""


class PoolSolver:
    """Sells all there is of W for U through the pool."""

    def describe(self) -> Description:
        return Description("pool", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        fills = {
            name: entry.remaining
            for name, entry in problem.intents.items()
            if entry.intent.group == f"{W}>{U}"
        }
        if fills:
            proposal = sold(problem, fills, "wu")
            if self_check(problem, proposal):
                yield proposal


class Stubborn:
    """Heeds no deadline."""

    def describe(self) -> Description:
        return Description("stubborn", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        Path(os.environ[MARK]).touch()
        time.sleep(3_600)
        yield from ()
