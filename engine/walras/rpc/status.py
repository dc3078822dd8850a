"""From reasons to gRPC statuses: the one table, and google.rpc details that programs
can match on.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from walras.core.errors import Reason, WalrasError

DOMAIN = "walras"

_NOT_FOUND = {Reason.NOT_FOUND, Reason.INTENT_UNKNOWN, Reason.NODE_UNKNOWN}
_PRECONDITION = {
    Reason.DOMAIN_WRONG,
    Reason.INTENT_EXPIRED,
    Reason.INTENT_CLOSED,
    Reason.BALANCE_INSUFFICIENT,
    Reason.ASSET_UNPRICED,
    Reason.ASSET_UNKNOWN,
    Reason.VENUE_UNKNOWN,
}
_EXISTS = {
    Reason.NONCE_USED,
    Reason.FEED_STALE,
    Reason.REQUEST_ID_REUSED,
    Reason.OBSERVATION_STALE,
}
_EXHAUSTED = {
    Reason.OPEN_INTENT_LIMIT,
    Reason.BOOK_FULL,
    Reason.QUEUE_FULL,
    Reason.OVERLOADED,
    Reason.MESSAGE_TOO_LARGE,
}
_DENIED = {Reason.OWNER_MISMATCH, Reason.SIGNER_UNKNOWN}
_UNAUTHENTICATED = {Reason.SIGNATURE_INVALID, Reason.PUBLIC_KEY_INVALID}

CODES: Mapping[Reason, int] = {
    **dict.fromkeys(Reason, code_pb2.INVALID_ARGUMENT),
    **dict.fromkeys(_NOT_FOUND, code_pb2.NOT_FOUND),
    **dict.fromkeys(_PRECONDITION, code_pb2.FAILED_PRECONDITION),
    **dict.fromkeys(_EXISTS, code_pb2.ALREADY_EXISTS),
    **dict.fromkeys(_EXHAUSTED, code_pb2.RESOURCE_EXHAUSTED),
    **dict.fromkeys(_DENIED, code_pb2.PERMISSION_DENIED),
    **dict.fromkeys(_UNAUTHENTICATED, code_pb2.UNAUTHENTICATED),
    Reason.SHUTTING_DOWN: code_pb2.UNAVAILABLE,
    Reason.DEADLINE_PASSED: code_pb2.DEADLINE_EXCEEDED,
    Reason.INTERNAL: code_pb2.INTERNAL,
}
"""What a reason is as a google.rpc.Code."""

MAX_TEXT = 512
"""Characters of a message or a field that are sent: headers carry a status, and are small."""

RETRY_SECONDS = 1
"""What a caller that was refused for load is told to wait."""


def to_status(error: WalrasError) -> status_pb2.Status:
    """The error as a google.rpc.Status: ErrorInfo with the reason and the fields, and Help or
    RetryInfo.
    """
    code = CODES[error.reason]
    info = error_details_pb2.ErrorInfo(
        reason=error.reason.value,
        domain=DOMAIN,
        metadata={
            name: value[:MAX_TEXT]
            for name, value in [*error.fields.items(), ("hint", error.hint)]
            if value or name != "hint"
        },
    )
    details = [_packed(info)]
    if code in {code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNAVAILABLE}:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = RETRY_SECONDS
        details.append(_packed(retry))
    return status_pb2.Status(code=code, message=error.message[:MAX_TEXT], details=details)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: WalrasError) -> NoReturn:
    """End the call with the error's status."""
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError  # abort never returns


def _packed(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
