"""Admission: what is checked of a signed record before it may change anything.

`open_record` does what needs no state and takes time (decoding, the signature, the body's rules);
it runs in threads. `walras.ledger.state.State` does what needs state.
"""

from dataclasses import dataclass

from walras.audit import envelope
from walras.audit.bindings import check_proof
from walras.audit.quotes import check_quotes
from walras.core.errors import InvalidInput, Reason
from walras.protocol.codec import Signed, decode
from walras.protocol.keys import KeyBinding
from walras.protocol.records import Kind, MarketUpdate, signer_of


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record whose signature verified and whose signer is the one it names.

    Attributes:
        id: SHA-256 over the PAE.
        record: what was signed.
        leaf: the exact bytes that came in.
    """

    id: bytes
    record: Signed
    leaf: bytes


def open_record(data: bytes, kind: Kind) -> OpenedRecord:
    """Verify the signature, then parse, then require that the record names its signer, and that
    makers signed the quotes in it, or a new key agreed to its binding.

    Args:
        data: hostile bytes, a DSSE envelope of a user's or an operator's record.
        kind: what it must hold.

    Raises:
        InvalidInput: with the first rule that it breaks.
    """
    signed = envelope.decode(data)
    if signed.payload_type != kind.payload_type:
        raise InvalidInput(
            Reason.PAYLOAD_TYPE_WRONG,
            f"the envelope holds {signed.payload_type}, not {kind.payload_type}",
            payload_type=signed.payload_type,
        )
    envelope.verify_envelope(signed)
    record = decode(kind, signed.body)
    if signer_of(record) != signed.signer:
        raise InvalidInput(
            Reason.OWNER_MISMATCH,
            "the record names another key than the one that signed it",
            signer=signed.signer.hex(),
        )
    if isinstance(record, MarketUpdate):
        check_quotes(record)
    if isinstance(record, KeyBinding):
        check_proof(record)
    return OpenedRecord(envelope.record_id(signed.payload_type, signed.body), record, data)


def check_window(expiry_ms: int, now_ms: int) -> None:
    """Refuse what has expired.

    Raises:
        InvalidInput: INTENT_EXPIRED.
    """
    if expiry_ms <= now_ms:
        raise InvalidInput(
            Reason.INTENT_EXPIRED,
            f"it expired at {expiry_ms} ms, and it is {now_ms} ms now",
            hint="sign a new one with a later expiry_ms",
            expiry_ms=expiry_ms,
            now_ms=now_ms,
        )
