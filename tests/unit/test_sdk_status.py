"""From a gRPC status back to the engine's error."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.rpc.status import CODES, to_status
from walras.sdk.status import known_reason, to_error

DETAILS = "grpc-status-details-bin"


def _error(
    code: grpc.StatusCode, message: str, status: status_pb2.Status | None = None
) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata()
    if status is not None:
        trailing.add(DETAILS, status.SerializeToString())
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=message)


def _code(number: int) -> grpc.StatusCode:
    return next(code for code in grpc.StatusCode if code.value[0] == number)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_comes_back_with_its_fields_and_hint(reason: Reason) -> None:
    sent = InvalidInput(reason, "a sentence", hint="do this", asset="a:b/c:d", limit=5)
    got = to_error(_error(_code(CODES[reason]), "a sentence", to_status(sent)), "host:1")
    assert (got.reason, got.message, got.hint) == (reason, "a sentence", "do this")
    assert got.fields == {"asset": "a:b/c:d", "limit": "5"}


def test_the_engines_own_trouble_is_not_the_callers_fault() -> None:
    for reason in (Reason.INTERNAL, Reason.SHUTTING_DOWN, Reason.DEADLINE_PASSED):
        sent = WalrasError(reason, "x")
        got = to_error(_error(_code(CODES[reason]), "x", to_status(sent)), "host:1")
        assert not isinstance(got, InvalidInput)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Reason.ENGINE_UNREACHABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE_PASSED),
        (grpc.StatusCode.UNIMPLEMENTED, Reason.INTERNAL),
        (grpc.StatusCode.INVALID_ARGUMENT, Reason.INTERNAL),
    ],
)
def test_a_server_without_details_still_makes_sense(code: grpc.StatusCode, reason: Reason) -> None:
    got = to_error(_error(code, "whatever"), "host:1")
    assert got.reason is reason
    assert "host:1" in got.message
    assert got.hint


def test_details_of_a_stranger_are_not_believed() -> None:
    info = error_details_pb2.ErrorInfo(reason="NONCE_USED", domain="example.org")
    packed = AnyMessage()
    packed.Pack(info)
    status = status_pb2.Status(code=3, message="m", details=[packed])
    got = to_error(_error(grpc.StatusCode.INVALID_ARGUMENT, "m", status), "host:1")
    assert got.reason is Reason.INTERNAL
    contradicting = status_pb2.Status(code=5, message="m", details=[packed])
    got = to_error(_error(grpc.StatusCode.INVALID_ARGUMENT, "m", contradicting), "host:1")
    assert got.reason is Reason.INTERNAL


def test_fields_that_collide_with_an_errors_own_names_do_no_harm() -> None:
    metadata = {"reason": "x", "message": "y", "self": "z", "hint": "h", "kept": "k"}
    info = error_details_pb2.ErrorInfo(reason="NONCE_USED", domain="walras", metadata=metadata)
    packed = AnyMessage()
    packed.Pack(info)
    status = status_pb2.Status(code=6, message="m", details=[packed])
    got = to_error(_error(grpc.StatusCode.ALREADY_EXISTS, "m", status), "host:1")
    assert (got.reason, got.message, got.hint) == (Reason.NONCE_USED, "m", "h")
    assert got.fields == {"kept": "k"}


def test_a_reason_of_a_later_version_is_internal() -> None:
    assert known_reason("NONCE_USED") is Reason.NONCE_USED
    assert known_reason("FROM_THE_FUTURE") is Reason.INTERNAL
