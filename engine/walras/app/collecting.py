"""Asking the nodes of a sealed batch, as its dispatch says, until all have answered or the
deadline.

Reading and checking are apart: bids are checked one by one in a thread as they come, and a dear
check must not keep the next bid waiting past the deadline. Where a node fails, the next that stands
by is asked, if there is time.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import sha256

import structlog

from walras.auction.batch import MAX_BID_BYTES, ReceivedBid, SealedBatch
from walras.auction.dispatch import shard_key
from walras.balance.events import Outcome
from walras.core.errors import Reason, SolverFault
from walras.fleet.asking import Allowance
from walras.fleet.conversation import Conversation
from walras.fleet.nodes import Node
from walras.fleet.sending import Outgoing
from walras.protocol.codec import Signed
from walras.protocol.dispatch import Call
from walras.protocol.sealed_bids import (
    MAX_COMMITMENT_BYTES,
    BidReceipt,
    BidUnopened,
    ReceivedCommitment,
    Task,
)
from walras.sdk.node import MAX_PARTS

log = structlog.get_logger()

MAX_CALL_BYTES = 64 << 20
"""Of problems in one call, if they are several: far below what a node takes."""

MAX_DIGESTS = 1_024
"""In one receipt."""

LEAST_SECONDS = 0.02
"""With less time left nobody else is asked."""

Check = Callable[[bytes, bytes, int], asyncio.Future[ReceivedBid]]
"""A node's bytes, its key and when they came → what they are worth, some time later."""


