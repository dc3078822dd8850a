"""Two verifiers, one verdict: keys, signatures, envelopes, notes, proofs; and policies."""

import json
import random
import re
from collections.abc import Callable, Iterator
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest
from nacl import bindings
from support.verifier import node as programs
from support.verifier.node import EsVerifier, b64, es_verifier, tlog_proof

from walras.audit import envelope, keys, merkle, note
from walras.audit.keys import Signer
from walras.audit.note import Checkpoint, NoteKey, format_vkey, parse_vkey
from walras.audit.policy import parse_policy
from walras.audit.proof import log_only, open_proof, parse_proof
from walras.core.errors import Reason, WalrasError

SIGNER = Signer.from_seed(b"\x01" * 32)
KEY = NoteKey("localhost/test", SIGNER.public_key)
VKEY = format_vkey(KEY)
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
NEUTRAL = (1).to_bytes(32, "little")


@pytest.fixture(scope="module")
def es() -> Iterator[EsVerifier]:
    with es_verifier() as running:
        yield running


def reason_of(call: Callable[..., object], *given: object) -> str | None:
    try:
        call(*given)
    except WalrasError as error:
        return error.reason.value
    return None


def mutations(data: bytes, rounds: int, seed: int = 1) -> Iterator[bytes]:
    """Flips, cuts, insertions, repetitions and swaps of `data`."""
    rng = random.Random(seed)
    for _ in range(rounds):
        at, to = sorted(rng.sample(range(len(data)), 2))
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        yield from (
            bytes(changed),
            data[:at] + data[at + 1 :],
            data[:at] + rng.choice([b"\n", b" ", b"0", b"\x00", b"=", b"\xff"]) + data[at:],
            data[:to] + data[at:],
            data[:at] + data[to:],
            data[:at],
        )


# keys and signatures


def both_on_signatures(
    es: EsVerifier, triples: list[tuple[bytes, bytes, bytes]]
) -> list[str | None]:
    """The reasons for key, message, signature; of both."""
    expected = [reason_of(keys.verify, *triple) for triple in triples]
    cases = (
        {"kind": "signature", "key": b64(k), "message": b64(m), "signature": b64(s)}
        for k, m, s in triples
    )
    assert es.codes(cases) == expected
    return expected


def test_the_vectors_of_taming_the_many_eddsas(es: EsVerifier) -> None:
    """Chalkias, Garillot, Nikolaenko 2020: twelve signatures on which libraries disagree."""
    text = Path(programs.__file__).with_name("ed25519_speccheck.json").read_text()
    triples = [
        tuple(bytes.fromhex(case[name]) for name in ("pub_key", "message", "signature"))
        for case in json.loads(text)["cases"]
    ]
    reasons = both_on_signatures(es, triples)
    assert (
        reasons
        == ["PUBLIC_KEY_INVALID"] * 6 + ["SIGNATURE_INVALID"] * 2 + ["PUBLIC_KEY_INVALID"] * 4
    )


def scalar(number: int) -> bytes:
    return (number % L).to_bytes(32, "little")


def crafted(message: bytes, nonce: int, torsion: int, key_torsion: int = 0) -> tuple[bytes, bytes]:
    """A key and a signature whose R (and A) have parts outside the prime-order subgroup."""
    secret = 0x123456789ABCDEF
    key = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar(secret))
    for _ in range(key_torsion):
        key = bindings.crypto_core_ed25519_add(key, ORDER_8)
    r = bindings.crypto_scalarmult_ed25519_base_noclamp(scalar(nonce)) if nonce else NEUTRAL
    for _ in range(torsion):
        r = bindings.crypto_core_ed25519_add(r, ORDER_8)
    challenge = int.from_bytes(sha512(r + key + message).digest(), "little")
    return key, r + scalar(nonce + challenge * secret)


