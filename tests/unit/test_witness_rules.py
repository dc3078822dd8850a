"""What a witness reads and how it judges, without a server."""

import pytest
from support.witnesses import (
    LOG,
    LOG_NOTE_KEY,
    ORIGIN,
    TIME,
    checkpoint_of,
    signer_of,
    tree_of,
    witness_key,
)

from walras.audit.cosignature import TIME_LIMIT, check_cosignature, cosign, cosigned_at
from walras.audit.merkle import EMPTY_ROOT
from walras.audit.note import Head, NoteKey, encode64, parse_note, sign_note, with_signatures
from walras.audit.witness import (
    MAX_REQUEST_BYTES,
    Request,
    check_successor,
    encode_request,
    encode_size,
    parse_cosignatures,
    parse_request,
    parse_size,
    recognise,
)
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError

TREE, _ = tree_of(9)
LOGS = {ORIGIN: [LOG_NOTE_KEY]}


def request(old: int, size: int) -> Request:
    proof = TREE.consistency_proof(old, size)
    return parse_request(encode_request(old, proof, checkpoint_of(TREE, size)))


def head(size: int, root: bytes | None = None) -> Head:
    return Head(ORIGIN, size, TREE.root(size) if root is None else root)


def reason(made: Request, latest: Head | None) -> Reason:
    with pytest.raises(WalrasError) as caught:
        check_successor(made, latest)
    return caught.value.reason


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 1), (0, 9), (1, 1), (3, 7), (4, 8), (9, 9)])
def test_what_follows_is_accepted(old: int, new: int) -> None:
    made = request(old, new)
    assert [each.name for each in recognise(made, LOGS)] == [ORIGIN]
    check_successor(made, head(old))
    if old == 0:
        check_successor(made, None)


def test_what_does_not_follow_is_refused() -> None:
    assert reason(request(3, 7), None) is Reason.CHECKPOINT_STALE
    assert reason(request(3, 7), head(4)) is Reason.CHECKPOINT_STALE
    assert reason(request(0, 7), head(4)) is Reason.CHECKPOINT_STALE
    assert reason(request(3, 7), head(3, bytes(32))) is Reason.PROOF_INVALID
    assert reason(request(7, 7), head(7, bytes(32))) is Reason.ROOT_MISMATCH
    down = parse_request(encode_request(7, (), checkpoint_of(TREE, 3)))
    assert reason(down, head(7)) is Reason.FIELD_INVALID
    with_proof = parse_request(encode_request(0, [bytes(32)], checkpoint_of(TREE, 7)))
    assert reason(with_proof, None) is Reason.PROOF_INVALID
    same_with_proof = parse_request(encode_request(7, [bytes(32)], checkpoint_of(TREE, 7)))
    assert reason(same_with_proof, head(7)) is Reason.PROOF_INVALID


def test_the_empty_log_has_one_root() -> None:
    wrong = sign_note(f"{ORIGIN}\n0\n{encode64(bytes(32))}\n", ORIGIN, LOG)
    made = parse_request(encode_request(0, (), wrong))
    recognise(made, LOGS)
    assert reason(made, None) is Reason.ROOT_MISMATCH
    assert head(0).root == EMPTY_ROOT


def test_only_known_keys_of_known_origins_count() -> None:
    made = request(0, 7)
    with pytest.raises(InvalidInput) as caught:
        recognise(made, {"log.example/other": [LOG_NOTE_KEY]})
    assert caught.value.reason is Reason.LOG_UNKNOWN
    stranger = NoteKey(ORIGIN, signer_of("stranger").public_key)
    with pytest.raises(AuditFailure) as failed:
        recognise(made, {ORIGIN: [stranger]})
    assert failed.value.reason is Reason.CHECKPOINT_INVALID
    assert len(recognise(made, {ORIGIN: [stranger, LOG_NOTE_KEY]})) == 1


