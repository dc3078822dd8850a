"""Venues that trade along ladders of prices: the most that any sequence of swaps is worth.

*Order book.* What a swap takes of an offer it pays at the offer's ratio or worse, and what is left
of the offer has that ratio or a worse one. So all that is ever taken of an offer is worth at most
ν_out·give − ν_in·want, or nothing. The two sides do not feed each other.

*Quote of a maker.* As one offer of what is left, at its exact ratio.

*Bridge.* Each atom paid out needs scale_out / (scale_in·γ) atoms in, and each swap the flat fee
over γ besides: one at least. The input frees no capacity.

*Concentrated pool.* Fees join no liquidity, so only the square-root price p moves, and where it
goes back it goes the same way. Between two prices a swap takes at least X, and pays at most Y, of
the exact integrals of the liquidity: the code rounds the price against the trader and then both
amounts. With prices m between ν and ν/γ a swap gains at most m·Y − m·X = F(p) − F(p'), and F(p) −
min F is a sum over ranges of constant liquidity L of

    L·(c_out·p + c_in/p − 2·√(c_out·c_in))

for the range that holds the price √(c_in/c_out), where gains end, c_in being ν_in/γ; and of the
same difference between both ends for a range that is passed.
"""

from collections.abc import Iterator
from math import isqrt

from walras.sdk import Bridge, Concentrated, Offer, OrderBook, Rfq, ceil_div, price_ranges
from walras_solvers.bound.scale import PIPS, Duals

Q96 = 1 << 96


def book_bounds(book: OrderBook, duals: Duals) -> Iterator[int]:
    """Of each side, in fine units."""
    base, quote = book.assets
    for offers, paid, taken in ((book.asks, base, quote), (book.bids, quote, base)):
        yield _offers(offers, duals[paid], duals[taken])


def _offers(offers: tuple[Offer, ...], paid: int, taken: int) -> int:
    total = 0
    for offer in offers:  # best first
        gain = paid * offer.give - taken * offer.want
        if gain <= 0:
            break
        total += gain
    return total


def rfq_bound(quote: Rfq, duals: Duals) -> int:
    """In fine units."""
    taken, paid = quote.assets
    gain = duals[paid] * quote.amount_out - duals[taken] * quote.amount_in
    return max(0, ceil_div(quote.left * gain, quote.amount_in))


def bridge_bounds(bridge: Bridge, duals: Duals) -> Iterator[int]:
    """Of each direction, in fine units."""
    kept = PIPS - bridge.fee_pips
    for i, j in ((0, 1), (1, 0)):
        (scale_in, scale_out), capacity = (bridge.scaling[i], bridge.scaling[j]), bridge.capacity[j]
        price_in, price_out = duals[bridge.assets[i]], duals[bridge.assets[j]]
        needed = (capacity * scale_out + bridge.flat_fee[i] * scale_in) * PIPS * price_in
        gain = capacity * scale_in * kept * price_out - needed
        yield max(0, ceil_div(gain, scale_in * kept))


def concentrated_bound(pool: Concentrated, duals: Duals) -> int:
    """In fine units. At most one direction gains anything: their end prices are γ² apart."""
    price0, price1 = (duals[asset] for asset in pool.assets)
    kept = PIPS - pool.fee_pips
    return ceil_div(
        _falling(pool, price0, price1, kept) + _rising(pool, price0, price1, kept), kept
    )


def _falling(pool: Concentrated, price0: int, price1: int, kept: int) -> int:
    """Token0 comes in; in fine units times `kept`."""
    taken, paid = price0 * PIPS, price1 * kept
    total = 0
    for begin, end, liquidity in price_ranges(pool, falls=True):
        if taken * Q96 * Q96 >= paid * begin * begin:
            break
        if taken * Q96 * Q96 > paid * end * end:
            return total + _partly(liquidity, taken, paid, begin)
        gap = begin - end
        gain = paid * begin * end - taken * Q96 * Q96
        total += ceil_div(liquidity * gap * gain, Q96 * begin * end)
    return total


def _rising(pool: Concentrated, price0: int, price1: int, kept: int) -> int:
    """Token1 comes in; likewise."""
    taken, paid = price1 * PIPS, price0 * kept
    total = 0
    for begin, end, liquidity in price_ranges(pool, falls=False):
        if taken * begin * begin >= paid * Q96 * Q96:
            break
        if taken * end * end > paid * Q96 * Q96:
            return total + _partly(liquidity, paid, taken, begin)
        gap = end - begin
        gain = paid * Q96 * Q96 - taken * begin * end
        total += ceil_div(liquidity * gap * gain, Q96 * begin * end)
    return total


def _partly(liquidity: int, weight0: int, weight1: int, begin: int) -> int:
    """L·(w1·p + w0/p − 2·√(w0·w1)) at the price p = begin / 2^96, rounded up."""
    ends = ceil_div(liquidity * (weight1 * begin * begin + weight0 * Q96 * Q96), begin * Q96)
    return ends - isqrt(4 * weight0 * weight1 * liquidity * liquidity)
