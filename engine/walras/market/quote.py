"""What the next atom trades at, in integers: for rules that engine and auditor must agree on."""

from dataclasses import dataclass
from math import prod

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

_SIGNIFICANT_BITS = 64


@dataclass(frozen=True, slots=True)
class Quote:
    """What a venue trades at, in whole numbers: floats would not agree on two machines.

    For an infinitely small swap it pays bids[i] / asks[j] atoms of asset j per atom of asset i,
    after its fee: the venue's `spot_price`. A common unit, different from one quote to the next,
    cancels out. Each number has 64 significant bits or more, or is exact, so a price is off by less
    than one part in 2^62; a StableSwap pool's also by its invariant's last atoms.

    Attributes:
        assets: the venue's.
        bids: what it credits for an atom paid in; 0 where it takes none.
        asks: what it charges for an atom paid out; 0 where it pays none.
        depth: atoms that it can pay out. All three are empty where it can do no swap.
    """

    assets: tuple[str, ...]
    bids: tuple[int, ...] = ()
    asks: tuple[int, ...] = ()
    depth: tuple[int, ...] = ()


def quote_of(venue: AnyVenue) -> Quote:
    """What the venue trades at; without numbers where it can do no swap."""
    match venue:
        case ConstantProduct(reserves=reserves, fee_pips=fee):
            worths = [(1, reserve) for reserve in reserves] if all(reserves) else []
            return _pool_quote(venue.assets, worths, reserves, PIPS - fee, PIPS)
        case Weighted(balances=balances, weights=weights, fee=fee):
            worths = list(zip(weights, balances, strict=True))
            return _pool_quote(venue.assets, worths, balances, ONE - fee, ONE)
        case StableSwap(balances=balances, fee=fee):
            worths = _stable_worths(venue, A_PRECISION)
            return _pool_quote(
                venue.assets, worths, balances, FEE_DENOMINATOR - fee, FEE_DENOMINATOR
            )
        case StablePool(balances=balances, fee=fee):
            worths = _stable_worths(venue, AMP_PRECISION)
            return _pool_quote(venue.assets, worths, balances, ONE - fee, ONE)
        case OrderBook():
            return _book_quote(venue)
        case Concentrated():
            return _concentrated_quote(venue)
        case Bridge():
            return _bridge_quote(venue)
        case Rfq(amount_in=want, amount_out=give):
            depth = venue.left * give // want
            return (
                _quote(venue.assets, [give, 0], [0, want], (0, depth))
                if depth
                else Quote(venue.assets)
            )


def _pool_quote(
    assets: tuple[str, ...],
    worths: list[tuple[int, int]],
    balances: tuple[int, ...],
    kept: int,
    whole: int,
) -> Quote:
    """At the margin an atom of each asset is worth numerator / denominator, the balance behind it;
    of what comes in, the part kept / whole trades.
    """
    if sum(1 for _, balance in worths if balance) < 2:
        return Quote(assets)
    common = prod(balance for _, balance in worths if balance)
    scaled = [worth * common // balance if balance else 0 for worth, balance in worths]
    return _quote(assets, [kept * x for x in scaled], [whole * x for x in scaled], balances)


def _stable_worths(pool: StableSwap | StablePool, a_precision: int) -> list[tuple[int, int]]:
    # dy/dx = (A·n^n + P/x_i) / (A·n^n + P/x_j), with P = D^(n+1)/(n^n ∏x), from the invariant.
    scaled = pool.scaled()
    if 0 in scaled:
        return []
    try:
        p = d = pool.invariant()
    except SwapError:
        return []
    n = len(scaled)
    for x in scaled:
        p = p * d // (x * n)
    ann = pool.amplification * n
    return [
        ((ann * x + a_precision * p) * rate, x) for x, rate in zip(scaled, pool.rates, strict=True)
    ]


def _book_quote(book: OrderBook) -> Quote:
    if not (book.asks or book.bids):
        return Quote(book.assets)
    # In atoms of the quote asset, times what the best bid wants and what the best ask gives.
    give, want = (book.bids[0].give, book.bids[0].want) if book.bids else (0, 1)
    gives, wants = (book.asks[0].give, book.asks[0].want) if book.asks else (1, 0)
    unit = want * gives
    return _quote(
        book.assets,
        bids=[give * gives, unit if book.asks else 0],
        asks=[wants * want, unit if book.bids else 0],
        depth=(sum(o.give for o in book.asks), sum(o.give for o in book.bids)),
    )


def _concentrated_quote(pool: Concentrated) -> Quote:
    # In atoms of token1, times 2^192. Where nothing is in range the price jumps to where something
    # is, so that buyers and sellers of token0 may meet different prices.
    kept, one = PIPS - pool.fee_pips, 1 << 192
    below, above = list(ranges(pool, falls=True)), list(ranges(pool, falls=False))
    bids, asks = [0, 0], [0, 0]
    if below:
        bids[0], asks[1] = kept * below[0][0] ** 2, PIPS * one
    if above:
        bids[1], asks[0] = kept * one, PIPS * above[0][0] ** 2
    depth = (
        sum((liquidity << 96) * (end - start) // end // start for start, end, liquidity in above),
        sum(liquidity * (start - end) >> 96 for start, end, liquidity in below),
    )
    return _quote(pool.assets, bids, asks, depth)


def _bridge_quote(bridge: Bridge) -> Quote:
    # For an amount against which the flat fee counts for nothing.
    first, second = bridge.scaling
    pays_first, pays_second = (1 if atoms else 0 for atoms in bridge.capacity)
    kept = PIPS - bridge.fee_pips
    return _quote(
        bridge.assets,
        bids=[kept * first * pays_second, kept * second * pays_first],
        asks=[PIPS * first * pays_first, PIPS * second * pays_second],
        depth=bridge.capacity,
    )


def _quote(
    assets: tuple[str, ...], bids: list[int], asks: list[int], depth: tuple[int, ...]
) -> Quote:
    """Bits that no number needs for its 64 are dropped from all."""
    lengths = [x.bit_length() for x in (*bids, *asks) if x]
    if not lengths:
        return Quote(assets)
    spare = max(min(lengths) - _SIGNIFICANT_BITS, 0)
    return Quote(assets, tuple(x >> spare for x in bids), tuple(x >> spare for x in asks), depth)
