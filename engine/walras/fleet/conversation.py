"""A node asked for one batch: bids or commitments, receipts, openings."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from walras.api.v1.solver_service_pb2 import SolveRequest
from walras.core.errors import Reason, SolverFault
from walras.fleet.asking import Allowance, Answer, Call, Solve
from walras.fleet.sending import Holding, Outgoing, request

GRACE_SECONDS = 0.2
"""For a node to read its receipts."""

_GONE = {Reason.NODE_UNREACHABLE, Reason.NODE_CRASHED}


class Asked(Protocol):
    """A node as its conversations know it; `method` is None while it is not connected."""

    name: str
    held: Holding
    method: Solve | None

    async def close(self) -> None:
        """Hang up on it for good."""
        ...


class Conversation:
    """What is asked of a node for one batch, and what it answers: bids or commitments, openings.

    It is one call, and another for what the node had forgotten. Made by `Node.ask`.
    """

    def __init__(
        self,
        node: Asked,
        problems: Sequence[Outgoing],
        end: float,
        last: float,
        max_bids: int,
        bid_bytes: int,
        allowance: Allowance,
        sent: Mapping[str, bytes],
    ) -> None:
        self._node = node
        self._problems = problems
        self._end = end
        self._last = last
        self._max_bids = max_bids
        self._bid_bytes = bid_bytes
        self._allowance = allowance
        self._sent = sent
        self._calls: list[Call] = []
        self._heard: Call | None = None  # on which the last answer came
        self._receipts = 0

    async def answers(self) -> AsyncGenerator[Answer, None]:
        """What comes, as it comes; every problem ends once."""
        held = self._node.held
        bases = [held.base_for(problem) for problem in self._problems]
        places = list(range(len(self._problems)))
        while places:
            forgotten: list[int] = []
            parts = [self._problems[place].part(bases[place]) for place in places]
            async with aclosing(self._ask(parts)) as answers:
                async for answer in answers:
                    place, fault = places[answer.part], answer.fault
                    forgot = fault is not None and fault.reason is Reason.BASE_UNKNOWN
                    if forgot and bases[place] is not None:
                        forgotten.append(place)
                        continue
                    if answer.ended and fault is None:
                        held.add(self._problems[place])
                    yield replace(answer, part=place)
            if forgotten:
                # As it may after a restart: once more, whole.
                held.clear()
                bases = [None] * len(self._problems)
            places = forgotten

    async def receipt(self, data: bytes, end: float) -> None:
        """Hand over a BidReceipt for the answer or opening that came last, until `end`."""
        assert self._heard is not None
        self._receipts += 1
        await self._heard.put(SolveRequest(receipt=data).SerializeToString(), end)

    async def openings(
        self, closing: bytes, most: int, end: float
    ) -> AsyncGenerator[tuple[bytes, ...], None]:
        """Openings as they come, by message, once the node is told of the closing.

        Args:
            closing: a serialized SolveRequest that says so.
            most: openings that there can be.
            end: of the time to open, by `time.monotonic`.

        Raises:
            SolverFault: how it ended, if not well.
        """
        for call in self._calls:
            call.send(closing)
        for call in self._calls:
            self._heard = call
            async with aclosing(call.openings(most, end)) as openings:
                async for together in openings:
                    yield together

    async def close(self) -> None:
        """Hang up; a node that has receipts coming gets them first, if it reads."""
        grace = GRACE_SECONDS if self._receipts else 0.0
        await asyncio.gather(*(call.close(grace) for call in self._calls))

    async def _ask(self, parts: Sequence[bytes]) -> AsyncGenerator[Answer, None]:
        node = self._node
        solve = node.method
        if solve is None:
            fault = SolverFault(
                Reason.NODE_UNREACHABLE, f"{node.name} is not connected", node=node.name
            )
            for place in range(len(parts)):
                yield Answer(place, ended=True, fault=fault)
            return
        now = time.monotonic()
        call = Call(node.name, solve, max(0.001, self._last - now), self._allowance)
        self._calls.append(call)
        self._heard = call
        call.send(request(parts, max(1, int(1_000 * (self._end - now))), **self._sent))
        coming = call.answers(len(parts), self._end, self._max_bids, self._bid_bytes)
        async with aclosing(coming) as answers:
            async for answer in answers:
                gone = answer.fault is not None and answer.fault.reason in _GONE
                # A call may end after the connection was made anew: that one is not to be closed.
                if gone and node.method is solve:
                    await node.close()
                yield answer
