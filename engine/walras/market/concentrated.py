"""Concentrated liquidity: constant product within ranges of ticks, with a fee on the input."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Self

from walras.core.amounts import ceil_div
from walras.market.constant_product import PIPS
from walras.market.state import (
    check_head,
    check_range,
    malformed,
    moved,
    places,
    too_large,
    too_small,
)
from walras.market.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at,
    tick_at,
)
from walras.market.venue import Swap

MAX_TICKS = 4_096
MAX_TICK_SPACING = 16_383
MAX_LIQUIDITY = 1 << 128
_NET_LIMIT = 1 << 127
_MAX_UINT256 = (1 << 256) - 1

# Where a swap without a limit ends.
_LOWEST = MIN_SQRT_PRICE + 1
_HIGHEST = MAX_SQRT_PRICE - 1

_index = attrgetter("index")


@dataclass(frozen=True, slots=True)
class Tick:
    """An initialized tick: where positions begin or end.

    Attributes:
        index: the price there is 1.0001^index; from -887,272 to 887,272.
        net: liquidity that joins where the price rises through it, below 0 where some leaves; 0
            where as much joins as leaves, and a swap still rounds there.
    """

    index: int
    net: int


@dataclass(frozen=True, slots=True)
class Concentrated:
    """A Uniswap v3 pool, of what a swap depends on.

    Who owns the liquidity, the fees they earned, oracle observations and the protocol's share of
    the fee change no swap and are left out. Fees join no liquidity, so the pool has no balances:
    what it can pay follows from its ticks.

    The contract looks for the next tick one word of its bitmap at a time, 256 tick spacings, and
    rounds where it finds none, too; so do these swaps. A swap costs a step for each tick and each
    word it passes.

    Source: Uniswap v3-core UniswapV3Pool.swap (exact input, no price limit), SwapMath,
    SqrtPriceMath, TickMath, TickBitmap. No 256-bit overflow is left: the one that the contract
    itself works around is worked around in the same way.

    Attributes:
        id: see `Venue`.
        cost: see `Venue`.
        assets: (token0, token1); prices are of token0 in token1.
        sqrt_price: √price·2^96, from MIN_SQRT_PRICE to MAX_SQRT_PRICE - 1.
        tick: of that price. Where a falling price stopped exactly on a tick it is the one below.
        liquidity: in range; what the nets up to `tick` add up to.
        fee_pips: of the input, in 10^-6; 0 to 999,999.
        tick_spacing: ticks are multiples of it; 1 to 16,383.
        ticks: by ascending index, at most 4096. All nets together are 0.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """

    id: str
    cost: int
    assets: tuple[str, str]
    sqrt_price: int
    tick: int
    liquidity: int
    fee_pips: int
    tick_spacing: int
    ticks: tuple[Tick, ...]

    def __post_init__(self) -> None:
        check_head(self)
        check_range(self, "fee_pips", [self.fee_pips], 0, PIPS)
        check_range(self, "tick_spacing", [self.tick_spacing], 1, MAX_TICK_SPACING + 1)
        check_range(self, "sqrt_price", [self.sqrt_price], MIN_SQRT_PRICE, MAX_SQRT_PRICE)
        check_range(self, "tick", [self.tick], MIN_TICK, MAX_TICK)
        if not sqrt_price_at(self.tick) <= self.sqrt_price <= sqrt_price_at(self.tick + 1):
            raise malformed(self, f"tick {self.tick} is not that of its sqrt_price")
        if len(self.ticks) > MAX_TICKS:
            raise malformed(self, f"it has {len(self.ticks)} ticks, more than {MAX_TICKS}")
        check_range(self, "an index", [t.index for t in self.ticks], MIN_TICK, MAX_TICK + 1)
        check_range(self, "a net", [t.net for t in self.ticks], 1 - _NET_LIMIT, _NET_LIMIT)
        if any(tick.index % self.tick_spacing for tick in self.ticks):
            raise malformed(self, "an index is no multiple of its tick_spacing")
        if any(later.index <= earlier.index for earlier, later in pairwise(self.ticks)):
            raise malformed(self, "its ticks are not in ascending order")
        self._check_liquidity()

    def _check_liquidity(self) -> None:
        in_range = running = 0
        for tick in self.ticks:
            running += tick.net
            if not 0 <= running < MAX_LIQUIDITY:
                raise malformed(self, f"its liquidity above tick {tick.index} is {running}")
            if tick.index <= self.tick:
                in_range = running
        if running:
            raise malformed(self, f"its nets add up to {running}, not to 0")
        if self.liquidity != in_range:
            raise malformed(self, f"its liquidity is {self.liquidity}, by its nets {in_range}")

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """See `Venue.swap`. SWAP_LIQUIDITY: the liquidity ends before the input does."""
        i, _ = places(self, asset_in, amount_in, asset_out)
        passed = (_fall if i == 0 else _rise)(self, amount_in)
        if passed is None:
            raise too_large(self, amount_in)
        amount_out, sqrt_price, tick, liquidity = passed
        if not amount_out:
            raise too_small(self, amount_in)
        after = moved(self, sqrt_price=sqrt_price, tick=tick, liquidity=liquidity)
        return Swap(amount_out, after)

    def steps_to(self, after: "Concentrated") -> int:
        """How far it is from this state to another of the same pool: ticks, and words of 256 tick
        spacings. A swap between the two does no more rounds than that, and two.
        """
        word = 256 * self.tick_spacing
        ticks = abs(self.ticks_up_to(after.tick) - self.ticks_up_to(self.tick))
        return ticks + abs(after.tick // word - self.tick // word)

    def ticks_up_to(self, tick: int) -> int:
        """How many of its ticks have at most this index."""
        return bisect_right(self.ticks, tick, key=_index)


def ranges(pool: Concentrated, *, falls: bool) -> Iterator[tuple[int, int, int]]:
    """The stretches of prices that swaps in one direction trade in, from the present price on.

    Yields (square-root price where it begins, where it ends, liquidity ≥ 1); none is empty.
    """
    place = pool.ticks_up_to(pool.tick)
    price, liquidity = pool.sqrt_price, pool.liquidity
    for tick in reversed(pool.ticks[:place]) if falls else pool.ticks[place:]:
        end = min(max(sqrt_price_at(tick.index), _LOWEST), _HIGHEST)
        if liquidity and (end < price if falls else end > price):
            yield price, end, liquidity
        price = end
        liquidity += -tick.net if falls else tick.net


_Passed = tuple[int, int, int, int]
"""What was paid out; square-root price, tick and liquidity then."""


def _fall(pool: Concentrated, rest: int) -> _Passed | None:
    """Token0 comes in, the price falls; None where liquidity ends first."""
    price, tick, liquidity = pool.sqrt_price, pool.tick, pool.liquidity
    fee, spacing, ticks = pool.fee_pips, pool.tick_spacing, pool.ticks
    kept = PIPS - fee
    place = pool.ticks_up_to(tick)  # of the first tick above
    amount_out = 0
    while rest:
        known = ticks[place - 1].index if place else MIN_TICK - 1
        if price <= _LOWEST or not (liquidity or place):
            return None
        # While anything trades, no further than the first tick of this word of 256.
        word = (tick // spacing >> 8 << 8) * spacing
        border = max(word, known, MIN_TICK) if liquidity else known
        at_border = sqrt_price_at(border)
        target = max(at_border, _LOWEST)
        needed = ceil_div(ceil_div((liquidity << 96) * (price - target), price), target)
        net = rest * kept // PIPS
        if net < needed:
            end = _price_after_token0(price, liquidity, net)
            amount_out += liquidity * (price - end) >> 96
            return amount_out, end, tick if end == price else tick_at(end), liquidity
        amount_out += liquidity * (price - target) >> 96
        rest -= needed - (-needed * fee // kept)
        price = target
        if target != at_border:
            tick = tick_at(target)
            continue
        if border == known:
            place -= 1
            liquidity -= ticks[place].net
        tick = border - 1
    return amount_out, price, tick, liquidity


def _rise(pool: Concentrated, rest: int) -> _Passed | None:
    """Token1 comes in, the price rises; None where liquidity ends first."""
    price, tick, liquidity = pool.sqrt_price, pool.tick, pool.liquidity
    fee, spacing, ticks = pool.fee_pips, pool.tick_spacing, pool.ticks
    kept = PIPS - fee
    place = pool.ticks_up_to(tick)
    amount_out = 0
    while rest:
        known = ticks[place].index if place < len(ticks) else MAX_TICK + 1
        if price >= _HIGHEST or not (liquidity or place < len(ticks)):
            return None
        # The search begins behind the tick, and so perhaps in the next word.
        word = (tick // spacing + 1 | 255) * spacing
        border = min(word, known, MAX_TICK) if liquidity else known
        at_border = sqrt_price_at(border)
        target = min(at_border, _HIGHEST)
        needed = -(-liquidity * (target - price) >> 96)
        net = rest * kept // PIPS
        if net < needed:
            end = price + (net << 96) // liquidity
            amount_out += (liquidity << 96) * (end - price) // end // price
            return amount_out, end, tick if end == price else tick_at(end), liquidity
        amount_out += (liquidity << 96) * (target - price) // target // price
        rest -= needed - (-needed * fee // kept)
        price = target
        if target != at_border:
            tick = tick_at(target)
            continue
        if border == known:
            liquidity += ticks[place].net
            place += 1
        tick = border
    return amount_out, price, tick, liquidity


def _price_after_token0(price: int, liquidity: int, amount: int) -> int:
    """The square-root price after `amount` more of token0, rounded up."""
    stretch = liquidity << 96
    denominator = stretch + amount * price
    if denominator <= _MAX_UINT256:
        return -(-stretch * price // denominator)
    # Where the product overflows, the contract takes a less exact form.
    return -(-stretch // (stretch // price + amount))
