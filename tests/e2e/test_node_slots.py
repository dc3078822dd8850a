"""Nodes that several problems are sent to: slots, the queue, shared time, deltas."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from support.market import signer
from support.nodes import asked, raw_server, serving
from support.solver_markets import generated
from support.solvers import Crosser, Hanging
from support.worlds import until

from walras.api.v1 import solver_service_pb2 as pb
from walras.api.v1.solver_service_pb2_grpc import SolverServiceStub
from walras.audit.keys import Signer
from walras.audit.note import Checkpoint, NoteKey, sign_checkpoint
from walras.core.bids import Fill, Proposal
from walras.core.errors import Reason, SolverFault
from walras.fleet.asking import Answer
from walras.fleet.nodes import Node, NodeSpec
from walras.fleet.sending import Outgoing
from walras.protocol.problem import OpenIntent, Problem
from walras.protocol.trade import encode_problem
from walras.sdk import Deadline, Description
from walras.sdk import node as sdk
from walras.sdk.signing import intent_id

KEY = signer("node")
CHECKPOINT = b"a note"


def identified(made: Problem) -> Problem:
    """With the ids that the intents' bytes have."""
    opened = [replace(entry, id=intent_id(entry.intent)) for entry in made.intents.values()]
    return replace(made, intents={entry.id: entry for entry in sorted(opened, key=_id)})


def _id(entry: OpenIntent) -> bytes:
    return entry.id


PROBLEM = identified(generated(1, 60))


def outgoing(made: Problem = PROBLEM, number: int = 1) -> Outgoing:
    numbered = replace(made, auction_id=number)
    return Outgoing(encode_problem(numbered), numbered.intents)


@asynccontextmanager
async def dialled(address: str, slots: int = 1) -> AsyncIterator[Node]:
    """A node as the engine has it."""
    node = Node(NodeSpec("guest", address=address, slots=slots))
    await node.connect()
    try:
        yield node
    finally:
        await node.close()


async def answers(node: Node, *sent: Outgoing, seconds: float = 10.0) -> list[Answer]:
    """What came; raises the fault of a part that failed."""
    made = asked(node, sent, seconds=seconds, max_bids=100, checkpoint=CHECKPOINT)
    async with aclosing(made) as stream:
        found = [answer async for answer in stream]
    assert sorted(answer.part for answer in found if answer.ended) == list(range(len(sent)))
    for answer in found:
        if answer.fault is not None:
            raise answer.fault
    return found


class One(Crosser):
    """One bid, whatever it is worth."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        first = next(iter(problem.intents))
        yield Proposal((Fill(first, 1),), {})


class UntilTheEnd(One):
    """Its bid when its time is over."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
        while not deadline.passed:
            time.sleep(0.002)
        yield from super().solve(problem, deadline)


