"""Problems as the auctions of a CoW engine."""

from dataclasses import replace
from typing import Any

import pytest
from support.auctions import DAI, ETH, NOW, UNPRICED, USDC, WHOLE_ETH, WHOLE_USDC, intent, pool
from support.cow_markets import USDC_ADDRESS, erc20, proposal, purchase, sale, shown, swap
from support.solver_markets import market

from walras.core.intents import Decay
from walras.market.kinds import (
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
from walras.protocol.problem import Price
from walras.sdk import judged
from walras_solvers.cow_adapter import (
    TokenInfo,
)
from walras_solvers.cow_adapter.names import made_address


def test_an_auction() -> None:
    decaying = Decay(start_limit=3_100 * WHOLE_USDC, start_ms=NOW - 1, end_ms=NOW + 1)
    seller = replace(sale(), decay=decaying)
    buyer = purchase(2 * WHOLE_ETH, min_units=2 * WHOLE_ETH)
    rest = intent("third", {ETH: 1, DAI: -1}, USDC, 5, units=9)  # an order has one leg
    problem = market(
        {"seller": seller, "buyer": buyer, "third": rest},
        venues=[pool("first", cost=70), pool("second", assets=(UNPRICED, ETH))],
    )
    made = shown(problem, {USDC: TokenInfo("USDC", 6)})
    auction = made.auction
    ether = made.tokens.address(ETH)
    assert ether != made.tokens.address(UNPRICED)
    assert made.tokens.address(USDC) == USDC_ADDRESS
    assert all(made.tokens.asset(made.tokens.address(asset)) == asset for asset in (ETH, USDC))
    assert auction["id"] == "7"
    assert auction["deadline"] == "2026-11-21T12:30:01.234Z"
    tokens = auction["tokens"]
    # A wei is a 10^-18th of what a score unit is a 10^-9th of.
    assert tokens[ether] == {
        "availableBalance": "0",
        "trusted": False,
        "referencePrice": "1" + "0" * 18,
    }
    assert tokens[USDC_ADDRESS]["decimals"] == 6
    assert tokens[USDC_ADDRESS]["symbol"] == "USDC"
    assert "referencePrice" not in tokens[made.tokens.address(UNPRICED)]
    orders = {order["kind"]: order for order in auction["orders"]}
    assert len(auction["orders"]) == len(made.orders) == 2
    sell, buy = orders["sell"], orders["buy"]
    assert (sell["sellToken"], sell["buyToken"]) == (ether, USDC_ADDRESS)
    assert (sell["sellAmount"], sell["buyAmount"]) == (str(WHOLE_ETH), str(3_000 * WHOLE_USDC))
    assert sell["partiallyFillable"]
    assert (buy["sellToken"], buy["buyToken"]) == (USDC_ADDRESS, ether)
    assert (buy["sellAmount"], buy["buyAmount"]) == (str(6_200 * WHOLE_USDC), str(2 * WHOLE_ETH))
    assert not buy["partiallyFillable"]
    first, second = auction["liquidity"]
    assert first["gasEstimate"] == "70"
    assert auction["effectiveGasPrice"] == str(10**9)
    assert (first["fee"], first["id"], second["id"]) == ("0.003", "0", "1")


def test_an_order_is_what_is_left_of_it() -> None:
    """A least fill above one atom cannot be said: then it is all that is left, or nothing."""
    made = market({"seller": sale(10), "buyer": purchase(10, min_units=3)})
    left = {name: replace(found, remaining=7) for name, found in made.intents.items()}
    orders = {o["kind"]: o for o in shown(replace(made, intents=left)).auction["orders"]}
    assert (orders["sell"]["sellAmount"], orders["sell"]["fullSellAmount"]) == ("7", "10")
    assert (orders["buy"]["buyAmount"], orders["buy"]["fullBuyAmount"]) == ("7", "7")
    assert (orders["sell"]["partiallyFillable"], orders["buy"]["partiallyFillable"]) == (
        True,
        False,
    )


def test_venues() -> None:
    low, high = erc20("0x" + "11" * 20), erc20("0x" + "22" * 20)
    two = (low, high)
    venues: list[AnyVenue] = [
        Weighted(
            "weighted", 3, two, (10**20, 10**9), (2 * 10**17, 8 * 10**17), (1, 10**12), 5 * 10**15
        ),
        StablePool("stable", 1, two, (10**20, 10**8), (10**18, 10**30), 5_000_000, 10**14),
        Concentrated(
            "v3", 0, two, 1 << 96, 0, 10**20, 500, 10, (Tick(-100, 10**20), Tick(100, -(10**20)))
        ),
        OrderBook("book", 2, two, (Offer(5, 10), Offer(4, 9)), (Offer(3, 4),)),
        Rfq("quote", 0, two, bytes(32), 1, 100, 7, 1 << 60, bytes(64), 50),
        StableSwap("curve", 0, two, (10**20, 10**8), (10**18, 10**30), 10_000, 4_000_000),
        Bridge("bridge", 0, two, (10**20, 10**20), (1, 1), 100, (1, 1), 60_000),
        StablePool("swapped", 1, (high, low), (10**8, 10**20), (10**30, 10**18), 5_000_000, 10**14),
    ]
    made = shown(market({"seller": sale()}, venues=venues))
    by_venue: dict[str, list[dict[str, Any]]] = {}
    for item in made.auction["liquidity"]:
        by_venue.setdefault(made.venues[item["id"]], []).append(item)
    assert set(by_venue) == {"weighted", "stable", "v3", "book", "quote"}
    (weighted,) = by_venue["weighted"]
    a, b = "0x" + "11" * 20, "0x" + "22" * 20
    assert weighted["tokens"] == {
        a: {"balance": str(10**20), "scalingFactor": "1", "weight": "0.2"},
        b: {"balance": str(10**9), "scalingFactor": str(10**12), "weight": "0.8"},
    }
    assert weighted["fee"] == "0.005"
    (stable,) = by_venue["stable"]
    assert stable["amplificationParameter"] == "5000"
    assert stable["tokens"][b] == {"balance": str(10**8), "scalingFactor": str(10**12)}
    (v3,) = by_venue["v3"]
    assert v3["tokens"] == [a, b]
    assert v3["liquidityNet"] == {"-100": str(10**20), "100": str(-(10**20))}
    assert (v3["sqrtPrice"], v3["tick"], v3["fee"]) == (str(1 << 96), 0, "0.0005")
    offers = [
        (o["makerToken"], o["makerAmount"], o["takerToken"], o["takerAmount"])
        for o in by_venue["book"] + by_venue["quote"]
    ]
    assert offers == [
        (a, "5", b, "10"),
        (a, "4", b, "9"),
        (b, "3", a, "4"),
        (b, "3", a, "50"),
    ]


def test_one_address_is_one_assets() -> None:
    """On two chains, or in two cases, an address is two assets; and it can be made to be one that
    stands for another's id: the second gets another.
    """
    other = USDC.replace("eip155:1/", "eip155:10/")
    forged = erc20(made_address("eip155:1/slip44:61"))
    loud = erc20(USDC_ADDRESS.upper().replace("0X", "0x"))
    assets = [other, loud, USDC, forged, "eip155:1/slip44:61"]
    made = shown(market({"s": sale()}, venues=[pool(a, assets=(a, ETH)) for a in assets]))
    addresses = [made.tokens.address(asset) for asset in assets]
    assert len(set(addresses)) == 5
    assert USDC_ADDRESS in addresses
    assert [made.tokens.asset(address) for address in addresses] == assets


# The figures of the reference engine's own test cases (crates/solvers/src/tests/cases).
WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
COW = "0xdef1ca1fb7fbcdc777520aa7f396b4e015f497ab"
GNO, GNOSIS_COW = (
    "0x9c58bacc331c9aa871afd802db6379a98e80cedb",
    "0x177127622c4a00f3d409b75571e12cb3c8973d3c",
)
DAI_COIN = "0x6b175474e89094c44da98b954eedeac495271d0f"
USDT = "0xdac17f958d2ee523a2206206994597c13d831ec7"
REFERENCE = {
    "direct_swap": (
        ConstantProduct(
            "v2", 110_000, (erc20(WETH), erc20(COW)),
            (3828187314911751990, 179617892578796375604692), 3_000,
        ),
        {"kind": "constantProduct", "fee": "0.003", "gasEstimate": "110000"},
        (WETH, 133700000000000000, COW, 6000000000000000000000),
        6043910341261930467761,
    ),
    "weighted_v3plus": (
        Weighted(
            "weighted", 88_892, (erc20(GNOSIS_COW), erc20(GNO)),
            (5089632258314443812936111, 3043530764763263654069),
            (5 * 10**17, 5 * 10**17), (1, 1), 5 * 10**15,
        ),
        {"kind": "weightedProduct", "fee": "0.005", "gasEstimate": "88892", "version": "v3Plus"},
        (GNO, 10**18, GNOSIS_COW, 1),
        1663373703594405548696,
    ),
    "stable": (
        StablePool(
            "stable", 183_520, (erc20(DAI_COIN), erc20(USDC_ADDRESS), erc20(USDT)),
            (505781036390938593206504, 554894862074, 1585576741011),
            (10**18, 10**30, 10**30), 5_000_000, 10**14,
        ),
        {"kind": "stable", "fee": "0.0001", "gasEstimate": "183520"},
        (DAI_COIN, 10**19, USDC_ADDRESS, 9_500_000),
        9999475,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_engines_own_cases(name: str) -> None:
    """What it answers there, given the same pool, is a bid here that pays just what it says."""
    venue, facts, (sold, amount, bought, least), out = REFERENCE[name]
    order = intent("seller", {erc20(sold): -1}, erc20(bought), least, units=amount)
    value = {sold: Price(10**30 // amount, "test"), bought: Price(10**30 // out, "test")}
    prices = {erc20(address): price for address, price in value.items()}
    problem = market({"seller": order}, venues=[venue], prices=prices)
    made = shown(problem)
    (item,) = made.auction["liquidity"]
    assert item.items() >= facts.items()
    (uid,) = made.orders
    document = {
        "id": 0,
        "prices": {sold: str(out), bought: str(amount)},
        "trades": [{"kind": "fulfillment", "order": uid, "executedAmount": str(amount)}],
        "preInteractions": [],
        "interactions": [swap("0", sold, amount, bought, out)],
        "postInteractions": [],
        "gas": 166391,
    }
    found = judged(problem, proposal(made, document))
    (fill,) = found.fills
    assert (fill.units, fill.settlement) == (amount, out)
    assert not found.leftover
