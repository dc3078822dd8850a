"""A node signs echoes and nothing else, cheaply, whatever it is sent."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.market import DOMAIN, sell
from support.probes import LOG, NODES, PROBER, challenge, note, seed

from walras.audit import envelope
from walras.audit.keys import Signer
from walras.audit.merkle import EMPTY_ROOT
from walras.audit.probes import MAX_CHALLENGE_BYTES, MAX_ECHO_BYTES, open_echo
from walras.core.errors import InvalidInput, Reason
from walras.protocol.probes import Echo
from walras.protocol.records import Kind
from walras.sdk import echo as echoes
from walras.sdk.echo import answer
from walras.sdk.signing import sign_record

NODE, OTHER = NODES[:2]
SENT = sign_record(challenge(NODE), PROBER)


def echo(sent: bytes = SENT, held: bytes = b"", *, in_flight: int = 0, slots: int = 1) -> Echo:
    found = answer(sent, NODE, in_flight, slots, held)
    assert len(found) <= MAX_ECHO_BYTES
    return open_echo(found, sent, DOMAIN, NODE.public_key)


def refused(sent: bytes) -> Reason:
    with pytest.raises(InvalidInput) as caught:
        answer(sent, NODE, 0, 1, b"")
    return caught.value.reason


def test_an_echo() -> None:
    found = echo(held=note(7), in_flight=3, slots=4)
    digest = sha256(SENT).digest()
    assert found == Echo(DOMAIN, NODE.public_key, digest, 7, LOG.root(7), 3, 4)


def test_every_challenger_gets_one() -> None:
    """A node does not know who may probe; the log does."""
    eve = Signer.from_seed(seed("eve"))
    asked = replace(challenge(NODE, "eve"), vrf_proof=b"", sent_ms=0)
    sent = sign_record(asked, eve)
    assert echo(sent).challenge_digest == sha256(sent).digest()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", Reason.ENVELOPE_MALFORMED),
        (SENT[:-1], Reason.ENVELOPE_MALFORMED),
        (SENT + b"\x00", Reason.ENVELOPE_MALFORMED),
        (bytes(MAX_CHALLENGE_BYTES + 1), Reason.ENVELOPE_MALFORMED),
        (sign_record(challenge(OTHER), PROBER), Reason.CHALLENGE_MISMATCH),
        (sign_record(challenge(NODE), OTHER), Reason.CHALLENGE_MISMATCH),
        (sign_record(replace(challenge(NODE), nonce=b"short"), PROBER), Reason.FIELD_INVALID),
        (sign_record(replace(challenge(NODE), domain=""), PROBER), Reason.FIELD_INVALID),
        (sign_record(sell(PROBER.public_key), PROBER), Reason.PAYLOAD_TYPE_WRONG),
        (envelope.seal(Kind.CHALLENGE.payload_type, b"\x00", PROBER), Reason.MESSAGE_MALFORMED),
        (envelope.seal(Kind.CHALLENGE.payload_type, b"\xfa\x06\x00", PROBER), Reason.UNKNOWN_FIELD),
        (envelope.seal(Kind.ECHO.payload_type, b"\x0a\x01x", PROBER), Reason.PAYLOAD_TYPE_WRONG),
    ],
)
def test_what_gets_no_echo(sent: bytes, reason: Reason) -> None:
    assert refused(sent) is reason


def test_a_signature_that_does_not_verify() -> None:
    signed = envelope.decode(SENT)
    forged = envelope.encode(replace(signed, signature=bytes(64)))
    assert refused(forged) is Reason.SIGNATURE_INVALID


def test_size_is_looked_at_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_args: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(envelope, "verify_envelope", never)
    monkeypatch.setattr(echoes, "sign_record", never)
    padded = replace(challenge(NODE), vrf_proof=bytes(MAX_CHALLENGE_BYTES))
    assert refused(sign_record(padded, PROBER)) is Reason.ENVELOPE_MALFORMED


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"garbage",
        note(7, "another.example/log"),
        note(7)[:40],
        note(7).replace(b"\n7\n", b"\n07\n"),
        note(7).replace(b"\n7\n", b"\n-7\n"),
        note(7).replace(b"\n7\n", b"\n" + b"9" * 20 + b"\n"),
        b"x" * 10_000_000,
    ],
)
def test_what_is_no_checkpoint_of_this_log_counts_as_none(held: bytes) -> None:
    found = echo(held=held)
    assert (found.checkpoint_size, found.checkpoint_root) == (0, EMPTY_ROOT)


def test_load_that_does_not_fit_is_cut() -> None:
    found = echo(in_flight=-1, slots=1 << 40)
    assert (found.in_flight, found.slots) == (0, (1 << 32) - 1)


@given(st.binary(max_size=2_000))
@settings(max_examples=300, deadline=None)
def test_any_bytes_get_no_echo(sent: bytes) -> None:
    refused(sent)


@given(st.integers(0, 8 * len(SENT) - 1))
@settings(max_examples=200, deadline=None)
def test_no_bit_of_a_challenge_can_be_changed(bit: int) -> None:
    refused((int.from_bytes(SENT, "big") ^ 1 << bit).to_bytes(len(SENT), "big"))
