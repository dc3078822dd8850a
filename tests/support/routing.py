"""Random constant-product markets, and plans checked without the code that made them."""

import numpy as np
from numpy.typing import NDArray

from walras_solvers.pools import Pools, make_pools, pair_arrays
from walras_solvers.router import Plan

Floats = NDArray[np.float64]


def random_pairs(seed: int, pools: int, assets: int, *, noise: float = 0.01) -> Pools:
    """Connected pools of 0.3 %, whose prices agree but for `noise`; amounts of all magnitudes."""
    rng = np.random.default_rng(seed)
    left = rng.integers(0, assets, pools)
    right = (left + rng.integers(1, assets, pools)) % assets
    chain = min(pools, assets - 1)
    left[:chain], right[:chain] = np.arange(chain), np.arange(1, chain + 1)
    price = np.exp(rng.normal(0, 3, assets))
    worth = np.exp(rng.normal(0, 1.5, pools)) * 1e9
    x = worth / price[left] * np.exp(rng.normal(0, noise, pools))
    y = worth / price[right] * np.exp(rng.normal(0, noise, pools))
    return make_pools(pair_arrays(left, right, x, y, np.full(pools, 0.003)))


def shortest(pools: Pools, plan: Plan, supply: Floats, target: int) -> float:
    """What lacks most among the assets beside the target, as a part of what is paid, at the plan's
    prices; 0 where nothing does.
    """
    left = supply.copy()
    np.add.at(left, pools.slot, plan.net)
    worth = left * plan.root**2
    worth[target] = 0.0
    return float(-min(worth.min(), 0.0) / max(plan.paid, 1e-300))


def growth(pools: Pools, plan: Plan) -> Floats:
    """By how much each pair's x·y grows by its trade, fees apart; below 0 it paid too much."""
    pairs = pools.pairs
    net = plan.net.reshape(-1, 2)[: len(pairs.left)]
    kept = pairs.loss[:, None] ** -2
    change = np.where(net < 0, -net * kept, -net)
    reserves = np.stack([pairs.root_left**2, pairs.root_right**2], axis=1)
    grown: Floats = np.prod(1 + change / reserves, axis=1) - 1
    return grown
