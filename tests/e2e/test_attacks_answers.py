"""What nodes answer costs the engine a bounded amount of memory, and of log."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from support.market import signer
from support.nodes import asked, raw_server
from support.worlds import soon

from walras.api.v1 import solver_service_pb2 as pb
from walras.core.errors import Reason, SolverFault
from walras.fleet.asking import MAX_BATCH_BYTES, MAX_NODE_BYTES, Allowance, Answer
from walras.fleet.nodes import MAX_ANSWER_MESSAGE_BYTES, Node, NodeSpec
from walras.fleet.sending import Outgoing

KEY = signer("stranger").public_key
DESCRIBED = pb.DescribeResponse(name="x", version="1", public_key=KEY).SerializeToString()
MIB = 1 << 20


async def ask(
    answers: tuple[pb.SolveResponse, ...], parts: int = 1, calls: int = 1, **limits: object
) -> list[Answer]:
    """What the engine takes of these answers to each of so many calls."""
    async with AsyncExitStack() as stack:
        sent = tuple(answer.SerializeToString() for answer in answers)
        address = await stack.enter_async_context(raw_server(DESCRIBED, sent))
        node = Node(NodeSpec("stranger", address=address))
        await node.connect()
        stack.push_async_callback(node.close)
        problems = [Outgoing(b"problem %d" % number, {}) for number in range(parts)]
        found: list[Answer] = []
        for _ in range(calls):
            found += await soon(_all(node, problems, limits))
        return found


async def _all(node: Node, problems: list[Outgoing], limits: dict[str, object]) -> list[Answer]:
    return [answer async for answer in asked(node, problems, **limits)]  # type: ignore[arg-type]  # as given


def bid(part: int, size: int) -> pb.SolveResponse:
    return pb.SolveResponse(answers=[pb.Answer(part=part, bid=bytes(size))])


async def test_a_message_that_no_honest_node_sends_is_not_taken_into_memory() -> None:
    (end,) = await ask((bid(0, MAX_ANSWER_MESSAGE_BYTES),))
    # gRPC refused it by its length; "sends too much" would be after it was read.
    assert end.fault is not None
    assert end.fault.reason is Reason.NODE_FAILED
    assert "RESOURCE_EXHAUSTED" in str(end.fault)


async def test_all_parts_of_all_calls_to_a_node_share_what_it_may_send() -> None:
    """Four bids of a mebibyte to two calls, where six fit with what is around them."""
    answers = tuple(bid(part, MIB) for part in range(4))
    allowance = Allowance(6 * MIB + 1_000)
    found = await ask(answers, parts=4, calls=2, allowance=allowance)
    assert sum(bool(answer.bid) for answer in found) == 6
    faults = [answer.fault for answer in found if answer.fault is not None]
    assert {fault.reason for fault in faults} == {Reason.NODE_MALFORMED}
    assert "sends too much" in str(faults[0])


async def test_a_commitment_is_short() -> None:
    found = await ask((bid(0, 1_024), bid(0, 1_025)), bid_bytes=1_024)
    assert [len(answer.bid) for answer in found] == [1_024, 0]
    assert found[-1].fault is not None
    assert found[-1].fault.reason is Reason.NODE_MALFORMED


async def test_openings_count_too() -> None:
    opening = pb.SolveResponse(openings=[bytes(MIB)])
    ended = pb.SolveResponse(answers=[pb.Answer(part=0, status=pb.PART_STATUS_DONE)])
    async with raw_server(
        DESCRIBED, tuple(each.SerializeToString() for each in (ended, *[opening] * 3))
    ) as address:
        node = Node(NodeSpec("stranger", address=address))
        await node.connect()
        allowance = Allowance(2 * MIB + 1_000)
        end = asyncio.get_running_loop().time() + 10
        talk = node.ask(
            [Outgoing(b"problem", {})], end=end, last=end, max_bids=9, allowance=allowance
        )
        taken: list[int] = []

        async def take() -> None:
            async for found in talk.openings(b"", 9, end):
                taken.extend(map(len, found))

        try:
            assert [answer.ended async for answer in talk.answers()] == [True]
            with pytest.raises(SolverFault) as error:
                await take()
        finally:
            await talk.close()
            await node.close()
    assert taken == [MIB, MIB]
    assert error.value.reason is Reason.NODE_MALFORMED


async def test_many_answers_may_come_in_one_message() -> None:
    """The engine sees which they are, and so has one receipt for them."""
    many = pb.SolveResponse(answers=[pb.Answer(part=0, bid=b"x") for _ in range(200)])
    ended = pb.SolveResponse(answers=[pb.Answer(part=0, status=pb.PART_STATUS_DONE)])
    found = await ask((many, many, ended), max_bids=400)
    assert [answer.more for answer in found] == ([True] * 199 + [False]) * 2 + [False]


def test_the_nodes_of_a_batch_share_what_it_may_hold() -> None:
    assert Allowance.share(1).left == MAX_NODE_BYTES
    for nodes in (16, 17, 100, 5_000):
        assert nodes * Allowance.share(nodes).left <= MAX_BATCH_BYTES
