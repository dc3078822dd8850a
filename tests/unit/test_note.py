"""Notes and checkpoints: the vectors of Go's checksum database, and what must not open."""

import base64

import pytest

from walras.audit import note
from walras.audit.keys import Signer
from walras.audit.merkle import EMPTY_ROOT
from walras.audit.note import Checkpoint, NoteKey
from walras.core.errors import AuditFailure, InvalidInput, Reason

# golang.org/x/mod/sumdb/note, note_test.go; the seed stands in its PRIVATE+KEY behind a type byte.
PETER_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH_VKEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotp"
    "RZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLo"
    "x33WWd1RvMc+QQ=\n"
)

# Checkpoints that sum.golang.org published, and the key that the Go command trusts.
SUMDB_VKEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB_ORIGIN = "go.sum database tree"
SUMDB = [
    (
        20852163,
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=",
    ),
    (
        31700353,
        "qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=",
        "Az3grnmrIUEDFqHzAElIQCPNoRFRAAdFo47fooyWKMHb89k11GJh5zHIfNCOBmwn/C3YI8oW9/C8DJ87F61QqspBYwM=",
    ),
    (
        65209736,
        "5+uGFjx6xBZG8ip1+wi77v+grwbhhukIrxEUS8PXvRo=",
        "Az3grnbssgK7ubgFX36gVETtNv0U23qxyAhAMai2QUfeGa3nB/akvkMdlUErfcZz7l/R3cVtYspg3dxXABkGZZKdsQ8=",
    ),
]

SIGNER = Signer.from_seed(b"n" * 32)
ORIGIN = "walras.example/log"
KEY = NoteKey(ORIGIN, SIGNER.public_key)
CHECKPOINT = Checkpoint(ORIGIN, 7, bytes(range(32)))


def refusal(data: bytes, key: NoteKey = KEY) -> str:
    with pytest.raises(AuditFailure) as caught:
        note.open_checkpoint(data, key)
    assert caught.value.reason is Reason.CHECKPOINT_INVALID
    return caught.value.message


def signed(text: str) -> bytes:
    return note.sign_note(text, ORIGIN, SIGNER)


def peter() -> NoteKey:
    return note.parse_vkey(PETER_VKEY)


def enoch() -> NoteKey:
    return note.parse_vkey(ENOCH_VKEY)


def test_signing_gives_gos_note() -> None:
    signer = Signer.from_seed(PETER_SEED)
    assert signer.public_key == peter().public_key
    expected = f"{TEXT}\n{PETER_LINE}".encode()
    assert note.sign_note(TEXT, "PeterNeumann", signer) == expected


def test_opening_gos_notes() -> None:
    both = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode()
    assert note.open_note(both, peter()) == TEXT
    assert note.open_note(both, enoch()) == TEXT
    twice = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}{PETER_LINE}".encode()
    assert note.open_note(twice, peter()) == TEXT


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}\n{PETER_LINE[:-1]}",
        f"\x01{TEXT}\n{PETER_LINE}",
        f"{TEXT}\n{PETER_LINE}Unexpected line.\n",
        f"{TEXT}\n— Bad Name x08go/ZJkuA=\n{PETER_LINE}",
        f"{TEXT}\n— Bad+Name x08go/ZJkuA=\n{PETER_LINE}",
        f"{TEXT}\n—  x08go/ZJkuA=\n{PETER_LINE}",
        f"{TEXT}\n— Name\n{PETER_LINE}",
        f"{TEXT}\n— Name x08gow==\n{PETER_LINE}",
        f"{TEXT}\n— Name x08go/ZJkuB=\n{PETER_LINE}",
        f"{TEXT}\n— Name x08go/ZJkuA\n{PETER_LINE}",
        f"{TEXT}\n— Name x08g*o/ZJkuA=\n{PETER_LINE}",
        f"{TEXT}\n- Name x08go/ZJkuA=\n{PETER_LINE}",
        f"{TEXT}\nName x08go/ZJkuA=\n{PETER_LINE}",
        f"{TEXT}\n{PETER_LINE}\n",
        f"{TEXT}\n\n{PETER_LINE}\r",
        f"{TEXT}{PETER_LINE}",
        f"\n{PETER_LINE}",
        PETER_LINE,
        f"{TEXT}\n{ENOCH_LINE}",
        f"{TEXT}\n{PETER_LINE.replace('PeterNeumann', 'CarmenSandiego')}",
        f"{TEXT}\n{PETER_LINE.replace('x08g', 'xxxx')}",
        f"{TEXT}\n{PETER_LINE[:60]}ABCD{PETER_LINE[60:]}",
        f"{TEXT}\n{PETER_LINE}{PETER_LINE[:60]}ABCD{PETER_LINE[60:]}",
        f"{TEXT}\n{PETER_LINE * 101}",
    ],
)
def test_malformed_and_unsigned_notes_do_not_open(data: str) -> None:
    with pytest.raises(AuditFailure) as caught:
        note.open_note(data.encode(), peter())
    assert caught.value.reason is Reason.CHECKPOINT_INVALID


