"""Constant product: x·y = k, with a fee on the input."""

from dataclasses import dataclass
from typing import Self

from walras.market.state import (
    check_head,
    check_per_asset,
    check_range,
    exchanged,
    moved,
    places,
    too_large,
)
from walras.market.venue import Swap

PIPS = 1_000_000
"""A fee pip is one part in this many."""

RESERVE_LIMIT = 1 << 112
"""A pair keeps every reserve below this."""


@dataclass(frozen=True, slots=True)
class ConstantProduct:
    """A Uniswap v2 pair.

    The whole input, fee included, stays in the pool, so x·y never falls. Uniswap's 997/1000 is the
    fee of 3000 pips: numerator and denominator are both a thousand times larger, the quotient is
    the same.

    Source: Uniswap v2 UniswapV2Library.getAmountOut, with the fee in pips.

    Attributes:
        id: see `Venue`.
        cost: see `Venue`.
        assets: the two assets.
        reserves: atoms of each, ≥ 0 and below 2^112; with an empty side it can pay nothing.
        fee_pips: of the input, in 10^-6; 0 to 999,999.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """

    id: str
    cost: int
    assets: tuple[str, str]
    reserves: tuple[int, int]
    fee_pips: int

    def __post_init__(self) -> None:
        check_head(self)
        check_per_asset(self, "reserves", self.reserves, 0, RESERVE_LIMIT)
        check_range(self, "fee_pips", [self.fee_pips], 0, PIPS)

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """See `Venue.swap`. SWAP_LIQUIDITY: a side is empty, or would reach 2^112 atoms."""
        i, j = places(self, asset_in, amount_in, asset_out)
        reserve_in, reserve_out = self.reserves[i], self.reserves[j]
        if not reserve_in or not reserve_out:
            raise too_large(self, amount_in)
        net_in = amount_in * (PIPS - self.fee_pips)
        amount_out = net_in * reserve_out // (reserve_in * PIPS + net_in)
        given, paid = (i, amount_in), (j, amount_out)
        reserves = exchanged(self, self.reserves, given, paid, RESERVE_LIMIT)
        return Swap(amount_out, moved(self, reserves=reserves))