def test_points_with_a_part_of_small_order(es: EsVerifier) -> None:
    """Cofactored verification would accept all; R of small order some without cofactor too."""
    triples = []
    for nonce in (77, 0):
        for torsion in range(8):
            key, signature = crafted(b"hello", nonce, torsion)
            triples.append((key, b"hello", signature))
    reasons = both_on_signatures(es, triples)
    assert reasons == [None] + ["SIGNATURE_INVALID"] * 15
    triples = [(*crafted(b"m", 5, 0, torsion), torsion) for torsion in range(1, 8)]
    reasons = both_on_signatures(es, [(key, b"m", signature) for key, signature, _ in triples])
    assert reasons == ["PUBLIC_KEY_INVALID"] * 7


def test_scalars_and_encodings_out_of_range(es: EsVerifier) -> None:
    signature = SIGNER.sign(b"m")
    s = int.from_bytes(signature[32:], "little")
    altered = [
        signature,
        *(signature[:32] + (s + k * L).to_bytes(32, "little") for k in range(1, 15)),
        signature[:32] + bytes([*signature[32:63], signature[63] | 0x80]),
        signature[:31] + bytes([signature[31] ^ 0x80]) + signature[32:],
        *((P + k).to_bytes(32, "little") + signature[32:] for k in range(19)),
        signature[:63],
        signature + b"\x00",
        b"",
    ]
    reasons = both_on_signatures(es, [(SIGNER.public_key, b"m", each) for each in altered])
    assert reasons == [None] + ["SIGNATURE_INVALID"] * (len(altered) - 1)


def test_keys_of_every_kind(es: EsVerifier) -> None:
    """Small orders, points off the curve, ys at and above p, both signs of x, random bytes."""
    rng = random.Random(4)
    small = [ORDER_8]
    for _ in range(8):
        small.append(bindings.crypto_core_ed25519_add(small[-1], ORDER_8))
    ys = [*range(20), *(P + k for k in range(-20, 19)), *(rng.randrange(P) for _ in range(60))]
    ys += [int.from_bytes(point, "little") & (2**255 - 1) for point in small]
    made = [(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)]
    honest = [Signer.from_seed(bytes([n]) * 32).public_key for n in range(10, 18)]
    mixed = [bindings.crypto_core_ed25519_add(key, ORDER_8) for key in honest]
    odd_lengths = [honest[0][:31], honest[0] + b"\0", b""]
    every = [*made, *honest, *mixed, *odd_lengths]
    reasons = both_on_signatures(es, [(key, b"m", SIGNER.sign(b"m")) for key in every])
    # An eighth of all points is in the subgroup, so some of the random ones are.
    assert {"PUBLIC_KEY_INVALID", "SIGNATURE_INVALID"} == set(reasons)
    assert reasons[len(made) : len(made) + 8] == ["SIGNATURE_INVALID"] * 8
    assert reasons[len(made) + 8 :] == ["PUBLIC_KEY_INVALID"] * 11


# envelopes


def judged(data: bytes) -> str | None:
    return reason_of(lambda: envelope.verify_envelope(envelope.decode(data)))


def hand_made() -> Iterator[bytes]:
    """Envelopes whose fields and lengths are at and past every bound."""
    body, kind = b"b" * 200, b"application/x"
    tail = envelope.seal("t", b"x", SIGNER)[-135:]
    lengths = [b"\x00", b"\x80\x00", b"\xc8\x01", b"\xc8\x81\x00", b"\xc8\x81\x80\x80\x00"]
    lengths += [b"\xc8\x81\x80\x80\x80\x00", b"\xc8", b"\xff\xff\xff\xff\x0f", b"\xff" * 6, b""]
    for length in lengths:
        yield b"\x0a" + length + body + b"\x12\x0d" + kind + tail
        yield b"\x0a\xc8\x01" + body + b"\x12" + length + kind + tail
    for name in (b"", b"a b", b"\x7f", b"\xc3\xa9", b"a" * 127, b"a" * 128, b"\n", b"~!"):
        yield b"\x0a\x01b\x12" + envelope._varint(len(name)) + name + tail
    yield b"\x12\x0d" + kind + b"\x0a\x01b" + tail
    yield b"\x0a\x01b\x12\x01t" + tail + tail
    yield b"\x0a\x01b\x12\x01t" + tail[:3] + tail[71:] + tail[3:71]
    yield envelope.seal("t", b"x", SIGNER) + b"\x20\x01"
    yield b""


