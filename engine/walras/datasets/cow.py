"""Auctions of CoW Protocol, in the format of cowprotocol/solver-template-py's instances.

metadata  {environment, …}
tokens    {address: {decimals, alias, external_price: native atoms per atom, or null, …}}
orders    {id: {sell_token, buy_token, sell_amount, buy_amount, is_sell_order,
                allow_partial_fill, fee, is_liquidity_order, …}}
amms      {id: {kind: ConstantProduct | WeightedProduct | Stable, reserves, fee, cost, …}}
"""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from walras.core.amounts import AMOUNT_LIMIT
from walras.core.assets import Asset
from walras.core.intents import Leg
from walras.datasets.cow_pools import PoolError, Token, TokenAmount, to_venue
from walras.datasets.market import About, Account, Market, MarketIntent, invalid
from walras.datasets.shape import ForeignShape, Natural, check_shape
from walras.datasets.strict_json import parse_strict
from walras.datasets.summary import Summary, tally
from walras.market.kinds import AnyVenue, StableSwap
from walras.protocol.problem import Price

PRICE_SCALE = 10**9
"""10^18 atoms at 1 are 10^18 native atoms, and a score unit is 10^9 of those."""

_WRAPPED_NATIVE = {
    "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2": "eip155:1",
    "0xe91d153e0b41518a2ce8dd3d7944fa863463a97d": "eip155:100",
}
_ENVIRONMENTS = {"mainnet": "eip155:1", "xdai": "eip155:100"}

_NOT_USED = "not used: internal buffers, and the orders' own costs (costs stand at the venues)"
_STABLE_FEE = "stable pools take their fee off the output here, off the input at Balancer"


class _Token(ForeignShape):
    decimals: Annotated[int, Field(ge=0, le=77)]
    alias: str | None = None
    external_price: Decimal | int | None = None


class _Order(ForeignShape):
    sell_token: str
    buy_token: str
    sell_amount: Natural
    buy_amount: Natural
    is_sell_order: bool
    allow_partial_fill: bool
    fee: TokenAmount | None = None
    is_liquidity_order: bool = False


class _Metadata(ForeignShape):
    environment: str = ""


class _File(ForeignShape):
    metadata: _Metadata = _Metadata()
    tokens: dict[str, _Token]
    orders: dict[str, _Order]
    amms: dict[str, dict[str, object]]


