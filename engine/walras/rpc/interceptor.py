"""What every call shares: errors become statuses, and what nobody expected becomes INTERNAL and a
log line.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
import structlog

from walras.core.errors import Reason, WalrasError
from walras.rpc.status import abort

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns a WalrasError into its google.rpc.Status."""

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        """The handler, guarded."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        # Health and reflection speak for themselves.
        if not method.startswith("/walras."):
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _guard_stream(handler.unary_stream, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            _guard(handler.unary_unary, method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _guard(behaviour: Callable[[Any, Context], Awaitable[Any]], method: str) -> Any:
    async def guarded(request: Any, context: Context) -> Any:
        try:
            return await behaviour(request, context)
        except WalrasError as error:
            await abort(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and answered as INTERNAL
            await _unexpected(context, method, error)

    return guarded


def _guard_stream(behaviour: Callable[[Any, Context], AsyncIterator[Any]], method: str) -> Any:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for answer in behaviour(request, context):
                yield answer
        except WalrasError as error:
            await abort(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and answered as INTERNAL
            await _unexpected(context, method, error)

    return guarded


async def _unexpected(context: Context, method: str, error: Exception) -> NoReturn:
    log.error("a call failed unexpectedly", method=method, exc_info=error)
    await abort(
        context,
        WalrasError(Reason.INTERNAL, "the engine failed to answer", hint="its log says why"),
    )