def test_envelopes(es: EsVerifier) -> None:
    good = [
        envelope.seal("t", b"x", SIGNER),
        envelope.seal("a" * 127, bytes(range(256)) * 200, SIGNER),
        envelope.seal("application/vnd.walras.intent.v1+protobuf", b"\xff" * 127, SIGNER),
        envelope.seal("t", bytes(65_535 - 145), SIGNER),
    ]
    assert len(good[3]) <= envelope.MAX_ENVELOPE_BYTES
    too_long = envelope.seal("t", bytes(65_535 - 100), SIGNER)
    tried = [*good, too_long, *hand_made()]
    for seed, data in enumerate(good[:3]):
        tried += mutations(data, 60, seed)
    expected = [judged(data) for data in tried]
    assert es.codes({"kind": "envelope", "data": b64(data)} for data in tried) == expected
    assert expected[:5] == [None] * 4 + ["ENVELOPE_MALFORMED"]
    assert {"ENVELOPE_MALFORMED", "SIGNATURE_INVALID", "PUBLIC_KEY_INVALID"} <= set(expected)


# notes


def signed(text: str) -> bytes:
    """Any text with the log's signature, whether it can stand in a note or not."""
    return f"{text}\n\u2014 {KEY.name} {b64(KEY.id + SIGNER.sign(text.encode()))}\n".encode()


def notes() -> Iterator[bytes]:
    checkpoint = note.sign_checkpoint(Checkpoint(KEY.name, 7, bytes(range(32))), KEY.name, SIGNER)
    text, line = checkpoint.decode().split("\n\n")
    yield checkpoint
    yield from mutations(checkpoint, 400)
    root = b64(bytes(range(32)))
    for size in ("0", "00", "07", "+7", "-7", "7 ", " 7", "7.0", "1e3", "", "\u0667", "9" * 19):
        yield signed(f"{KEY.name}\n{size}\n{root}\n")
    yield signed(f"{KEY.name}\n0\n{b64(merkle.EMPTY_ROOT)}\n")
    for bad in (
        root[:-1],
        root + "=",
        root[:-2] + "9=",
        f"{root} ",
        "",
        "AAAA",
        root[:-4] + "-_8=",
    ):
        yield signed(f"{KEY.name}\n7\n{bad}\n")
    for body in (f"{KEY.name}\n7\n", f"{KEY.name}\n7\n{root}\nx\n", f"{KEY.name}\n7\n{root}\n\n"):
        yield signed(body)
    yield signed(f"\n{KEY.name}\n7\n{root}\n")
    yield signed(f"{KEY.name}\n7\t\n{root}\n")
    yield b"\xef\xbb\xbf" + checkpoint
    for name in (
        *("w", "w\u00fc", "a+b", "a\u00a0b", "a\u0085b", "a\u1680b", "a\u2007b", "a\u2028b"),
        *("a\u202fb", "a\u3000b", "a\ufeffb", "a\u200bb", "a\u180eb", "a\x7fb", "a\x1fb", ""),
    ):
        for rest in (b64(b"\x04" * 76), b64(bytes(4)), b64(bytes(5)), "x08go/ZJkuB=", "AA AA", ""):
            yield f"{text}\n\n{line}\u2014 {name} {rest}\n".encode()
            yield f"{text}\n\n\u2014 {name} {rest}\n{line}".encode()
    for count in (2, 63, 64, 65):
        yield f"{text}\n\n{line * count}".encode()
    wrong = line.replace(line[-9:-5], "AAAA")
    yield f"{text}\n\n{line}{wrong}".encode()
    yield f"{text}\n\n{wrong}{line}".encode()
    yield f"{text}\n\n{wrong}".encode()
    long = f"\u2014 w {b64(bytes(3_000))}\n"
    for count in (62, 63):
        yield f"{text}\n\n{line}{long * count}".encode()


def test_notes(es: EsVerifier) -> None:
    tried = list(notes())
    expected = [reason_of(note.open_checkpoint, data, KEY) for data in tried]
    found = es.codes({"kind": "note", "data": b64(data), "key": VKEY} for data in tried)
    for data, ours, theirs in zip(tried, expected, found, strict=True):
        assert theirs == ours, data[:400]
    assert expected[0] is None
    assert set(expected) == {None, "CHECKPOINT_INVALID"}
    assert expected.count(None) > 20


