"""The shape of a market file: every key, every type, nothing else. See docs/market-file.md."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from walras.core.assets import Asset
from walras.core.errors import InvalidInput
from walras.core.intents import UINT64, Decay, Leg
from walras.datasets.market import About, Account, Market, MarketIntent, invalid
from walras.datasets.shape import Amount, Shape, check_shape
from walras.datasets.venue_shape import VenueShape
from walras.market.kinds import KINDS, AnyVenue
from walras.protocol.problem import SCORE_LIMIT, Price, Rules

FORMAT = "walras-market/1"

_DEFAULT = Rules()


def shape_market(document: object) -> Market:
    """The market that a parsed JSON document describes.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    return check_shape(_File, document, kinds=KINDS).value()


Time = Annotated[int, Field(ge=0, lt=UINT64)]
Count = Annotated[int, Field(ge=1, lt=1 << 32)]


def shape_intent(document: object) -> MarketIntent:
    """The intent that a parsed JSON document describes, as in a market file but without an account.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    if isinstance(document, dict) and "account" in document:
        raise invalid("account", "is no key of an intent by itself", "its owner is who signs it")
    given = {**document, "account": ""} if isinstance(document, dict) else document
    return check_shape(_Intent, given).value()


class _About(Shape):
    name: str
    source: str = ""
    summary: dict[str, JsonValue] = Field(default_factory=dict)


class _Rules(Shape):
    collar_bps: Annotated[int, Field(ge=0, le=10_000)] = _DEFAULT.collar_bps
    reward_cap: Annotated[Amount, Field(ge=0, lt=SCORE_LIMIT)] = _DEFAULT.reward_cap
    max_bids: Count = _DEFAULT.max_bids
    max_open_per_owner: Count = _DEFAULT.max_open_per_owner
    max_open: Count = _DEFAULT.max_open


class _Asset(Shape):
    id: str
    symbol: str
    decimals: int


class _Price(Shape):
    asset: str
    amount: Amount
    source: str


class _Account(Shape):
    id: str
    balances: dict[str, Amount]


class _Leg(Shape):
    asset: str
    quantity: Amount


class _Decay(Shape):
    start_limit: Amount
    start_ms: Time
    end_ms: Time


class _Intent(Shape):
    account: str
    legs: list[_Leg]
    units: Amount
    min_units: Amount
    settlement_asset: str
    limit: Amount
    decay: _Decay | None = None
    not_before_ms: Time | None = None
    expiry_ms: Time | None = None

    def value(self) -> MarketIntent:
        decay = self.decay
        return MarketIntent(
            account=self.account,
            legs=tuple(Leg(leg.asset, leg.quantity) for leg in self.legs),
            units=self.units,
            min_units=self.min_units,
            settlement_asset=self.settlement_asset,
            limit=self.limit,
            decay=Decay(decay.start_limit, decay.start_ms, decay.end_ms) if decay else None,
            not_before_ms=self.not_before_ms,
            expiry_ms=self.expiry_ms,
        )


class _File(Shape):
    format: Literal["walras-market/1"]
    about: _About
    rules: _Rules | None = None
    assets: list[_Asset]
    prices: list[_Price]
    venues: list[VenueShape]
    accounts: list[_Account]
    intents: list[_Intent]

    def value(self) -> Market:
        about = self.about
        return Market(
            about=About(about.name, about.source, about.summary),
            rules=Rules(**self.rules.model_dump()) if self.rules is not None else None,
            assets=tuple(Asset(asset.id, asset.symbol, asset.decimals) for asset in self.assets),
            prices=_prices(self.prices),
            venues=tuple(_venue(venue, f"venues[{i}]") for i, venue in enumerate(self.venues)),
            accounts=tuple(Account(account.id, account.balances) for account in self.accounts),
            intents=tuple(intent.value() for intent in self.intents),
        )


def _prices(entries: list[_Price]) -> dict[str, Price]:
    prices: dict[str, Price] = {}
    for i, entry in enumerate(entries):
        if entry.asset in prices:
            raise invalid(
                f"prices[{i}].asset", f"a second price of {entry.asset!r}", "remove one of them"
            )
        prices[entry.asset] = Price(entry.amount, entry.source)
    return prices


def _venue(shape: VenueShape, path: str) -> AnyVenue:
    try:
        return shape.value()
    except InvalidInput as error:
        raise invalid(path, error.message, error.hint) from error
