"""Notes, checkpoints, cosignatures, policies; trees, proofs and receipts."""

from typing import Any

from common import DOMAIN, plain, reason_of, seed_of, signer

from walras.audit import envelope
from walras.audit.cosignature import WitnessKey, cosign
from walras.audit.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion
from walras.audit.note import (
    Checkpoint,
    NoteKey,
    format_vkey,
    open_checkpoint,
    parse_note,
    parse_vkey,
    sign_checkpoint,
    sign_note,
    with_signatures,
)
from walras.audit.policy import parse_policy
from walras.audit.proof import TlogProof, encode_proof, log_only, open_proof, parse_proof

ENTRIES = [envelope.seal("text/plain", b"entry %d" % n, signer("alice")) for n in range(8)]
KEY = NoteKey(DOMAIN, signer("engine").public_key)
WITNESSES = ("w1", "w2", "w3")


def _tree(size: int) -> Tree:
    tree = Tree()
    for entry in ENTRIES[:size]:
        tree.append(entry)
    return tree


def _note(size: int) -> bytes:
    checkpoint = Checkpoint(DOMAIN, size, _tree(size).root())
    return sign_checkpoint(checkpoint, DOMAIN, signer("engine"))


def _witness(name: str) -> WitnessKey:
    return WitnessKey(f"{name}.example", signer(name).public_key)


def _cosigned(data: bytes, *names: str) -> bytes:
    text = parse_note(data).text
    lines = [
        cosign(text, f"{name}.example", signer(name), 1_767_225_600 + place)
        for place, name in enumerate(names)
    ]
    return with_signatures(data, lines)


def _policy() -> bytes:
    lines = [f"log {format_vkey(KEY)}"]
    lines += [f"witness {name} {format_vkey(_witness(name))}" for name in WITNESSES]
    lines += ["group two-of-three 2 w1 w2 w3", "quorum two-of-three"]
    return "".join(f"{line}\n" for line in lines).encode()


def notes() -> Any:
    """Checkpoints with and without witnesses, and what must not open."""
    plain_note, policy = _note(8), _policy()
    signed = [(_note(size), size) for size in (0, 1, 7, 8)]
    believed = [
        {"note": _cosigned(plain_note, *names), "witnesses": names}
        for names in (("w1", "w2"), ("w3", "w1"), ("w1", "w2", "w3"))
    ]
    for each in believed:
        parse_policy(policy).approve(parse_note(each["note"]))
    return plain(
        {
            "engine_seed": seed_of("engine"),
            "witness_seeds": {name: seed_of(name) for name in WITNESSES},
            "origin": DOMAIN,
            "verifier_key": format_vkey(KEY),
            "witness_keys": {name: format_vkey(_witness(name)) for name in WITNESSES},
            "valid": [
                {"size": size, "root": _tree(size).root(), "note": data.decode()}
                for data, size in signed
            ],
            "policy": policy.decode(),
            "approved": [{**each, "note": each["note"].decode()} for each in believed],
            "invalid": list(_bad_notes(plain_note)),
            "not_approved": list(_bad_cosignatures(plain_note, policy)),
            "verifier_keys_invalid": [
                {"text": text, "reason": reason_of(parse_vkey, text)}
                for text in (
                    "",
                    format_vkey(KEY)[:-1],
                    format_vkey(KEY) + "=",
                    format_vkey(KEY).replace("+", " ", 1),
                    format_vkey(KEY).replace("walras", "walrus"),
                    format_vkey(_witness("w1")),
                    f"{DOMAIN}+00000000+AQ==",
                )
            ],
        }
    )


def _bad_notes(data: bytes) -> Any:
    text, _, signature = data.partition(b"\n\n")
    origin, size, root = text.decode().split("\n")
    engine = signer("engine")

    def signed(*lines: str) -> bytes:
        return sign_note("".join(f"{line}\n" for line in lines), DOMAIN, engine)

    cases = {
        "empty": b"",
        "no signature": text + b"\n\n",
        "a line cut from the signature": data[:-1],
        "another size under the signature": data.replace(b"\n8\n", b"\n7\n"),
        "another's signature": sign_note(f"{origin}\n{size}\n{root}\n", DOMAIN, signer("w1")),
        "a stray byte in the signature": data.replace(signature[-9:-8], b"*"),
        "a size with a leading zero": signed(origin, "08", root),
        "a size with a sign": signed(origin, "+8", root),
        "a root that is no base64": signed(origin, size, root[:-1] + "*"),
        "a root of 31 bytes": signed(origin, size, "A" * 40 + "AA=="),
        "another origin": signed("example.com/other", size, root),
        "a line of extension": signed(origin, size, root, "more"),
        "two lines only": signed(origin, size),
        "the empty tree with another root": signed(origin, "0", root),
    }
    for why, bad in cases.items():
        yield {"why": why, "note": bad.decode(), "reason": reason_of(open_checkpoint, bad, KEY)}


def _bad_cosignatures(data: bytes, policy: bytes) -> Any:
    rules = parse_policy(policy)
    first, second = _cosigned(data, "w1"), _cosigned(data, "w1", "w2")
    at = second.rindex(b" ") + 20
    broken = second[:at] + (b"A" if second[at : at + 1] != b"A" else b"B") + second[at + 1 :]
    strangers = with_signatures(
        data, [cosign(parse_note(data).text, "w9.example", signer("w9"), 1), *_lines(first)]
    )
    elsewhere = with_signatures(data, _lines(_cosigned(_note(7), "w1", "w2")))
    cases = {
        "nobody cosigned": data,
        "one of two": first,
        "one of two, and a stranger": strangers,
        "the same witness twice": _cosigned(data, "w1", "w1"),
        "a cosignature that was changed": broken,
        "cosignatures of another checkpoint": elsewhere,
        "cosigned, and not signed by the log": _without_log(second),
    }
    for why, bad in cases.items():
        reason = reason_of(lambda bad=bad: rules.approve(parse_note(bad)))  # type: ignore[misc]  # mypy drops the default
        yield {"why": why, "note": bad.decode(), "reason": reason}


