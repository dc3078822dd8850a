"""Random venues and swaps for the comparison with contracts: the whole range, and its edges."""

from collections.abc import Iterator
from random import Random

from walras.core.errors import Reason, SwapError
from walras.market.constant_product import RESERVE_LIMIT
from walras.market.fixed_point import ONE
from walras.market.kinds import (
    AnyVenue,
    Concentrated,
    ConstantProduct,
    StablePool,
    StableSwap,
    Tick,
    Weighted,
)
from walras.market.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    sqrt_price_at,
    tick_at,
)
from walras.market.weighted import VAULT_LIMIT

ASSETS = tuple(f"eip155:1/erc20:0x{n:040x}" for n in range(8))

Case = tuple[AnyVenue, int, int, int]
"""Venue, place of the asset given, amount, place of the asset paid."""


def size(rng: Random, bits: int) -> int:
    """1 to 2^bits - 1, every order of magnitude alike."""
    length = rng.randint(1, bits)
    return rng.randrange(1 << (length - 1), 1 << length)


def pairs(rng: Random) -> Iterator[Case]:
    """Uniswap v2: its one fee; reserves and amounts of up to 112 bits, and a little more."""
    while True:
        reserves = tuple(
            rng.choice((size(rng, 112), size(rng, 90), RESERVE_LIMIT - rng.randint(1, 3)))
            for _ in range(2)
        )
        venue = ConstantProduct("v", 0, ASSETS[:2], reserves, 3_000)
        i = rng.randrange(2)
        room = RESERVE_LIMIT - reserves[i]
        for amount in (1, size(rng, 113), _near(rng, reserves[i]), room - 1, room):
            if amount > 0:
                yield venue, i, amount, 1 - i


