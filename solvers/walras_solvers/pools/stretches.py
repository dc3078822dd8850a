"""Venues of two assets as stretches of constant liquidity, one direction at a time."""

import math
from collections.abc import Sequence
from itertools import groupby

from walras.sdk import Bridge, Concentrated, OrderBook, Rfq

SAME = 1e-13
"""Rates whose logs are closer are one."""

WHOLE = 1 - 1e-9
"""Of what a kink offers: all of it, in floats, must not be more than there is."""

PIPS = 1_000_000

_LOG_ROOT_TICK = math.log(1.0001) / 2
_Q96 = 2.0**96

Stretch = tuple[float, float, float]
"""High, low and liquidity: see `walras_solvers.pools.Ladders`."""

Kink = tuple[float, float]
"""Atoms in, and atoms out for all of them; any part at that rate."""


def stretches(venue: Bridge | Concentrated | OrderBook | Rfq, i: int, band: float) -> list[Stretch]:
    """What the venue offers for its asset i, best rate first; none where it offers nothing.

    Args:
        venue: of two assets.
        i: 0 or 1.
        band: each kink is spread over this part of its rate, by the log: all of it pays exactly
            what it does, a part of it up to band/2 more.
    """
    match venue:
        case Concentrated():
            return _concentrated(venue, i)
        case OrderBook(asks=asks, bids=bids):
            offers = bids if i == 0 else asks
            return _smooth([(float(o.want), float(o.give)) for o in offers], band)
        case Bridge(capacity=capacity, scaling=scaling, fee_pips=fee):
            rate = (PIPS - fee) * scaling[i] / (PIPS * scaling[1 - i])
            most = float(capacity[1 - i])
            return _smooth([(most / rate, most)] if most else [], band)
        case Rfq(amount_in=want, amount_out=give, left=left):
            offers_some = i == 0 and left > 0
            return _smooth([(float(left), left * give / want)] if offers_some else [], band)


def _smooth(kinks: Sequence[Kink], band: float) -> list[Stretch]:
    """Kinks, best rate first, each over `band`, or as much as those beside it leave."""
    merged: list[tuple[float, float, float]] = []  # log rate, in, out
    for size, worth in ((WHOLE * taken, WHOLE * paid) for taken, paid in kinks):
        level = math.log(worth / size)
        if merged and merged[-1][0] - level <= SAME:
            taken, paid = size + merged[-1][1], worth + merged[-1][2]
            merged[-1] = (math.log(paid / taken), taken, paid)
        else:
            merged.append((level, size, worth))
    found = []
    for k, (level, taken, paid) in enumerate(merged):
        reach = band / 2
        for other in merged[max(k - 1, 0) : k + 2]:
            if other[0] != level:
                reach = min(reach, abs(other[0] - level) / 2)
        root = math.sqrt(paid / taken)
        # high·low = paid/taken, so that the whole pays what it should.
        high, low = root * math.exp(reach / 2), root * math.exp(-reach / 2)
        found.append((high, low, paid / (root * 2 * math.sinh(reach / 2))))
    return found


def _concentrated(pool: Concentrated, i: int) -> list[Stretch]:
    """Stretches between ticks, in floats; rates are those after the fee."""
    kept = math.sqrt(1 - pool.fee_pips / PIPS)
    price, liquidity = pool.sqrt_price / _Q96, pool.liquidity
    place = pool.ticks_up_to(pool.tick)
    found: list[tuple[float, float, float]] = []
    for tick in reversed(pool.ticks[:place]) if i == 0 else pool.ticks[place:]:
        end = math.exp(tick.index * _LOG_ROOT_TICK)
        ahead = end < price * (1 - SAME) if i == 0 else end > price * (1 + SAME)
        if ahead:
            if liquidity:
                high, low = (price, end) if i == 0 else (1 / price, 1 / end)
                found.append((high * kept, low * kept, liquidity / kept))
            price = end
        liquidity += -tick.net if i == 0 else tick.net
    # Ticks without liquidity of their own part nothing.
    joined: list[Stretch] = []
    for depth, group in groupby(found, key=lambda stretch: stretch[2]):
        for high, low, _ in group:
            if joined and joined[-1][2] == depth and joined[-1][1] == high:
                joined[-1] = (joined[-1][0], low, depth)
            else:
                joined.append((high, low, depth))
    return joined
