"""The second verifier follows an engine's keys as the auditor does, and refuses what it refuses."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.audit.log_copy import LogCopy, signed_log
from support.audit.rotation_scenario import rotated
from support.audit.scenario import DOMAIN, signer
from support.verifier.node import EsVerifier, b64, es_verifier

from walras.audit import envelope
from walras.audit.note import NoteKey, format_vkey
from walras.audit.verifier import verify_entries
from walras.core.errors import AuditFailure, Reason, WalrasError
from walras.protocol.keys import KeyBinding, Role
from walras.protocol.records import Kind
from walras.store.folder import FolderSource, write_log_folder

MALLORY = signer("mallory")


@pytest.fixture(scope="module")
def es() -> Iterator[EsVerifier]:
    with es_verifier() as running:
        yield running


def verdict(
    es: EsVerifier, folder: Path, log: LogCopy, key: bytes, *earlier: bytes
) -> tuple[str | None, str | None]:
    """What both say of a log: reason and index."""
    made = NoteKey(DOMAIN, key)
    vkey = format_vkey(made)
    write_log_folder(folder, log.leaves, log.note, vkey, ())
    said: tuple[str | None, str | None] = (None, None)
    try:
        verify_entries(FolderSource(folder), made, earlier=earlier)
    except WalrasError as error:
        said = error.reason.value, error.fields.get("index")
    case = {"kind": "log", "folder": str(folder), "key": vkey}
    (answer,) = es.ask([{**case, "earlier": [b64(one) for one in earlier]}])
    index = answer.get("index")
    assert (answer["code"], None if index is None else str(index)) == said
    return said


def test_any_key_leads_to_the_newest(es: EsVerifier, tmp_path: Path) -> None:
    made = rotated()
    for one in made.signers:
        assert verdict(es, tmp_path, made.log, one.public_key, *made.notes) == (None, None)
    found = verdict(es, tmp_path, made.log, MALLORY.public_key)
    assert found == ("CHECKPOINT_INVALID", None)


@pytest.mark.parametrize("trusted", range(3))
def test_checkpoints_out_of_their_keys_time(es: EsVerifier, tmp_path: Path, trusted: int) -> None:
    made = rotated()
    key = made.signers[trusted].public_key
    for term in range(2):
        size = made.keys.terms[term + 1][0]
        for end, wrong in ((size, term), (size - 1, term + 1)):
            cut = signed_log(made.log.leaves[:end], made.log.blobs, DOMAIN, made.signers[wrong])
            if (trusted, wrong, end) == (1, 1, made.keys.terms[1][0] - 1):
                # No binding, and the one key that is believed: level B asks who began the log.
                assert verdict(es, tmp_path, cut, key) == (None, None)
                with pytest.raises(AuditFailure) as caught:
                    cut.audit(NoteKey(DOMAIN, key))
                assert caught.value.reason is Reason.RECORD_UNAUTHORISED
            else:
                assert verdict(es, tmp_path, cut, key)[0] == "CHECKPOINT_INVALID"
            found = verdict(es, tmp_path, made.log, key, cut.note)
            assert found[0] == "CHECKPOINT_INVALID"


@pytest.mark.parametrize("trusted", [0, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "other.example/log"},
        {"new_key": MALLORY.public_key},
        {"new_key": bytes(32)},
        {"proof": bytes(64)},
        {"proof": b""},
        {"old_key": b""},
        {"signer": MALLORY.public_key},
    ],
)
def test_bindings_that_do_not_follow(
    es: EsVerifier, tmp_path: Path, trusted: int, changes: dict[str, bytes]
) -> None:
    made = rotated()
    forgery = made.forgery()
    at = forgery.find(KeyBinding, lambda record: record.role is Role.ENGINE)
    forged = replace(forgery.read(at), **changes)
    forgery.leaves[at] = forgery.seal(forged, made.signers[0])
    found = verdict(es, tmp_path, forgery.log(), made.signers[trusted].public_key)
    assert found == (Reason.KEY_BINDING_INVALID.value, str(at))


def test_a_binding_twice(es: EsVerifier, tmp_path: Path) -> None:
    made = rotated()
    forgery = made.forgery()
    at = forgery.find(KeyBinding, lambda record: record.role is Role.ENGINE)
    forgery.leaves.insert(at + 1, forgery.leaves[at])
    found = verdict(es, tmp_path, forgery.log(), made.signers[0].public_key)
    assert found == (Reason.KEY_BINDING_INVALID.value, str(at + 1))


@pytest.mark.parametrize("trusted", [0, 2])
def test_a_binding_that_the_host_slips_in_is_the_hosts(
    es: EsVerifier, tmp_path: Path, trusted: int
) -> None:
    """The checkpoint does not commit to it, so no key of the log is to blame."""
    made = rotated()
    false = envelope.seal(Kind.KEY_BINDING.payload_type, b"\xff\xff", made.signers[0])
    leaves = [*made.log.leaves[:-1], false]
    lying = LogCopy(made.log.note, leaves, made.log.blobs, made.log.tiles)
    key = made.signers[trusted].public_key
    assert verdict(es, tmp_path, lying, key)[0] == "ROOT_MISMATCH"
    forged = signed_log(leaves, made.log.blobs, DOMAIN, made.signers[-1])
    assert verdict(es, tmp_path, forged, key)[0] == "KEY_BINDING_INVALID"
