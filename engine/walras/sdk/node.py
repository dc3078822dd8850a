"""A solver node: any `Solver` behind the gRPC contract that the engine dials.

    node = Node(MySolver(), signer)
    server, address = await start(node, "127.0.0.1:0")

Solvers run in threads of their own and are guests there: what they raise ends their own answer with
an error status, and the node goes on.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from walras.api.v1 import solver_service_pb2, solver_service_pb2_grpc
from walras.audit import envelope
from walras.audit.bindings import open_by_any
from walras.audit.keys import Signer
from walras.audit.note import NoteKey
from walras.core.bids import Bid, Proposal
from walras.core.errors import AuditFailure, InvalidInput, Reason, SolverFault, WalrasError
from walras.protocol.codec import encode
from walras.protocol.problem import Problem
from walras.sdk.bidding import Bidding, Keep, begin
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
        log_key: of the log whose checkpoints the node keeps, and whose closings it opens bids for:
            one, or the old and the new where it is replaced; None: it keeps and opens what comes.
        evidence: keeps what the engine signs: tasks, receipts and closings.

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
        log_key: NoteKey | Sequence[NoteKey] | None = None,
        evidence: Keep | None = None,
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
        self._log_keys = (log_key,) if isinstance(log_key, NoteKey) else tuple(log_key or ())
        self._evidence = evidence
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

    async def Solve(  # type: ignore[override]  # a coroutine that reads and writes is as good
        self, requests: object, context: SolveContext
    ) -> None:
        """Signed bids, or commitments to them, as the solver finds them; then the openings."""
        request: object = await context.read()
        if not isinstance(request, solver_service_pb2.SolveRequest):
            return
        end = time.monotonic() + request.budget_ms / 1_000
        try:
            if len(request.parts) > MAX_PARTS:
                message = f"a call brings at most {MAX_PARTS} problems"
                raise InvalidInput(Reason.MESSAGE_TOO_LARGE, message)
            bidding = begin(request, self._signer, time.time_ns() // 1_000_000)
            self._held.add_intents(request.intents)
        except WalrasError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._keep_evidence("task", request.task)
        outbox = Outbox(len(request.parts))
        turns: list[Turn] = []
        tasks = [
            asyncio.create_task(
                self._take(place, part, request.checkpoint, end, outbox, turns, bidding)
            )
            for place, part in enumerate(request.parts)
        ]
        listening = asyncio.create_task(self._listen(bidding, outbox, context))
        try:
            while sent := await outbox.get():
                for answers in _chunks(sent):
                    ended = sum(1 for answer in answers if answer.status)
                    response = solver_service_pb2.SolveResponse(
                        answers=answers, in_flight=self._in_flight + ended
                    )
                    await context.write(response)
            if bidding.task is not None:
                # Who sent a task sends receipts, and then the closing or the end.
                await self._open(bidding, await listening, context)
        finally:
            for task in (*tasks, listening):
                task.cancel()
            for turn in turns:
                turn.deadline.cancel()
            outbox.abandon()

    async def _listen(
        self, bidding: Bidding, outbox: Outbox, context: SolveContext
    ) -> solver_service_pb2.Closing | None:
        """Receipts, until the closing; None where there is none."""
        while True:
            request: object = await context.read()
            if not isinstance(request, solver_service_pb2.SolveRequest):
                return None
            if request.receipt:
                self._acknowledge(bidding, request.receipt)
            if request.HasField("closing"):
                outbox.abandon()  # what is not committed to by now comes too late
                self._keep_evidence("closing", request.closing.SerializeToString())
                return request.closing

    async def _open(
        self, bidding: Bidding, closing: solver_service_pb2.Closing | None, context: SolveContext
    ) -> None:
        if closing is None:
            return
        try:
            for openings in _together(bidding.open(closing, self._log_keys)):
                await context.write(solver_service_pb2.SolveResponse(openings=openings))
        except WalrasError as error:
            log.warning("the closing does not hold", solver=self._name, why=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        # The call's own deadline ends this where the engine gives no receipts.
        while bidding.unreceipted:
            request: object = await context.read()
            if not isinstance(request, solver_service_pb2.SolveRequest):
                return
            if request.receipt:
                self._acknowledge(bidding, request.receipt)

    def _acknowledge(self, bidding: Bidding, receipt: bytes) -> None:
        self._keep_evidence("receipt", receipt)
        try:
            bidding.acknowledge(receipt)
        except WalrasError as error:
            log.warning("no receipt", solver=self._name, why=str(error))

    def _keep_evidence(self, kind: str, data: bytes) -> None:
        if self._evidence is not None and data:
            self._evidence(kind, data)

    async def _take(
        self,
        place: int,
        part: solver_service_pb2.ProblemPart,
        checkpoint: bytes,
        end: float,
        outbox: Outbox,
        turns: list[Turn],
        bidding: Bidding,
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
            solve = partial(self._solve, place, part.problem_digest, body, turn, outbox, bidding)
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
        if self._log_keys:
            try:
                size = open_by_any(note, self._log_keys).size
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

    def _solve(
        self,
        place: int,
        digest: bytes,
        body: bytes,
        turn: Turn,
        outbox: Outbox,
        bidding: Bidding,
    ) -> None:
        fault: WalrasError | None = None
        try:
            problem = self._held.problem(body)
            send = partial(outbox.put, place)
            self._propose(problem, digest, turn, lambda bid: send(bidding.answer(digest, bid)))
        except WalrasError as error:
            fault = error
        finally:
            outbox.end(place, fault, partial(self._ended, turn))

    def _propose(
        self, problem: Problem, digest: bytes, turn: Turn, send: Callable[[bytes], bool]
    ) -> None:
        try:
            proposals = turn.solver.solve(problem, turn.deadline)
            # More than the rules take would cost it the call.
            for proposal in islice(proposals, problem.rules.max_bids):
                if not send(self._sign(problem, digest, proposal)) or turn.deadline.passed:
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


def _together(openings: Iterable[bytes]) -> Iterator[list[bytes]]:
    """In messages: each costs the engine a turn and has one receipt."""
    found: list[bytes] = []
    size = 0
    for opening in openings:
        found.append(opening)
        size += len(opening)
        if size >= ENOUGH_BYTES:
            yield found
            found, size = [], 0
    if found:
        yield found


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
