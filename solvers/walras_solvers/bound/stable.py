"""StableSwap and stable pools: the most that swaps are worth.

Balances are scaled and rounded down, as the code has them; what is left of a last scaled atom
counts as the trader's. V is the worth of a scaled atom at dual prices, f the fee. The invariant D
and a plane that supports it, D(z) ≤ g·z, are of `invariant`. Where the state z after any swaps has
D(z) ≥ D₀, any λ ≥ 0 gives

    V·(x − z)  ≤  Σ_k sup_z (V_k·(x_k − z_k) + λ·g_k·z_k) − λ·D₀,                  (1)

and fees make D rise.

*One swap* moves two balances only, and the curve sees what comes in less the fee, or what goes out
with it: in (1) V_in/γ stands for the asset paid in, or (1 − f)·V_out for the one paid out, and the
other assets count with λ·g·x. The bound is the greatest over pairs.

*Any swaps on a stable pool* (fee on the input; each step of its code rounds against the trader, so
D never falls). Each level of x_k up to a final X is passed upwards by some swap, which leaves f of
its input: D rises by f·(X − x_k)·min(1, D₀/((n + 1)·X)) at least. While X is at most some X′ that
is linear, and takes λ·f·min(1, D₀/((n + 1)·X′)) from the worth of an atom in. A state with more
than X′ of an asset k is bounded by (1) with z_k ≥ X′, at a plane of its own. The bound is the
greatest of these.

*Any swaps on a StableSwap* (fee on the output). With two assets there is a potential. Let A = Σ
μ·x − λ·D with prices μ between (1 − f)·ν and ν, and not below λ·g. While the pool has too much of
asset j, ν_j/μ_j·A falls by what any swap gains: D(S′) ≥ (1 − f)·D(V) + f·D(S + a) for the state S′
after a swap from S, V being S′ without the fee, so at most f of a gain comes back; and a swap the
other way pays more in fees than the potential rises by. So all swaps gain at most max(ν/μ)·A. With
more assets: each level of x_k down to the end is passed by some swap, which leaves f/(1 − f) of
it, and D rises by that times min(1, D₀/((n + 1)·x_k)).

StableSwap's code may pay a little more than the curve: its D is at most 2 too low, and its c loses
up to one in each division. `_allowance` is that in atoms of D for as many swaps as a bid may have.
With two assets it holds in every state: a state where it would not is one where the last atom,
which the code keeps, is more.

*More assets.* Let u_k = n·x_k/D after a swap, and U the product of those above 1 but for the asset
paid out. Its c loses at most the part (n − 1)·U/D, y no greater part, and so D (n − 1)·U. States
far from balance have a great U, and a bid may pass through them, as only its sum must be there; but
not through any. Where S = s·D with s ≥ 2 the invariant says ∏ u_k ≤ 2/(a·s). So

- where all but the asset paid out have u > 1, U ≤ 2·D/(a·n·s), as it keeps an atom, and U ≤
  (n·s)^(n−1): together U ≤ (2·D/a)^((n−1)/n);
- else U ≤ (n·s)^(n−2). Where another swap follows, its D has S^(n+1)/∏ (n·x_k) < 2^256 in words of
  256 bits, the product being that of all but one: s^(n+2) < 2^257/(a·n·D). After the last
  swap, S·min V is less than all that the pool held is worth, or nothing was gained.

The last division of c loses less than a once more. D rises by fees and kept atoms, and the loss
with it, but D less that loss is the greater the greater D is, so a rise only helps the pool.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations
from math import isqrt

from walras.sdk import MAX_EXECUTIONS, StablePool, StableSwap
from walras_solvers.bound.invariant import Curve, pair_tangent, remaining, tangent
from walras_solvers.bound.scale import FINE, Duals

RATE = 10**18
_GOLDEN = (5**0.5 - 1) / 2
_FAR = 1e90
_ROOM = (Fraction(9, 8), Fraction(3, 2), Fraction(3), Fraction(10))
"""How far above its present or its best balance X′ is tried, in turn."""


@dataclass(frozen=True, slots=True)
class Stable:
    """A pool in scaled atoms.

    Attributes:
        x: balances, rounded down.
        above: and up.
        worths: of a scaled atom, in fine units.
        curve: its invariant.
        level: D, rounded down.
        kept_in, kept_out: what the fee leaves of an input, and of an output; one of them is 1.
    """

    x: list[int]
    above: list[Fraction]
    worths: list[Fraction]
    curve: Curve
    level: int
    kept_in: Fraction
    kept_out: Fraction

    @property
    def everything(self) -> Fraction:
        """What the pool holds is worth; it pays out no more."""
        return sum((v * x for v, x in zip(self.worths, self.above, strict=True)), Fraction(0))

    @property
    def ends(self) -> tuple[list[float], list[float]]:
        """Between what prices all swaps together find no gain, about: the fee as far as it is
        proven to count.
        """
        n = len(self.x)
        counts = [min(1.0, self.level / ((n + 1) * at)) for at in self.x]
        if n == 2 and self.kept_in == 1:
            counts = [1.0, 1.0]
        fee_in, fee_out = float(1 - self.kept_in), float(1 - self.kept_out)
        worths = [float(v) for v in self.worths]
        return (
            [v * (1.0 - fee_out * part) for v, part in zip(worths, counts, strict=True)],
            [v * (1.0 + fee_in * part) for v, part in zip(worths, counts, strict=True)],
        )

    def touched_by(self, i: int, j: int) -> list[int]:
        """About where the best swap of asset i for asset j ends; the state itself if none gains."""
        ratio = float(self.worths[i] / (self.worths[j] * self.kept_in * self.kept_out))
        parts = [each / self.level for each in self.x]
        found = pair_tangent(parts, float(self.curve), i, j, ratio)
        return self.x if found is None else whole_state(found, self.level)


def stable_of(pool: StableSwap | StablePool, duals: Duals) -> Stable | None:
    """The pool; None if it can do no swap, or something has no worth."""
    x = pool.scaled()
    worths = [
        Fraction(duals[asset] * RATE, rate)
        for asset, rate in zip(pool.assets, pool.rates, strict=True)
    ]
    if 0 in x or not all(worths):
        return None
    fee_in = isinstance(pool, StablePool)
    curve = Curve(pool.amplification * len(x), 1_000 if fee_in else 100)
    kept = 1 - Fraction(pool.fee, RATE if fee_in else 10**10)
    above = [
        Fraction(-(-atoms * rate // RATE))
        for atoms, rate in zip(pool.balances, pool.rates, strict=True)
    ]
    one = Fraction(1)
    ends = (kept, one) if fee_in else (one, kept)
    return Stable(x, above, worths, curve, curve.level(x), *ends)


def stable_bounds(pool: StableSwap | StablePool, duals: Duals) -> tuple[int, int]:
    """The most that one swap, and any number of them, are worth, in fine units.

    Both are the latter where that does not pay for one swap.
    """
    found = stable_of(pool, duals)
    if found is None:
        held = sum(
            duals[asset] * atoms for asset, atoms in zip(pool.assets, pool.balances, strict=True)
        )
        able = all(pool.scaled())
        return (held, held) if able else (0, 0)
    fee_in, everything = isinstance(pool, StablePool), _up(found.everything)
    several = Fraction(everything)
    spare = _allowance(found, fee_in=fee_in)
    if found.level >= 64 * spare:
        if fee_in:
            several = _fee_in(found, found.level - spare)
        elif len(found.x) == 2:
            several = _fee_out_of_two(found, found.level - spare)
        else:
            several = _fee_out(found, found.level - spare)
    most = max(0, min(_up(several), everything))
    if most <= pool.cost * FINE:
        return most, most
    pairs = permutations(range(len(found.x)), 2)
    one = max(_one_swap(found, i, j, exact=fee_in) for i, j in pairs)
    return max(0, min(_up(one), most)), most


def _allowance(pool: Stable, *, fee_in: bool) -> int:
    """Atoms of D that the code's roundings can lose in all swaps of a bid."""
    if fee_in:
        return MAX_EXECUTIONS * 2  # fees of inputs whose scaling leaves a remainder
    n, a = len(pool.x), pool.curve
    if n == 2:
        return MAX_EXECUTIONS * (16 + 4 * isqrt(pool.level * a.precision // a.numerator))
    whole = a.numerator // a.precision
    # Twice as much as above: D may fall a little, and the code looks once fees have come back.
    words = _root((1 << 258) // (whole * n * pool.level), 1, n + 2)
    spread = _up(pool.everything / (min(pool.worths) * pool.level))
    others: int = (n * max(2, words, spread)) ** (n - 2)
    least: int = (2 * n) ** (n - 1)  # where s < 2
    product = max(least, _root(2 * pool.level // whole + 1, n - 1, n), others)
    return MAX_EXECUTIONS * (4 + whole + (n - 1) * product)


def _root(number: int, power: int, root: int) -> int:
    """At least number^(power/root), and less than four times that."""
    return 1 << -(-number.bit_length() * power // root)


def _one_swap(pool: Stable, i: int, j: int, *, exact: bool) -> Fraction:
    """Of asset i for asset j."""
    point = pool.touched_by(i, j)
    gradient = pool.curve.gradient(point)
    scale = pool.worths[i] / (pool.kept_in * gradient[i])
    planes = scale * sum((g * x for g, x in zip(gradient, pool.above, strict=True)), Fraction(0))
    gain = pool.kept_out * pool.worths[j] - scale * gradient[j]
    drained = pool.above[j] * max(gain, Fraction(0))
    spare = 2
    if not exact:  # atoms of j that D and c can be off by, the other balances being as they are
        n = len(pool.x)
        skew = max(max(n * x // pool.level, pool.level // (n * x)) + 1 for x in pool.x)
        a = pool.curve.numerator // (pool.curve.precision * pool.level) + 1
        spare += 2 * (n + 1) * skew + n * int(skew ** (2 * n)) + a
    return planes + drained - scale * pool.level + pool.worths[j] * spare


def _fee_in(pool: Stable, level: int) -> Fraction:
    n, fee = len(pool.x), 1 - pool.kept_in
    point = touching(pool.x, level, pool.curve, *pool.ends)
    size, gradient = pool.curve.level(point), pool.curve.gradient(point)
    found: list[Fraction] = []
    for room in _ROOM:
        most = [
            room * max(Fraction(at), Fraction(to * level, size))
            for at, to in zip(pool.x, point, strict=True)
        ]
        off = [fee * min(Fraction(1), level / ((n + 1) * top)) for top in most]
        terms = list(zip(pool.worths, gradient, off, strict=True))
        scale = min((v / (g - part) for v, g, part in terms if g > part), default=Fraction(0))
        within = -scale * level + sum(
            x * max(scale * g, v) for x, g, v in zip(pool.above, gradient, pool.worths, strict=True)
        )
        beyond = max(_flooded(pool, level, most, [at / size for at in point]))
        found.append(max(within, beyond))
        if within >= beyond:
            break  # more room only makes the fee count for less
    return min(found)


def _flooded(
    pool: Stable, level: int, most: Sequence[Fraction], parts: Sequence[float]
) -> Iterator[Fraction]:
    """(1) for states with more than `most` of an asset, one after the other.

    The plane touches where all others but one are as at the tangent, `parts` of D: a guess.
    """
    for flooded in range(len(parts)):
        beyond = list(parts)
        beyond[flooded] = float(most[flooded] / level)
        free = max((k for k in range(len(parts)) if k != flooded), key=lambda k: parts[k])
        others = [part for k, part in enumerate(beyond) if k != free]
        beyond[free] = remaining(others, float(pool.curve))
        gradient = pool.curve.gradient(whole_state(beyond, level))
        scale = min(v / g for v, g in zip(pool.worths, gradient, strict=True))
        rest = (pool.worths[flooded] - scale * gradient[flooded]) * most[flooded]
        yield pool.everything - rest - scale * level


def _fee_out_of_two(pool: Stable, level: int) -> Fraction:
    gradient = pool.curve.gradient(touching(pool.x, level, pool.curve, *pool.ends))
    scale = min(v / g for v, g in zip(pool.worths, gradient, strict=True))
    prices = [max(scale * g, pool.kept_out * v) for g, v in zip(gradient, pool.worths, strict=True)]
    area = sum(m * x for m, x in zip(prices, pool.above, strict=True)) - scale * level
    factor = max(v / m for v, m in zip(pool.worths, prices, strict=True))
    return area * factor + MAX_EXECUTIONS * max(pool.worths)


def _fee_out(pool: Stable, level: int) -> Fraction:
    n = len(pool.x)
    # Above a half the allowance would not cover what fees add to D.
    fee = min(Fraction(1), (1 - pool.kept_out) / pool.kept_out)
    off = [fee * min(Fraction(1), Fraction(level, (n + 1) * at)) for at in pool.x]
    gradient = pool.curve.gradient(touching(pool.x, level, pool.curve, *pool.ends))
    scale = min(v / g for v, g in zip(pool.worths, gradient, strict=True))
    terms = zip(pool.above, pool.worths, gradient, off, strict=True)
    return sum((x * max(scale * g, v - scale * part) for x, v, g, part in terms), -scale * level)


def touching(
    x: Sequence[int], level: int, curve: Curve, low: Sequence[float], high: Sequence[float]
) -> list[int]:
    """A state at which a plane touches D whose prices are the pool's own, kept from low to high.

    The state itself, if its prices lie there up to a factor. Any state makes a valid bound.
    """
    a, n = float(curve), len(x)
    part = [each / level for each in x]
    p = 1.0
    for each in part:
        p /= n * each
    own = [a + p / each for each in part]
    least = max(v / price for v, price in zip(low, own, strict=True))
    most = min(v / price for v, price in zip(high, own, strict=True))
    if least <= most:
        return list(x)

    def area(factor: float) -> tuple[float, list[float]]:
        prices = [
            min(max(factor * price, v), w) for price, v, w in zip(own, low, high, strict=True)
        ]
        z = tangent(prices, a)
        return sum(m * (at - to) for m, at, to in zip(prices, part, z, strict=True)), z

    if n == 2:  # both are at an end all the way
        return whole_state(area(least)[1], level)
    first, last = most, least
    left, right = last - _GOLDEN * (last - first), first + _GOLDEN * (last - first)
    below, above = area(left)[0], area(right)[0]
    for _ in range(14):
        if below <= above:
            last, right, above = right, left, below
            left = last - _GOLDEN * (last - first)
            below = area(left)[0]
        else:
            first, left, below = left, right, above
            right = first + _GOLDEN * (last - first)
            above = area(right)[0]
    return whole_state(area(left if below <= above else right)[1], level)


def whole_state(parts: Sequence[float], level: int) -> list[int]:
    """In atoms, and many enough of them that rounding does not matter.

    What no float could hold becomes something else: any state makes a valid bound.
    """
    size = max(level, 1 << 100)
    kept = (part if 0.0 < part < _FAR else 1.0 for part in parts)
    return [max(1, int(part * 2.0**53) * size >> 53) for part in kept]


def _up(number: Fraction | int) -> int:
    return -(-number.numerator // number.denominator)