def test_bytes_that_are_not_utf8_do_not_open() -> None:
    with pytest.raises(AuditFailure, match="UTF-8"):
        note.open_note(f"{TEXT}\n{PETER_LINE}".encode() + b"\xff\n", peter())


def test_a_valid_signature_does_not_excuse_the_form() -> None:
    control = "tab\t\n"
    signature = base64.b64encode(KEY.id + SIGNER.sign(control.encode())).decode()
    with pytest.raises(AuditFailure, match="control"):
        note.open_note(f"{control}\n— {ORIGIN} {signature}\n".encode(), KEY)
    without_blank_line = signed("\n").removeprefix(b"\n\n")
    with pytest.raises(AuditFailure, match="blank line"):
        note.open_note(without_blank_line, KEY)


def test_a_note_is_bounded() -> None:
    lines = PETER_LINE * note.MAX_SIGNATURES
    assert note.open_note(f"{TEXT}\n{lines}".encode(), peter()) == TEXT
    long = f"{'x' * note.MAX_NOTE_BYTES}\n\n{PETER_LINE}".encode()
    with pytest.raises(AuditFailure, match="more than"):
        note.open_note(long, peter())


def test_every_mangling_of_a_verifier_key_is_refused() -> None:
    """The manglings of Go's TestNewVerifier, and every other byte in each place."""
    assert note.format_vkey(peter()) == PETER_VKEY
    assert note.format_vkey(enoch()) == ENOCH_VKEY
    length = len(PETER_VKEY)
    bad = {PETER_VKEY[i:j] for i in range(length) for j in range(i + 1, length + 1)} - {PETER_VKEY}
    for position in range(length):
        for other in map(chr, range(1, 127)):
            if other != PETER_VKEY[position]:
                bad.add(PETER_VKEY[:position] + other + PETER_VKEY[position + 1 :])
    # A key of another length and one of another type, their ids adjusted.
    bad.add("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==")
    bad.add("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    bad.add(PETER_VKEY.replace("c74f20a3", "C74F20A3"))
    bad.add("")
    for vkey in bad:
        with pytest.raises(InvalidInput) as caught:
            note.parse_vkey(vkey)
        assert caught.value.reason is Reason.PUBLIC_KEY_INVALID


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\x01", "a\u200b", "\ud800"]
)
def test_names_that_cannot_stand_in_a_note(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        NoteKey(name, SIGNER.public_key)
    assert caught.value.reason is Reason.PUBLIC_KEY_INVALID
    with pytest.raises(InvalidInput):
        note.sign_checkpoint(CHECKPOINT, name, SIGNER)


@pytest.mark.parametrize(("size", "root", "signature"), SUMDB)
def test_checkpoints_of_the_go_checksum_database(size: int, root: str, signature: str) -> None:
    data = f"{SUMDB_ORIGIN}\n{size}\n{root}\n\n— sum.golang.org {signature}\n".encode()
    key = note.parse_vkey(SUMDB_VKEY)
    opened = note.open_checkpoint(data, key, origin=SUMDB_ORIGIN)
    assert opened == Checkpoint(SUMDB_ORIGIN, size, base64.b64decode(root))
    assert "origin" in refusal(data, key)
    with pytest.raises(AuditFailure):
        note.open_checkpoint(data.replace(b"database", b"databese"), key, origin=SUMDB_ORIGIN)


def test_a_checkpoint_opens_as_it_was_signed() -> None:
    data = note.sign_checkpoint(CHECKPOINT, ORIGIN, SIGNER)
    assert data.decode().split("\n")[:4] == [
        "walras.example/log",
        "7",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "",
    ]
    assert note.open_checkpoint(data, KEY) == CHECKPOINT
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert note.open_checkpoint(note.sign_checkpoint(empty, ORIGIN, SIGNER), KEY) == empty


def test_signatures_of_witnesses_are_ignored_wherever_they_stand() -> None:
    text, line = note.sign_checkpoint(CHECKPOINT, ORIGIN, SIGNER).decode().split("\n\n")
    # A longer signature of an unknown kind, our name with another id, our id with another name.
    others = (
        "— witness.example/wüst " + base64.b64encode(b"\x04" * 76).decode() + "\n",
        f"— {ORIGIN} " + base64.b64encode(b"\x00\x00\x00\x00" + bytes(64)).decode() + "\n",
        "— other " + base64.b64encode(KEY.id + bytes(64)).decode() + "\n",
    )
    for tail in (line + "".join(others), "".join(others) + line, others[0] + line + others[1]):
        assert note.open_checkpoint(f"{text}\n\n{tail}".encode(), KEY) == CHECKPOINT
    assert "no signature" in refusal(f"{text}\n\n{''.join(others)}".encode())


def test_every_changed_byte_is_refused() -> None:
    data = note.sign_checkpoint(CHECKPOINT, ORIGIN, SIGNER)
    for position in range(len(data)):
        for flip in range(1, 256):
            changed = bytearray(data)
            changed[position] ^= flip
            refusal(bytes(changed))


def test_every_truncation_and_insertion_is_refused() -> None:
    data = note.sign_checkpoint(CHECKPOINT, ORIGIN, SIGNER)
    for position in range(len(data)):
        refusal(data[:position])
        refusal(data[:position] + data[position + 1 :])
        for extra in (b"\n", b" ", b"0", b"\x00"):
            refusal(data[:position] + extra + data[position:])
    for extra in (b"\n", b"x", b"x\n", data):
        refusal(data + extra)


ROOT64 = base64.b64encode(CHECKPOINT.root).decode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{ORIGIN}\n07\n{ROOT64}\n", "decimal"),
        (f"{ORIGIN}\n+7\n{ROOT64}\n", "decimal"),
        (f"{ORIGIN}\n-7\n{ROOT64}\n", "decimal"),
        (f"{ORIGIN}\n 7\n{ROOT64}\n", "decimal"),
        (f"{ORIGIN}\n7_0\n{ROOT64}\n", "decimal"),
        (f"{ORIGIN}\n\u0667\n{ROOT64}\n", "decimal"),
        (f"{ORIGIN}\n\n{ROOT64}\n", "decimal"),
        (f"{ORIGIN}\n{10**400}\n{ROOT64}\n", "decimal"),
        (f"{ORIGIN}\n{2**63}\n{ROOT64}\n", "2^63"),
        (f"{ORIGIN}\n0\n{ROOT64}\n", "empty log"),
        (f"{ORIGIN}\n7\n{ROOT64[:-1]}\n", "root"),
        (f"{ORIGIN}\n7\n{ROOT64[:-2]}9=\n", "root"),
        (f"{ORIGIN}\n7\nAAAA\n", "root"),
        (f"{ORIGIN}\n7\n\n", "root"),
        (f"{ORIGIN}\n7\n", "three lines"),
        (f"{ORIGIN}\n7\n{ROOT64}\nextension\n", "three lines"),
        (f"{ORIGIN}\n7\n{ROOT64}\n\n", "three lines"),
        (f"\n{ORIGIN}\n7\n{ROOT64}\n", "three lines"),
        (f"{ORIGIN}2\n7\n{ROOT64}\n", "origin"),
        (f"\n7\n{ROOT64}\n", "origin"),
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str, why: str) -> None:
    assert why in refusal(signed(text))


def test_the_largest_size() -> None:
    largest = Checkpoint(ORIGIN, 2**63 - 1, bytes(32))
    assert note.open_checkpoint(note.sign_checkpoint(largest, ORIGIN, SIGNER), KEY) == largest


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, bytes(32)),
        ("a\nb", 1, bytes(32)),
        ("a\ud800", 1, bytes(32)),
        (ORIGIN, -1, bytes(32)),
        (ORIGIN, 2**63, bytes(32)),
        (ORIGIN, 1, bytes(31)),
        (ORIGIN, 0, bytes(32)),
    ],
)
def test_what_is_no_checkpoint_cannot_be_made(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(AuditFailure) as caught:
        Checkpoint(origin, size, root)
    assert caught.value.reason is Reason.CHECKPOINT_INVALID


@pytest.mark.parametrize("text", ["", "no newline", "tab\t\n"])
def test_what_is_no_text_of_a_note_cannot_be_signed(text: str) -> None:
    with pytest.raises(AuditFailure) as caught:
        signed(text)
    assert caught.value.reason is Reason.CHECKPOINT_INVALID
