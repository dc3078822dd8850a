"""Signed notes and checkpoints: the log's commitment to its whole content (protocol §8).

A note is text, a blank line, and signature lines. A checkpoint is a note of three lines:

    origin                                       which log
    size                                         how many entries, decimal
    base64(root)                                 the Merkle root over them

    — name base64(key id ‖ signature)            over the text with its last newline

The key id is the first four bytes of SHA-256(name ‖ newline ‖ 01 ‖ public key). Signature lines of
other keys (witnesses, an earlier key of the log) are ignored, as the specification demands, so long
as they are well formed. Extension lines are refused in this log's checkpoints: it writes none, and
nobody could audit them. A witness reads other logs too, by `parse_head`.

Sources: C2SP signed-note and tlog-checkpoint; verifier keys as in golang.org/x/mod/sumdb/note.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, TypeVar

from walras.audit import keys
from walras.audit.merkle import EMPTY_ROOT, HASH_BYTES
from walras.core.errors import AuditFailure, InvalidInput, Reason

MAX_NOTE_BYTES = 1 << 18
"""Room for sixteen post-quantum cosignatures, the number a verifier must bear, and more."""
MAX_SIGNATURES = 64
SIZE_LIMIT = 1 << 63
"""A log has fewer entries than this."""
MAX_PROOF_HASHES = 63
"""So no proof in one has more hashes."""

_MARK = "\u2014 "  # an em dash and a space open every signature line
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Key:
    """A name and an Ed25519 public key; what they sign, the kinds below say.

    Raises, when made:
        InvalidInput: PUBLIC_KEY_INVALID for a bad key, or for a name that is empty or has
            spaces, "+" or unprintable characters.
    """

    signature_type: ClassVar[bytes]
    """Goes into the key id, and in front of the key in a verifier key."""

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
        tagged = self.signature_type + self.public_key
        return sha256(self.name.encode() + b"\n" + tagged).digest()[:4]


@dataclass(frozen=True, slots=True)
class NoteKey(Key):
    """Who may sign notes: a log. Raises, when made, as `Key`."""

    signature_type = b"\x01"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: whose, by name and four bytes, and what stands behind them."""

    name: str
    key_id: bytes
    data: bytes

    @property
    def line(self) -> str:
        """As it stands in a note, with its newline."""
        return f"{_MARK}{self.name} {encode64(self.key_id + self.data)}\n"

    def is_of(self, key: Key) -> bool:
        """Whether it claims to be of `key`; only a verification shows that it is."""
        return (self.name, self.key_id) == (key.name, key.id)


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart. Nothing is verified: `text` is hostile until a signature is.

    Attributes:
        text: what is signed, with its last newline.
        signatures: at least one.
    """

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The text of any log's checkpoint, as written: a root of another size is for others to judge.

    Attributes:
        origin: the log's name.
        size: entries, 0 ≤ size < 2^63.
        root: 32 bytes.
        extensions: further lines, none of them empty.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


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
        return f"{self.origin}\n{self.size}\n{encode64(self.root)}\n"


K = TypeVar("K", bound=Key)


def parse_vkey(text: str) -> NoteKey:
    """The key that a log's verifier key, `name+hex(id)+base64(01 ‖ public key)`, stands for.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID, also for a text that is not the key's one form.
    """
    return parse_key(text, NoteKey)


def parse_key(text: str, kind: type[K]) -> K:
    """The key of one kind that a verifier key stands for. Raises as `parse_vkey`."""
    name, _, rest = text.partition("+")
    encoded = rest.partition("+")[2]
    tagged = decode64(encoded) or b""
    if tagged[:1] == kind.signature_type:
        key = kind(name, tagged[1:])
        if format_vkey(key) == text:
            return key
    raise InvalidInput(
        Reason.PUBLIC_KEY_INVALID,
        f"not an Ed25519 verifier key of type {kind.signature_type.hex()}: {text[:200]!r}",
        hint=f"write name+hex(key id)+base64({kind.signature_type.hex()} and public key)",
    )


def format_vkey(key: Key) -> str:
    """The verifier key to publish: what `parse_key` reads."""
    return f"{key.name}+{key.id.hex()}+{encode64(key.signature_type + key.public_key)}"


def sign_note(text: str, name: str, signer: keys.Signer) -> bytes:
    """A note over `text`, which ends in a newline, with the signer's line.

    Raises:
        AuditFailure: CHECKPOINT_INVALID for a text that a note cannot carry.
        InvalidInput: PUBLIC_KEY_INVALID for a name that cannot stand in a note.
    """
    if not text.endswith("\n") or _has_control_characters(text):
        raise _invalid("a note's text ends in a newline and has no other control character")
    key_id = NoteKey(name, signer.public_key).id
    signature = Signature(name, key_id, signer.sign(text.encode()))
    return f"{text}\n{signature.line}".encode()


def with_signatures(data: bytes, signatures: Iterable[Signature]) -> bytes:
    """A note with further signature lines under those that it has."""
    return data + "".join(signature.line for signature in signatures).encode()


def parse_note(data: bytes) -> Note:
    """A note taken apart, its signatures unverified.

    Args:
        data: hostile bytes.

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
    return Note(f"{text}\n", tuple(map(_signature_line, lines)))


