"""Order book: resting offers, best price first."""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from walras.core.amounts import AMOUNT_LIMIT
from walras.market.state import (
    check_head,
    check_range,
    malformed,
    moved,
    places,
    too_large,
    too_small,
)
from walras.market.venue import Swap

MAX_OFFERS = 4_096


@dataclass(frozen=True, slots=True)
class Offer:
    """Up to `give` atoms of one asset for `want` atoms of the other, and any part at that ratio.

    Attributes:
        give: atoms on offer, ≥ 1.
        want: atoms asked for all of them, ≥ 1.
    """

    give: int
    want: int

    def beats(self, other: "Offer") -> bool:
        """Whether it asks strictly less per atom."""
        return self.want * other.give < other.want * self.give


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Resting offers between a base and a quote asset.

    A swap takes whole offers in order and then a part of the next one: floor(rest·give/want) atoms
    for the `rest` of the input. That one rounding is in the book's favour, so a swap pays
    floor(F(input)), F being the book's exact supply curve. Of the offer taken in part remain
    want - rest and floor(give·(want - rest)/want): its price can only become worse for takers (it
    then stands behind the offers that beat it), and a swap in parts never pays more than in one. A
    rest too small to buy an atom is paid for nothing and leaves that offer as it is.

    Attributes:
        id: see `Venue`.
        cost: see `Venue`.
        assets: (base, quote).
        asks: give base, want quote; best price first; at most 4096.
        bids: give quote, want base; best price first; at most 4096. The best bid does not pay more
            than the best ask wants.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """

    id: str
    cost: int
    assets: tuple[str, str]
    asks: tuple[Offer, ...]
    bids: tuple[Offer, ...]

    def __post_init__(self) -> None:
        check_head(self)
        for name, offers in (("asks", self.asks), ("bids", self.bids)):
            if len(offers) > MAX_OFFERS:
                raise malformed(self, f"it has {len(offers)} {name}, more than {MAX_OFFERS}")
            check_range(self, f"{name}: give", [o.give for o in offers], 1, AMOUNT_LIMIT)
            check_range(self, f"{name}: want", [o.want for o in offers], 1, AMOUNT_LIMIT)
            if any(later.beats(earlier) for earlier, later in pairwise(offers)):
                raise malformed(self, f"its {name} are not in order, best price first")
        if self.asks and self.bids:
            ask, bid = self.asks[0], self.bids[0]
            if bid.give * ask.give > bid.want * ask.want:
                raise malformed(self, "its best bid pays more than its best ask wants")

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """See `Venue.swap`. SWAP_LIQUIDITY: the input is more than all the offers want."""
        _, j = places(self, asset_in, amount_in, asset_out)
        side = ("asks", "bids")[j]
        offers = (self.asks, self.bids)[j]
        amount_out, rest, taken = 0, amount_in, 0
        for offer in offers:
            if rest < offer.want:
                break
            amount_out += offer.give
            rest -= offer.want
            taken += 1
        left = offers[taken:]
        if rest:
            if not left:
                raise too_large(self, amount_in)
            part = rest * left[0].give // left[0].want
            if part:
                amount_out += part
                left = _reduced(left, rest)
        if not amount_out:
            raise too_small(self, amount_in)
        return Swap(amount_out, moved(self, **{side: left}))


def _reduced(offers: tuple[Offer, ...], rest: int) -> tuple[Offer, ...]:
    """`offers` after the first one was paid `rest` < want, in order."""
    first, others = offers[0], offers[1:]
    want = first.want - rest
    give = first.give * want // first.want
    if not give:
        return others
    remaining = Offer(give, want)
    place = bisect_left(others, True, key=lambda offer: not offer.beats(remaining))
    return (*others[:place], remaining, *others[place:])
