"""Weighted product: ∏ balance^weight is constant, with a fee on the input."""

from dataclasses import dataclass
from typing import Self

from walras.market.fixed_point import ONE, complement, div_down, div_up, mul_down, mul_up, pow_up
from walras.market.state import (
    check_head,
    check_per_asset,
    check_range,
    exchanged,
    malformed,
    moved,
    places,
    too_large,
)
from walras.market.venue import Swap

MAX_ASSETS = 8
VAULT_LIMIT = 1 << 112
"""Balancer's Vault keeps every balance below this."""

MIN_WEIGHT = ONE // 100
"""The bounds of the power function hold for ratios of weights up to 99."""

MAX_IN_RATIO = 3 * ONE // 10
"""A swap brings at most this part of the balance."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A Balancer v2 weighted pool.

    The fee stays in the pool. Balances are below 2^112, as the Vault keeps them, and so nothing
    comes near an overflow of 256 bits. The power is rounded up by its greatest
    error: a swap pays up to 2·10^-14 of the balance paid from less than the formula, never more.

    Source: Balancer v2 BaseMinimalSwapInfoPool.onSwap (given in), WeightedMath._calcOutGivenIn.

    Attributes:
        id: see `Venue`.
        cost: see `Venue`.
        assets: two to eight.
        balances: atoms of each, ≥ 0 and below 2^112; with an empty balance it can pay nothing.
        weights: 18-decimal fixed point, each at least 0.01, together exactly 1.
        scaling: what brings one atom to 18 decimals: 10^12 for USDC, 1 for WETH; 1 to 10^18.
        fee: of the input, 18-decimal fixed point; 0 to 10^18 - 1.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """

    id: str
    cost: int
    assets: tuple[str, ...]
    balances: tuple[int, ...]
    weights: tuple[int, ...]
    scaling: tuple[int, ...]
    fee: int

    def __post_init__(self) -> None:
        check_head(self, MAX_ASSETS)
        check_per_asset(self, "balances", self.balances, 0, VAULT_LIMIT)
        check_per_asset(self, "weights", self.weights, MIN_WEIGHT, ONE)
        check_per_asset(self, "scaling", self.scaling, 1, ONE + 1)
        check_range(self, "fee", [self.fee], 0, ONE)
        if sum(self.weights) != ONE:
            raise malformed(self, f"the weights add up to {sum(self.weights)}, not to 10^18")

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """See `Venue.swap`.

        SWAP_LIQUIDITY: the input after the fee is more than 30 % of its balance, or a balance is
        empty or would reach 2^112 atoms.
        """
        i, j = places(self, asset_in, amount_in, asset_out)
        balance_in = self.balances[i] * self.scaling[i]
        balance_out = self.balances[j] * self.scaling[j]
        net_in = (amount_in - mul_up(amount_in, self.fee)) * self.scaling[i]
        if not balance_in or not balance_out or net_in > mul_down(balance_in, MAX_IN_RATIO):
            raise too_large(self, amount_in)
        scaled_out = out_given_in(balance_in, self.weights[i], balance_out, self.weights[j], net_in)
        amount_out = scaled_out // self.scaling[j]
        balances = exchanged(self, self.balances, (i, amount_in), (j, amount_out), VAULT_LIMIT)
        return Swap(amount_out, moved(self, balances=balances))


def out_given_in(
    balance_in: int, weight_in: int, balance_out: int, weight_out: int, amount_in: int
) -> int:
    """balance_out · (1 - (balance_in / (balance_in + amount_in))^(weight_in / weight_out)).

    Rounded down; all with 18 decimals. amount_in is after the fee and at most 30 % of balance_in,
    which is at least 1.
    """
    base = div_up(balance_in, balance_in + amount_in)
    exponent = div_down(weight_in, weight_out)
    return mul_down(balance_out, complement(pow_up(base, exponent)))
