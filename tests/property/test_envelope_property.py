"""Envelopes against protobuf's own serializer and against noise."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from walras.audit import envelope as dsse
from walras.audit.keys import Signer
from walras.core.errors import InvalidInput, Reason

TYPE = "application/vnd.walras.bid.v1+protobuf"


def dsse_messages() -> tuple[type[Message], type[Message]]:
    """The message classes of DSSE's envelope.proto, with one field that it does not have."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="dsse.proto", package="dsse", syntax="proto3")
    envelope = file.message_type.add(name="Envelope")
    envelope.field.add(name="payload", number=1, type=field.TYPE_BYTES, label=1)
    envelope.field.add(name="payloadType", number=2, type=field.TYPE_STRING, label=1)
    envelope.field.add(
        name="signatures", number=3, type=field.TYPE_MESSAGE, label=3, type_name=".dsse.Signature"
    )
    envelope.field.add(name="unknown", number=4, type=field.TYPE_BYTES, label=1)
    signature = file.message_type.add(name="Signature")
    signature.field.add(name="sig", number=1, type=field.TYPE_BYTES, label=1)
    signature.field.add(name="keyid", number=2, type=field.TYPE_STRING, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = [pool.FindMessageTypeByName(f"dsse.{name}") for name in ("Envelope", "Signature")]
    return message_factory.GetMessageClass(found[0]), message_factory.GetMessageClass(found[1])


PbEnvelope, PbSignature = dsse_messages()

types = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=127)
bodies = st.binary(min_size=1, max_size=400)
envelopes = st.builds(
    dsse.Envelope,
    payload_type=types,
    body=bodies,
    signer=st.binary(min_size=32, max_size=32),
    signature=st.binary(min_size=64, max_size=64),
)


def reencodes(data: bytes) -> bool:
    """Whether `data` decodes; if it does, it must be what encoding gives."""
    try:
        decoded = dsse.decode(data)
    except InvalidInput as error:
        reason = error.reason
    else:
        assert dsse.encode(decoded) == data
        return True
    assert reason is Reason.ENVELOPE_MALFORMED
    return False


@given(envelopes)
def test_the_wire_form_is_protobufs_own(envelope: dsse.Envelope) -> None:
    message = PbEnvelope(
        payload=envelope.body,
        payloadType=envelope.payload_type,
        signatures=[PbSignature(sig=envelope.signature, keyid=envelope.signer.hex())],
    )
    data = dsse.encode(envelope)
    assert data == message.SerializeToString(deterministic=True)
    assert dsse.decode(data) == envelope


@given(
    payload=st.binary(max_size=200),
    kind=st.text(max_size=20) | types,
    signatures=st.lists(
        st.tuples(
            st.binary(min_size=64, max_size=64) | st.binary(max_size=70),
            st.from_regex(r"[0-9a-f]{64}", fullmatch=True) | st.text(max_size=70),
        ),
        max_size=2,
    ),
    unknown=st.binary(max_size=2),
)
def test_of_all_that_protobuf_accepts_only_the_one_form_is_decoded(
    payload: bytes, kind: str, signatures: list[tuple[bytes, str]], unknown: bytes
) -> None:
    message = PbEnvelope(
        payload=payload,
        payloadType=kind,
        signatures=[PbSignature(sig=sig, keyid=keyid) for sig, keyid in signatures],
        unknown=unknown,
    )
    well_formed = (
        bool(payload)
        and 1 <= len(kind) <= 127
        and all("!" <= char <= "~" for char in kind)
        and len(signatures) == 1
        and len(signatures[0][0]) == 64
        and len(signatures[0][1]) == 64
        and set(signatures[0][1]) <= set("0123456789abcdef")
        and not unknown
    )
    assert reencodes(message.SerializeToString(deterministic=True)) == well_formed


@given(st.binary(max_size=400))
def test_noise_is_malformed(data: bytes) -> None:
    reencodes(data)


@given(envelopes, st.data())
def test_spliced_envelopes_have_no_second_form(
    envelope: dsse.Envelope, data: st.DataObject
) -> None:
    good = dsse.encode(envelope)
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 8)))
    spliced = good[:start] + data.draw(st.binary(max_size=8)) + good[stop:]
    if reencodes(spliced) and spliced != good:
        assert dsse.decode(spliced) != envelope


@given(st.binary(min_size=32, max_size=32), bodies, st.data())
def test_a_spliced_envelope_never_opens(seed: bytes, body: bytes, data: st.DataObject) -> None:
    good = dsse.seal(TYPE, body, Signer.from_seed(seed))
    assert dsse.open_envelope(good, TYPE).body == body
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 8)))
    spliced = good[:start] + data.draw(st.binary(max_size=8)) + good[stop:]
    if spliced != good:
        with pytest.raises(InvalidInput):
            dsse.open_envelope(spliced, TYPE)


@given(st.text(max_size=20), st.binary(max_size=20), st.text(max_size=20), st.binary(max_size=20))
def test_records_that_differ_have_ids_that_differ(
    kind: str, body: bytes, other_kind: str, other_body: bytes
) -> None:
    """The lengths in the PAE keep a type's end from passing for a body's beginning."""
    same = (kind, body) == (other_kind, other_body)
    assert (dsse.record_id(kind, body) == dsse.record_id(other_kind, other_body)) == same
    moved = dsse.pae(kind + "a", body) == dsse.pae(kind, b"a" + body)
    assert not moved
