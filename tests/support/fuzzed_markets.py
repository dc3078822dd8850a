"""Small markets of everything: every kind of venue and shape of intent, over several chains.

Venues and intents are drawn one by one, each from a seed, so that hypothesis leaves out those that
a failure does not need. Most stand near fair prices, so that there is something to bid for; the
others are of any size and at any price.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt
from random import Random

from hypothesis import strategies as st

from support.auctions import NOW, intent, key
from support.contracts import cases
from walras.core.errors import InvalidInput
from walras.core.intents import Decay, Intent, least_fill
from walras.ledger.book import Book, BookEntry
from walras.market.kinds import (
    KINDS,
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
from walras.market.tick_math import sqrt_price_at, tick_at
from walras.protocol.problem import Price, Problem, Rules

ONE = 10**18
MOST = (1 << 255) - 1


@dataclass(frozen=True)
class Priced:
    """An asset, the decimals it has, and dollars for a whole one."""

    id: str
    decimals: int
    dollars: Fraction

    def atoms(self, dollars: float) -> int:
        return max(1, int(Fraction(dollars) / self.dollars * 10**self.decimals))


def _priced(name: str, decimals: int, dollars: str) -> Priced:
    return Priced(name, decimals, Fraction(dollars))


ETH = _priced("eip155:1/slip44:60", 18, "3000")
USDC = _priced("eip155:1/erc20:0x00000000000000000000000000000000000000aa", 6, "1")
DAI = _priced("eip155:1/erc20:0x00000000000000000000000000000000000000bb", 18, "1")
BTC = _priced("eip155:1/erc20:0x00000000000000000000000000000000000000cc", 8, "90000")
DUST = _priced("eip155:1/erc20:0x00000000000000000000000000000000000000dd", 18, "0.000000001")
OPTION = _priced("eip155:1/option:ETH-20271225-4000-C", 0, "200")
ETH_10 = _priced("eip155:10/slip44:60", 18, "3000")
USDC_10 = _priced("eip155:10/erc20:0x00000000000000000000000000000000000000aa", 6, "1")
SOL = _priced("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/slip44:501", 9, "150")
UNPRICED = _priced("eip155:1/erc20:0x00000000000000000000000000000000000000ee", 18, "7")

PRICED = (ETH, USDC, DAI, BTC, DUST, OPTION, ETH_10, USDC_10, SOL)
LISTED = (*PRICED, UNPRICED)
BRIDGED = ((ETH, ETH_10), (USDC, USDC_10))
OWNERS = ("ann", "bob", "cat", "dan")


@st.composite
def markets(draw: st.DrawFn) -> Problem:
    """A sealed problem of up to eight venues and nine intents."""
    seeds = st.integers(0, (1 << 32) - 1)
    kinds = st.tuples(st.sampled_from(KINDS), seeds)
    shapes = st.tuples(st.sampled_from(("sell", "buy", "legs")), st.sampled_from(OWNERS), seeds)
    chosen = draw(st.integers(0, 8).flatmap(lambda n: st.lists(kinds, min_size=n, max_size=n)))
    drawn = draw(st.integers(1, 9).flatmap(lambda n: st.lists(shapes, min_size=n, max_size=n)))
    rng = Random(draw(seeds))
    few = list(LISTED)
    if rng.random() < 0.8:
        few = rng.choice(((USDC, ETH), *BRIDGED))
        few = [*few, *rng.sample([one for one in LISTED if one not in few], rng.randint(1, 2))]
    venues = [
        venue(f"{i}-{kind}", kind, few, Random(seed)) for i, (kind, seed) in enumerate(chosen)
    ]
    intents = [order(shape, owner, few, Random(seed)) for shape, owner, seed in drawn]
    return sealed([made for made in intents if made is not None], venues, rng)


def sealed(intents: list[Intent], venues: list[AnyVenue], rng: Random) -> Problem:
    """What the engine's own book freezes of them, some partly filled before."""
    book = Book()
    needs: defaultdict[tuple[bytes, str], list[int]] = defaultdict(list)
    for number, drawn in enumerate(intents):
        made = replace(drawn, nonce=number)
        left = rng.randint(1, made.units) if rng.random() < 0.2 else made.units
        name = hashlib.sha256(f"{number}".encode()).digest()
        book.add(BookEntry(name, made, number, left))
        for asset, amount in made.needs(left, made.limit_at(NOW)).items():
            needs[made.owner, asset].append(amount)
    held = {account: _balance(rng, amounts) for account, amounts in needs.items()}
    eligible, balances = book.eligible(NOW, lambda owner, asset: held.get((owner, asset), 0))
    off = rng.choice((0.0, 0.01, 0.2))
    return Problem(
        domain="test",
        auction_id=7,
        sealed_ms=NOW,
        rules=Rules(collar_bps=rng.choice((1_000, 1_000, 1_000, 300, 0, 10_000))),
        intents=eligible,
        balances=balances,
        venues={one.id: one for one in sorted(venues, key=lambda one: one.id)},
        prices={one.id: Price(_reference(one, rng.gauss(1, off)), "test") for one in PRICED},
    )


