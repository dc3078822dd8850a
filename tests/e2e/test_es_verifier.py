"""Two verifiers, one verdict: the auditor and the ES module, on log folders good and bad."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from support.market import ETH, WHOLE_ETH, sell
from support.orders import ANN
from support.verifier.node import EsVerifier, b64, es_verifier, tlog_proof
from support.worlds import World

from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, NoteKey, format_vkey, sign_checkpoint
from walras.audit.verifier import verify_entries
from walras.cli.fetch import fetch_log
from walras.core.errors import Reason, WalrasError
from walras.protocol.records import Voided
from walras.sdk.client import Client
from walras.sdk.signing import sign_record, verify_receipt
from walras.store.folder import FolderSource, write_log_folder

SIGNER = Signer.from_seed(b"\x01" * 32)
OTHER = Signer.from_seed(b"\x02" * 32)
KEY = NoteKey("localhost/test", SIGNER.public_key)

Verdict = tuple[str | None, str | None]
"""Reason and index; None where there is none."""


@pytest.fixture(scope="module")
def es() -> Iterator[EsVerifier]:
    with es_verifier() as running:
        yield running


@cache
def entry(number: int) -> bytes:
    return sign_record(Voided(number, "BATCH_INTERRUPTED"), SIGNER)


def entries(count: int) -> list[bytes]:
    return [entry(number) for number in range(count)]


def note(leaves: list[bytes], signer: Signer = SIGNER) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return sign_checkpoint(Checkpoint(KEY.name, tree.size, tree.root()), KEY.name, signer)


def write(folder: Path, leaves: list[bytes], checkpoint: bytes | None = None) -> Path:
    write_log_folder(folder, leaves, checkpoint or note(leaves), format_vkey(KEY), ())
    return folder


def auditors(folder: Path, key: NoteKey = KEY, earlier: tuple[bytes, ...] = ()) -> Verdict:
    try:
        verify_entries(FolderSource(folder), key, earlier=earlier)
    except WalrasError as error:
        return error.reason.value, error.fields.get("index")
    return None, None


def modules(
    es: EsVerifier, folder: Path, key: NoteKey = KEY, earlier: tuple[bytes, ...] = ()
) -> Verdict:
    case = {"kind": "log", "folder": str(folder), "key": format_vkey(key)}
    (verdict,) = es.ask([{**case, "earlier": [b64(one) for one in earlier]}])
    index = verdict.get("index")
    return verdict["code"], None if index is None else str(index)


def agreed(es: EsVerifier, folder: Path, earlier: tuple[bytes, ...] = ()) -> Verdict:
    """The verdict of both."""
    verdict = auditors(folder, earlier=earlier)
    assert modules(es, folder, earlier=earlier) == verdict
    return verdict


@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, 1_000])
def test_an_honest_log_holds(es: EsVerifier, tmp_path: Path, count: int) -> None:
    leaves = entries(count)
    folder = write(tmp_path, leaves)
    (verdict,) = es.ask([{"kind": "log", "folder": str(folder), "key": format_vkey(KEY)}])
    checked = verify_entries(FolderSource(folder), KEY)
    assert verdict == {
        "code": None,
        "origin": KEY.name,
        "entries": count,
        "root": checked.checkpoint.root.hex(),
        "cosigners": [],
    }
    seen = tuple(note(leaves[:size]) for size in {0, 1, count // 2, count} if size <= count)
    assert agreed(es, folder, seen) == (None, None)


async def test_the_log_of_a_running_engine_holds_with_its_receipts(
    es: EsVerifier, tmp_path: Path, world: World
) -> None:
    await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
    async with Client(world.address) as client:
        made = [sign_record(sell(ANN.public_key), ANN) for _ in range(9)]
        given = [(leaf, (await client.submit(leaf)).receipt) for leaf in made]
        await fetch_log(client, tmp_path)
    seen = tuple(receipt.checkpoint for _, receipt in given)
    assert len(set(seen)) > 1
    assert auditors(tmp_path, world.key, seen) == (None, None)
    assert modules(es, tmp_path, world.key, seen) == (None, None)
    assert modules(es, tmp_path, KEY) == auditors(tmp_path, KEY) == ("CHECKPOINT_INVALID", None)
    key = format_vkey(world.key)
    for leaf, receipt in given:
        assert verify_receipt(leaf, receipt, world.key).origin == world.key.name
        proof = tlog_proof(
            receipt.inclusion.leaf_index, receipt.inclusion.hashes, receipt.checkpoint
        )
        case = {"kind": "receipt", "key": key, "proof": b64(proof)}
        right, wrong = es.ask([{**case, "entry": b64(one)} for one in (leaf, leaf + b"x")])
        assert right["code"] is None
        assert right["index"] == receipt.inclusion.leaf_index
        assert wrong["code"] == "PROOF_INVALID"


def flip(path: Path, at: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "rounds"),
    [
        ("checkpoint", 150),
        ("tile/0/000", 25),
        ("tile/0/001.p/1", 15),
        ("tile/1/000.p/1", 15),
        ("tile/entries/000", 25),
        ("tile/entries/001.p/1", 40),
    ],
)
def test_a_flipped_byte_of_a_file_is_refused_alike(
    es: EsVerifier, tmp_path: Path, name: str, rounds: int
) -> None:
    path = write(tmp_path, entries(257)) / name
    honest = path.read_bytes()
    rng = random.Random(name)
    reasons = set()
    for _ in range(rounds):
        flip(path, rng.randrange(len(honest)), 1 << rng.randrange(8))
        reasons.add(agreed(es, tmp_path)[0])
        path.write_bytes(honest)
    assert agreed(es, tmp_path) == (None, None)
    expected = {
        "checkpoint": {"CHECKPOINT_INVALID"},
        "tile/entries/000": {"ROOT_MISMATCH", "LOG_MALFORMED"},
        "tile/entries/001.p/1": {"ROOT_MISMATCH", "LOG_MALFORMED"},
    }.get(name, {"LOG_MALFORMED"})
    assert reasons <= expected
    assert reasons


def grown(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes() + bytes(by))


def cut(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def swap_entries(folder: Path) -> None:
    leaves = entries(300)
    leaves[7], leaves[8] = leaves[8], leaves[7]
    write(folder, leaves, note(entries(300)))


def rewritten(folder: Path) -> None:
    """Entries and tiles of another log under the old checkpoint."""
    leaves = entries(300)
    leaves[299] = entry(300)
    write(folder, leaves, note(entries(300)))


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def signed_text(folder: Path, text: str) -> None:
    """A checkpoint of any text that the log's key signed all the same."""
    signature = b64(bytes.fromhex(format_vkey(KEY).split("+")[1]) + SIGNER.sign(text.encode()))
    (folder / "checkpoint").write_text(f"{text}\n\u2014 {KEY.name} {signature}\n")


