"""From a gRPC status back to the error that the engine raised."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from walras.core.errors import InvalidInput, Reason, WalrasError

_OWN = {Reason.INTERNAL, Reason.SHUTTING_DOWN, Reason.DEADLINE_PASSED}
"""What is not the caller's fault."""


def to_error(error: grpc.aio.AioRpcError, address: str) -> WalrasError:
    """What a failed call means.

    Args:
        error: of any server, also of one that is no engine.
        address: that was called.

    Returns:
        An InvalidInput with the engine's reason; or a WalrasError: its own trouble,
        ENGINE_UNREACHABLE, DEADLINE_PASSED, or INTERNAL for whatever else a server may say.
    """
    info = _error_info(error)
    if info is not None and info.reason in Reason.__members__:
        reason = Reason(info.reason)
        fields = dict(info.metadata)
        hint = fields.pop("hint", "")
        # A stranger's names must not collide with the constructor's own.
        fields = {k: v for k, v in fields.items() if k not in {"reason", "message", "self"}}
        kind = WalrasError if reason in _OWN else InvalidInput
        return kind(reason, error.details() or reason.value, hint=hint, **fields)
    detail = (error.details() or "")[:200]
    match error.code():
        case grpc.StatusCode.UNAVAILABLE:
            return WalrasError(
                Reason.ENGINE_UNREACHABLE,
                f"no engine answers at {address}",
                hint="is `walras serve` running there?",
                address=address,
                detail=detail,
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return WalrasError(
                Reason.DEADLINE_PASSED,
                f"{address} did not answer in time",
                hint="it may have done it nonetheless; ask again with the same request_id",
                address=address,
            )
        case code:
            return WalrasError(
                Reason.INTERNAL,
                f"{address} answered {code.name}: {detail}",
                hint="is it a Walras engine of this version?",
                address=address,
            )


def known_reason(text: str) -> Reason:
    """The reason that `text` names; INTERNAL for one of a later version."""
    return Reason(text) if text in Reason.__members__ else Reason.INTERNAL


def _error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # has what a Call has
    except ValueError:
        return None  # the details contradict the status: not an engine's
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info) and info.domain == "walras":
            return info
    return None
