"""Concentrated liquidity: what the contract's own tests state, by hand, and states refused."""

from dataclasses import replace

import pytest

from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market.inverse import least_input
from walras.market.kinds import Concentrated, Tick
from walras.market.marginal import spot_price
from walras.market.quote import Quote, quote_of
from walras.market.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at,
    tick_at,
)

X = "eip155:1/slip44:60"
Y = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
ONE = 1 << 96
FULL = 887_220  # the last multiple of 60


def pool(
    *ticks: tuple[int, int], price: int = ONE, tick: int | None = None, fee: int = 3_000
) -> Concentrated:
    at = tick_at(price) if tick is None else tick
    liquidity = sum(net for index, net in ticks if index <= at)
    known = tuple(Tick(index, net) for index, net in ticks)
    return Concentrated("c", 0, (X, Y), price, at, liquidity, fee, 60, known)


def wide(liquidity: int = 2 * 10**18, **changes: int) -> Concentrated:
    return pool((-FULL, liquidity), (FULL, -liquidity), **changes)


@pytest.mark.parametrize(
    ("tick", "expected"),
    # From the TickMath tests of v3-core.
    [
        (MIN_TICK, MIN_SQRT_PRICE),
        (MIN_TICK + 1, 4_295_343_490),
        (0, ONE),
        (50, 79_426_470_787_362_580_746_886_972_461),
        (-50, 79_030_349_367_926_598_376_800_521_322),
        (MAX_TICK - 1, 1_461_373_636_630_004_318_706_518_188_784_493_106_690_254_656_249),
        (MAX_TICK, MAX_SQRT_PRICE),
    ],
)
def test_prices_at_ticks(tick: int, expected: int) -> None:
    assert sqrt_price_at(tick) == expected


def test_a_tick_begins_at_its_price() -> None:
    for tick in (*range(MIN_TICK + 1, MAX_TICK, 4_999), MAX_TICK - 1, -1, 0, 1):
        price = sqrt_price_at(tick)
        assert (tick_at(price - 1), tick_at(price), tick_at(price + 1)) == (tick - 1, tick, tick)
    assert tick_at(MIN_SQRT_PRICE) == MIN_TICK
    assert tick_at(MAX_SQRT_PRICE - 1) == MAX_TICK - 1


def test_within_one_range_it_is_constant_product() -> None:
    venue = wide()
    net = 10**17 * 997_000 // 10**6
    held = 2 * 10**18  # L at the price of 1, of either asset
    paid = venue.swap(X, 10**17, Y).amount_out
    assert paid == held * net // (held + net)
    back = venue.swap(Y, 10**17, X)
    assert back.amount_out == paid
    assert back.after.liquidity == venue.liquidity
    assert back.after.tick == tick_at(back.after.sqrt_price) > 0


def test_a_falling_price_on_a_tick_is_of_the_tick_below() -> None:
    venue = pool((-FULL, 10**18), (0, 10**18), (FULL, -2 * 10**18))
    assert (venue.tick, venue.liquidity) == (0, 2 * 10**18)
    swap = venue.swap(X, 10**6, Y)
    assert swap.after.liquidity == 10**18
    below = venue.sqrt_price, -1, 10**18
    beside = replace(venue, tick=-1, liquidity=10**18)
    assert (beside.sqrt_price, beside.tick, beside.liquidity) == below
    assert beside.swap(X, 10**6, Y) == swap
    # Upwards, the tick below passes its tick first; the price is the same.
    assert beside.swap(Y, 10**6, X) == venue.swap(Y, 10**6, X)


def test_over_a_gap_the_price_jumps() -> None:
    venue = pool((-120, 10**18), (-60, -(10**18)), (60, 10**18), (120, -(10**18)))
    assert venue.liquidity == 0
    assert spot_price(venue, X, Y) == pytest.approx(1.0001**-60 * 0.997)
    assert spot_price(venue, Y, X) == pytest.approx(1.0001**-60 * 0.997)
    swap = venue.swap(X, 10**9, Y)
    assert -120 <= swap.after.tick < -60
    assert swap.amount_out / 10**9 == pytest.approx(1.0001**-60 * 0.997, rel=1e-6)


