"""Records of reference prices: what feeders say, and which assets are without a price."""

from collections.abc import Mapping
from dataclasses import dataclass

from walras.api.v1 import record_pb2
from walras.core.amounts import parse_positive
from walras.core.assets import check_asset_id
from walras.core.errors import InvalidInput, Reason
from walras.protocol.values import check_domain, check_owner
from walras.protocol.wire import parse

MAX_UNPRICED = 80
MAX_PRICED_AGAIN = 128
"""Assets in one record of the watch: it fits a log entry, which has at most 65,535 bytes."""


@dataclass(frozen=True, slots=True)
class PriceFeed:
    """What a feeder says of some assets; replaces what it said of them before.

    Attributes:
        sequence: above that of the feeder's last feed.
        at_ms: when these were the prices; not before the feeder's last feed.
        prices: asset → score units per 10^18 atoms, ≥ 1; one or more.
    """

    domain: str
    feeder: bytes
    sequence: int
    at_ms: int
    prices: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class QuarantinedAsset:
    """An asset without a reference price, the rule behind it, and the numbers."""

    asset: str
    rule: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PricesWatched:
    """Assets that have no reference price in the next problem, and those that have one again."""

    at_ms: int
    quarantined: tuple[QuarantinedAsset, ...] = ()
    released: tuple[str, ...] = ()

    @property
    def full(self) -> bool:
        """Whether another one may follow for the same sealing."""
        return len(self.quarantined) == MAX_UNPRICED or len(self.released) == MAX_PRICED_AGAIN


PriceRecord = PriceFeed | PricesWatched


def watched_records(
    at_ms: int, quarantined: tuple[QuarantinedAsset, ...], released: tuple[str, ...]
) -> list[PricesWatched]:
    """As few records as hold them all, in order; none where there is nothing to say."""
    pages = max(-(-len(quarantined) // MAX_UNPRICED), -(-len(released) // MAX_PRICED_AGAIN))
    return [
        PricesWatched(
            at_ms,
            quarantined[MAX_UNPRICED * page : MAX_UNPRICED * (page + 1)],
            released[MAX_PRICED_AGAIN * page : MAX_PRICED_AGAIN * (page + 1)],
        )
        for page in range(pages)
    ]


def feed_to_wire(record: PriceFeed) -> record_pb2.PriceFeed:
    """The message of a feed."""
    return record_pb2.PriceFeed(
        domain=record.domain,
        feeder=record.feeder,
        sequence=record.sequence,
        at_ms=record.at_ms,
        prices=[
            record_pb2.FedPrice(asset=asset, amount=str(record.prices[asset]))
            for asset in sorted(record.prices)
        ],
    )


def decode_feed(body: bytes) -> PriceFeed:
    """The feed that `body` encodes."""
    m = parse(record_pb2.PriceFeed, body)
    names = [check_asset_id(price.asset) for price in m.prices]
    if not names or names != sorted(set(names)):
        raise InvalidInput(
            Reason.FIELD_INVALID, "a feed has prices, by ascending asset", field="prices"
        )
    return PriceFeed(
        check_domain(m.domain),
        check_owner(m.feeder),
        m.sequence,
        m.at_ms,
        {price.asset: parse_positive(price.amount, "price") for price in m.prices},
    )


def watched_to_wire(record: PricesWatched) -> record_pb2.PricesWatched:
    """The message of what changed."""
    return record_pb2.PricesWatched(
        at_ms=record.at_ms,
        quarantined=[
            record_pb2.QuarantinedAsset(
                asset=q.asset,
                rule=q.rule,
                details=[record_pb2.Detail(name=n, value=v) for n, v in q.details],
            )
            for q in record.quarantined
        ],
        released=record.released,
    )


def decode_watched(body: bytes) -> PricesWatched:
    """What changed, as `body` encodes it."""
    m = parse(record_pb2.PricesWatched, body)
    if len(m.quarantined) > MAX_UNPRICED or len(m.released) > MAX_PRICED_AGAIN:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"a record has at most {MAX_UNPRICED} assets that go and {MAX_PRICED_AGAIN} that come"
            " back",
        )
    return PricesWatched(
        m.at_ms,
        tuple(
            QuarantinedAsset(q.asset, q.rule, tuple((d.name, d.value) for d in q.details))
            for q in m.quarantined
        ),
        tuple(m.released),
    )
