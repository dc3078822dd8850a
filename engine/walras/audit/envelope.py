"""Signed envelopes: DSSE over exact bytes (protocol §3).

On the wire an envelope is DSSE's protobuf message:

    Envelope  { bytes payload = 1; string payloadType = 2; repeated Signature signatures = 3; }
    Signature { bytes sig = 1; string keyid = 2; }

of which version 1 admits one form only: every field present and not empty, in order, lengths in
minimal varints, one signature, nothing else. So an envelope's bytes are exactly what protobuf's own
serializer writes, and whoever decodes them gets back the same bytes when encoding again.

**Parse only after the signature verified.** The verifier needs a key before it may look into the
body, and for an intent the owner's key stands in the body. So `keyid` carries the signer's public
key, 64 lowercase hex digits, and the order is: decode the envelope, verify it under `keyid`, parse
the body, require that whoever the body names (owner, solver, engine) is the signer. DSSE leaves
`keyid` unauthenticated and it authenticates nothing here: it says which key to try, and the last
step decides. A body re-signed under another key verifies, has the same record id, and fails that
step.

Source: secure-systems-lab/dsse, protocol.md (version 1) and envelope.proto.
"""

import hashlib
import re
from dataclasses import dataclass

from walras.audit import keys
from walras.core.errors import InvalidInput, Reason

MAX_ENVELOPE_BYTES = 65_535
"""The default bound: what fits a log leaf. Records stored by their digest get a larger one."""

# One byte of length on the wire; a media type: printable ASCII without spaces.
_PAYLOAD_TYPE = re.compile(r"[!-~]{1,127}")
_KEYID = re.compile(rb"[0-9a-f]{64}")

# The tags of the three fields; then what stands around sig and keyid, whose lengths never vary:
# signatures[0] is 2 + 64 + 2 + 64 = 132 bytes, and 132 is the varint 84 01.
_PAYLOAD, _TYPE = b"\x0a", b"\x12"
_SIGNATURE, _SIG, _KEY = b"\x1a\x84\x01", b"\x0a\x40", b"\x12\x40"
_SIGNATURE_BLOCK = len(_SIGNATURE) + len(_SIG) + 64 + len(_KEY) + 64


@dataclass(frozen=True, slots=True)
class Envelope:
    """One signed record.

    Attributes:
        payload_type: which record the body is; part of what is signed.
        body: the serialized record, at least one byte.
        signer: the 32-byte public key the signature is claimed to be of; DSSE's keyid.
        signature: 64 bytes.
    """

    payload_type: str
    body: bytes
    signer: bytes
    signature: bytes


