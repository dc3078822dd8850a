"""What the next atom trades at, in floating point: for solvers to search with, never normative."""

from walras.core.errors import SwapError
from walras.market.concentrated import ranges
from walras.market.constant_product import PIPS
from walras.market.fixed_point import ONE
from walras.market.kinds import (
    AnyVenue,
    Bridge,
    Concentrated,
    ConstantProduct,
    OrderBook,
    Rfq,
    StablePool,
    StableSwap,
    Weighted,
)
from walras.market.stable_pool import AMP_PRECISION
from walras.market.stable_swap import A_PRECISION, FEE_DENOMINATOR
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
        case StableSwap(fee=fee):
            gain, price = _stable(venue, A_PRECISION, i, j)
            return _ratio(gain * (FEE_DENOMINATOR - fee), price * FEE_DENOMINATOR)
        case StablePool(fee=fee):
            gain, price = _stable(venue, AMP_PRECISION, i, j)
            return _ratio(gain * (ONE - fee), price * ONE)
        case OrderBook(asks=asks, bids=bids):
            offers = (asks, bids)[j]
            return _ratio(offers[0].give, offers[0].want) if offers else 0.0
        case Concentrated(fee_pips=fee):
            root, _, _ = next(ranges(venue, falls=i == 0), (0, 0, 0))
            token0, token1 = 1 << 192, root**2
            paid, given = (token1, token0) if i == 0 else (token0, token1)
            return _ratio((PIPS - fee) * paid, PIPS * given) if root else 0.0
        case Bridge(capacity=capacity, scaling=scaling, fee_pips=fee):
            return _ratio((PIPS - fee) * scaling[i], PIPS * scaling[j]) if capacity[j] else 0.0
        case Rfq(amount_in=want, amount_out=give, left=left):
            return _ratio(give, want) if i == 0 and left * give >= want else 0.0


def _stable(pool: StableSwap | StablePool, a_precision: int, i: int, j: int) -> tuple[int, int]:
    """The price before the fee, as numerator and denominator; 0 where there is none."""
    # With P = D^(n+1)/(n^n ∏x): dy/dx = (A·n^n + P/x_i) / (A·n^n + P/x_j), from the invariant.
    scaled = pool.scaled()
    if 0 in scaled:
        return 0, 1
    try:
        p = d = pool.invariant()
    except SwapError:
        return 0, 1
    n = len(scaled)
    for x in scaled:
        p = p * d // (x * n)
    ann = pool.amplification * n
    x_i, x_j = scaled[i], scaled[j]
    gain = (ann * x_i + a_precision * p) * x_j * pool.rates[i]
    price = (ann * x_j + a_precision * p) * x_i * pool.rates[j]
    return gain, price


def _ratio(a: int, b: int) -> float:
    if not a or not b:
        return 0.0
    try:
        return a / b
    except OverflowError:
        return float("inf")
