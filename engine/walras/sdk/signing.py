"""Signing records, and checking the receipt that an engine gives for one (protocol §3, §8)."""

import secrets
from dataclasses import replace

from walras.api.v1 import log_service_pb2
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.audit.merkle import leaf_hash, verify_inclusion
from walras.audit.note import Checkpoint, NoteKey, open_checkpoint
from walras.audit.proof import TlogProof
from walras.audit.quotes import quote_message
from walras.core.errors import AuditFailure, Reason
from walras.core.intents import Intent
from walras.market.kinds import Rfq
from walras.protocol.codec import Signed, encode


def sign_record(record: Signed, signer: Signer) -> bytes:
    """The envelope of `record`, signed by `signer`, as it is sent and logged.

    Raises:
        InvalidInput: ENVELOPE_MALFORMED if the record cannot stand in an envelope.
    """
    kind, body = encode(record)
    return envelope.seal(kind.payload_type, body, signer)


def intent_id(intent: Intent) -> bytes:
    """SHA-256 over the PAE: the intent's id, whoever signs it."""
    kind, body = encode(intent)
    return envelope.record_id(kind.payload_type, body)


def sign_quote(domain: str, quote: Rfq, maker: Signer) -> Rfq:
    """`quote` as the venue of `maker`, signed for the engine `domain`, whole and unused."""
    whole = replace(quote, maker=maker.public_key, left=quote.amount_in)
    return replace(whole, signature=maker.sign(quote_message(domain, whole)))


def fresh_nonce() -> int:
    """A random nonce: signers that keep no count do not meet in 64 bits."""
    return secrets.randbits(64)


def to_proof(leaf: bytes, receipt: log_service_pb2.Receipt) -> TlogProof:
    """A receipt as a C2SP tlog-proof that carries its entry; `encode_proof` makes a file of it.

    Args:
        leaf: the envelope that was sent, byte for byte.
        receipt: what the engine answered.

    Raises:
        AuditFailure: CHECKPOINT_INVALID or PROOF_INVALID: it has not the form of a receipt.
    """
    proof = receipt.inclusion
    return TlogProof(proof.leaf_index, tuple(proof.hashes), receipt.checkpoint, leaf)


def verify_receipt(leaf: bytes, receipt: log_service_pb2.Receipt, key: NoteKey) -> Checkpoint:
    """The checkpoint whose tree holds `leaf`, if the receipt proves that.

    Args:
        leaf: the envelope that was sent, byte for byte.
        receipt: what the engine answered.
        key: the log's; get it from elsewhere than from the engine that is to be checked.

    Raises:
        AuditFailure: CHECKPOINT_INVALID or PROOF_INVALID.
    """
    checkpoint = open_checkpoint(receipt.checkpoint, key)
    proof = receipt.inclusion
    if proof.tree_size != checkpoint.size:
        raise AuditFailure(
            Reason.PROOF_INVALID,
            f"the proof is for a tree of {proof.tree_size} entries,"
            f" the checkpoint for one of {checkpoint.size}",
        )
    verify_inclusion(
        leaf_hash(leaf), proof.leaf_index, checkpoint.size, list(proof.hashes), checkpoint.root
    )
    return checkpoint
