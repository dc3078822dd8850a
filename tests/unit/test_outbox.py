"""The way from solvers' threads to the event loop."""

import asyncio

from walras.core.errors import Reason, SolverFault
from walras.sdk.outbox import MAX_QUEUED_BIDS, Outbox, Sent
from walras.sdk.slots import Threads


async def everything(outbox: Outbox) -> list[Sent]:
    found = []
    while sent := await outbox.get():
        found += sent
    return found


async def test_keeps_order_and_ends_once() -> None:
    ends: list[int] = []
    outbox = Outbox(1)
    threads = Threads(1)
    bids = [b"%d" % number for number in range(1_000)]

    def job() -> None:
        assert all(outbox.put(0, bid) for bid in bids)
        outbox.end(0, None, lambda: ends.append(1))

    threads.start(job)
    assert await everything(outbox) == [*(Sent(0, bid) for bid in bids), Sent(0)]
    assert await outbox.get() == []
    assert ends == [1]


async def test_several_parts_at_once() -> None:
    outbox = Outbox(4)
    threads = Threads(3)
    fault = SolverFault(Reason.NODE_FAILED, "a guest's mistake")

    def job(part: int) -> None:
        for number in range(200):
            assert outbox.put(part, b"%d" % number)
        outbox.end(part, fault if part == 1 else None)

    for part in range(3):
        threads.start(lambda part=part: job(part))  # type: ignore[misc]  # a default binds it
    outbox.end(3, fault)
    found = await everything(outbox)
    for part in range(3):
        mine = [sent for sent in found if sent.part == part]
        assert [sent.bid for sent in mine] == [*(b"%d" % n for n in range(200)), b""]
        assert mine[-1].fault is (fault if part == 1 else None)
    assert [sent.fault for sent in found if sent.part == 3] == [fault]


async def test_full_outbox_holds_its_threads_until_it_is_read_or_abandoned() -> None:
    ended = asyncio.Semaphore(0)
    outbox = Outbox(2)
    put: list[bool] = []

    def job(part: int) -> None:
        while outbox.put(part, b"bid"):
            put.append(True)
        outbox.end(part, None, ended.release)

    threads = Threads(2)
    threads.start(lambda: job(0))
    threads.start(lambda: job(1))
    await asyncio.sleep(0.1)
    assert len(put) == MAX_QUEUED_BIDS
    taken = await outbox.get()
    await asyncio.sleep(0.1)
    assert len(put) == MAX_QUEUED_BIDS + len(taken)
    outbox.abandon()
    async with asyncio.timeout(5):
        await ended.acquire()
        await ended.acquire()