def open_note(data: bytes, key: NoteKey) -> str:
    """The text of a note that `key` signed.

    Args:
        data: hostile bytes.
        key: whose signature it must carry. Lines of other keys are not judged; a line of this key
            that does not verify condemns the note.

    Raises:
        AuditFailure: CHECKPOINT_INVALID.
    """
    note = parse_note(data)
    if not is_signed(note, key):
        raise _invalid(f"it has no signature of {format_vkey(key)}")
    return note.text


def is_signed(note: Note, key: NoteKey) -> bool:
    """Whether `key` signed it.

    Raises:
        AuditFailure: CHECKPOINT_INVALID: a line says so, and does not verify.
    """
    ours = [signature.data for signature in note.signatures if signature.is_of(key)]
    for signature in ours:
        try:
            keys.verify(key.public_key, note.text.encode(), signature)
        except InvalidInput as error:
            raise _invalid(f"a signature of {format_vkey(key)} does not verify") from error
    return bool(ours)


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
    checkpoint = parse_checkpoint(open_note(data, key))
    expected = key.name if origin is None else origin
    if checkpoint.origin != expected:
        raise _invalid(f"its origin is {checkpoint.origin!r}, and {expected!r} is expected")
    return checkpoint


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint of this log's kind that a note's text is: three lines.

    Raises:
        AuditFailure: CHECKPOINT_INVALID.
    """
    head = parse_head(text)
    if head.extensions:
        raise _invalid("its text is not three lines: origin, size, root")
    return Checkpoint(head.origin, head.size, head.root)


def parse_head(text: str) -> Head:
    """What a note's text says, if it is any log's checkpoint.

    Raises:
        AuditFailure: CHECKPOINT_INVALID.
    """
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3:
        raise _invalid("its text is not three lines: origin, size, root")
    origin, size, root, *extensions = lines
    if not (origin and all(extensions)):
        raise _invalid("its text is not three lines: origin, size, root; none is empty")
    decoded = decode64(root)
    if not _SIZE.fullmatch(size) or int(size) >= SIZE_LIMIT:
        raise _invalid("its size is not a canonical decimal number below 2^63")
    if decoded is None or len(decoded) != HASH_BYTES:
        raise _invalid(f"its root is not {HASH_BYTES} bytes in base64")
    return Head(origin, int(size), decoded, tuple(extensions))


def _signature_line(line: str) -> Signature:
    """A line taken apart."""
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    signature = decode64(encoded)
    well_formed = line.startswith(_MARK) and space and _is_key_name(name)
    if not well_formed or signature is None or len(signature) < 5:
        raise _invalid("a signature line is not an em dash, a key name and a base64 signature")
    return Signature(name, signature[:4], signature[4:])


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(char.isspace() for char in name)


def _has_control_characters(text: str) -> bool:
    return any(char < " " and char != "\n" for char in text)


def encode64(data: bytes) -> str:
    """The standard base64 form."""
    return base64.b64encode(data).decode()


def decode64(text: str) -> bytes | None:
    """The bytes that `text` is the one standard base64 form of; None if there are none."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # The decoder lets the unused bits of the last character vary.
    return data if encode64(data) == text else None


def _invalid(why: str) -> AuditFailure:
    return AuditFailure(Reason.CHECKPOINT_INVALID, f"not a checkpoint to rely on: {why}")
