"""Whatever the bytes: policies, proofs, requests and answers parse, or end in their own errors."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.witnesses import (
    LOG_NOTE_KEY,
    ORIGIN,
    checkpoint_of,
    policy_text,
    proof_of,
    signer_of,
    tree_of,
    witness_key,
)

from walras.audit.cosignature import cosign, cosigned_at
from walras.audit.note import Head, Note, parse_note, with_signatures
from walras.audit.policy import parse_policy
from walras.audit.proof import encode_proof, log_only, open_proof, parse_proof
from walras.audit.tiles import Tile, parse_tile_path
from walras.audit.witness import (
    check_successor,
    encode_request,
    parse_cosignatures,
    parse_request,
    parse_size,
    recognise,
)
from walras.core.errors import AuditFailure, Reason, WalrasError

TREE, _ = tree_of(300)
POLICY = policy_text("a b c", "2")
PROOF = encode_proof(proof_of(7, 4, by="a b"))
REQUEST = encode_request(3, TREE.consistency_proof(3, 7), checkpoint_of(TREE, 7))
ANSWER = cosign("x\n", "w", signer_of("w"), 7).line.encode()

READERS: list[tuple[Callable[[bytes], object], bytes, set[Reason]]] = [
    (parse_policy, POLICY, {Reason.POLICY_INVALID}),
    (parse_proof, PROOF, {Reason.PROOF_INVALID, Reason.CHECKPOINT_INVALID}),
    (parse_request, REQUEST, {Reason.MESSAGE_MALFORMED}),
    (parse_size, b"300\n", {Reason.MESSAGE_MALFORMED}),
    (lambda data: parse_cosignatures("x\n", data), ANSWER, {Reason.CHECKPOINT_INVALID}),
]
readers = st.sampled_from(READERS)
fragments = st.sampled_from(
    [b"\n", b"\n\n", b" ", b"old ", b"index ", b"extra ", b"0", b"\xe2\x80\x94 ", b"\xff", b"\x00"]
)


def reason_of(call: Callable[[], object]) -> Reason | None:
    try:
        call()
    except WalrasError as error:
        return error.reason
    return None


@given(readers, st.one_of(st.binary(max_size=200), st.lists(fragments).map(b"".join)))
def test_any_bytes_parse_or_end_in_the_documented_error(
    reader: tuple[Callable[[bytes], object], bytes, set[Reason]], data: bytes
) -> None:
    parse, _, reasons = reader
    assert reason_of(lambda: parse(data)) in {None, *reasons}


@given(readers, st.data())
def test_changed_bytes_likewise(
    reader: tuple[Callable[[bytes], object], bytes, set[Reason]], data: st.DataObject
) -> None:
    parse, good, reasons = reader
    parse(good)
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed)))
        end = data.draw(st.integers(at, min(len(changed), at + 20)))
        changed[at:end] = data.draw(st.one_of(fragments, st.binary(max_size=4)))
    assert reason_of(lambda: parse(bytes(changed))) in {None, *reasons}


@given(st.integers(0, len(PROOF) - 1), st.integers(1, 255))
def test_a_proof_with_a_byte_flipped_proves_nothing(at: int, flip: int) -> None:
    """But for the lines of witnesses, which this verifier does not know."""
    start = PROOF.index(b"\xe2\x80\x94 witness.example")
    changed = bytearray(PROOF)
    changed[at % start] ^= flip
    with pytest.raises(AuditFailure):
        open_proof(parse_proof(bytes(changed)), log_only(LOG_NOTE_KEY))


@given(st.integers(1, 300), st.data())
def test_proofs_of_all_shapes_round_trip_and_hold(size: int, data: st.DataObject) -> None:
    made = proof_of(size, data.draw(st.integers(0, size - 1)), by="a b")
    parsed = parse_proof(encode_proof(made))
    assert parsed == made
    assert open_proof(parsed, parse_policy(POLICY)).checkpoint.size == size


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.booleans())
def test_a_witness_accepts_what_follows_and_nothing_else(
    latest: int, old: int, new: int, fork: bool
) -> None:
    tree = tree_of(300, "other ")[0] if fork else TREE
    proof = tree.consistency_proof(min(old, new), new)
    made = parse_request(encode_request(old, proof, checkpoint_of(tree, new)))
    recognise(made, {ORIGIN: [LOG_NOTE_KEY]})
    good = latest == old <= new and (not fork or old == 0)
    found = reason_of(lambda: check_successor(made, Head(ORIGIN, latest, TREE.root(latest))))
    if good:
        assert found is None
    elif old > new:
        assert found is Reason.FIELD_INVALID
    elif old != latest:
        assert found is Reason.CHECKPOINT_STALE
    else:
        assert found in {Reason.PROOF_INVALID, Reason.ROOT_MISMATCH}


@given(st.text(min_size=1, max_size=40), st.integers(0, (1 << 63) - 1))
def test_cosignatures_of_any_text_round_trip(text: str, time: int) -> None:
    key = witness_key("a")
    note = Note(f"{text}\n", (cosign(f"{text}\n", key.name, signer_of("a"), time),))
    assert cosigned_at(note, key) == time
    with pytest.raises(AuditFailure):
        cosigned_at(Note(f"{text}x\n", note.signatures), key)


def test_signature_lines_are_kept_byte_for_byte() -> None:
    note = checkpoint_of(TREE, by="a b")
    parsed = parse_note(note)
    text = f"{parsed.text}\n".encode()
    assert with_signatures(text, parsed.signatures) == note


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 10**13), st.integers(1, 256))
def test_paths_of_tiles_are_read_back(level: int | None, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert parse_tile_path(tile.path) == tile


@given(st.text(st.sampled_from("tile/entris.px0129\n٣"), max_size=30))
def test_other_paths_name_no_tile(path: str) -> None:
    for text in (path, f"tile/{path}", f"tile/0/{path}", f"tile/entries/{path}"):
        found = parse_tile_path(text)
        assert found is None or found.path == text