def _reference(asset: Priced, off: float) -> int:
    units = Fraction(max(off, 0.01)) * asset.dollars / ETH.dollars * 10**9
    return max(1, int(units * 10 ** (18 - asset.decimals)))


def _balance(rng: Random, needs: list[int]) -> int:
    """What an owner has of what its intents need: all, the most, less, or far more."""
    place = rng.random()
    if place < 0.4:
        return min(sum(needs), MOST)
    if place < 0.7:
        return max(needs)
    if place < 0.9:
        return sum(needs) * rng.randint(1, 100) // 100
    return rng.choice((MOST, min(sum(needs) * 1_000, MOST)))


# --- venues --------------------------------------------------------------------------------------


def venue(name: str, kind: str, listed: list[Priced], rng: Random) -> AnyVenue:
    """One of the kind, near fair prices or not."""
    cost = rng.choice((0, 0, 0, 1, 10**3, 10**5, 10**6, 10**9))
    if rng.random() < 0.02:
        cost = rng.randrange(1 << 62)
    made = None
    if rng.random() < 0.85:
        try:
            made = FAIR[kind](listed, rng)
        except InvalidInput:
            made = None  # deeper than the kind allows
    if made is None:
        made = WILD[kind](rng)
        assets = [asset.id for asset in rng.sample(LISTED, len(made.assets))]
        made = replace(made, assets=tuple(assets))
    return replace(made, id=name, cost=cost)


def _depth(rng: Random) -> float:
    """Dollars."""
    return 10 ** rng.choice((rng.uniform(3, 8), rng.uniform(-6, 12)))


def _pair(listed: list[Priced], rng: Random) -> tuple[Priced, Priced]:
    first, second = rng.sample(listed, 2)
    return first, second


def _near(rng: Random) -> float:
    return rng.lognormvariate(0, 0.02)


def _constant_product(listed: list[Priced], rng: Random) -> AnyVenue:
    a, b = _pair(listed, rng)
    side = _depth(rng)
    reserves = (a.atoms(side * _near(rng)), b.atoms(side))
    return ConstantProduct("v", 0, (a.id, b.id), reserves, rng.choice((0, 500, 3_000, 10_000)))


