"""ECVRF-EDWARDS25519-SHA512-TAI: chance that its maker cannot choose and everybody can check.

A key and an input have one output, and a proof of it. Who holds the secret key can compute both,
and nobody else can foresee them. Source: RFC 9381 §5, suite 0x03; the salt is the public key
(§5.5).

Stricter than the RFC's verification in what no honest key or proof has: a public key and a Γ must
be canonical points of the prime-order subgroup (the RFC refuses keys of small order only and lets
the cofactor take care of Γ), and U and V must not be the identity. What verifies here verifies
there.

The key pair is Ed25519's and may be the one that signs. RFC 9381 and RFC 8032 derive their nonces
alike, as SHA-512(prefix ‖ message), so such a key must never sign 32 bytes that are a point's. Here
every signed message is a DSSE encoding or a note, both longer.

Side channels: what touches the secret (x, k, and products with them) runs in libsodium and hashlib;
Python's integers see public values only. How many tries it takes to find a point shows the input,
not the key; inputs here are public. No more is claimed.
"""

from dataclasses import dataclass, field
from hashlib import sha512

from nacl import bindings

from walras.audit import keys
from walras.core.errors import InvalidInput, Reason

PROOF_BYTES = 80

_SUITE = b"\x03"
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_EIGHT = (8).to_bytes(32, "little")