def test_extension_lines_are_cosigned_though_nobody_vouches_for_them() -> None:
    text = f"{ORIGIN}\n7\n{encode64(TREE.root(7))}\nextension\n"
    made = parse_request(encode_request(0, (), sign_note(text, ORIGIN, LOG)))
    recognise(made, LOGS)
    check_successor(made, None)
    assert made.head.extensions == ("extension",)
    key = witness_key("a")
    line = cosign(made.note.text, key.name, signer_of("a"), TIME)
    assert check_cosignature(text, line, key) == TIME
    with pytest.raises(AuditFailure):
        check_cosignature(text.replace("extension", "extensions"), line, key)


GOOD = encode_request(3, TREE.consistency_proof(3, 7), checkpoint_of(TREE, 7))
LINE = encode64(TREE.consistency_proof(3, 7)[0]).encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"old 3\n", b"old 03\n"),
        (b"old 3\n", b"old 3 \n"),
        (b"old 3\n", b"old  3\n"),
        (b"old 3\n", b"old -3\n"),
        (b"old 3\n", b"old 3\r\n"),
        (b"old 3\n", b"old \xd9\xa3\n"),
        (b"old 3\n", b"old 9223372036854775808\n"),
        (b"old 3\n", b"size 3\n"),
        (b"old 3\n", b"old 3\nold 3\n"),
        (b"old 3\n", b"\nold 3\n"),
        (b"old 3\n", b""),
        (LINE + b"\n", LINE + b"\n" + LINE[:-1] + b"\n"),
        (LINE + b"\n", (LINE + b"\n") * 64),
        (LINE + b"\n", b"AAAA\n"),
        (b"\n\nlog", b"\nlog"),
        (b"\n7\n", b"\n07\n"),
        (b"\n\n\xe2\x80\x94", b"\n\xe2\x80\x94"),
        (b"\xe2\x80\x94", b"-"),
    ],
)
def test_what_is_no_request(before: bytes, after: bytes) -> None:
    assert before in GOOD
    with pytest.raises(InvalidInput) as caught:
        parse_request(GOOD.replace(before, after, 1))
    assert caught.value.reason is Reason.MESSAGE_MALFORMED


def test_a_request_has_a_bound() -> None:
    with pytest.raises(InvalidInput, match="more than"):
        parse_request(GOOD + b"x" * MAX_REQUEST_BYTES)


def test_sizes_of_conflicts() -> None:
    for size in (0, 50, (1 << 63) - 1):
        assert parse_size(encode_size(size)) == size
    for data in (b"", b"50", b"050\n", b"50\n\n", b" 50\n", b"-1\n", b"9" * 40 + b"\n", b"\xff\n"):
        with pytest.raises(InvalidInput) as caught:
            parse_size(data)
        assert caught.value.reason is Reason.MESSAGE_MALFORMED


def test_answers_are_signature_lines_and_nothing_else() -> None:
    text = parse_note(checkpoint_of(TREE)).text
    line = cosign(text, "w", signer_of("w"), TIME).line
    note = parse_cosignatures(text, (line + line).encode())
    assert note.text == text
    assert len(note.signatures) == 2
    for data in ("", line[:-1], f"\n{line}", f"{line}\n{line}", "x\n", f"{line}x"):
        with pytest.raises(AuditFailure) as caught:
            parse_cosignatures(text, data.encode())
        assert caught.value.reason is Reason.CHECKPOINT_INVALID


def test_times_have_a_bound_and_the_latest_counts() -> None:
    key, signer = witness_key("a"), signer_of("a")
    note = checkpoint_of(TREE)
    text = parse_note(note).text
    times = [0, TIME, TIME_LIMIT - 1, 7]
    lines = [cosign(text, key.name, signer, time) for time in times]
    assert cosigned_at(parse_note(with_signatures(note, lines)), key) == TIME_LIMIT - 1
    for time in (-1, TIME_LIMIT):
        with pytest.raises(InvalidInput):
            cosign(text, key.name, signer, time)
