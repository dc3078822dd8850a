"""Receipts as files: a proof that an entry stands in a log, to be checked without asking anybody.

    c2sp.org/tlog-proof@v1
    extra eyJwYXlsb2FkVHlwZSI6…                  the entry itself, base64; only an opened proof
    index 73894                                  shows that the log holds it
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
    …                                            the inclusion proof, from the leaf upward

    …                                            the checkpoint with its signatures, a signed note

One form only is read: numbers without leading zeros, standard base64, nothing before, between or
behind.

Source: C2SP tlog-proof.
"""

import re
from dataclasses import dataclass

from walras.audit.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from walras.audit.note import (
    MAX_NOTE_BYTES,
    MAX_PROOF_HASHES,
    SIZE_LIMIT,
    NoteKey,
    decode64,
    encode64,
    parse_head,
    parse_note,
)
from walras.audit.policy import NONE, Approved, Log, Policy
from walras.audit.tiles import MAX_ENTRY_BYTES
from walras.core.errors import AuditFailure, Reason

HEADER = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"
"""What files of proofs end in."""
MAX_EXTRA_BYTES = MAX_ENTRY_BYTES
MAX_PROOF_BYTES = MAX_NOTE_BYTES + 4 * MAX_EXTRA_BYTES // 3 + 45 * MAX_PROOF_HASHES + 256

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as it is written; nothing in it is verified.

    Attributes:
        index: of the entry, below the checkpoint's size.
        hashes: the inclusion proof, from the leaf upward.
        checkpoint: signed note.
        extra: anything; in this log's receipts the entry. Empty where there is none.

    Raises, when made:
        AuditFailure: PROOF_INVALID or CHECKPOINT_INVALID: it has no text.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def __post_init__(self) -> None:
        size = parse_head(parse_note(self.checkpoint).text).size
        if not 0 <= self.index < size:
            raise _invalid(f"there is no entry {self.index} in a log of {size}")
        if len(self.hashes) > MAX_PROOF_HASHES:
            raise _invalid(f"it has {len(self.hashes)} hashes, more than {MAX_PROOF_HASHES}")
        if any(len(each) != HASH_BYTES for each in self.hashes):
            raise _invalid(f"a hash does not have {HASH_BYTES} bytes")
        if len(self.extra) > MAX_EXTRA_BYTES:
            raise _invalid(f"its extra data has more than {MAX_EXTRA_BYTES} bytes")


def encode_proof(proof: TlogProof) -> bytes:
    """The text of a proof."""
    lines = [HEADER]
    if proof.extra:
        lines.append(f"extra {encode64(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines += map(encode64, proof.hashes)
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + proof.checkpoint


def parse_proof(data: bytes) -> TlogProof:
    """The proof that a text stands for; what it proves, `open_proof` says.

    Args:
        data: hostile bytes.

    Raises:
        AuditFailure: PROOF_INVALID, or CHECKPOINT_INVALID for what is no signed note.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise _invalid(f"it has {len(data)} bytes, more than {MAX_PROOF_BYTES}")
    head, blank, checkpoint = data.partition(b"\n\n")
    if not (blank and head.isascii()):
        raise _invalid("it is not lines of ASCII, an empty line and a checkpoint")
    header, *lines = head.decode().split("\n")
    if header != HEADER:
        raise _invalid(f"its first line is not {HEADER}")
    extra: bytes | None = b""
    if lines and lines[0].startswith("extra "):
        extra = decode64(lines.pop(0).removeprefix("extra "))
        if not extra:
            raise _invalid("its extra data is not base64, or empty")
    if not lines or not lines[0].startswith("index "):
        raise _invalid("the index is not where it must be")
    index = lines.pop(0).removeprefix("index ")
    if not _NUMBER.fullmatch(index) or int(index) >= SIZE_LIMIT:
        raise _invalid("its index is not a canonical decimal number")
    hashes = [decode64(line) for line in lines]
    if any(each is None for each in hashes):
        raise _invalid("a line under the index is not a hash in base64")
    return TlogProof(int(index), tuple(each or b"" for each in hashes), checkpoint, extra or b"")


def open_proof(proof: TlogProof, policy: Policy, entry: bytes | None = None) -> Approved:
    """The checkpoint that the policy approves of, if the proof shows the entry under it.

    Args:
        proof: of a log.
        policy: whose signatures the checkpoint must carry.
        entry: byte for byte; None takes the proof's extra data, which is thereby proven.

    Raises:
        AuditFailure: as `Policy.approve`, and PROOF_INVALID.
    """
    approved = policy.approve(parse_note(proof.checkpoint))
    leaf = leaf_hash(proof.extra if entry is None else entry)
    checkpoint = approved.checkpoint
    verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return approved


def log_only(key: NoteKey) -> Policy:
    """The policy that believes one log and asks for no witness."""
    return Policy((Log(key),), (), (), NONE)


def _invalid(why: str) -> AuditFailure:
    return AuditFailure(Reason.PROOF_INVALID, f"not a proof: {why}")
