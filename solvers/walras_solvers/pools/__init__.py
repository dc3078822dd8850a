"""Liquidity as arrays, and compiled passes over all of it at given prices.

liquidity = make_liquidity(problem.venues.values())
root = np.sqrt(nu)                               # by liquidity.assets
gain = sweep(liquidity.pools, root, flow, weight)
"""

from walras_solvers.pools.arrays import Ladders, Pairs, Pools, Stable, Weighted
from walras_solvers.pools.build import (
    BAND,
    Liquidity,
    ladder_arrays,
    make_liquidity,
    make_pools,
    pair_arrays,
)
from walras_solvers.pools.compiled import Ints, Reals, compiled
from walras_solvers.pools.passes import laplacian, sweep, trades
from walras_solvers.pools.subset import subset, units

__all__ = [
    "BAND",
    "Ints",
    "Ladders",
    "Liquidity",
    "Pairs",
    "Pools",
    "Reals",
    "Stable",
    "Weighted",
    "compiled",
    "ladder_arrays",
    "laplacian",
    "make_liquidity",
    "make_pools",
    "pair_arrays",
    "subset",
    "sweep",
    "trades",
    "units",
]
