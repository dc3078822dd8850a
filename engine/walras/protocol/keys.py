"""The record that puts a key in another's place (protocol §8, keys in force): value and bytes."""

from dataclasses import dataclass, replace
from enum import StrEnum

from walras.api.v1 import record_pb2
from walras.core.errors import InvalidInput, Reason
from walras.protocol.values import check_domain, check_owner
from walras.protocol.wire import parse

PROOF_TYPE = "application/vnd.walras.key-proof.v1+protobuf"
"""The payload type over which the new key proves itself: never that of an envelope."""

_PROOF_BYTES = {"engine": 64, "operator": 64, "vrf": 80}


class Role(StrEnum):
    """What a key is for."""

    ENGINE = "engine"
    VRF = "vrf"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """`new_key` takes the place of `old_key` in a role, from the next entry on.

    Attributes:
        signer: whose envelope it is: the engine's key in force, which for its own role is
            `old_key`; for an operator's, any operator's.
        old_key: empty where an operator is added.
        new_key: empty where an operator is removed.
        proof: of the new key over the record without it: a signature of 64 bytes, for a VRF key a
            VRF proof of 80; empty where there is no new key.
    """

    domain: str
    role: Role
    signer: bytes
    old_key: bytes
    new_key: bytes
    proof: bytes = b""


def binding_to_wire(record: KeyBinding) -> record_pb2.KeyBinding:
    """The message of a binding."""
    return record_pb2.KeyBinding(
        domain=record.domain,
        role=record.role.value,
        signer=record.signer,
        old_key=record.old_key,
        new_key=record.new_key,
        proof=record.proof,
    )


def encode_claim(record: KeyBinding) -> bytes:
    """The body that the new key proves itself over: the record's, without the proof."""
    return binding_to_wire(replace(record, proof=b"")).SerializeToString(deterministic=True)


def decode_binding(body: bytes) -> KeyBinding:
    """The binding that `body` encodes; nothing is verified yet.

    Raises:
        InvalidInput: with the rule it breaks.
    """
    m = parse(record_pb2.KeyBinding, body)
    if m.role not in _PROOF_BYTES:
        raise InvalidInput(Reason.FIELD_INVALID, "there is no such role of a key", field="role")
    role = Role(m.role)
    for key in filter(None, (m.old_key, m.new_key)):
        check_owner(key)
    if m.old_key == m.new_key or not (role is Role.OPERATOR or (m.old_key and m.new_key)):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "a binding has an old key and another new one; an operator may be added or removed",
            field="new_key",
        )
    if role is Role.ENGINE and m.signer != m.old_key:
        raise InvalidInput(
            Reason.FIELD_INVALID, "the engine's key is replaced by itself alone", field="signer"
        )
    if len(m.proof) != (_PROOF_BYTES[role] if m.new_key else 0):
        raise InvalidInput(
            Reason.FIELD_INVALID, f"a proof of this length is no {role} key's", field="proof"
        )
    return KeyBinding(
        check_domain(m.domain), role, check_owner(m.signer), m.old_key, m.new_key, m.proof
    )
