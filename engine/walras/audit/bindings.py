"""The engine's keys, one after the other, as its log has them (protocol §8, keys in force).

A key binding is signed by the old key and agreed to by the new one. The leaf at index i puts the
new key in force from i + 1 on, and the key in force at n signs entry n and the checkpoint of size
n. So whoever holds any one of an engine's keys follows the bindings to all that came later, and
finds a checkpoint false that is signed by a key before or after its time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from walras.audit import envelope, keys, vrf
from walras.audit.note import (
    Checkpoint,
    NoteKey,
    format_vkey,
    is_signed,
    open_checkpoint,
    parse_head,
    parse_note,
)
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError
from walras.protocol.keys import PROOF_TYPE, KeyBinding, Role, decode_binding, encode_claim
from walras.protocol.records import Kind

_TYPE = Kind.KEY_BINDING.payload_type
_MARK = _TYPE.encode()


@dataclass(frozen=True, slots=True)
class EngineKeys:
    """An engine's keys.

    Attributes:
        name: of the log; the name of each as a note's key.
        terms: the index from which each is in force, and the key; ascending, the first at 0 or,
            where the earlier ones are not known, any later one.
    """

    name: str
    terms: tuple[tuple[int, bytes], ...]

    @property
    def first(self) -> bytes:
        """The key of the first term."""
        return self.terms[0][1]

    @property
    def all(self) -> tuple[NoteKey, ...]:
        """Every key that the log has had, the newest last."""
        return tuple(NoteKey(self.name, key) for _, key in self.terms)

    @property
    def newest(self) -> NoteKey:
        """The key that is in force at the end."""
        return NoteKey(self.name, self.terms[-1][1])

    def at(self, index: int) -> NoteKey:
        """The key that signs entry `index` and the checkpoint of that size."""
        found = next((key for start, key in reversed(self.terms) if start <= index), self.first)
        return NoteKey(self.name, found)

    def bound(self, index: int, binding: KeyBinding) -> "EngineKeys":
        """With the binding at `index`, whose signatures were verified.

        Raises:
            InvalidInput: KEY_BINDING_INVALID: it does not follow on the newest key.
        """
        known = {key for _, key in self.terms}
        if binding.domain != self.name or binding.old_key != self.terms[-1][1]:
            raise _invalid("the engine's key that it replaces is not the one in force")
        if binding.new_key in known:
            raise _invalid("the engine had that key before, and no key comes back")
        return replace(self, terms=(*self.terms, (index + 1, binding.new_key)))


def proof_message(binding: KeyBinding) -> bytes:
    """The bytes over which the new key proves itself."""
    return envelope.pae(PROOF_TYPE, encode_claim(binding))


def prove(binding: KeyBinding, new: keys.Signer | vrf.VrfKey) -> KeyBinding:
    """The binding, agreed to by its new key."""
    message = proof_message(binding)
    if isinstance(new, vrf.VrfKey):
        return replace(binding, proof=new.prove(message)[0])
    return replace(binding, proof=new.sign(message))


def check_proof(binding: KeyBinding) -> None:
    """Return if the new key, where there is one, agreed to the binding.

    Raises:
        InvalidInput: KEY_BINDING_INVALID.
    """
    try:
        if binding.role is Role.VRF:
            vrf.verify(binding.new_key, proof_message(binding), binding.proof)
        elif binding.new_key:
            keys.verify(binding.new_key, proof_message(binding), binding.proof)
    except InvalidInput as error:
        raise _invalid(f"the new key did not agree: {error.message}") from error


def follow(
    entries: Iterable[tuple[int, bytes]], trusted: NoteKey, known: EngineKeys | None = None
) -> EngineKeys:
    """The engine's keys that the bindings among `entries` lead to.

    Args:
        entries: index and bytes, ascending; from anywhere. What they say holds once a checkpoint
            of the keys commits to them.
        trusted: the one key that is believed, from somewhere the log's host has no say in.
        known: the keys up to the first of the entries, if they are not the log from its beginning.

    Raises:
        AuditFailure: KEY_BINDING_INVALID, with the `index` of a binding that is malformed, not
            signed by the key in force, or not agreed to; or CHECKPOINT_INVALID: `trusted` is none
            of the log's keys.
    """
    found = known
    for index, leaf in entries:
        try:
            binding = _engine_binding(leaf)
            if binding is None:
                continue
            if found is None:
                found = EngineKeys(trusted.name, ((0, binding.old_key),))
            found = found.bound(index, binding)
        except WalrasError as error:
            raise AuditFailure(
                Reason.KEY_BINDING_INVALID, f"entry {index}: {error.message}", index=index
            ) from error
    if found is None:
        return EngineKeys(trusted.name, ((0, trusted.public_key),))
    if trusted.public_key not in {key for _, key in found.terms}:
        raise AuditFailure(
            Reason.CHECKPOINT_INVALID,
            f"{format_vkey(trusted)} is none of the keys that the log has had",
        )
    return found


def open_at_size(note: bytes, engine: EngineKeys) -> Checkpoint:
    """The checkpoint in a note, if the key in force at its size signed it.

    Args:
        note: hostile bytes.
        engine: the log's keys.

    Raises:
        AuditFailure: CHECKPOINT_INVALID.
    """
    parsed = parse_note(note)
    size = parse_head(parsed.text).size
    key = engine.at(size)
    if not is_signed(parsed, key) and any(is_signed(parsed, other) for other in engine.all):
        raise AuditFailure(
            Reason.CHECKPOINT_INVALID,
            f"the checkpoint of {size} entries is signed by a key of the log that was not in force"
            f" there; {format_vkey(key)} was",
        )
    return open_checkpoint(note, key)


def open_by_any(note: bytes, known: Sequence[NoteKey]) -> Checkpoint:
    """The checkpoint in a note that one of a log's known keys signed; when, is not looked at.

    Raises:
        AuditFailure: CHECKPOINT_INVALID.
    """
    parsed = parse_note(note)
    signed = (key for key in known if is_signed(parsed, key))
    return open_checkpoint(note, next(signed, known[-1]))


def read_binding(leaf: bytes) -> KeyBinding | None:
    """The binding in a leaf, unverified; None where the leaf holds no binding.

    Raises:
        InvalidInput: the binding is malformed.
    """
    if _MARK not in leaf:  # spares a decoding for all but a few
        return None
    try:
        signed = envelope.decode(leaf)
    except InvalidInput:
        return None  # whoever verifies signatures says so
    return decode_binding(signed.body) if signed.payload_type == _TYPE else None


def _engine_binding(leaf: bytes) -> KeyBinding | None:
    """The verified binding of the engine's own key in a leaf; None where it is none."""
    binding = read_binding(leaf)
    if binding is None or binding.role is not Role.ENGINE:
        return None
    signed = envelope.decode(leaf)
    if signed.signer != binding.signer:
        raise _invalid("it is signed by another key than it names")
    envelope.verify_envelope(signed)
    check_proof(binding)
    return binding


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(Reason.KEY_BINDING_INVALID, f"not a key binding to follow: {why}")
