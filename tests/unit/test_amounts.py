"""Amounts and asset ids as they come from outside."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.core.amounts import AMOUNT_LIMIT, ceil_div, check_amount, parse_amount, parse_positive
from walras.core.assets import check_asset_id
from walras.core.errors import InvalidInput, Reason

in_range = st.integers(-AMOUNT_LIMIT + 1, AMOUNT_LIMIT - 1)


@given(in_range)
def test_what_is_written_canonically_is_read_back(amount: int) -> None:
    assert parse_amount(str(amount)) == amount
    assert check_amount(amount) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", "+1", "01", "-0", "00", " 1", "1 ", "1\n", "1_000", "1e3", "0x1", "1.0", "--1", "-"),
        "\u0661",  # an Arabic 1, a digit to Python
        "1\x00",
        "9" * 78,
        "9" * 5_000,
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_amount(text, "limit")
    assert caught.value.reason == Reason.AMOUNT_MALFORMED
    assert caught.value.fields == {"field": "limit"}
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("amount", [AMOUNT_LIMIT, -AMOUNT_LIMIT, 10**77 - 1])
def test_amounts_end_before_two_to_the_255(amount: int) -> None:
    for refuse in (
        lambda: parse_amount(str(amount), "units"),
        lambda: check_amount(amount, "units"),
    ):
        with pytest.raises(InvalidInput) as caught:
            refuse()
        assert caught.value.reason == Reason.AMOUNT_OUT_OF_RANGE
        assert caught.value.fields == {"field": "units"}


def test_a_positive_amount_is_at_least_one() -> None:
    assert parse_positive("1") == 1
    assert parse_positive(str(AMOUNT_LIMIT - 1)) == AMOUNT_LIMIT - 1
    for text in ("0", "-1"):
        with pytest.raises(InvalidInput) as caught:
            parse_positive(text)
        assert caught.value.reason == Reason.AMOUNT_OUT_OF_RANGE


@given(in_range, in_range.filter(bool))
def test_ceil_div_rounds_toward_plus_infinity(a: int, b: int) -> None:
    assert ceil_div(a, b) == ceil(Fraction(a, b))


@pytest.mark.parametrize(
    "text",
    [
        "eip155:1/slip44:60",
        "eip155:1/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
        "eip155:1/option:ETH-20261225-4000-C",
        "cosmos:cosmoshub-4/ibc:27394FB092D2ECCD56123C74F36E4C1F",
        "bip122:000000000019d6689c085ae165831e93/slip44:0",
        "abc:_/n-0:%20.-",
    ],
)
def test_caip_19_ids(text: str) -> None:
    assert check_asset_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "USDC",
        "eip155:1",
        "eip155/slip44:60",
        "eip155:1/slip44",
        "eip155:1/slip44:",
        "eip155:/slip44:60",
        "EIP155:1/slip44:60",
        "ei:1/slip44:60",
        "eip155555:1/slip44:60",
        "eip155:1/slip44:60\n",
        "eip155:1/slip44:6 0",
        "eip155:1/erc20:0x1/2",
        "eip155:1/erc20:é",
        f"eip155:{'1' * 33}/slip44:60",
        f"eip155:1/erc20:{'1' * 129}",
    ],
)
def test_other_asset_ids_are_malformed(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_asset_id(text, "legs.asset")
    assert caught.value.reason == Reason.ASSET_MALFORMED
    assert caught.value.fields == {"field": "legs.asset"}
