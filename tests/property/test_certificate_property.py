"""Certificates of random auctions: all prove what they should, and no wrong one proves anything."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.certified import CHANGES, SEED, Auction, auction, with_tree

from walras.auction.awarded import check_award
from walras.core.errors import AuditFailure, WalrasError
from walras.protocol.certificate import (
    Certificate,
    Tree,
    decode_certificate,
    encode_certificate,
)

AUCTIONS = [auction(seed) for seed in range(20)]
trees = st.builds(
    Tree,
    shift=st.integers(0, 200),
    cuts=st.lists(st.lists(st.integers(0, 30), max_size=5).map(tuple), max_size=2).map(tuple),
    nodes=st.lists(st.integers(0, 30), max_size=12).map(tuple),
    prices=st.lists(
        st.lists(
            st.tuples(st.integers(0, 40), st.integers(0, 1 << 62)), max_size=6, unique_by=min
        ).map(lambda those: tuple(sorted(those))),
        max_size=3,
    ).map(tuple),
    bound=st.integers(0, 1 << 70),
)


def test_the_auctions_are_not_easy() -> None:
    proofs = [tree for made in AUCTIONS for tree in made.award.certificate.trees]
    assert sum(len(tree.nodes) > 2 for tree in proofs) >= 8
    assert sum(bool(tree.cuts) for tree in proofs) >= 4
    assert all(made.award.settled for made in AUCTIONS)
    assert all(made.award.rewards for made in AUCTIONS)


@pytest.mark.parametrize("number", range(len(AUCTIONS)))
def test_a_certificate_survives_its_bytes_and_proves_the_award(number: int) -> None:
    made = AUCTIONS[number]
    body = encode_certificate(made.award.certificate)
    read = decode_certificate(body)
    assert read == made.award.certificate
    assert encode_certificate(read) == body
    assert check_award(made.problem, made.bids, SEED, made.winners, read) == made.award
    again = auction(number)
    assert encode_certificate(again.award.certificate) == body


def test_a_thousand_wrong_certificates_are_refused() -> None:
    refused = 0
    chance = Random(0)
    while refused < 1000:
        for change, reasons in CHANGES.items():
            made = chance.choice(AUCTIONS)
            certificate = made.award.certificate
            number = chance.randrange(len(certificate.trees))
            wrong = change(certificate.trees[number], chance)
            if wrong is None:
                continue
            with pytest.raises(AuditFailure) as caught:
                check_award(
                    made.problem,
                    made.bids,
                    SEED,
                    made.winners,
                    with_tree(certificate, number, wrong),
                )
            assert caught.value.reason in reasons, change
            assert "component" in caught.value.fields
            refused += 1


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(AUCTIONS), st.data())
def test_no_tree_proves_less_than_the_best(made: Auction, data: st.DataObject) -> None:
    """Whatever a tree says, it is refused or its bound is no lower than the optimum."""
    certificate = made.award.certificate
    number = data.draw(st.integers(0, len(certificate.trees) - 1))
    sent = data.draw(trees)
    for bound in (sent.bound, certificate.trees[number].bound):
        wrong = Tree(sent.shift, sent.cuts, sent.nodes, sent.prices, bound)
        try:
            found = check_award(
                made.problem, made.bids, SEED, made.winners, with_tree(certificate, number, wrong)
            )
        except AuditFailure:
            continue
        assert found.bound >= made.award.score


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(AUCTIONS), st.data())
def test_changed_bytes_are_refused_or_prove_the_same(made: Auction, data: st.DataObject) -> None:
    body = bytearray(encode_certificate(made.award.certificate))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_certificate(bytes(body))
        found = check_award(made.problem, made.bids, SEED, made.winners, read)
    except WalrasError:
        return
    assert found.bound >= made.award.score
    # Prices leave some room; rewards may only become smaller.
    for given_reward, right in zip(found.rewards, made.award.rewards, strict=True):
        assert given_reward.reference >= right.reference


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_the_documented_error(body: bytes) -> None:
    try:
        read = decode_certificate(body)
    except WalrasError:
        return
    assert encode_certificate(read) == body


def test_an_empty_certificate_proves_nothing() -> None:
    for made in AUCTIONS:
        with pytest.raises(AuditFailure):
            check_award(made.problem, made.bids, SEED, made.winners, Certificate())