def weighted_pools(rng: Random) -> Iterator[Case]:
    """Balancer: weights from 1 % to 99 %, some of them the short cuts of its powers."""
    while True:
        count = rng.randint(2, 4)
        parts = [rng.choice((1, 2, 4, rng.randint(1, 32))) for _ in range(count)]
        weights = [ONE // 100 + 0] * count
        rest = ONE - sum(weights)
        weights = [w + rest * part // sum(parts) for w, part in zip(weights, parts, strict=True)]
        if rng.random() < 0.4:
            share = rng.choice((50, 80, 20, 1, 99, 34)) * ONE // 100
            weights = [share, ONE - share]
        weights[-1] += ONE - sum(weights)
        count = len(weights)
        scaling = tuple(rng.choice((1, 10**10, 10**12, ONE)) for _ in range(count))
        bits = rng.choice((112, 90))
        balances = tuple(size(rng, bits) for _ in range(count))
        fee = rng.choice((0, 10**12, 3 * 10**15, 10**17, rng.randrange(ONE)))
        venue = Weighted("v", 0, ASSETS[:count], balances, tuple(weights), scaling, fee)
        i, j = rng.sample(range(count), 2)
        most = balances[i] * 3 // 10 * ONE // (ONE - fee)
        near = [most - 1, most, most + 1, balances[i] * rng.randint(1, 400) // 1_000]
        for amount in (1, size(rng, 112), rng.randint(1, 10**6), *near, VAULT_LIMIT - balances[i]):
            if amount > 0:
                yield venue, i, amount, j


def stable_pools(rng: Random) -> Iterator[Case]:
    """Balancer's stable pools, balanced and not, up to what the Vault holds."""
    while True:
        count = rng.randint(2, 5)
        balances, rates = _stable(rng, count, 112)
        fee = rng.choice((0, 10**12, 4 * 10**14, 10**17, rng.randrange(ONE)))
        amplification = rng.choice((1_000, 200_000, 5_000_000, rng.randint(1_000, 5_000_000)))
        venue = StablePool("v", 0, ASSETS[:count], balances, rates, amplification, fee)
        yield from _stable_swaps(rng, venue, 112)


def stable_swaps(rng: Random) -> Iterator[Case]:
    """Curve's pools, of two to four coins, up to where its words end."""
    while True:
        count = rng.randint(2, 4)
        balances, rates = _stable(rng, count, rng.choice((100, 120, 160)))
        fee = rng.choice((0, 4_000_000, rng.randrange(10**10)))
        amplification = rng.choice((100, 10_000, 200_000, rng.randint(100, 10**8)))
        venue = StableSwap("v", 0, ASSETS[:count], balances, rates, amplification, fee)
        yield from _stable_swaps(rng, venue, 160)


def _stable(rng: Random, count: int, bits: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    decimals = [rng.choice((6, 8, 18)) for _ in range(count)]
    rates = tuple(
        10 ** (36 - d) * (rng.randint(ONE, 2 * ONE) if rng.random() < 0.2 else ONE) // ONE
        for d in decimals
    )
    if rng.random() < 0.3:
        return tuple(size(rng, bits) for _ in range(count)), rates
    whole = size(rng, 40)
    spread = rng.choice((2, 20, 1_000))
    shares = [rng.randint(1_000, 1_000 * spread) for _ in range(count)]
    balances = [share * whole * 10**d // 1_000 for share, d in zip(shares, decimals, strict=True)]
    return tuple(min(balance, (1 << 112) - 1) for balance in balances), rates


def _stable_swaps(rng: Random, venue: StablePool | StableSwap, bits: int) -> Iterator[Case]:
    i, j = rng.sample(range(len(venue.assets)), 2)
    held = venue.balances[i]
    drain = venue.balances[j] * venue.rates[j] // venue.rates[i]
    near = [_near(rng, held), held * rng.randint(1, 100) // 1_000, drain, drain * 100]
    for amount in (1, size(rng, bits), rng.randint(1, 10**6), *near):
        if amount > 0:
            yield venue, i, amount, j


def concentrated_pools(rng: Random) -> Iterator[Case]:
    """Uniswap v3: positions of every width and size, gaps between them, prices anywhere and on
    ticks; amounts that end on, just before and just behind a tick, or take all there is.
    """
    while True:
        venue = concentrated(rng)
        i = rng.randrange(2)
        amounts = [1, rng.randint(1, 10**6), size(rng, 128), size(rng, 100)]
        if rng.random() < 0.3:
            amounts += _around(borders(venue, i, rng))
        for amount in amounts:
            if amount > 0:
                yield venue, i, amount, 1 - i


def concentrated(rng: Random) -> Concentrated:
    """A pool that the contract could have come to."""
    fee, spacing = rng.choice(((500, 10), (3_000, 60), (10_000, 200), (100, 1), (0, 16_383)))
    last = MAX_TICK // spacing
    # With narrow spacing an open range has thousands of words: seldom, as each is a step.
    widest = last if spacing > 10 or rng.random() < 0.02 else 2_000
    middle = rng.randint(-last, last) if rng.random() < 0.2 else rng.randint(-last, last) // 10
    nets: dict[int, int] = {}
    for _ in range(rng.choice((1, 1, 2, 3, 5, 12))):
        width = size(rng, widest.bit_length())
        low = middle + rng.randint(-width, width // 4)
        low, high = max(low, -last), min(low + width, last)
        if low >= high:
            continue
        liquidity = size(rng, rng.choice((40, 80, 110)))
        nets[low * spacing] = nets.get(low * spacing, 0) + liquidity
        nets[high * spacing] = nets.get(high * spacing, 0) - liquidity
    ticks = tuple(Tick(index, nets[index]) for index in sorted(nets))
    price, tick = _price(rng, middle * spacing, spacing, sorted(nets))
    in_range = sum(known.net for known in ticks if known.index <= tick)
    return Concentrated("v", 0, ASSETS[:2], price, tick, in_range, fee, spacing, ticks)


def _price(rng: Random, middle: int, spacing: int, indexes: list[int]) -> tuple[int, int]:
    place = rng.random()
    if indexes and place < 0.3:
        # On an initialized tick, or an atom beside it, or come to it from above.
        index = rng.choice(indexes)
        price = sqrt_price_at(index) + rng.randint(-1, 1)
        price = min(max(price, MIN_SQRT_PRICE), MAX_SQRT_PRICE - 1)
        tick = tick_at(price)
        if price == sqrt_price_at(tick) and tick > MIN_TICK and rng.random() < 0.5:
            tick -= 1
        return price, tick
    if place < 0.35:
        price = rng.choice((MIN_SQRT_PRICE, MIN_SQRT_PRICE + 1, MAX_SQRT_PRICE - 1))
        return price, tick_at(price)
    tick = min(max(middle + rng.randint(-spacing * 20, spacing * 20), MIN_TICK), MAX_TICK - 1)
    low, high = sqrt_price_at(tick), sqrt_price_at(tick + 1)
    return rng.randrange(low, high), tick


def borders(venue: Concentrated, i: int, rng: Random) -> list[int]:
    """The inputs that just reach some tick on the way, and that just take all there is."""

    def least(reached: int | None) -> int:
        low, high = 0, 1 << 200
        while high - low > 1:
            amount = (low + high) // 2
            try:
                tick = venue.swap(venue.assets[i], amount, venue.assets[1 - i]).after.tick
                past = reached is not None and (tick < reached if i == 0 else tick >= reached)
            except SwapError as error:
                past = error.reason is Reason.SWAP_LIQUIDITY
            low, high = (low, amount) if past else (amount, high)
        return high

    ahead = [t.index for t in venue.ticks if (t.index <= venue.tick) == (i == 0)]
    return [least(rng.choice(ahead)), least(None)] if ahead else []


def _around(amounts: list[int]) -> list[int]:
    return [amount + step for amount in amounts for step in (-1, 0, 1)]


def _near(rng: Random, number: int) -> int:
    return max(1, number * rng.randint(1, 2_000) // 1_000 + rng.randint(-2, 2))