ROOT_300 = note(entries(300)).decode().split("\n")[2]
CHECKPOINT_300 = note(entries(300))

DAMAGE: dict[str, tuple[Callable[[Path], object], Verdict]] = {
    "no checkpoint": (lambda log: (log / "checkpoint").unlink(), ("FIELD_INVALID", None)),
    "another key's checkpoint": (
        lambda log: (log / "checkpoint").write_bytes(note(entries(300), OTHER)),
        ("CHECKPOINT_INVALID", None),
    ),
    "a long checkpoint": (
        lambda log: grown(log / "checkpoint", 1 << 18),
        ("LOG_MALFORMED", None),
    ),
    "the signature twice": (
        lambda log: (log / "checkpoint").write_bytes(
            CHECKPOINT_300 + CHECKPOINT_300.split(b"\n\n")[1]
        ),
        (None, None),
    ),
    "the signature twice, once wrong": (
        lambda log: (log / "checkpoint").write_bytes(
            CHECKPOINT_300 + CHECKPOINT_300.split(b"\n\n")[1][:-9] + b"AAAA" + CHECKPOINT_300[-5:]
        ),
        ("CHECKPOINT_INVALID", None),
    ),
    "65 signatures": (
        lambda log: (log / "checkpoint").write_bytes(
            CHECKPOINT_300 + 64 * CHECKPOINT_300.split(b"\n\n")[1]
        ),
        ("CHECKPOINT_INVALID", None),
    ),
    "a size with a zero in front": (
        lambda log: signed_text(log, f"{KEY.name}\n0300\n{ROOT_300}\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "a size with a sign": (
        lambda log: signed_text(log, f"{KEY.name}\n+300\n{ROOT_300}\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "a size in Arabic digits": (
        lambda log: signed_text(log, f"{KEY.name}\n\u0663\u0660\u0660\n{ROOT_300}\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "a size of 2^63": (
        lambda log: signed_text(log, f"{KEY.name}\n{1 << 63}\n{ROOT_300}\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "a size of 2^63 - 1": (
        lambda log: signed_text(log, f"{KEY.name}\n{(1 << 63) - 1}\n{ROOT_300}\n"),
        ("LOG_INCOMPLETE", "256"),
    ),
    "a root with other unused bits": (
        lambda log: signed_text(log, f"{KEY.name}\n300\n{ROOT_300[:-2]}" + other_bits() + "=\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "a root without padding": (
        lambda log: signed_text(log, f"{KEY.name}\n300\n{ROOT_300[:-1]}\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "a root of another length": (
        lambda log: signed_text(log, f"{KEY.name}\n300\nAAAA\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "an extension line": (
        lambda log: signed_text(log, f"{KEY.name}\n300\n{ROOT_300}\nmore\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "another origin": (
        lambda log: signed_text(log, f"localhost/tesu\n300\n{ROOT_300}\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "an empty log's size": (
        lambda log: signed_text(log, f"{KEY.name}\n0\n{ROOT_300}\n"),
        ("CHECKPOINT_INVALID", None),
    ),
    "a truncated log": (
        lambda log: (log / "tile/entries/001.p/44").unlink(),
        ("LOG_INCOMPLETE", "256"),
    ),
    "a missing first bundle": (
        lambda log: (log / "tile/entries/000").unlink(),
        ("LOG_INCOMPLETE", "0"),
    ),
    "a bundle cut": (lambda log: cut(log / "tile/entries/001.p/44", 1), ("LOG_MALFORMED", "256")),
    "a bundle with an empty entry more": (
        lambda log: grown(log / "tile/entries/001.p/44", 2),
        ("LOG_MALFORMED", "256"),
    ),
    "a bundle with half a length": (
        lambda log: grown(log / "tile/entries/001.p/44", 1),
        ("LOG_MALFORMED", "256"),
    ),
    "an empty bundle": (
        lambda log: (log / "tile/entries/000").write_bytes(b""),
        ("LOG_MALFORMED", "0"),
    ),
    "a bundle that is too long": (
        lambda log: grown(log / "tile/entries/000", 256 * 65_537),
        ("LOG_MALFORMED", None),
    ),
    "a directory for a bundle": (
        lambda log: directory(log / "tile/entries/000"),
        ("LOG_MALFORMED", None),
    ),
    "a pipe for a bundle": (lambda log: pipe(log / "tile/entries/000"), ("LOG_MALFORMED", None)),
    "no tiles": (lambda log: [shutil.rmtree(log / f"tile/{n}") for n in (0, 1)], (None, None)),
    "the last tile missing": (
        lambda log: (log / "tile/1/000.p/1").unlink(),
        ("LOG_MALFORMED", None),
    ),
    "a tile cut": (lambda log: cut(log / "tile/0/000", 32), ("LOG_MALFORMED", None)),
    "a tile that is too long": (lambda log: grown(log / "tile/0/000", 32), ("LOG_MALFORMED", None)),
    "entries swapped, and tiles": (swap_entries, ("ROOT_MISMATCH", None)),
    "the last entry replaced, and tiles": (rewritten, ("ROOT_MISMATCH", None)),
}


def other_bits() -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return alphabet[alphabet.index(ROOT_300[-2]) ^ 1]


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_judged_alike(es: EsVerifier, tmp_path: Path, name: str) -> None:
    damage, expected = DAMAGE[name]
    damage(write(tmp_path, entries(300)))
    assert agreed(es, tmp_path) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 300])
def test_the_first_wrong_entry_is_named_alike(es: EsVerifier, tmp_path: Path, count: int) -> None:
    """Honest tiles and checkpoint beside entries of which some were replaced."""
    honest = entries(count)
    rng = random.Random(count)
    for wrong in {0, count - 1, rng.randrange(count)}:
        write(tmp_path, honest)
        for bundle in sorted((tmp_path / "tile/entries").rglob("*")):
            if bundle.is_file():
                bundle.unlink()
        others = [leaf if n < wrong else entry(n + 5) for n, leaf in enumerate(honest)]
        scratch = write(tmp_path / "scratch", others)
        shutil.copytree(scratch / "tile/entries", tmp_path / "tile/entries", dirs_exist_ok=True)
        assert agreed(es, tmp_path) == ("ROOT_MISMATCH", str(wrong))


def bad_entries() -> Iterator[tuple[bytes, Reason]]:
    good = entry(0)
    yield b"", Reason.ENVELOPE_MALFORMED
    yield good + b"\x00", Reason.ENVELOPE_MALFORMED
    yield good[:-1], Reason.ENVELOPE_MALFORMED
    yield good[:-1] + b"G", Reason.ENVELOPE_MALFORMED
    yield good[:-64] + b"0" * 64, Reason.PUBLIC_KEY_INVALID
    yield good[:-64] + OTHER.public_key.hex().encode(), Reason.SIGNATURE_INVALID
    yield good[:2] + bytes([good[2] ^ 1]) + good[3:], Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("place", [0, 255, 256, 299])
def test_what_is_no_signed_envelope_is_named_alike(
    es: EsVerifier, tmp_path: Path, place: int
) -> None:
    """The engine logged it: entries, tiles and checkpoint agree."""
    for bad, reason in bad_entries():
        leaves = entries(300)
        leaves[place] = bad
        assert agreed(es, write(tmp_path, leaves)) == (reason.value, str(place))


def test_of_two_faults_the_same_is_named(es: EsVerifier, tmp_path: Path) -> None:
    leaves = entries(300)
    leaves[3], leaves[270] = b"x", b"y"
    write(tmp_path, leaves)
    assert agreed(es, tmp_path) == ("ENVELOPE_MALFORMED", "3")
    fork = note(entries(299))
    assert agreed(es, tmp_path, (fork,)) == ("ROOT_MISMATCH", None)
    flip(tmp_path / "tile/0/000", 5, 1)
    assert agreed(es, tmp_path, (fork,)) == ("LOG_MALFORMED", None)
    cut(tmp_path / "tile/entries/000", 1)
    assert agreed(es, tmp_path) == ("LOG_MALFORMED", "0")


def test_checkpoints_seen_before_are_judged_alike(es: EsVerifier, tmp_path: Path) -> None:
    leaves = entries(300)
    write(tmp_path, leaves)
    forked = [*leaves[:99], entry(399)]
    late = sign_checkpoint(Checkpoint(KEY.name, (1 << 63) - 1, bytes(32)), KEY.name, SIGNER)
    for earlier, reason in (
        (note(forked), "ROOT_MISMATCH"),
        (note(entries(301)), "LOG_INCOMPLETE"),
        (late, "LOG_INCOMPLETE"),
        (note(leaves[:10], OTHER), "CHECKPOINT_INVALID"),
        (b"", "CHECKPOINT_INVALID"),
    ):
        assert agreed(es, tmp_path, (note(leaves[:7]), earlier)) == (reason, None)
