"""Liquidity as flat arrays: what a compiled pass reads.

Every kind answers one question: at prices ν, which trade gains the most, and how much? Where it can
    be,
the answer is written in root prices σ = √ν. A constant-product pool's gain is then the square of a
linear function, so that a pass over such pools needs no root, power or division.

- **pairs**: constant product, both directions in one.
- **ladders**: one direction of a venue of two assets, as stretches of constant liquidity, best rate
  first, with what all before them pay: concentrated pools as they are; books, quotes and bridges,
      whose
  supply has kinks, with each kink spread over a narrow band of rates.
- **weighted**, **stable**: pools of any number of assets, by their invariants.

A *slot* is an asset of a pool, an *edge* two assets of one; each kind's follow each other, in the
order above. A pool's curvature at ν is a graph Laplacian over its edges.
"""

from typing import NamedTuple

from walras_solvers.pools.compiled import Ints, Reals


class Pairs(NamedTuple):
    """Constant-product pools.

    Attributes:
        left, right: assets.
        root_left, root_right: √reserve, atoms.
        loss: 1/√(1 − fee), ≥ 1.
    """

    left: Ints
    right: Ints
    root_left: Reals
    root_right: Reals
    loss: Reals


class Ladders(NamedTuple):
    """Directions of venues; h is the square root of a rate: atoms out per atom in, after fees.

    Within a stretch, from h = high down to low: out = liquidity·(high − h) and
    in = liquidity·(1/h − 1/high), as in a pool of constant product.

    Attributes:
        source, target: assets in and out.
        start: where its stretches begin; one more than ladders.
        high, low, liquidity: of a stretch; high falls along a ladder, low < high, liquidity > 0.
        paid, taken: atoms out and in of all its stretches before this one.
    """

    source: Ints
    target: Ints
    start: Ints
    high: Reals
    low: Reals
    liquidity: Reals
    paid: Reals
    taken: Reals


class Weighted(NamedTuple):
    """Pools with ∏ balance^weight constant.

    Attributes:
        start: where its assets begin; one more than pools.
        edge: where its edges begin, counted within this kind.
        kept: 1 − fee, of the input.
        asset: by place.
        balance: by place: atoms.
        weight: by place: of 1 altogether.
        level: by place: log(balance / weight).
        room: by place: the log of the greatest growth of the balance that a trade may bring.
    """

    start: Ints
    edge: Ints
    kept: Reals
    asset: Ints
    balance: Reals
    weight: Reals
    level: Reals
    room: Reals


class Stable(NamedTuple):
    """StableSwap pools.

    Attributes:
        start, edge, asset: as of `Weighted`.
        kept_in, kept_out: 1 − fee, of the input and of the output; one of them is 1.
        amplification: A·n^n, as it stands in the invariant A·n^n·Σx + D = A·n^n·D +
            D^(n+1)/(n^n·∏x).
        share: by place: balance / D.
        unit: by place: atoms that make one D.
    """

    start: Ints
    edge: Ints
    kept_in: Reals
    kept_out: Reals
    amplification: Reals
    asset: Ints
    share: Reals
    unit: Reals


class Pools(NamedTuple):
    """All of a market's liquidity.

    Attributes:
        left, right: assets of all edges.
        near_left, near_right: by edge: root reserves of the constant-product pool that is, without
            its fee, about what the edge is now.
        slot: assets of all slots.
    """

    pairs: Pairs
    ladders: Ladders
    weighted: Weighted
    stable: Stable
    left: Ints
    right: Ints
    near_left: Reals
    near_right: Reals
    slot: Ints
