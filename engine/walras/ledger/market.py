"""The market as a function of the log: assets, venues, reference prices, and the watch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.ledger.pricing import Priced, Pricing
from walras.market.kinds import AnyVenue, Rfq
from walras.market.watch import Limits, VenueWatch
from walras.protocol.prices import PriceFeed, PricesWatched
from walras.protocol.problem import Price, Rules
from walras.protocol.records import MarketUpdate, QuarantinedVenue, VenuesWatched


@dataclass(slots=True)
class Market:
    """What can be traded, and where.

    Attributes:
        assets, venues, prices: by id; prices are the operator's.
        watch: what is known of the venues' health.
        pricing: what is known of reference prices beside the operator's.
        priced: the reference prices of the last sealing in this process, and when it was.
    """

    assets: dict[str, Asset] = field(default_factory=dict)
    venues: dict[str, AnyVenue] = field(default_factory=dict)
    prices: dict[str, Price] = field(default_factory=dict)
    watch: VenueWatch = field(default_factory=VenueWatch)
    pricing: Pricing = field(default_factory=Pricing)
    priced: tuple[int, Priced] | None = field(default=None, compare=False, repr=False)

    def check_traded(self, assets: Iterable[str]) -> None:
        """Refuse what is not listed and priced. Raises InvalidInput: ASSET_UNKNOWN,
        ASSET_UNPRICED.
        """
        for asset in assets:
            if asset not in self.assets:
                raise InvalidInput(
                    Reason.ASSET_UNKNOWN,
                    f"the engine does not know {asset}",
                    hint="ListAssets names the assets that can be traded",
                    asset=asset,
                )
            if asset not in self.prices:
                raise InvalidInput(
                    Reason.ASSET_UNPRICED,
                    f"{asset} has no reference price, so it cannot be traded yet",
                    asset=asset,
                )

    def update(self, update: MarketUpdate, at_ms: int) -> None:
        """Apply an operator's update, as of `at_ms`. Raises InvalidInput: ASSET_UNKNOWN,
        VENUE_UNKNOWN or VENUE_MALFORMED; nothing has changed then.
        """
        known = self.assets.keys() | {asset.id for asset in update.assets}
        traded = [asset for venue in update.venues for asset in venue.assets]
        for name in [*traded, *update.prices]:
            if name not in known:
                raise InvalidInput(
                    Reason.ASSET_UNKNOWN,
                    f"{name} is traded or priced before it is listed",
                    hint="list the asset in the same update or an earlier one",
                    asset=name,
                )
        for venue in update.venues:
            if isinstance(venue, Rfq) and venue.left != venue.amount_in:
                raise InvalidInput(
                    Reason.VENUE_MALFORMED,
                    f"quote {venue.id!r} comes with {venue.left} of {venue.amount_in} atoms left",
                    hint="a maker signs a quote for what is left",
                )
        for venue_id in update.removed_venues:
            if venue_id not in self.venues:
                raise InvalidInput(Reason.VENUE_UNKNOWN, f"there is no venue {venue_id!r}")
        self.assets |= {asset.id: asset for asset in update.assets}
        for venue_id in update.removed_venues:
            del self.venues[venue_id]
            self.watch.removed(venue_id)
        self.move({venue.id: venue for venue in update.venues}, at_ms)
        self.prices |= update.prices
        self.pricing.stated |= dict.fromkeys(update.prices, at_ms)

    def feed(self, record: PriceFeed) -> None:
        """Apply what a feeder says. Raises InvalidInput: ASSET_UNKNOWN, FEED_STALE."""
        for asset in record.prices:
            if asset not in self.assets:
                raise InvalidInput(
                    Reason.ASSET_UNKNOWN,
                    f"{asset} is priced before it is listed",
                    hint="ListAssets names the assets that are",
                    asset=asset,
                )
        self.pricing.feed(record)

    def move(self, venues: Mapping[str, AnyVenue], at_ms: int) -> None:
        """Put venues, new or in their new state, as of `at_ms`."""
        self.venues |= venues
        for venue_id in venues:
            self.watch.touched(venue_id, at_ms)

    def expire(self, sealed_ms: int) -> set[str]:
        """Take out quotes that have expired or are used up, for good; their ids."""
        ended = {
            venue.id
            for venue in self.venues.values()
            if isinstance(venue, Rfq) and (venue.expiry_ms <= sealed_ms or not venue.left)
        }
        for venue_id in ended:
            del self.venues[venue_id]
            self.watch.removed(venue_id)
        return ended

    def quarantine(self, rules: Rules, sealed_ms: int) -> VenuesWatched | None:
        """Look at the venues at a sealing; what is to be recorded of it, if anything."""
        limits = Limits(
            rules.min_venue_value,
            rules.max_price_ratio,
            rules.max_venue_age_ms,
            rules.max_venue_move_bps,
        )
        prices = self.pricing.outside(self.prices, rules, sealed_ms)
        verdict = self.watch.check(self.venues, prices, limits, sealed_ms)
        if not verdict.quarantined and not verdict.released:
            return None
        return VenuesWatched(
            sealed_ms,
            tuple(QuarantinedVenue(q.venue, q.rule, q.details) for q in verdict.quarantined),
            verdict.released,
        )

    def freeze_prices(self, rules: Rules, sealed_ms: int) -> list[PricesWatched]:
        """Settle the reference prices of a sealing, of the venues that `quarantine` left; the
        records that this calls for.
        """
        priced = self.pricing.price(self.prices, self.open_venues(), rules, sealed_ms)
        self.priced = sealed_ms, priced
        return self.pricing.remember(priced, rules, sealed_ms)

    def reference_prices(self, rules: Rules, sealed_ms: int) -> Priced:
        """Of a problem sealed at `sealed_ms`: those that were frozen then, if any were."""
        if self.priced and self.priced[0] == sealed_ms and not rules.operator_prices:
            return self.priced[1]
        return self.pricing.price(self.prices, self.open_venues(), rules, sealed_ms)

    def open_venues(self) -> dict[str, AnyVenue]:
        """Venues that a problem shows, by ascending id: those that are not in quarantine."""
        out = self.watch.quarantined
        return {name: self.venues[name] for name in sorted(self.venues) if name not in out}
