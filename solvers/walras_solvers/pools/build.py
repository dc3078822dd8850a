"""Venues as arrays."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from walras.sdk import AnyVenue, ConstantProduct, StablePool, StableSwap, SwapError
from walras.sdk import Weighted as WeightedVenue
from walras_solvers.pools.arrays import Ladders, Pairs, Pools, Stable, Weighted
from walras_solvers.pools.compiled import Ints, Reals
from walras_solvers.pools.stretches import PIPS, Stretch, stretches

BAND = 1e-5
"""Over how much of its rate, by the log, a kinked supply goes from nothing to all."""

MOST_IN = 0.3
"""What a weighted pool takes at once, of its balance."""

ONE = 10**18


@dataclass(frozen=True, slots=True)
class Liquidity:
    """Pools, and what their numbers stand for.

    Attributes:
        pools: the arrays.
        assets: asset → its id.
        venues: ids of those that can trade at all, ascending.
        slot_venue, edge_venue: slot, edge → its venue's place in `venues`.
    """

    pools: Pools
    assets: tuple[str, ...]
    venues: tuple[str, ...]
    slot_venue: Ints
    edge_venue: Ints


def make_liquidity(
    venues: Iterable[AnyVenue], assets: Sequence[str] = (), band: float = BAND
) -> Liquidity:
    """The arrays of these venues; the same ones in whatever order they come.

    Args:
        venues: with distinct ids.
        assets: numbered first, in this order; the venues' others follow, sorted.
        band: as of `stretches`.
    """
    ordered = sorted(venues, key=lambda venue: venue.id)
    names = (*assets, *sorted({a for v in ordered for a in v.assets}.difference(assets)))
    index = {name: i for i, name in enumerate(names)}
    pairs: list[tuple[ConstantProduct, int]] = []
    weighted: list[tuple[WeightedVenue, int]] = []
    stable: list[tuple[StableSwap | StablePool, int]] = []
    ladders: list[tuple[int, int, list[Stretch], int]] = []
    for place, venue in enumerate(ordered):
        match venue:
            case ConstantProduct():
                if all(venue.reserves):
                    pairs.append((venue, place))
            case WeightedVenue():
                if all(venue.balances):
                    weighted.append((venue, place))
            case StableSwap() | StablePool():
                if _invariant(venue):
                    stable.append((venue, place))
            case _:
                ends = [index[asset] for asset in venue.assets]
                for i in (0, 1):
                    offers = stretches(venue, i, band)
                    if offers:
                        ladders.append((ends[i], ends[1 - i], offers, place))
    # Neighbours in memory share assets.
    pairs.sort(key=lambda pair: [index[asset] for asset in pair[0].assets])
    ladders.sort(key=lambda ladder: (ladder[0], ladder[1], ladder[3]))
    pools = make_pools(
        pair_arrays(
            np.array([index[v.assets[0]] for v, _ in pairs], dtype=np.int64),
            np.array([index[v.assets[1]] for v, _ in pairs], dtype=np.int64),
            np.array([float(v.reserves[0]) for v, _ in pairs]),
            np.array([float(v.reserves[1]) for v, _ in pairs]),
            np.array([v.fee_pips / PIPS for v, _ in pairs]),
        ),
        ladder_arrays([ladder[:3] for ladder in ladders]),
        _weighted_arrays([venue for venue, _ in weighted], index),
        _stable_arrays([venue for venue, _ in stable], index),
    )
    several = [(len(v.assets), place) for v, place in weighted]
    several += [(len(v.assets), place) for v, place in stable]
    two = [(2, place) for _, place in pairs] + [(2, ladder[3]) for ladder in ladders]
    places = two + several
    return Liquidity(
        pools,
        names,
        tuple(venue.id for venue in ordered),
        np.repeat(
            np.array([place for _, place in places], dtype=np.int64),
            np.array([n for n, _ in places], dtype=np.int64),
        ),
        np.repeat(
            np.array([place for _, place in places], dtype=np.int64),
            np.array([n * (n - 1) // 2 for n, _ in places], dtype=np.int64),
        ),
    )


def make_pools(
    pairs: Pairs | None = None,
    ladders: Ladders | None = None,
    weighted: Weighted | None = None,
    stable: Stable | None = None,
) -> Pools:
    """All kinds together; what is left out is empty."""
    none = np.zeros(0, dtype=np.int64)
    nothing = np.zeros(0)
    pairs = pairs or pair_arrays(none, none, nothing, nothing, nothing)
    ladders = ladders or ladder_arrays([])
    weighted = weighted or _weighted_arrays([], {})
    stable = stable or _stable_arrays([], {})
    left = [pairs.left, ladders.source]
    right = [pairs.right, ladders.target]
    near = [(pairs.root_left, pairs.root_right), _near_ladders(ladders)]
    slot = [
        np.stack([pairs.left, pairs.right], axis=1).ravel(),
        np.stack([ladders.source, ladders.target], axis=1).ravel(),
        weighted.asset,
        stable.asset,
    ]
    for _, i, j in _edges(weighted):
        left.append(weighted.asset[i])
        right.append(weighted.asset[j])
        near.append(_near_weighted(weighted, i, j))
    for v, i, j in _edges(stable):
        left.append(stable.asset[i])
        right.append(stable.asset[j])
        near.append(_near_stable(stable, v, i, j))
    return Pools(
        pairs,
        ladders,
        weighted,
        stable,
        np.concatenate(left),
        np.concatenate(right),
        np.concatenate([near_left for near_left, _ in near]),
        np.concatenate([near_right for _, near_right in near]),
        np.concatenate(slot),
    )


def _edges(kind: Weighted | Stable) -> Iterator[tuple[int, Ints, Ints]]:
    """Each pool, and the places of the two ends of its edges."""
    for v, (first, last) in enumerate(pairwise(kind.start.tolist())):
        i, j = np.triu_indices(last - first, 1)
        yield v, first + i, first + j


def _near_ladders(ladders: Ladders) -> tuple[Reals, Reals]:
    """No deeper than all that the ladder pays."""
    first, last = ladders.start[:-1], ladders.start[1:] - 1
    high = ladders.high[first]
    paid = ladders.paid[last] + ladders.liquidity[last] * (ladders.high[last] - ladders.low[last])
    depth = np.minimum(ladders.liquidity[first], paid / high)
    return np.sqrt(depth / high), np.sqrt(depth * high)


def _near_weighted(pool: Weighted, i: Ints, j: Ints) -> tuple[Reals, Reals]:
    """An edge's Laplacian weight is λ·w_i·w_j, with λ = ν·balance/w where nobody gains."""
    depth = 2 * pool.weight[i] * pool.weight[j]
    ends = [np.sqrt(depth * pool.balance[k] / pool.weight[k]) for k in (i, j)]
    return ends[0], ends[1]


