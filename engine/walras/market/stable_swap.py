"""StableSwap: between constant sum and constant product, with a fee on the output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from walras.core.errors import Reason, SwapError
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

MAX_ASSETS = 8
PRECISION = 10**18
A_PRECISION = 100
MAX_AMPLIFICATION = 10**6 * A_PRECISION
FEE_DENOMINATOR = 10**10
RATE_LIMIT = 1 << 128
MAX_ROUNDS = 255
WORD = 1 << 256


@dataclass(frozen=True, slots=True)
class StableSwap:
    """A Curve pool of plain coins, with no admin fee.

    Follows Curve's base pool template, whose A has two decimals. A pool with a plain A, such as
    3pool, is the same with amplification 100·A: no division by A_PRECISION then leaves a remainder.
    As in that template A is already multiplied by n^(n-1). Where its 256-bit arithmetic would
    overflow, and it reverts, a swap is too large.

    The fee stays in the pool, in the asset paid out. So a swap in parts can pay a little more than
    in one: the later parts meet the fees of the earlier ones, and never gain more than those.

    Newton's method ends within an atom or two (of 18 decimals) in pools people use. As in Curve,
    the error grows where balances differ by many orders of magnitude, until there is no
    convergence.

    Source: curve-contract contracts/pool-templates/base/SwapTemplateBase.vy (exchange, _get_D,
    _get_y).

    Attributes:
        id: see `Venue`.
        cost: see `Venue`.
        assets: two to eight.
        balances: atoms of each, ≥ 0; with an empty balance it can pay nothing.
        rates: what brings atoms to 18 decimals, times 10^18: 10^(36 - decimals), times the asset's
            own rate if it has one; 1 to 2^128 - 1.
        amplification: A in hundredths; 100 to 10^8.
        fee: of the output, in 10^-10; 0 to 10^10 - 1.

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
        check_per_asset(self, "balances", self.balances)
        check_per_asset(self, "rates", self.rates, 1, RATE_LIMIT)
        check_range(self, "amplification", [self.amplification], A_PRECISION, MAX_AMPLIFICATION + 1)
        check_range(self, "fee", [self.fee], 0, FEE_DENOMINATOR)

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """See `Venue.swap`. SWAP_LIQUIDITY: a balance is empty, or would reach 2^255 atoms, or the
        arithmetic 2^256.
        """
        i, j = places(self, asset_in, amount_in, asset_out)
        scaled = self.scaled()
        if 0 in scaled:
            raise too_large(self, amount_in)
        before = scaled[j]
        try:
            d = invariant(scaled, self.amplification)
            scaled[i] += check_word(amount_in * self.rates[i]) // PRECISION
            del scaled[j]
            paid = before - balance_for(scaled, d, self.amplification) - 1
        except OverflowError:
            raise too_large(self, amount_in) from None
        if paid < 1:
            raise too_small(self, amount_in)
        net_paid = paid - paid * self.fee // FEE_DENOMINATOR
        amount_out = net_paid * PRECISION // self.rates[j]
        balances = exchanged(self, self.balances, (i, amount_in), (j, amount_out))
        return Swap(amount_out, moved(self, balances=balances))

    def scaled(self) -> list[int]:
        """The balances with 18 decimals, at the assets' rates (Curve's xp)."""
        pairs = zip(self.balances, self.rates, strict=True)
        return [balance * rate // PRECISION for balance, rate in pairs]

    def invariant(self) -> int:
        """D. Raises SwapError: SWAP_NO_CONVERGENCE, SWAP_LIQUIDITY where it overflows."""
        try:
            return invariant(self.scaled(), self.amplification)
        except OverflowError:
            raise too_large(self, 0) from None


def invariant(scaled: Sequence[int], amplification: int) -> int:
    """D, the total balance the pool would have if it were in balance (Curve's get_D).

    Solves A·n^n·S + D = A·n^n·D + D^(n+1) / (n^n·∏x), S the sum of the balances x, by Newton's
    method.

    Args:
        scaled: all balances, 18 decimals, each ≥ 1.
        amplification: in hundredths.

    Raises:
        OverflowError: a product would reach 2^256.
        SwapError: SWAP_NO_CONVERGENCE after 255 rounds.
    """
    n = len(scaled)
    total = sum(scaled)
    steps = [x * n for x in scaled]
    ann = amplification * n
    ann_total = check_word(ann * total) // A_PRECISION  # no step is as large
    d = total
    for _ in range(MAX_ROUNDS):
        # d stays at least 1, and so does the divisor below: ann is at least 2 · A_PRECISION.
        d_p = d
        for step in steps:
            d_p *= d
            if d_p >= WORD:
                raise OverflowError
            d_p //= step
        previous = d
        # The other products are less than the numerator, for balances that they matter for.
        numerator = (ann_total + d_p * n) * d
        if numerator >= WORD:
            raise OverflowError
        d = numerator // ((ann - A_PRECISION) * d // A_PRECISION + (n + 1) * d_p)
        if -1 <= d - previous <= 1:
            return d
    raise _no_convergence("invariant")


def balance_for(others: Sequence[int], d: int, amplification: int) -> int:
    """The balance y of one asset at which the invariant is `d`, given the `others` (Curve's get_y).

    Solves y² + (b - D)·y = c by Newton's method, with 18 decimals.

    Raises:
        OverflowError: a product would reach 2^256.
        SwapError: SWAP_NO_CONVERGENCE after 255 rounds.
    """
    total = 0
    n = len(others) + 1
    ann = amplification * n
    c = d
    for x in others:
        total += x
        c = check_word(c * d) // check_word(x * n)
    check_word(total)
    c = check_word(c * d * A_PRECISION) // (ann * n)
    b_less_d = total + d * A_PRECISION // ann - d
    y = d
    for _ in range(MAX_ROUNDS):
        previous = y
        slope = 2 * y + b_less_d
        if slope < 1:
            break
        numerator = y * y + c
        if numerator >= WORD:
            raise OverflowError
        y = numerator // slope
        if -1 <= y - previous <= 1:
            return y
    raise _no_convergence("balance")


def check_word(number: int) -> int:
    """`number`, if the contracts' words can hold it; OverflowError otherwise."""
    if number >= WORD:
        raise OverflowError
    return number


def _no_convergence(what: str) -> SwapError:
    return SwapError(
        Reason.SWAP_NO_CONVERGENCE, f"Newton's method finds no {what} in {MAX_ROUNDS} rounds"
    )
