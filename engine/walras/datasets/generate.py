"""Synthetic markets: everything the engine can hold, in realistic proportions, from one seed.

Prices, depths and sizes are log-normal; pools stand a little off the fair price, as pools do. Every
number that goes into a market is an integer, and floats on the way to it are rounded to few digits,
so the same seed gives the same bytes.
"""

import hashlib
from dataclasses import dataclass, replace
from math import erf, log, sqrt
from random import Random

from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.datasets.generate_intents import atoms_worth, generate_intents
from walras.datasets.market import About, Account, Market
from walras.market.kinds import AnyVenue, ConstantProduct, Offer, OrderBook, StableSwap, Weighted
from walras.protocol.problem import Price

__all__ = ["START_MS", "generate", "generate_intents"]

START_MS = 1_767_225_600_000
"""2026-01-01, the time of a generated market unless its caller says another."""

ETH = Asset("eip155:1/slip44:60", "ETH", 18)
ETH_USD = 3_200.0

_STABLES = (("USDC", 6), ("USDT", 6), ("DAI", 18), ("GUSD", 2))
_TOKENS = (  # symbol, decimals, a typical price in USD
    ("WBTC", 8, 90_000.0), ("LINK", 18, 15.0), ("UNI", 18, 8.0), ("AAVE", 18, 180.0),
    ("MKR", 18, 1_500.0), ("LDO", 18, 1.1), ("CRV", 18, 0.6), ("COMP", 18, 45.0),
    ("SNX", 18, 0.9), ("BAL", 18, 1.2), ("GNO", 18, 130.0), ("COW", 18, 0.3),
    ("ENS", 18, 18.0), ("GRT", 18, 0.1), ("PAXG", 18, 2_600.0), ("CVX", 18, 2.5),
    ("YFI", 18, 5_000.0), ("SUSHI", 18, 0.7), ("FXS", 18, 2.0), ("RPL", 18, 7.0),
    ("PENDLE", 18, 4.0), ("ARB", 18, 0.4), ("OP", 18, 0.8), ("MATIC", 18, 0.3),
    ("APE", 18, 0.7), ("BAT", 18, 0.2), ("LPT", 18, 6.0), ("ANKR", 18, 0.1),
    ("STORJ", 8, 0.3), ("EURS", 2, 1.1), ("XAUT", 6, 2_600.0), ("TBTC", 18, 90_000.0),
)  # fmt: skip
_OPTIONS = (  # strike over the price of ETH; call or put
    (0.95, "C"), (1.1, "C"), (0.9, "P"), (1.25, "C"), (1.05, "P"), (1.4, "C"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Priced:
    """An asset and what one whole unit of it is worth."""

    asset: Asset
    usd: float

    @property
    def price(self) -> int:
        """Score units per 10^18 atoms, the numeraire being ETH."""
        per_unit = int(self.usd * 10**12) * 10**9 // int(ETH_USD * 10**12)
        price: int = per_unit * 10 ** (18 - self.asset.decimals)
        return max(1, price)


@dataclass(frozen=True, slots=True)
class _World:
    """The assets of a market by their part in it."""

    stables: tuple[_Priced, ...]
    tokens: tuple[_Priced, ...]
    options: tuple[_Priced, ...]

    @property
    def eth(self) -> _Priced:
        return _Priced(ETH, ETH_USD)

    @property
    def all(self) -> tuple[_Priced, ...]:
        return (self.eth, *self.stables, *self.tokens, *self.options)


def generate(
    seed: int,
    *,
    assets: int = 16,
    venues: int = 24,
    accounts: int = 40,
    intents: int = 200,
    now_ms: int = START_MS,
) -> Market:
    """A market of every kind of venue and, from 20 intents on, every shape of intent.

    ETH is the numeraire. Same arguments, same market, on every run.

    Args:
        seed: any integer.
        assets: 8 to 40: ETH, stablecoins, tokens, options on ETH.
        venues: at least one book per option and one of each kind besides: 8 for 16 assets, 10 for
            any number.
        accounts: at least 4.
        intents: at least 0.
        now_ms: from when decays and expiries run.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    _check_range("assets", assets, 8, 40)
    _check_range("accounts", accounts, 4, 100_000)
    _check_range("intents", intents, 0, 1_000_000)
    rng = Random(seed)  # noqa: S311 - a reproducible market, not a secret
    world = _world(rng, assets)
    _check_range("venues", venues, len(world.options) + 4, 1_000)
    name = f"generated market, seed {seed}"
    empty = Market(
        about=About(name, "synthetic: walras generator", {"seed": str(seed), "now_ms": now_ms}),
        rules=None,
        assets=tuple(priced.asset for priced in world.all),
        prices={p.asset.id: Price(p.price, "synthetic fair price") for p in world.all},
        venues=_venues(rng, world, venues),
        accounts=_accounts(rng, world, accounts),
        intents=(),
    )
    return replace(empty, intents=tuple(generate_intents(empty, rng, intents, now_ms)))


def _check_range(name: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"{name} must be from {low} to {high}, not {number}", field=name
        )


# --- assets --------------------------------------------------------------------------------------


def _world(rng: Random, assets: int) -> _World:
    stables = 2 + (assets >= 12) + (assets >= 20)
    options = 2 + (assets >= 12) + (assets >= 14) + 2 * (assets >= 24)
    tokens = rng.sample(_TOKENS, assets - 1 - stables - options)
    return _World(
        stables=tuple(
            _Priced(_erc20(symbol, decimals), _digits(rng.lognormvariate(0, 0.0005), 5))
            for symbol, decimals in _STABLES[:stables]
        ),
        tokens=tuple(
            _Priced(_erc20(symbol, decimals), _digits(usd * rng.lognormvariate(0, 0.3), 4))
            for symbol, decimals, usd in tokens
        ),
        options=tuple(_option(*terms) for terms in _OPTIONS[:options]),
    )


def _erc20(symbol: str, decimals: int) -> Asset:
    # The address is no token's: a generated market must not pass for a statement about a real one.
    address = hashlib.sha256(f"walras synthetic token {symbol}".encode()).hexdigest()[:40]
    return Asset(f"eip155:1/erc20:0x{address}", symbol, decimals)


def _option(moneyness: float, right: str) -> _Priced:
    """Black and Scholes, half a year from expiry, without interest, 60 % volatility."""
    strike = round(ETH_USD * moneyness, -2)
    deviation = 0.6 * sqrt(0.5)
    d1 = log(ETH_USD / strike) / deviation + deviation / 2
    call = ETH_USD * _normal(d1) - strike * _normal(d1 - deviation)
    usd = call if right == "C" else call - ETH_USD + strike
    name = f"ETH-20261225-{int(strike)}-{right}"
    return _Priced(Asset(f"eip155:1/option:{name}", name, 8), _digits(usd, 4))


def _normal(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2


def _digits(x: float, digits: int) -> float:
    """`x` to so many significant digits: few enough that no platform's last bit shows."""
    return float(f"{x:.{digits - 1}e}")


# --- venues --------------------------------------------------------------------------------------


def _venues(rng: Random, world: _World, count: int) -> tuple[AnyVenue, ...]:
    gwei = rng.randint(1, 5)
    made: list[AnyVenue] = [
        _order_book(rng, f"book-{i}", gwei, (option, rng.choice((world.eth, world.stables[0]))), 40)
        for i, option in enumerate(world.options)
    ]
    made += [
        _constant_product(rng, "pair-0", gwei, world.eth, world.stables[0]),
        _stable_swap(rng, "stable-0", gwei, world.stables),
        _weighted(rng, "weighted-0", gwei, world),
        _order_book(rng, "book-eth", gwei, (world.eth, world.stables[0]), 8),
    ]
    hubs = (world.eth, world.eth, world.stables[0], world.stables[1])
    queue = list(world.tokens)
    while len(made) < count:
        i = len(made)
        token = queue.pop() if queue else rng.choice((*world.tokens, world.eth))
        hub = rng.choice([hub for hub in hubs if hub.asset != token.asset])
        kind = rng.choices(("pair", "weighted", "book", "stable"), (12, 3, 3, 1))[0]
        if kind == "pair":
            made.append(_constant_product(rng, f"pair-{i}", gwei, token, hub))
        elif kind == "weighted":
            made.append(_weighted(rng, f"weighted-{i}", gwei, world))
        elif kind == "book":
            made.append(_order_book(rng, f"book-{i}", gwei, (token, hub), 20))
        else:
            made.append(_stable_swap(rng, f"stable-{i}", gwei, world.stables))
    return tuple(made[:count])


def _cost(rng: Random, gwei: int, gas: int) -> int:
    return gas * gwei * rng.randint(95, 105) // 100


def _depth(rng: Random, usd: float) -> float:
    return _digits(usd * rng.lognormvariate(0, 0.7), 4)


def _off(rng: Random, x: int, bps: float) -> int:
    """`x`, up to some basis points off."""
    return x * (10**6 + round(rng.gauss(0, bps) * 100)) // 10**6


def _constant_product(rng: Random, id_: str, gwei: int, a: _Priced, b: _Priced) -> AnyVenue:
    side = _depth(rng, 800_000)
    return ConstantProduct(
        id=id_,
        cost=_cost(rng, gwei, 110_000),
        assets=(a.asset.id, b.asset.id),
        reserves=(_off(rng, _atoms(side, a), 25), _atoms(side, b)),
        fee_pips=rng.choice((500, 3_000, 3_000, 10_000)),
    )


def _stable_swap(rng: Random, id_: str, gwei: int, stables: tuple[_Priced, ...]) -> AnyVenue:
    side = _depth(rng, 3_000_000)
    return StableSwap(
        id=id_,
        cost=_cost(rng, gwei, 160_000),
        assets=tuple(p.asset.id for p in stables),
        balances=tuple(_off(rng, _atoms(side, p), 800) for p in stables),
        rates=tuple(10 ** (36 - p.asset.decimals) for p in stables),
        amplification=100 * rng.choice((100, 200, 500, 2_000)),
        fee=rng.choice((1_000_000, 4_000_000)),
    )


def _weighted(rng: Random, id_: str, gwei: int, world: _World) -> AnyVenue:
    percents = rng.choice(((80, 20), (50, 50), (50, 25, 25), (40, 30, 20, 10)))
    members = rng.sample((world.eth, *world.stables, *world.tokens), len(percents))
    total = _depth(rng, 2_000_000)
    return Weighted(
        id=id_,
        cost=_cost(rng, gwei, 140_000),
        assets=tuple(p.asset.id for p in members),
        balances=tuple(
            _off(rng, _atoms(total * percent / 100, p), 25)
            for p, percent in zip(members, percents, strict=True)
        ),
        weights=tuple(percent * 10**16 for percent in percents),
        scaling=tuple(10 ** (18 - p.asset.decimals) for p in members),
        fee=rng.choice((5 * 10**14, 10**15, 3 * 10**15)),
    )


def _order_book(
    rng: Random, id_: str, gwei: int, pair: tuple[_Priced, _Priced], half_spread_bps: int
) -> AnyVenue:
    """Six levels a side, each about half a spread worse and larger than the one before."""
    base, quote = pair
    middle = 10_000 + rng.randint(-half_spread_bps // 3, half_spread_bps // 3)
    level_usd = _depth(rng, 4_000)
    asks, bids = [], []
    for level in range(6):
        away = half_spread_bps * (level + 2) // 2 + rng.randint(0, half_spread_bps // 4)
        size = level_usd * (1 + level / 2)
        base_atoms, quote_atoms = _atoms(size, base), _atoms(size, quote)
        asks.append(Offer(base_atoms, quote_atoms * (middle + away) // 10_000))
        bids.append(Offer(quote_atoms * (middle - away) // 10_000, base_atoms))
    return OrderBook(
        id=id_,
        cost=_cost(rng, gwei, 80_000),
        assets=(base.asset.id, quote.asset.id),
        asks=tuple(asks),
        bids=tuple(bids),
    )


def _atoms(usd: float, p: _Priced) -> int:
    """Atoms of `p` worth so many dollars, at least 1, to about six digits."""
    return atoms_worth(int(usd / ETH_USD * 10**9), p.price)


# --- accounts ------------------------------------------------------------------------------------


def _accounts(rng: Random, world: _World, count: int) -> tuple[Account, ...]:
    """Every account holds ETH, a stablecoin and some tokens; every other one holds options too."""
    made = []
    for i in range(count):
        held = [world.eth, rng.choice(world.stables)]
        held += rng.sample(world.tokens, rng.randint(1, min(4, len(world.tokens))))
        if i % 2 == 0:
            held += rng.sample(world.options, rng.randint(1, 2))
        balances = {p.asset.id: _atoms(_depth(rng, 25_000), p) for p in held}
        made.append(Account(f"trader-{i + 1:04}", balances))
    return tuple(made)