def test_what_it_cannot_take() -> None:
    venue = pool((-60, 10**18), (60, -(10**18)))
    most = quote_of(venue).depth[1]
    takes = least_input(venue, X, Y, most)
    assert venue.swap(X, takes, Y).amount_out == most
    for amount, reason in ((10**18, Reason.SWAP_LIQUIDITY), (1, Reason.SWAP_AMOUNT)):
        with pytest.raises(SwapError) as caught:
            venue.swap(X, amount, Y)
        assert caught.value.reason is reason
    with pytest.raises(SwapError) as caught:
        least_input(venue, X, Y, most + 1)
    assert caught.value.reason is Reason.SWAP_LIQUIDITY
    empty = pool()
    assert quote_of(empty) == Quote((X, Y))
    assert spot_price(empty, X, Y) == 0.0
    with pytest.raises(SwapError, match="more than"):
        empty.swap(Y, 1, X)


@pytest.mark.parametrize("asset_in", [X, Y])
def test_at_the_end_of_prices(asset_in: str) -> None:
    ends = {X: (MIN_SQRT_PRICE, MIN_SQRT_PRICE + 1), Y: (MAX_SQRT_PRICE - 1,)}
    for price in ends[asset_in]:
        with pytest.raises(SwapError) as caught:
            replace(pool(price=price), ticks=()).swap(asset_in, 1, Y if asset_in == X else X)
        assert caught.value.reason is Reason.SWAP_LIQUIDITY


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"sqrt_price": MIN_SQRT_PRICE - 1}, "sqrt_price must be"),
        ({"sqrt_price": MAX_SQRT_PRICE}, "sqrt_price must be"),
        ({"tick": 1}, "not that of its sqrt_price"),
        ({"tick": -2}, "not that of its sqrt_price"),
        ({"tick": MIN_TICK - 1}, "tick must be"),
        ({"tick": MAX_TICK}, "tick must be"),
        ({"liquidity": 7}, "its liquidity is 7, by its nets 10"),
        ({"fee_pips": 1_000_000}, "fee_pips"),
        ({"fee_pips": -1}, "fee_pips"),
        ({"tick_spacing": 0}, "tick_spacing"),
        ({"tick_spacing": 16_384}, "tick_spacing"),
        ({"ticks": (Tick(60, -10), Tick(-60, 10))}, "ascending"),
        ({"ticks": (Tick(-60, 5), Tick(-60, 5), Tick(60, -10))}, "ascending"),
        ({"ticks": (Tick(-61, 10), Tick(60, -10))}, "no multiple"),
        ({"ticks": (Tick(-60, 10), Tick(60, -9))}, "add up to 1, not to 0"),
        ({"ticks": (Tick(-60, -10), Tick(60, 10))}, "liquidity above tick -60 is -10"),
        ({"ticks": (Tick(-60, 1 << 127), Tick(60, -10))}, "a net must be"),
        ({"ticks": (Tick(-MAX_TICK - 8, 10), Tick(60, -10))}, "an index must be"),
        ({"ticks": tuple(Tick(60 * k, 0) for k in range(-2_049, 2_048))}, "more than 4096"),
        ({"assets": (X, X)}, "twice"),
    ],
)
def test_hostile_states_are_refused(changes: dict[str, object], match: str) -> None:
    venue = pool((-60, 10), (60, -10))
    with pytest.raises(InvalidInput, match=match) as caught:
        replace(venue, **changes)  # type: ignore[arg-type]  # the field's own type each
    assert caught.value.reason is Reason.VENUE_MALFORMED


def test_liquidity_has_128_bits() -> None:
    half = (1 << 127) - 1
    ticks = [(-120, half), (-60, half), (60, -half), (120, -half)]
    assert pool(*ticks).liquidity == 2 * half
    with pytest.raises(InvalidInput, match="its liquidity above tick -60"):
        pool((-180, half), (-120, half), (-60, half), (60, -half), (120, -half), (180, -half))
