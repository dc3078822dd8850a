"""What a witness does, without doing it: reading requests, judging them, writing answers.

    old 20852014                                 the size that the witness last cosigned
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw= a consistency proof from there, a hash a line
    …
                                                 an empty line
    example.com/behind-the-sofa                  the checkpoint to cosign, a signed note
    …

`parse_request` reads it, `recognise` says whose it is, `check_successor` whether it follows on what
was cosigned last. What passes all three may be cosigned once it is stored, and by one request at a
time.

Source: C2SP tlog-witness, add-checkpoint.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from walras.audit.merkle import EMPTY_ROOT, HASH_BYTES, verify_consistency
from walras.audit.note import (
    MAX_NOTE_BYTES,
    MAX_PROOF_HASHES,
    SIZE_LIMIT,
    Head,
    Note,
    NoteKey,
    Signature,
    decode64,
    encode64,
    is_signed,
    parse_head,
    parse_note,
)
from walras.core.errors import AuditFailure, InvalidInput, Reason

MAX_REQUEST_BYTES = MAX_NOTE_BYTES + 45 * MAX_PROOF_HASHES + 64
SIZE_TYPE = "text/x.tlog.size"
"""The Content-Type of the answer that tells the size last cosigned."""

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Request:
    """An add-checkpoint request as written; nothing in it is verified.

    Attributes:
        old_size: at which the witness is said to have cosigned last.
        proof: from there to the checkpoint.
        note, head: the checkpoint.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: Note
    head: Head


def encode_request(old_size: int, proof: Iterable[bytes], checkpoint: bytes) -> bytes:
    """The body of an add-checkpoint request."""
    lines = [f"old {old_size}", *map(encode64, proof)]
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + checkpoint


def parse_request(data: bytes) -> Request:
    """The request that a body stands for.

    Args:
        data: hostile bytes.

    Raises:
        InvalidInput: MESSAGE_MALFORMED.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise _malformed(f"it has {len(data)} bytes, more than {MAX_REQUEST_BYTES}")
    top, blank, checkpoint = data.partition(b"\n\n")
    if not (blank and top.isascii()):
        raise _malformed("it is not lines of ASCII, an empty line and a checkpoint")
    old, *lines = top.decode().split("\n")
    number = old.removeprefix("old ")
    if not (old.startswith("old ") and _is_size(number)):
        raise _malformed("its first line is not the old size, a canonical decimal number")
    if len(lines) > MAX_PROOF_HASHES:
        raise _malformed(f"its proof has {len(lines)} hashes, more than {MAX_PROOF_HASHES}")
    proof = [decode64(line) for line in lines]
    if any(each is None or len(each) != HASH_BYTES for each in proof):
        raise _malformed(f"a line of its proof is not {HASH_BYTES} bytes in base64")
    try:
        note = parse_note(checkpoint)
        head = parse_head(note.text)
    except AuditFailure as error:
        raise _malformed(error.message) from error
    return Request(int(number), tuple(each or b"" for each in proof), note, head)


def recognise(request: Request, logs: Mapping[str, Sequence[NoteKey]]) -> tuple[Signature, ...]:
    """The log's signatures under the checkpoint, verified.

    Args:
        request: parsed.
        logs: by origin, the keys to believe.

    Raises:
        InvalidInput: LOG_UNKNOWN for an origin that is not in `logs`.
        AuditFailure: CHECKPOINT_INVALID: none of the log's keys signed it, or one's line is false.
    """
    known = logs.get(request.head.origin)
    if not known:
        raise InvalidInput(
            Reason.LOG_UNKNOWN, f"no log of the origin {request.head.origin[:200]!r} is known here"
        )
    signed = [key for key in known if is_signed(request.note, key)]
    if not signed:
        raise AuditFailure(
            Reason.CHECKPOINT_INVALID, "no key that is known for the log signed the checkpoint"
        )
    return tuple(each for each in request.note.signatures if any(each.is_of(key) for key in signed))


def check_successor(request: Request, latest: Head | None) -> None:
    """Return if the checkpoint may be cosigned after `latest`, the last that was.

    Args:
        request: recognised.
        latest: of its origin; None if none was ever cosigned.

    Raises:
        InvalidInput: FIELD_INVALID: the old size is above the checkpoint's; CHECKPOINT_STALE: it is
            not that of `latest`, whose size `fields["size"]` says.
        AuditFailure: ROOT_MISMATCH or PROOF_INVALID: the checkpoint is not shown to follow.
    """
    head, old_size = request.head, request.old_size
    if old_size > head.size:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"the old size {old_size} is above the checkpoint's, {head.size}"
        )
    present = Head(head.origin, 0, EMPTY_ROOT) if latest is None else latest
    if old_size != present.size:
        raise InvalidInput(
            Reason.CHECKPOINT_STALE,
            f"the size last cosigned is {present.size}, not {old_size}",
            size=present.size,
        )
    if old_size == head.size and head.root != present.root:
        raise AuditFailure(
            Reason.ROOT_MISMATCH,
            f"the log signed two roots of the size {head.size}",
            size=head.size,
        )
    verify_consistency(old_size, present.root, head.size, head.root, request.proof)


def encode_size(size: int) -> bytes:
    """The body of the answer that tells the size last cosigned."""
    return f"{size}\n".encode()


def parse_size(data: bytes) -> int:
    """The size in such an answer.

    Raises:
        InvalidInput: MESSAGE_MALFORMED.
    """
    text = data[:32].decode("latin-1").removesuffix("\n")
    if len(data) > 32 or not _is_size(text) or encode_size(int(text)) != data:
        raise _malformed("it is not a size, a canonical decimal number and a newline")
    return int(text)


def parse_cosignatures(text: str, data: bytes) -> Note:
    """The note that a checkpoint's text and a witness' answer, signature lines, make together.

    Raises:
        AuditFailure: CHECKPOINT_INVALID for what is no such lines.
    """
    note = parse_note(f"{text}\n".encode() + data)
    # An empty line in the answer would move where the text ends.
    if note.text != text:
        raise AuditFailure(Reason.CHECKPOINT_INVALID, "the answer is not signature lines alone")
    return note


def _is_size(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and int(text) < SIZE_LIMIT


def _malformed(why: str) -> InvalidInput:
    return InvalidInput(Reason.MESSAGE_MALFORMED, f"not an add-checkpoint message: {why}")
