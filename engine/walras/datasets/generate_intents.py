"""A stream of synthetic intents for a market: all shapes, both directions, limits around fair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Generic, TypeVar

from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Decay, Leg
from walras.datasets.market import Account, Market, MarketIntent
from walras.protocol.problem import ATOMS_PER_PRICE, Price

MAX_ATTEMPTS = 1_000
"""So many accounts in a row that cannot make an intent of a shape mean that the market has none."""

T = TypeVar("T")


class _Shape(Enum):
    SELL = "give one asset"
    BUY = "receive one asset"
    SPREAD = "give one option, receive another"
    PAIR = "give one asset, receive another, settle in a third"


class _Fill(Enum):
    ANY = "any part"
    HALF = "at least half"
    ALL = "all or nothing"


class _Deck(Generic[T]):
    """Cards dealt without replacement, then reshuffled: proportions come true early."""

    def __init__(self, rng: Random, cards: Sequence[T]) -> None:
        self._rng = rng
        self._cards = cards
        self._left: list[T] = []

    def deal(self) -> T:
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


@dataclass(frozen=True, slots=True)
class _Trade:
    """Legs and units, before their limit.

    `net` and `gross` are what all units bring the owner and what they move, in atoms of the
    settlement asset at reference prices.
    """

    legs: tuple[Leg, ...]
    units: int
    settlement_asset: str
    net: int
    gross: int


def generate_intents(market: Market, rng: Random, n: int, now_ms: int) -> list[MarketIntent]:
    """`n` intents that the market's accounts could send at `now_ms`.

    Of 20 in a row 9 sell, 6 buy, 3 are spreads of options and 2 are pairs of other assets; half
    can be filled in any part, 3 at least by half, 7 not in part; 4 decay. What an intent gives is
    a part of what its account holds in the market. About two in three have limits on the
    marketable side of the reference price. The stream continues with the state of `rng`.

    Args:
        market: with prices and accounts; its intents do not matter.
        rng: the only source of chance.
        n: how many.
        now_ms: decays and expiries run from here; an intent without its own expiry leaves it to
            the signer.

    Raises:
        InvalidInput: FIELD_INVALID: the accounts hold too few priced assets, or no options.
    """
    priced = [asset.id for asset in market.assets if asset.id in market.prices]
    shapes = _Deck(
        rng, [_Shape.SELL] * 9 + [_Shape.BUY] * 6 + [_Shape.SPREAD] * 3 + [_Shape.PAIR] * 2
    )
    fills = _Deck(rng, [_Fill.ANY] * 10 + [_Fill.HALF] * 3 + [_Fill.ALL] * 7)
    decays = _Deck(rng, [True] * 4 + [False] * 16)
    made = []
    for _ in range(n):
        account, trade = _trade(rng, market, priced, shapes.deal())
        made.append(_intent(rng, account, trade, fills.deal(), decays=decays.deal(), now_ms=now_ms))
    return made


def atoms_worth(score_units: int, price: int) -> int:
    """Atoms of an asset at `price` worth so many score units, rounded to six digits, ≥ 1."""
    return max(1, _rounded(score_units * ATOMS_PER_PRICE // price, 6))


def _rounded(x: int, digits: int) -> int:
    """The positive `x` with all but its first digits zero."""
    unit: int = 10 ** max(0, len(str(x)) - digits)
    return x // unit * unit


def _is_option(asset: str) -> bool:
    return "/option:" in asset


def _trade(
    rng: Random, market: Market, priced: Sequence[str], shape: _Shape
) -> tuple[Account, _Trade]:
    for _ in range(MAX_ATTEMPTS if market.accounts else 0):
        account = rng.choice(market.accounts)
        trade = _attempt(rng, account, market.prices, shape, priced)
        if trade is not None:
            return account, trade
    raise InvalidInput(
        Reason.FIELD_INVALID,
        f"the market has no account that could trade: {shape.value}",
        hint="generate from a market with options, and with several assets in every account",
        field="market",
    )


def _attempt(
    rng: Random,
    account: Account,
    prices: Mapping[str, Price],
    shape: _Shape,
    priced: Sequence[str],
) -> _Trade | None:
    """A trade of the given shape that the account can pay for, if what chance picks allows one."""
    held = [asset for asset in account.balances if asset in prices]
    plain = [asset for asset in priced if not _is_option(asset)]
    options = [asset for asset in priced if _is_option(asset)]
    if shape is _Shape.SPREAD:
        given = _pick(rng, [asset for asset in held if _is_option(asset)])
        received = _pick(rng, [asset for asset in options if asset != given])
    elif shape is _Shape.PAIR:
        given = _pick(rng, [asset for asset in held if not _is_option(asset)])
        received = _pick(rng, [asset for asset in plain if asset != given])
    else:
        given = _pick(rng, held)
        received = _pick(rng, [asset for asset in priced if asset != given])
    if given is None or received is None:
        return None
    budget = _rounded(account.balances[given] * rng.randint(3, 25) // 100, 3)
    price_given, price_received = prices[given].amount, prices[received].amount
    if shape is _Shape.SELL:
        return _sized(prices, (Leg(given, -1),), budget, received)
    if shape is _Shape.BUY:
        units = _rounded(budget * price_given // price_received, 3)
        return _sized(prices, (Leg(received, 1),), units, given)
    settlement = _pick(rng, [a for a in held if a not in (given, received) and not _is_option(a)])
    if settlement is None:
        return None
    if shape is _Shape.SPREAD:
        legs = (Leg(given, -1), Leg(received, 1))
        trade = _sized(prices, legs, budget, settlement)
    else:
        # Near enough equal worth on both sides: one atom of the dearer for several of the cheaper.
        gives = max(1, price_received // price_given)
        receives = max(1, price_given // price_received)
        legs = (Leg(given, -gives), Leg(received, receives))
        trade = _sized(prices, legs, _rounded(budget // gives, 3), settlement)
    if trade is None or account.balances[settlement] < trade.net + trade.gross // 10:
        return None
    return trade


def _pick(rng: Random, assets: Sequence[str]) -> str | None:
    """One of the assets, the first listed (ETH, then stablecoins) more often than others."""
    if not assets:
        return None
    return min(rng.choice(assets), rng.choice(assets), key=assets.index)


def _sized(
    prices: Mapping[str, Price], legs: tuple[Leg, ...], units: int, settlement: str
) -> _Trade | None:
    price = prices[settlement].amount
    worths = [leg.quantity * units * prices[leg.asset].amount // price for leg in legs]
    trade = _Trade(legs, units, settlement, sum(worths), sum(map(abs, worths)))
    # What is worth only a few atoms of the settlement asset has no meaningful limit.
    return trade if units >= 1 and trade.gross >= 1_000 else None


def _intent(
    rng: Random, account: Account, trade: _Trade, fill: _Fill, *, decays: bool, now_ms: int
) -> MarketIntent:
    # Fair would be −net. A positive margin, in basis points, is what the owner gives for a fill.
    margin = round(rng.gauss(40, 80))
    limit = -trade.net - trade.gross * margin // 10_000
    decay = None
    if decays:
        start_limit = limit + trade.gross * rng.randint(20, 150) // 10_000
        start_ms = now_ms + rng.randint(0, 2_000)
        decay = Decay(start_limit, start_ms, start_ms + rng.randint(5_000, 60_000))
    expires = rng.random() < 0.3
    return MarketIntent(
        account=account.id,
        legs=trade.legs,
        units=trade.units,
        min_units={_Fill.ANY: 1, _Fill.HALF: (trade.units + 1) // 2, _Fill.ALL: trade.units}[fill],
        settlement_asset=trade.settlement_asset,
        limit=limit,
        decay=decay,
        expiry_ms=now_ms + rng.randint(120_000, 1_800_000) if expires else None,
    )
