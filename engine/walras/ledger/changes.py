"""What records changed: for the store to write, and for the log to claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from walras.ledger.book import BookEntry
from walras.market.kinds import AnyVenue


@dataclass(slots=True)
class Changes:
    """What was touched since it was last taken, for the store to write."""

    balances: set[tuple[bytes, str]] = field(default_factory=set)
    intents: dict[bytes, BookEntry] = field(default_factory=dict)
    nonces: list[tuple[bytes, int]] = field(default_factory=list)
    assets: set[str] = field(default_factory=set)
    venues: set[str] = field(default_factory=set)
    prices: set[str] = field(default_factory=set)
    feeds: set[bytes] = field(default_factory=set)
    rules: bool = False
    genesis: bool = False
    fleet: bool = False
    watch: bool = False
    pricing: bool = False


@dataclass(frozen=True, slots=True)
class Touched:
    """What a settlement left behind: touched balances (zero included) and touched venues."""

    balances: Mapping[tuple[bytes, str], int]
    venues: Mapping[str, AnyVenue]