def test_verifier_keys(es: EsVerifier) -> None:
    tried = [VKEY, VKEY.upper(), "", "+", "++", VKEY + "+", VKEY + "=", f" {VKEY}"]
    tried += [VKEY[:at] + other + VKEY[at + 1 :] for at in range(len(VKEY)) for other in "Aa0+= "]
    for name in ("w\u00fc", "\u200b", "a\u2003b", "a b", "\u00ad", "\U000e0001", "\ud800", "x"):
        tagged = b"\x01" + SIGNER.public_key
        digest = sha256(name.encode("utf-8", "replace") + b"\n" + tagged).hexdigest()[:8]
        tried.append(f"{name}+{digest}+{b64(tagged)}")
    for tagged in (b"\x04" + SIGNER.public_key, b"\x01" + ORDER_8, b"\x01", b"\x01" + bytes(31)):
        digest = sha256(b"x\n" + tagged).hexdigest()[:8]
        tried.append(f"x+{digest}+{b64(tagged)}")
    expected = [reason_of(parse_vkey, vkey) for vkey in tried]
    assert es.codes({"kind": "vkey", "text": vkey} for vkey in tried) == expected
    assert set(expected) == {None, "PUBLIC_KEY_INVALID"}
    assert expected[0] is None


# proofs


def test_inclusion_proofs(es: EsVerifier) -> None:
    """Of every leaf of every small tree, right and wrong; and far beyond 2^53."""
    rng = random.Random(3)
    tree = merkle.Tree()
    cases: list[tuple[bytes, int, int, tuple[bytes, ...], bytes]] = []
    for number in range(18):
        tree.append(bytes([number]))
    for size in range(1, 19):
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            leaf, root = merkle.leaf_hash(bytes([index])), tree.root(size)
            cases.append((leaf, index, size, proof, root))
            cases.append((leaf, rng.randrange(20), rng.randrange(20), proof, root))
            cases.append((leaf, index, size, proof[1:], root))
            cases.append((leaf, index, size, (*proof, root), root))
            cases.append((leaf, index, size, proof[::-1], root))
            cases.append((root, index, size, proof, root))
            cases.append((leaf, index, size, (*proof[:-1], b"short"), root))
    for size, index in (((1 << 63) - 1, (1 << 62) + 5), ((1 << 53) + 3, 1 << 53), (1 << 62, 0)):
        length = merkle._inclusion_length(index, size)
        cases.append((root, index, size, (root,) * length, root))
        cases.append((root, index, size, (root,) * (length + 1), root))
    expected = [reason_of(merkle.verify_inclusion, *case) for case in cases]
    found = es.codes(
        {
            "kind": "inclusion",
            "leaf": b64(leaf),
            "index": str(index),
            "size": str(size),
            "proof": [b64(one) for one in proof],
            "root": b64(root),
        }
        for leaf, index, size, proof, root in cases
    )
    assert found == expected
    assert expected.count(None) >= 18 * 19 // 2
    assert "PROOF_INVALID" in expected


def receipt_of(index: int, size: int, extra: str = "") -> tuple[bytes, bytes]:
    """Entry and proof."""
    tree = merkle.Tree()
    for number in range(size):
        tree.append(b"entry %d" % number)
    checkpoint = note.sign_checkpoint(Checkpoint(KEY.name, size, tree.root()), KEY.name, SIGNER)
    return b"entry %d" % index, tlog_proof(index, tree.inclusion_proof(index), checkpoint, extra)


