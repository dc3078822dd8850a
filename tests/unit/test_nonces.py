"""Used nonces: a set of pairs, however they are held."""

import copy

from walras.ledger.nonces import Nonces

ANN, BOB = b"a" * 32, b"b" * 32
USED = {(ANN, 1), (ANN, 2**64 - 1), (BOB, 1)}


def test_they_are_a_set_of_pairs() -> None:
    nonces = Nonces([*USED, (ANN, 1)])
    assert set(nonces) == USED
    assert len(nonces) == 3
    assert nonces == USED
    assert all(pair in nonces for pair in USED)


def test_one_signers_nonce_is_not_anothers() -> None:
    nonces = Nonces(USED)
    for absent in ((BOB, 2), (b"c" * 32, 1), (1, ANN), (ANN, b"1"), ANN, None):
        assert absent not in nonces


def test_what_is_there_is_not_counted_again() -> None:
    nonces = Nonces(USED)
    nonces.add((BOB, 1))
    assert len(nonces) == 3
    nonces.add((BOB, 2))
    assert len(nonces) == len(set(nonces)) == 4


def test_equal_are_those_of_the_same_pairs() -> None:
    nonces = Nonces(USED)
    other = copy.deepcopy(nonces)
    assert nonces == other == Nonces(sorted(USED))
    other.add((BOB, 3))
    assert nonces != other
    assert (BOB, 3) not in nonces
