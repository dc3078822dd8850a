"""The bounds of books, quotes, bridges and concentrated pools."""

import random
from collections.abc import Callable
from fractions import Fraction

import pytest
from support.auctions import ETH, USDC
from support.contracts import cases
from support.swap_sequences import best_worth, random_worth

from walras.core.errors import SwapError
from walras.market.kinds import AnyVenue, Bridge, Concentrated, Offer, OrderBook, Rfq, Tick
from walras.market.tick_math import sqrt_price_at
from walras_solvers.bound.ladders import concentrated_bound
from walras_solvers.bound.scale import FINE, UNIT
from walras_solvers.bound.venues import venue_bound


def duals(rng: random.Random, spread: float = 4) -> dict[str, int]:
    return {asset: int(UNIT * 10**15 * rng.uniform(1, spread)) for asset in (ETH, USDC)}


def tiny_book(rng: random.Random) -> OrderBook:
    asks = sorted(
        (Offer(rng.randint(1, 9), rng.randint(9, 18)) for _ in range(3)),
        key=lambda o: Fraction(o.want, o.give),
    )
    bids = sorted(
        (Offer(rng.randint(1, 9), rng.randint(9, 18)) for _ in range(3)),
        key=lambda o: Fraction(o.want, o.give),
    )
    return OrderBook("v", 0, (ETH, USDC), tuple(asks), tuple(bids))


def tiny_bridge(rng: random.Random) -> Bridge:
    capacity = (rng.randint(0, 40), rng.randint(0, 40))
    scaling = rng.choice(((1, 1), (1, 3), (7, 2)))
    flat = (rng.choice((0, 2)), rng.choice((0, 5)))
    fee = rng.choice((0, 10_000, 500_000))
    return Bridge("v", 0, (ETH, USDC), capacity, scaling, fee, flat, 1)


def tiny_quote(rng: random.Random) -> Rfq:
    size, pays = rng.randint(1, 30), rng.randint(1, 60)
    left = rng.randint(0, size)
    return Rfq("v", 0, (ETH, USDC), bytes(32), 0, size, pays, 1, bytes(64), left)


def tiny_concentrated(rng: random.Random) -> Concentrated:
    nets = [Tick(-120, rng.randint(1, 400)), Tick(-60, rng.randint(1, 400))]
    nets += [Tick(60, -nets[0].net), Tick(180, -nets[1].net)]
    inside = nets[0].net + nets[1].net
    tick = rng.randint(-59, 58)
    price = sqrt_price_at(tick) + rng.randint(0, 10**20)
    fee = rng.choice((0, 3_000))
    return Concentrated("v", 0, (ETH, USDC), price, tick, inside, fee, 60, tuple(nets))


@pytest.mark.parametrize("make", [tiny_book, tiny_bridge, tiny_quote, tiny_concentrated])
@pytest.mark.parametrize("seed", range(12))
def test_no_swaps_on_a_tiny_venue_are_worth_more(
    make: Callable[[random.Random], AnyVenue], seed: int
) -> None:
    rng = random.Random(seed)
    venue, prices = make(rng), duals(rng)
    bound = venue_bound(venue, prices)
    assert best_worth(venue, prices, 60, 1) <= bound
    assert best_worth(venue, prices, 14, 2) <= bound
    assert best_worth(venue, prices, 5, 3) <= bound


def test_whole_offers_reach_their_bound() -> None:
    book = OrderBook("v", 3, (ETH, USDC), (Offer(10, 20), Offer(10, 30)), ())
    prices = {ETH: 25 * FINE, USDC: 10 * FINE}
    swap = book.swap(USDC, 20, ETH)
    worth = prices[ETH] * swap.amount_out - prices[USDC] * 20 - 3 * FINE
    assert venue_bound(book, prices) == worth


def test_each_side_of_a_venue_bears_the_cost() -> None:
    book = OrderBook("v", 60, (ETH, USDC), (Offer(10, 20),), (Offer(10, 10),))
    prices = {ETH: 25 * FINE, USDC: 10 * FINE}  # the asks are worth 50, the bids nothing
    assert venue_bound(book, prices) == 0


def test_a_bridge_reaches_its_bound() -> None:
    bridge = Bridge("v", 0, (ETH, USDC), (0, 900), (1, 1), 100_000, (9, 0), 1)
    prices = {ETH: FINE, USDC: 2 * FINE}
    # 909 net of the fee and the flat fee is all it can carry.
    given = 1_010
    assert bridge.swap(ETH, given, USDC).amount_out == 900
    assert venue_bound(bridge, prices) == (2 * 900 - given) * FINE


@pytest.mark.parametrize("seed", range(30))
def test_a_concentrated_pool_comes_near_its_bound(seed: int) -> None:
    rng = random.Random(seed)
    wide, narrow = 10 ** rng.randint(18, 24), 10 ** rng.randint(18, 24)
    ticks = (Tick(-600, wide), Tick(-120, narrow), Tick(60, -narrow), Tick(1_200, -wide))
    price = sqrt_price_at(0) + 7
    pool = Concentrated("v", 0, (ETH, USDC), price, 0, wide + narrow, 500, 60, ticks)
    prices = {ETH: UNIT * 10**18, USDC: int(UNIT * 10**18 * rng.uniform(0.85, 1.2))}
    bound = concentrated_bound(pool, prices)
    best = 0
    for asset_in, asset_out in ((ETH, USDC), (USDC, ETH)):
        low, high = 1, 10 * (wide + narrow)

        def worth(amount: int, give: str = asset_in, take: str = asset_out) -> int:
            try:
                out = pool.swap(give, amount, take).amount_out
            except SwapError:
                return -amount * prices[give]
            return out * prices[take] - amount * prices[give]

        while high - low > 2:  # it has one peak
            third = (high - low) // 3
            if worth(low + third) < worth(high - third):
                low += third
            else:
                high -= third
        best = max(best, worth(low), worth(high))
    assert best <= bound
    assert bound == 0 or bound - best <= bound // 10**4 + 10 * FINE
    assert max(random_worth(pool, prices, rng, 8, wide) for _ in range(10)) <= bound


@pytest.mark.parametrize("seed", range(40))
def test_any_concentrated_pool_keeps_its_bound(seed: int) -> None:
    rng = random.Random(seed)
    pool = cases.concentrated(rng)
    prices = {asset: rng.randrange(1, 1 << rng.randrange(1, 140)) for asset in pool.assets}
    bound = venue_bound(pool, prices)
    for _ in range(10):
        assert random_worth(pool, prices, rng, 6, 10 ** rng.randint(1, 30)) <= bound
