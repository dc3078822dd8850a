"""The compiled loops: prefix sums along the supply curves, and what all curves do at given prices.

Arithmetic is plain IEEE in one fixed order, so the same orders give the same prices everywhere.
Numba's cache looks at one file at a time: after a change here, delete the __pycache__ beside it.
"""

from collections.abc import Callable
from math import exp

import numpy as np
from numpy.typing import NDArray

from walras_solvers.pools.compiled import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

Agent = Callable[[Floats, float, Floats, Floats, Floats], None]
"""Whoever trades at prices: (δ, band, net, gross, slope). At the prices reference·exp(δ) it adds
what it takes less what it gives, by asset and in value at these prices, to `net`; both to `gross`;
and ∂net/∂δ to `slope`. What its limits switch on and off does so over `band`.
"""


@compiled
def prefix_sums(
    start: Ints,
    size: Floats,
    limit: Floats,
    worth: Floats,
    volume: Floats,
    moment: Floats,
    stake: Floats,
) -> None:
    """Within each market, up to and with each place: Σ size into `volume`, Σ size·limit into
    `moment`, Σ size·worth into `stake`.
    """
    for market in range(len(start) - 1):
        total = weighted = staked = 0.0
        for place in range(start[market], start[market + 1]):
            total += size[place]
            weighted += size[place] * limit[place]
            staked += size[place] * worth[place]
            volume[place] = total
            moment[place] = weighted
            stake[place] = staked


@compiled
def reached(limit: Floats, first: int, last: int, rate: float) -> int:
    """The first place of first … last − 1 whose limit is above `rate`; `last` if none is."""
    while first < last:
        middle = (first + last) // 2
        if limit[middle] <= rate:
            first = middle + 1
        else:
            last = middle
    return first


@compiled
def add_orders(
    delta: Floats,
    band: float,
    start: Ints,
    give: Ints,
    take: Ints,
    buys: Mask,
    limit: Floats,
    volume: Floats,
    moment: Floats,
    net: Floats,
    gross: Floats,
    slope: Floats,
) -> None:
    """Add what the orders take less what they give, in value at the prices, to `net`; both to
    `gross`; and the derivatives of `net` by log prices to `slope`.

    An order goes from nothing to all while the rate passes from its limit to `band` above it.
    """
    for market in range(len(give)):
        a, b = give[market], take[market]
        rate = delta[a] - delta[b]
        first, last = start[market], start[market + 1]
        if first == last or limit[first] > rate:
            continue
        partly = reached(limit, first, last, rate)
        fully = reached(limit, first, partly, rate - band)
        done = volume[fully - 1] if fully > first else 0.0
        begun = moment[fully - 1] if fully > first else 0.0
        rest = volume[partly - 1] - done
        price = exp(delta[b]) if buys[market] else exp(delta[a])
        value = price * (done + (rate * rest - (moment[partly - 1] - begun)) / band)
        steep = price * rest / band
        by_give, by_take = (steep, value - steep) if buys[market] else (value + steep, -steep)
        net[a] -= value
        net[b] += value
        gross[a] += value
        gross[b] += value
        slope[a, a] -= by_give
        slope[a, b] -= by_take
        slope[b, a] += by_give
        slope[b, b] += by_take


@compiled
def add_even(
    delta: Floats,
    start: Ints,
    source: Ints,
    target: Ints,
    size: Floats,
    rate: Floats,
    net: Floats,
    gross: Floats,
    slope: Floats,
) -> None:
    """As `add_orders`, for pools along stretches of constant rates, falling: each trades as much as
    what it pays is worth what it takes.
    """
    for edge in range(len(start) - 1):
        first, last = start[edge], start[edge + 1]
        if first == last:
            continue
        a, b = source[first], target[first]
        ratio = exp(delta[a] - delta[b])
        if rate[first] <= ratio:
            # The first stretch, like the others, is not of one rate but of falling ones.
            ramp = rate[min(first + 1, last - 1)] / rate[first]
            ramp = max(1.0 - ramp, 1e-6)
            part = 1.0 - (ratio / rate[first] - 1.0) / ramp
            if part <= 0.0:
                continue
            taken = size[first] * part
            steep = size[first] * ratio / rate[first] / ramp
        else:
            taken = steep = 0.0
        paid = 0.0
        for k in range(first, last if rate[first] > ratio else first):
            if paid + rate[k] * size[k] < ratio * (taken + size[k]):
                whole = (paid - rate[k] * taken) / (ratio - rate[k])
                steep = whole * ratio / (ratio - rate[k])
                taken = whole
                break
            taken += size[k]
            paid += rate[k] * size[k]
        value = exp(delta[a]) * taken
        steep *= exp(delta[a])
        net[a] += value
        net[b] -= value
        gross[a] += value
        gross[b] += value
        slope[a, a] += value - steep
        slope[a, b] += steep
        slope[b, a] -= value - steep
        slope[b, b] -= steep


