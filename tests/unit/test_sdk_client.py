"""The client's own part: what it tries again and under which id, deadlines, order, pages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from walras.api.v1 import (
    intent_service_pb2,
    intent_service_pb2_grpc,
    log_service_pb2,
    log_service_pb2_grpc,
)
from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.rpc.status import abort
from walras.sdk.calls import bounded
from walras.sdk.client import CHUNK, Client

Context = grpc.aio.ServicerContext[Any, Any]


class Flaky(intent_service_pb2_grpc.IntentServiceServicer, log_service_pb2_grpc.LogServiceServicer):
    """Refuses the first calls, remembers every request id, and counts what is in flight."""

    def __init__(
        self, failures: int = 0, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    ) -> None:
        self.failures = failures
        self.code = code
        self.ids: list[str] = []
        self.in_flight = self.most_in_flight = 0

    async def _fail(self, context: Context) -> None:
        if self.failures:
            self.failures -= 1
            await context.abort(self.code, "not now")

    async def SubmitIntent(
        self, request: intent_service_pb2.SubmitIntentRequest, context: Context
    ) -> intent_service_pb2.SubmitIntentResponse:
        self.ids.append(request.request_id)
        if request.envelope == b"slow":
            await asyncio.sleep(30)
        if request.envelope == b"bad":
            error = InvalidInput(Reason.NONCE_USED, "used before", hint="count up", nonce=7)
            await abort(context, error)
        await self._fail(context)
        return intent_service_pb2.SubmitIntentResponse(intent_id=b"\x01" * 32)

    async def SubmitIntents(
        self, request: intent_service_pb2.SubmitIntentsRequest, context: Context
    ) -> intent_service_pb2.SubmitIntentsResponse:
        self.ids.append(request.request_id)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        # Later chunks answer sooner, so order must not depend on arrival.
        await asyncio.sleep(0.05 / len(self.ids))
        self.in_flight -= 1
        await self._fail(context)
        results = []
        for envelope in request.envelopes:
            if int(envelope) % 10 == 0:
                refusal = intent_service_pb2.Refusal(reason="INTENT_EXPIRED", message="late")
                results.append(intent_service_pb2.SubmitResult(refusal=refusal))
            else:
                inclusion = log_service_pb2.InclusionProof(leaf_index=int(envelope))
                results.append(
                    intent_service_pb2.SubmitResult(intent_id=envelope, inclusion=inclusion)
                )
        return intent_service_pb2.SubmitIntentsResponse(results=results, checkpoint=b"note")

    async def ListIntents(
        self, request: intent_service_pb2.ListIntentsRequest, context: Context
    ) -> intent_service_pb2.ListIntentsResponse:
        await self._fail(context)
        page = int(request.page_token or 0)
        intents = [intent_service_pb2.IntentStatus(leaf_index=2 * page + i) for i in range(2)]
        token = str(page + 1) if page < 3 else ""
        return intent_service_pb2.ListIntentsResponse(intents=intents, next_page_token=token)

    async def GetBlob(
        self, request: log_service_pb2.GetBlobRequest, context: Context
    ) -> AsyncIterator[log_service_pb2.GetBlobResponse]:
        yield log_service_pb2.GetBlobResponse(chunk=b"half")
        # Fails in the middle: the whole must be read again, not only the rest.
        await self._fail(context)
        yield log_service_pb2.GetBlobResponse(chunk=b" and half")


@asynccontextmanager
async def serving(servicer: Flaky, **options: Any) -> AsyncIterator[Client]:
    server = grpc.aio.server()
    intent_service_pb2_grpc.add_IntentServiceServicer_to_server(servicer, server)
    log_service_pb2_grpc.add_LogServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Client(f"127.0.0.1:{port}", **options) as client:
            yield client
    finally:
        await server.stop(None)


async def test_a_mutation_is_tried_again_under_the_same_id() -> None:
    servicer = Flaky(failures=2)
    async with serving(servicer) as client:
        await client.submit(b"x")
        assert len(servicer.ids) == 3
        assert len(set(servicer.ids)) == 1
        assert 1 <= len(servicer.ids[0]) <= 64
        await client.submit(b"x")
        assert servicer.ids[3] != servicer.ids[0]


async def test_it_gives_up_after_so_many_attempts() -> None:
    servicer = Flaky(failures=100)
    async with serving(servicer, attempts=3) as client:
        with pytest.raises(WalrasError) as caught:
            await client.submit(b"x")
    assert caught.value.reason is Reason.ENGINE_UNREACHABLE
    assert client.address in caught.value.message
    assert "walras serve" in caught.value.hint
    assert len(servicer.ids) == 3


async def test_other_failures_are_not_tried_again() -> None:
    servicer = Flaky(failures=1, code=grpc.StatusCode.RESOURCE_EXHAUSTED)
    async with serving(servicer) as client:
        with pytest.raises(WalrasError, match="RESOURCE_EXHAUSTED"):
            await client.submit(b"x")
    assert len(servicer.ids) == 1


async def test_a_refusal_comes_with_all_that_the_engine_said() -> None:
    async with serving(Flaky()) as client:
        with pytest.raises(InvalidInput) as caught:
            await client.submit(b"bad")
    error = caught.value
    assert (error.reason, error.message, error.hint) == (
        Reason.NONCE_USED,
        "used before",
        "count up",
    )
    assert error.fields == {"nonce": "7"}


async def test_every_call_has_a_deadline() -> None:
    async with serving(Flaky(), timeout=0.2) as client:
        with pytest.raises(WalrasError) as caught:
            await client.submit(b"slow")
    assert caught.value.reason is Reason.DEADLINE_PASSED


async def test_many_are_sent_in_bounded_chunks_and_answered_in_order() -> None:
    servicer = Flaky(failures=1)
    count = 5 * CHUNK + 7
    done: list[int] = []
    async with serving(servicer) as client:
        envelopes = [b"%d" % number for number in range(count)]
        answers = await client.submit_many(envelopes, in_flight=2, on_progress=done.append)
        assert await client.submit_many([]) == []
    assert servicer.most_in_flight == 2
    assert sum(done) == count == len(answers)
    for number, answer in enumerate(answers):
        if number % 10 == 0:
            assert answer.error is not None
            assert answer.error.reason is Reason.INTENT_EXPIRED
            assert answer.receipt is None
        else:
            assert answer.error is None
            assert answer.receipt is not None
            assert answer.intent_id == envelopes[number]
            assert answer.receipt.inclusion.leaf_index == number
            assert answer.receipt.checkpoint == b"note"


async def test_pages_are_read_to_the_last() -> None:
    async with serving(Flaky(failures=1)) as client:
        assert [intent.leaf_index async for intent in client.intents()] == list(range(8))


async def test_a_blob_that_breaks_off_is_read_again_from_its_beginning() -> None:
    async with serving(Flaky(failures=1)) as client:
        assert await client.blob(bytes(32)) == b"half and half"


async def test_the_first_failure_of_many_ends_all() -> None:
    ended: list[int] = []

    async def work(number: int) -> int:
        if number == 3:
            raise InvalidInput(Reason.NOT_FOUND, "three")
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(number)
        return number

    with pytest.raises(InvalidInput, match="three"):
        await bounded(work, range(10), 4)
    # The failure made room for one more, which was ended at once; nothing after it began.
    assert {0, 1, 2} <= set(ended) <= {0, 1, 2, 4}
