"""What the next atom trades at, in floating point: for solvers to search with, never normative."""

from walras.core.errors import SwapError
from walras.market.constant_product import PIPS
from walras.market.fixed_point import ONE
from walras.market.kinds import AnyVenue, ConstantProduct, OrderBook, StableSwap, Weighted
from walras.market.stable_swap import A_PRECISION, FEE_DENOMINATOR, invariant
from walras.market.state import places


def spot_price(venue: AnyVenue, asset_in: str, asset_out: str) -> float:
    """Atoms of `asset_out` per atom of `asset_in` for an infinitely small swap, after the fee.

    0.0 where the venue can pay nothing. Integers are divided last and once, so that amounts of any
    size keep a float's whole precision.

    Raises:
        SwapError: SWAP_ASSETS.
    """
    i, j = places(venue, asset_in, 1, asset_out)
    match venue:
        case ConstantProduct(reserves=reserves, fee_pips=fee):
            return _ratio((PIPS - fee) * reserves[j], PIPS * reserves[i])
        case Weighted(balances=balances, weights=weights, fee=fee):
            return _ratio((ONE - fee) * balances[j] * weights[i], ONE * balances[i] * weights[j])
        case StableSwap():
            return _stable_swap(venue, i, j)
        case OrderBook(asks=asks, bids=bids):
            offers = (asks, bids)[j]
            return _ratio(offers[0].give, offers[0].want) if offers else 0.0


def _stable_swap(pool: StableSwap, i: int, j: int) -> float:
    # With P = D^(n+1)/(n^n ∏x): dy/dx = (A·n^n + P/x_i) / (A·n^n + P/x_j), from the invariant.
    scaled = pool.scaled()
    if 0 in scaled:
        return 0.0
    try:
        p = d = invariant(scaled, pool.amplification)
    except SwapError:
        return 0.0
    n = len(scaled)
    for x in scaled:
        p = p * d // (x * n)
    ann = pool.amplification * n
    x_i, x_j = scaled[i], scaled[j]
    gain = (ann * x_i + A_PRECISION * p) * x_j * pool.rates[i] * (FEE_DENOMINATOR - pool.fee)
    price = (ann * x_j + A_PRECISION * p) * x_i * pool.rates[j] * FEE_DENOMINATOR
    return _ratio(gain, price)


def _ratio(a: int, b: int) -> float:
    if not a or not b:
        return 0.0
    try:
        return a / b
    except OverflowError:
        return float("inf")
