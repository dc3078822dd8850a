"""Watching: what is committed goes to everybody who asked for it, through queues with a bound."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from walras.core.errors import InvalidInput, Reason

T = TypeVar("T")

MAX_BEHIND = 4_096
MAX_WATCHERS = 256


class Watchers(Generic[T]):
    """Everybody who watches one kind of thing."""

    def __init__(self) -> None:
        self._queues: dict[asyncio.Queue[T | None], Callable[[T], bool]] = {}

    def publish(self, item: T) -> None:
        """Hand `item` to whoever wants it; who is too far behind is told so instead."""
        for queue, wants in list(self._queues.items()):
            if not wants(item):
                continue
            if queue.qsize() >= MAX_BEHIND:
                del self._queues[queue]
                queue.put_nowait(None)
            else:
                queue.put_nowait(item)

    @contextmanager
    def watch(self, wants: Callable[[T], bool]) -> Iterator[AsyncIterator[T]]:
        """What is published from now on and `wants` accepts.

        Raises:
            InvalidInput: QUEUE_FULL if too many watch already, or, while iterating, if the watcher
                fell behind.
        """
        if len(self._queues) >= MAX_WATCHERS:
            raise InvalidInput(Reason.QUEUE_FULL, f"{MAX_WATCHERS} callers watch already")
        queue: asyncio.Queue[T | None] = asyncio.Queue()
        self._queues[queue] = wants
        try:
            yield _drain(queue)
        finally:
            self._queues.pop(queue, None)


async def _drain(queue: "asyncio.Queue[T | None]") -> AsyncIterator[T]:
    while (item := await queue.get()) is not None:
        yield item
    raise InvalidInput(
        Reason.QUEUE_FULL,
        f"the watcher is more than {MAX_BEHIND} changes behind",
        hint="watch again: the present state comes first",
    )
