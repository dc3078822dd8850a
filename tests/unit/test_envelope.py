"""Envelopes: DSSE's own vectors, the one form on the wire, and nothing else."""

import base64
import hashlib
from dataclasses import replace

import pytest

from walras.audit import envelope as dsse
from walras.audit import keys
from walras.core.errors import InvalidInput, Reason

TYPE = "application/vnd.walras.intent.v1+protobuf"
# RFC 8032 §7.1 test 1, which is also key A of DSSE's vectors.
SIGNER = keys.Signer.from_seed(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
)
OTHER = keys.Signer.from_seed(b"o" * 32)

# secure-systems-lab/dsse testvectors/vectors.json: payload type, body, PAE, signature by key A.
IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1"}'
VECTORS = [
    (
        IN_TOTO,
        STATEMENT,
        b"DSSEv1 28 application/vnd.in-toto+json 43 " + STATEMENT,
        "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA==",
    ),
    (
        IN_TOTO,
        b"\xfb\xff\xbf>?",
        b"DSSEv1 28 application/vnd.in-toto+json 5 \xfb\xff\xbf>?",
        "P+/KHICeR7tI6S/YyejJTRtrXhcQyQ2LYPaL8h90KjC9qN8HU/svOQ6TuDOT1HIrsGW886DbWNWcCmX5twLrAw==",
    ),
    (
        "application/vnd.exämple+json",
        STATEMENT,
        b"DSSEv1 29 application/vnd.ex\xc3\xa4mple+json 43 " + STATEMENT,
        "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw==",
    ),
    (
        IN_TOTO,
        b"",
        b"DSSEv1 28 application/vnd.in-toto+json 0 ",
        "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg==",
    ),
    (
        "",
        STATEMENT,
        b"DSSEv1 0  43 " + STATEMENT,
        "iC3q/+3Rm0+lpAJRueDmDh15PnwCfxKmS0NAfKsbv+zgulXQC/WM9trc+j1XEqlwDIg/vf/uNfebeD6sxInrDg==",
    ),
]


def sealed(body: bytes = b"body") -> bytes:
    return dsse.seal(TYPE, body, SIGNER)


def reason_of_opening(data: bytes, public_key: bytes | None = None) -> Reason:
    with pytest.raises(InvalidInput) as caught:
        dsse.open_envelope(data, TYPE, public_key)
    return caught.value.reason


@pytest.mark.parametrize(("kind", "body", "pae", "signature"), VECTORS)
def test_dsse_vectors(kind: str, body: bytes, pae: bytes, signature: str) -> None:
    assert dsse.pae(kind, body) == pae
    assert SIGNER.sign(pae) == base64.b64decode(signature)
    keys.verify(SIGNER.public_key, dsse.pae(kind, body), base64.b64decode(signature))
    assert dsse.record_id(kind, body) == hashlib.sha256(pae).digest()


def test_a_signature_does_not_carry_over_to_another_type() -> None:
    envelope = dsse.decode(dsse.seal(IN_TOTO, STATEMENT, SIGNER))
    with pytest.raises(InvalidInput) as caught:
        dsse.verify_envelope(replace(envelope, payload_type="application/vnd.example.other+json"))
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_the_wire_form_byte_for_byte() -> None:
    signature = SIGNER.sign(b"DSSEv1 3 t/x 2 hi")
    keyid = b"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    wire = b"\x0a\x02hi\x12\x03t/x\x1a\x84\x01\x0a\x40" + signature + b"\x12\x40" + keyid
    assert dsse.seal("t/x", b"hi", SIGNER) == wire
    assert dsse.decode(wire) == dsse.Envelope("t/x", b"hi", SIGNER.public_key, signature)


@pytest.mark.parametrize("length", [1, 127, 128, 16_383, 16_384, 65_000])
def test_round_trip_over_the_lengths_where_varints_grow(length: int) -> None:
    data = sealed(b"x" * length)
    opened = dsse.open_envelope(data, TYPE, SIGNER.public_key)
    assert opened.body == b"x" * length
    assert opened.signer == SIGNER.public_key
    assert dsse.encode(opened) == data


def test_the_signer_is_checked_where_it_is_known() -> None:
    assert dsse.open_envelope(sealed(), TYPE).signer == SIGNER.public_key
    assert reason_of_opening(sealed(), OTHER.public_key) is Reason.SIGNER_UNKNOWN


def test_a_body_signed_again_by_another_key_keeps_its_id_but_shows_its_signer() -> None:
    copied = dsse.open_envelope(dsse.seal(TYPE, b"body", OTHER), TYPE)
    assert copied.signer == OTHER.public_key != SIGNER.public_key
    assert dsse.record_id(TYPE, copied.body) == dsse.record_id(TYPE, b"body")


def test_a_signature_under_another_keyid_is_refused() -> None:
    stolen = replace(dsse.decode(sealed()), signer=OTHER.public_key)
    assert reason_of_opening(dsse.encode(stolen)) is Reason.SIGNATURE_INVALID


