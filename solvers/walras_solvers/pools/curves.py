"""The most profitable trade with a pair or along a ladder, at given prices.

With σ = √ν the gain is arb(ν) = max Σ ν·(out − in) over what the venue can do. Its gradient by ν is
the trade; `half` collects half of the gradient by σ, which is trade·σ. Weights are those of the
graph Laplacian diag(ν)·∇²arb·diag(ν).
"""

from walras_solvers.pools.arrays import Ladders, Pairs
from walras_solvers.pools.compiled import Reals, compiled


@compiled
def sweep_pairs(pairs: Pairs, count: int, root: Reals, half: Reals, weight: Reals) -> float:
    """The first `count` pairs: their gains' sum; adds to `half`, writes weights from place 0 on.

    A pool with reserves x, y and γ = 1 − fee gains (√(ν_y·y) − √(ν_x·x/γ))² by selling x into it,
    where that difference is positive.
    """
    value = 0.0
    at, inside, total = -1, 0.0, 0.0
    for p in range(count):
        a, b = pairs.left[p], pairs.right[p]
        loss = pairs.loss[p]
        x, y = pairs.root_left[p], pairs.root_right[p]
        if a != at:  # neighbours that share their left asset are added up in a register
            if at >= 0:
                half[at] += total
            at, inside, total = a, root[a], 0.0
        u, v = inside * x, root[b] * y
        sells_left = max(v - loss * u, 0.0)
        sells_right = max(u - loss * v, 0.0)
        total += x * (sells_right - loss * sells_left)
        half[b] += y * (sells_left - loss * sells_right)
        gain = sells_left + sells_right  # one of the two is 0
        value += gain * gain
        weight[p] = 0.5 * loss * u * v if gain > 0.0 else 0.0
    if at >= 0:
        half[at] += total
    return value


@compiled
def trade_pairs(pairs: Pairs, count: int, root: Reals, net: Reals) -> None:
    """Writes atoms paid out less taken in, two for each pair, from place 0 on."""
    for p in range(count):
        loss = pairs.loss[p]
        x, y = pairs.root_left[p], pairs.root_right[p]
        s, t = root[pairs.left[p]], root[pairs.right[p]]
        sells_left = max(t * y - loss * s * x, 0.0)
        sells_right = max(s * x - loss * t * y, 0.0)
        net[2 * p] = x * (sells_right - loss * sells_left) / s if s > 0.0 else 0.0
        net[2 * p + 1] = y * (sells_left - loss * sells_right) / t if t > 0.0 else 0.0


@compiled
def stretch_at(ladders: Ladders, ladder: int, h: float) -> int:
    """The first stretch whose low is below h, where a trade down to h ends; else one past the
    last.
    """
    first, last = ladders.start[ladder], ladders.start[ladder + 1]
    while first < last:
        middle = (first + last) // 2
        if ladders.low[middle] < h:
            last = middle
        else:
            first = middle + 1
    return int(first)


@compiled
def along(ladders: Ladders, ladder: int, h: float) -> tuple[float, float, float]:
    """(atoms out, atoms in, liquidity there) of a trade down to the rate h²."""
    end = ladders.start[ladder + 1]
    k = stretch_at(ladders, ladder, h)
    if k == end:  # all of it
        k -= 1
        out = ladders.paid[k] + ladders.liquidity[k] * (ladders.high[k] - ladders.low[k])
        taken = ladders.taken[k] + ladders.liquidity[k] * (1 / ladders.low[k] - 1 / ladders.high[k])
        return out, taken, 0.0
    high = ladders.high[k]
    if high <= h:  # between two stretches
        return ladders.paid[k], ladders.taken[k], 0.0
    liquidity = ladders.liquidity[k]
    out = ladders.paid[k] + liquidity * (high - h)
    taken = ladders.taken[k] + liquidity * (high - h) / (h * high)
    return out, taken, liquidity


@compiled
def sweep_ladders(ladders: Ladders, root: Reals, half: Reals, weight: Reals, edge: int) -> float:
    """All ladders: their gains' sum; adds to `half`, writes weights from place `edge` on."""
    value = 0.0
    for k in range(len(ladders.source)):
        weight[edge + k] = 0.0
        first = ladders.start[k]
        if first == ladders.start[k + 1]:
            continue
        s, t = root[ladders.source[k]], root[ladders.target[k]]
        if ladders.high[first] * t <= s:
            continue
        out, taken, liquidity = along(ladders, k, s / t)
        half[ladders.source[k]] -= taken * s
        half[ladders.target[k]] += out * t
        value += out * t * t - taken * s * s
        weight[edge + k] = 0.5 * liquidity * s * t
    return value


@compiled
def trade_ladders(ladders: Ladders, root: Reals, net: Reals, slot: int) -> None:
    """Writes atoms paid out less taken in, two for each ladder, from place `slot` on."""
    for k in range(len(ladders.source)):
        s, t = root[ladders.source[k]], root[ladders.target[k]]
        first = ladders.start[k]
        out = taken = 0.0
        if first < ladders.start[k + 1] and ladders.high[first] * t > s:
            out, taken, _ = along(ladders, k, s / t)
        net[slot + 2 * k] = -taken
        net[slot + 2 * k + 1] = out
