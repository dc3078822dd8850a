"""The bounds of constant-product and weighted pools, against every swap there is."""

import random
from collections.abc import Callable
from math import isqrt

import pytest
from support.auctions import DAI, ETH, USDC
from support.swap_sequences import best_worth, pairs, random_worth

from walras.core.errors import SwapError
from walras.market.kinds import AnyVenue, ConstantProduct, Weighted
from walras_solvers.bound.products import product_bounds
from walras_solvers.bound.scale import FINE, UNIT
from walras_solvers.bound.venues import venue_bound

ONE = 10**18


def duals(rng: random.Random, venue: AnyVenue, spread: float) -> dict[str, int]:
    return {asset: int(UNIT * 10**15 * rng.uniform(1, spread)) for asset in venue.assets}


def tiny_pair(rng: random.Random) -> ConstantProduct:
    reserves = (rng.randint(1, 60), rng.randint(1, 60))
    return ConstantProduct("v", 0, (ETH, USDC), reserves, rng.choice((0, 3_000, 300_000)))


def tiny_weighted(rng: random.Random) -> Weighted:
    n = rng.choice((2, 3))
    weights = [rng.randint(1, 9) for _ in range(n)]
    shares = [w * ONE // sum(weights) for w in weights]
    shares[0] += ONE - sum(shares)
    held = tuple(rng.randint(0 if n == 3 and k == 2 else 5, 90) for k in range(n))
    scale = 10 ** rng.choice((0, 18))
    assets = (ETH, USDC, DAI)[:n]
    return Weighted("v", 0, assets, held, tuple(shares), (scale,) * n, rng.choice((0, ONE // 50)))


@pytest.mark.parametrize("make", [tiny_pair, tiny_weighted])
@pytest.mark.parametrize("seed", range(16))
def test_no_swaps_on_a_tiny_pool_are_worth_more(
    make: Callable[[random.Random], ConstantProduct | Weighted], seed: int
) -> None:
    rng = random.Random(seed)
    venue = make(rng)
    prices = duals(rng, venue, 8)
    one, several = product_bounds(venue, prices)
    assert best_worth(venue, prices, 120, 1) <= one
    assert best_worth(venue, prices, 16, 2) <= several
    assert best_worth(venue, prices, 5, 3) <= several


@pytest.mark.parametrize("seed", range(25))
def test_a_bound_on_a_deep_pair_is_reached(seed: int) -> None:
    rng = random.Random(seed)
    x, y = (10 ** rng.randint(18, 24) * rng.randint(1, 9) for _ in range(2))
    fee = rng.choice((0, 500, 3_000))
    pair = ConstantProduct("v", 0, (ETH, USDC), (x, y), fee)
    ratio = rng.uniform(1.1, 3)
    prices = {ETH: UNIT * y, USDC: int(UNIT * ratio * x)}
    # Its optimum in closed form: γ·a = √(k·γ·ν_out/ν_in) − x.
    kept = 10**6 - fee
    net = isqrt(x * y * kept * prices[USDC] // (10**6 * prices[ETH])) - x
    given = net * 10**6 // kept
    worth = prices[USDC] * pair.swap(ETH, given, USDC).amount_out - prices[ETH] * given
    (one, several) = product_bounds(pair, prices)
    assert one == several
    assert 0 < worth <= one
    assert (one - worth) * 10**12 < one


def test_nothing_is_gained_between_the_fees() -> None:
    pair = ConstantProduct("v", 0, (ETH, USDC), (10**21, 3 * 10**21), 3_000)
    prices = {ETH: 3 * UNIT * 10**9, USDC: UNIT * 10**9 * 1_002 // 1_000}
    assert product_bounds(pair, prices)[1] < FINE
    prices[USDC] = UNIT * 10**9 * 1_004 // 1_000
    assert product_bounds(pair, prices)[1] > FINE


@pytest.mark.parametrize("seed", range(20))
def test_sequences_on_a_weighted_pool_are_worth_less(seed: int) -> None:
    rng = random.Random(seed)
    held = tuple(10**20 * rng.randint(1, 50) for _ in range(3))
    weights = (ONE // 2, 3 * ONE // 10, ONE // 5)
    pool = Weighted("v", 0, (ETH, USDC, DAI), held, weights, (1, 1, 1), 10**15)
    level = rng.uniform(0.95, 1.05)
    prices = {
        asset: int(UNIT * 10**30 * w / atoms * rng.uniform(0.9, 1.1) * level)
        for asset, w, atoms in zip(pool.assets, (5, 3, 2), held, strict=True)
    }
    _, several = product_bounds(pool, prices)
    best = max(random_worth(pool, prices, rng, 6, max(held) // 4) for _ in range(12))
    assert best <= several


def test_one_swap_of_a_wide_pool_is_worth_less_than_all_of_its_swaps() -> None:
    weights = (ONE // 4,) * 4
    assets = (ETH, USDC, DAI, "eip155:1/slip44:61")
    pool = Weighted("v", 100, assets, (10**21,) * 4, weights, (1,) * 4, 10**15)
    prices = dict(zip(assets, (90, 95, 105, 110), strict=True))
    prices = {asset: price * UNIT for asset, price in prices.items()}
    one, several = product_bounds(pool, prices)
    assert one < several
    assert venue_bound(pool, prices) == max(0, one - 100 * FINE, several - 200 * FINE)
    best = 0
    for given, taken in pairs(pool):
        for amount in (10**18 * k for k in range(1, 250, 8)):
            try:
                swap = pool.swap(given, amount, taken)
            except SwapError:
                continue
            best = max(best, prices[taken] * swap.amount_out - prices[given] * amount)
    assert 0.99 * one < best <= one


def test_a_pool_with_an_empty_side_gives_nothing() -> None:
    prices = {ETH: UNIT, USDC: UNIT}
    assert product_bounds(ConstantProduct("v", 0, (ETH, USDC), (0, 5), 0), prices) == (0, 0)


def test_what_has_no_worth_buys_all_there_is() -> None:
    pair = ConstantProduct("v", 0, (ETH, USDC), (10, 1_000), 3_000)
    assert product_bounds(pair, {ETH: 0, USDC: UNIT}) == (1_000 * UNIT, 1_000 * UNIT)
