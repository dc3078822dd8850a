"""Import of Uniswap v3 pools, as its subgraph lists them, with all their ticks.

See docs/market-file.md.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from walras.core.assets import Asset
from walras.datasets.cow_pools import PoolError
from walras.datasets.market import Market
from walras.datasets.shape import ForeignShape, check_shape
from walras.datasets.subgraph import Address, Whole, made, pool_market, symbol_of
from walras.datasets.summary import Summary
from walras.market.kinds import AnyVenue, Concentrated, Tick

_SPACINGS = {100: 1, 500: 10, 3_000: 60, 10_000: 200}
"""Fee in pips → tick spacing, of the fees that Uniswap's factory knows."""


class _Token(ForeignShape):
    id: Address
    symbol: str = ""
    decimals: Whole


class _Tick(ForeignShape):
    index: Annotated[Whole, Field(alias="tickIdx")]
    net: Annotated[Whole, Field(alias="liquidityNet")]
    gross: Annotated[Whole, Field(alias="liquidityGross")]


class _Pool(ForeignShape):
    id: Address
    token0: _Token
    token1: _Token
    fee: Annotated[Whole, Field(alias="feeTier")]
    spacing: Annotated[Whole | None, Field(alias="tickSpacing")] = None
    liquidity: Whole
    sqrt_price: Annotated[Whole, Field(alias="sqrtPrice")]
    tick: Whole | None = None
    ticks: list[_Tick]


def import_uniswap_v3(data: bytes, chain: str = "eip155:1") -> tuple[Market, Summary]:
    """The market of the pools, and what was left out of it.

    A pool whose ticks do not add up to its liquidity in range, and in the end to 0, is left out: a
    list of ticks that was cut off cannot be told from a whole one otherwise. Costs are 0.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    return pool_market("uniswap-v3", "Uniswap v3 pools", data, chain, _to_venue)


def _to_venue(pool: object, place: int, chain: str) -> tuple[AnyVenue, Mapping[str, Asset]]:
    shape = check_shape(_Pool, pool, at=("pools", place))
    assets = []
    for token in (shape.token0, shape.token1):
        if not 0 <= int(token.decimals) <= 77:
            raise PoolError("a token of more than 77 decimals")
        name = f"{chain}/erc20:{token.id.lower()}"
        assets.append(Asset(name, symbol_of(token.symbol, token.id), int(token.decimals)))
    if shape.tick is None or not int(shape.sqrt_price):
        raise PoolError("it has no price yet")
    spacing = int(shape.spacing) if shape.spacing else _SPACINGS.get(int(shape.fee))
    if spacing is None:
        raise PoolError("its tickSpacing is not told by its fee")
    # The subgraph keeps ticks that no position touches any more, with a gross of 0.
    ticks = sorted(
        (Tick(int(tick.index), int(tick.net)) for tick in shape.ticks if int(tick.gross)),
        key=lambda tick: tick.index,
    )
    tick_now = int(shape.tick)
    in_range = sum(tick.net for tick in ticks if tick.index <= tick_now)
    if sum(tick.net for tick in ticks) or in_range != int(shape.liquidity):
        raise PoolError("its ticks are not all there: their liquidity does not add up")
    venue = made(
        lambda: Concentrated(
            id=f"uniswap-v3-{shape.id.lower()}",
            cost=0,
            assets=(assets[0].id, assets[1].id),
            sqrt_price=int(shape.sqrt_price),
            tick=tick_now,
            liquidity=in_range,
            fee_pips=int(shape.fee),
            tick_spacing=spacing,
            ticks=tuple(ticks),
        )
    )
    return venue, {asset.id: asset for asset in assets}
