"""Reference prices as a function of the log: what the sources said, and what problems make of it.

The rules may leave all to the operator; then a problem's prices are the operator's, as they are,
and nothing here has a memory beyond what was said when.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from walras.core.errors import InvalidInput, Reason
from walras.market.kinds import AnyVenue
from walras.market.reference import (
    OPERATOR,
    VENUES,
    Input,
    PriceLimits,
    Reference,
    Unpriced,
    aggregate,
    median,
)
from walras.market.routes import Hop, hops_of, venue_prices
from walras.protocol.prices import PriceFeed, PricesWatched, QuarantinedAsset, watched_records
from walras.protocol.problem import Price, Rules


@dataclass(slots=True)
class Feed:
    """What a feeder said.

    Attributes:
        sequence, at_ms: of its last record.
        prices: asset → (score units per 10^18 atoms, when).
    """

    sequence: int
    at_ms: int
    prices: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Priced:
    """The reference prices of one sealing.

    Attributes:
        prices: by ascending asset.
        references: by ascending asset, what they follow from; none where they are the operator's.
        out: asset → why it has none.
    """

    prices: Mapping[str, Price]
    references: Mapping[str, Reference] = field(default_factory=dict)
    out: Mapping[str, Unpriced] = field(default_factory=dict)


def limits_of(rules: Rules) -> PriceLimits:
    """What the rules ask of sources."""
    return PriceLimits(
        rules.price_quorum,
        rules.max_price_age_ms,
        rules.max_price_move_bps,
        rules.max_price_spread_bps,
    )


def price(references: Mapping[str, Reference], rules: Rules) -> Priced:
    """What the rules make of the inputs; the numeraire's price is the rules' own."""
    limits = limits_of(rules)
    prices: dict[str, Price] = {}
    out: dict[str, Unpriced] = {}
    for asset in sorted(references):
        if asset == rules.numeraire:
            prices[asset] = Price(rules.numeraire_price, "numeraire")
            continue
        found = aggregate(references[asset], limits)
        if isinstance(found, Unpriced):
            out[asset] = found
        else:
            prices[asset] = Price(found, f"median of {len(references[asset].inputs)}")
    return Priced(prices, references, out)


def outside(said: Mapping[str, Iterable[Input]], rules: Rules) -> dict[str, int]:
    """Asset → the median of what others than venues say: what venues are judged and weighed by.

    A price that they help to make would help to clear them. So one source fewer than the quorum is
    enough where they are one; with less the asset has no price here. The numeraire always has its
    own.
    """
    least = max(rules.price_quorum - bool(rules.numeraire), 1)
    found = {rules.numeraire: rules.numeraire_price} if rules.numeraire else {}
    for asset, inputs in said.items():
        amounts = sorted(each.amount for each in inputs if each.source != VENUES)
        if asset != rules.numeraire and len(amounts) >= least:
            found[asset] = median(amounts)
    return found


@dataclass(slots=True)
class Pricing:
    """The memory behind reference prices.

    Attributes:
        stated: asset → when the operator's price came, as the log had told the time.
        feeds: feeder → what it said.
        last: asset → its price in the last problem that had one; kept while a rule caps moves.
        out: assets that had no price at the last sealing → the rule.
    """

    stated: dict[str, int] = field(default_factory=dict)
    feeds: dict[bytes, Feed] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    out: dict[str, str] = field(default_factory=dict)
    # Of each venue as it was when it was last looked at.
    _hops: dict[str, tuple[AnyVenue, tuple[Hop, ...]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def feed(self, record: PriceFeed) -> None:
        """Take what a feeder says. Raises InvalidInput: FEED_STALE; nothing has changed then."""
        feed = self.feeds.get(record.feeder)
        if feed and (record.sequence <= feed.sequence or record.at_ms < feed.at_ms):
            raise InvalidInput(
                Reason.FEED_STALE,
                f"the feeder's last feed had sequence {feed.sequence} and is of {feed.at_ms} ms",
                hint="sign the next one with a higher sequence, and no earlier at_ms",
                sequence=record.sequence,
                last=feed.sequence,
            )
        known = dict(feed.prices) if feed else {}
        news = {asset: (amount, record.at_ms) for asset, amount in record.prices.items()}
        self.feeds[record.feeder] = Feed(record.sequence, record.at_ms, known | news)

    def outside(self, prices: Mapping[str, Price], rules: Rules, now_ms: int) -> dict[str, int]:
        """What the watch judges venues by: asset → the price without what venues say."""
        if rules.operator_prices:
            return {asset: price.amount for asset, price in prices.items()}
        said = {asset: self._said(asset, prices[asset], rules, now_ms) for asset in prices}
        return outside(said, rules)

    def price(
        self,
        prices: Mapping[str, Price],
        venues: Mapping[str, AnyVenue],
        rules: Rules,
        sealed_ms: int,
    ) -> Priced:
        """The reference prices of a sealing; changes nothing.

        Args:
            prices: the operator's; it opens an asset for trading by pricing it.
            venues: that the problem shows.
            rules: in force.
            sealed_ms: when.
        """
        if rules.operator_prices:
            return Priced(dict(sorted(prices.items())))
        said = {asset: self._said(asset, prices[asset], rules, sealed_ms) for asset in prices}
        shown = self._shown(venues, said, rules)
        references = {}
        for asset in sorted(prices):
            inputs = said[asset]
            if asset in shown:
                inputs.append(Input(VENUES, shown[asset], sealed_ms))
            inputs.sort(key=lambda each: each.source)
            last = self.last.get(asset, 0) if rules.max_price_move_bps else 0
            references[asset] = Reference(tuple(inputs), last)
        return price(references, rules)

    def remember(self, priced: Priced, rules: Rules, sealed_ms: int) -> list[PricesWatched]:
        """The prices are sealed; the records that this calls for: of assets that are without one
        now and were not before, and of those that have one again.
        """
        if rules.max_price_move_bps:
            self.last |= {asset: price.amount for asset, price in priced.prices.items()}
        else:
            self.last.clear()
        gone = tuple(
            QuarantinedAsset(asset, why.rule, why.details)
            for asset, why in sorted(priced.out.items())
            if asset not in self.out
        )
        back = tuple(sorted(self.out.keys() - priced.out.keys()))
        self.out = {
            asset: self.out.get(asset, str(why.rule)) for asset, why in sorted(priced.out.items())
        }
        return watched_records(sealed_ms, gone, back)

    def _said(self, asset: str, stated: Price, rules: Rules, now_ms: int) -> list[Input]:
        if asset == rules.numeraire:
            return []  # nobody is asked
        limits = limits_of(rules)
        said = [Input(OPERATOR, stated.amount, self.stated.get(asset, 0))]
        for feeder in rules.feeders:
            feed = self.feeds.get(feeder)
            if feed and asset in feed.prices:
                said.append(Input(feeder.hex(), *feed.prices[asset]))
        return [each for each in said if limits.counts(each.at_ms, now_ms)]

    def _shown(
        self,
        venues: Mapping[str, AnyVenue],
        said: Mapping[str, Sequence[Input]],
        rules: Rules,
    ) -> dict[str, int]:
        if not rules.numeraire:
            self._hops = {}
            return {}
        # A venue is a value: what was read of it holds until another takes its place.
        self._hops = {
            name: kept
            if (kept := self._hops.get(name)) and kept[0] is venue
            else (venue, hops_of(venue))
            for name, venue in venues.items()
        }
        return venue_prices(
            (hop for _, hops in self._hops.values() for hop in hops),
            rules.numeraire,
            said,
            outside(said, rules),
            rules.min_path_depth,
        )

    def to_json(self) -> dict[str, Any]:
        """All but the feeds; numbers that may be large are strings."""
        return {
            "stated": dict(sorted(self.stated.items())),
            "last": {asset: str(amount) for asset, amount in sorted(self.last.items())},
            "out": dict(sorted(self.out.items())),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], feeds: Mapping[str, Any]) -> "Pricing":
        """What `to_json` and, by key in hexadecimal digits, `feed_to_json` saved."""
        return cls(
            dict(saved["stated"]),
            {bytes.fromhex(key): _feed_from_json(feed) for key, feed in feeds.items()},
            {asset: int(amount) for asset, amount in saved["last"].items()},
            dict(saved["out"]),
        )


def feed_to_json(feed: Feed) -> dict[str, Any]:
    """What a feeder said; numbers that may be large are strings."""
    return {
        "sequence": feed.sequence,
        "at_ms": feed.at_ms,
        "prices": {a: [str(amount), at] for a, (amount, at) in sorted(feed.prices.items())},
    }


def _feed_from_json(saved: Mapping[str, Any]) -> Feed:
    prices = {asset: (int(amount), at) for asset, (amount, at) in saved["prices"].items()}
    return Feed(saved["sequence"], saved["at_ms"], prices)
