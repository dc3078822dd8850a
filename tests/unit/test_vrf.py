"""ECVRF-EDWARDS25519-SHA512-TAI: the RFC's examples, and what is refused."""

import pytest

from walras.audit import vrf
from walras.audit.vrf import VrfKey, proof_to_hash, verify
from walras.core.errors import InvalidInput, Reason

# RFC 9381, Appendix B.3, examples 16 to 18:
# SK, PK, alpha, H (the point that alpha is encoded to), pi, beta.
RFC9381 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318",
        (
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
            "26f8a57ccaed74ee1b190bed1f479d97"
            "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805"
        ),
        (
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
            "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551",
        (
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
            "3bf0864a62558b3ed7f2fea45c92a465"
            "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02"
        ),
        (
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
            "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a",
        (
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
            "96bb474e53895c362d8628ee9f9ea3c0"
            "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e"
        ),
        (
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
            "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f"
        ),
    ),
]
EXAMPLES = [tuple(map(bytes.fromhex, example)) for example in RFC9381]

L = 2**252 + 27742317777372353535851937790883648493
KEY = VrfKey.from_seed(bytes(range(32)))
ALPHA = b"an input"
PROOF, OUTPUT = KEY.prove(ALPHA)

# "Taming the many EdDSAs", table 6b: points of order 1, 2, 4, 8 and encodings with y ≥ p.
BAD_POINTS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def refused(public_key: bytes, alpha: bytes, proof: bytes) -> bool:
    with pytest.raises(InvalidInput) as caught:
        verify(public_key, alpha, proof)
    return caught.value.reason is Reason.VRF_INVALID


@pytest.mark.parametrize(("seed", "public_key", "alpha", "h", "proof", "output"), EXAMPLES)
def test_rfc_9381(
    seed: bytes, public_key: bytes, alpha: bytes, h: bytes, proof: bytes, output: bytes
) -> None:
    key = VrfKey.from_seed(seed)
    assert key.public_key == public_key
    assert vrf._encode_to_curve(public_key, alpha) == h
    assert key.prove(alpha) == (proof, output)
    assert verify(public_key, alpha, proof) == output
    assert proof_to_hash(proof) == output


def test_every_flipped_bit_of_an_example_is_refused() -> None:
    _, public_key, alpha, _, proof, _ = EXAMPLES[2]
    number = int.from_bytes(proof, "big")
    for bit in range(8 * len(proof)):
        assert refused(public_key, alpha, (number ^ 1 << bit).to_bytes(80, "big"))
    number = int.from_bytes(public_key, "big")
    for bit in range(256):
        assert refused((number ^ 1 << bit).to_bytes(32, "big"), alpha, proof)


def test_another_input_or_key_is_refused() -> None:
    other = VrfKey.from_seed(bytes(32))
    assert refused(KEY.public_key, b"another input", PROOF)
    assert refused(other.public_key, ALPHA, PROOF)


@pytest.mark.parametrize("length", [0, 32, 79, 81])
def test_length_of_a_proof(length: int) -> None:
    proof = (PROOF + PROOF)[:length]
    assert refused(KEY.public_key, ALPHA, proof)
    with pytest.raises(InvalidInput):
        proof_to_hash(proof)


@pytest.mark.parametrize("point", BAD_POINTS)
def test_bad_points_as_key_or_gamma(point: str) -> None:
    bad = bytes.fromhex(point)
    assert refused(bad, ALPHA, PROOF)
    assert refused(KEY.public_key, ALPHA, bad + PROOF[32:])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_length_of_a_key(length: int) -> None:
    assert refused((KEY.public_key * 2)[:length], ALPHA, PROOF)


def test_gamma_with_a_point_of_small_order_added_is_refused() -> None:
    """The RFC's decoding lets it pass; the holder of the key could give one output more proofs."""
    gamma = vrf._decompress(PROOF[:32])
    assert gamma is not None
    p = vrf._P
    # −Γ's mirror: (−x, −y) is Γ plus the point of order 2.
    x, y = -gamma[0] % p, -gamma[1] % p
    moved = (y | (x & 1) << 255).to_bytes(32, "little")
    assert vrf._decompress(moved) == (x, y)
    assert vrf._times_cofactor((x, y)) == vrf._times_cofactor(gamma)
    assert refused(KEY.public_key, ALPHA, moved + PROOF[32:])


def test_scalars_that_are_zero_or_not_reduced() -> None:
    gamma, c, s = PROOF[:32], PROOF[32:48], int.from_bytes(PROOF[48:], "little")
    assert refused(KEY.public_key, ALPHA, gamma + c + (s + L).to_bytes(32, "little"))
    assert refused(KEY.public_key, ALPHA, gamma + c + bytes(32))
    assert refused(KEY.public_key, ALPHA, gamma + bytes(16) + PROOF[48:])
    assert refused(KEY.public_key, ALPHA, gamma + bytes(48))


def test_a_key_does_not_show_its_secret() -> None:
    assert repr(KEY) == f"VrfKey(public_key={KEY.public_key!r})"
    with pytest.raises(InvalidInput):
        VrfKey.from_seed(bytes(31))
