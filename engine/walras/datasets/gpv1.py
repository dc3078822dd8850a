"""Batches of Gnosis Protocol v1, in the format of gnosis/dex-open-solver's instances.

    tokens    {id: {alias, decimals, externalPrice} or null}
    refToken  id
    accounts  {account: {token id: balance}}
    orders    [{accountID, sellToken, buyToken, sellAmount, buyAmount, …}]

Every order sells any part of what its account holds, at buyAmount/sellAmount or better. An amount
of 2^128 − 1 stands for "any amount"; with the other one it still gives the price. There are no
pools.
"""

from collections import Counter
from collections.abc import Mapping

from walras.core.amounts import AMOUNT_LIMIT, ceil_div
from walras.core.assets import Asset
from walras.core.intents import Leg
from walras.datasets.derived_prices import Limit, prices_from_limits
from walras.datasets.market import About, Account, Market, MarketIntent
from walras.datasets.shape import ForeignShape, Natural, check_shape
from walras.datasets.strict_json import parse_strict
from walras.datasets.summary import Summary, tally
from walras.protocol.problem import Price

UNLIMITED = (1 << 128) - 1
NUMERAIRE_PRICE = 10**9
"""Score units per 10^18 atoms of the reference token, which has 18 decimals."""


class _Token(ForeignShape):
    alias: str | None
    decimals: int | None
    externalPrice: int | None  # noqa: N815 - the format's own name


class _Order(ForeignShape):
    accountID: str  # noqa: N815 - the format's own name
    sellToken: str  # noqa: N815
    buyToken: str  # noqa: N815
    sellAmount: Natural  # noqa: N815
    buyAmount: Natural  # noqa: N815


class _File(ForeignShape):
    tokens: dict[str, _Token | None]
    refToken: str  # noqa: N815 - the format's own name
    accounts: dict[str, dict[str, Natural]]
    orders: list[_Order]


def import_gpv1(data: bytes, *, derive_prices: bool | None = None) -> tuple[Market, Summary]:
    """The market of a batch, and what was left out of it.

    Tokens become `gpv1:1/token:<id>`: the format has aliases, which are not unique, and no
    addresses. Every order that can be eligible becomes a partially fillable sale: as many atoms as
    the account holds, at most sellAmount, for at least ceil(units · buyAmount / sellAmount).

    Reference prices: externalPrice is what 10^18 atoms of a token are worth in atoms of the
    reference token. In a file of 2020 that is 3.9·10^20 for WETH (18 decimals: one WETH, 390 OWL
    of about a dollar) and 1.007·10^30 for USDT (6 decimals: 10^12 USDT at 1.007). A score unit is
    10^-9 reference tokens, so 10^9 of its atoms: price = floor(externalPrice / 10^9).

    Args:
        data: the file.
        derive_prices: fill in missing reference prices from the file's own limit orders; see
            `derived_prices`. Otherwise an order in a token without one is left out, because no
            auction would ever take it. None: only for a file that states no price at all.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    file = check_shape(_File, parse_strict(data, decimals=True))
    ids = {token: f"gpv1:1/token:{token}" for token in file.tokens}
    prices = _external_prices(file)
    if derive_prices or (derive_prices is None and not prices):
        limits = [
            Limit(order.sellToken, order.buyToken, order.sellAmount, order.buyAmount)
            for order in file.orders
            if order.sellAmount and order.buyAmount and _sellable(file, order)
        ]
        if not prices and file.refToken in file.tokens:
            prices[file.refToken] = Price(NUMERAIRE_PRICE, "derived: numeraire")
        prices |= prices_from_limits(prices, limits)

    left_out: Counter[str] = Counter()
    adjusted: Counter[str] = Counter()
    intents = []
    for order in file.orders:
        reason = _why_not(file, prices, order)
        if reason:
            left_out[reason] += 1
            continue
        units = _sellable(file, order)
        adjusted["sells no more than its balance"] += units < order.sellAmount
        adjusted["of unlimited amount"] += UNLIMITED in (order.sellAmount, order.buyAmount)
        intents.append(
            MarketIntent(
                account=order.accountID,
                legs=(Leg(ids[order.sellToken], -1),),
                units=units,
                min_units=1,
                settlement_asset=ids[order.buyToken],
                limit=ceil_div(units * order.buyAmount, order.sellAmount),
            )
        )

    accounts = tuple(
        Account(account, {ids[t]: amount for t, amount in balances.items() if amount and t in ids})
        for account, balances in file.accounts.items()
    )
    summary = Summary(
        source="gpv1",
        orders=len(file.orders),
        taken=len(intents),
        orders_left_out=tally(left_out),
        adjusted=tally(adjusted),
        accounts=len(accounts),
        priced=len(prices),
        unpriced=len(file.tokens) - len(prices),
        notes=_notes(file, prices),
    )
    about = About("Gnosis Protocol v1 batch", "imported: gpv1", summary.as_dict())
    market = Market(
        about=about,
        rules=None,
        assets=tuple(_asset(ids[token], token, entry) for token, entry in file.tokens.items()),
        prices={ids[token]: price for token, price in prices.items()},
        venues=(),
        accounts=accounts,
        intents=tuple(intents),
    )
    return market, summary


def _external_prices(file: _File) -> dict[str, Price]:
    prices = {}
    for token, entry in file.tokens.items():
        if entry is not None and entry.externalPrice is not None:
            amount = entry.externalPrice // NUMERAIRE_PRICE
            if 0 < amount < AMOUNT_LIMIT:
                prices[token] = Price(amount, "externalPrice of the file")
    return prices


def _sellable(file: _File, order: _Order) -> int:
    return min(order.sellAmount, file.accounts.get(order.accountID, {}).get(order.sellToken, 0))


def _why_not(file: _File, prices: Mapping[str, Price], order: _Order) -> str:
    """Why an order cannot become an intent; empty where it can."""
    if order.sellToken not in file.tokens or order.buyToken not in file.tokens:
        return "token not in the file's table"
    if order.sellToken == order.buyToken:
        return "sells and buys the same token"
    if not order.sellAmount or not order.buyAmount:
        return "an amount is zero"
    if order.sellToken not in prices or order.buyToken not in prices:
        return "no reference price"
    if not _sellable(file, order):
        return "its account holds none of what it sells"
    return ""


def _asset(asset_id: str, token: str, entry: _Token | None) -> Asset:
    alias = entry.alias if entry is not None else None
    decimals = entry.decimals if entry is not None else None
    return Asset(asset_id, (alias or token)[:32], 18 if decimals is None else decimals)


def _notes(file: _File, prices: Mapping[str, Price]) -> tuple[str, ...]:
    notes = []
    unknown = sum(entry is None or entry.decimals is None for entry in file.tokens.values())
    if unknown:
        notes.append(f"tokens without decimals, shown with 18 (no amount depends on it): {unknown}")
    derived = sum(price.source.startswith("derived") for price in prices.values())
    if derived:
        notes.append(f"reference prices derived from the file's own limit orders: {derived}")
    elsewhere = {t for held in file.accounts.values() for t in held} - file.tokens.keys()
    if elsewhere:
        notes.append(
            f"tokens that accounts hold but the file does not list, left out: {len(elsewhere)}"
        )
    return tuple(notes)
