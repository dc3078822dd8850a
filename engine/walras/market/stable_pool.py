"""Balancer's stable pool: StableSwap's curve in other roundings, with a fee on the input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from walras.core.amounts import ceil_div
from walras.core.errors import Reason, SwapError
from walras.market.fixed_point import ONE, mul_up
from walras.market.stable_swap import MAX_ROUNDS, PRECISION, RATE_LIMIT, check_word
from walras.market.state import (
    check_head,
    check_per_asset,
    check_range,
    exchanged,
    moved,
    places,
    too_large,
    too_small,
)
from walras.market.venue import Swap
from walras.market.weighted import VAULT_LIMIT

MAX_ASSETS = 5
AMP_PRECISION = 1_000
MAX_AMPLIFICATION = 5_000 * AMP_PRECISION


@dataclass(frozen=True, slots=True)
class StablePool:
    """A Balancer v2 StablePool or MetaStablePool.

    The same invariant as `StableSwap`'s, but rounded against whoever swaps at each step of Newton's
    method, with a third decimal of A and the fee taken off the input. Where the contract's 256-bit
    arithmetic would overflow, and reverts, a swap is too large. Unlike the contract's formula, a
    pool with an empty balance pays nothing.

    Source: Balancer v2 pool-stable 2.0.0 StableMath._calcOutGivenIn; pool-utils BaseGeneralPool.

    Attributes:
        id: see `Venue`.
        cost: see `Venue`.
        assets: two to five.
        balances: atoms of each, ≥ 0 and below 2^112, as the Vault keeps them.
        rates: what brings atoms to 18 decimals, times 10^18 (the contract's scaling factors):
            10^(36 - decimals), times the asset's own rate if it has one; 1 to 2^128 - 1.
        amplification: A in thousandths; 1,000 to 5,000,000.
        fee: of the input, 18-decimal fixed point; 0 to 10^18 - 1.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """

    id: str
    cost: int
    assets: tuple[str, ...]
    balances: tuple[int, ...]
    rates: tuple[int, ...]
    amplification: int
    fee: int

    def __post_init__(self) -> None:
        check_head(self, MAX_ASSETS)
        check_per_asset(self, "balances", self.balances, 0, VAULT_LIMIT)
        check_per_asset(self, "rates", self.rates, 1, RATE_LIMIT)
        low, high = AMP_PRECISION, MAX_AMPLIFICATION
        check_range(self, "amplification", [self.amplification], low, high + 1)
        check_range(self, "fee", [self.fee], 0, ONE)

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """See `Venue.swap`. SWAP_LIQUIDITY: a balance is empty, or would reach 2^112 atoms, or the
        arithmetic 2^256.
        """
        i, j = places(self, asset_in, amount_in, asset_out)
        scaled = self.scaled()
        if 0 in scaled or self.balances[i] + amount_in >= VAULT_LIMIT:
            raise too_large(self, amount_in)
        net_in = (amount_in - mul_up(amount_in, self.fee)) * self.rates[i] // PRECISION
        try:
            d = invariant(scaled, self.amplification)
            scaled[i] += net_in
            paid = scaled[j] - balance_for(scaled, j, d, self.amplification) - 1
        except OverflowError:
            raise too_large(self, amount_in) from None
        if paid < 1:
            raise too_small(self, amount_in)
        amount_out = paid * PRECISION // self.rates[j]
        balances = exchanged(self, self.balances, (i, amount_in), (j, amount_out), VAULT_LIMIT)
        return Swap(amount_out, moved(self, balances=balances))

    def scaled(self) -> list[int]:
        """The balances with 18 decimals, at the assets' rates."""
        pairs = zip(self.balances, self.rates, strict=True)
        return [balance * rate // PRECISION for balance, rate in pairs]

    def invariant(self) -> int:
        """D. Raises SwapError: SWAP_NO_CONVERGENCE, SWAP_LIQUIDITY where it overflows."""
        try:
            return invariant(self.scaled(), self.amplification)
        except OverflowError:
            raise too_large(self, 0) from None


def invariant(scaled: Sequence[int], amplification: int) -> int:
    """D, rounded up at each step (StableMath._calculateInvariant).

    Args:
        scaled: all balances, 18 decimals, each ≥ 1.
        amplification: in thousandths.

    Raises:
        OverflowError: a product would reach 2^256.
        SwapError: SWAP_NO_CONVERGENCE after 255 rounds.
    """
    n = len(scaled)
    total = sum(scaled)
    ann = amplification * n
    ann_total = ann * total
    steps = [x * n for x in scaled[1:]]
    first = scaled[0] * n
    d = total
    for _ in range(MAX_ROUNDS):
        # Not D^(n+1)/(n^n ∏x), as Curve has it, but its inverse over D: n^n ∏x / D^(n-1).
        p = first
        for step in steps:
            p *= step
            check_word(p)
            p = -(-p // d)
        weighted = ann_total * p
        check_word(weighted)
        numerator = n * d * d - (-weighted // AMP_PRECISION)
        check_word(numerator)
        previous = d
        d = -(-numerator // ((n + 1) * d + (ann - AMP_PRECISION) * p // AMP_PRECISION))
        if -1 <= d - previous <= 1:
            return d
    raise _no_convergence()


def balance_for(scaled: Sequence[int], j: int, d: int, amplification: int) -> int:
    """The balance of asset `j` at which the invariant is `d`, given the others, rounded up.

    `scaled[j]` itself is a factor that cancels out but for its rounding.

    Raises:
        OverflowError: a product would reach 2^256.
        SwapError: SWAP_NO_CONVERGENCE after 255 rounds.
    """
    n = len(scaled)
    ann = amplification * n
    p = scaled[0] * n
    for x in scaled[1:]:
        p *= x * n
        check_word(p)
        p //= d
    squared = d * d
    weighted = ann * p
    check_word(squared)
    check_word(weighted)
    if not weighted:
        raise OverflowError  # the contract would divide by it
    c = ceil_div(squared, weighted) * AMP_PRECISION * scaled[j]
    b = sum(scaled) - scaled[j] + d // ann * AMP_PRECISION
    check_word(squared + c)
    y = ceil_div(squared + c, d + b)
    for _ in range(MAX_ROUNDS):
        previous = y
        numerator = y * y + c
        check_word(numerator)
        slope = 2 * y + b - d
        if slope < 1:
            break
        y = -(-numerator // slope)
        if -1 <= y - previous <= 1:
            return y
    raise _no_convergence()


def _no_convergence() -> SwapError:
    return SwapError(
        Reason.SWAP_NO_CONVERGENCE, f"Newton's method finds no balance in {MAX_ROUNDS} rounds"
    )
