"""How calls of an engine are made: tried again where nothing was reached, with one deadline for all
attempts, and with the engine's refusals as errors.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc

from walras.core.errors import WalrasError
from walras.sdk.status import to_error

_FIRST_PAUSE = 0.1
_LAST_PAUSE = 2.0

A = TypeVar("A")
Q = TypeVar("Q")
R = TypeVar("R")


class Calls:
    """What a client of one engine makes its calls by.

    Args:
        address: of the engine, for messages.
        timeout: seconds for one call with all its attempts.
        attempts: how often a call is tried at most.
    """

    def __init__(self, address: str, timeout: float, attempts: int) -> None:
        self.address = address
        self._timeout = timeout
        self._attempts = attempts

    async def _call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Q, A]", request: Q) -> A:
        return await self._attempt(lambda seconds: method(request, timeout=seconds))

    async def _attempt(self, call: Callable[[float], Awaitable[A]]) -> A:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        for attempt in range(1, self._attempts + 1):
            try:
                return await call(max(0.001, end - loop.time()))
            except grpc.aio.AioRpcError as error:
                pause = _pause(attempt)
                last = attempt == self._attempts or loop.time() + pause >= end
                if last or error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise to_error(error, self.address) from error
            await asyncio.sleep(pause)
        raise AssertionError  # the last attempt returned or raised

    async def _pages(self, method: Any, request: Any) -> AsyncIterator[Any]:
        while True:
            page = await self._call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _stream(
        self, call: Any, on_ready: Callable[[], None] = lambda: None
    ) -> AsyncIterator[Any]:
        try:
            await call.initial_metadata()
            on_ready()
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise to_error(error, self.address) from error
        finally:
            call.cancel()


async def bounded(work: Callable[[A], Awaitable[R]], items: Sequence[A], in_flight: int) -> list[R]:
    """`work` over `items`, at most `in_flight` at once, in order; the first failure ends all."""
    gate = asyncio.Semaphore(in_flight)

    async def one(item: A) -> R:
        async with gate:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except* WalrasError as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _pause(attempt: int) -> float:
    # Full jitter: those who failed together do not come back together.
    most = min(_LAST_PAUSE, _FIRST_PAUSE * 2.0 ** (attempt - 1))
    return random.uniform(0, most)  # noqa: S311 - spreads load, guards nothing
