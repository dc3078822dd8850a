"""Bids on their way from solvers' threads to the event loop."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Semaphore

from walras.core.errors import WalrasError

MAX_QUEUED_BIDS = 64


@dataclass(frozen=True, slots=True)
class Sent:
    """What a part of a request came to, piece by piece.

    Attributes:
        part: its place in the request.
        bid: an envelope; empty in the last piece.
        fault: that ended the part.
    """

    part: int
    bid: bytes = b""
    fault: WalrasError | None = None


class Outbox:
    """What the parts of one call come to.

    A slow reader slows the solvers, not the memory. The loop is woken once for all that is there:
    waking it costs more than what is handed over.

    Args:
        parts: how many will end.
    """

    def __init__(self, parts: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._open = parts
        self._sent: deque[Sent] = deque()
        self._over: deque[Callable[[], None]] = deque()
        self._room = Semaphore(MAX_QUEUED_BIDS)
        self._reader: asyncio.Future[None] | None = None
        self._rung = self._abandoned = False

    def put(self, part: int, bid: bytes) -> bool:
        """From a thread; waits while the outbox is full. False where nobody reads any more."""
        self._room.acquire()
        if self._abandoned:
            self._room.release()  # for the next thread that waits
            return False
        self._sent.append(Sent(part, bid))
        self._ring()
        return True

    def end(
        self, part: int, fault: WalrasError | None, then: Callable[[], None] = lambda: None
    ) -> None:
        """From any thread, once for each part, and last: no bid of it will follow.

        `then` is called on the loop, whether or not anybody reads.
        """
        self._sent.append(Sent(part, fault=fault))
        self._over.append(then)
        self._ring()

    async def get(self) -> list[Sent]:
        """What is there and was not taken yet; nothing once all parts have ended."""
        while not self._sent or self._abandoned:
            if not self._open:
                return []
            self._reader = self._loop.create_future()
            await self._reader
        taken = [self._sent.popleft() for _ in range(len(self._sent))]
        for sent in taken:
            if sent.bid:
                self._room.release()
            else:
                self._open -= 1
        return taken

    def abandon(self) -> None:
        """On the loop: nobody wants more. Threads that wait go on, and a reader gets nothing."""
        self._abandoned = True
        self._open = 0
        self._sent.clear()
        self._room.release()
        self._wake()

    def _ring(self) -> None:
        # What was there before is seen by whoever answers the bell after it.
        if not self._rung:
            self._rung = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: the node is gone
                self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._rung = False
        while self._over:
            self._over.popleft()()
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
