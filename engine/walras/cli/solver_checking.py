"""`walras solver check`: a solver in a node of its own, judged beside the built-in ones."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from walras.app.config import SolverConfig
from walras.cli.solver_conformance import CHECKS, examine
from walras.cli.solver_problems import Case, fitted, problems
from walras.cli.solver_score import Compared, compare, findings
from walras.cli.solver_subject import Finding, Subject, Verdict
from walras.cli.solver_trial import Asker
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.nodes import Node, NodeSpec
from walras.sdk.plugins import installed, load
from walras.sdk.solver import Deadline
from walras_solvers.bound import score_bound

BOUND_SECONDS = 2.0
"""For each problem's bound; it is one whenever the search ends, and lower later."""


@dataclass(frozen=True, slots=True)
class Checked:
    """All that was found.

    Attributes:
        target: what was named: an installed solver, module:Class or host:port.
        public_key: of its node.
        builtin: whom it was compared with.
        findings: of its conduct.
        compared: problem by problem.
    """

    target: str
    public_key: bytes
    builtin: tuple[str, ...]
    findings: tuple[Finding, ...]
    compared: tuple[Compared, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing that is required failed."""
        return all(found.verdict is not Verdict.FAILED for found in self.findings)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to check.

    Attributes:
        config: how to reach the solver.
        builtin: whom to compare it with: names of installed solvers.
        cases: what both are scored on.
        seconds: for each problem.
        seed: of the problems that conduct is checked with.
    """

    config: SolverConfig
    builtin: tuple[str, ...]
    cases: tuple[Case, ...]
    seconds: float
    seed: int

    @property
    def target(self) -> str:
        """What was named."""
        return self.config.plugin or self.config.address

    @property
    def steps(self) -> int:
        """How often `on_step` is called."""
        return len(self.cases) * (2 + len(self.builtin)) + len(CHECKS)


def builtin_solvers(target: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Installed solvers to compare with: those of this package, or those that are wanted.

    Raises:
        InvalidInput: CONFIG_INVALID for one that is not installed.
    """
    found = installed()
    for name in wanted:
        if name not in found:
            raise InvalidInput(
                Reason.CONFIG_INVALID,
                f"there is no solver {name!r}",
                hint=f"installed: {', '.join(sorted(found))}",
            )
    own = [name for name, value in found.items() if value.startswith("walras_solvers.")]
    return tuple(sorted({*(wanted or own)} - {target}))


async def check(plan: Plan, on_step: Callable[[int], None]) -> Checked:
    """Start or dial the solver, score it, and see whether it keeps to the contract.

    Args:
        plan: what to check.
        on_step: called with how many of the plan's steps were just done.

    Raises:
        InvalidInput: CONFIG_INVALID: what was named is no solver.
        SolverFault: it cannot be started or reached.
    """
    asker = Asker()
    try:
        async with AsyncExitStack() as stack:
            target = await stack.enter_async_context(_connected(plan.config))
            rivals: dict[str, Node] = {}
            for name in plan.builtin:
                config = SolverConfig(name=f"builtin-{name}", plugin=name)
                rivals[name] = await stack.enter_async_context(_connected(config))
            compared = []
            for case in plan.cases:
                part = replace(case, problem=fitted(case.problem, target.info))
                compared.append(await _scored(plan, part, asker, target, rivals, on_step))
            asked = problems(plan.seed, plan.seconds, target.info)
            found = findings(plan.target, compared)
            async for finding in examine(Subject(target, asker, asked)):
                found.append(finding)
                on_step(1)
            return Checked(
                plan.target, target.public_key, plan.builtin, tuple(found), tuple(compared)
            )
    finally:
        asker.close()


async def _scored(
    plan: Plan,
    case: Case,
    asker: Asker,
    target: Node,
    rivals: dict[str, Node],
    on_step: Callable[[int], None],
) -> Compared:
    """One after another: who works beside another has not the machine for itself."""
    bound = await asyncio.to_thread(score_bound, case.problem, Deadline.after(BOUND_SECONDS))
    on_step(1)
    trials = {}
    for name, node in {plan.target: target, **rivals}.items():
        trials[name] = await asker.ask(node, [case.problem], plan.seconds)
        on_step(1)
    return compare(case, bound.score, trials)


@asynccontextmanager
async def _connected(config: SolverConfig) -> AsyncIterator[Node]:
    """A node, started if it is a plugin; ended with the block."""
    node = Node(NodeSpec(config.name, plugin=config.plugin, address=config.address))
    try:
        await node.connect()
    except SolverFault:
        if config.plugin:
            load(config.plugin)  # raises what is wrong with it, if it is that
        raise
    try:
        yield node
    finally:
        await node.close()
