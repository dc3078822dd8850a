"""tlog-proof: the one form of a receipt, and what it proves."""

import base64

import pytest
from support.witnesses import (
    LOG_NOTE_KEY,
    checkpoint_of,
    policy_text,
    proof_of,
    tree_of,
)

from walras.audit.note import encode64
from walras.audit.policy import parse_policy
from walras.audit.proof import (
    HEADER,
    MAX_PROOF_BYTES,
    TlogProof,
    encode_proof,
    log_only,
    open_proof,
    parse_proof,
)
from walras.core.errors import AuditFailure, Reason

PROOF = proof_of(7, 4, by="a b")
TEXT = encode_proof(PROOF).decode()
HEAD, _, CHECKPOINT = TEXT.partition("\n\n")
HASH = encode64(PROOF.hashes[0])
POLICY = parse_policy(policy_text("a b", "all"))


def test_it_is_written_as_specified() -> None:
    assert HEAD.split("\n") == [
        "c2sp.org/tlog-proof@v1",
        f"extra {encode64(b'entry 4')}",
        "index 4",
        *map(encode64, PROOF.hashes),
    ]
    assert CHECKPOINT.encode() == PROOF.checkpoint
    assert parse_proof(TEXT.encode()) == PROOF


def test_it_proves_the_entry() -> None:
    approved = open_proof(parse_proof(TEXT.encode()), POLICY)
    assert approved.checkpoint.size == 7
    assert open_proof(PROOF, POLICY, b"entry 4") == approved
    assert open_proof(PROOF, log_only(LOG_NOTE_KEY)).times == {}
    for entry in (b"entry 5", b"", b"entry 4 "):
        with pytest.raises(AuditFailure) as caught:
            open_proof(PROOF, POLICY, entry)
        assert caught.value.reason is Reason.PROOF_INVALID


def test_a_log_of_one_entry_needs_no_hashes() -> None:
    proof = proof_of(1, 0, by="a b")
    assert proof.hashes == ()
    assert open_proof(parse_proof(encode_proof(proof)), POLICY).checkpoint.size == 1


def test_hashes_too_many_or_too_few_prove_nothing() -> None:
    for hashes in (PROOF.hashes[:-1], (*PROOF.hashes, PROOF.hashes[0]), PROOF.hashes[::-1]):
        wrong = TlogProof(4, hashes, PROOF.checkpoint, PROOF.extra)
        with pytest.raises(AuditFailure) as caught:
            open_proof(parse_proof(encode_proof(wrong)), POLICY)
        assert caught.value.reason is Reason.PROOF_INVALID


def loose(text: str) -> str:
    """The same 32 bytes in another base64 form: unused bits are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = text[:-2] + alphabet[alphabet.index(text[-2]) + 1] + "="
    assert base64.b64decode(changed) == base64.b64decode(text)
    return changed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HEADER, "c2sp.org/tlog-proof@v2"),
        (HEADER, f"{HEADER} "),
        (HEADER, f"\n{HEADER}"),
        (f"{HEADER}\n", ""),
        ("index 4", "index 04"),
        ("index 4", "index +4"),
        ("index 4", "index 4 "),
        ("index 4", "index  4"),
        ("index 4", "index -4"),
        ("index 4", "index 7"),
        ("index 4", f"index {1 << 63}"),
        ("index 4", f"index {'9' * 5000}"),
        ("index 4", "Index 4"),
        ("index 4\n", ""),
        ("index 4\n", "index 4\nindex 4\n"),
        ("index 4\n", "index 4\nextra AAAA\n"),
        ("index 4\n", "index 4\nsize 7\n"),
        ("extra ", "extra AAAA\nextra "),
        ("extra ", "extra  "),
        ("extra ", "extra\n"),
        (f"extra {encode64(b'entry 4')}", "extra "),
        (f"{HASH}\n", f"{HASH} \n"),
        (f"{HASH}\n", f"{HASH[:-1]}\n"),
        (f"{HASH}\n", f"{loose(HASH)}\n"),
        (f"{HASH}\n", f"{encode64(bytes(31))}\n"),
        (f"{HASH}\n", f"{encode64(bytes(33))}\n"),
        (f"{HASH}\n", f"{HASH}\r\n"),
        (f"{HASH}\n", f"{HASH}\n" * 64),
        (f"{HASH}\n", f"{HASH}\u00e9\n"),
        ("\n\nlog.example", "\nlog.example"),
        ("\n\nlog.example", "\n\n\nlog.example"),
        ("\n7\n", "\n07\n"),
        ("\n7\n", "\n0\n"),
        ("\n7\n", "\n4\n"),
        (CHECKPOINT, ""),
        (CHECKPOINT, f"{CHECKPOINT}\n"),
        (CHECKPOINT, f"{CHECKPOINT}x"),
        (CHECKPOINT, CHECKPOINT[:-1]),
    ],
)
def test_what_is_no_proof(before: str, after: str) -> None:
    assert before in TEXT
    with pytest.raises(AuditFailure) as caught:
        parse_proof(TEXT.replace(before, after, 1).encode())
    assert caught.value.reason in {Reason.PROOF_INVALID, Reason.CHECKPOINT_INVALID}


def test_what_is_too_long_is_not_read() -> None:
    with pytest.raises(AuditFailure, match="more than"):
        parse_proof(TEXT.encode() + b"x" * MAX_PROOF_BYTES)


def test_nothing_stands_in_the_empty_log() -> None:
    tree, _ = tree_of(0)
    with pytest.raises(AuditFailure, match="no entry 0 in a log of 0"):
        TlogProof(0, (), checkpoint_of(tree))
