"""Signed notes and checkpoints: the log's commitment to its whole content (protocol §8).

A note is text, a blank line, and signature lines. A checkpoint is a note of three lines:

    origin                                       which log
    size                                         how many entries, decimal
    base64(root)                                 the Merkle root over them

    — name base64(key id ‖ signature)            over the text with its last newline

The key id is the first four bytes of SHA-256(name ‖ newline ‖ 01 ‖ public key). Signature lines of
other keys (witnesses, an earlier key of the log) are ignored, as the specification demands, so long
as they are well formed. Extension lines are refused: this log writes none, and nobody could audit
them.

Sources: C2SP signed-note and tlog-checkpoint; verifier keys as in golang.org/x/mod/sumdb/note.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from walras.audit import keys
from walras.audit.merkle import EMPTY_ROOT, HASH_BYTES
from walras.core.errors import AuditFailure, InvalidInput, Reason

MAX_NOTE_BYTES = 1 << 18
"""Room for sixteen post-quantum cosignatures, the number a verifier must bear, and more."""
MAX_SIGNATURES = 64
SIZE_LIMIT = 1 << 63
"""A log has fewer entries than this."""

_ED25519 = b"\x01"  # the signature type that goes into the key id and in front of the key
_MARK = "\u2014 "  # an em dash and a space open every signature line
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class NoteKey:
    """Who may sign: a name and an Ed25519 public key.

    Raises, when made:
        InvalidInput: PUBLIC_KEY_INVALID for a bad key, or for a name that is empty or has
            spaces, "+" or unprintable characters.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not (_is_key_name(self.name) and self.name.isprintable()):
            raise InvalidInput(
                Reason.PUBLIC_KEY_INVALID,
                f"a key name is printable, without spaces and '+': {self.name[:100]!r}",
            )
        keys.check_public_key(self.public_key)

    @property
    def id(self) -> bytes:
        """The four bytes in front of every signature of this key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log at one size.

    Attributes:
        origin: the log's name, one printable line.
        size: entries, 0 ≤ size < 2^63.
        root: the Merkle root over them, 32 bytes.

    Raises, when made:
        AuditFailure: CHECKPOINT_INVALID.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not (self.origin and self.origin.isprintable()):
            raise _invalid("the origin is not one printable line")
        if not 0 <= self.size < SIZE_LIMIT:
            raise _invalid("the size is not between 0 and 2^63")
        if len(self.root) != HASH_BYTES:
            raise _invalid(f"the root has {len(self.root)} bytes, not {HASH_BYTES}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise _invalid("the root of the empty log is wrong")

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{_encode64(self.root)}\n"


def parse_vkey(text: str) -> NoteKey:
    """The key that a verifier key, `name+hex(id)+base64(01 ‖ public key)`, stands for.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID, also for a text that is not the key's one form.
    """
    name, _, rest = text.partition("+")
    encoded = rest.partition("+")[2]
    tagged = _decode64(encoded) or b""
    if tagged[:1] == _ED25519:
        key = NoteKey(name, tagged[1:])
        if format_vkey(key) == text:
            return key
    raise InvalidInput(
        Reason.PUBLIC_KEY_INVALID,
        f"not an Ed25519 verifier key: {text[:200]!r}",
        hint="write name+hex(key id)+base64(01 and public key)",
    )


def format_vkey(key: NoteKey) -> str:
    """The verifier key to publish: what `parse_vkey` reads."""
    return f"{key.name}+{key.id.hex()}+{_encode64(_ED25519 + key.public_key)}"


def sign_note(text: str, name: str, signer: keys.Signer) -> bytes:
    """A note over `text`, which ends in a newline, with the signer's line.

    Raises:
        AuditFailure: CHECKPOINT_INVALID for a text that a note cannot carry.
        InvalidInput: PUBLIC_KEY_INVALID for a name that cannot stand in a note.
    """
    if not text.endswith("\n") or _has_control_characters(text):
        raise _invalid("a note's text ends in a newline and has no other control character")
    signature = NoteKey(name, signer.public_key).id + signer.sign(text.encode())
    return f"{text}\n{_MARK}{name} {_encode64(signature)}\n".encode()


def open_note(data: bytes, key: NoteKey) -> str:
    """The text of a note that `key` signed.

    Args:
        data: hostile bytes.
        key: whose signature it must carry. Lines of other keys are not judged; a line of this key
            that does not verify condemns the note.

    Raises:
        AuditFailure: CHECKPOINT_INVALID.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise _invalid(f"it has {len(data)} bytes, more than {MAX_NOTE_BYTES}")
    try:
        note = data.decode()
    except UnicodeDecodeError as error:
        raise _invalid("it is not UTF-8") from error
    if _has_control_characters(note):
        raise _invalid("it has control characters")
    # The last blank line divides, so the text may have blank lines of its own.
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise _invalid("it is not text, a blank line and complete signature lines")
    text += "\n"
    signatures = [_signature_line(line) for line in lines]
    ours = [rest for name, key_id, rest in signatures if (name, key_id) == (key.name, key.id)]
    if not ours:
        raise _invalid(f"it has no signature of {format_vkey(key)}")
    for signature in ours:
        try:
            keys.verify(key.public_key, text.encode(), signature)
        except InvalidInput as error:
            raise _invalid(f"a signature of {format_vkey(key)} does not verify") from error
    return text


def sign_checkpoint(checkpoint: Checkpoint, name: str, signer: keys.Signer) -> bytes:
    """The checkpoint as a signed note. `name` is the origin, unless there is reason to differ.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID for a name that cannot stand in a note.
    """
    return sign_note(checkpoint.text, name, signer)


def open_checkpoint(data: bytes, key: NoteKey, origin: str | None = None) -> Checkpoint:
    """The checkpoint in a note that `key` signed.

    Args:
        data: hostile bytes.
        key: the log's key.
        origin: which log it must be of; the key's name, if None.

    Raises:
        AuditFailure: CHECKPOINT_INVALID.
    """
    text = open_note(data, key)
    lines = text.split("\n")
    if len(lines) != 4:
        raise _invalid("its text is not three lines: origin, size, root")
    found, size, root = lines[:3]
    expected = key.name if origin is None else origin
    if found != expected:
        raise _invalid(f"its origin is {found!r}, and {expected!r} is expected")
    if not _SIZE.fullmatch(size):
        raise _invalid("its size is not a canonical decimal number")
    return Checkpoint(found, int(size), _decode64(root) or b"")


def _signature_line(line: str) -> tuple[str, bytes, bytes]:
    """Name, key id and signature of one line."""
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    signature = _decode64(encoded)
    well_formed = line.startswith(_MARK) and space and _is_key_name(name)
    if not well_formed or signature is None or len(signature) < 5:
        raise _invalid("a signature line is not an em dash, a key name and a base64 signature")
    return name, signature[:4], signature[4:]


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(char.isspace() for char in name)


def _has_control_characters(text: str) -> bool:
    return any(char < " " and char != "\n" for char in text)


def _encode64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode64(text: str) -> bytes | None:
    """The bytes that `text` is the one standard base64 form of; None if there are none."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # The decoder lets the unused bits of the last character vary.
    return data if _encode64(data) == text else None


def _invalid(why: str) -> AuditFailure:
    return AuditFailure(Reason.CHECKPOINT_INVALID, f"not a checkpoint to rely on: {why}")
