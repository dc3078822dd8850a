"""Gnosis Protocol v1 batches: small ones made here, and the real ones where they are at hand."""

import json
from fractions import Fraction
from typing import Any

import pytest
from support.real_data import real_data

from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Leg
from walras.datasets.derived_prices import Limit, crossing, prices_from_limits
from walras.datasets.gpv1 import UNLIMITED, import_gpv1
from walras.datasets.market_file import MarketIntent, parse_market, render_market
from walras.protocol.problem import Price

OWL, WETH, USDT, NONE = (f"gpv1:1/token:{name}" for name in ("T0", "T1", "T2", "T3"))


def order(account: str, sell: str, buy: str, sold: int, bought: int) -> dict[str, Any]:
    return {
        "accountID": account,
        "sellToken": sell,
        "buyToken": buy,
        "sellAmount": str(sold),
        "buyAmount": str(bought),
        "orderID": 0,
    }


def batch(*orders: dict[str, Any]) -> dict[str, Any]:
    return {
        "tokens": {
            "T0": {"alias": "OWL", "decimals": 18, "externalPrice": 10**18},
            "T1": {"alias": "WETH", "decimals": 18, "externalPrice": 389787472388239081472},
            "T2": {
                "alias": "USDT",
                "decimals": 6,
                "externalPrice": 1007492685108192117094076121088,
            },
            "T3": None,
            "T4": {"alias": None, "decimals": None, "externalPrice": 999_999_999},
        },
        "refToken": "T0",
        "accounts": {
            "ann": {"T1": str(2 * 10**18), "T2": "0", "T9": "5"},
            "ben": {"T2": str(700 * 10**6), "T3": "100"},
        },
        "orders": list(orders),
        "fee": {"token": "T0", "ratio": 0.001},
    }


def run(document: dict[str, Any], *, derive_prices: bool | None = None) -> Any:
    return import_gpv1(json.dumps(document).encode(), derive_prices=derive_prices)


def test_orders_become_sales_of_what_the_account_holds() -> None:
    market, summary = run(
        batch(
            order("ann", "T1", "T2", 10**18, 380 * 10**6),
            order("ann", "T1", "T2", 3 * 10**18, 1_000 * 10**6 + 1),
            order("ben", "T2", "T1", UNLIMITED, 10**50),
            order("ben", "T2", "T1", 400 * 10**6, UNLIMITED),
        )
    )
    weth, usdt = (Leg(WETH, -1),), (Leg(USDT, -1),)
    third = -(-700 * 10**6 * 10**50 // UNLIMITED)
    assert market.intents == (
        MarketIntent("ann", weth, 10**18, 1, USDT, 380 * 10**6),
        # 2/3 of 1,000,000,001 rounds up: the owner never gets less than the price asked for.
        MarketIntent("ann", weth, 2 * 10**18, 1, USDT, 666_666_668),
        MarketIntent("ben", usdt, 700 * 10**6, 1, WETH, third),
        MarketIntent("ben", usdt, 400 * 10**6, 1, WETH, UNLIMITED),
    )
    assert summary.adjusted == {"of unlimited amount": 2, "sells no more than its balance": 2}
    assert (summary.orders, summary.taken, summary.orders_left_out) == (4, 4, {})


def test_prices_are_score_units_per_10_to_the_18_atoms() -> None:
    market, summary = run(batch())
    assert {asset: price.amount for asset, price in market.prices.items()} == {
        OWL: 10**9,
        WETH: 389_787472388,  # gives 389.79 OWL for a WETH of 10^18 atoms
        USDT: 1007492685108192117094,  # and 1.0075 OWL for a USDT of 10^6 atoms
    }
    usdt_in_score_units = 10**6 * market.prices[USDT].amount // 10**18
    assert usdt_in_score_units == 1_007492685
    assert (summary.priced, summary.unpriced) == (3, 2)


def test_accounts_and_assets_are_taken_as_far_as_they_are_known() -> None:
    market, summary = run(batch())
    assert [dict(account.balances) for account in market.accounts] == [
        {WETH: 2 * 10**18},
        {USDT: 700 * 10**6, NONE: 100},
    ]
    assert [asset.symbol for asset in market.assets] == ["OWL", "WETH", "USDT", "T3", "T4"]
    assert [asset.decimals for asset in market.assets] == [18, 18, 6, 18, 18]
    assert any("left out: 1" in note for note in summary.notes)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (order("ben", "T3", "T1", 5, 5), "no reference price"),
        (order("ann", "T1", "T3", 5, 5), "no reference price"),
        (order("ann", "T1", "T4", 5, 5), "no reference price"),
        (order("ann", "T2", "T1", 5, 5), "its account holds none of what it sells"),
        (order("cat", "T1", "T2", 5, 5), "its account holds none of what it sells"),
        (order("ann", "T1", "T9", 5, 5), "token not in the file's table"),
        (order("ann", "T1", "T1", 5, 5), "sells and buys the same token"),
        (order("ann", "T1", "T2", 0, 5), "an amount is zero"),
        (order("ann", "T1", "T2", 5, 0), "an amount is zero"),
    ],
)
def test_what_is_left_out_is_counted_under_its_reason(refused: dict[str, Any], reason: str) -> None:
    market, summary = run(batch(order("ann", "T1", "T2", 5, 5), refused))
    assert len(market.intents) == 1
    assert summary.orders_left_out == {reason: 1}
    assert f"  left out, {reason}: 1" in summary.lines()
    assert market.about.summary == summary.as_dict()


