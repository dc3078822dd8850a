"""Constant product against Uniswap v2's own arithmetic and values recorded by others."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market.constant_product import RESERVE_LIMIT, ConstantProduct
from walras.market.inverse import least_input
from walras.market.marginal import spot_price

X = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
Y = "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"


def pool(x: int, y: int, fee_pips: int = 3000) -> ConstantProduct:
    return ConstantProduct("pair", 0, (X, Y), (x, y), fee_pips)


# kyberswap-dex-lib pkg/liquidity-source/uniswap/v2/pool_simulator_test.go, fee 3/1000.
RECORDED = [
    ((10089138480746, 10066716097576), X, 125224746, 124570062, (10089263705492, 10066591527514)),
    (
        (70361282326226590645832, 54150601005),
        Y,
        124570062,
        161006857684289764421,
        (70200275468542300881411, 54275171067),
    ),
]


@pytest.mark.parametrize(("reserves", "asset_in", "amount_in", "amount_out", "after"), RECORDED)
def test_recorded_swaps(
    reserves: tuple[int, int],
    asset_in: str,
    amount_in: int,
    amount_out: int,
    after: tuple[int, int],
) -> None:
    before = pool(*reserves)
    swap = before.swap(asset_in, amount_in, Y if asset_in == X else X)
    assert swap.amount_out == amount_out
    assert swap.after == pool(*after)
    assert before == pool(*reserves)


# The same file, CalcAmountIn; Uniswap's getAmountIn adds 1 even where the division is exact.
@pytest.mark.parametrize(
    ("reserves", "amount_out", "amount_in"),
    [((10**8, 10**8), 20_000_000, 25075226), ((10**20, 10**8), 20_000_000, 25075225677031093280)],
)
def test_recorded_inputs(reserves: tuple[int, int], amount_out: int, amount_in: int) -> None:
    assert least_input(pool(*reserves), X, Y, amount_out) == amount_in


@given(
    amount_in=st.integers(1, 2**112),
    reserve_in=st.integers(1, 2**112 - 1),
    reserve_out=st.integers(1, 2**112 - 1),
)
def test_three_thousand_pips_is_997_of_1000(
    amount_in: int, reserve_in: int, reserve_out: int
) -> None:
    # UniswapV2Library.getAmountOut, as written there.
    with_fee = amount_in * 997
    expected = with_fee * reserve_out // (reserve_in * 1000 + with_fee)
    venue = pool(reserve_in, reserve_out)
    if reserve_in + amount_in >= RESERVE_LIMIT:
        with pytest.raises(SwapError, match="more than"):
            venue.swap(X, amount_in, Y)
    elif expected:
        assert venue.swap(X, amount_in, Y).amount_out == expected
    else:
        with pytest.raises(SwapError, match="too few"):
            venue.swap(X, amount_in, Y)


@pytest.mark.parametrize(
    ("venue", "swap", "reason"),
    [
        (pool(10, 10), (X, 0, Y), Reason.SWAP_AMOUNT),
        (pool(10, 10), (X, -5, Y), Reason.SWAP_AMOUNT),
        (pool(10**18, 1), (X, 1, Y), Reason.SWAP_AMOUNT),
        (pool(1, 1), (X, RESERVE_LIMIT - 2, Y), Reason.SWAP_AMOUNT),
        (pool(1, 1), (X, RESERVE_LIMIT - 1, Y), Reason.SWAP_LIQUIDITY),
        (pool(0, 10), (X, 1, Y), Reason.SWAP_LIQUIDITY),
        (pool(10, 0), (X, 1, Y), Reason.SWAP_LIQUIDITY),
        (pool(10, 10), (X, RESERVE_LIMIT - 10, Y), Reason.SWAP_LIQUIDITY),
        (pool(10, 10), (X, 1, X), Reason.SWAP_ASSETS),
        (pool(10, 10), (X, 1, "eip155:1/slip44:60"), Reason.SWAP_ASSETS),
    ],
)
def test_refused_swaps(venue: ConstantProduct, swap: tuple[str, int, str], reason: Reason) -> None:
    with pytest.raises(SwapError) as caught:
        venue.swap(*swap)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "x" * 129),
        ("id", "pool\n"),
        ("id", "pöol"),
        ("cost", -1),
        ("cost", 1 << 62),
        ("assets", (X, X)),
        ("assets", (X,)),
        ("assets", (X, "USDC")),
        ("assets", (X, Y, "eip155:1/slip44:60")),
        ("reserves", (1,)),
        ("reserves", (-1, 1)),
        ("reserves", (1, RESERVE_LIMIT)),
        ("fee_pips", -1),
        ("fee_pips", 1_000_000),
    ],
)
def test_malformed(field: str, value: object) -> None:
    fields: dict[str, object] = {
        "id": "pair",
        "cost": 0,
        "assets": (X, Y),
        "reserves": (1, 1),
        "fee_pips": 0,
    }
    ConstantProduct(**fields)  # type: ignore[arg-type]  # the fields are right; their types are not written down
    with pytest.raises(InvalidInput) as caught:
        ConstantProduct(**(fields | {field: value}))  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.reason is Reason.VENUE_MALFORMED


def test_the_least_input_for_more_than_there_is() -> None:
    with pytest.raises(SwapError) as caught:
        least_input(pool(1000, 1000), X, Y, 1000)
    assert caught.value.reason is Reason.SWAP_LIQUIDITY
    assert least_input(pool(1000, 1000, 0), X, Y, 999) == 999_000


def test_spot_price() -> None:
    assert spot_price(pool(10**24, 2 * 10**24), X, Y) == pytest.approx(2 * 0.997, rel=1e-15)
    assert spot_price(pool(0, 5), X, Y) == 0.0
    assert spot_price(pool(5, RESERVE_LIMIT - 1), X, Y) == pytest.approx(0.997 * 2.0**112 / 5)


def test_the_state_after_a_swap_is_a_value_like_any_other() -> None:
    after = pool(10**6, 10**6).swap(X, 100, Y).after
    again = pool(*after.reserves)
    assert after == again
    assert hash(after) == hash(again)
    assert pickle.loads(pickle.dumps(after)) == again
