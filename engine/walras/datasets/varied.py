"""Generated markets that differ: in size, in which kinds of venue they have, in how deep these are.

`generate` makes one market look like the next. A solver that is to be trusted with any must have
seen more: no venue at all, quotes and bridges alone, concentrated pools of several ranges. All of a
market follows from its seed, so that a number is enough to see it again.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from math import isqrt
from random import Random

from walras.audit.keys import Signer
from walras.audit.quotes import quote_message
from walras.core.assets import Asset
from walras.datasets.demo_keys import demo_signer_seed
from walras.datasets.generate import START_MS, generate, generate_intents
from walras.datasets.generate_intents import atoms_worth
from walras.datasets.market import About, Account, Market
from walras.market.kinds import (
    KINDS,
    AnyVenue,
    Bridge,
    Concentrated,
    ConstantProduct,
    Rfq,
    StablePool,
    Tick,
    kind_of,
)
from walras.market.tick_math import tick_at
from walras.protocol.problem import Price

SIZES = (3, 10, 30, 80, 200)
"""Intents of a market, where its caller does not say."""

_HOUR_MS = 3_600_000
_STABLE = {"USDC", "USDT", "DAI", "GUSD"}
_FEES = ((500, 10), (3_000, 60), (10_000, 200))  # pips and tick spacing
_WIDTHS = (2, 12, 60)  # of a concentrated pool's ranges, in tick spacings to either side
_UNITS = 10**9  # score units of the numeraire's whole unit


def varied(
    seed: int,
    *,
    domain: str,
    intents: int | None = None,
    assets: int | None = None,
    venues: int | None = None,
    kinds: Collection[str] | None = None,
) -> Market:
    """A market of the seed's own size and kinds of venue. Same arguments, same market.

    Args:
        seed: any integer.
        domain: of the engine that makers sign their quotes for.
        intents: at least 0.
        assets: 8 to 40, and one more where there are bridges.
        venues: of the four kinds that `generate` makes, 10 to 1,000; those of other kinds follow.
        kinds: of venue that it has; empty: no venue.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    rng = Random(f"walras varied market {seed}")  # noqa: S311 - a reproducible market, not a secret
    drawn = KINDS if rng.random() < 0.5 else rng.sample(KINDS, rng.randint(0, len(KINDS)))
    size = rng.choice(SIZES)
    chosen = frozenset(drawn if kinds is None else kinds)
    count = size if intents is None else intents
    base = generate(
        seed,
        assets=rng.randint(8, 20) if assets is None else assets,
        venues=rng.randint(10, 40) if venues is None else venues,
        accounts=max(8, count // 5),
        intents=0,
    )
    if "bridge" in chosen:
        base = _with_far_chain(rng, base)
    made = [venue for venue in base.venues if kind_of(venue) in chosen]
    made += [venue for venue in _others(rng, base, domain) if kind_of(venue) in chosen]
    market = replace(
        base,
        about=About(
            f"generated market, seed {seed}",
            "synthetic: walras varied generator",
            {"seed": str(seed), "now_ms": START_MS},
        ),
        venues=tuple(made),
    )
    return replace(market, intents=tuple(generate_intents(market, rng, count, START_MS)))


def kinds_of(market: Market) -> dict[str, int]:
    """How many venues of each kind it has; by name."""
    return dict(sorted(Counter(kind_of(venue) for venue in market.venues).items()))


def _with_far_chain(rng: Random, market: Market) -> Market:
    """One stablecoin once more, on another chain, where every third account has some."""
    near = market.assets[_stables(market)[0]]
    address = hashlib.sha256(f"walras synthetic bridged {near.symbol}".encode()).hexdigest()[:40]
    far = Asset(f"eip155:10/erc20:0x{address}", near.symbol, near.decimals)
    price = market.prices[near.id]
    accounts = [
        Account(
            one.id,
            {**one.balances, far.id: atoms_worth(rng.randint(1, 20) * _UNITS, price.amount)}
            if place % 3 == 0
            else one.balances,
        )
        for place, one in enumerate(market.accounts)
    ]
    return replace(
        market,
        assets=(*market.assets, far),
        prices={**market.prices, far.id: price},
        accounts=tuple(accounts),
    )


def _stables(market: Market) -> list[int]:
    """Places of the dollars among the assets."""
    return [place for place, asset in enumerate(market.assets) if asset.symbol in _STABLE]


def _others(rng: Random, market: Market, domain: str) -> Iterator[AnyVenue]:
    """Venues of the kinds that `generate` does not make."""
    eth, dollars = market.assets[0], [market.assets[place] for place in _stables(market)]
    near = dollars[0]
    far = [one for one in dollars[1:] if one.symbol == near.symbol]
    stables = [one for one in dollars if one not in far]
    tokens = [a for a in market.assets if "/option:" not in a.id and a not in (eth, *dollars)]
    hubs = (eth, *stables[:2])
    pairs = [(token, hub) for token in tokens for hub in hubs]
    for number, (a, b) in enumerate(rng.sample(pairs, min(len(pairs), rng.randint(1, 6)))):
        yield _concentrated(rng, market.prices, f"range-{number}", (a, b))
    yield _concentrated(rng, market.prices, "range-eth", (eth, near))
    yield _stable_pool(rng, market.prices, "stable-pool", stables[: 2 + rng.randint(0, 1)])
    for number, (a, b) in enumerate(rng.sample(pairs, min(len(pairs), rng.randint(1, 4)))):
        ends = (a, b) if rng.random() < 0.5 else (b, a)
        yield _quote(rng, market.prices, domain, number, ends)
    for other in far:
        yield _bridge(rng, market.prices, near, other)
        yield _far_pair(rng, market.prices, eth, other)


def _depth(rng: Random) -> int:
    """Score units: from 3 whole units of the numeraire to 900."""
    return rng.randint(3, 9) * int(10 ** rng.randint(0, 2)) * _UNITS


def _off(rng: Random, amount: int, bps: int) -> int:
    """`amount`, up to so many 1/10,000 off."""
    return amount * (10_000 + rng.randint(-bps, bps)) // 10_000


def _cost(rng: Random, gas: int) -> int:
    return gas * rng.randint(1, 4)


def _concentrated(
    rng: Random, prices: Mapping[str, Price], name: str, pair: Sequence[Asset]
) -> AnyVenue:
    """A pool of nested ranges, all of them in range."""
    first, second = sorted(asset.id for asset in pair)
    fee, spacing = rng.choice(_FEES)
    ratio = (_off(rng, prices[first].amount, 40) << 192) // prices[second].amount
    sqrt_price = isqrt(ratio)
    tick = tick_at(sqrt_price)
    middle = tick // spacing * spacing
    depth = _depth(rng)
    full = isqrt(
        atoms_worth(depth, prices[first].amount) * atoms_worth(depth, prices[second].amount)
    )
    nets: Counter[int] = Counter()
    liquidity = 0
    for width in _WIDTHS[: rng.randint(1, 3)]:
        # So that each range holds about as much: a tick moves the price by 1/20,000 of its root.
        part = full * 2_500 * rng.randint(1, 8) // (width * spacing) + 1
        nets[middle - width * spacing] += part
        nets[middle + (width + 1) * spacing] -= part
        liquidity += part
    return Concentrated(
        id=name,
        cost=_cost(rng, 130_000),
        assets=(first, second),
        sqrt_price=sqrt_price,
        tick=tick,
        liquidity=liquidity,
        fee_pips=fee,
        tick_spacing=spacing,
        ticks=tuple(Tick(index, net) for index, net in sorted(nets.items())),
    )


def _stable_pool(
    rng: Random, prices: Mapping[str, Price], name: str, assets: Sequence[Asset]
) -> AnyVenue:
    depth = _depth(rng)
    return StablePool(
        id=name,
        cost=_cost(rng, 160_000),
        assets=tuple(asset.id for asset in assets),
        balances=tuple(_off(rng, atoms_worth(depth, prices[a.id].amount), 2_000) for a in assets),
        rates=tuple(10 ** (36 - asset.decimals) for asset in assets),
        amplification=1_000 * rng.choice((50, 200, 2_000)),
        fee=rng.choice((10**14, 4 * 10**14)),
    )


def _quote(
    rng: Random, prices: Mapping[str, Price], domain: str, number: int, pair: Sequence[Asset]
) -> AnyVenue:
    """A maker's, near the fair price; signed by the worthless key of its name."""
    taken, paid = pair
    maker = Signer.from_seed(demo_signer_seed(f"maker-{number}"))
    depth = _depth(rng)
    amount = atoms_worth(depth, prices[taken.id].amount)
    quote = Rfq(
        id=f"quote-{number}",
        cost=_cost(rng, 60_000),
        assets=(taken.id, paid.id),
        maker=maker.public_key,
        nonce=number,
        amount_in=amount,
        amount_out=_off(rng, atoms_worth(depth, prices[paid.id].amount), 60),
        expiry_ms=START_MS + _HOUR_MS,
        signature=bytes(64),
        left=amount,
    )
    return replace(quote, signature=maker.sign(quote_message(domain, quote)))


def _bridge(rng: Random, prices: Mapping[str, Price], near: Asset, far: Asset) -> AnyVenue:
    price = prices[near.id].amount
    capacity = [atoms_worth(_depth(rng), price) for _ in range(2)]
    fee = atoms_worth(10**5, price)
    return Bridge(
        id="bridge",
        cost=_cost(rng, 90_000),
        assets=(near.id, far.id),
        capacity=(capacity[0], capacity[1]),
        scaling=(1, 1),
        fee_pips=rng.choice((50, 100, 400)),
        flat_fee=(fee, fee),
        latency_ms=rng.choice((2_000, 60_000)),
    )


def _far_pair(rng: Random, prices: Mapping[str, Price], eth: Asset, far: Asset) -> AnyVenue:
    """What makes the bridge worth its fee."""
    depth = _depth(rng)
    reserves = [atoms_worth(depth, prices[asset.id].amount) for asset in (eth, far)]
    return ConstantProduct(
        id="far-pair",
        cost=_cost(rng, 20_000),
        assets=(eth.id, far.id),
        reserves=(_off(rng, reserves[0], 100), reserves[1]),
        fee_pips=500,
    )