@dataclass(slots=True)
class Collected:
    """What came of the calls.

    Attributes:
        bids: in the order in which they came, with the bytes as they came; where they are sealed,
            in the order of their commitments.
        commitments: in the order in which they came.
        unopened: those that came to no bid, with the opening that does not hold, if there was one.
        calls: in the order in which they ended.
        faults: node's name → its latest fault.
    """

    bids: list[tuple[ReceivedBid, bytes]] = field(default_factory=list)
    commitments: list[ReceivedCommitment] = field(default_factory=list)
    unopened: list[tuple[BidUnopened, bytes]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    faults: dict[str, SolverFault] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A part's call that came to its end; `start` is by `time.monotonic`."""

    part: int
    ahead: int
    reported: int
    start: float
    fault: SolverFault | None


@dataclass(slots=True)
class _Came:
    """What one message brought: when, and the SHA-256 of each bid or commitment."""

    at_ms: int = 0
    digests: list[bytes] = field(default_factory=list)


class Collection:
    """The calls of one batch.

    Args:
        sealed: the batch; somebody is asked.
        bodies: each part's bytes, in order.
        nodes: connected, by key.
        in_flight: calls of the engine by node, kept up to date here.
        checkpoint: the log's newest signed note.
        clock: milliseconds since the epoch, of the sealing; nobody sets it meanwhile.
        check: starts the check of a bid.
        sign: the engine's envelope of a record.
        open_seconds: after the bidding, for openings.

    Attributes:
        talks: with whom; they go on after the bidding, until `close`.
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
        sign: Callable[[Signed], bytes],
        open_seconds: float = 0.0,
    ) -> None:
        assert sealed.plan is not None
        self._sealed = sealed
        self._plan = sealed.plan
        self._nodes = nodes
        self._in_flight = in_flight
        self._checkpoint = checkpoint
        self._clock = clock
        self._check = check
        self._sign = sign
        self._open_seconds = open_seconds
        self.talks: list[tuple[bytes, Conversation]] = []
        self._outgoing = [
            Outgoing(body, part.intents, shard_key(part))
            for body, part in zip(bodies, sealed.parts, strict=True)
        ]
        self._allowances = {key: Allowance.share(len(sealed.solvers)) for key in sealed.solvers}
        self._checks: list[asyncio.Future[ReceivedBid]] = []
        self._envelopes: list[bytes] = []
        self._collected = Collected()
        keys = [node.public_key for node in self._plan.nodes]
        self._standby = [
            iter([keys[place] for place in part.nodes[part.asked :]]) for part in self._plan.parts
        ]
        left_ms = max(0, sealed.deadline_ms - clock())
        self._end = time.monotonic() + left_ms / 1_000

    async def run(self) -> None:
        """Ask, until the last call has ended; none outlives the deadline."""
        by_node: defaultdict[bytes, list[int]] = defaultdict(list)
        for part, assignment in enumerate(self._plan.parts):
            for place in assignment.nodes[: assignment.asked]:
                by_node[self._plan.nodes[place].public_key].append(part)
        async with asyncio.TaskGroup() as group:
            for key, parts in by_node.items():
                for call in self._calls(parts):
                    group.create_task(self._ask(call, key, group))

    async def finish(self) -> Collected:
        """All checks of open bids done."""
        for outgoing in self._outgoing:
            outgoing.settle()
        checked = await asyncio.gather(*self._checks)
        self._collected.bids = list(zip(checked, self._envelopes, strict=True))
        return self._collected

    async def close(self) -> None:
        """Hang up."""
        await asyncio.gather(*(talk.close() for _, talk in self.talks))

    def _calls(self, parts: Sequence[int]) -> Iterator[list[int]]:
        """A node's parts, as many in a call as it may bring."""
        call: list[int] = []
        size = 0
        for part in parts:
            more = len(self._outgoing[part].body)
            if call and (len(call) == MAX_PARTS or size + more > MAX_CALL_BYTES):
                yield call
                call, size = [], 0
            call.append(part)
            size += more
        yield call

    async def _ask(self, parts: Sequence[int], key: bytes, group: asyncio.TaskGroup) -> None:
        """Ask a node; for what it fails at, ask the next that stands by, if there is time."""
        node = self._nodes[key]
        sealed = self._sealed
        start = time.monotonic()
        ahead = range(self._in_flight[key] + 1, self._in_flight[key] + 1 + len(parts))
        self._in_flight[key] += len(parts)
        reported = [0] * len(parts)
        unended = len(parts)
        talk = node.ask(
            [self._outgoing[part] for part in parts],
            end=self._end,
            last=self._end + self._open_seconds,
            max_bids=sealed.problem.rules.max_bids,
            bid_bytes=MAX_COMMITMENT_BYTES if sealed.bid_key else MAX_BID_BYTES,
            allowance=self._allowances[key],
            checkpoint=self._checkpoint,
            task=self._sign(self._task(parts, key)),
        )
        self.talks.append((key, talk))
        came = _Came()
        try:
            async with aclosing(talk.answers()) as answers:
                async for answer in answers:
                    place = answer.part
                    reported[place] = max(reported[place], answer.in_flight)
                    if answer.bid:
                        self._take(answer.bid, key, came)
                    if not answer.more:
                        await self._receipt(key, talk, came)
                        came = _Came()
                    if answer.ended:
                        unended -= 1
                        self._release(key, 1)
                        fault = answer.fault
                        ended = _Ended(parts[place], ahead[place], reported[place], start, fault)
                        self._end_of(ended, node, group)
            await self._receipt(key, talk, came)
        finally:
            self._release(key, unended)

    def _task(self, parts: Sequence[int], key: bytes) -> Task:
        sealed = self._sealed
        return Task(
            sealed.problem.domain,
            sealed.auction_id,
            key,
            tuple(self._outgoing[part].digest for part in parts),
            self._clock(),
            sealed.deadline_ms,
            sealed.bid_key,
        )

    def _take(self, data: bytes, key: bytes, came: _Came) -> None:
        """A bid or a commitment came; one that is late by its receipt counts no more."""
        sealed = self._sealed
        if not came.digests:
            came.at_ms = self._clock()
        came.digests.append(sha256(data).digest())
        if came.at_ms > sealed.deadline_ms:
            return
        if sealed.bid_key:
            self._collected.commitments.append(ReceivedCommitment(data, key, came.at_ms))
        else:
            self._envelopes.append(data)
            self._checks.append(self._check(data, key, came.at_ms))

    async def _receipt(self, key: bytes, talk: Conversation, came: _Came) -> None:
        """One for a message: a node that sends many at once must not be flooded by receipts."""
        sealed = self._sealed
        named = sealed.problem.domain, sealed.auction_id, key
        for start in range(0, len(came.digests), MAX_DIGESTS):
            digests = tuple(came.digests[start : start + MAX_DIGESTS])
            await talk.receipt(self._sign(BidReceipt(*named, digests, came.at_ms)), self._end)

    def _end_of(self, ended: _Ended, node: Node, group: asyncio.TaskGroup) -> None:
        fault = ended.fault
        outcome = Outcome.OK
        if fault is not None:
            log.warning("solver fault", node=node.name, reason=fault.reason, why=str(fault))
            self._collected.faults[node.name] = fault
            timed_out = fault.reason is Reason.NODE_TIMEOUT
            outcome = Outcome.TIMEOUT if timed_out else Outcome.ERROR
        now = time.monotonic()
        latency_us = int((now - ended.start) * 1_000_000)
        key = node.public_key
        self._collected.calls.append(
            Call(ended.part, key, outcome, latency_us, ended.ahead, ended.reported)
        )
        if outcome is Outcome.ERROR and self._end - now >= LEAST_SECONDS:
            following = next(self._standby[ended.part], None)
            if following is not None:
                group.create_task(self._ask([ended.part], following, group))

    def _release(self, key: bytes, count: int) -> None:
        self._in_flight[key] -= count
        if not self._in_flight[key]:
            del self._in_flight[key]
