"""StableSwap's invariant as an exact function, and its supporting planes.

D(x) solves P + (a − 1)·D = a·S with P = D^(n+1) / (n^n·∏x), S = Σx and a the amplification times
n. The left side rises in D and, for a given D, a·S − P is concave in x; so the sets where D(x) ≥ d
are convex, and D, which is homogeneous, is concave: D(x) ≤ g·x for all x ≥ 0, g being its gradient
anywhere,

    g_k = (a + P/x_k) / (a − 1 + (n + 1)·P/D).

As a mediant, g_k is at least the lesser of 1 and D / ((n + 1)·x_k), in every state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import exp, log, prod, sqrt

_LEAST = 1e-30


@dataclass(frozen=True, slots=True)
class Curve:
    """An amplification times the number of assets: a = numerator / precision, above 1."""

    numerator: int
    precision: int

    def __float__(self) -> float:
        return self.numerator / self.precision

    def level(self, x: Sequence[int]) -> int:
        """floor(D), for balances ≥ 1: by Newton's method, which comes from above, and a check."""
        n, total = len(x), sum(x)
        scaled = n**n * prod(x)  # the equation times precision · n^n ∏x, so that all is whole
        constant = self.numerator * total * scaled
        slope = (self.numerator - self.precision) * scaled

        def excess(d: int) -> int:
            return int(self.precision * d ** (n + 1) + slope * d - constant)

        d = total
        while True:
            power = self.precision * d**n
            after = (constant + n * power * d) // (slope + (n + 1) * power)
            if after >= d:
                break
            d = int(after)
        while excess(d) > 0:
            d -= 1
        while excess(d + 1) <= 0:
            d += 1
        return d

    def gradient(self, x: Sequence[int]) -> list[Fraction]:
        """Of D at x, rounded up by less than the atoms of D matter."""
        n = len(x)
        low = self.level(x)
        scaled = n**n * prod(x)
        a = Fraction(self.numerator, self.precision)
        below = a - 1 + (n + 1) * Fraction(low**n, scaled)
        most = Fraction((low + 1) ** (n + 1), scaled)
        return [(a + most / each) / below for each in x]


def tangent(prices: Sequence[float], a: float) -> list[float]:
    """The balances with D = 1 where D's gradient has the direction of `prices` > 0: a float guess.

    There x_k = P / (u·price_k − a) for a certain u, which is found by halving.
    """
    n, least = len(prices), min(prices)
    first, last = -90.0, 90.0
    x = [1.0 / n] * n
    for _ in range(64):
        middle = (first + last) / 2
        rest = exp(middle)
        u = (rest + a) / least
        gaps = [rest + u * (price - least) for price in prices]
        p = exp((sum(log(gap) for gap in gaps) - n * log(n)) / (n + 1))
        x = [p / gap for gap in gaps]
        if a * sum(x) > p + a - 1:
            first = middle
        else:
            last = middle
    return x


def remaining(others: Sequence[float], a: float) -> float:
    """The balance of one more asset at which D = 1: a float guess."""
    n = len(others) + 1
    c = 1.0 / (a * n)
    for x in others:
        c /= n * x
    b = sum(others) + 1.0 / a - 1.0  # y² + b·y = c
    root = sqrt(b * b + 4.0 * c)
    return max(2.0 * c / (b + root) if b > 0.0 else (root - b) / 2.0, _LEAST)


def pair_tangent(
    parts: Sequence[float], a: float, i: int, j: int, ratio: float
) -> list[float] | None:
    """Where asset i came in for asset j until their gradients have this ratio: a float guess.

    Args:
        parts: balances with D = 1.
        a: the amplification times their number.
        i: what comes in.
        j: what goes out.
        ratio: g_i / g_j, which falls on the way. None if it is lower already.
    """
    n = len(parts)

    def at(x_i: float) -> tuple[float, list[float]]:
        z = list(parts)
        z[i] = x_i
        z[j] = remaining([each for k, each in enumerate(z) if k != j], a)
        p = 1.0
        for each in z:
            p /= n * each
        return (a + p / z[i]) / (a + p / z[j]), z

    if at(parts[i])[0] <= ratio:
        return None
    first, last = 0.0, 46.0
    for _ in range(52):
        middle = (first + last) / 2
        if at(parts[i] * exp(middle))[0] > ratio:
            first = middle
        else:
            last = middle
    return at(parts[i] * exp(first))[1]
