"""Keys: RFC 8032's vectors, and the edge cases on which Ed25519 verifiers disagree."""

import hashlib

import pytest

from walras.audit import keys
from walras.core.errors import InvalidInput, Reason

# RFC 8032 §7.1, tests 1 to 3: seed, public key, message, signature.
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]

# All encodings, canonical or not, of the eight points of small order
# ("Taming the many EdDSAs", table 6b).
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]

# novifinancial/ed25519-speccheck cases.json: message, key, signature. Every one of them is accepted
# by some verifier, and none by the strict rule: cases 6 and 7 have S ≥ L under a good key, the
# others a key of small or mixed order.
SPECCHECK = [
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        (
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
            "0000000000000000000000000000000000000000000000000000000000000000"
        ),
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        (
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43"
            "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04"
        ),
    ),
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        (
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
            "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e"
        ),
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        (
            "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f"
            "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009"
        ),
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        (
            "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512"
            "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09"
        ),
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        (
            "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7"
            "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405"
        ),
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        (
            "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e"
            "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514"
        ),
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        (
            "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942"
            "7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22"
        ),
    ),
    (
        "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        (
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
            "454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607"
        ),
    ),
    (
        "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        (
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
            "084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09"
        ),
    ),
]

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def reason_of(*args: bytes) -> Reason:
    with pytest.raises(InvalidInput) as caught:
        keys.verify(*args)
    return caught.value.reason


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC8032)
def test_rfc_8032_vectors(seed: str, public: str, message: str, signature: str) -> None:
    signer = keys.Signer.from_seed(bytes.fromhex(seed))
    body = bytes.fromhex(message)
    assert signer.public_key.hex() == public
    assert signer.sign(body).hex() == signature
    assert keys.public_key(bytes.fromhex(seed)).hex() == public
    assert keys.sign(bytes.fromhex(seed), body).hex() == signature
    keys.verify(signer.public_key, body, bytes.fromhex(signature))


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_point_of_small_order_is_no_key(point: str) -> None:
    key = bytes.fromhex(point)
    with pytest.raises(InvalidInput) as caught:
        keys.check_public_key(key)
    assert caught.value.reason is Reason.PUBLIC_KEY_INVALID
    # R = the point itself and S = 0 would verify under the identity, whatever the message.
    assert reason_of(key, b"anything", key + bytes(32)) is Reason.PUBLIC_KEY_INVALID


@pytest.mark.parametrize("case", range(len(SPECCHECK)))
def test_disputed_signatures_are_refused(case: int) -> None:
    message, public, signature = map(bytes.fromhex, SPECCHECK[case])
    reason = reason_of(public, message, signature)
    assert reason is (Reason.SIGNATURE_INVALID if case in (6, 7) else Reason.PUBLIC_KEY_INVALID)


def test_a_signature_cannot_be_altered_into_another() -> None:
    """S + L satisfies the same equation; the rule that S < L makes signatures unique."""
    signer = keys.Signer.from_seed(bytes(32))
    signature = signer.sign(b"intent")
    shifted = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    forged = signature[:32] + shifted.to_bytes(32, "little")
    assert reason_of(signer.public_key, b"intent", forged) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("point", [SMALL_ORDER[0], SMALL_ORDER[4], SMALL_ORDER[6]])
def test_a_signature_with_an_r_of_small_order_is_refused(point: str) -> None:
    """With R = 0 and S = k·a, the owner of a key makes S·B = R + k·A true: RFC 8032 accepts it."""
    seed, message, r = b"r" * 32, b"m", bytes.fromhex(point)
    signer = keys.Signer.from_seed(seed)
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    scalar = scalar & ~7 & (1 << 255) - 1 | 1 << 254
    challenge = hashlib.sha512(r + signer.public_key + message).digest()
    k = int.from_bytes(challenge, "little") % GROUP_ORDER
    signature = r + (k * scalar % GROUP_ORDER).to_bytes(32, "little")
    assert reason_of(signer.public_key, message, signature) is Reason.SIGNATURE_INVALID


def test_every_changed_byte_breaks_a_signature() -> None:
    signer = keys.Signer.from_seed(b"s" * 32)
    message, signature = b"a message", signer.sign(b"a message")
    for position in range(len(signature)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(signature)
            changed[position] ^= flip
            reason = reason_of(signer.public_key, message, bytes(changed))
            assert reason is Reason.SIGNATURE_INVALID
    for position in range(len(message)):
        altered = bytearray(message)
        altered[position] ^= 1
        reason = reason_of(signer.public_key, bytes(altered), signature)
        assert reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_lengths_are_checked(length: int) -> None:
    signer = keys.Signer.from_seed(bytes(32))
    signature = signer.sign(b"m")
    assert reason_of(bytes(length), b"m", signature) is Reason.PUBLIC_KEY_INVALID
    for wrong in (signature[:-1], signature + b"\x00", b""):
        assert reason_of(signer.public_key, b"m", wrong) is Reason.SIGNATURE_INVALID
    with pytest.raises(InvalidInput) as caught:
        keys.Signer.from_seed(bytes(length))
    assert caught.value.reason is Reason.FIELD_INVALID


def test_no_byte_passes_between_signature_and_message() -> None:
    signer = keys.Signer.from_seed(bytes(32))
    signature = signer.sign(b"m")
    reason = reason_of(signer.public_key, signature[-1:] + b"m", signature[:-1])
    assert reason is Reason.SIGNATURE_INVALID
    reason = reason_of(signer.public_key, b"", signature + b"m")
    assert reason is Reason.SIGNATURE_INVALID


def test_bytes_off_the_curve_are_no_key() -> None:
    # y = 2 has no x on the curve; y = p + 3 is 3 in another spelling.
    for y in (2, 2**255 - 19 + 3):
        with pytest.raises(InvalidInput) as caught:
            keys.check_public_key(y.to_bytes(32, "little"))
        assert caught.value.reason is Reason.PUBLIC_KEY_INVALID


def test_a_signer_never_shows_its_secret() -> None:
    seed = bytes(range(32))
    signer = keys.Signer.from_seed(seed)
    for shown in (repr(signer), str(signer), f"{signer}"):
        assert repr(signer.public_key) in shown
        assert repr(seed)[2:-1] not in shown
        assert "secret" not in shown
    assert signer == keys.Signer.from_seed(seed)
    assert signer != keys.Signer.from_seed(bytes(32))
