"""ECVRF: who has the key proves, nobody else does, and there is one output."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walras.audit.vrf import VrfKey, proof_to_hash, verify
from walras.core.errors import InvalidInput, Reason

seeds = st.binary(min_size=32, max_size=32)
inputs = st.binary(max_size=200)


@given(seeds, inputs)
@settings(max_examples=100, deadline=None)
def test_what_is_proved_verifies(seed: bytes, alpha: bytes) -> None:
    key = VrfKey.from_seed(seed)
    proof, output = key.prove(alpha)
    assert verify(key.public_key, alpha, proof) == output == proof_to_hash(proof)
    assert key.prove(alpha) == (proof, output)


@given(seeds, inputs, st.integers(0, 8 * 80 - 1))
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_of_the_proof_fails(seed: bytes, alpha: bytes, bit: int) -> None:
    key = VrfKey.from_seed(seed)
    proof, _ = key.prove(alpha)
    flipped = (int.from_bytes(proof, "big") ^ 1 << bit).to_bytes(80, "big")
    with pytest.raises(InvalidInput) as caught:
        verify(key.public_key, alpha, flipped)
    assert caught.value.reason is Reason.VRF_INVALID


@given(seeds, inputs, inputs, st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_another_input_or_key_fails(seed: bytes, alpha: bytes, other: bytes, bit: int) -> None:
    key = VrfKey.from_seed(seed)
    proof, output = key.prove(alpha)
    flipped = (int.from_bytes(key.public_key, "big") ^ 1 << bit).to_bytes(32, "big")
    with pytest.raises(InvalidInput):
        verify(flipped, alpha, proof)
    if other != alpha:
        assert key.prove(other)[1] != output
        with pytest.raises(InvalidInput):
            verify(key.public_key, other, proof)


@given(st.binary(max_size=32), inputs, st.binary(max_size=100))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_refused_with_the_reason(key: bytes, alpha: bytes, proof: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        verify(key, alpha, proof)
    assert caught.value.reason is Reason.VRF_INVALID
