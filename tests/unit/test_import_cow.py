"""CoW Protocol auctions: small ones made here, and the real ones where they are at hand."""

import json
from typing import Any

import pytest
from support.real_data import real_data

from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Leg
from walras.datasets.cow import import_cow
from walras.datasets.market_file import MarketIntent, parse_market, render_market
from walras.market.kinds import ConstantProduct, OrderBook, StableSwap, Weighted

WETH_AT = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
USDC_AT = "0xA0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
DAI_AT = "0x6b175474e89094c44da98b954eedeac495271d0f"
DARK_AT = "0x00000000000000000000000000000000000000d0"
WETH, USDC, DAI, DARK = (
    f"eip155:1/erc20:{address.lower()}" for address in (WETH_AT, USDC_AT, DAI_AT, DARK_AT)
)
ETHER = 10**18


def order(sell: str, buy: str, sold: int, bought: int, **changes: Any) -> dict[str, Any]:
    return {
        "sell_token": sell,
        "buy_token": buy,
        "sell_amount": str(sold),
        "buy_amount": str(bought),
        "is_sell_order": True,
        "allow_partial_fill": False,
        "fee": {"amount": "0", "token": sell},
        "cost": {"amount": "1", "token": WETH_AT},
        "is_liquidity_order": False,
    } | changes


def pool(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "ConstantProduct",
        "reserves": {USDC_AT: "3000000000", WETH_AT: str(ETHER)},
        "fee": "0.003",
        "cost": {"amount": "9507044675748200", "token": WETH_AT},
        "mandatory": False,
    } | changes


def auction(orders: Any = (), amms: Any = ()) -> dict[str, Any]:
    def token(decimals: int, price: float | None, alias: str | None) -> dict[str, Any]:
        entry = {"decimals": decimals, "alias": alias, "external_price": price}
        return entry | {"normalize_priority": 0, "internal_buffer": "0"}

    return {
        "metadata": {"environment": "mainnet", "auction_id": 1},
        "tokens": {
            WETH_AT: token(18, 1.0, "WETH"),
            USDC_AT: token(6, 214890212.34875953, "USDC"),
            DAI_AT: token(18, 0.00021508661247926934, None),
            DARK_AT: token(18, None, "DARK"),
        },
        "orders": {str(i): entry for i, entry in enumerate(orders)},
        "amms": {str(i): entry for i, entry in enumerate(amms)},
    }


def run(document: dict[str, Any]) -> Any:
    return import_cow(json.dumps(document).encode())


def test_prices_come_from_the_digits_of_the_file() -> None:
    market, summary = run(auction())
    assert {asset: price.amount for asset, price in market.prices.items()} == {
        WETH: 10**9,
        USDC: 214890212_348759530,
        DAI: 215086,
    }
    assert 10**6 * market.prices[USDC].amount // ETHER == 214_890  # a USDC in gwei
    assert (summary.priced, summary.unpriced) == (3, 1)
    assert [asset.symbol for asset in market.assets] == ["WETH", "USDC", DAI_AT[:32], "DARK"]


def test_orders_of_both_kinds_keep_their_terms_and_their_fee() -> None:
    fee = {"amount": "7", "token": USDC_AT.lower()}
    market, summary = run(
        auction(
            [
                order(USDC_AT, WETH_AT, 3_000, 900, fee=fee),
                order(USDC_AT, WETH_AT, 3_000, 900, fee=fee, is_sell_order=False),
                order(WETH_AT, USDC_AT, 900, 3_000, fee=fee, allow_partial_fill=True),
                order(WETH_AT, DAI_AT, 900, 3_000, fee=None, is_liquidity_order=True),
            ]
        )
    )
    assert market.intents == (
        MarketIntent("order-0", (Leg(USDC, -1),), 3_007, 3_007, WETH, 900),
        MarketIntent("order-1", (Leg(WETH, 1),), 900, 900, USDC, -3_007),
        MarketIntent("order-2", (Leg(WETH, -1),), 900, 1, USDC, 3_000),
        MarketIntent("order-3", (Leg(WETH, -1),), 900, 900, DAI, 3_000),
    )
    assert [dict(account.balances) for account in market.accounts] == [
        {USDC: 3_007},
        {USDC: 3_007},
        {WETH: 900},
        {WETH: 900},
    ]
    assert summary.adjusted == {
        "liquidity order, taken like any other": 1,
        "with a fee in another token than it sells, passed over": 1,
        "with its fee added to what it gives": 2,
    }
    assert summary.taken == summary.orders == 4


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (order(DARK_AT, WETH_AT, 5, 5), "no reference price"),
        (order(WETH_AT, DARK_AT, 5, 5), "no reference price"),
        (order(WETH_AT, "0x01", 5, 5), "token not in the file's table"),
        (order(WETH_AT, WETH_AT.upper(), 5, 5), "sells and buys the same token"),
        (order(WETH_AT, USDC_AT, 0, 5), "an amount is zero"),
        (order(WETH_AT, USDC_AT, 5, 0), "an amount is zero"),
    ],
)
def test_orders_left_out_are_counted(refused: dict[str, Any], reason: str) -> None:
    market, summary = run(auction([refused, order(WETH_AT, USDC_AT, 5, 5)]))
    assert len(market.intents) == 1
    assert summary.orders_left_out == {reason: 1}
    assert f"  left out, {reason}: 1" in summary.lines()
    assert market.about.summary == summary.as_dict()


