"""One call of a node: problems out, bids and ends back. Nothing it answers is believed."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError

from walras.api.v1 import solver_service_pb2
from walras.core.errors import Reason, SolverFault

Solve = grpc.aio.StreamStreamMultiCallable[bytes, bytes]
"""The request is serialized once for all nodes; the answer is a stranger's."""

MAX_ANSWER_BYTES = 16 << 20
"""All bids of one node for one problem: checking them delays the award, and they are logged."""

MAX_NODE_BYTES = 64 << 20
"""All that one node sends for one batch, openings included: it is kept, and most of it logged."""

MAX_BATCH_BYTES = 1 << 30
"""All that the nodes of one batch send; each has an equal share."""

MAX_OUTGOING = 4_096
"""Messages that wait for a node to read them."""

_DETAIL = 200
_REASONS = {
    solver_service_pb2.PART_STATUS_BASE_UNKNOWN: Reason.BASE_UNKNOWN,
    solver_service_pb2.PART_STATUS_TIMEOUT: Reason.NODE_TIMEOUT,
    solver_service_pb2.PART_STATUS_REFUSED: Reason.NODE_BUSY,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A bid, or the end of a part, or both.

    Attributes:
        part: its place in the call.
        bid: an envelope; or empty.
        in_flight: problems that the node says are in flight there.
        ended: nothing more will come of this part.
        fault: why it ended, if not well.
        more: others of the same message follow.
    """

    part: int
    bid: bytes = b""
    in_flight: int = 0
    ended: bool = False
    fault: SolverFault | None = None
    more: bool = False


@dataclass(slots=True)
class Allowance:
    """Bytes that a node may still send for a batch; all calls to it count."""

    left: int = MAX_NODE_BYTES

    @classmethod
    def share(cls, nodes: int) -> "Allowance":
        """That of each of so many nodes."""
        return cls(min(MAX_NODE_BYTES, MAX_BATCH_BYTES // max(nodes, 1)))

    def take(self, size: int) -> bool:
        """Whether so many more may come."""
        self.left -= size
        return self.left >= 0


@dataclass(slots=True)
class _Tally:
    """What came for a part so far."""

    bids: int = 0
    size: int = 0


class Call:
    """One call of a node, open in both directions.

    Reading and writing are tasks of their own: a node that does not read, or does not write, keeps
    nobody waiting beyond a deadline, and giving up on one answer does not end the call.

    Args:
        name: the node's, for messages.
        solve: its method.
        seconds: after which the call ends, whatever happens.
        allowance: of the node.
    """

    def __init__(self, name: str, solve: Solve, seconds: float, allowance: Allowance) -> None:
        self.name = name
        self._allowance = allowance
        self._call = solve(timeout=seconds)
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue(MAX_OUTGOING)
        self._incoming: asyncio.Queue[bytes | SolverFault | None] = asyncio.Queue(1)
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    def send(self, data: bytes) -> None:
        """Send a serialized SolveRequest; a node that does not read them loses the call."""
        try:
            self._outgoing.put_nowait(data)
        except asyncio.QueueFull:
            self._call.cancel()

    async def put(self, data: bytes, end: float) -> None:
        """As `send`, for what there may be much of: waits until `end` for a node that reads slowly.

        Meanwhile nothing more is read from it.
        """
        try:
            async with asyncio.timeout_at(end):
                await self._outgoing.put(data)
        except TimeoutError:
            self._call.cancel()

    async def next(self, end: float) -> bytes | None:
        """The next message; None after the last.

        Args:
            end: of the wait, by `time.monotonic`.

        Raises:
            SolverFault: NODE_TIMEOUT, NODE_MALFORMED beyond the allowance, or how the call ended.
        """
        try:
            async with asyncio.timeout_at(end):
                found = await self._incoming.get()
        except TimeoutError:
            raise SolverFault(
                Reason.NODE_TIMEOUT, f"{self.name} did not answer in time", node=self.name
            ) from None
        if found is None or isinstance(found, SolverFault):
            self._incoming.put_nowait(found)  # whoever asks again hears it again
        if isinstance(found, SolverFault):
            raise found
        if found is not None and not self._allowance.take(len(found)):
            raise SolverFault(Reason.NODE_MALFORMED, f"{self.name} sends too much", node=self.name)
        return found

    async def answers(
        self, parts: int, end: float, max_bids: int, bid_bytes: int
    ) -> AsyncGenerator[Answer, None]:
        """What a node answers to a request of so many parts, as it comes; each part ends once, at
        the latest with the time or the call.

        Args:
            parts: of the request.
            end: of the time to bid, by `time.monotonic`.
            max_bids: for a part; more are its fault.
            bid_bytes: of a bid, or of a commitment; likewise.
        """
        unended = {place: _Tally() for place in range(parts)}
        fault: SolverFault | None = None
        try:
            while unended and (data := await self.next(end)) is not None:
                for answer in _read(self.name, data, unended, max_bids, bid_bytes):
                    yield answer
        except SolverFault as error:
            fault = error
        for place in unended:
            yield Answer(place, ended=True, fault=fault)

    async def openings(self, most: int, end: float) -> AsyncGenerator[tuple[bytes, ...], None]:
        """Envelopes of openings, message by message, until the call ends or `end`.

        Args:
            most: that there can be; with more the call is left.
            end: by `time.monotonic`.

        Raises:
            SolverFault: how it ended, if not well.
        """
        left = most
        while (data := await self.next(end)) is not None:
            # Answers that crossed the closing on their way came too late, and are passed over.
            found = tuple(_parse(self.name, data).openings)
            if found:
                yield found[:left]
            left -= len(found)
            if left < 0:
                message = f"{self.name} sends too much"
                raise SolverFault(Reason.NODE_MALFORMED, message, node=self.name)

    async def close(self, grace: float = 0.0) -> None:
        """Hang up: at once, or when the node has read what was sent, at most `grace` seconds on."""
        if grace:
            with suppress(TimeoutError, asyncio.QueueFull, SolverFault):
                self._outgoing.put_nowait(b"")
                while await self.next(asyncio.get_running_loop().time() + grace) is not None:
                    pass
        self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        end: SolverFault | None = None
        try:
            async for data in self._call:
                await self._incoming.put(data)
        except grpc.aio.AioRpcError as error:
            end = fault_of(self.name, error)
        except asyncio.CancelledError:
            # Also raised where the channel was closed under the call, as the process was gone.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            end = SolverFault(Reason.NODE_CRASHED, f"{self.name} went away", node=self.name)
        await self._incoming.put(end)

    async def _write(self) -> None:
        # Where the call is over, the reader says how.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
            while data := await self._outgoing.get():
                await self._call.write(data)
            await self._call.done_writing()


def fault_of(name: str, error: grpc.aio.AioRpcError) -> SolverFault:
    """Why a call of this node failed."""
    reason = {
        grpc.StatusCode.DEADLINE_EXCEEDED: Reason.NODE_TIMEOUT,
        grpc.StatusCode.UNAVAILABLE: Reason.NODE_UNREACHABLE,
    }.get(error.code(), Reason.NODE_FAILED)
    detail = (error.details() or "")[:_DETAIL]
    return SolverFault(reason, f"{name}: {error.code().name} {detail}", node=name)


def _read(
    name: str, data: bytes, unended: dict[int, _Tally], max_bids: int, bid_bytes: int
) -> Iterator[Answer]:
    """The answers of one message; raises SolverFault after those before the first wrong one."""
    response = _parse(name, data)
    if not response.answers:
        raise SolverFault(Reason.NODE_MALFORMED, f"{name} answers nothing", node=name)
    for left, answer in zip(
        range(len(response.answers) - 1, -1, -1), response.answers, strict=True
    ):
        tally = unended.get(answer.part)
        if tally is None:
            message = f"{name} answers what it was not asked, or again"
            raise SolverFault(Reason.NODE_MALFORMED, message, node=name)
        if answer.bid:
            tally.bids += 1
            tally.size += len(answer.bid)
        elif not answer.status:
            raise SolverFault(Reason.NODE_MALFORMED, f"{name} answers nothing", node=name)
        if len(answer.bid) > bid_bytes or tally.size > MAX_ANSWER_BYTES:
            raise SolverFault(Reason.NODE_MALFORMED, f"{name} sends too much", node=name)
        if tally.bids > max_bids:
            message = f"{name} sends more than {max_bids} bids"
            raise SolverFault(Reason.BID_LIMIT, message, node=name)
        ended = bool(answer.status)
        if ended:
            del unended[answer.part]
        fault = _end(name, answer)
        yield Answer(answer.part, answer.bid, response.in_flight, ended, fault, left > 0)


def _parse(name: str, data: bytes) -> solver_service_pb2.SolveResponse:
    try:
        return solver_service_pb2.SolveResponse.FromString(data)
    except DecodeError as error:
        raise SolverFault(
            Reason.NODE_MALFORMED, f"{name} sends what is no message", node=name
        ) from error


def _end(name: str, answer: solver_service_pb2.Answer) -> SolverFault | None:
    if answer.status in (
        solver_service_pb2.PART_STATUS_UNSPECIFIED,
        solver_service_pb2.PART_STATUS_DONE,
    ):
        return None
    reason = _REASONS.get(answer.status, Reason.NODE_FAILED)
    detail = answer.detail[:_DETAIL]
    return SolverFault(reason, f"{name}: {detail or 'failed'}", node=name)
