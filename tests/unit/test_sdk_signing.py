"""Receipts: what proves that the log holds a record, and what does not."""

from dataclasses import dataclass

import pytest

from walras.api.v1 import log_service_pb2
from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, NoteKey, sign_checkpoint
from walras.core.errors import AuditFailure, Reason
from walras.core.intents import Intent, Leg
from walras.intake.admission import open_record
from walras.protocol.records import Kind, Voided
from walras.sdk.signing import fresh_nonce, intent_id, sign_record, verify_receipt

ENGINE = Signer.from_seed(b"\x01" * 32)
KEY = NoteKey("localhost/test", ENGINE.public_key)


@dataclass
class Proven:
    leaf: bytes
    receipt: log_service_pb2.Receipt


@pytest.fixture
def proven() -> Proven:
    """The sixth of nine entries with its receipt."""
    leaves = [sign_record(Voided(n, "BATCH_INTERRUPTED"), ENGINE) for n in range(9)]
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    note = sign_checkpoint(Checkpoint(KEY.name, 9, tree.root()), KEY.name, ENGINE)
    proof = log_service_pb2.InclusionProof(
        leaf_index=5, tree_size=9, hashes=tree.inclusion_proof(5, 9)
    )
    return Proven(leaves[5], log_service_pb2.Receipt(inclusion=proof, checkpoint=note))


def test_a_receipt_proves_its_entry(proven: Proven) -> None:
    assert verify_receipt(proven.leaf, proven.receipt, KEY).size == 9


def test_a_receipt_proves_no_other_entry(proven: Proven) -> None:
    other = sign_record(Voided(99, "BATCH_INTERRUPTED"), ENGINE)
    with pytest.raises(AuditFailure) as caught:
        verify_receipt(other, proven.receipt, KEY)
    assert caught.value.reason is Reason.PROOF_INVALID


@pytest.mark.parametrize("field", ["leaf_index", "tree_size"])
def test_a_receipt_that_lies_about_its_place_is_refused(proven: Proven, field: str) -> None:
    setattr(proven.receipt.inclusion, field, 8)
    with pytest.raises(AuditFailure) as caught:
        verify_receipt(proven.leaf, proven.receipt, KEY)
    assert caught.value.reason is Reason.PROOF_INVALID


def test_a_receipt_of_another_key_is_refused(proven: Proven) -> None:
    other = NoteKey(KEY.name, Signer.from_seed(b"\x02" * 32).public_key)
    with pytest.raises(AuditFailure) as caught:
        verify_receipt(proven.leaf, proven.receipt, other)
    assert caught.value.reason is Reason.CHECKPOINT_INVALID


def test_the_id_of_an_intent_is_the_engines() -> None:
    eth, usdc = "eip155:1/slip44:60", "eip155:1/erc20:0xa0"
    owner = ENGINE.public_key
    intent = Intent("d", owner, fresh_nonce(), 0, 1, (Leg(eth, -1),), 5, 0, usdc, 9)
    assert open_record(sign_record(intent, ENGINE), Kind.INTENT).id == intent_id(intent)


def test_nonces_are_of_64_bits_and_differ() -> None:
    some = {fresh_nonce() for _ in range(100)}
    assert len(some) == 100
    assert all(0 <= nonce < 1 << 64 for nonce in some)