def test_pools_become_venues_with_exact_parameters() -> None:
    weighted = pool(
        kind="WeightedProduct",
        reserves={
            WETH_AT: {"balance": "5", "weight": "0.333333333333333333"},
            USDC_AT: {"balance": "6", "weight": "0.333333333333333333"},
            DARK_AT: {"balance": "7", "weight": "0.333333333333333334"},
        },
        fee="0.0015",
        cost={"amount": "1", "token": DAI_AT},
    )
    stable = pool(
        kind="Stable",
        reserves={DAI_AT: "8", USDC_AT: "9"},
        scaling_rates={DAI_AT: str(ETHER), USDC_AT: "1000000"},
        amplification_parameter="620",
        fee="0.0001",
        cost=None,
    )
    market, summary = run(auction(amms=[pool(), weighted, stable]))
    assert market.venues == (
        # The cost of 9507044.6757482 gwei rounds up.
        ConstantProduct("amm-0", 9_507_045, (USDC, WETH), (3_000_000_000, ETHER), 3_000),
        Weighted(
            "amm-1",
            1,
            (WETH, USDC, DARK),
            (5, 6, 7),
            (333333333333333333, 333333333333333333, 333333333333333334),
            (1, 10**12, 1),
            1_500_000_000_000_000,
        ),
        StableSwap("amm-2", 0, (DAI, USDC), (8, 9), (ETHER, 10**30), 62_000, 1_000_000),
    )
    assert (summary.pools, summary.pools_taken, summary.pools_left_out) == (3, 3, {})
    assert any("off the output" in note for note in summary.notes)


def half(balance: str = "5", weight: str = "0.5") -> dict[str, str]:
    return {"balance": balance, "weight": weight}


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (pool(kind="Concentrated"), "kind Concentrated"),
        (pool(fee="0.0000005"), "fee finer than 10^-6"),
        (pool(fee="1"), "breaks a rule of its kind"),
        (pool(reserves={USDC_AT: "0", WETH_AT: "5"}), "a reserve is empty"),
        (pool(reserves={USDC_AT: "5", "0x01": "5"}), "a token that the file does not list"),
        (
            pool(reserves={USDC_AT: "5", WETH_AT: "5", DAI_AT: "5"}),
            "constant product of more or fewer than two tokens",
        ),
        (
            pool(cost={"amount": "5", "token": DARK_AT}),
            "its cost is in a token without a reference price",
        ),
        (
            pool(kind="WeightedProduct", reserves={USDC_AT: half(), WETH_AT: half(weight="0.4")}),
            "weights do not add up to 1",
        ),
        (
            pool(
                kind="WeightedProduct",
                reserves={USDC_AT: half(weight="0.005"), WETH_AT: half(weight="0.995")},
            ),
            "breaks a rule of its kind",
        ),
        (
            pool(kind="WeightedProduct", reserves={USDC_AT: half(), WETH_AT: half(balance="0")}),
            "a reserve is empty",
        ),
        (
            pool(kind="Stable", scaling_rates={WETH_AT: "1"}, amplification_parameter="5"),
            "scaling rate missing or not a divisor of 10^36",
        ),
        (
            pool(
                kind="Stable",
                scaling_rates={WETH_AT: str(ETHER), USDC_AT: "1000000"},
                amplification_parameter="5.005",
            ),
            "amplification finer than 10^-2",
        ),
    ],
)
def test_pools_left_out_are_counted(refused: dict[str, Any], reason: str) -> None:
    market, summary = run(auction(amms=[refused, pool()]))
    assert [venue.id for venue in market.venues] == ["amm-1"]
    assert summary.pools_left_out == {reason: 1}
    assert summary.pools_taken + 1 == summary.pools
    if reason == "breaks a rule of its kind":
        assert any("pool 0 left out: VENUE_MALFORMED" in note for note in summary.notes)


