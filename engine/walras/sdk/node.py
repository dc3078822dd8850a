"""A solver node: any `Solver` behind the gRPC contract that the engine dials.

    node = Node(MySolver(), signer)
    server, address = await start(node, "127.0.0.1:0")

Solvers run in threads of their own and are guests there: what they raise ends their own answer with
an error status, and the node goes on.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from walras.api.v1 import solver_service_pb2, solver_service_pb2_grpc
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.audit.note import NoteKey, open_checkpoint
from walras.core.bids import Bid, Proposal
from walras.core.errors import AuditFailure, Reason, SolverFault, WalrasError
from walras.protocol.codec import encode
from walras.protocol.problem import Problem
from walras.sdk.echo import answer
from walras.sdk.held import HELD_PROBLEMS, MAX_MESSAGE_BYTES, Held
from walras.sdk.listening import listen_at
from walras.sdk.outbox import Outbox, Sent
from walras.sdk.slots import Slots, Threads, Turn
from walras.sdk.solver import Solver

log = structlog.get_logger()

MAX_WAITING = 1_024
"""Problems that wait for a slot; more are refused."""

MAX_PARTS = 64
"""Problems in one call."""

ENOUGH_BYTES = 1 << 20
"""Of bids in one message, if more are there."""

_STATUS = {
    Reason.BASE_UNKNOWN: solver_service_pb2.PART_STATUS_BASE_UNKNOWN,
    Reason.NODE_TIMEOUT: solver_service_pb2.PART_STATUS_TIMEOUT,
    Reason.NODE_BUSY: solver_service_pb2.PART_STATUS_REFUSED,
    Reason.NODE_FAILED: solver_service_pb2.PART_STATUS_FAILED,
}

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]

SolveContext = grpc.aio.ServicerContext[
    solver_service_pb2.SolveRequest, solver_service_pb2.SolveResponse
]


class Node(solver_service_pb2_grpc.SolverServiceServicer):
    """Solvers of one kind, their key, and the problems that they have seen.

    Args:
        solvers: one, or one for each slot; each works on one problem at a time.
        signer: signs every bid.
        name: shown instead of the solver's own name, where several nodes run the same solver.
        region: where this node is; empty: not said.
        log_key: of the log whose checkpoints the node keeps; None: it keeps what comes.

    Attributes:
        checkpoint: the newest signed checkpoint of the engine's log that came with a problem.
    """

    def __init__(
        self,
        solvers: Solver | Sequence[Solver],
        signer: Signer,
        name: str = "",
        *,
        region: str = "",
        log_key: NoteKey | None = None,
    ) -> None:
        every = list(solvers) if isinstance(solvers, Sequence) else [solvers]
        self._signer = signer
        self._description = every[0].describe()
        self._name = name or self._description.name
        self._region = region
        self._slots = Slots(every)
        self._threads = Threads(len(every))
        self._held = Held()
        self._in_flight = 0
        self._log_key = log_key
        self._log_size = 0
        self.checkpoint = b""

    async def Describe(
        self,
        request: solver_service_pb2.DescribeRequest,
        context: grpc.aio.ServicerContext[
            solver_service_pb2.DescribeRequest, solver_service_pb2.DescribeResponse
        ],
    ) -> solver_service_pb2.DescribeResponse:
        """Who this is, and what it takes."""
        description = self._description
        return solver_service_pb2.DescribeResponse(
            name=self._name,
            version=description.version,
            public_key=self._signer.public_key,
            slots=self._slots.count,
            region=self._region,
            chains=sorted(set(description.chains)),
            venue_kinds=sorted(set(description.venue_kinds)),
            max_intents=description.max_intents,
            max_venues=description.max_venues,
            held_problems=HELD_PROBLEMS,
        )

    async def ReportLoad(
        self,
        request: solver_service_pb2.ReportLoadRequest,
        context: grpc.aio.ServicerContext[
            solver_service_pb2.ReportLoadRequest, solver_service_pb2.ReportLoadResponse
        ],
    ) -> solver_service_pb2.ReportLoadResponse:
        """How busy this is."""
        slots = self._slots
        rounds = max(slots.count, self._in_flight + 1) / slots.count
        return solver_service_pb2.ReportLoadResponse(
            in_flight=self._in_flight,
            latency_us=int(rounds * slots.service_seconds * 1_000_000),
        )

    async def Probe(
        self,
        request: solver_service_pb2.ProbeRequest,
        context: grpc.aio.ServicerContext[
            solver_service_pb2.ProbeRequest, solver_service_pb2.ProbeResponse
        ],
    ) -> solver_service_pb2.ProbeResponse:
        """A sign of life."""
        try:
            echo = answer(
                request.challenge,
                self._signer,
                self._in_flight,
                self._slots.count,
                self.checkpoint,
            )
        except WalrasError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return solver_service_pb2.ProbeResponse(echo=echo)

    async def Solve(  # type: ignore[override]  # a coroutine that writes is as good to grpc.aio
        self, request: solver_service_pb2.SolveRequest, context: SolveContext
    ) -> None:
        """Signed bids as the solver finds them."""
        end = time.monotonic() + request.budget_ms / 1_000
        if len(request.parts) > MAX_PARTS:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"a call brings at most {MAX_PARTS} problems"
            )
        try:
            self._held.add_intents(request.intents)
        except WalrasError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        outbox = Outbox(len(request.parts))
        turns: list[Turn] = []
        tasks = [
            asyncio.create_task(self._take(place, part, request.checkpoint, end, outbox, turns))
            for place, part in enumerate(request.parts)
        ]
        try:
            while sent := await outbox.get():
                for answers in _chunks(sent):
                    ended = sum(1 for answer in answers if answer.status)
                    response = solver_service_pb2.SolveResponse(
                        answers=answers, in_flight=self._in_flight + ended
                    )
                    await context.write(response)
        finally:
            for task in tasks:
                task.cancel()
            for turn in turns:
                turn.deadline.cancel()
            outbox.abandon()

    async def _take(
        self,
        place: int,
        part: solver_service_pb2.ProblemPart,
        checkpoint: bytes,
        end: float,
        outbox: Outbox,
        turns: list[Turn],
    ) -> None:
        """Let one part have its turn; where it gets none, it has ended."""
        self._in_flight += 1
        begun = False
        try:
            if self._slots.waiting >= MAX_WAITING:
                message = f"{MAX_WAITING} problems wait already"
                raise SolverFault(Reason.NODE_BUSY, message)
            # Before it waits: the next problem may build on this one.
            body = self._held.take(part)
            self._keep(checkpoint)
            turn = await self._slots.take(end)
            turns.append(turn)
            solve = partial(self._solve, place, part.problem_digest, body, turn, outbox)
            self._threads.start(solve)
            begun = True
        except TimeoutError:
            message = "no slot was free in time"
            outbox.end(place, SolverFault(Reason.NODE_TIMEOUT, message))
        except WalrasError as error:
            outbox.end(place, error)
        finally:
            if not begun:
                self._in_flight -= 1

    def _keep(self, note: bytes) -> None:
        if not note or note == self.checkpoint:
            return
        if self._log_key is not None:
            try:
                size = open_checkpoint(note, self._log_key).size
            except AuditFailure as failure:
                log.warning("another log's checkpoint", solver=self._name, why=str(failure))
                return
            if size < self._log_size:
                return
            self._log_size = size
        self.checkpoint = note

    def _ended(self, turn: Turn) -> None:
        # Not before the thread has: whoever hung up, until then its slot is taken.
        self._slots.give(turn)
        self._in_flight -= 1

    def _solve(self, place: int, digest: bytes, body: bytes, turn: Turn, outbox: Outbox) -> None:
        fault: WalrasError | None = None
        try:
            problem = self._held.problem(body)
            self._propose(problem, place, digest, turn, outbox)
        except WalrasError as error:
            fault = error
        finally:
            outbox.end(place, fault, partial(self._ended, turn))

    def _propose(
        self, problem: Problem, place: int, digest: bytes, turn: Turn, outbox: Outbox
    ) -> None:
        try:
            for proposal in turn.solver.solve(problem, turn.deadline):
                bid = self._sign(problem, digest, proposal)
                if not outbox.put(place, bid) or turn.deadline.passed:
                    break
        except BaseException as error:  # a guest may raise anything, SystemExit too
            log.exception("the solver failed", solver=self._name)
            raise SolverFault(Reason.NODE_FAILED, "the solver failed") from error

    def _sign(self, problem: Problem, digest: bytes, proposal: Proposal) -> bytes:
        bid = Bid(problem.auction_id, digest, self._signer.public_key, proposal)
        kind, body = encode(bid)
        return envelope.seal(kind.payload_type, body, self._signer)


def _chunks(sent: Iterable[Sent]) -> Iterator[list[solver_service_pb2.Answer]]:
    """As answers, in messages that gRPC takes."""
    answers: list[solver_service_pb2.Answer] = []
    size = 0
    for one in sent:
        answers.append(_answer(one))
        size += len(one.bid)
        if size >= ENOUGH_BYTES:
            yield answers
            answers, size = [], 0
    if answers:
        yield answers


def _answer(sent: Sent) -> solver_service_pb2.Answer:
    if sent.bid:
        return solver_service_pb2.Answer(part=sent.part, bid=sent.bid)
    if sent.fault is None:
        status = solver_service_pb2.PART_STATUS_DONE
        return solver_service_pb2.Answer(part=sent.part, status=status)
    status = _STATUS.get(sent.fault.reason, solver_service_pb2.PART_STATUS_INVALID)
    return solver_service_pb2.Answer(part=sent.part, status=status, detail=str(sent.fault))


async def start(node: Node, listen: str) -> tuple[grpc.aio.Server, str]:
    """Serve `node` on `listen` (host:port, port 0 for any); returns the server and its address.

    Raises as `listen_at`.
    """
    server = grpc.aio.server(options=OPTIONS)
    solver_service_pb2_grpc.add_SolverServiceServicer_to_server(node, server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    return server, await listen_at(server, listen)
