"""Asking the nodes of a sealed batch, as its dispatch says, until all have answered or the
deadline.

Reading and checking are apart: bids are checked one by one in a thread as they come, and a dear
check must not keep the next bid waiting past the deadline. Where a node fails, the next that stands
by is asked, if there is time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from walras.auction.batch import ReceivedBid, SealedBatch
from walras.auction.dispatch import shard_key
from walras.balance.events import Outcome
from walras.core.errors import Reason, SolverFault
from walras.fleet.nodes import Node
from walras.fleet.sending import Outgoing
from walras.protocol.fleet import Call

log = structlog.get_logger()

LEAST_SECONDS = 0.02
"""With less time left nobody else is asked."""

Check = Callable[[bytes, bytes, int], asyncio.Future[ReceivedBid]]
"""A node's bytes, its key and when they came → what they are worth, some time later."""


@dataclass(slots=True)
class Collected:
    """What came of the calls.

    Attributes:
        bids: in the order in which they came, with the bytes as they came.
        calls: in the order in which they ended.
        faults: node's name → its latest fault.
    """

    bids: list[tuple[ReceivedBid, bytes]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    faults: dict[str, SolverFault] = field(default_factory=dict)


class Collection:
    """The calls of one batch.

    Args:
        sealed: the batch; somebody is asked.
        bodies: each part's bytes, in order.
        nodes: connected, by key.
        in_flight: calls of the engine by node, kept up to date here.
        checkpoint: the log's newest signed note.
        clock: milliseconds since the epoch.
        check: starts the check of a bid.
    """

    def __init__(
        self,
        sealed: SealedBatch,
        bodies: Sequence[bytes],
        nodes: Mapping[bytes, Node],
        in_flight: Counter[bytes],
        checkpoint: bytes,
        clock: Callable[[], int],
        check: Check,
    ) -> None:
        assert sealed.plan is not None
        self._sealed = sealed
        self._plan = sealed.plan
        self._nodes = nodes
        self._in_flight = in_flight
        self._checkpoint = checkpoint
        self._clock = clock
        self._check = check
        self._outgoing = [
            Outgoing(body, part.intents, shard_key(part))
            for body, part in zip(bodies, sealed.parts, strict=True)
        ]
        self._checks: list[asyncio.Future[ReceivedBid]] = []
        self._envelopes: list[bytes] = []
        self._collected = Collected()
        # By a clock that nobody sets back.
        left_ms = max(0, sealed.deadline_ms - clock())
        self._end = time.monotonic() + left_ms / 1_000

    async def run(self) -> None:
        """Ask, until the last call has ended; none outlives the deadline."""
        async with asyncio.TaskGroup() as group:
            for part, assignment in enumerate(self._plan.parts):
                keys = [self._plan.nodes[place].public_key for place in assignment.nodes]
                standby = iter(keys[assignment.asked :])
                for key in keys[: assignment.asked]:
                    group.create_task(self._ask(part, key, standby))

    async def finish(self) -> Collected:
        """All checks done."""
        for outgoing in self._outgoing:
            outgoing.settle()
        checked = await asyncio.gather(*self._checks)
        self._collected.bids = list(zip(checked, self._envelopes, strict=True))
        return self._collected

    async def _ask(self, part: int, key: bytes, standby: Iterator[bytes]) -> None:
        following: bytes | None = key
        while following is not None:
            fault = await self._call(part, following)
            late = self._end - time.monotonic() < LEAST_SECONDS
            if fault is None or fault.reason is Reason.NODE_TIMEOUT or late:
                return
            following = next(standby, None)

    async def _call(self, part: int, key: bytes) -> SolverFault | None:
        node = self._nodes[key]
        start = time.monotonic()
        self._in_flight[key] += 1
        ahead, reported = self._in_flight[key], 0
        fault: SolverFault | None = None
        try:
            answers = node.solve(
                self._outgoing[part],
                seconds=max(0.001, self._end - start),
                max_bids=self._sealed.problem.rules.max_bids,
                checkpoint=self._checkpoint,
            )
            async with aclosing(answers):
                async for answer in answers:
                    now = self._clock()
                    if now > self._sealed.deadline_ms:
                        raise SolverFault(Reason.NODE_TIMEOUT, f"{node.name} answers late")
                    reported = max(reported, answer.in_flight)
                    if answer.bid:
                        self._envelopes.append(answer.bid)
                        self._checks.append(self._check(answer.bid, key, now))
        except SolverFault as error:
            log.warning("solver fault", node=node.name, reason=error.reason, why=str(error))
            fault = self._collected.faults[node.name] = error
        finally:
            self._in_flight[key] -= 1
            if not self._in_flight[key]:
                del self._in_flight[key]
        outcome = Outcome.OK
        if fault is not None:
            late = fault.reason is Reason.NODE_TIMEOUT
            outcome = Outcome.TIMEOUT if late else Outcome.ERROR
        latency_us = int((time.monotonic() - start) * 1_000_000)
        self._collected.calls.append(Call(part, key, outcome, latency_us, ahead, reported))
        return fault
