"""A solver node: any `Solver` behind the gRPC contract that the engine dials.

    node = Node(MySolver(), signer)
    server, address = await start(node, "127.0.0.1:0")

The solver runs in a thread of its own and is a guest there: what it raises ends its own answer with
an error status, and the node goes on.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from walras.api.v1 import solver_service_pb2, solver_service_pb2_grpc
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.core.bids import Bid, Proposal
from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.core.intents import Intent
from walras.protocol.codec import encode
from walras.protocol.problem import Problem
from walras.protocol.records import Kind
from walras.protocol.trade import decode_intent, decode_problem, intent_ids
from walras.sdk.listening import listen_at
from walras.sdk.solver import Deadline, Solver

log = structlog.get_logger()

MAX_MESSAGE_BYTES = 256 << 20
"""The largest problem a node takes; the engine's channel allows as much."""

MAX_CACHED_INTENTS = 200_000
MAX_QUEUED_BIDS = 64

_SPARE_SHARE = 0.1
_MOST_SPARE_SECONDS = 0.5
"""Kept back from the budget: a solver looks at its deadline now and then, and bids travel."""

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]


class Node(solver_service_pb2_grpc.SolverServiceServicer):
    """One solver, its key, and the intents it has seen.

    Args:
        solver: called from one thread at a time.
        signer: signs every bid.
        name: shown instead of the solver's own name, where several nodes run the same solver.
    """

    def __init__(self, solver: Solver, signer: Signer, name: str = "") -> None:
        self._solver = solver
        self._signer = signer
        self._description = solver.describe()
        self._name = name or self._description.name
        self._intents: OrderedDict[bytes, Intent] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="solver")
        self._busy = asyncio.Lock()

    async def Describe(
        self,
        request: solver_service_pb2.DescribeRequest,
        context: grpc.aio.ServicerContext[
            solver_service_pb2.DescribeRequest, solver_service_pb2.DescribeResponse
        ],
    ) -> solver_service_pb2.DescribeResponse:
        """Who this is."""
        return solver_service_pb2.DescribeResponse(
            name=self._name,
            version=self._description.version,
            public_key=self._signer.public_key,
        )

    async def Solve(
        self,
        request: solver_service_pb2.SolveRequest,
        context: grpc.aio.ServicerContext[
            solver_service_pb2.SolveRequest, solver_service_pb2.SolveResponse
        ],
    ) -> AsyncIterator[solver_service_pb2.SolveResponse]:
        """Signed bids as the solver finds them."""
        deadline = Deadline.after(_working_seconds(request.budget_ms / 1000))
        if self._busy.locked():
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "still busy with an earlier problem"
            )
        async with self._busy:
            bids: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_QUEUED_BIDS)
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._thread, self._solve, request, deadline, bids, loop)
            try:
                while (bid := await bids.get()) is not None:
                    yield solver_service_pb2.SolveResponse(bid=bid)
                await work
            except WalrasError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            finally:
                # Whoever hung up: the thread must come to its end before the next problem.
                deadline.cancel()
                while not work.done():
                    try:
                        bids.get_nowait()
                    except asyncio.QueueEmpty:
                        await asyncio.sleep(0.005)

    def _solve(
        self,
        request: solver_service_pb2.SolveRequest,
        deadline: Deadline,
        bids: "asyncio.Queue[bytes | None]",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        def send(bid: bytes | None) -> None:
            # Blocks while the queue is full: a slow reader slows the solver, not the memory.
            asyncio.run_coroutine_threadsafe(bids.put(bid), loop).result()

        try:
            problem = self._problem(request)
            digest = sha256(request.problem).digest()
            for proposal in self._solver.solve(problem, deadline):
                send(self._sign(problem, digest, proposal))
                if deadline.passed:
                    break
        except Exception:
            log.exception("the solver failed", solver=self._name)
            raise
        finally:
            send(None)

    def _problem(self, request: solver_service_pb2.SolveRequest) -> Problem:
        ids = intent_ids(request.problem)
        if len(ids) != len(request.intents):
            raise InvalidInput(
                Reason.MESSAGE_MALFORMED,
                f"{len(ids)} intents are named and {len(request.intents)} came",
            )
        kind = Kind.INTENT.payload_type
        for name, body in zip(ids, request.intents, strict=True):
            if name not in self._intents:
                if envelope.record_id(kind, body) != name:
                    raise InvalidInput(
                        Reason.MESSAGE_MALFORMED, f"the body of intent {name.hex()} is another's"
                    )
                self._intents[name] = decode_intent(body)
        problem = decode_problem(request.problem, self._intents)
        while len(self._intents) > MAX_CACHED_INTENTS:
            self._intents.popitem(last=False)
        return problem

    def _sign(self, problem: Problem, digest: bytes, proposal: Proposal) -> bytes:
        bid = Bid(problem.auction_id, digest, self._signer.public_key, proposal)
        kind, body = encode(bid)
        return envelope.seal(kind.payload_type, body, self._signer)


def _working_seconds(budget: float) -> float:
    return budget - min(_SPARE_SHARE * budget, _MOST_SPARE_SECONDS)


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
