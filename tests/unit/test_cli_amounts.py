"""Amounts as people type them: exact, and refused with a reason where they are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.cli.amounts import find_asset, format_amount, parse_amount
from walras.cli.options import parse_duration, parse_id
from walras.core.addresses import is_address
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason

ETH = Asset("eip155:1/slip44:60", "ETH", 18)
USDC = Asset("eip155:1/erc20:0xa0", "USDC", 6)
OTHER = Asset("eip155:1/erc20:0xff", "USDC", 2)
CALL = Asset("eip155:1/option:ETH-4000-C", "ETH-4000-C", 0)
KNOWN = {asset.id: asset for asset in (ETH, USDC, CALL)}


@pytest.mark.parametrize(
    ("text", "asset", "atoms"),
    [
        ("5 ETH", ETH, 5 * 10**18),
        ("0.1 ETH", ETH, 10**17),  # a float would miss this by an atom or more
        ("  15000.25  usdc ", USDC, 15_000_250_000),
        ("1.500000000 USDC", USDC, 1_500_000),  # zeros beyond the decimals say nothing
        ("0.000000000000000001 ETH", ETH, 1),
        ("123456789012345678.123456789012345678 ETH", ETH, 123456789012345678123456789012345678),
        ("3 eip155:1/option:ETH-4000-C", CALL, 3),
    ],
)
def test_an_amount_is_exact(text: str, asset: Asset, atoms: int) -> None:
    amount = parse_amount(text, KNOWN)
    assert (amount.asset, amount.atoms) == (asset, atoms)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5ETH", Reason.AMOUNT_MALFORMED),
        ("ETH 5", Reason.AMOUNT_MALFORMED),
        ("-5 ETH", Reason.AMOUNT_MALFORMED),
        ("1e3 ETH", Reason.AMOUNT_MALFORMED),
        ("\u0665 ETH", Reason.AMOUNT_MALFORMED),  # a digit, of another script
        ("", Reason.AMOUNT_MALFORMED),
        (".5 ETH", Reason.AMOUNT_MALFORMED),
        ("1.2345678 USDC", Reason.AMOUNT_MALFORMED),
        ("0.5 ETH-4000-C", Reason.AMOUNT_MALFORMED),
        ("0 ETH", Reason.AMOUNT_OUT_OF_RANGE),
        ("9" * 78 + " ETH", Reason.AMOUNT_OUT_OF_RANGE),
        ("5 DOGE", Reason.ASSET_UNKNOWN),
    ],
)
def test_what_is_not_an_amount_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_amount(text, KNOWN)
    assert caught.value.reason is reason


def test_a_symbol_of_several_assets_lists_their_ids() -> None:
    with pytest.raises(InvalidInput) as caught:
        find_asset("USDC", KNOWN | {OTHER.id: OTHER})
    assert USDC.id in caught.value.message
    assert OTHER.id in caught.value.message
    assert find_asset(OTHER.id, KNOWN | {OTHER.id: OTHER}) is OTHER


@given(atoms=st.integers(1, (1 << 255) - 1), decimals=st.integers(0, 77))
def test_what_is_shown_is_read_back_to_the_atom(atoms: int, decimals: int) -> None:
    asset = Asset("eip155:1/slip44:1", "X", decimals)
    assert parse_amount(format_amount(atoms, asset), {asset.id: asset}).atoms == atoms


def test_a_negative_or_unknown_amount_is_shown() -> None:
    assert format_amount(-15 * 10**17, ETH) == "-1.5 ETH"
    assert format_amount(0, ETH) == "0 ETH"
    assert format_amount(7, None, "a:b/c:d") == "7 atoms of a:b/c:d"


@pytest.mark.parametrize(
    ("text", "ms"), [("90s", 90_000), ("10m", 600_000), ("2h", 7_200_000), ("1d", 86_400_000)]
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "0m", "10", "1w", "-1m", "1.5h"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(InvalidInput, match="duration"):
        parse_duration(text)


def test_ids_and_addresses() -> None:
    assert parse_id("0a" * 32, "id") == b"\x0a" * 32
    for text in ("0a" * 31, "zz" * 32, "0x" + "0a" * 31):
        with pytest.raises(InvalidInput, match="64 hexadecimal"):
            parse_id(text, "id")
    assert all(map(is_address, ("127.0.0.1:1", "[::1]:7400", "engine.example.org:7400")))
    assert not any(map(is_address, ("module.path:Class", "a/b:1", "host", "host:", ":1")))
    assert is_address("host:65535")
    assert not any(map(is_address, ("host:65536", "host:99999", "http://host:1", "host:1/")))
