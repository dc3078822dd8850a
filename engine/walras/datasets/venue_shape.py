"""The shape of a venue in a market file: every key, every type, nothing else; and its writing.

See docs/market-file.md.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from walras.datasets.shape import Amount, Shape
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

Json = dict[str, object]

Pair = Annotated[list[Amount], Field(min_length=2, max_length=2)]
TwoAssets = Annotated[list[str], Field(min_length=2, max_length=2)]


class _Venue(Shape):
    id: str
    cost: Amount


class _ConstantProduct(_Venue):
    kind: Literal["constant_product"]
    assets: TwoAssets
    reserves: Pair
    fee_pips: int

    def value(self) -> AnyVenue:
        return ConstantProduct(
            id=self.id,
            cost=self.cost,
            assets=(self.assets[0], self.assets[1]),
            reserves=(self.reserves[0], self.reserves[1]),
            fee_pips=self.fee_pips,
        )


class _Weighted(_Venue):
    kind: Literal["weighted"]
    assets: list[str]
    balances: list[Amount]
    weights: list[Amount]
    scaling: list[Amount]
    fee: Amount

    def value(self) -> AnyVenue:
        return Weighted(
            id=self.id,
            cost=self.cost,
            assets=tuple(self.assets),
            balances=tuple(self.balances),
            weights=tuple(self.weights),
            scaling=tuple(self.scaling),
            fee=self.fee,
        )


class _StableSwap(_Venue):
    kind: Literal["stable_swap"]
    assets: list[str]
    balances: list[Amount]
    rates: list[Amount]
    amplification: Amount
    fee: Amount

    def value(self) -> AnyVenue:
        return StableSwap(
            id=self.id,
            cost=self.cost,
            assets=tuple(self.assets),
            balances=tuple(self.balances),
            rates=tuple(self.rates),
            amplification=self.amplification,
            fee=self.fee,
        )


class _Offer(Shape):
    give: Amount
    want: Amount


class _OrderBook(_Venue):
    kind: Literal["order_book"]
    base: str
    quote: str
    asks: list[_Offer]
    bids: list[_Offer]

    def value(self) -> AnyVenue:
        return OrderBook(
            id=self.id,
            cost=self.cost,
            assets=(self.base, self.quote),
            asks=tuple(Offer(offer.give, offer.want) for offer in self.asks),
            bids=tuple(Offer(offer.give, offer.want) for offer in self.bids),
        )


class _Tick(Shape):
    index: int
    net: Amount


class _Concentrated(_Venue):
    kind: Literal["concentrated"]
    assets: TwoAssets
    sqrt_price: Amount
    tick: int
    liquidity: Amount
    fee_pips: int
    tick_spacing: int
    ticks: list[_Tick]

    def value(self) -> AnyVenue:
        return Concentrated(
            id=self.id,
            cost=self.cost,
            assets=(self.assets[0], self.assets[1]),
            sqrt_price=self.sqrt_price,
            tick=self.tick,
            liquidity=self.liquidity,
            fee_pips=self.fee_pips,
            tick_spacing=self.tick_spacing,
            ticks=tuple(Tick(tick.index, tick.net) for tick in self.ticks),
        )


class _StablePool(_Venue):
    kind: Literal["stable_pool"]
    assets: list[str]
    balances: list[Amount]
    rates: list[Amount]
    amplification: Amount
    fee: Amount

    def value(self) -> AnyVenue:
        return StablePool(
            id=self.id,
            cost=self.cost,
            assets=tuple(self.assets),
            balances=tuple(self.balances),
            rates=tuple(self.rates),
            amplification=self.amplification,
            fee=self.fee,
        )


class _Bridge(_Venue):
    kind: Literal["bridge"]
    assets: TwoAssets
    capacity: Pair
    scaling: Pair
    fee_pips: int
    flat_fee: Pair
    latency_ms: int

    def value(self) -> AnyVenue:
        return Bridge(
            id=self.id,
            cost=self.cost,
            assets=(self.assets[0], self.assets[1]),
            capacity=(self.capacity[0], self.capacity[1]),
            scaling=(self.scaling[0], self.scaling[1]),
            fee_pips=self.fee_pips,
            flat_fee=(self.flat_fee[0], self.flat_fee[1]),
            latency_ms=self.latency_ms,
        )


class _Rfq(_Venue):
    kind: Literal["rfq"]
    maker: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    nonce: Amount
    asset_in: str
    asset_out: str
    amount_in: Amount
    amount_out: Amount
    expiry_ms: int
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
    left: Amount

    def value(self) -> AnyVenue:
        return Rfq(
            id=self.id,
            cost=self.cost,
            assets=(self.asset_in, self.asset_out),
            maker=bytes.fromhex(self.maker),
            nonce=self.nonce,
            amount_in=self.amount_in,
            amount_out=self.amount_out,
            expiry_ms=self.expiry_ms,
            signature=bytes.fromhex(self.signature),
            left=self.left,
        )


VenueShape = Annotated[
    _ConstantProduct
    | _Weighted
    | _StableSwap
    | _OrderBook
    | _Concentrated
    | _StablePool
    | _Bridge
    | _Rfq,
    Field(discriminator="kind"),
]


def render_venue(venue: AnyVenue) -> Json:
    """The object that a market file has for `venue`."""
    made: Json = {"id": venue.id, "cost": str(venue.cost), "kind": kind_of(venue)}
    match venue:
        case ConstantProduct():
            made["assets"] = list(venue.assets)
            made["reserves"] = _strings(venue.reserves)
            made["fee_pips"] = venue.fee_pips
        case Weighted():
            made["assets"] = list(venue.assets)
            made["balances"] = _strings(venue.balances)
            made["weights"] = _strings(venue.weights)
            made["scaling"] = _strings(venue.scaling)
            made["fee"] = str(venue.fee)
        case StableSwap() | StablePool():
            made["assets"] = list(venue.assets)
            made["balances"] = _strings(venue.balances)
            made["rates"] = _strings(venue.rates)
            made["amplification"] = str(venue.amplification)
            made["fee"] = str(venue.fee)
        case OrderBook():
            made["base"], made["quote"] = venue.assets
            made["asks"] = _offers(venue.asks)
            made["bids"] = _offers(venue.bids)
        case Concentrated():
            made["assets"] = list(venue.assets)
            made["sqrt_price"] = str(venue.sqrt_price)
            made["tick"] = venue.tick
            made["liquidity"] = str(venue.liquidity)
            made["fee_pips"] = venue.fee_pips
            made["tick_spacing"] = venue.tick_spacing
            made["ticks"] = [{"index": tick.index, "net": str(tick.net)} for tick in venue.ticks]
        case Bridge():
            made["assets"] = list(venue.assets)
            made["capacity"] = _strings(venue.capacity)
            made["scaling"] = _strings(venue.scaling)
            made["fee_pips"] = venue.fee_pips
            made["flat_fee"] = _strings(venue.flat_fee)
            made["latency_ms"] = venue.latency_ms
        case Rfq():
            made["maker"], made["nonce"] = venue.maker.hex(), str(venue.nonce)
            made["asset_in"], made["asset_out"] = venue.assets
            made["amount_in"], made["amount_out"] = str(venue.amount_in), str(venue.amount_out)
            made["expiry_ms"] = venue.expiry_ms
            made["signature"] = venue.signature.hex()
            made["left"] = str(venue.left)
    return made


def _strings(numbers: Iterable[int]) -> list[str]:
    return [str(number) for number in numbers]


def _offers(offers: Iterable[Offer]) -> list[Json]:
    return [{"give": str(offer.give), "want": str(offer.want)} for offer in offers]
