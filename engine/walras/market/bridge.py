"""Bridge: the same asset on two chains, one for one, less a fee."""

from dataclasses import dataclass
from typing import Self

from walras.core.amounts import AMOUNT_LIMIT, ceil_div
from walras.market.constant_product import PIPS
from walras.market.fixed_point import ONE
from walras.market.state import (
    check_head,
    check_per_asset,
    check_range,
    moved,
    places,
    too_large,
    too_small,
)
from walras.market.venue import Swap

LATENCY_LIMIT = 1 << 32


@dataclass(frozen=True, slots=True)
class Bridge:
    """Carries an asset between two chains, where it has two ids.

    What comes in on one chain is locked there and frees no capacity on the other: that takes its
    operator, and another market update. The latency changes no amount; it tells how long the owner
    of what is paid waits for it on its chain.

    Attributes:
        id: see `Venue`.
        cost: see `Venue`.
        assets: the asset's ids on the two chains.
        capacity: atoms of each that it can still pay, ≥ 0.
        scaling: what brings one atom of each to a common precision: 10^12 for 6 decimals beside 1
            for 18; 1 to 10^18.
        fee_pips: of the input, in 10^-6, rounded up; 0 to 999,999.
        flat_fee: atoms of the input besides, for inputs of each asset, ≥ 0.
        latency_ms: until what it pays arrives, as its operator expects; below 2^32.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """

    id: str
    cost: int
    assets: tuple[str, str]
    capacity: tuple[int, int]
    scaling: tuple[int, int]
    fee_pips: int
    flat_fee: tuple[int, int]
    latency_ms: int

    def __post_init__(self) -> None:
        check_head(self)
        check_per_asset(self, "capacities", self.capacity)
        check_per_asset(self, "scaling", self.scaling, 1, ONE + 1)
        check_range(self, "fee_pips", [self.fee_pips], 0, PIPS)
        check_per_asset(self, "flat fees", self.flat_fee, 0, AMOUNT_LIMIT)
        check_range(self, "latency_ms", [self.latency_ms], 0, LATENCY_LIMIT)

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """See `Venue.swap`. SWAP_LIQUIDITY: it would pay more than its capacity."""
        i, j = places(self, asset_in, amount_in, asset_out)
        net = amount_in - ceil_div(amount_in * self.fee_pips, PIPS) - self.flat_fee[i]
        amount_out = net * self.scaling[i] // self.scaling[j]
        if amount_out < 1:
            raise too_small(self, amount_in)
        left = self.capacity[j] - amount_out
        if left < 0:
            raise too_large(self, amount_in)
        capacity = (self.capacity[0], left) if j else (left, self.capacity[1])
        return Swap(amount_out, moved(self, capacity=capacity))
