"""Intents: what may be signed, and the arithmetic of limits, fills and surplus."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.auctions import DAI, ETH, USDC, intent, key

from walras.core.amounts import AMOUNT_LIMIT
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Decay, Intent, Leg, least_fill, surplus

SELL = intent("alice", {ETH: -1}, USDC, 15_000, units=5)
BUY = intent("alice", {ETH: 1}, USDC, -15_000, units=5)
SPREAD = intent("alice", {ETH: 2, DAI: -3}, USDC, -20, units=10)
UINT64 = 1 << 64


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"domain": ""}, "domain"),
        ({"domain": "x" * 129}, "domain"),
        ({"domain": "bücher"}, "domain"),
        ({"owner": b"\0" * 31}, "owner"),
        ({"nonce": -1}, "nonce"),
        ({"nonce": UINT64}, "nonce"),
        ({"not_before_ms": -1}, "not_before_ms"),
        ({"expiry_ms": UINT64}, "expiry_ms"),
        ({"not_before_ms": 5, "expiry_ms": 5}, "expiry_ms"),
        ({"legs": ()}, "legs"),
        ({"legs": tuple(Leg(f"eip155:1/erc20:{n}", 1) for n in range(17))}, "legs"),
        ({"legs": (Leg(ETH, -1), Leg(ETH, 1))}, "legs"),
        ({"legs": (Leg(USDC, -1),)}, "legs"),
        ({"legs": (Leg(ETH, 0),)}, "legs.quantity"),
        ({"units": 0, "min_units": 0}, "units"),
        ({"units": AMOUNT_LIMIT}, "units"),
        ({"min_units": -1}, "min_units"),
        ({"min_units": 6}, "min_units"),
        ({"decay": Decay(0, 5, 5)}, "decay"),
        ({"decay": Decay(0, -1, 5)}, "decay"),
        ({"decay": Decay(0, 0, UINT64)}, "decay"),
        ({"limit": -1}, "limit"),
        ({"decay": Decay(-1, 0, 5)}, "limit"),
        ({"legs": (Leg(ETH, 1),), "limit": 0}, "limit"),
        ({"legs": (Leg(ETH, 1),), "limit": -1, "decay": Decay(0, 0, 5)}, "limit"),
    ],
)
def test_a_malformed_intent_is_refused(changes: Mapping[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(SELL, **changes)
    assert caught.value.reason == Reason.INTENT_MALFORMED
    assert caught.value.fields == {"field": field}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settlement_asset": "USDC"}, Reason.ASSET_MALFORMED),
        ({"legs": (Leg("ETH", -1),)}, Reason.ASSET_MALFORMED),
        ({"limit": AMOUNT_LIMIT}, Reason.AMOUNT_OUT_OF_RANGE),
        ({"decay": Decay(AMOUNT_LIMIT, 0, 5)}, Reason.AMOUNT_OUT_OF_RANGE),
        ({"legs": (Leg(ETH, -(1 << 254)),), "units": 2}, Reason.AMOUNT_OUT_OF_RANGE),
    ],
)
def test_values_are_in_range(changes: Mapping[str, object], reason: Reason) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(SELL, **changes)
    assert caught.value.reason == reason


def test_the_bounds_themselves_are_allowed() -> None:
    wide = replace(
        SELL,
        domain="x" * 128,
        nonce=UINT64 - 1,
        not_before_ms=UINT64 - 2,
        expiry_ms=UINT64 - 1,
        legs=tuple(Leg(f"eip155:1/erc20:{n}", -1) for n in range(16)),
        units=AMOUNT_LIMIT - 1,
        min_units=AMOUNT_LIMIT - 1,
        limit=0,
    )
    assert len(wide.assets) == 17
    assert replace(SPREAD, limit=20).limit == 20  # a spread may ask for or offer money
    assert replace(SPREAD, limit=-20).limit == -20


def test_a_group_is_the_pair_in_its_direction() -> None:
    assert SELL.group == f"{ETH}>{USDC}"
    assert BUY.group == f"{USDC}>{ETH}"
    # "Buy ETH, pay in USDC" and "sell USDC, be paid in ETH" are one market.
    assert intent("bob", {USDC: -1}, ETH, 3, units=9).group == BUY.group
    assert intent("bob", {USDC: 7}, ETH, -3, units=9).group == SELL.group


def test_a_group_of_several_legs_is_their_hash() -> None:
    text = f"{USDC}\n{DAI} -3\n{ETH} 2"
    assert sorted([ETH, DAI]) == [DAI, ETH]
    assert SPREAD.group == hashlib.sha256(text.encode()).hexdigest()
    doubled = replace(SPREAD, legs=(Leg(DAI, -6), Leg(ETH, 4)))
    assert doubled.group == SPREAD.group
    for other in (
        replace(SPREAD, legs=(Leg(ETH, -2), Leg(DAI, 3))),
        replace(SPREAD, legs=(Leg(ETH, 2), Leg(DAI, -2))),
        replace(SPREAD, settlement_asset="eip155:1/slip44:0"),
    ):
        assert other.group != SPREAD.group


def test_what_an_owner_must_hold() -> None:
    assert SELL.needs(2, 15_000) == {ETH: 2}
    assert BUY.needs(2, -15_000) == {USDC: 6_000}
    assert SPREAD.needs(3, -20) == {DAI: 9, USDC: 6}
    assert SPREAD.needs(3, 20) == {DAI: 9}
    # 2 of 3 units for at most 10: never more than floor(-20/3) = -7.
    assert intent("bob", {ETH: 1}, USDC, -10, units=3).needs(2, -10) == {USDC: 7}


@pytest.mark.parametrize(
    ("min_units", "remaining", "least"),
    [(0, 5, 1), (1, 5, 1), (3, 5, 3), (5, 5, 5), (5, 3, 3), (4, 1, 1)],
)
def test_the_least_fill(min_units: int, remaining: int, least: int) -> None:
    assert least_fill(replace(SELL, min_units=min_units), remaining) == least


amounts = st.integers(-(10**30), 10**30)
times = st.integers(0, 10**6)


@given(amounts, amounts, times, st.integers(1, 10**6), times)
def test_a_limit_decays_linearly(start: int, end: int, t0: int, span: int, t: int) -> None:
    made = replace(SPREAD, limit=end, decay=Decay(start, t0, t0 + span))
    share = min(max(Fraction(t - t0, span), Fraction(0)), Fraction(1))
    assert made.limit_at(t) == start + floor((end - start) * share)
    assert min(start, end) <= made.limit_at(t) <= max(start, end)


def test_a_limit_without_decay_stays() -> None:
    assert {SELL.limit_at(t) for t in (0, 1, UINT64 - 1)} == {15_000}


@given(st.integers(1, 10**20), st.data(), amounts, amounts)
def test_surplus_is_what_is_left_above_the_limit(
    units: int, data: st.DataObject, settlement: int, limit: int
) -> None:
    filled = data.draw(st.integers(1, units))
    made: Intent = replace(SPREAD, units=units, limit=limit)
    found = surplus(made, filled, settlement, limit)
    # The greatest whole amount that could be taken away without breaking s·N ≥ k·L.
    assert (settlement - found) * units >= filled * limit
    assert (settlement - found - 1) * units < filled * limit


def test_intents_are_values() -> None:
    assert replace(SELL) == SELL
    assert hash(replace(SELL)) == hash(SELL)
    assert replace(SELL, owner=key("bob")) != SELL