def pae(payload_type: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed. Lengths count bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def record_id(payload_type: str, body: bytes) -> bytes:
    """SHA-256 of the PAE: the record's id, the same whoever signed it and however often."""
    return hashlib.sha256(pae(payload_type, body)).digest()


def encode(envelope: Envelope) -> bytes:
    """The envelope's one form on the wire.

    Raises:
        InvalidInput: ENVELOPE_MALFORMED if a field cannot stand in an envelope.
    """
    if not _PAYLOAD_TYPE.fullmatch(envelope.payload_type):
        raise _malformed("the payload type is not 1 to 127 printable ASCII characters")
    if not envelope.body:
        raise _malformed("the payload is empty")
    if len(envelope.signature) != keys.SIGNATURE_BYTES:
        raise _malformed(f"the signature has {len(envelope.signature)} bytes, not 64")
    if len(envelope.signer) != keys.PUBLIC_KEY_BYTES:
        raise _malformed(f"the signer's key has {len(envelope.signer)} bytes, not 32")
    kind = envelope.payload_type.encode()
    return b"".join(
        (
            *(_PAYLOAD, _varint(len(envelope.body)), envelope.body),
            *(_TYPE, _varint(len(kind)), kind),
            *(_SIGNATURE, _SIG, envelope.signature, _KEY, envelope.signer.hex().encode()),
        )
    )


def decode(data: bytes, max_bytes: int = MAX_ENVELOPE_BYTES) -> Envelope:
    """The envelope that `data` is the one form of; nothing is verified yet.

    Args:
        data: hostile bytes.
        max_bytes: the longest envelope admitted here, in bytes.

    Raises:
        InvalidInput: ENVELOPE_MALFORMED.
    """
    if len(data) > max_bytes:
        raise _malformed(f"it has {len(data)} bytes, more than the {max_bytes} allowed")
    body, at = _field(data, 0, _PAYLOAD, "payload")
    kind, at = _field(data, at, _TYPE, "payloadType")
    # Latin-1 maps every byte to one character, so the pattern sees what stands there.
    payload_type = kind.decode("latin-1")
    if not _PAYLOAD_TYPE.fullmatch(payload_type):
        raise _malformed("payloadType is not 1 to 127 printable ASCII characters")
    block = data[at:]
    sig_at = len(_SIGNATURE) + len(_SIG)
    key_at = sig_at + 64 + len(_KEY)
    if (
        len(block) != _SIGNATURE_BLOCK
        or not block.startswith(_SIGNATURE + _SIG)
        or not block.startswith(_KEY, sig_at + 64)
    ):
        raise _malformed("after payloadType it must end in one signature with sig and keyid")
    if not _KEYID.fullmatch(block, key_at):
        raise _malformed("keyid is not the signer's public key in 64 lowercase hex digits")
    signer = bytes.fromhex(block[key_at:].decode("ascii"))
    return Envelope(payload_type, body, signer, block[sig_at : sig_at + 64])


def verify_envelope(envelope: Envelope) -> None:
    """Return if the envelope's signature is its signer's. Raises as `keys.verify`."""
    keys.verify(envelope.signer, pae(envelope.payload_type, envelope.body), envelope.signature)


def seal(payload_type: str, body: bytes, signer: keys.Signer) -> bytes:
    """An envelope over `body`, signed and encoded. Raises as `encode`."""
    signature = signer.sign(pae(payload_type, body))
    return encode(Envelope(payload_type, body, signer.public_key, signature))


def open_envelope(
    data: bytes,
    expected_type: str,
    public_key: bytes | None = None,
    max_bytes: int = MAX_ENVELOPE_BYTES,
) -> Envelope:
    """The envelope in `data`, of the expected type and with a verified signature.

    Args:
        data: hostile bytes.
        expected_type: the only payload type admitted.
        public_key: whose signature it must be. None where only the body tells: the caller then
            parses the body and requires that it names `Envelope.signer`.
        max_bytes: the longest envelope admitted here, in bytes.

    Raises:
        InvalidInput: ENVELOPE_MALFORMED, PAYLOAD_TYPE_WRONG, SIGNER_UNKNOWN (well-formed, but of
            another key than `public_key`), PUBLIC_KEY_INVALID, SIGNATURE_INVALID.
    """
    envelope = decode(data, max_bytes)
    if envelope.payload_type != expected_type:
        raise InvalidInput(
            Reason.PAYLOAD_TYPE_WRONG,
            f"this is {envelope.payload_type}, and {expected_type} is expected",
            payload_type=envelope.payload_type,
            expected=expected_type,
        )
    if public_key is not None and envelope.signer != public_key:
        raise InvalidInput(
            Reason.SIGNER_UNKNOWN,
            "the envelope is signed by another key than expected",
            signer=envelope.signer.hex(),
            expected=public_key.hex(),
        )
    verify_envelope(envelope)
    return envelope


def _field(data: bytes, at: int, tag: bytes, name: str) -> tuple[bytes, int]:
    """The content of the length-delimited field `tag` at `at`, and the position after it."""
    if not data.startswith(tag, at):
        raise _malformed(f"{name} is missing or out of order")
    start = at + len(tag)
    length = 0
    for shift in range(0, 35, 7):
        if start >= len(data):
            raise _malformed(f"it ends within the length of {name}")
        byte = data[start]
        start += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        raise _malformed(f"the length of {name} has more than 5 bytes")
    # A last byte of zero says nothing, so the varint was not minimal; or the field is empty.
    if byte == 0:
        raise _malformed(f"the length of {name} is zero or not a minimal varint")
    end = start + length
    if end > len(data):
        raise _malformed(f"it ends within {name}")
    return data[start:end], end


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _malformed(why: str) -> InvalidInput:
    return InvalidInput(Reason.ENVELOPE_MALFORMED, f"not an envelope of version 1: {why}")
