"""What it takes to push a venue's price: atoms that it pays out until the price moved a little.

A little is a square root of the price by 1/40 up or down, so a price by about 5 %. Reserves far
from the present price protect nothing, so they count for nothing.
"""

from collections.abc import Sequence

from walras.market.concentrated import ranges
from walras.market.kinds import (
    AnyVenue,
    Bridge,
    Concentrated,
    ConstantProduct,
    Offer,
    OrderBook,
    Rfq,
    StablePool,
    StableSwap,
    Weighted,
)

_FROM, _TO = 40, 41


def near_depth(venue: AnyVenue) -> tuple[int, ...]:
    """Atoms of each of the venue's assets, in its order.

    Exact for a constant product, a concentrated pool and a book: a constant product whose square
    root of the price moves from 40 to 41 pays 1/41 of what it holds. Other pools are taken to pay
    as much; those that are balanced pay more. A bridge pays all at one price, a maker's quote has
    one side and no price to push.
    """
    match venue:
        case ConstantProduct(reserves=held):
            return tuple(atoms // _TO for atoms in held)
        case Weighted(balances=held) | StableSwap(balances=held) | StablePool(balances=held):
            return tuple(atoms // _TO for atoms in held)
        case OrderBook(asks=asks, bids=bids):
            return _near_best(asks), _near_best(bids)
        case Concentrated():
            return _near_price(venue)
        case Bridge(capacity=capacity):
            return capacity
        case Rfq():
            return 0, 0


def _near_best(offers: Sequence[Offer]) -> int:
    """What those offers give that want at most (41/40)^2 as much per atom as the best one."""
    total = 0
    for offer in offers:
        best = offers[0]
        if offer.want * best.give * _FROM**2 > best.want * offer.give * _TO**2:
            break
        total += offer.give
    return total


def _near_price(pool: Concentrated) -> tuple[int, int]:
    """From where something trades on, in either direction."""
    token0 = token1 = 0
    border = 0
    for begin, end, liquidity in ranges(pool, falls=False):
        border = border or begin * _TO // _FROM
        if begin >= border:
            break
        stop = min(end, border)
        token0 += (liquidity << 96) * (stop - begin) // stop // begin
    border = 0
    for begin, end, liquidity in ranges(pool, falls=True):
        border = border or begin * _FROM // _TO
        if begin <= border:
            break
        token1 += liquidity * (begin - max(end, border)) >> 96
    return token0, token1