def test_a_keyid_that_is_no_key_is_refused() -> None:
    identity = replace(dsse.decode(sealed()), signer=b"\x01" + bytes(31))
    assert reason_of_opening(dsse.encode(identity)) is Reason.PUBLIC_KEY_INVALID


def test_the_type_is_checked_before_the_signature() -> None:
    data = dsse.seal("application/vnd.walras.cancel.v1+protobuf", b"body", SIGNER)
    assert reason_of_opening(data) is Reason.PAYLOAD_TYPE_WRONG


def test_every_changed_byte_is_refused() -> None:
    data = sealed()
    for position in range(len(data)):
        for flip in range(1, 256):
            changed = bytearray(data)
            changed[position] ^= flip
            assert reason_of_opening(bytes(changed)) in {
                Reason.ENVELOPE_MALFORMED,
                Reason.PAYLOAD_TYPE_WRONG,
                Reason.PUBLIC_KEY_INVALID,
                Reason.SIGNATURE_INVALID,
            }


def test_every_truncation_extension_and_insertion_is_refused() -> None:
    data = sealed()
    for position in range(len(data)):
        assert reason_of_opening(data[:position]) is Reason.ENVELOPE_MALFORMED
        without = data[:position] + data[position + 1 :]
        assert reason_of_opening(without) is Reason.ENVELOPE_MALFORMED
    for more in (b"\x00", b"\x22\x00", data, b"\x1a\x00"):
        assert reason_of_opening(data + more) is Reason.ENVELOPE_MALFORMED
        assert reason_of_opening(more + data) is Reason.ENVELOPE_MALFORMED


TAIL = sealed()[-135:]  # signatures: 3 bytes of tag and length, then 132
HEAD = b"\x0a\x04body"
KIND = b"\x12\x29" + TYPE.encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "payload is missing"),
        (KIND + HEAD + TAIL, "out of order"),
        (HEAD + TAIL + KIND, "out of order"),
        (HEAD + HEAD + KIND + TAIL, "out of order"),
        (HEAD + KIND, "one signature"),
        (HEAD + KIND + TAIL + TAIL, "one signature"),
        (HEAD + KIND + b"\x1a\x42" + TAIL[3:69], "one signature"),
        (HEAD + KIND + b"\x1a\x84\x01" + TAIL[69:] + TAIL[3:69], "one signature"),
        (b"\x0a\x84\x00body" + KIND + TAIL, "minimal varint"),
        (b"\x0a\x84\x80\x80\x80\x80\x00body" + KIND + TAIL, "more than 5 bytes"),
        (b"\x0a\xff\xff\xff\xff\x7fbody" + KIND + TAIL, "ends within payload"),
        (b"\x0a", "ends within the length"),
        (b"\x0a\x80", "ends within the length"),
        (b"\x0a\x00" + KIND + TAIL, "zero"),
        (HEAD + b"\x12\x00" + TAIL, "zero"),
        (HEAD + b"\x12\x03a b" + TAIL, "printable"),
        (HEAD + b"\x12\x02\xc3\xa4" + TAIL, "printable"),
        (HEAD + b"\x12\x80\x01" + b"t" * 128 + TAIL, "printable"),
        (HEAD + KIND + TAIL[:-64] + TAIL[-64:].upper(), "lowercase"),
        (HEAD + KIND + TAIL[:-64] + b"g" * 64, "lowercase"),
        (HEAD + KIND + TAIL[:-1] + b"\n", "lowercase"),
    ],
)
def test_any_other_form_is_malformed(data: bytes, why: str) -> None:
    assert dsse.open_envelope(HEAD + KIND + TAIL, TYPE).body == b"body"
    with pytest.raises(InvalidInput, match=why) as caught:
        dsse.decode(data)
    assert caught.value.reason is Reason.ENVELOPE_MALFORMED


def test_the_length_is_bounded() -> None:
    data = sealed(b"x" * 65_535)
    assert reason_of_opening(data) is Reason.ENVELOPE_MALFORMED
    assert dsse.decode(data, max_bytes=len(data)).body == b"x" * 65_535
    with pytest.raises(InvalidInput, match="allowed"):
        dsse.decode(data, max_bytes=len(data) - 1)


@pytest.mark.parametrize(
    "change",
    [
        {"payload_type": ""},
        {"payload_type": "a b"},
        {"payload_type": "ä"},
        {"payload_type": "t" * 128},
        {"payload_type": "t\n"},
        {"body": b""},
        {"signer": bytes(31)},
        {"signature": bytes(63)},
    ],
)
def test_what_cannot_stand_in_an_envelope_is_not_encoded(change: dict[str, str | bytes]) -> None:
    fields = {"payload_type": TYPE, "body": b"b", "signer": bytes(32), "signature": bytes(64)}
    with pytest.raises(InvalidInput) as caught:
        dsse.encode(dsse.Envelope(**(fields | change)))  # type: ignore[arg-type]  # one bad field
    assert caught.value.reason is Reason.ENVELOPE_MALFORMED
