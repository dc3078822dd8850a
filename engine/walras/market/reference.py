"""The reference price of an asset: what its sources say, made into one price or into none.

The sources are the operator's price, each feeder's, and the venues' (`walras.market.routes`), each
one voice, however much stands behind it. The price is their median, so that with three or more no
single one of them moves it outside what the others say. Two rules may leave the asset without a
price for a batch, and with it the intents that trade it:

- `quorum`: fewer sources than `price_quorum` say something that is not too old.
- `disputed`: the sources that are within `max_price_spread_bps` of the median are no majority, or
  fewer than the quorum. One that is far off by itself is outvoted and disputes nothing, unless
  there are no more sources than the quorum needs.

Last, the price moves from one sealed problem to the next by no more than `max_price_move_bps`; but
always by one score unit if it wants to, else a small price could never move.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_BPS = 10_000

OPERATOR = "operator"
VENUES = "venues"
"""Sources that are no key; a feeder's is its key in hexadecimal digits."""


class PriceRule(StrEnum):
    """Why an asset has no reference price in a problem."""

    QUORUM = "quorum"
    DISPUTED = "disputed"


@dataclass(frozen=True, slots=True)
class Input:
    """What one source says.

    Attributes:
        source: OPERATOR, VENUES, or a feeder's key.
        amount: score units per 10^18 atoms, ≥ 1.
        at_ms: when.
    """

    source: str
    amount: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Reference:
    """All that an asset's price follows from.

    Attributes:
        inputs: by ascending source, none too old; may be empty.
        last: the price in the last problem that had one; 0 for none, or where no rule caps moves.
    """

    inputs: tuple[Input, ...]
    last: int = 0


@dataclass(frozen=True, slots=True)
class PriceLimits:
    """What the rules ask of sources; 0 switches a rule off."""

    quorum: int = 1
    max_age_ms: int = 0
    max_move_bps: int = 0
    max_spread_bps: int = 0

    def counts(self, at_ms: int, now_ms: int) -> bool:
        """Whether what was said at `at_ms` counts at `now_ms`: it is of no later time, and not
        too old.
        """
        return at_ms <= now_ms and (not self.max_age_ms or now_ms - at_ms <= self.max_age_ms)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """An asset without a price, the rule, and the numbers by name."""

    rule: PriceRule
    details: tuple[tuple[str, str], ...]


def aggregate(reference: Reference, limits: PriceLimits) -> int | Unpriced:
    """The asset's price, ≥ 1, or why it has none. The order of the inputs does not matter."""
    amounts = sorted(each.amount for each in reference.inputs)
    if len(amounts) < max(limits.quorum, 1):
        return _unpriced(PriceRule.QUORUM, price_quorum=limits.quorum, sources=len(amounts))
    middle = median(amounts)
    if spread := limits.max_spread_bps:
        near = sum(abs(amount - middle) * _BPS <= spread * middle for amount in amounts)
        if near < max(limits.quorum, len(amounts) // 2 + 1):
            return _unpriced(
                PriceRule.DISPUTED,
                max_price_spread_bps=spread,
                median=middle,
                near=near,
                price_quorum=limits.quorum,
                sources=len(amounts),
            )
    return capped(middle, reference.last, limits.max_move_bps)


def median(ascending: Sequence[int]) -> int:
    """The one in the middle; of two, halfway between them, floored."""
    n = len(ascending)
    return (ascending[(n - 1) // 2] + ascending[n // 2]) // 2


def capped(price: int, last: int, max_move_bps: int) -> int:
    """`price`, or as far towards it from `last` as the rule allows."""
    if not last or not max_move_bps:
        return price
    step = max(last * max_move_bps // _BPS, 1)
    return min(max(price, last - step, 1), last + step)


def _unpriced(rule: PriceRule, **numbers: int) -> Unpriced:
    return Unpriced(rule, tuple((name, str(number)) for name, number in sorted(numbers.items())))
