"""The node that is examined, what it is asked, and how a finding is told."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from walras.cli.solver_advice import advice_on
from walras.cli.solver_trial import Asker, Trial
from walras.core.errors import Reason
from walras.fleet.nodes import Node
from walras.protocol.problem import Problem

PROMPT_SECONDS = 1.0
"""For what is to be answered at once; an idle node needs a millisecond."""

RELEASE_SECONDS = 2.0
"""For a node to be free again once nobody waits for its answer."""

RECOVER_SECONDS = 10.0
"""Between checks: what one left at work is not held against the next."""

LATE_SECONDS = 1.0
"""After a deadline that a node did not keep; one that is at work for longer does not look at it."""

GONE = {Reason.NODE_UNREACHABLE, Reason.NODE_CRASHED}
GONE_ADVICE = (
    "see what it wrote on stderr; an engine also hangs up on a node that lets receipts pile up:"
    " read them while you work, and put several bids into a message"
)


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    NOTE = "note"
    """Not required, and worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: its name.
        verdict: how it ended.
        said: what was seen, with the numbers.
        advice: what to do about it; empty where there is nothing to do.
    """

    check: str
    verdict: Verdict
    said: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Problems:
    """What the checks ask for.

    Attributes:
        small, large, huge: of some ten, some hundred and very many intents.
        seconds: for one of them, where a check leaves no other time.
    """

    small: Problem
    large: Problem
    huge: Problem
    seconds: float = PROMPT_SECONDS


@dataclass(frozen=True, slots=True)
class Subject:
    """The node under examination, who asks it, and what."""

    node: Node
    asker: Asker
    problems: Problems

    async def ask(
        self, parts: Sequence[Problem], seconds: float, *, bodies: Sequence[bytes] = ()
    ) -> Trial:
        """As `Asker.ask`."""
        return await self.asker.ask(self.node, parts, seconds, bodies=bodies)

    async def released(self, most: float | None = None) -> float:
        """Seconds until nothing is in flight at the node, at most `most`, else `RELEASE_SECONDS`.

        A node that does not report its load is free when it has answered a small problem.
        """
        most = RELEASE_SECONDS if most is None else most
        start = time.monotonic()
        while (spent := time.monotonic() - start) < most:
            load = await self.node.load(most)
            if load is None:
                trial = await self.ask([self.problems.small], most)
                return most if trial.late or trial.fault else time.monotonic() - start
            if not load[0]:
                return spent
            await asyncio.sleep(0.01)
        return most


async def ended(
    subject: Subject,
    check: str,
    what: str,
    trial: Trial,
    advice: str,
    ends: Collection[Reason] = (),
) -> Finding:
    """Whether a problem was ended in time, well or for one of the reasons `ends`, and no bid for it
    is invalid. A little late is worth knowing: an engine counts it as a timeout.
    """
    fault = trial.fault
    if fault is not None and fault.reason in GONE:
        return Finding(check, Verdict.FAILED, f"{what}: {fault}", GONE_ADVICE)
    if trial.rejected:
        first = trial.rejected[0]
        return Finding(check, Verdict.FAILED, f"{what}: {first}", advice_on(first.reason))
    if trial.late:
        over = await subject.released()
        if over > LATE_SECONDS:
            said = f"{what}: still at work {LATE_SECONDS:g} s after the deadline"
            return Finding(check, Verdict.FAILED, said, advice)
        return Finding(check, Verdict.NOTE, f"{what}: {1_000 * over:.0f} ms late", advice)
    if fault is not None and fault.reason not in ends:
        return Finding(check, Verdict.FAILED, f"{what}: {fault}", advice)
    how = f"{len(trial.bids)} bids" if fault is None else f"ended with {fault.reason}"
    return Finding(check, Verdict.OK, f"{what}: {how}, {1_000 * trial.seconds:.0f} ms")
