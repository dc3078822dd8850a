"""Import of Balancer v2 pools, as its subgraph lists them and its order router takes them.

See docs/market-file.md.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from walras.core.assets import Asset
from walras.datasets.cow_pools import PoolError
from walras.datasets.market import Market
from walras.datasets.shape import ForeignShape, check_shape
from walras.datasets.subgraph import Address, Decimal, exactly, made, pool_market, symbol_of
from walras.datasets.summary import Summary
from walras.market.fixed_point import ONE
from walras.market.kinds import AnyVenue, StablePool, Weighted
from walras.market.stable_pool import AMP_PRECISION


class _Token(ForeignShape):
    address: Address
    balance: Decimal
    decimals: Annotated[int, Field(ge=0, le=77)]
    symbol: str = ""
    weight: Decimal | None = None
    price_rate: Annotated[Decimal, Field(alias="priceRate")] = "1"


class _Pool(ForeignShape):
    id: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40,64}$")]
    pool_type: Annotated[str, Field(alias="poolType")]
    swap_fee: Annotated[Decimal, Field(alias="swapFee")]
    swap_enabled: Annotated[bool, Field(alias="swapEnabled")] = True
    amp: Decimal | None = None
    tokens: list[_Token]


_OTHER_MATHS = {
    "ComposableStable": "ComposableStable: rounds its invariant in another way",
    "StablePhantom": "StablePhantom: trades its own shares",
    "LiquidityBootstrapping": "LiquidityBootstrapping: its weights move",
    "Managed": "Managed: its weights move",
}


def import_balancer(data: bytes, chain: str = "eip155:1") -> tuple[Market, Summary]:
    """The market of the pools, and what was left out of it.

    Weighted (and Investment) pools become `weighted` venues, Stable and MetaStable ones
    `stable_pool`; all that a swap depends on must come out exact. Costs are 0: the list has none.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    return pool_market("balancer", "Balancer v2 pools", data, chain, _to_venue)


def _to_venue(pool: object, place: int, chain: str) -> tuple[AnyVenue, Mapping[str, Asset]]:
    shape = check_shape(_Pool, pool, at=("pools", place))
    kind = shape.pool_type
    if kind not in {"Weighted", "Investment", "Stable", "MetaStable"}:
        raise PoolError(
            _OTHER_MATHS.get(kind, "kind " + "".join(filter(str.isprintable, kind[:40])))
        )
    if not shape.swap_enabled:
        raise PoolError("its swaps are switched off")
    if any(token.decimals > 18 for token in shape.tokens):
        raise PoolError("a token of more than 18 decimals")
    assets = [
        Asset(f"{chain}/erc20:{t.address.lower()}", symbol_of(t.symbol, t.address), t.decimals)
        for t in shape.tokens
    ]
    balances = tuple(exactly(t.balance, 10**t.decimals, "a balance") for t in shape.tokens)
    if not all(balances):
        raise PoolError("a balance is empty")
    make = _weighted if kind in {"Weighted", "Investment"} else _stable
    venue = make(shape, f"balancer-{shape.id.lower()}", tuple(a.id for a in assets), balances)
    return venue, {asset.id: asset for asset in assets}


def _weighted(
    pool: _Pool, name: str, assets: tuple[str, ...], balances: tuple[int, ...]
) -> AnyVenue:
    if any(token.weight is None for token in pool.tokens):
        raise PoolError("a weight is missing")
    weights = tuple(exactly(token.weight or "", ONE, "a weight") for token in pool.tokens)
    if sum(weights) != ONE:
        raise PoolError("weights do not add up to 1")
    return made(
        lambda: Weighted(
            id=name,
            cost=0,
            assets=assets,
            balances=balances,
            weights=weights,
            scaling=tuple(10 ** (18 - token.decimals) for token in pool.tokens),
            fee=exactly(pool.swap_fee, ONE, "the fee"),
        )
    )


def _stable(pool: _Pool, name: str, assets: tuple[str, ...], balances: tuple[int, ...]) -> AnyVenue:
    if pool.amp is None:
        raise PoolError("the amplification is missing")
    amplification = exactly(pool.amp, AMP_PRECISION, "the amplification")
    return made(
        lambda: StablePool(
            id=name,
            cost=0,
            assets=assets,
            balances=balances,
            rates=tuple(
                10 ** (18 - token.decimals) * exactly(token.price_rate, ONE, "a rate")
                for token in pool.tokens
            ),
            amplification=amplification,
            fee=exactly(pool.swap_fee, ONE, "the fee"),
        )
    )