@compiled
def places_reached(rates: Floats, start: Ints, limit: Floats, ends: Ints) -> None:
    """Market → the first place whose limit is above the market's rate, into `ends`."""
    for market in range(len(rates)):
        ends[market] = reached(limit, start[market], start[market + 1], rates[market])


@compiled
def cut(
    start: Ints,
    volume: Floats,
    stake: Floats,
    core: Floats,
    upto: Floats,
    parts: Floats,
    market_of: Ints,
    size: Floats,
    staked: Floats,
) -> int:
    """Cuts each market's volume from `core` to `upto` into stretches: one for each order where
    these are few, else by `parts` of the whole, ascending to 1.

    Writes market, volume and Σ size·worth of each stretch; returns how many there are.
    """
    count = 0
    for market in range(len(upto)):
        before, whole = core[market], upto[market]
        if whole <= before:
            continue
        first, last = start[market], start[market + 1]
        place = reached(volume, first, last, before)
        end = reached(volume, first, last, whole)
        single = end - place < len(parts)
        begin = place
        paid = staked_at(volume, stake, first, last, place, before)
        for k in range(end - begin + 1 if single else len(parts)):
            if single:
                goal = min(volume[begin + k], whole) if begin + k < last else whole
            else:
                goal = core[market] + (whole - core[market]) * parts[k]
            if goal <= before:
                continue
            place = reached(volume, place, last, goal)
            cost = staked_at(volume, stake, first, last, place, goal)
            market_of[count] = market
            size[count] = goal - before
            staked[count] = cost - paid
            before, paid = goal, cost
            count += 1
    return count


@compiled
def staked_at(
    volume: Floats, stake: Floats, first: int, last: int, place: int, goal: float
) -> float:
    """Σ size·worth of a market's first `goal` of volume, which ends within `place`."""
    under = volume[place - 1] if place > first else 0.0
    cost = stake[place - 1] if place > first else 0.0
    if place < last and volume[place] > under:
        cost += (stake[place] - cost) * (goal - under) / (volume[place] - under)
    return cost


@compiled
def stakes(start: Ints, volume: Floats, stake: Floats, goals: Floats, staked: Floats) -> None:
    """Market → Σ size·worth of its first `goals` of volume, into `staked`."""
    for market in range(len(goals)):
        first, last = start[market], start[market + 1]
        place = reached(volume, first, last, goals[market])
        staked[market] = staked_at(volume, stake, first, last, place, goals[market])


@compiled
def spread(start: Ints, volume: Floats, size: Floats, filled: Floats, fill: Floats) -> None:
    """Place → what of it is filled, if each market is filled in order."""
    for market in range(len(filled)):
        for place in range(start[market], start[market + 1]):
            over = volume[place] - filled[market]
            fill[place] = min(max(size[place] - over, 0.0), size[place])


def warm() -> None:
    """Compile the kernels, or load them."""
    start, none = np.array([0, 1]), np.zeros(1)
    place, sells = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    prefix_sums(start, none, none, none, none.copy(), none.copy(), none.copy())
    delta, net, slope = np.zeros(2), np.zeros(2), np.zeros((2, 2))
    add_orders(
        delta, 1.0, start, place, place + 1, sells, none, none, none, net, net, slope
    )  # fmt: skip
    add_even(delta, start, place, place + 1, none + 1.0, none, np.zeros(2), np.zeros(2), slope)
    places_reached(none, start, none, place.copy())
    cut(start, none, none, none, none, none + 1.0, place.copy(), none.copy(), none.copy())
    stakes(start, none, none, none, none.copy())
    spread(start, none, none, none, none.copy())
