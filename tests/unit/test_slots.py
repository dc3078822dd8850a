"""Slots: who works, who waits, and for how long."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterable

import pytest

from walras.core.bids import Proposal
from walras.protocol.problem import Problem
from walras.sdk.slots import Slots, Threads, Turn
from walras.sdk.solver import Deadline, Description

LONG = 1_000.0


class Idle:
    def describe(self) -> Description:
        return Description("idle", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        return ()


def slots(count: int) -> Slots:
    return Slots([Idle() for _ in range(count)])


def later(seconds: float = LONG) -> float:
    return time.monotonic() + seconds


def length(turn: Turn) -> float:
    """Seconds that the solver is given."""
    return turn.deadline.at - turn.start


async def queue(made: Slots, count: int, seconds: float = LONG) -> list[asyncio.Task[Turn]]:
    """Calls that wait, in order."""
    before = made.waiting
    tasks = [asyncio.create_task(made.take(later(seconds))) for _ in range(count)]
    await asyncio.sleep(0)
    assert made.waiting == before + count
    return tasks


async def leave(tasks: Iterable[asyncio.Task[Turn]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_every_slot_has_a_solver_of_its_own() -> None:
    made = slots(3)
    turns = [await made.take(later()) for _ in range(3)]
    assert len({id(turn.solver) for turn in turns}) == 3
    (task,) = await queue(made, 1)
    made.give(turns[1])
    assert (await task).solver is turns[1].solver
    assert made.waiting == 0


async def test_first_come_first_served() -> None:
    made = slots(1)
    turn = await made.take(later())
    tasks = await queue(made, 5)
    for task in tasks:
        made.give(turn)
        # Who comes now is behind those that wait, although nobody works at this moment.
        (late,) = await queue(made, 1)
        turn = await task
        await leave([late])
    assert made.waiting == 0


async def test_part_of_the_time_for_each_that_waits() -> None:
    made = slots(4)
    turns = [await made.take(later()) for _ in range(4)]
    assert all(length(turn) == pytest.approx(LONG - 0.5, abs=0.1) for turn in turns)
    tasks = await queue(made, 4)
    assert all(length(turn) == pytest.approx(LONG / 2 - 0.5, abs=0.1) for turn in turns)
    tasks += await queue(made, 1)
    assert all(length(turn) == pytest.approx(LONG / 3 - 0.5, abs=0.1) for turn in turns)
    await leave(tasks)
    assert all(length(turn) == pytest.approx(LONG - 0.5, abs=0.1) for turn in turns)


async def test_62_problems_each_get_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of its own: every solver works until its deadline."""
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    made, end = slots(1), clock[0] + 62.0
    turn = await made.take(end)
    tasks = [asyncio.create_task(made.take(end)) for _ in range(61)]
    await asyncio.sleep(0)
    lengths = []
    for task in [*tasks, None]:
        lengths.append(length(turn))
        clock[0] = turn.deadline.at
        made.give(turn)
        if task is not None:
            turn = await task
    assert len(lengths) == 62
    assert min(lengths) == pytest.approx(0.9, abs=0.01)  # a tenth is kept back
    assert clock[0] <= end


async def test_no_slot_in_time() -> None:
    made = slots(1)
    turn = await made.take(later())
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await made.take(later(0.05))
    assert time.monotonic() - began < 1
    with pytest.raises(TimeoutError):
        await made.take(later(-1))
    assert made.waiting == 0
    made.give(turn)
    assert (await made.take(later())).solver is turn.solver


async def test_cancelled_leaves_the_queue_at_once() -> None:
    made = slots(1)
    turn = await made.take(later())
    first, second, third = await queue(made, 3)
    await leave([second])
    assert made.waiting == 2
    made.give(turn)
    turn = await first
    made.give(turn)
    made.give(await third)
    assert (await made.take(later())).solver is turn.solver


async def test_cancelled_when_the_slot_is_on_its_way() -> None:
    """Both in the same round of the loop: the slot goes to the next, whichever came first."""
    for cancel_first in (True, False):
        made = slots(1)
        turn = await made.take(later())
        first, second = await queue(made, 2)
        if cancel_first:
            first.cancel()
            made.give(turn)
        else:
            made.give(turn)
            first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).solver is turn.solver
        assert made.waiting == 0


async def test_10_000_cancelled_calls_leave_nothing() -> None:
    made = slots(2)
    turns = [await made.take(later()) for _ in range(2)]
    for _ in range(100):
        tasks = await queue(made, 100)
        made.give(turns.pop(0))
        turns.append(await tasks.pop(0))
        await leave(tasks)
    assert made.waiting == 0
    for turn in turns:
        made.give(turn)
    again = [await made.take(later()) for _ in range(2)]
    assert {id(turn.solver) for turn in again} == {id(turn.solver) for turn in turns}
    assert all(length(turn) == pytest.approx(LONG - 0.5, abs=0.1) for turn in again)


def test_threads_end_when_nobody_uses_them() -> None:
    before = set(threading.enumerate())
    threads, done = Threads(3), threading.Event()
    threads.start(done.set)
    assert done.wait(5)
    own = set(threading.enumerate()) - before
    assert len(own) == 3
    assert all(thread.daemon for thread in own)
    del threads
    gc.collect()
    for thread in own:
        thread.join(5)
        assert not thread.is_alive()
