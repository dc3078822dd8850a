"""The least input for a wanted output, for venues that only know exact inputs."""

import math
from collections.abc import Callable

from walras.core.amounts import AMOUNT_LIMIT, ceil_div
from walras.core.errors import Reason, SwapError
from walras.market import stable_pool
from walras.market.bridge import Bridge
from walras.market.concentrated import Concentrated, ranges
from walras.market.constant_product import PIPS, ConstantProduct
from walras.market.fixed_point import ONE
from walras.market.order_book import Offer, OrderBook
from walras.market.rfq import Rfq
from walras.market.stable_pool import StablePool
from walras.market.stable_swap import FEE_DENOMINATOR, PRECISION, StableSwap, balance_for
from walras.market.state import places
from walras.market.venue import Venue
from walras.market.weighted import Weighted


def least_input(venue: Venue, asset_in: str, asset_out: str, amount_out: int) -> int:
    """The least input whose swap pays at least `amount_out` ≥ 1 atoms.

    Starts from an estimate by the venue's own formula, where it is of a kind known here, and
    searches from there with exact swaps: two where the formula is exact, some tens for a weighted
    pool, never more than 600. The rounding of a weighted or StableSwap pool can make it pay an atom
    less for one more; there the result pays enough, one atom less does not, but a still smaller
    input might.

    Raises:
        SwapError: SWAP_LIQUIDITY where no input pays that much; SWAP_ASSETS, SWAP_AMOUNT,
            SWAP_NO_CONVERGENCE as `Venue.swap`.
    """
    i, j = places(venue, asset_in, amount_out, asset_out)

    def enough(amount_in: int) -> bool:
        try:
            return venue.swap(asset_in, amount_in, asset_out).amount_out >= amount_out
        except SwapError as error:
            # Too large counts as enough: the search is for a border, and looks at it in the end.
            return error.reason is not Reason.SWAP_AMOUNT

    estimate = _estimate(venue, i, j, amount_out)
    low, high = _bracket(enough, min(max(estimate, 1), AMOUNT_LIMIT))
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    venue.swap(asset_in, high, asset_out)  # raises where the border is that of what it takes
    return high


def _bracket(enough: Callable[[int], bool], start: int) -> tuple[int, int]:
    """(low, high): high is enough; low is not, or is 0. Steps double away from `start`."""
    step = 1
    if enough(start):
        low, high = start - 1, start
        while low > 0 and enough(low):
            step *= 2
            low, high = max(low - step, 0), low
        return low, high
    low, high = start, start + 1
    while not enough(high):
        step *= 2
        low, high = high, high + step
    return low, high


def _estimate(venue: Venue, i: int, j: int, amount_out: int) -> int:
    """About the least input, from the formula of the venue's kind; any number will do."""
    match venue:
        case ConstantProduct(reserves=reserves, fee_pips=fee) if amount_out < reserves[j]:
            left = (PIPS - fee) * (reserves[j] - amount_out)
            return ceil_div(amount_out * reserves[i] * PIPS, left)
        case Weighted(balances=balances, weights=weights, fee=fee) if amount_out < balances[j]:
            growth = -math.log1p(-amount_out / balances[j]) * weights[j] / weights[i]
            net = int(balances[i] * math.expm1(min(growth, 1.0)))
            return net * ONE // (ONE - fee)
        case StableSwap():
            return _stable_swap(venue, i, j, amount_out)
        case OrderBook(asks=asks, bids=bids):
            return _order_book((asks, bids)[j], amount_out)
        case Concentrated():
            return _concentrated(venue, j, amount_out)
        case StablePool():
            return _stable_pool(venue, i, j, amount_out)
        case Bridge(scaling=scaling, flat_fee=flat):
            net = ceil_div(amount_out * scaling[j], scaling[i]) + flat[i]
            return ceil_div(net * PIPS, PIPS - venue.fee_pips)
        case Rfq():
            return ceil_div(amount_out * venue.amount_in, venue.amount_out)
        case _:
            return amount_out


def _stable_swap(pool: StableSwap, i: int, j: int, amount_out: int) -> int:
    scaled = pool.scaled()
    net = ceil_div(amount_out * pool.rates[j], PRECISION)
    y = scaled[j] - ceil_div(net * FEE_DENOMINATOR, FEE_DENOMINATOR - pool.fee) - 1
    if y < 1 or 0 in scaled:
        return amount_out
    others = [y if k == j else x for k, x in enumerate(scaled) if k != i]
    try:
        x = balance_for(others, pool.invariant(), pool.amplification)
    except (SwapError, OverflowError):
        return amount_out
    return ceil_div((x - scaled[i]) * PRECISION, pool.rates[i])


def _stable_pool(pool: StablePool, i: int, j: int, amount_out: int) -> int:
    scaled = pool.scaled()
    left = scaled[j] - ceil_div(amount_out * pool.rates[j], PRECISION) - 1
    if left < 1 or 0 in scaled:
        return amount_out
    held, scaled[j] = scaled[i], left
    try:
        x = stable_pool.balance_for(scaled, i, pool.invariant(), pool.amplification)
    except (SwapError, OverflowError):
        return amount_out
    net = ceil_div((x - held) * PRECISION, pool.rates[i])
    return ceil_div(net * ONE, ONE - pool.fee)


def _concentrated(pool: Concentrated, j: int, amount_out: int) -> int:
    net, left = 0, amount_out
    for start, end, liquidity in ranges(pool, falls=j == 1):
        high, low = max(start, end), min(start, end)
        if j == 1:
            part = min(ceil_div(left << 96, liquidity), high - low)
            left -= liquidity * part >> 96
            low = high - part
            net += ceil_div((liquidity << 96) * part, high * low)
        else:
            stretch = liquidity << 96
            most = stretch // low
            high = min(high, stretch // (most - left)) if left < most else high
            left -= stretch * (high - low) // high // low
            net += ceil_div(liquidity * (high - low), 1 << 96)
        if left <= 0:
            break
    return ceil_div(net * PIPS, PIPS - pool.fee_pips)


def _order_book(offers: tuple[Offer, ...], amount_out: int) -> int:
    total = 0
    for offer in offers:
        if amount_out <= offer.give:
            return total + ceil_div(amount_out * offer.want, offer.give)
        amount_out -= offer.give
        total += offer.want
    return total + 1
