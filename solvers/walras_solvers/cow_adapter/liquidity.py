"""Venues as the liquidity of CoW's `POST /solve`, those that it can say exactly.

A constant product, a Balancer weighted or stable pool, a Uniswap v3 pool, the offers of a book and
a maker's quote. The schema has no bridge, and no pool whose fee is taken of the output as Curve
does. Pools whose arithmetic depends on the order of their tokens are shown if that is the order of
the addresses, which is all that the schema's maps can say.

Source: cowprotocol/services, crates/solvers/openapi.yml, and crates/solvers-dto where engines read
what the page leaves out.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from walras.sdk import (
    AnyVenue,
    Concentrated,
    ConstantProduct,
    Offer,
    OrderBook,
    Rfq,
    StablePool,
    Weighted,
)
from walras_solvers.cow_adapter.names import NOWHERE, Tokens, decimal, made_address

MAX_OFFERS = 256
"""Of one side of a book, the best."""

Item = dict[str, Any]


def liquidity_of(venue: AnyVenue, tokens: Tokens) -> Iterator[Item]:
    """What of `venue` can be shown; without the ids, which are the auction's."""
    head = {
        "address": made_address(venue.id),
        # A unit of gas costs a score unit: see `auction`.
        "gasEstimate": str(venue.cost),
    }
    for item in _items(venue, tokens):
        yield {**item, **head}


def _items(venue: AnyVenue, tokens: Tokens) -> Iterator[Item]:
    match venue:
        case ConstantProduct():
            yield {
                "kind": "constantProduct",
                "tokens": _reserves(venue.assets, venue.reserves, tokens),
                "fee": decimal(venue.fee_pips, 6),
                "router": NOWHERE,
            }
        case Weighted():
            extra: list[Callable[[int], Item]] = [
                lambda i: {"scalingFactor": str(venue.scaling[i])},
                lambda i: {"weight": decimal(venue.weights[i], 18)},
            ]
            yield {
                "kind": "weightedProduct",
                "tokens": _reserves(venue.assets, venue.balances, tokens, *extra),
                "fee": decimal(venue.fee, 18),
                # Its power takes the short cuts of the pools since version 3.
                "version": "v3Plus",
                **_pool_id(venue.id),
            }
        case StablePool() if _ascending(venue.assets, tokens):
            yield {
                "kind": "stable",
                "tokens": _reserves(
                    venue.assets,
                    venue.balances,
                    tokens,
                    lambda i: {"scalingFactor": decimal(venue.rates[i], 18)},
                ),
                "amplificationParameter": decimal(venue.amplification, 3),
                "fee": decimal(venue.fee, 18),
                **_pool_id(venue.id),
            }
        case Concentrated() if _ascending(venue.assets, tokens):
            yield {
                "kind": "concentratedLiquidity",
                "tokens": [tokens.address(asset) for asset in venue.assets],
                "sqrtPrice": str(venue.sqrt_price),
                "liquidity": str(venue.liquidity),
                "tick": venue.tick,
                "liquidityNet": {str(tick.index): str(tick.net) for tick in venue.ticks},
                "fee": decimal(venue.fee_pips, 6),
                "router": NOWHERE,
            }
        case OrderBook():
            base, quote = map(tokens.address, venue.assets)
            yield from _offers(venue.asks, base, quote)
            yield from _offers(venue.bids, quote, base)
        case Rfq() if left := venue.left * venue.amount_out // venue.amount_in:
            taken, paid = map(tokens.address, venue.assets)
            yield _limit_order(paid, left, taken, venue.left)
        case _:
            return


def _reserves(
    assets: Sequence[str],
    balances: Sequence[int],
    tokens: Tokens,
    *extra: Callable[[int], Item],
) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for place, (asset, balance) in enumerate(zip(assets, balances, strict=True)):
        entry: Item = {"balance": str(balance)}
        for make in extra:
            entry |= make(place)
        found[tokens.address(asset)] = entry
    return found


def _ascending(assets: Sequence[str], tokens: Tokens) -> bool:
    addresses = [tokens.address(asset) for asset in assets]
    return addresses == sorted(addresses)


def _pool_id(name: str) -> Item:
    made = "0x" + sha256(name.encode()).hexdigest()
    # The page has the one name, the reference engine reads the other.
    return {"balancer_pool_id": made, "balancerPoolId": made}


def _offers(offers: Sequence[Offer], maker: str, taker: str) -> Iterator[Item]:
    for offer in offers[:MAX_OFFERS]:
        yield _limit_order(maker, offer.give, taker, offer.want)


def _limit_order(maker: str, gives: int, taker: str, wants: int) -> Item:
    return {
        "kind": "limitOrder",
        "hash": "0x" + bytes(32).hex(),
        "makerToken": maker,
        "takerToken": taker,
        "makerAmount": str(gives),
        "takerAmount": str(wants),
        "takerTokenFeeAmount": "0",
    }