def _near_stable(pool: Stable, v: int, i: Ints, j: Ints) -> tuple[Reals, Reals]:
    """Exact for two assets in balance; elsewhere about that."""
    share = pool.share[pool.start[v] : pool.start[v + 1]]
    n = len(share)
    q = 1 / (n**n * np.prod(share))
    marginal = pool.amplification[v] + q / pool.share
    depth = marginal[i] * marginal[j] / n**2
    ends = [np.sqrt(depth * pool.unit[k] / marginal[k]) for k in (i, j)]
    return ends[0], ends[1]


def pair_arrays(left: Ints, right: Ints, x: Reals, y: Reals, fee: Reals) -> Pairs:
    """Constant-product pools of the assets `left` and `right`, with x and y atoms, above 0.

    Args:
        left: first asset of each pool.
        right: its other asset.
        x: its reserve of the first, atoms.
        y: of the other.
        fee: of the input, as a part of it, below 1.
    """
    return Pairs(
        np.ascontiguousarray(left, dtype=np.int64),
        np.ascontiguousarray(right, dtype=np.int64),
        np.sqrt(x),
        np.sqrt(y),
        1 / np.sqrt(1 - fee),
    )


def ladder_arrays(ladders: Sequence[tuple[int, int, Sequence[Stretch]]]) -> Ladders:
    """Ladders of (asset in, asset out, stretches: best rate first, not overlapping)."""
    start = np.cumsum([0] + [len(offers) for _, _, offers in ladders], dtype=np.int64)
    numbers = np.array([s for _, _, offers in ladders for s in offers], dtype=np.float64)
    high, low, liquidity = numbers.reshape(-1, 3).T
    paid, taken = np.zeros(len(high)), np.zeros(len(high))
    for first, last in pairwise(start.tolist()):
        part = slice(first, last - 1)
        paid[first + 1 : last] = np.cumsum(liquidity[part] * (high[part] - low[part]))
        taken[first + 1 : last] = np.cumsum(liquidity[part] * (1 / low[part] - 1 / high[part]))
    return Ladders(
        np.array([source for source, _, _ in ladders], dtype=np.int64),
        np.array([target for _, target, _ in ladders], dtype=np.int64),
        start,
        np.ascontiguousarray(high),
        np.ascontiguousarray(low),
        np.ascontiguousarray(liquidity),
        paid,
        taken,
    )


def _weighted_arrays(venues: Sequence[WeightedVenue], index: dict[str, int]) -> Weighted:
    balance = np.array([float(b) for v in venues for b in v.balances])
    weight = np.array([w / ONE for v in venues for w in v.weights])
    kept = np.array([1 - v.fee / ONE for v in venues])
    sizes = [len(v.assets) for v in venues]
    return Weighted(
        *_places(sizes),
        kept,
        np.array([index[a] for v in venues for a in v.assets], dtype=np.int64),
        balance,
        weight,
        np.log(balance / weight),
        np.full(len(balance), math.log1p(MOST_IN)),
    )


def _stable_arrays(venues: Sequence[StableSwap | StablePool], index: dict[str, int]) -> Stable:
    kept_in, kept_out, amplification, share, unit = [], [], [], [], []
    for venue in venues:
        d, n = _invariant(venue), len(venue.assets)
        if isinstance(venue, StableSwap):  # A in hundredths, fee on the output
            kept_in.append(1.0)
            kept_out.append(1 - venue.fee / 10**10)
            amplification.append(venue.amplification * n / 100)
        else:
            kept_in.append(1 - venue.fee / ONE)
            kept_out.append(1.0)
            amplification.append(venue.amplification * n / 1000)
        share += [x / d for x in venue.scaled()]
        unit += [d * ONE / rate for rate in venue.rates]
    return Stable(
        *_places([len(v.assets) for v in venues]),
        np.array(kept_in),
        np.array(kept_out),
        np.array(amplification),
        np.array([index[a] for v in venues for a in v.assets], dtype=np.int64),
        np.array(share),
        np.array(unit),
    )


def _places(sizes: Sequence[int]) -> tuple[Ints, Ints]:
    """Where each pool's assets begin, and its edges."""
    start = np.cumsum([0, *sizes], dtype=np.int64)
    edge = np.cumsum([0] + [n * (n - 1) // 2 for n in sizes], dtype=np.int64)
    return start, edge


def _invariant(venue: StableSwap | StablePool) -> int:
    """D; 0 for a pool that can do no swap."""
    if 0 in venue.scaled():
        return 0
    try:
        return venue.invariant()
    except SwapError:
        return 0
