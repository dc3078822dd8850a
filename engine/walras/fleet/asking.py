"""One call of a node: problems out, bids and ends back. Nothing it answers is believed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError

from walras.api.v1 import solver_service_pb2
from walras.auction.batch import MAX_BID_BYTES
from walras.core.errors import Reason, SolverFault
from walras.fleet.sending import request

Solve = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
"""The request is serialized once for all nodes; the answer is a stranger's."""

MAX_ANSWER_BYTES = 16 << 20
"""All bids of one node for one problem: checking them delays the award, and they are logged."""

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
    """

    part: int
    bid: bytes = b""
    in_flight: int = 0
    ended: bool = False
    fault: SolverFault | None = None


@dataclass(slots=True)
class _Tally:
    """What came for a part so far."""

    bids: int = 0
    size: int = 0


async def ask(
    name: str, solve: Solve, parts: Sequence[bytes], end: float, max_bids: int, checkpoint: bytes
) -> AsyncGenerator[Answer, None]:
    """What a node answers, as it comes; each part ends once, at the latest with the call.

    Args:
        name: the node's, for messages.
        solve: its method.
        parts: of a serialized request.
        end: of the time to bid, by `time.monotonic`.
        max_bids: for a part; more are its fault.
        checkpoint: the log's newest signed note.
    """
    seconds = max(0.001, end - time.monotonic())
    call = solve(request(parts, max(1, int(seconds * 1_000)), checkpoint), timeout=seconds)
    unended = {place: _Tally() for place in range(len(parts))}
    fault: SolverFault | None = None
    try:
        async for data in call:
            for answer in _read(name, data, unended, max_bids):
                yield answer
            if not unended:
                break
    except asyncio.CancelledError:
        # Also raised where the channel was closed under the call, as the process was gone.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        fault = SolverFault(Reason.NODE_CRASHED, f"{name} went away", node=name)
    except grpc.aio.AioRpcError as error:
        fault = fault_of(name, error)
    except SolverFault as error:
        fault = error
    finally:
        call.cancel()
    for place in unended:
        yield Answer(place, ended=True, fault=fault)


def fault_of(name: str, error: grpc.aio.AioRpcError) -> SolverFault:
    """Why a call of this node failed."""
    reason = {
        grpc.StatusCode.DEADLINE_EXCEEDED: Reason.NODE_TIMEOUT,
        grpc.StatusCode.UNAVAILABLE: Reason.NODE_UNREACHABLE,
    }.get(error.code(), Reason.NODE_FAILED)
    detail = (error.details() or "")[:_DETAIL]
    return SolverFault(reason, f"{name}: {error.code().name} {detail}", node=name)


def _read(name: str, data: bytes, unended: dict[int, _Tally], max_bids: int) -> Iterator[Answer]:
    """The answers of one message; raises SolverFault after those before the first wrong one."""
    try:
        response = solver_service_pb2.SolveResponse.FromString(data)
    except DecodeError as error:
        raise SolverFault(
            Reason.NODE_MALFORMED, f"{name} sends what is no message", node=name
        ) from error
    if not response.answers:
        raise SolverFault(Reason.NODE_MALFORMED, f"{name} answers nothing", node=name)
    for answer in response.answers:
        tally = unended.get(answer.part)
        if tally is None:
            message = f"{name} answers what it was not asked, or again"
            raise SolverFault(Reason.NODE_MALFORMED, message, node=name)
        if answer.bid:
            tally.bids += 1
            tally.size += len(answer.bid)
        elif not answer.status:
            raise SolverFault(Reason.NODE_MALFORMED, f"{name} answers nothing", node=name)
        if len(answer.bid) > MAX_BID_BYTES or tally.size > MAX_ANSWER_BYTES:
            raise SolverFault(Reason.NODE_MALFORMED, f"{name} sends too much", node=name)
        if tally.bids > max_bids:
            message = f"{name} sends more than {max_bids} bids"
            raise SolverFault(Reason.BID_LIMIT, message, node=name)
        ended = bool(answer.status)
        if ended:
            del unended[answer.part]
        yield Answer(answer.part, answer.bid, response.in_flight, ended, _end(name, answer))


def _end(name: str, answer: solver_service_pb2.Answer) -> SolverFault | None:
    if answer.status in (
        solver_service_pb2.PART_STATUS_UNSPECIFIED,
        solver_service_pb2.PART_STATUS_DONE,
    ):
        return None
    reason = _REASONS.get(answer.status, Reason.NODE_FAILED)
    detail = answer.detail[:_DETAIL]
    return SolverFault(reason, f"{name}: {detail or 'failed'}", node=name)
