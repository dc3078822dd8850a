"""One exact quote of each kind of venue, with the state after the swap: median CPU time.

CPU time, as these are microseconds of one thread and other processes may share the machine.
"""

import statistics
import time
from collections.abc import Callable

from walras.audit.keys import Signer
from walras.core.errors import SwapError
from walras.market.fixed_point import ONE
from walras.market.inverse import least_input
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
    Tick,
    Weighted,
)
from walras.market.tick_math import sqrt_price_at

X = "eip155:1/erc20:0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
Y = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
Z = "eip155:1/erc20:0x6b175474e89094c44da98b954eedeac495271d0f"

ROUNDS, CALLS = 41, 400
CROSSED = (0, 1, 4, 16, 64, 256)


def run() -> None:
    """Print the table."""
    print("\nvenues: one exact quote, median")
    for name, venue, amount in _venues():
        print(f"  {name:<34} {_median(_quote(venue, amount)):7.2f} µs")
    base = 0.0
    for crossed in CROSSED:
        venue, amount = _crossing(crossed)
        took = _median(_quote(venue, amount))
        base = took if crossed == 0 else base
        each = f"{(took - base) / crossed:5.2f} µs a tick" if crossed else ""
        print(f"  {f'concentrated, {crossed} ticks crossed':<34} {took:7.2f} µs  {each}")


def _venues() -> list[tuple[str, AnyVenue, int]]:
    eth, usd = 123_456_789_012_345_678_901_234, 98_765_432_109_876
    pair, held, to_18 = (X, Y), (eth, usd), (1, 10**12)
    plain, odd = (8 * ONE // 10, ONE // 5), (8 * ONE // 10 - 1, ONE // 5 + 1)
    weighted = Weighted("v", 0, pair, held, odd, to_18, 10**15)
    coins = ((X, Y, Z), (50 * 10**24, 60 * 10**12, 40 * 10**24), (ONE, 10**30, ONE))
    two = tuple(part[:2] for part in coins)
    offers = tuple(Offer(10**9, ONE + k) for k in range(64))
    maker = Signer.from_seed(bytes(32)).public_key
    quote = Rfq("v", 0, pair, maker, 0, 10**21, 2 * 10**12, 0, bytes(64), 10**21)
    bridge = Bridge("v", 0, pair, (10**30, 10**18), to_18, 500, (10**15, 10**6), 0)
    return [
        ("constant product", ConstantProduct("v", 0, pair, held, 3_000), ONE),
        ("weighted 80/20", Weighted("v", 0, pair, held, plain, to_18, 10**15), ONE),
        ("weighted, any exponent", weighted, ONE),
        ("weighted, a fifth of the balance", weighted, eth // 5),
        ("StableSwap, 2 coins", StableSwap("v", 0, *two, 200_000, 4_000_000), 10**22),
        ("StableSwap, 3 coins", StableSwap("v", 0, *coins, 200_000, 4_000_000), 10**22),
        ("stable pool, 3 coins", StablePool("v", 0, *coins, 2_000_000, 4 * 10**14), 10**22),
        ("order book, 32 of 64 offers", OrderBook("v", 0, (Y, X), offers, ()), 32 * ONE + 500),
        ("bridge", bridge, 10**20),
        ("quote of a maker", quote, ONE),
    ]


def _crossing(crossed: int) -> tuple[Concentrated, int]:
    """A pool with a tick at every spacing, and an input that crosses so many and a half."""
    spacing, ticks = 60, 300
    step = 10**15
    nets = [Tick(60 * k, step) for k in range(-ticks, 0)]
    nets += [Tick(60 * k, -step) for k in range(1, ticks + 1)]
    price = sqrt_price_at(30)
    pool = Concentrated("v", 0, (X, Y), price, 30, ticks * step, 3_000, spacing, tuple(nets))
    # Upwards from tick 30: what it takes to stand in the middle between two ticks.
    within = spacing * (crossed + 1) - 30 if crossed else 31

    def reaches(amount: int) -> bool:
        try:
            return pool.swap(Y, amount, X).after.tick >= within
        except SwapError:
            return True

    low, high = 1, 1 << 40
    while not reaches(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    after = pool.swap(Y, high, X).after
    assert sum(pool.tick < tick.index <= after.tick for tick in pool.ticks) == crossed
    assert least_input(pool, Y, X, pool.swap(Y, high, X).amount_out) <= high
    return pool, high


def _quote(venue: AnyVenue, amount: int) -> Callable[[], object]:
    # Quote asset in for a book's asks, token1 in for a concentrated pool.
    turned = isinstance(venue, Concentrated | OrderBook)
    asset_in, asset_out = reversed(venue.assets[:2]) if turned else venue.assets[:2]
    return lambda: venue.swap(asset_in, amount, asset_out)


def _median(call: Callable[[], object]) -> float:
    """Microseconds for one call: the median of rounds of many."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(CALLS):
            call()
        times.append((time.process_time() - start) / CALLS)
    return statistics.median(times) * 1e6