@pytest.mark.parametrize(
    ("environment", "wrapped", "chain"),
    [
        ("mainnet", WETH_AT, "eip155:1"),
        ("xDAI", "0xe91d153e0b41518a2ce8dd3d7944fa863463a97d", "eip155:100"),
        ("xDAI", WETH_AT, "eip155:1"),  # as the large public instance has it
        ("xDAI", "0x" + "ab" * 20, "eip155:100"),
    ],
)
def test_chain(environment: str, wrapped: str, chain: str) -> None:
    document = auction()
    document["metadata"]["environment"] = environment
    document["tokens"][wrapped] = document["tokens"].pop(WETH_AT)
    market, _ = run(document)
    assert {asset.id.partition("/")[0] for asset in market.assets} == {chain}


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("metadata", "environment"), "moon", "metadata.environment"),
        (("orders", "0", "sell_amount"), 5, 'orders["0"].sell_amount'),
        (("orders", "0", "sell_amount"), "-5", 'orders["0"].sell_amount'),
        (("orders", "0", "is_sell_order"), 1, 'orders["0"].is_sell_order'),
        (("amms", "0", "fee"), "a lot", 'amms["0"].fee'),
        (("amms", "0", "reserves", WETH_AT), "x", f'amms["0"].reserves["{WETH_AT}"]'),
        (("amms", "0"), [], 'amms["0"]'),
        (("tokens", WETH_AT, "decimals"), None, f'tokens["{WETH_AT}"].decimals'),
    ],
)
def test_broken_files_are_refused_with_the_place(
    path: tuple[Any, ...], value: object, place: str
) -> None:
    document: Any = auction([order(WETH_AT, USDC_AT, 5, 5)], [pool()])
    if path == ("metadata", "environment"):
        document["tokens"][WETH_AT]["external_price"] = 2
    inside = document
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    with pytest.raises(InvalidInput) as caught:
        run(document)
    assert caught.value.reason is Reason.MARKET_FILE_INVALID
    assert caught.value.fields["path"] == place


def test_one_address_in_two_cases_is_refused() -> None:
    document = auction()
    document["tokens"][WETH_AT.upper()] = document["tokens"][WETH_AT]
    with pytest.raises(InvalidInput, match="case"):
        run(document)


@pytest.mark.parametrize("price", ["1e999", "1e9999999999999999999999", "NaN", "9" * 5_000])
def test_absurd_numbers_are_refused_at_once(price: str) -> None:
    text = json.dumps(auction()).replace("214890212.34875953", price)
    assert price in text
    with pytest.raises(InvalidInput) as caught:
        import_cow(text.encode())
    assert caught.value.reason is Reason.MARKET_FILE_INVALID


@pytest.mark.parametrize("price", ["-1.5", "0", "1e-30", "1e300"])
def test_useless_prices_are_no_prices(price: str) -> None:
    text = json.dumps(auction()).replace("214890212.34875953", price)
    market, _ = import_cow(text.encode())
    assert USDC not in market.prices


@pytest.mark.parametrize(
    ("name", "chain", "pools", "priced"),
    [("small", "eip155:100", 18, 3), ("large", "eip155:1", 53, 33)],
)
def test_real_auctions_add_up(name: str, chain: str, pools: int, priced: int) -> None:
    market, summary = import_cow(real_data(f"cow/{name}_example.json"))
    assert summary.orders == summary.taken == len(market.intents) == 2
    assert summary.pools == pools
    assert summary.pools_taken == len(market.venues)
    assert summary.pools_taken + sum(summary.pools_left_out.values()) == summary.pools
    assert summary.pools_left_out == {}
    assert summary.priced == priced
    assert all(asset.id.startswith(f"{chain}/erc20:0x") for asset in market.assets)
    assert parse_market(render_market(market)) == market


def test_real_pools_quote_near_the_reference_prices() -> None:
    market, _ = import_cow(real_data("cow/large_example.json"))
    checked = 0
    for venue in market.venues:
        if {WETH, DAI} <= set(venue.assets) or {USDC, DAI} <= set(venue.assets):
            given = DAI
            taken = WETH if WETH in venue.assets else USDC
            index = venue.assets.index(given)
            assert not isinstance(venue, OrderBook)
            held = venue.reserves if isinstance(venue, ConstantProduct) else venue.balances
            amount = held[index] // 10_000
            if amount < 100 * ETHER:
                continue  # a pool of a few dollars has no price to speak of
            paid = venue.swap(given, amount, taken).amount_out
            worth = paid * market.prices[taken].amount
            fair = amount * market.prices[given].amount
            assert 0.98 < worth / fair < 1.02, venue.id
            checked += 1
    assert checked >= 3
