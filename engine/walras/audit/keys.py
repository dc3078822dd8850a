"""Ed25519: which public keys count, which signatures verify, and how to sign (protocol §3).

Verifiers disagree on the edge cases of Ed25519 unless the rule is fixed, so the rule is: lengths,
then a canonical point of the prime-order subgroup as the key, then libsodium's verification, which
refuses S ≥ L and an R of small order. Under it a signature belongs to one key and one message only.

The calls into libsodium release the interpreter lock, so that threads may verify side by side.
"""

from dataclasses import dataclass, field
from functools import lru_cache

from nacl import bindings
from nacl.exceptions import BadSignatureError

from walras.core.errors import InvalidInput, Reason

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


def check_public_key(key: bytes) -> bytes:
    """`key`, if it is the 32-byte encoding of a point that signatures may be verified against.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID: wrong length, not canonical, not on the curve, or not a
            generator of the prime-order subgroup.
    """
    if len(key) != PUBLIC_KEY_BYTES:
        raise InvalidInput(
            Reason.PUBLIC_KEY_INVALID,
            f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes, not {len(key)}",
        )
    if not _is_valid_point(key):
        raise InvalidInput(
            Reason.PUBLIC_KEY_INVALID,
            "the public key is not a canonical point of Ed25519's prime-order subgroup",
            public_key=key.hex(),
        )
    return key


@lru_cache(maxsize=1 << 14)
def _is_valid_point(key: bytes) -> bool:
    # Costs as much as a verification and owners come back, hence the memo.
    return bindings.crypto_core_ed25519_is_valid_point(key)


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Return if `signature` is `public_key`'s on `message`.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID or SIGNATURE_INVALID.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidInput(
            Reason.SIGNATURE_INVALID,
            f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, not {len(signature)}",
        )
    check_public_key(public_key)
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError as error:
        raise InvalidInput(
            Reason.SIGNATURE_INVALID,
            "the signature does not verify",
            hint="sign the exact bytes of the DSSE pre-authentication encoding",
            public_key=public_key.hex(),
        ) from error


@dataclass(frozen=True, slots=True)
class Signer:
    """A key pair; made by `from_seed`, compared and shown by its public key only."""

    public_key: bytes
    _secret_key: bytes = field(repr=False, compare=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> "Signer":
        """The key pair of a 32-byte secret seed (RFC 8032 §5.1.5).

        Raises:
            InvalidInput: FIELD_INVALID for a seed of another length.
        """
        if len(seed) != SEED_BYTES:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"a signing seed has {SEED_BYTES} bytes, not {len(seed)}",
                field="seed",
            )
        return cls(*bindings.crypto_sign_seed_keypair(seed))

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature on `message`; the same for the same message, always."""
        return bindings.crypto_sign(message, self._secret_key)[:SIGNATURE_BYTES]


def public_key(seed: bytes) -> bytes:
    """The public key of a 32-byte secret seed. Raises as `Signer.from_seed`."""
    return Signer.from_seed(seed).public_key


def sign(seed: bytes, message: bytes) -> bytes:
    """One signature by a secret seed; who signs often keeps a `Signer`. Raises as that."""
    return Signer.from_seed(seed).sign(message)