def both_on_receipts(
    es: EsVerifier, proofs: list[bytes], entry: bytes | None = None
) -> list[str | None]:
    """The reasons of both."""
    policy = log_only(KEY)
    expected = [
        reason_of(lambda data: open_proof(parse_proof(data), policy, entry), data)
        for data in proofs
    ]
    case = {"kind": "receipt", "key": VKEY, "entry": None if entry is None else b64(entry)}
    found = es.codes({**case, "proof": b64(data)} for data in proofs)
    for data, ours, theirs in zip(proofs, expected, found, strict=True):
        assert theirs == ours, data[:300]
    return expected


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (1, 2), (4, 5), (255, 300)])
def test_receipts(es: EsVerifier, index: int, size: int) -> None:
    entry, proof = receipt_of(index, size)
    case = {"kind": "receipt", "key": VKEY, "entry": b64(entry), "proof": b64(proof)}
    (verdict,) = es.ask([case])
    assert (verdict["code"], verdict["index"], verdict["entries"]) == (None, index, size)
    assert verdict["digest"] == sha256(entry).hexdigest()
    assert both_on_receipts(es, [proof], b"another") == ["PROOF_INVALID"]
    changed = [data for data in mutations(proof, 60) if data != proof]
    reasons = set(both_on_receipts(es, changed, entry))
    assert reasons == {"PROOF_INVALID", "CHECKPOINT_INVALID", "LOG_UNKNOWN"}


def test_every_byte_of_a_receipt_counts(es: EsVerifier) -> None:
    carried = b64(b"entry 4")
    for entry, proof in (receipt_of(4, 5), (None, receipt_of(4, 5, carried)[1])):
        flipped = [
            proof[:at] + bytes([proof[at] ^ bit]) + proof[at + 1 :]
            for at in range(len(proof))
            for bit in (1, 0x20, 0x80)
        ]
        assert both_on_receipts(es, [proof], entry) == [None]
        reasons = set(both_on_receipts(es, flipped, entry))
        assert reasons == {"PROOF_INVALID", "CHECKPOINT_INVALID", "LOG_UNKNOWN"}


def test_the_form_of_a_proof(es: EsVerifier) -> None:
    entry, proof = receipt_of(4, 5)
    text = proof.decode()
    accepted = [text, text.replace("index", f"extra {b64(b'any')}\nindex", 1)]
    refused = [
        text.replace("index 4", wrong, 1)
        for wrong in (
            *("index 04", "index +4", "index  4", "index 4 ", "index", "index ", "Index 4"),
            *("index -4", "index 4\r", "index 5", "index 18446744073709551620", "index \u0664"),
            *("index 4\nindex 4", "extra \nindex 4", "extra AB==\nindex 4", "extra AB=\nindex 4"),
            *("extra YQ==\nextra YQ==\nindex 4", "index 4\nextra YQ==", "\nindex 4", "index 4\n"),
            *(f"index {1 << 62}", f"index {1 << 63}", f"extra {b64(bytes(65_536))}\nindex 4"),
            f"extra {b64(bytes(300_000))}\nindex 4",
        )
    ]
    hashes = text.split("\n\n")[0].split("\n")[2:]
    other_bits = hashes[0][:-2] + chr(ord(hashes[0][-2]) + 1) + "="
    refused += [
        text.replace(hashes[0], wrong, 1)
        for wrong in (other_bits, hashes[0][:-1], hashes[0] + "\n" + hashes[0], "AAAA", " ")
    ]
    refused += [
        text.replace("@v1", "@v2"),
        text.replace("\n", "\r\n"),
        text.replace("\n\n", "\n", 1),
        text.replace("\n\n", "\n\n\n", 1),
        text + "\n",
        " " + text,
        "",
        text.replace("\n\n", "\n" + f"{b64(bytes(32))}\n" * 63 + "\n", 1),
    ]
    head = text.split("\n\n")[0] + "\n\n"
    root = text.split("\n\n")[1].split("\n")[2]
    for body in ("a\n5\n", f"{KEY.name}\n5\n{root}\nx\n", f"{KEY.name}\n0\n{root}\n"):
        refused.append(head + signed(body).decode())
    for body in (f"b\n5\n{root}\n", f"\u200b\n5\n{root}\n", f"{KEY.name}\n4\n{root}\nx\n"):
        refused.append(head + signed(body).decode())
    reasons = both_on_receipts(es, [one.encode() for one in [*accepted, *refused]], entry)
    assert reasons[:2] == [None, None]
    assert set(reasons[2:]) == {"PROOF_INVALID", "CHECKPOINT_INVALID", "LOG_UNKNOWN"}