def import_cow(data: bytes) -> tuple[Market, Summary]:
    """The market of an auction, and what was left out of it.

    Tokens become `<chain>/erc20:<address>`. The numeraire is the native token: external_price is
    native atoms per atom, so price = floor(external_price · 10^9), from the digits in the file.

    A sell order becomes the leg [sell −1] of sell_amount units with limit buy_amount; a buy order
    the leg [buy +1] of buy_amount units with limit −sell_amount. The fee that CoW's owner pays on
    top, in the token sold, is added to what the owner gives: a Walras intent pays no fee, venue
    costs are taken off the score instead. Each order gets an account of its own that holds exactly
    what it gives.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    file = check_shape(_File, parse_strict(data, decimals=True))
    entries = {address.lower(): entry for address, entry in file.tokens.items()}
    if len(entries) < len(file.tokens):
        raise invalid("tokens", "two addresses differ in nothing but case", "remove one of them")
    chain, notes = _chain(file.metadata.environment, entries)
    tokens = {
        address: Token(f"{chain}/erc20:{address}", entry.decimals, _price(entry))
        for address, entry in entries.items()
    }
    venues, pools_left_out, refusals = _venues(file.amms, tokens)
    if any(isinstance(venue, StableSwap) for venue in venues):
        notes.append(_STABLE_FEE)
    notes += refusals

    left_out: Counter[str] = Counter()
    adjusted: Counter[str] = Counter()
    accounts: list[Account] = []
    intents: list[MarketIntent] = []
    for name, order in file.orders.items():
        sold, bought = tokens.get(order.sell_token.lower()), tokens.get(order.buy_token.lower())
        reason = _why_not(order, sold, bought)
        if reason or sold is None or bought is None:
            left_out[reason] += 1
            continue
        fee = _fee(order, adjusted)
        adjusted["liquidity order, taken like any other"] += order.is_liquidity_order
        account = Account(f"order-{name}", {sold.asset: order.sell_amount + fee})
        accounts.append(account)
        intents.append(_intent(account.id, order, sold.asset, bought.asset, fee))

    prices = {
        token.asset: Price(token.price, "external_price of the file")
        for token in tokens.values()
        if token.price is not None
    }
    summary = Summary(
        source="cow",
        orders=len(file.orders),
        taken=len(intents),
        orders_left_out=tally(left_out),
        adjusted=tally(adjusted),
        pools=len(file.amms),
        pools_taken=len(venues),
        pools_left_out=tally(pools_left_out),
        accounts=len(accounts),
        priced=len(prices),
        unpriced=len(tokens) - len(prices),
        notes=(*notes, _NOT_USED),
    )
    market = Market(
        about=About("CoW Protocol auction", "imported: cow", summary.as_dict()),
        rules=None,
        assets=tuple(
            Asset(tokens[address].asset, (entry.alias or address)[:32], entry.decimals)
            for address, entry in entries.items()
        ),
        prices=prices,
        venues=tuple(venues),
        accounts=tuple(accounts),
        intents=tuple(intents),
    )
    return market, summary


def _chain(environment: str, entries: Mapping[str, _Token]) -> tuple[str, list[str]]:
    """The CAIP-2 chain: of the wrapped native token priced at 1, or else the environment's.

    The public instances have metadata of a chain that their tokens do not live on.
    """
    stated = _ENVIRONMENTS.get(environment.lower())
    priced = {
        chain
        for address, chain in _WRAPPED_NATIVE.items()
        if address in entries and entries[address].external_price == 1
    }
    if len(priced) == 1:
        chain = priced.pop()
        if stated == chain:
            return chain, []
        return chain, [f"chain {chain} by its wrapped native token; environment {environment!r}"]
    if stated is None:
        raise invalid(
            "metadata.environment", f"unknown: {environment[:40]!r}", "write mainnet or xDAI"
        )
    return stated, []


def _price(entry: _Token) -> int | None:
    if entry.external_price is None:
        return None
    price = int(Fraction(entry.external_price) * PRICE_SCALE)
    return price if 0 < price < AMOUNT_LIMIT else None


def _venues(
    amms: Mapping[str, Mapping[str, object]], tokens: Mapping[str, Token]
) -> tuple[list[AnyVenue], Counter[str], list[str]]:
    venues: list[AnyVenue] = []
    left_out: Counter[str] = Counter()
    details: list[str] = []
    for name, pool in amms.items():
        try:
            venues.append(to_venue(name, pool, tokens))
        except PoolError as error:
            left_out[str(error)] += 1
            if error.__cause__ is not None:
                details.append(f"pool {name} left out: {error.__cause__}")
    return venues, left_out, details


def _why_not(order: _Order, sold: Token | None, bought: Token | None) -> str:
    """Why an order cannot become an intent; empty where it can."""
    if sold is None or bought is None:
        return "token not in the file's table"
    if sold == bought:
        return "sells and buys the same token"
    if not order.sell_amount or not order.buy_amount:
        return "an amount is zero"
    if sold.price is None or bought.price is None:
        return "no reference price"
    return ""


def _fee(order: _Order, adjusted: Counter[str]) -> int:
    """Atoms of the token sold that the fee adds to what the owner gives."""
    if order.fee is None or not order.fee.amount:
        return 0
    if order.fee.token.lower() != order.sell_token.lower():
        adjusted["with a fee in another token than it sells, passed over"] += 1
        return 0
    adjusted["with its fee added to what it gives"] += 1
    return order.fee.amount


def _intent(account: str, order: _Order, sold: str, bought: str, fee: int) -> MarketIntent:
    gives = order.sell_amount + fee
    if order.is_sell_order:
        leg, units, settlement_asset, limit = Leg(sold, -1), gives, bought, order.buy_amount
    else:
        leg, units, settlement_asset, limit = Leg(bought, 1), order.buy_amount, sold, -gives
    return MarketIntent(
        account=account,
        legs=(leg,),
        units=units,
        min_units=1 if order.allow_partial_fill else units,
        settlement_asset=settlement_asset,
        limit=limit,
    )