def _weighted(listed: list[Priced], rng: Random) -> AnyVenue:
    members = rng.sample(listed, rng.randint(2, min(4, len(listed))))
    parts = [rng.randint(1, 8) for _ in members]
    weights = [ONE * part // sum(parts) for part in parts]
    weights[0] += ONE - sum(weights)
    whole = _depth(rng)
    return Weighted(
        "v",
        0,
        tuple(one.id for one in members),
        tuple(
            one.atoms(whole * _near(rng) * part / sum(parts))
            for one, part in zip(members, parts, strict=True)
        ),
        tuple(weights),
        tuple(10 ** (18 - one.decimals) for one in members),
        rng.choice((0, 10**12, 10**15, 3 * 10**16)),
    )


def _stable(listed: list[Priced], rng: Random) -> tuple[tuple[str, ...], list[int], list[int]]:
    """Assets, balances, rates that make them worth the same."""
    members = rng.sample(listed, rng.randint(2, min(4, len(listed))))
    side = _depth(rng)
    balances = [one.atoms(side * rng.uniform(0.3, 1)) for one in members]
    rates = [max(1, int(one.dollars * 10 ** (36 - one.decimals))) for one in members]
    return tuple(one.id for one in members), balances, rates


def _stable_swap(listed: list[Priced], rng: Random) -> AnyVenue:
    assets, balances, rates = _stable(listed, rng)
    amplification = 100 * rng.choice((1, 100, 2_000))
    fee = rng.choice((0, 4 * 10**6, 10**8))
    return StableSwap("v", 0, assets, tuple(balances), tuple(rates), amplification, fee)


def _stable_pool(listed: list[Priced], rng: Random) -> AnyVenue:
    assets, balances, rates = _stable(listed, rng)
    amplification = 1_000 * rng.choice((1, 100, 2_000))
    fee = rng.choice((0, 4 * 10**14, 10**16))
    return StablePool("v", 0, assets, tuple(balances), tuple(rates), amplification, fee)


def _order_book(listed: list[Priced], rng: Random) -> AnyVenue:
    base, quote = _pair(listed, rng)
    sides = []
    for give, want in ((base, quote), (quote, base)):
        offers = []
        for _ in range(rng.randint(0, 5)):
            size = _depth(rng) / 10
            offers.append(Offer(give.atoms(size), want.atoms(size * rng.uniform(1, 1.05))))
        sides.append(sorted(offers, key=lambda offer: Fraction(offer.want, offer.give)))
    asks, bids = sides
    while asks and bids and bids[0].give * asks[0].give > bids[0].want * asks[0].want:
        bids.pop(0)
    return OrderBook("v", 0, (base.id, quote.id), tuple(asks), tuple(bids))


def _concentrated(listed: list[Priced], rng: Random) -> AnyVenue:
    a, b = _pair(listed, rng)
    ratio = b.dollars and (a.dollars / 10**a.decimals) / (b.dollars / 10**b.decimals)
    ratio *= Fraction(_near(rng))
    price = isqrt(int(ratio * (1 << 192)))
    spacing = rng.choice((1, 10, 60, 200))
    tick = tick_at(price)
    nets: defaultdict[int, int] = defaultdict(int)
    for _ in range(rng.randint(1, 4)):
        low = (tick - rng.randint(0, 3_000)) // spacing * spacing
        high = (tick + spacing + rng.randint(0, 3_000)) // spacing * spacing
        upper = sqrt_price_at(high)
        liquidity = a.atoms(_depth(rng)) * price * upper // (upper - price) >> 96
        nets[low] += liquidity
        nets[high] -= liquidity
    ticks = tuple(Tick(index, nets[index]) for index in sorted(nets))
    inside = sum(known.net for known in ticks if known.index <= tick)
    fee = rng.choice((100, 500, 3_000))
    return Concentrated("v", 0, (a.id, b.id), price, tick, inside, fee, spacing, ticks)


def _bridge(_: list[Priced], rng: Random) -> AnyVenue:
    here, there = rng.choice(BRIDGED)
    capacity = (here.atoms(_depth(rng)), there.atoms(_depth(rng)))
    flat = rng.choice((0, 0, here.atoms(0.01)))
    fee = rng.choice((0, 100, 2_000))
    return Bridge("v", 0, (here.id, there.id), capacity, (1, 1), fee, (flat, flat), 60_000)


def _rfq(listed: list[Priced], rng: Random) -> AnyVenue:
    a, b = _pair(listed, rng)
    size = _depth(rng)
    return _quote((a.id, b.id), a.atoms(size), b.atoms(size * _near(rng)), rng)


def _quote(assets: tuple[str, str], amount_in: int, amount_out: int, rng: Random) -> Rfq:
    left = rng.choice((amount_in, amount_in, rng.randint(1, amount_in)))
    return Rfq("v", 0, assets, bytes(32), 0, amount_in, amount_out, NOW + 1, bytes(64), left)


def _wild_book(rng: Random) -> AnyVenue:
    offers = [Offer(cases.size(rng, 120), cases.size(rng, 120)) for _ in range(rng.randint(0, 4))]
    offers.sort(key=lambda offer: Fraction(offer.want, offer.give))
    return OrderBook("v", 0, cases.ASSETS[:2], tuple(offers), ())


def _wild_bridge(rng: Random) -> AnyVenue:
    capacity = (rng.randrange(1 << rng.randrange(120)), rng.randrange(1 << rng.randrange(120)))
    scaling = (rng.choice((1, 10**12)), rng.choice((1, 10**10)))
    flat = (rng.choice((0, 7, 10**18)), rng.choice((0, 1)))
    fee = rng.choice((0, 1, 500, 999_999))
    return Bridge("v", 0, cases.ASSETS[:2], capacity, scaling, fee, flat, 1_000)


FAIR: dict[str, Callable[[list[Priced], Random], AnyVenue]] = {
    "constant_product": _constant_product,
    "weighted": _weighted,
    "stable_swap": _stable_swap,
    "stable_pool": _stable_pool,
    "order_book": _order_book,
    "concentrated": _concentrated,
    "bridge": _bridge,
    "rfq": _rfq,
}

WILD: dict[str, Callable[[Random], AnyVenue]] = {
    "constant_product": lambda rng: next(cases.pairs(rng))[0],
    "weighted": lambda rng: next(cases.weighted_pools(rng))[0],
    "stable_swap": lambda rng: next(cases.stable_swaps(rng))[0],
    "stable_pool": lambda rng: next(cases.stable_pools(rng))[0],
    "order_book": _wild_book,
    "concentrated": cases.concentrated,
    "bridge": _wild_bridge,
    "rfq": lambda rng: _quote(
        cases.ASSETS[:2], cases.size(rng, 120), cases.size(rng, 120), rng
    ),
}  # fmt: skip


# --- intents -------------------------------------------------------------------------------------


def order(shape: str, owner: str, listed: list[Priced], rng: Random) -> Intent | None:
    """An intent of the shape: None where what was drawn is none."""
    priced = [one for one in listed if one in PRICED]
    money, *others = rng.sample(priced, rng.randint(2, min(len(priced), 5)))
    size = 10 ** rng.choice((rng.uniform(1, 6), rng.uniform(2, 5), rng.uniform(-9, 15)))
    better = rng.lognormvariate(-0.03, 0.03)  # below 1 the limit is generous
    if shape == "legs" and len(others) > 1:
        quantities, units = _legs(others, size, rng)
    else:
        sign = 1 if shape == "buy" else -1
        units = rng.choice((others[0].atoms(size), others[0].atoms(size), rng.randint(1, 20)))
        quantities = {others[0].id: sign * max(1, others[0].atoms(size) // units)}
        if rng.random() < 0.03:
            units = cases.size(rng, 240)
    limit = _fair(quantities, units, money, better)
    only_gives, only_gets = (
        all(q * sign > 0 for q in quantities.values()) for sign in (-1, 1)
    )  # fmt: skip
    if only_gives and rng.random() < 0.05:
        limit = 0
    least = rng.choice((0, 1, units // 2, units, units))
    start = limit + abs(limit) * rng.randint(-20, 60) // 1_000
    begin = NOW - rng.randint(0, 2_000)
    decay = Decay(start, begin, begin + rng.randint(1, 4_000)) if rng.random() < 0.2 else None
    if only_gets and max(limit, start if decay else limit) >= 0:
        return None
    try:
        made = intent(
            owner, quantities, money.id, limit, units=units, min_units=least, decay=decay
        )  # fmt: skip
        return made if least_fill(made, made.units) <= made.units else None
    except InvalidInput:
        return None  # beyond what an amount can be


def _legs(others: list[Priced], size: float, rng: Random) -> tuple[dict[str, int], int]:
    units = rng.choice((1, rng.randint(2, 30), rng.randint(1, 10**6)))
    quantities = {
        one.id: rng.choice((-1, 1)) * max(1, one.atoms(size * rng.uniform(0.1, 1)) // units)
        for one in others[:4]
    }
    return quantities, units


def _fair(quantities: dict[str, int], units: int, money: Priced, better: float) -> int:
    """A limit next to what the legs are worth."""
    by_id = {one.id: one for one in LISTED}
    worths = [
        quantity * units * by_id[asset].dollars / 10 ** by_id[asset].decimals
        for asset, quantity in quantities.items()
    ]
    gross = sum(abs(worth) for worth in worths)
    value = -sum(worths) + gross * Fraction(better - 1)
    return int(value / money.dollars * 10**money.decimals)


def named(problem: Problem) -> set[str]:
    """The owners' names that still stand in it, for messages."""
    keys = {key(name): name for name in OWNERS}
    return {keys[found.intent.owner] for found in problem.intents.values()}