def test_prices_can_be_derived_where_the_file_has_none() -> None:
    document = batch(
        order("ann", "T1", "T0", 10**18, 400 * 10**18),
        order("cat", "T0", "T1", 410 * 10**18, 10**18),
        order("ben", "T2", "T1", 4 * 10**6, 10**16),
        order("ann", "T1", "T2", 10**16, 4 * 10**6),
        order("ben", "T3", "T1", 1, 1),
    )
    document["tokens"] = dict.fromkeys(document["tokens"])
    document["accounts"]["cat"] = {"T0": str(1_000 * 10**18)}
    market, summary = run(document, derive_prices=False)
    assert summary.orders_left_out == {"no reference price": 5}
    assert market.prices == {}

    market, summary = run(document)  # which is the default where there is no price at all
    assert market.prices[OWL] == Price(10**9, "derived: numeraire")
    assert market.prices[WETH] == Price(410 * 10**9, "derived: limit orders")
    assert market.prices[USDT] == Price(1025 * 10**18, "derived: limit orders")
    assert NONE not in market.prices
    assert summary.taken == 4
    assert summary.orders_left_out == {"no reference price": 1}
    assert any("derived" in note and note.endswith(": 3") for note in summary.notes)


def test_derived_prices_leave_the_known_ones_alone() -> None:
    known = {"a": Price(7, "given")}
    both_ways = [Limit("b", "a", 1, 3), Limit("a", "b", 3, 1), Limit("c", "a", 1, 5)]
    assert prices_from_limits(known, both_ways) == {"b": Price(21, "derived: limit orders")}


def test_crossing_is_where_most_would_trade() -> None:
    def fractions(*numbers: int) -> list[Fraction]:
        return [Fraction(number) for number in numbers]

    assert crossing(fractions(10, 11, 12, 90), fractions(1, 12, 13, 14)) == 12
    assert crossing(fractions(10, 10, 10), fractions(10)) == 10
    assert crossing(fractions(20, 30), fractions(5, 10)) == 15
    # One foolish order on either side moves nothing.
    assert crossing(fractions(1, 10, 11, 12), fractions(11, 12, 13, 10**9)) in range(11, 13)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("orders", 0, "sellAmount"), "-5", "orders[0].sellAmount"),
        (("orders", 0, "sellAmount"), 5, "orders[0].sellAmount"),
        (("orders", 0, "buyToken"), None, "orders[0].buyToken"),
        (("accounts", "ann", "T1"), "1.5", "accounts.ann.T1"),
        (("tokens", "T1", "externalPrice"), 1.5, "tokens.T1.externalPrice"),
        (("orders",), {}, "orders"),
    ],
)
def test_broken_files_are_refused_with_the_place(
    path: tuple[Any, ...], value: object, place: str
) -> None:
    document: Any = batch(order("ann", "T1", "T2", 5, 5))
    inside = document
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    with pytest.raises(InvalidInput) as caught:
        run(document)
    assert caught.value.reason is Reason.MARKET_FILE_INVALID
    assert caught.value.fields["path"] == place


# name: (orders, taken, taken with derived prices)
REAL_COUNTS = {
    "orders-243": (243, 179, 179),
    "orders-497": (497, 239, 239),
    "orders-803": (803, 313, 313),
    "orders-813": (813, 0, 322),
    "orders-11476": (11_476, 5_642, 5_691),
}


@pytest.mark.parametrize("derive_prices", [False, True, None])
@pytest.mark.parametrize("name", REAL_COUNTS)
def test_real_batches_add_up(name: str, derive_prices: bool | None) -> None:
    data = real_data(f"gpv1/{name}.json")
    market, summary = import_gpv1(data, derive_prices=derive_prices)
    orders, taken, taken_with_derived = REAL_COUNTS[name]
    assert summary.orders == orders
    # Left to itself, the import derives prices only where there is none.
    derives = derive_prices or (derive_prices is None and taken == 0)
    assert summary.taken == len(market.intents) == (taken_with_derived if derives else taken)
    assert summary.taken + sum(summary.orders_left_out.values()) == summary.orders

    raw = json.loads(data)
    balances = {account.id: account.balances for account in market.accounts}
    for intent in market.intents:
        (leg,) = intent.legs
        assert intent.units <= balances[intent.account][leg.asset]
        assert {leg.asset, intent.settlement_asset} <= market.prices.keys()
    # Sold in full, at the limit, every sale is still at the price of an order of its account.
    asked = {
        (o["accountID"], o["sellToken"], o["buyToken"], int(o["buyAmount"]), int(o["sellAmount"]))
        for o in raw["orders"]
    }
    prices_asked: dict[tuple[str, str, str], list[Fraction]] = {}
    for account, sell, buy, bought, sold in asked:
        prices_asked.setdefault((account, sell, buy), []).append(Fraction(bought, sold))
    for intent in market.intents:
        sell = intent.legs[0].asset.rpartition(":")[2]
        buy = intent.settlement_asset.rpartition(":")[2]
        assert any(
            0 <= intent.limit - price * intent.units < 1
            for price in prices_asked[intent.account, sell, buy]
        )
    assert parse_market(render_market(market)) == market
