"""Requests as users send them."""

from support.market import DOMAIN, sell, signer
from support.worlds import fresh
from walras.api.v1 import intent_service_pb2 as pb
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.protocol.records import Cancel
from walras.sdk.signing import sign_record

ANN, BOB = signer("ann"), signer("bob")


def submission(data: bytes, request_id: str | None = None) -> pb.SubmitIntentRequest:
    """Hand in an envelope."""
    return pb.SubmitIntentRequest(
        request_id=fresh() if request_id is None else request_id, envelope=data
    )


def cancellation(intent_id: bytes, owner: Signer, domain: str = DOMAIN) -> pb.CancelIntentRequest:
    """Take an intent back."""
    record = Cancel(domain, owner.public_key, intent_id)
    return pb.CancelIntentRequest(request_id=fresh(), envelope=sign_record(record, owner))


def good() -> bytes:
    """Ann's offer of an ETH: another one each time."""
    return sign_record(sell(ANN.public_key), ANN)


def parts(data: bytes) -> envelope.Envelope:
    """What an envelope holds."""
    return envelope.decode(data)