@dataclass(frozen=True, slots=True)
class VrfKey:
    """A secret VRF key; compared and shown by its public key only."""

    public_key: bytes
    _scalar: bytes = field(repr=False, compare=False)
    _prefix: bytes = field(repr=False, compare=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> "VrfKey":
        """The key of a 32-byte secret seed, as in Ed25519 (RFC 8032 §5.1.5).

        Raises:
            InvalidInput: FIELD_INVALID for a seed of another length.
        """
        if len(seed) != 32:
            raise InvalidInput(Reason.FIELD_INVALID, "a VRF seed has 32 bytes", field="seed")
        digest = bytearray(sha512(seed).digest())
        digest[0] &= 248
        digest[31] = digest[31] & 127 | 64
        public_key, _ = bindings.crypto_sign_seed_keypair(seed)
        return cls(public_key, bytes(digest[:32]), bytes(digest[32:]))

    def prove(self, alpha: bytes) -> tuple[bytes, bytes]:
        """The proof (80 bytes) and the output (64 bytes) of `alpha`. RFC 9381 §5.1."""
        h = _encode_to_curve(self.public_key, alpha)
        gamma = bindings.crypto_scalarmult_ed25519_noclamp(self._scalar, h)
        k = bindings.crypto_core_ed25519_scalar_reduce(sha512(self._prefix + h).digest())
        u = bindings.crypto_scalarmult_ed25519_base_noclamp(k)
        v = bindings.crypto_scalarmult_ed25519_noclamp(k, h)
        c = _challenge(self.public_key, h, gamma, u, v)
        cx = bindings.crypto_core_ed25519_scalar_mul(c + bytes(16), self._scalar)
        s = bindings.crypto_core_ed25519_scalar_add(k, cx)
        return gamma + c + s, _output(gamma)


def verify(public_key: bytes, alpha: bytes, proof: bytes) -> bytes:
    """The output (64 bytes) that `proof` proves to be `public_key`'s for `alpha`. RFC 9381 §5.3.

    Raises:
        InvalidInput: VRF_INVALID: the key or the proof is malformed, or it does not verify.
    """
    try:
        keys.check_public_key(public_key)
    except InvalidInput as error:
        raise _invalid(error.message) from error
    gamma, c, s = _decode(proof)
    h = _encode_to_curve(public_key, alpha)
    base = bindings.crypto_scalarmult_ed25519_base_noclamp(s) if any(s) else None
    u = _subtract(base, _multiply(c, public_key))
    v = _subtract(_multiply(s, h), _multiply(c, gamma))
    if u is None or v is None or _challenge(public_key, h, gamma, u, v) != c[:16]:
        raise _invalid("the proof does not verify")
    return _output(gamma)


def proof_to_hash(proof: bytes) -> bytes:
    """The output (64 bytes) of a proof that was verified or made before. RFC 9381 §5.2.

    Raises:
        InvalidInput: VRF_INVALID: it is malformed. Whether it proves anything is not looked at.
    """
    return _output(_decode(proof)[0])


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(Reason.VRF_INVALID, f"VRF: {why}")


def _decode(proof: bytes) -> tuple[bytes, bytes, bytes]:
    """Γ, c and s, the last two as scalars of 32 bytes. RFC 9381 §5.4.4."""
    if len(proof) != PROOF_BYTES:
        raise _invalid(f"a proof has {PROOF_BYTES} bytes, not {len(proof)}")
    gamma, c, s = proof[:32], proof[32:48], proof[48:]
    # libsodium's valid points are canonical, of the prime-order subgroup, and not the identity.
    valid = bindings.crypto_core_ed25519_is_valid_point(gamma)
    if not valid or int.from_bytes(s, "little") >= _L:
        raise _invalid("the proof is not in its one encoding")
    return gamma, c + bytes(16), s


def _multiply(scalar: bytes, point: bytes) -> bytes | None:
    """None for the identity, which libsodium does not give; the scalar is below L."""
    return bindings.crypto_scalarmult_ed25519_noclamp(scalar, point) if any(scalar) else None


def _subtract(left: bytes | None, right: bytes | None) -> bytes | None:
    """None where a term is the identity or the points are equal: no honest proof gets there."""
    if left is None or right is None or left == right:
        return None
    return bindings.crypto_core_ed25519_sub(left, right)


def _challenge(key: bytes, h: bytes, gamma: bytes, u: bytes, v: bytes) -> bytes:
    """c, 16 bytes. RFC 9381 §5.4.3."""
    return sha512(_SUITE + b"\x02" + key + h + gamma + u + v + b"\x00").digest()[:16]


def _output(gamma: bytes) -> bytes:
    """β, of a Γ in the prime-order subgroup."""
    point = bindings.crypto_scalarmult_ed25519_noclamp(_EIGHT, gamma)
    return sha512(_SUITE + b"\x03" + point + b"\x00").digest()


def _encode_to_curve(salt: bytes, alpha: bytes) -> bytes:
    """Try and increment, RFC 9381 §5.4.1.1: each try is a point with probability about 1/2."""
    prefix = _SUITE + b"\x01" + salt + alpha
    for counter in range(256):
        point = _decompress(sha512(prefix + bytes([counter, 0])).digest()[:32])
        if point is not None:
            multiple = _times_cofactor(point)
            if multiple is not None:
                return multiple
    raise _invalid("no try gave a point")  # one input in 2^256


def _decompress(data: bytes) -> tuple[int, int] | None:
    """The point that 32 bytes encode, or None (RFC 8032 §5.1.3)."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    top, bottom = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = top * pow(bottom, 3, _P) * pow(top * pow(bottom, 7, _P), (_P - 5) // 8, _P) % _P
    if (bottom * x * x - top) % _P:
        x = x * _ROOT % _P
        if (bottom * x * x - top) % _P:
            return None
    if x == 0 and sign:
        return None
    return (_P - x if x & 1 != sign else x), y


def _times_cofactor(point: tuple[int, int]) -> bytes | None:
    """Eight times a point, encoded; None for the identity. libsodium refuses a point outside the
    prime-order subgroup, hence in integers.
    """
    x, y, z = point[0], point[1], 1
    for _ in range(3):
        # Doubling on −x² + y² = 1 + d·x²·y² in projective coordinates (RFC 8032 §5.1.4).
        a, b, c = x * x % _P, y * y % _P, 2 * z * z % _P
        h = a + b
        e = (h - (x + y) ** 2) % _P
        g = a - b
        f = c + g
        x, y, z = e * f % _P, g * h % _P, f * g % _P
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    if (x, y) == (0, 1):
        return None
    return (y | (x & 1) << 255).to_bytes(32, "little")
