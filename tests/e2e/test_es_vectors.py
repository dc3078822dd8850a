"""The ES module's verdicts on the vectors of docs/vectors, good and bad."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from support.verifier.node import ROOT, EsVerifier, b64, es_verifier


@pytest.fixture(scope="module")
def es() -> Iterator[EsVerifier]:
    with es_verifier() as running:
        yield running


def read(name: str) -> Any:
    return json.loads((ROOT / f"docs/vectors/{name}.json").read_text())


def hexed(text: str) -> str:
    return b64(bytes.fromhex(text))


def text64(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_envelopes(es: EsVerifier) -> None:
    found = read("envelopes")
    tried = [*found["valid"], *found["invalid"]]
    codes = es.codes({"kind": "envelope", "data": hexed(one["envelope"])} for one in tried)
    assert codes == [one.get("reason") for one in tried]


def test_notes(es: EsVerifier) -> None:
    found = read("notes")
    key = found["verifier_key"]
    tried = [*found["valid"], *found["invalid"]]
    cases = [{"kind": "note", "data": text64(one["note"]), "key": key} for one in tried]
    verdicts = es.ask(cases)
    assert [one["code"] for one in verdicts] == [one.get("reason") for one in tried]
    for one, verdict in zip(found["valid"], verdicts, strict=False):
        assert (str(verdict["entries"]), verdict["root"]) == (one["size"], one["root"])
    policy = text64(found["policy"])
    tried = [*found["approved"], *found["not_approved"]]
    cases = [
        {"kind": "note", "data": text64(one["note"]), "key": key, "policy": policy} for one in tried
    ]
    assert es.codes(cases) == [one.get("reason") for one in tried]
    keys = found["verifier_keys_invalid"]
    codes = es.codes({"kind": "vkey", "text": one["text"]} for one in keys)
    assert codes == [one["reason"] for one in keys]


def test_proofs(es: EsVerifier) -> None:
    found = read("proofs")
    good = [
        {
            "leaf_hash": found["leaf_hashes"][int(one["index"])],
            "root": found["roots"][int(one["size"])],
            **one,
        }
        for one in found["inclusion"]
    ]
    tried = [*good, *found["inclusion_invalid"]]
    cases = [
        {
            "kind": "inclusion",
            "leaf": hexed(one["leaf_hash"]),
            "index": one["index"],
            "size": one["size"],
            "proof": [hexed(each) for each in one["proof"]],
            "root": hexed(one["root"]),
        }
        for one in tried
    ]
    assert es.codes(cases) == [one.get("reason") for one in tried]


def test_receipts(es: EsVerifier) -> None:
    found = read("proofs")
    tried = [*found["receipts"], *found["receipts_invalid"]]
    cases = [
        {
            "kind": "receipt",
            "entry": hexed(one["entry"]),
            "proof": text64(one["receipt"]),
            "key": found["verifier_key"],
        }
        for one in tried
    ]
    assert es.codes(cases) == [one.get("reason") for one in tried]
