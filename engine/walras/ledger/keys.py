"""Which keys are in force: the first record's, and what bindings made of them since."""

from dataclasses import dataclass, replace

from walras.audit.bindings import EngineKeys
from walras.core.errors import InvalidInput, Reason
from walras.protocol.keys import KeyBinding, Role
from walras.protocol.records import Genesis


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys in force.

    Attributes:
        engine_keys: the engine's, one after the other.
        vrf_key: draws who is asked, and ties.
        operators: may change accounts, the market and the fleet.
        used: all that ever were in force; none of them comes back.
        bindings: index and record of each, in the log's order.
    """

    engine_keys: EngineKeys
    vrf_key: bytes
    operators: tuple[bytes, ...]
    used: frozenset[bytes]
    bindings: tuple[tuple[int, KeyBinding], ...] = ()

    @classmethod
    def of(cls, genesis: Genesis) -> "Keys":
        """The keys of the first record."""
        return cls(
            EngineKeys(genesis.domain, ((0, genesis.engine),)),
            genesis.vrf_key,
            genesis.operators,
            frozenset({genesis.engine, genesis.vrf_key, *genesis.operators}),
        )

    @property
    def engine(self) -> bytes:
        """The engine's key."""
        # Asked for with every record, hence without making a NoteKey of it.
        return self.engine_keys.terms[-1][1]

    def bind(self, index: int, record: KeyBinding) -> "Keys":
        """The keys after the binding at `index`, of this domain, whose signatures were verified.

        Raises:
            InvalidInput: SIGNER_UNKNOWN or KEY_BINDING_INVALID.
        """
        operators = self.operators
        if record.signer not in (operators if record.role is Role.OPERATOR else (self.engine,)):
            raise InvalidInput(
                Reason.SIGNER_UNKNOWN,
                f"the signer may not replace the key of {record.role}",
                public_key=record.signer.hex(),
            )
        if record.new_key in self.used:
            raise _invalid("the new key was in force before, and no key comes back")
        present = {
            Role.ENGINE: (self.engine,),
            Role.VRF: (self.vrf_key,),
            Role.OPERATOR: (*operators, b""),
        }
        if record.old_key not in present[record.role]:
            raise _invalid("the old key is not in force")
        bound = replace(
            self,
            used=self.used | {record.new_key} - {b""},
            bindings=(*self.bindings, (index, record)),
        )
        match record.role:
            case Role.ENGINE:
                return replace(bound, engine_keys=self.engine_keys.bound(index, record))
            case Role.VRF:
                return replace(bound, vrf_key=record.new_key)
        kept = [key for key in operators if key != record.old_key]
        kept += [record.new_key] if record.new_key else []
        if not kept:
            raise _invalid("the last operator cannot be removed")
        return replace(bound, operators=tuple(kept))


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(Reason.KEY_BINDING_INVALID, f"the binding cannot stand here: {why}")
