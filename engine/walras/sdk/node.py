"""A solver node: any `Solver` behind the gRPC contract that the engine dials.

    node = Node(MySolver(), signer)
    server, address = await start(node, "127.0.0.1:0")

Solvers run in threads of their own and are guests there: what they raise ends their own answer with
an error status, and the node goes on.
"""

import time
from collections.abc import Sequence
from functools import partial

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from walras.api.v1 import solver_service_pb2, solver_service_pb2_grpc
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.core.bids import Bid, Proposal
from walras.core.errors import Reason, SolverFault, WalrasError
from walras.protocol.codec import encode
from walras.protocol.problem import Problem
from walras.sdk.echo import answer
from walras.sdk.held import HELD_PROBLEMS, MAX_MESSAGE_BYTES, Held
from walras.sdk.listening import listen_at
from walras.sdk.slots import Outbox, Slots, Threads, Turn
from walras.sdk.solver import Solver

log = structlog.get_logger()

MAX_WAITING = 1_024
"""Problems that wait for a slot; more are refused."""

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
        if self._slots.waiting >= MAX_WAITING:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_WAITING} problems wait already"
            )
        self._in_flight += 1
        turn: Turn | None = None
        try:
            # Before it waits: the next problem may build on this one.
            body = self._held.take(request)
            if request.checkpoint:
                self.checkpoint = request.checkpoint
            turn = await self._slots.take(end)
            await self._answer(request.problem_digest, body, turn, context)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no slot was free in time")
        except SolverFault as fault:
            await context.abort(grpc.StatusCode.UNKNOWN, fault.message)
        except WalrasError as error:
            unknown = error.reason is Reason.BASE_UNKNOWN
            code = grpc.StatusCode.FAILED_PRECONDITION if unknown else None
            await context.abort(code or grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            if turn is None:
                self._in_flight -= 1

    async def _answer(self, digest: bytes, body: bytes, turn: Turn, context: SolveContext) -> None:
        outbox = Outbox(partial(self._ended, turn))
        self._threads.start(partial(self._solve, digest, body, turn, outbox))
        silent = True
        try:
            while (bid := await outbox.get()) is not None:
                silent = False
                await context.write(
                    solver_service_pb2.SolveResponse(bid=bid, in_flight=self._in_flight)
                )
            if silent:
                await context.write(solver_service_pb2.SolveResponse(in_flight=self._in_flight + 1))
        finally:
            turn.deadline.cancel()
            outbox.abandon()

    def _ended(self, turn: Turn) -> None:
        # Not before the thread has: whoever hung up, until then its slot is taken.
        self._slots.give(turn)
        self._in_flight -= 1

    def _solve(self, digest: bytes, body: bytes, turn: Turn, outbox: Outbox) -> None:
        fault: WalrasError | None = None
        try:
            problem = self._held.problem(body)
            self._propose(problem, digest, turn, outbox)
        except WalrasError as error:
            fault = error
        finally:
            outbox.end(fault)

    def _propose(self, problem: Problem, digest: bytes, turn: Turn, outbox: Outbox) -> None:
        try:
            for proposal in turn.solver.solve(problem, turn.deadline):
                if not outbox.put(self._sign(problem, digest, proposal)) or turn.deadline.passed:
                    break
        except BaseException as error:  # a guest may raise anything, SystemExit too
            log.exception("the solver failed", solver=self._name)
            raise SolverFault(Reason.NODE_FAILED, "the solver failed") from error

    def _sign(self, problem: Problem, digest: bytes, proposal: Proposal) -> bytes:
        bid = Bid(problem.auction_id, digest, self._signer.public_key, proposal)
        kind, body = encode(bid)
        return envelope.seal(kind.payload_type, body, self._signer)


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
