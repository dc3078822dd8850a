"""18-decimal fixed point that says which way it rounds.

The version is the one of pool types from 2022 on, whose powers take a short cut for the exponents
1, 2 and 4. The first pools (2021) have no short cut and pay some 10^-14 less there.

Source: Balancer v2 pkg/solidity-utils/contracts/math/FixedPoint.sol. Its 256-bit overflows have no
counterpart here: where it reverts, these go on exactly.
"""

from walras.market.log_exp_math import power

ONE = 10**18
_TWO = 2 * ONE
_FOUR = 4 * ONE

MAX_POW_RELATIVE_ERROR = 10_000
"""10^-14: the most `power` can be off."""


def mul_down(a: int, b: int) -> int:
    """floor(a·b)."""
    return a * b // ONE


def mul_up(a: int, b: int) -> int:
    """ceil(a·b)."""
    return -(-a * b // ONE)


def div_down(a: int, b: int) -> int:
    """floor(a / b), for b ≥ 1."""
    return a * ONE // b


def div_up(a: int, b: int) -> int:
    """ceil(a / b), for b ≥ 1."""
    return -(-a * ONE // b)


def complement(x: int) -> int:
    """1 - x, or 0 where x is above 1."""
    return ONE - x if x < ONE else 0


def pow_up(x: int, y: int) -> int:
    """x^y, never below the true value.

    Raises:
        ValueError: outside the domain of `log_exp_math.power`.
    """
    if y == ONE:
        return x
    if y == _TWO:
        return mul_up(x, x)
    if y == _FOUR:
        square = mul_up(x, x)
        return mul_up(square, square)
    raw = power(x, y)
    return raw + mul_up(raw, MAX_POW_RELATIVE_ERROR) + 1
