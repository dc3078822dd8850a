"""A solver node that answers what a test tells it to, over the real contract."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from hashlib import sha256

import grpc

from walras.api.v1 import solver_service_pb2 as pb
from walras.api.v1 import solver_service_pb2_grpc
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.core.bids import Bid, Proposal
from walras.protocol.problem import Problem
from walras.protocol.sealed_bids import decode_receipt
from walras.protocol.trade import decode_intent, decode_problem, intent_ids
from walras.sdk.bidding import begin
from walras.sdk.node import OPTIONS
from walras.sdk.signing import sign_record


@dataclass(frozen=True)
class Task:
    """One sealed problem, and what it takes to bid for it."""

    problem: Problem
    digest: bytes
    signer: Signer

    def bid(self, proposal: Proposal, **changes: object) -> bytes:
        bid = Bid(self.problem.auction_id, self.digest, self.signer.public_key, proposal)
        return sign_record(replace(bid, **changes), self.signer)  # type: ignore[arg-type]  # any fields


Script = Callable[[Task], AsyncIterator[bytes]]


async def silence(_task: Task) -> AsyncIterator[bytes]:
    """No bids."""
    nothing: tuple[bytes, ...] = ()
    for bid in nothing:
        yield bid


class ScriptedNode(solver_service_pb2_grpc.SolverServiceServicer):
    """Set `script` before a batch is sealed; `commits` and `opens` may change what it sends, and
    `at_once` sends all answers for a part in one message.
    """

    def __init__(self, name: str, signer: Signer) -> None:
        self.name = name
        self.signer = signer
        self.script: Script = silence
        self.commits: Callable[[bytes], list[bytes]] = lambda sent: [sent]
        self.opens: Callable[[list[bytes]], list[bytes]] = lambda openings: openings
        self.at_once = False
        self.tasks: list[bytes] = []
        self.receipts: list[bytes] = []
        self.closings: list[pb.Closing] = []
        self._server = grpc.aio.server(options=OPTIONS)

    async def start(self) -> str:
        solver_service_pb2_grpc.add_SolverServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        await self._server.stop(None)

    async def Describe(self, request: pb.DescribeRequest, context: object) -> pb.DescribeResponse:
        return pb.DescribeResponse(
            name=self.name, version="1", public_key=self.signer.public_key, slots=8
        )

    async def Solve(
        self, requests: AsyncIterator[pb.SolveRequest], context: object
    ) -> AsyncIterator[pb.SolveResponse]:
        request = await anext(requests)
        self.tasks.append(request.task)
        bidding = begin(request, self.signer, 0)
        bodies = iter(request.intents)
        for place, part in enumerate(request.parts):
            names = intent_ids(part.problem)
            intents = {name: decode_intent(next(bodies)) for name in names}
            problem = decode_problem(part.problem, intents)
            task = Task(problem, part.problem_digest, self.signer)
            answers = []
            async for bid in self.script(task):
                for sent in self.commits(bidding.answer(part.problem_digest, bid)):
                    answers.append(pb.Answer(part=place, bid=sent))
                    if not self.at_once:
                        yield pb.SolveResponse(answers=[answers.pop()])
            answers.append(pb.Answer(part=place, status=pb.PART_STATUS_DONE))
            yield pb.SolveResponse(answers=answers)
        async for later in requests:
            if later.HasField("closing"):
                self.closings.append(later.closing)
                openings = self.opens(list(bidding.open(later.closing, None)))
                yield pb.SolveResponse(openings=openings)
                unreceipted = {sha256(opening).digest() for opening in openings}
                while unreceipted:
                    self.receipts.append((await anext(requests)).receipt)
                    told = decode_receipt(envelope.decode(self.receipts[-1]).body)
                    unreceipted.difference_update(told.digests)
                return
            self.receipts.append(later.receipt)
