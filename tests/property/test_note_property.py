"""Notes and checkpoints over the whole range of what they may say."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.audit import note
from walras.audit.keys import Signer
from walras.audit.note import Checkpoint, NoteKey
from walras.core.errors import AuditFailure

names = st.text(min_size=1, max_size=30).filter(
    lambda name: name.isprintable() and "+" not in name and not any(map(str.isspace, name))
)
seeds = st.binary(min_size=32, max_size=32)
texts = st.lists(
    st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=20), min_size=1
).map(lambda lines: "".join(f"{line}\n" for line in lines))
hashes = st.binary(min_size=32, max_size=32)


@given(names, seeds)
def test_verifier_keys_round_trip(name: str, seed: bytes) -> None:
    key = NoteKey(name, Signer.from_seed(seed).public_key)
    assert note.parse_vkey(note.format_vkey(key)) == key


@given(names, seeds, st.integers(1, 2**63 - 1), hashes)
def test_checkpoints_round_trip(name: str, seed: bytes, size: int, root: bytes) -> None:
    signer = Signer.from_seed(seed)
    checkpoint = Checkpoint(name, size, root)
    data = note.sign_checkpoint(checkpoint, name, signer)
    assert note.open_checkpoint(data, NoteKey(name, signer.public_key)) == checkpoint


@given(texts, names, seeds)
def test_a_note_gives_back_any_text(text: str, name: str, seed: bytes) -> None:
    """Blank lines and lines that look like signatures included."""
    signer = Signer.from_seed(seed)
    for content in (text, f"{text}\n{text}", f"{text}\n— {name} AAAAAAA=\n"):
        data = note.sign_note(content, name, signer)
        assert note.open_note(data, NoteKey(name, signer.public_key)) == content


@given(seeds, hashes, st.lists(st.tuples(names, st.binary(min_size=5, max_size=80)), max_size=5))
def test_other_keys_lines_change_nothing(
    seed: bytes, root: bytes, others: list[tuple[str, bytes]]
) -> None:
    signer = Signer.from_seed(seed)
    key = NoteKey("log.example", signer.public_key)
    text, line = note.sign_checkpoint(Checkpoint(key.name, 5, root), key.name, signer).split(
        b"\n\n"
    )
    lines = [line]
    for number, (name, signature) in enumerate(others):
        encoded = base64.b64encode(signature).decode()
        # Some before our line, some after it; no name drawn here is ours.
        place = 0 if number % 2 else len(lines)
        lines.insert(place, f"\u2014 {name}# {encoded}\n".encode())
    data = b"\n\n".join([text, b"".join(lines)])
    assert note.open_checkpoint(data, key).root == root
    lines.remove(line)
    with pytest.raises(AuditFailure):
        note.open_checkpoint(b"\n\n".join([text, b"".join(lines)]), key)


@given(st.binary(max_size=300), hashes, st.data())
def test_noise_and_spliced_notes_are_refused(
    noise: bytes, root: bytes, data: st.DataObject
) -> None:
    signer = Signer.from_seed(bytes(32))
    key = NoteKey("log.example", signer.public_key)
    good = note.sign_checkpoint(Checkpoint(key.name, 1234, root), key.name, signer)
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, len(good)))
    spliced = good[:start] + noise + good[stop:]
    for bad in (noise, spliced):
        if bad != good:
            with pytest.raises(AuditFailure):
                note.open_checkpoint(bad, key)
