"""Cosignatures: a witness says that it saw a log at one size, and nothing that contradicts it.

A cosignature is one more signature line of a checkpoint. Its signature is the time, eight bytes,
and an Ed25519 signature over

    cosignature/v1
    time 1679315147                              seconds since 1970, decimal
    …                                            the checkpoint's text with its last newline

A witness' key is of type 04, in its id and in its verifier key, so that no signature of a log can
be taken for one of a witness. Of the two types that are specified this is the one; ML-DSA-44 (06)
is not read.

Source: C2SP tlog-cosignature.
"""

from dataclasses import dataclass

from walras.audit import keys
from walras.audit.note import Key, Note, Signature, format_vkey, parse_key
from walras.core.errors import AuditFailure, InvalidInput, Reason

TIME_LIMIT = 1 << 63
"""A cosignature's time, in seconds since 1970, is below this."""

_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class WitnessKey(Key):
    """Who may cosign: a witness. Raises, when made, as `Key`."""

    signature_type = b"\x04"


def parse_witness_key(text: str) -> WitnessKey:
    """The key that a witness' verifier key, `name+hex(id)+base64(04 ‖ public key)`, stands for.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID, also for a text that is not the key's one form.
    """
    return parse_key(text, WitnessKey)


def cosign(text: str, name: str, signer: keys.Signer, time_s: int) -> Signature:
    """The line by which the witness `name` cosigns a checkpoint's text.

    Args:
        text: of the checkpoint, verified to be consistent with all that the witness saw.
        name: of the witness.
        signer: its key pair.
        time_s: seconds since 1970, below 2^63.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID for a name that cannot stand in a note; FIELD_INVALID.
    """
    if not 0 <= time_s < TIME_LIMIT:
        raise InvalidInput(Reason.FIELD_INVALID, "a time is from 0 to 2^63", field="time_s")
    signature = signer.sign(_message(text, time_s))
    key_id = WitnessKey(name, signer.public_key).id
    return Signature(name, key_id, time_s.to_bytes(_TIME_BYTES, "big") + signature)


def cosigned_at(note: Note, key: WitnessKey) -> int | None:
    """When `key` cosigned the note, in seconds since 1970; the latest of several, None if never.

    Raises:
        AuditFailure: COSIGNATURE_INVALID: a line says so, and does not verify.
    """
    times = [check_cosignature(note.text, each, key) for each in note.signatures if each.is_of(key)]
    return max(times, default=None)


def check_cosignature(text: str, signature: Signature, key: WitnessKey) -> int:
    """The time of a line that is `key`'s cosignature of `text`, in seconds since 1970.

    Raises:
        AuditFailure: COSIGNATURE_INVALID.
    """
    if not signature.is_of(key):
        raise _invalid("it is of another key", key)
    if len(signature.data) != _TIME_BYTES + keys.SIGNATURE_BYTES:
        raise _invalid(f"it has {len(signature.data)} bytes", key)
    time_s = int.from_bytes(signature.data[:_TIME_BYTES], "big")
    if time_s >= TIME_LIMIT:
        raise _invalid("its time is not below 2^63", key)
    try:
        keys.verify(key.public_key, _message(text, time_s), signature.data[_TIME_BYTES:])
    except InvalidInput as error:
        raise _invalid("it does not verify", key) from error
    return time_s


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _invalid(why: str, key: WitnessKey) -> AuditFailure:
    return AuditFailure(
        Reason.COSIGNATURE_INVALID,
        f"not a cosignature of {format_vkey(key)}: {why}",
        witness=key.name,
    )
