"""Constant product and weighted pools: the most that any sequence of swaps is worth.

Let S be the balances, w the weights, which add up to 1, and γ what the fee leaves of an input. One
swap brings a, pays b and keeps ∏ f_k^w_k ≥ 1, where f is (S + γ·a)/S for the asset paid in and
(S − b)/S for the one paid out: so the exact code rounds (a floor for constant product; net input,
base, exponent and power each against the trader for a weighted pool).

*Many swaps are no better than one trade.* With g(S, d) = (S + γ·d⁺ − d⁻)/S it holds for each asset
that g(S, d + e) ≥ g(S, d)·g(S + d, e), whatever the signs (six cases; the fee stays in the pool,
and a trip back pays it twice). So the net change z of any sequence keeps ∏ g(S_k, z_k)^w_k ≥ 1.

*The bound.* Take prices m with γ·m ≤ ν. Then −ν·z ≤ m·(S_k·g) for what comes in and
(ν − m)·S + m·S·g for what goes out, and Σ m·S·g ≥ E(m) = ∏ (m·S/w)^w by the inequality of means:

    Σ ν·(out − in)  ≤  Σ S·max(m, ν) − E(m).

It is tight for the right m: the pool's own prices, up to a factor, where they lie between ν and
ν/γ, else the nearer of these two. Any m is valid; E is rounded down.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import combinations

from walras.sdk import ConstantProduct, Weighted
from walras_solvers.bound.scale import FINE, PIPS, Duals

ONE = 10**18

_DIGITS = 90
_EXACT = Context(prec=_DIGITS, Emax=10**6, Emin=-(10**6))
_MARGIN = Decimal(1) - Decimal(10) ** -75
"""`ln` and `exp` of decimal are correctly rounded; sums of eight logarithms below 10^3 are then
off by less than 10^-85, and so is the relative error of the power."""


@dataclass(frozen=True, slots=True)
class Product:
    """What matters of a pool.

    Attributes:
        assets: of which it has something; the others are in no swap.
        held: atoms of each, ≥ 1.
        weights: in any unit.
        kept, of: γ = kept/of.
    """

    assets: tuple[str, ...]
    held: tuple[int, ...]
    weights: tuple[int, ...]
    kept: int
    of: int

    def only(self, places: Sequence[int]) -> "Product":
        """The same without the other assets: what swaps among these see."""
        return Product(
            tuple(self.assets[k] for k in places),
            tuple(self.held[k] for k in places),
            tuple(self.weights[k] for k in places),
            self.kept,
            self.of,
        )

    def pairs(self) -> Iterator["Product"]:
        """What each single swap sees."""
        return (self.only(pair) for pair in combinations(range(len(self.assets)), 2))


def product_of(pool: ConstantProduct | Weighted) -> Product:
    """What matters of a pool."""
    whole = (
        Product(pool.assets, pool.reserves, (1, 1), PIPS - pool.fee_pips, PIPS)
        if isinstance(pool, ConstantProduct)
        else Product(pool.assets, pool.balances, pool.weights, ONE - pool.fee, ONE)
    )
    held = whole.held
    return whole.only([place for place, atoms in enumerate(held) if atoms])


def product_bounds(pool: ConstantProduct | Weighted, duals: Duals) -> tuple[int, int]:
    """The most that one swap, and any number of them, are worth, in fine units.

    Both are the latter where that does not pay for one swap.
    """
    found = product_of(pool)
    if len(found.assets) < 2:
        return 0, 0
    several = product_bound(found, duals)
    if len(found.assets) == 2 or several <= pool.cost * FINE:
        return several, several
    return max(product_bound(pair, duals) for pair in found.pairs()), several


def product_bound(pool: Product, duals: Duals) -> int:
    """The most that any number of swaps are worth at dual prices, in fine units."""
    low = [duals[asset] for asset in pool.assets]
    high = [price * pool.of // pool.kept for price in low]
    level = clearing_level(low, pool)
    prices = [
        min(max(int(level * w / atoms), least), most)
        for w, atoms, least, most in zip(pool.weights, pool.held, low, high, strict=True)
    ]
    worths = [m * atoms for m, atoms in zip(prices, pool.held, strict=True)]
    return max(0, sum(worths) - _expenditure(worths, pool.weights))


def clearing_level(low: Sequence[int], pool: Product) -> float:
    """E for the best prices m: where each m·S/w is the nearest to E between ν·S/w and that over γ.

    A float, to choose prices by.
    """
    ends = [
        (math.log(price) + math.log(atoms) - math.log(w), w)
        for price, atoms, w in zip(low, pool.held, pool.weights, strict=True)
        if price
    ]
    if len(ends) < len(low):
        return 0.0
    width = -math.log(pool.kept / pool.of)
    (first, last), total = (min(ends)[0], max(ends)[0] + width), sum(pool.weights)
    if last - first <= 2 * width:
        return math.exp((first + last) / 2)  # its own prices
    if len(ends) == 2:  # one asset comes in, the other goes out
        (in_, w), (out, v) = min(ends), max(ends)
        return math.exp(((in_ + width) * w + out * v) / total)
    for _ in range(64):
        middle = (first + last) / 2
        push = sum(w * (min(max(middle, end), end + width) - middle) for end, w in ends)
        if push > 0:
            first = middle
        else:
            last = middle
    return math.exp((first + last) / 2)


def _expenditure(worths: Sequence[int], weights: Sequence[int]) -> int:
    """∏ (worth/w)^w with w the share of each weight, rounded down."""
    if not all(worths):
        return 0
    if len(worths) == 2 and weights[0] == weights[1]:
        return math.isqrt(4 * worths[0] * worths[1])
    total = sum(weights)
    power = Decimal(0)
    for worth, weight in zip(worths, weights, strict=True):
        ratio = _EXACT.divide(Decimal(worth * total), Decimal(weight))
        share = _EXACT.divide(Decimal(weight), Decimal(total))
        power = _EXACT.add(power, _EXACT.multiply(share, _EXACT.ln(ratio)))
    return int(_EXACT.multiply(_EXACT.exp(power), _MARGIN))
