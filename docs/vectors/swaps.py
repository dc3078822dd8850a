"""Venues of every kind: swaps to the atom, the states after them, and swaps that are refused."""

from collections.abc import Iterable
from typing import Any

from common import DAI, DOMAIN, ETH, NOW, USDC, WHOLE, WHOLE_USDC, plain, signer

from walras.audit.quotes import quote_message
from walras.core.errors import SwapError
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
    kind_of,
)
from walras.market.quote import quote_of
from walras.market.tick_math import sqrt_price_at
from walras.protocol.venues import encode_venue
from walras.sdk.signing import sign_quote

USDC_ELSEWHERE = "eip155:10/erc20:0x0b2c639c533813f4aa9d7837caf62653d097ff85"
MAKER = signer("maker")


def _venues() -> Iterable[tuple[AnyVenue, list[tuple[str, int, str]]]]:
    """Each with the swaps that are asked of its first state."""
    sizes = (0, 1, 12_345, WHOLE, 10 * WHOLE + 1, 10**27)
    yield (
        ConstantProduct("pair", 5, (ETH, USDC), (1_000 * WHOLE, 3_000_000 * WHOLE_USDC), 3_000),
        [(ETH, n, USDC) for n in sizes] + [(USDC, 7 * WHOLE_USDC, ETH), (ETH, 1, DAI)],
    )
    weights, scaling = (8 * 10**17, 2 * 10**17), (1, 10**12)
    pooled = (800 * WHOLE, 600_000 * WHOLE_USDC)
    yield (
        Weighted("w", 0, (ETH, USDC), pooled, weights, scaling, 10**15),
        [(ETH, n, USDC) for n in sizes] + [(USDC, 70_001, ETH), (ETH, 300 * WHOLE, USDC)],
    )
    balances = (2_000_000 * WHOLE, 1_500_000 * WHOLE_USDC, 1_800_000 * WHOLE_USDC)
    assets, rates = (DAI, USDC, USDC_ELSEWHERE), (10**18, 10**30, 10**30)
    swaps = [(DAI, n, USDC) for n in sizes] + [(USDC, 9 * WHOLE_USDC, USDC_ELSEWHERE)]
    yield StableSwap("curve", 0, assets, balances, rates, 200_000, 4_000_000), swaps
    yield StablePool("balancer", 0, assets, balances, rates, 2_000_000, 4 * 10**14), swaps
    price, liquidity = sqrt_price_at(-600) + 12_345, 10**21
    ticks = (Tick(-6_000, liquidity // 2), Tick(-660, liquidity // 2), Tick(600, -liquidity))
    yield (
        Concentrated("v3", 0, (ETH, DAI), price, -600, liquidity, 3_000, 60, ticks),
        [(ETH, n, DAI) for n in sizes] + [(DAI, n, ETH) for n in (1, WHOLE, 50 * WHOLE, 10**24)],
    )
    terms = ((10**12, 10**24), (10**12, 1), 500, (10**6, 10**18), 900_000)
    yield (
        Bridge("bridge", 9, (USDC, DAI), *terms),
        [(USDC, n, DAI) for n in (1, 1_000_000, 1_500_000, 10**9, 10**13)]
        + [(DAI, 1_000 * WHOLE - 1, USDC)],
    )
    blank = (
        "rfq",
        0,
        (ETH, USDC),
        bytes(32),
        3,
        10 * WHOLE,
        30_001 * WHOLE_USDC,
        NOW,
        bytes(64),
        0,
    )
    yield (
        sign_quote(DOMAIN, Rfq(*blank), MAKER),
        [(ETH, n, USDC) for n in (1, 10**9, WHOLE, 10 * WHOLE, 10 * WHOLE + 1)]
        + [(USDC, WHOLE_USDC, ETH)],
    )
    asks = (Offer(3 * WHOLE, 9_001 * WHOLE_USDC), Offer(7, 1), Offer(WHOLE, 4_000 * WHOLE_USDC))
    asks = tuple(sorted(asks, key=lambda offer: (offer.want * WHOLE // offer.give, offer.give)))
    bids = (Offer(2_999 * WHOLE_USDC, WHOLE), Offer(10 * WHOLE_USDC, WHOLE // 250))
    yield (
        OrderBook("book", 0, (ETH, USDC), asks, bids),
        [(USDC, n, ETH) for n in (1, 2, 5_000, 9_001 * WHOLE_USDC + 1, 10**12)]
        + [(ETH, n, USDC) for n in (1, WHOLE // 2, WHOLE, WHOLE + 1, 10**20)],
    )


def venues() -> Any:
    """One venue of each kind."""
    told = []
    for venue, swaps in _venues():
        quote = quote_of(venue)
        told.append(
            {
                "kind": kind_of(venue),
                "venue": venue,
                "encoded": encode_venue(venue),
                "quote": {"bids": quote.bids, "asks": quote.asks, "depth": quote.depth},
                "swaps": [_swapped(venue, *swap) for swap in swaps],
            }
        )
    quoted = next(venue for venue, _ in _venues() if isinstance(venue, Rfq))
    signed = {"domain": DOMAIN, "message": quote_message(DOMAIN, quoted)}
    return plain({"quote_signed": signed, "venues": told})


def _swapped(venue: AnyVenue, asset_in: str, amount_in: int, asset_out: str) -> dict[str, Any]:
    asked = {"asset_in": asset_in, "amount_in": amount_in, "asset_out": asset_out}
    try:
        swap = venue.swap(asset_in, amount_in, asset_out)
    except SwapError as error:
        return asked | {"reason": error.reason.value}
    return asked | {"amount_out": swap.amount_out, "after": encode_venue(swap.after)}
