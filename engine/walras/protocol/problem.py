"""The sealed problem: all that a solver or an auditor needs to know of a batch (protocol §4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from walras.core.intents import Intent
from walras.market.kinds import AnyVenue
from walras.market.reference import Reference

ATOMS_PER_PRICE = 10**18
"""A reference price is in score units per this many atoms."""

MAX_NUMERAIRE_DECIMALS = 27
"""With one more, 10^18 atoms of a numeraire would be worth less than a score unit."""

MAX_FEEDERS = 64

SCORE_LIMIT = 1 << 62
"""A bid whose score is at or above this is refused; a total of scores may be greater."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The parameters of the auction, logged whenever they change.

    Attributes:
        collar_bps: a fill's value received is within this many 1/10,000 of its value given.
        reward_cap: the most a solver is rewarded for one auction, in score units.
        max_bids: the most bids one solver may send for one auction.
        max_open_per_owner: the most open intents of one owner.
        max_open: the most open intents altogether.
        min_venue_value: a venue whose reserves are worth less, in score units, is drained.
        max_price_ratio: a venue whose marginal price is further than this factor from the
            reference prices is implausible.
        max_venue_age_ms: a venue that no update or settlement changed for longer is stale.
        max_venue_move_bps: a venue whose price moves by more between batches, smoothed, in
            1/10,000, is volatile. Of these four, 0 switches a rule off.
        sealed_bids: solvers commit to their bids before any is opened.
        feeders: public keys, ascending, whose feeds are sources of reference prices.
        price_quorum: sources that a reference price needs, ≥ 1.
        max_price_age_ms: what a source said longer ago does not count.
        max_price_move_bps: from one sealed problem to the next a price moves by no more than this,
            in 1/10,000.
        max_price_spread_bps: sources further than this from their median, in 1/10,000, dispute it.
            Of these three, 0 switches a rule off.
        numeraire: the asset to which venues' prices lead; empty: venues are no source.
        numeraire_decimals: 10^decimals atoms of it are 10^9 score units, whatever anybody says.
        min_path_depth: paths through venues count from this depth on, in score units.
    """

    collar_bps: int = 1_000
    reward_cap: int = 10**9
    max_bids: int = 1_024
    max_open_per_owner: int = 1_000
    max_open: int = 200_000
    min_venue_value: int = 1
    max_price_ratio: int = 10
    max_venue_age_ms: int = 0
    max_venue_move_bps: int = 0
    sealed_bids: bool = True
    feeders: tuple[bytes, ...] = ()
    price_quorum: int = 1
    max_price_age_ms: int = 0
    max_price_move_bps: int = 0
    max_price_spread_bps: int = 0
    numeraire: str = ""
    numeraire_decimals: int = 18
    min_path_depth: int = 0

    @property
    def operator_prices(self) -> bool:
        """Whether reference prices are the operator's, as they are."""
        return not (
            self.feeders
            or self.price_quorum > 1
            or self.max_price_age_ms
            or self.max_price_move_bps
            or self.numeraire
        )

    @property
    def numeraire_price(self) -> int:
        """Score units per 10^18 atoms of the numeraire."""
        return int(10 ** (MAX_NUMERAIRE_DECIMALS - self.numeraire_decimals))


@dataclass(frozen=True, slots=True)
class Price:
    """A reference price.

    Attributes:
        amount: score units (10^-9 of the numeraire) per 10^18 atoms, ≥ 1.
        source: where it comes from, for people; 1 to 64 characters.
    """

    amount: int
    source: str


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """An eligible intent in a problem.

    `remaining` units of it may be filled: what is left of it, or what its owner's balance can pay
    for at its limit, if that is less.
    """

    id: bytes
    intent: Intent
    remaining: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One sealed batch.

    Attributes:
        domain: the engine.
        auction_id: counts up from 1.
        sealed_ms: the time against which windows and decays are read.
        rules: in force for this auction.
        intents: eligible, by ascending id.
        balances: (owner, asset) → available atoms, for every asset an eligible intent could give.
        venues: by id, in ascending order of the id.
        prices: by asset; an asset without one can be routed through but not traded.
        references: by asset, what the prices follow from, where they are not just the operator's;
            in a part, none.
    """

    domain: str
    auction_id: int
    sealed_ms: int
    rules: Rules
    intents: Mapping[bytes, OpenIntent]
    balances: Mapping[tuple[bytes, str], int]
    venues: Mapping[str, AnyVenue]
    prices: Mapping[str, Price]
    references: Mapping[str, Reference] = field(default_factory=dict)

    def value(self, asset: str, amount: int) -> int:
        """Score units that `amount` atoms are worth: floor(amount · price / 10^18)."""
        return amount * self.prices[asset].amount // ATOMS_PER_PRICE
