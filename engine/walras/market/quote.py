"""What the next atom trades at, in integers: for rules that engine and auditor must agree on."""

from dataclasses import dataclass
from math import prod

from walras.core.errors import SwapError
from walras.market.constant_product import PIPS
from walras.market.fixed_point import ONE
from walras.market.kinds import AnyVenue, ConstantProduct, OrderBook, StableSwap, Weighted
from walras.market.stable_swap import A_PRECISION, FEE_DENOMINATOR, invariant

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
            worths = _stable_swap_worths(venue)
            return _pool_quote(
                venue.assets, worths, balances, FEE_DENOMINATOR - fee, FEE_DENOMINATOR
            )
        case OrderBook():
            return _book_quote(venue)


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


def _stable_swap_worths(pool: StableSwap) -> list[tuple[int, int]]:
    # dy/dx = (A·n^n + P/x_i) / (A·n^n + P/x_j), with P = D^(n+1)/(n^n ∏x), from the invariant.
    scaled = pool.scaled()
    if 0 in scaled:
        return []
    try:
        p = d = invariant(scaled, pool.amplification)
    except SwapError:
        return []
    n = len(scaled)
    for x in scaled:
        p = p * d // (x * n)
    ann = pool.amplification * n
    return [
        ((ann * x + A_PRECISION * p) * rate, x) for x, rate in zip(scaled, pool.rates, strict=True)
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


def _quote(
    assets: tuple[str, ...], bids: list[int], asks: list[int], depth: tuple[int, ...]
) -> Quote:
    """Bits that no number needs for its 64 are dropped from all."""
    spare = max(min(x.bit_length() for x in (*bids, *asks) if x) - _SIGNIFICANT_BITS, 0)
    return Quote(assets, tuple(x >> spare for x in bids), tuple(x >> spare for x in asks), depth)