# witnesses

WITNESSES = [Signer.from_seed(bytes([9, n]) * 16) for n in range(4)]
NOTE_300 = note.sign_checkpoint(Checkpoint(KEY.name, 300, bytes(32)), KEY.name, SIGNER)


def witness_id(number: int) -> bytes:
    tagged = b"\x04" + WITNESSES[number].public_key
    return sha256(f"w\u00fc{number}.example\n".encode() + tagged).digest()[:4]


def witness_vkey(number: int) -> str:
    tagged = b"\x04" + WITNESSES[number].public_key
    return f"w\u00fc{number}.example+{witness_id(number).hex()}+{b64(tagged)}"


def cosignature(number: int, time: int = 1_700_000_000, *, said: int | None = None) -> str:
    """The line that C2SP tlog-cosignature describes; `said` is another time than was signed."""
    text = NOTE_300.decode().split("\n\n")[0] + "\n"
    signature = WITNESSES[number].sign(f"cosignature/v1\ntime {time}\n{text}".encode())
    stamp = (time if said is None else said).to_bytes(8, "big")
    return f"\u2014 w\u00fc{number}.example {b64(witness_id(number) + stamp + signature)}\n"


POLICY = "\n".join(
    [
        "# three of the city, one of the country",
        f"log {VKEY} https://log.example/",
        *(f"witness W\u00fc{n}\t {witness_vkey(n)} https://w{n}.example/" for n in range(4)),
        "  ",
        "group city 2 W\u00fc0 W\u00fc1 W\u00fc2",
        "group all-of all city W\u00fc3",
        "quorum all-of",
        "",
    ]
)


def cosigned(es: EsVerifier, policy: str, *lines: str) -> dict[str, Any]:
    """The module's verdict, which is the auditor's too."""
    data = NOTE_300 + "".join(lines).encode()
    case = {"kind": "note", "data": b64(data), "key": VKEY, "policy": b64(policy.encode())}
    (verdict,) = es.ask([case])
    rules = parse_policy(policy.encode())
    if not rules.logs:  # the module is told the log's key besides
        rules = parse_policy(f"log {VKEY}\n{policy}".encode())
    assert verdict["code"] == reason_of(lambda: rules.approve(note.parse_note(data)))
    return verdict


