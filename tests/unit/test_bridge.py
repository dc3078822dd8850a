"""Bridges: fees, capacity and decimals, by hand."""

from dataclasses import replace

import pytest

from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market.inverse import least_input
from walras.market.kinds import Bridge
from walras.market.marginal import spot_price
from walras.market.quote import Quote, quote_of

HERE = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
THERE = "eip155:56/erc20:0x8ac76a51cc950d9822d68b83fe1ad97b32cd580d"
# 6 decimals here, 18 there; 5 basis points and a dollar.
BRIDGE = Bridge("b", 7, (HERE, THERE), (10**12, 10**24), (10**12, 1), 500, (10**6, 10**18), 900_000)


def test_fees_decimals_and_what_is_left() -> None:
    swap = BRIDGE.swap(HERE, 1_000 * 10**6, THERE)
    assert swap.amount_out == (1_000 * 10**6 - 500_000 - 10**6) * 10**12
    assert swap.after == replace(BRIDGE, capacity=(10**12, 10**24 - swap.amount_out))
    back = BRIDGE.swap(THERE, 1_000 * 10**18 - 1, HERE)
    # The fee is rounded up, then what is less than an atom here is cut off.
    assert back.amount_out == 998_499_999
    assert back.after.capacity == (10**12 - 998_499_999, 10**24)


@pytest.mark.parametrize(
    ("asset_in", "amount_in", "asset_out", "reason"),
    [
        (HERE, 10**6, THERE, Reason.SWAP_AMOUNT),
        (HERE, 1_000_501, THERE, Reason.SWAP_AMOUNT),
        (THERE, 10**18 + 10**12, HERE, Reason.SWAP_AMOUNT),
        (HERE, 2 * 10**12, THERE, Reason.SWAP_LIQUIDITY),
        (HERE, 2**255 - 1, THERE, Reason.SWAP_LIQUIDITY),
        (HERE, 5, HERE, Reason.SWAP_ASSETS),
    ],
)
def test_refused_swaps(asset_in: str, amount_in: int, asset_out: str, reason: Reason) -> None:
    with pytest.raises(SwapError) as caught:
        BRIDGE.swap(asset_in, amount_in, asset_out)
    assert caught.value.reason is reason


def test_all_of_its_capacity() -> None:
    takes = least_input(BRIDGE, HERE, THERE, 10**24)
    after = BRIDGE.swap(HERE, takes, THERE).after
    assert after.capacity == (10**12, 0)
    assert quote_of(after).bids == (0, quote_of(after).bids[1])
    assert spot_price(after, HERE, THERE) == 0.0
    assert spot_price(after, THERE, HERE) == pytest.approx(0.9995e-12)
    assert quote_of(replace(BRIDGE, capacity=(0, 0))) == Quote((HERE, THERE))


@pytest.mark.parametrize(
    "changes",
    [
        {"capacity": (1, -1)},
        {"capacity": (1,)},
        {"scaling": (0, 1)},
        {"scaling": (1, 10**18 + 1)},
        {"fee_pips": 1_000_000},
        {"flat_fee": (-1, 0)},
        {"latency_ms": 1 << 32},
        {"latency_ms": -1},
        {"assets": (HERE, THERE, "eip155:1/slip44:60")},
    ],
)
def test_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(BRIDGE, **changes)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.reason is Reason.VENUE_MALFORMED
