"""The bounds of stable pools of both kinds."""

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations

import pytest
from support.auctions import DAI, ETH, USDC
from support.swap_sequences import best_worth, random_worth

from walras.core.errors import SwapError
from walras.market.kinds import StablePool, StableSwap
from walras_solvers.bound.invariant import Curve
from walras_solvers.bound.scale import UNIT
from walras_solvers.bound.stable import stable_bounds
from walras_solvers.bound.venues import venue_bound

ONE = 10**18
ASSETS = (ETH, USDC, DAI)


def stable_swap(held: tuple[int, ...], rate: int, a: int, fee: Fraction) -> StableSwap:
    n = len(held)
    return StableSwap("v", 0, ASSETS[:n], held, (rate,) * n, a * 100, int(fee * 10**10))


def stable_pool(held: tuple[int, ...], rate: int, a: int, fee: Fraction) -> StablePool:
    n = len(held)
    return StablePool("v", 0, ASSETS[:n], held, (rate,) * n, a * 1_000, int(fee * ONE))


Make = Callable[[tuple[int, ...], int, int, Fraction], StableSwap | StablePool]
MAKES: list[Make] = [stable_swap, stable_pool]


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_no_swaps_on_a_pool_of_few_atoms_are_worth_more(make: Make, n: int, seed: int) -> None:
    rng = random.Random(seed)
    held = tuple(rng.randint(8, 40) for _ in range(n))
    pool = make(held, 10**36, rng.choice((1, 20, 500)), Fraction(rng.choice((0, 1, 50)), 1_000))
    prices = {asset: int(UNIT * 10**15 * rng.uniform(1, 1.5)) for asset in pool.assets}
    one, several = stable_bounds(pool, prices)
    assert best_worth(pool, prices, 60, 1) <= one
    assert best_worth(pool, prices, 30 if n == 2 else 12, 2) <= several
    assert best_worth(pool, prices, 7 if n == 2 else 3, 3) <= several


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_sequences_are_worth_less_and_one_swap_comes_near(make: Make, n: int, seed: int) -> None:
    rng = random.Random(seed)
    size = 10 ** rng.randint(20, 25)
    held = tuple(int(size * rng.uniform(0.5, 1.5)) for _ in range(n))
    pool = make(held, ONE, rng.choice((10, 200, 2_000)), Fraction(rng.choice((1, 4)), 10_000))
    prices = {asset: int(UNIT * 10**9 * rng.uniform(0.98, 1.02)) for asset in pool.assets}
    one, several = stable_bounds(pool, prices)
    best = 0
    for given, taken in permutations(pool.assets, 2):
        low, high = 1, 4 * size

        def worth(amount: int, give: str = given, take: str = taken) -> int:
            try:
                out = pool.swap(give, amount, take).amount_out
            except SwapError:
                return -amount * prices[give]
            return out * prices[take] - amount * prices[give]

        while high - low > 2:  # it has one peak
            third = (high - low) // 3
            if worth(low + third) < worth(high - third):
                low += third
            else:
                high -= third
        best = max(best, worth(low))
    assert best <= one
    assert one - best <= one // 10**5
    assert several >= best
    assert several <= 4 * one  # fees count for less in many swaps, not for nothing
    for _ in range(15):
        assert random_worth(pool, prices, rng, 6, 2 * size) <= several


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("n", [2, 3])
def test_floods_on_the_way_gain_nothing(make: Make, n: int) -> None:
    """A bid may pass through states that no trader could pay for, as only its sum counts."""
    rng = random.Random(n)
    for size in (10**18, 10**24):
        pool = make((size,) * n, ONE, 100, Fraction(4, 10_000))
        prices = dict.fromkeys(pool.assets, UNIT * 10**9)
        _, several = stable_bounds(pool, prices)
        for _ in range(60):
            flood = int(size * 10 ** rng.uniform(0, 6))
            first, second = rng.sample(pool.assets, 2)
            state, worth = pool, 0
            for given, amount, taken in (
                (first, flood, second),
                (second, int(size * rng.uniform(0.2, 2)), first),
                (second, int(size * rng.uniform(0.01, 1)), first),
                (second, size // 10**6, first),
            ):
                try:
                    swap = state.swap(given, amount, taken)
                except SwapError:
                    continue
                worth += prices[taken] * swap.amount_out - prices[given] * amount
                state = swap.after
                assert worth <= several


DRIFT = (
    (3, 394032093882268096, 4),
    (3, 225541150440327217152, 2),
    (0, 349660948006634240, 4),
    (1, 85753384713780625408, 2),
    (0, 629884308719078211584, 2),
    (3, 21386604724914290688, 4),
    (3, 1046003568905621864448, 4),
    (1, 91742193291882790912, 2),
    (2, 401669251256918, 1),
    (4, 1338897941415761, 0),
    (1, 1338897959891125, 3),
    (0, 13256302321952, 3),
    (2, 937228709116883, 3),
    (0, 1312373929873309, 3),
)
"""Swaps, found by climbing, that leave 29 % of a fee-free pool of five to whoever makes them: where
balances lie far apart, StableSwap's code loses much of its c."""


def test_what_roundings_far_from_balance_leave_is_in_the_bound() -> None:
    assets = tuple(f"eip155:1/erc20:0x{n:040x}" for n in range(5))
    held = (1888201796988299,) * 5
    pool = StableSwap("v", 0, assets, held, (ONE,) * 5, 100, 0)
    prices = dict.fromkeys(assets, UNIT)
    state = pool
    for i, amount, j in DRIFT:
        state = state.swap(assets[i], amount, assets[j]).after
    gain = (sum(held) - sum(state.balances)) * UNIT
    assert gain > sum(held) * UNIT // 4
    assert gain <= stable_bounds(pool, prices)[1]


@pytest.mark.parametrize("n", [3, 4])
def test_in_a_deep_pool_roundings_count_for_little(n: int) -> None:
    assets = tuple(f"eip155:1/erc20:0x{k:040x}" for k in range(n))
    pool = StableSwap("v", 0, assets, (10**26,) * n, (ONE,) * n, 20_000, 4 * 10**6)
    _, several = stable_bounds(pool, dict.fromkeys(assets, UNIT))
    assert several <= 10**26 * UNIT // (10**5 if n == 3 else 10**3)


def test_nothing_is_gained_between_the_fees() -> None:
    for make in MAKES:
        pool = make((10**24, 10**24), ONE, 200, Fraction(4, 10_000))
        prices = {ETH: UNIT * 10**9, USDC: UNIT * 10**9 * 10_002 // 10_000}
        held = 2 * 10**24 * UNIT * 10**9
        one, several = stable_bounds(pool, prices)
        assert one * 10**20 < held
        assert several * 10**9 < held


def test_a_pool_with_an_empty_balance_gives_nothing() -> None:
    assert venue_bound(stable_swap((0, 5), ONE, 10, Fraction(0)), {ETH: 1, USDC: 1}) == 0


def test_of_what_has_no_worth_at_most_all_comes_out() -> None:
    pool = stable_swap((10**20, 10**20), ONE, 10, Fraction(0))
    assert venue_bound(pool, {ETH: 0, USDC: UNIT}) == 10**20 * UNIT


@pytest.mark.parametrize("seed", range(30))
def test_the_invariant_is_below_its_planes(seed: int) -> None:
    rng = random.Random(seed)
    n = rng.randint(2, 5)
    curve = Curve(rng.choice((100, 10_000, 10**6)) * n, 100)
    x, z = ([rng.randint(1, 10 ** rng.randint(1, 26)) for _ in range(n)] for _ in range(2))
    d = curve.level(x)
    scaled = n**n
    for each in x:
        scaled *= each

    def left_side(level: int) -> Fraction:
        a = Fraction(curve.numerator, curve.precision)
        return Fraction(level ** (n + 1), scaled) + (a - 1) * level - a * sum(x)

    assert left_side(d) <= 0 < left_side(d + 1)
    plane = sum(g * at for g, at in zip(curve.gradient(x), z, strict=True))
    assert curve.level(z) <= plane