def test_a_quorum_of_witnesses(es: EsVerifier) -> None:
    line = [cosignature(n) for n in range(4)]
    verdict = cosigned(es, POLICY, *line)
    assert verdict["code"] is None
    assert verdict["cosigners"] == [f"w\u00fc{n}.example" for n in range(4)]
    assert cosigned(es, POLICY, line[0], line[2], line[3])["code"] is None
    unknown = line[1].replace("example", "elsewhere")
    for lines in (
        [],
        line[:3],
        [line[0], line[3]],
        [line[0], line[0], line[3]],
        [line[0], unknown],
    ):
        assert cosigned(es, POLICY, *lines)["code"] == "QUORUM_UNMET"
    for wrong in (
        cosignature(1, said=1_700_000_001),
        cosignature(1, (1 << 63)),
        f"\u2014 w\u00fc1.example {b64(witness_id(1) + bytes(63))}\n",
    ):
        assert cosigned(es, POLICY, *line, wrong)["code"] == "COSIGNATURE_INVALID"
    # A line that has no known name and id is nobody's.
    assert cosigned(es, POLICY, *line, line[2].replace("w\u00fc2", "w\u00fc1"))["code"] is None
    assert cosigned(es, POLICY, *line, line[1][:-2] + "\n")["code"] == "CHECKPOINT_INVALID"
    assert cosigned(es, "quorum none\n")["code"] is None
    # The note's own signature is no cosignature, and a cosignature none of the log's.
    one = f"witness W {witness_vkey(0)}\nquorum W\n"
    assert cosigned(es, one)["code"] == "QUORUM_UNMET"
    assert cosigned(es, one, line[0])["code"] is None
    other = format_vkey(NoteKey(KEY.name, WITNESSES[3].public_key))
    assert cosigned(es, f"log {other}\nquorum none\n")["code"] == "LOG_UNKNOWN"
    assert cosigned(es, f"log {other}\nlog {VKEY}\nquorum none\n")["code"] is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quorum nobody\n",
        "quorum none\nquorum none\n",
        "Quorum none\n",
        "quorum none more\n",
        "quorum\tnone\r\n",
        "quorum none\x00\n",
        "quorum none\x7f\n",
        f"witness none {witness_vkey(0)}\nquorum none\n",
        f"witness W {witness_vkey(0)}\nwitness V {witness_vkey(0)}\nquorum none\n",
        f"witness W {witness_vkey(0)}\nwitness W {witness_vkey(1)}\nquorum none\n",
        f"log {VKEY}\nlog {VKEY}\nquorum none\n",
        f"witness W {witness_vkey(0)}\ngroup W 1 W\nquorum W\n",
        f"witness W {witness_vkey(0)}\ngroup G 2 W\nquorum G\n",
        f"witness W {witness_vkey(0)}\ngroup G 0 W\nquorum G\n",
        f"witness W {witness_vkey(0)}\ngroup G 01 W\nquorum G\n",
        f"witness W {witness_vkey(0)}\ngroup G constructor W\nquorum G\n",
        f"witness W {witness_vkey(0)}\ngroup G 1 W W\nquorum G\n",
        f"witness W {witness_vkey(0)}\ngroup G 1 W\ngroup H 1 W\nquorum H\n",
        f"witness W {witness_vkey(0)}\ngroup G 1\nquorum W\n",
        "group G 1 none\nquorum G\n",
        f"group G any W\nwitness W {witness_vkey(0)}\nquorum G\n",
        f"quorum W\nwitness W {witness_vkey(0)}\n",
    ],
)
def test_what_is_no_policy(es: EsVerifier, text: str) -> None:
    assert reason_of(parse_policy, text.encode()) == "POLICY_INVALID"
    assert es.codes([{"kind": "policy", "data": b64(text.encode())}]) == ["POLICY_INVALID"]


def test_policies_are_read_alike(es: EsVerifier) -> None:
    """Mutations; names and comments that are not UTF-8; thresholds and lengths at their bounds."""
    base = POLICY.encode()
    one = f"witness W {witness_vkey(0)}\n".encode()
    tried = [
        base,
        b"quorum none\n",
        b"quorum none",
        b"\n\n quorum\t none \n#",
        b"log\n",
        b"witness W\n",
    ]
    tried += [
        f"log {witness_vkey(0)}\nquorum none\n".encode(),
        f"witness W {VKEY}\nquorum W\n".encode(),
        b"# \xff\xfe\nquorum none\n",
        one.replace(b"W", b"\xff", 1) + b"quorum \xff\n",
        one.replace(b"W", b"\xff", 1) + b"quorum \xfe\n",
        one.replace(b"W", b"\xe2\x84\xaa", 1) + b"quorum K\n",
        one.replace("w\u00fc".encode(), b"w\xfc") + b"quorum W\n",
        one + b"group none any W\nquorum none\n",
        one + b"group G 00001 W\nquorum G\n",
        one + b"group G 10000 W\nquorum G\n",
        one + b"group G -1 W\nquorum G\n",
        b"#\n" * 4_095 + b"quorum none\n",
        b"#\n" * 4_096 + b"quorum none\n",
        b"#" * ((1 << 18) - 13) + b"\nquorum none\n",
        b"#" * ((1 << 18) - 12) + b"\nquorum none\n",
        *mutations(base, 60),
    ]
    expected = [reason_of(parse_policy, data) for data in tried]
    assert es.codes({"kind": "policy", "data": b64(data)} for data in tried) == expected
    assert set(expected) == {None, "POLICY_INVALID"}


def test_reasons_are_reasons_of_the_protocol() -> None:
    """Every code that the module can raise is one of `Reason`."""
    text = programs.MODULE.read_text()
    codes = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', text))
    assert {"LOG_MALFORMED", "PROOF_INVALID", "POLICY_INVALID"} <= codes
    assert codes <= {reason.value for reason in Reason}
