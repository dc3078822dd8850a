"""Proposals: integer prices, settlements and the check before sending."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auctions import ETH, USDC, WHOLE_ETH, WHOLE_USDC, bid, intent, key, scored
from support.solver_markets import market

from walras.core.errors import BidRejected, Reason
from walras.sdk import (
    judged,
    keeps_collar,
    keeps_limit,
    net_flows,
    price_vector,
    propose,
    self_check,
    settlement,
)

FLOATS = st.floats(1e-30, 1e30)


@given(st.dictionaries(st.text(max_size=3), FLOATS, min_size=1, max_size=6))
def test_integer_prices_keep_the_ratios_of_floats(prices: dict[str, float]) -> None:
    made = price_vector(prices)
    assert all(0 < price < 1 << 250 for price in made.values())
    for a, price_a in prices.items():
        for b, price_b in prices.items():
            wanted = Fraction(price_a) / Fraction(price_b)
            assert abs(Fraction(made[a], made[b]) / wanted - 1) < Fraction(1, 10**15)


def test_prices_must_be_positive_and_comparable() -> None:
    with pytest.raises(ValueError, match="positive"):
        price_vector({"a": 1.0, "b": 0.0})
    with pytest.raises(ValueError, match="too small"):
        price_vector({"a": 1e300, "b": 1e-300})
    assert price_vector({}) == {}


SELLER = intent("seller", {ETH: -1}, USDC, 2_950 * WHOLE_USDC, units=WHOLE_ETH)
BUYER = intent("buyer", {ETH: 1}, USDC, -3_050 * WHOLE_USDC, units=WHOLE_ETH)
AT_3000 = {ETH: 3_000 * 10**6, USDC: 10**18}


def test_settlements_are_the_auctions_own() -> None:
    made = market({"seller": SELLER, "buyer": BUYER})
    for units in (1, 333, WHOLE_ETH - 1, WHOLE_ETH):
        fills = {key("seller"): units, key("buyer"): units}
        flows = net_flows(made, fills.items(), AT_3000)
        got, paid = settlement(SELLER, units, AT_3000), settlement(BUYER, units, AT_3000)
        assert flows == {ETH: 0, USDC: -got - paid}
    kept = scored(made, bid([("seller", WHOLE_ETH), ("buyer", WHOLE_ETH)], AT_3000))
    assert {fill.settlement for fill in kept.fills} == {3_000 * WHOLE_USDC, -3_000 * WHOLE_USDC}


def test_limit_and_collar_are_exact() -> None:
    made = market({"seller": SELLER})
    limit = 2_950 * WHOLE_USDC
    assert keeps_limit(SELLER, WHOLE_ETH, limit, limit)
    assert not keeps_limit(SELLER, WHOLE_ETH, limit - 1, limit)
    assert keeps_collar(made, SELLER, WHOLE_ETH, 3_300 * WHOLE_USDC)
    assert not keeps_collar(made, SELLER, WHOLE_ETH, 3_301 * WHOLE_USDC)


def test_a_proposal_has_the_prices_it_needs_and_no_others() -> None:
    made = market({"seller": SELLER, "buyer": BUYER})
    fills = {key("seller"): WHOLE_ETH, key("buyer"): WHOLE_ETH, key("none"): 0}
    sent = propose(made, fills, {**AT_3000, "other": 1})
    assert set(sent.prices) == {ETH, USDC}
    checked = self_check(made, sent)
    assert checked is not None
    assert checked.score == 33_333_300  # 50 USDC of surplus twice, at 1/3000 ETH


def test_what_the_auction_would_reject_does_not_pass() -> None:
    made = market({"seller": SELLER, "buyer": BUYER})
    sent = propose(made, {key("seller"): WHOLE_ETH - 1, key("buyer"): WHOLE_ETH}, AT_3000)
    assert self_check(made, sent) is None
    with pytest.raises(BidRejected) as caught:
        judged(made, sent)
    assert caught.value.reason is Reason.NOT_CONSERVED
    poor = replace(made, balances={})
    with pytest.raises(BidRejected) as caught:
        judged(poor, propose(poor, {key("seller"): WHOLE_ETH}, AT_3000))
    assert caught.value.reason is Reason.ACCOUNT_OVERSPENT