class Recording(sdk.Node):
    """Keeps what came."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.requests: list[pb.SolveRequest] = []

    async def Solve(self, requests: object, context: sdk.SolveContext) -> None:
        await super().Solve(requests, Overhearing(context, self.requests))  # type: ignore[arg-type]


class Overhearing:
    """A context that keeps what is read."""

    def __init__(self, context: sdk.SolveContext, kept: list[pb.SolveRequest]) -> None:
        self._context = context
        self._kept = kept

    async def read(self) -> object:
        found: object = await self._context.read()
        if isinstance(found, pb.SolveRequest):
            self._kept.append(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def whole(guest: Recording) -> list[bool]:
    """Of each request, whether its problem came whole."""
    return [bool(request.parts[0].problem) for request in guest.requests]


async def test_as_many_at_once_as_slots_and_the_rest_in_order() -> None:
    solvers = [Hanging() for _ in range(3)]
    async with serving(sdk.Node(solvers, KEY)) as address, dialled(address, slots=8) as node:
        assert node.info.slots == 3
        calls = [asyncio.create_task(answers(node, outgoing(number=n))) for n in range(1, 6)]
        await until(lambda: all(solver.started.is_set() for solver in solvers))
        await until(lambda: node_load(node, 5))
        assert not any(call.done() for call in calls)
        for solver in solvers:
            solver.release.set()
        # None of them bids, so each ends with the node's report alone.
        for call in calls:
            (last,) = await call
            assert last.bid == b""
            assert 1 <= last.in_flight <= 5
        assert await node.load(5) is not None


async def node_is_idle(node: Node) -> bool:
    found = await node.load(5)
    return found is not None and found[0] == 0


def node_load(node: Node, count: int) -> bool:
    """Whether so many calls of this process are on their way."""
    return sum(1 for task in asyncio.all_tasks() if "answers" in repr(task)) >= count


async def test_full_queue_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "MAX_WAITING", 2)
    solver = Hanging()
    guest = sdk.Node(solver, KEY)
    async with serving(guest) as address, dialled(address) as node:
        calls = [asyncio.create_task(answers(node, outgoing(number=n))) for n in range(1, 4)]
        await until(lambda: guest._slots.waiting == 2)
        with pytest.raises(SolverFault, match="2 problems wait already") as caught:
            await answers(node, outgoing(number=9))
        assert caught.value.reason is Reason.NODE_BUSY
        solver.release.set()
        await asyncio.gather(*calls)
        assert await answers(node, outgoing(number=9))


async def test_time_is_shared_among_those_that_wait() -> None:
    """Ten problems at one slot, each worked on until its deadline: all are in time."""
    async with serving(sdk.Node(UntilTheEnd(), KEY)) as address, dialled(address) as node:
        every = await asyncio.gather(
            *(answers(node, outgoing(number=n), seconds=5.0) for n in range(1, 11))
        )
        assert [len([a for a in one if a.bid]) for one in every] == [1] * 10


async def test_cancelled_calls_leave_nothing_in_flight() -> None:
    solver = Hanging()
    guest = sdk.Node(solver, KEY)
    async with serving(guest) as address, dialled(address) as node:
        for _ in range(5):
            calls = [asyncio.create_task(answers(node, outgoing(number=n))) for n in range(1, 41)]
            await until(lambda: guest._slots.waiting >= 39)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await until(lambda: guest._slots.waiting == 0)
        solver.release.set()
        await until(lambda: guest._in_flight == 0)
        assert await node_is_idle(node)
        assert await answers(node, outgoing(number=99))


async def test_solver_that_is_still_at_work_keeps_its_slot() -> None:
    """The caller hung up, the solver does not heed it: the next waits for it."""
    solver = Hanging()
    async with serving(sdk.Node(solver, KEY)) as address, dialled(address) as node:
        with pytest.raises(SolverFault) as caught:
            await answers(node, outgoing(), seconds=0.2)
        assert caught.value.reason is Reason.NODE_TIMEOUT
        assert await node.load(5) == (1, 0)
        with pytest.raises(SolverFault) as caught:
            await answers(node, outgoing(), seconds=0.2)
        assert caught.value.reason is Reason.NODE_TIMEOUT
        solver.release.set()
        assert await answers(node, outgoing())


async def test_flood_of_bids_waits_for_its_reader() -> None:
    class Flood(One):
        count = 0

        def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
            while not deadline.passed and self.count < 100_000:
                self.count += 1
                yield from super().solve(problem, deadline)

    solver = Flood()
    guest = sdk.Node(solver, KEY)
    async with serving(guest) as address, dialled(address) as node:
        stream = asked(node, [outgoing()], seconds=30, max_bids=200_000, checkpoint=b"")
        async with aclosing(stream):
            await anext(stream)
            await asyncio.sleep(0.3)
        # Nobody reads any more: the thread that waited for room comes to its end.
        await until(lambda: guest._in_flight == 0)
        assert solver.count < 100_000


async def test_second_problem_travels_as_a_delta() -> None:
    guest = Recording(One(), KEY)
    async with serving(guest) as address, dialled(address) as node:
        await answers(node, outgoing(number=1))
        fewer = dict(list(PROBLEM.intents.items())[3:])
        await answers(node, outgoing(replace(PROBLEM, intents=fewer), 2))
        await answers(node, outgoing(number=3))
        whole, second, third = guest.requests
        assert whole.parts[0].problem
        assert len(whole.intents) == len(PROBLEM.intents)
        for later in (second, third):
            assert not later.parts[0].problem
            assert later.parts[0].delta.spans
            assert later.ByteSize() < whole.ByteSize() / 10
        # Its base, the second, does not name three of them.
        assert (len(second.intents), len(third.intents)) == (0, 3)
        assert guest.checkpoint == CHECKPOINT


async def test_node_that_forgot_is_sent_the_whole_once() -> None:
    guest = Recording(One(), KEY)
    async with serving(guest) as address, dialled(address) as node:
        await answers(node, outgoing(number=1))
        guest._held = type(guest._held)()
        assert any(answer.bid for answer in await answers(node, outgoing(number=2)))
        assert whole(guest) == [True, False, True]
        await answers(node, outgoing(number=3))
        assert not whole(guest)[-1]


async def test_node_that_always_forgets_is_asked_twice_and_no_more() -> None:
    class Forgetful(Recording):
        async def Solve(self, requests: object, context: sdk.SolveContext) -> None:
            self.requests.append(await context.read())
            if len(self.requests) > 1:
                forgot = pb.Answer(part=0, status=pb.PART_STATUS_BASE_UNKNOWN, detail="what base?")
                await context.write(pb.SolveResponse(answers=[forgot]))

    guest = Forgetful(One(), KEY)
    async with serving(guest) as address, dialled(address) as node:
        await answers(node, outgoing(number=1))
        with pytest.raises(SolverFault) as caught:
            await answers(node, outgoing(number=2))
        assert caught.value.reason is Reason.BASE_UNKNOWN
        assert len(guest.requests) == 3


async def test_what_little_is_in_common_is_sent_whole() -> None:
    guest = Recording(One(), KEY)
    other = identified(generated(7, 60))
    async with serving(guest) as address, dialled(address) as node:
        await answers(node, outgoing(number=1))
        await answers(node, outgoing(other, 2))
        assert whole(guest) == [True, True]


async def test_several_problems_in_one_call() -> None:
    """Each ends by itself: one in which the solver fails costs the others nothing."""

    class Moody(One):
        def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
            if problem.auction_id == 3:
                raise ZeroDivisionError
            yield from super().solve(problem, deadline)

    guest = Recording([Moody(), Moody()], KEY)
    async with serving(guest) as address, dialled(address) as node:
        sent = [outgoing(number=number) for number in range(1, 6)]
        stream = asked(node, sent, seconds=30.0, max_bids=1, checkpoint=b"")
        async with aclosing(stream):
            found = [answer async for answer in stream]
        assert len(guest.requests) == 1
        assert sorted(answer.part for answer in found if answer.bid) == [0, 1, 3, 4]
        ends = {answer.part: answer.fault for answer in found if answer.ended}
        assert sorted(ends) == [0, 1, 2, 3, 4]
        (failed,) = (fault for fault in ends.values() if fault is not None)
        assert ends[2] is failed
        assert failed.reason is Reason.NODE_FAILED
        # What went well is held; of what it does not hold, only that is sent again.
        guest._held._problems.pop(sent[4].digest)
        await answers(node, outgoing(number=6), outgoing(number=7))
        assert [len(request.parts) for request in guest.requests] == [5, 2, 2]
        assert [bool(part.problem) for part in guest.requests[1].parts] == [False, False]
        assert [bool(part.problem) for part in guest.requests[2].parts] == [True, True]


async def test_a_call_that_is_cut_off_ends_all_its_parts() -> None:
    class Quitter(sdk.Node):
        async def Solve(self, requests: object, context: sdk.SolveContext) -> None:
            done = pb.Answer(part=1, bid=b"x", status=pb.PART_STATUS_DONE)
            await context.write(pb.SolveResponse(answers=[done], in_flight=3))
            await context.abort(grpc.StatusCode.INTERNAL, "that was enough")

    async with serving(Quitter(One(), KEY)) as address, dialled(address) as node:
        sent = [outgoing(number=number) for number in range(1, 4)]
        stream = asked(node, sent, seconds=30.0, max_bids=1, checkpoint=b"")
        async with aclosing(stream):
            found = [answer async for answer in stream]
        assert found[0] == Answer(1, b"x", 3, ended=True)
        assert {answer.part for answer in found[1:]} == {0, 2}
        reasons = [answer.fault and answer.fault.reason for answer in found[1:]]
        assert reasons == [Reason.NODE_FAILED] * 2


async def test_a_node_that_knows_the_log_keeps_its_checkpoints_only() -> None:
    log, other = signer("log"), signer("other log")

    def note(size: int, by: Signer) -> bytes:
        return sign_checkpoint(Checkpoint("log", size, bytes([size]) * 32), "log", by)

    guest = sdk.Node(One(), KEY, log_key=NoteKey("log", log.public_key))
    came = [note(5, other), note(3, log), note(2, log), b"no note", note(4, log)]
    kept = []
    async with serving(guest) as address, dialled(address) as node:
        for number, checkpoint in enumerate(came, start=1):
            sent = [outgoing(number=number)]
            stream = asked(node, sent, seconds=30.0, max_bids=1, checkpoint=checkpoint)
            async with aclosing(stream):
                assert [answer.fault async for answer in stream] == [None, None]
            kept.append(guest.checkpoint)
    assert kept == [b"", came[1], came[1], came[1], came[4]]


async def test_more_bids_than_were_asked_for_cost_the_call() -> None:
    class Three(One):
        def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
            for _ in range(3):
                yield from super().solve(problem, deadline)

    async with serving(sdk.Node(Three(), KEY)) as address, dialled(address) as node:
        found = [answer async for answer in asked(node, [outgoing()], max_bids=2)]
        assert [bool(answer.bid) for answer in found] == [True, True, False]
        assert found[-1].fault is not None
        assert found[-1].fault.reason is Reason.BID_LIMIT


async def test_more_parts_than_a_call_brings_are_refused() -> None:
    async with serving(sdk.Node(One(), KEY)) as address, dialled(address) as node:
        many = [outgoing(number=number) for number in range(1, sdk.MAX_PARTS + 2)]
        with pytest.raises(SolverFault, match="at most 64 problems"):
            await answers(node, *many)


@pytest.mark.parametrize(
    "wrong",
    [
        pb.SolveResponse(),
        pb.SolveResponse(answers=[pb.Answer(part=0)]),
        pb.SolveResponse(answers=[pb.Answer(part=1, bid=b"x")]),
        pb.SolveResponse(answers=[pb.Answer(status=pb.PART_STATUS_DONE)] * 2),
        pb.SolveResponse(
            answers=[pb.Answer(status=pb.PART_STATUS_DONE), pb.Answer(bid=b"after the end")]
        ),
    ],
    ids=["nothing", "neither bid nor end", "another part", "ends twice", "a bid after the end"],
)
async def test_answers_out_of_order(wrong: pb.SolveResponse) -> None:
    described = pb.DescribeResponse(public_key=KEY.public_key).SerializeToString()
    answer = wrong.SerializeToString()
    async with raw_server(described, (answer, answer)) as address, dialled(address) as node:
        stream = asked(node, [outgoing()], seconds=30.0, max_bids=9, checkpoint=b"")
        async with aclosing(stream):
            found = [answer async for answer in stream]
        ends = [answer for answer in found if answer.ended]
        assert len(ends) == 1
        fault = ends[0].fault
        well = wrong.answers and wrong.answers[0].status == pb.PART_STATUS_DONE
        assert well or (fault is not None and fault.reason is Reason.NODE_MALFORMED)
        assert not any(answer.bid for answer in found)


@pytest.mark.parametrize(
    "fields",
    [
        {"region": "x" * 10_000},
        {"chains": ["x" * 10_000]},
        {"venue_kinds": [f"kind{n:05}" for n in range(10_000)]},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_hostile_descriptions_are_refused(fields: dict[str, Any]) -> None:
    described = pb.DescribeResponse(public_key=KEY.public_key, name="guest", **fields)
    async with raw_server(described.SerializeToString(), ()) as address:
        node = Node(NodeSpec("guest", address=address))
        with pytest.raises(SolverFault) as caught:
            await node.connect()
        assert caught.value.reason is Reason.NODE_MALFORMED
        assert not node.connected
        assert len(str(caught.value)) < 1_000


async def test_what_a_node_says_of_itself() -> None:
    class Choosy(One):
        def describe(self) -> Description:
            return Description("choosy", "1", ("eip155:1",), ("stable_swap", "weighted"), 5, 6)

    async with (
        serving(sdk.Node([Choosy(), Choosy()], KEY, region="eu-west")) as address,
        dialled(address, slots=8) as node,
    ):
        info = node.info
        assert (info.slots, info.region) == (2, "eu-west")
        assert (info.chains, info.venue_kinds) == (("eip155:1",), ("stable_swap", "weighted"))
        assert (info.max_intents, info.max_venues) == (5, 6)


@pytest.mark.parametrize(("said", "given", "counts"), [((1 << 32) - 1, 4, 4), (2, 4, 2), (0, 4, 1)])
async def test_a_node_may_say_fewer_slots_than_its_operator_never_more(
    said: int, given: int, counts: int
) -> None:
    described = pb.DescribeResponse(public_key=KEY.public_key, slots=said)
    async with (
        raw_server(described.SerializeToString(), ()) as address,
        dialled(address, slots=given) as node,
    ):
        assert node.info.slots == counts


async def test_solver_that_exits_costs_its_own_answer() -> None:
    class Exits(One):
        def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
            if problem.auction_id == 1:
                raise SystemExit(3)
            return super().solve(problem, deadline)

    async with serving(sdk.Node(Exits(), KEY)) as address, dialled(address) as node:
        with pytest.raises(SolverFault) as caught:
            await answers(node, outgoing(number=1))
        assert caught.value.reason is Reason.NODE_FAILED
        assert await answers(node, outgoing(number=2))


async def test_node_without_the_newer_calls() -> None:
    described = pb.DescribeResponse(public_key=KEY.public_key).SerializeToString()
    async with raw_server(described, ()) as address, dialled(address) as node:
        assert await node.load(5) is None
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = SolverServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Probe(pb.ProbeRequest(challenge=b"x"), timeout=5)