def _lines(data: bytes) -> Any:
    return [one for one in parse_note(data).signatures if not one.is_of(KEY)]


def _without_log(data: bytes) -> bytes:
    head, _, lines = data.partition(b"\n\n")
    return head + b"\n\n" + lines.partition(b"\n")[2]


def proofs() -> Any:
    """A log of eight entries at every size: roots, inclusion, consistency, receipts."""
    tree = _tree(8)
    inclusion = [
        {"index": i, "size": n, "proof": tree.inclusion_proof(i, n)}
        for n in range(1, 9)
        for i in range(n)
    ]
    consistency = [
        {"old": old, "new": new, "proof": tree.consistency_proof(old, new)}
        for new in range(9)
        for old in range(new + 1)
    ]
    receipt = TlogProof(2, tree.inclusion_proof(2, 7), _note(7), ENTRIES[2])
    alone = TlogProof(0, (), _note(1), ENTRIES[0])
    return plain(
        {
            "verifier_key": format_vkey(KEY),
            "entries": ENTRIES,
            "leaf_hashes": [leaf_hash(entry) for entry in ENTRIES],
            "roots": [tree.root(size) for size in range(9)],
            "inclusion": inclusion,
            "consistency": consistency,
            "receipts": [
                {"entry": each.extra, "index": each.index, "receipt": encode_proof(each).decode()}
                for each in (receipt, alone)
            ],
            "inclusion_invalid": list(_bad_inclusion(tree)),
            "consistency_invalid": list(_bad_consistency(tree)),
            "receipts_invalid": list(_bad_receipts(receipt)),
        }
    )


def _bad_inclusion(tree: Tree) -> Any:
    leaf, proof, root = leaf_hash(ENTRIES[2]), list(tree.inclusion_proof(2, 7)), tree.root(7)
    cases = {
        "another entry": (leaf_hash(ENTRIES[3]), 2, 7, proof, root),
        "another place": (leaf, 3, 7, proof, root),
        "a smaller size": (leaf, 2, 4, proof, root),
        "a place beyond the tree": (leaf, 7, 7, proof, root),
        "the empty tree": (leaf, 0, 0, [], tree.root(0)),
        "a hash missing": (leaf, 2, 7, proof[:-1], root),
        "a hash too many": (leaf, 2, 7, [*proof, bytes(32)], root),
        "hashes in another order": (leaf, 2, 7, proof[::-1], root),
        "a hash of 31 bytes": (leaf, 2, 7, [proof[0][:31], *proof[1:]], root),
        "another root": (leaf, 2, 7, proof, tree.root(8)),
    }
    names = ("leaf_hash", "index", "size", "proof", "root")
    for why, given in cases.items():
        reason = reason_of(verify_inclusion, *given)
        yield {"why": why, **dict(zip(names, given, strict=True)), "reason": reason}


def _bad_consistency(tree: Tree) -> Any:
    proof, old, new = list(tree.consistency_proof(3, 7)), tree.root(3), tree.root(7)
    cases = {
        "another old root": (3, tree.root(4), 7, new, proof),
        "another new root": (3, old, 7, tree.root(8), proof),
        "sizes the other way round": (7, new, 3, old, proof),
        "a hash missing": (3, old, 7, new, proof[:-1]),
        "a hash too many": (3, old, 7, new, [*proof, bytes(32)]),
        "two roots of one size": (7, old, 7, new, []),
        "a proof where none is due": (7, new, 7, new, [bytes(32)]),
        "an empty tree with a root": (0, old, 7, new, []),
        "another size": (4, old, 7, new, proof),
    }
    names = ("old", "old_root", "new", "new_root", "proof")
    for why, given in cases.items():
        reason = reason_of(verify_consistency, *given)
        yield {"why": why, **dict(zip(names, given, strict=True)), "reason": reason}


def _bad_receipts(receipt: TlogProof) -> Any:
    text = encode_proof(receipt)
    entry = receipt.extra
    cases = {
        "empty": (text[:0], entry),
        "another header": (text.replace(b"@v1", b"@v2"), entry),
        "a leading zero": (text.replace(b"index 2", b"index 02"), entry),
        "another place": (text.replace(b"index 2", b"index 3"), entry),
        "a place beyond the tree": (text.replace(b"index 2", b"index 7"), entry),
        "no index": (text.replace(b"index 2\n", b""), entry),
        "lines ending in CR": (text.replace(b"index 2\n", b"index 2\r\n"), entry),
        "another entry": (text, ENTRIES[3]),
        "a byte behind it": (text + b"\n", entry),
        "the checkpoint of another size": (
            text.replace(receipt.checkpoint, _note(8)),
            entry,
        ),
    }
    for why, (bad, given) in cases.items():
        yield {
            "why": why,
            "receipt": bad.decode(),
            "entry": given,
            "reason": reason_of(_open, bad, given),
        }


def _open(data: bytes, entry: bytes) -> None:
    open_proof(parse_proof(data), log_only(KEY), entry)
