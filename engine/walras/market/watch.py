"""The watch over venues: which are left out of the next problem, and by which rule.

It is run at every sealing, by the engine and by an auditor who replays the log, and both must
agree to the byte: whole numbers only, and nothing that a restart would change. Four rules, in the
order in which the first broken one is named:

- `drained`: it can pay nothing out (an empty side, an empty book, an iteration without end), or
  what it can pay is worth less than `min_venue_value` score units. Atoms without a reference price
  may be worth anything: with such atoms among its own, a venue is drained only where it can pay
  nothing.
- `implausible`: between two assets it trades, it would pay for the next atom, after its fee, more
  than `max_price_ratio` times what that atom is worth by the reference prices. Every ordered pair
  of assets that both have a price is looked at, so a pool is caught whichever way its price is off.
  An offer of a book that asks too much tempts nobody and is passed over. A reference price is a
  whole number of score units and stands for anything up to the next one, so that a price of 1 is
  believed within a factor of 2 and one of 10^30 to the digit. Ratios are floored to 1/10,000.
- `volatile`: the exponentially weighted average, by 1/8, of the move of its price per check is
  above `max_venue_move_bps`. A move is that of the ordered pair whose price changed most, up or
  down by the same factor alike, floored to 10^-8, at most 10^4. It needs no reference prices, and
  liquidity that is added moves nothing. The average is remembered while the rule is on.
- `stale`: nothing changed it for longer than `max_venue_age_ms`.

A venue comes back after `HEALTHY_CHECKS` checks in a row without a broken rule, or at the first one
after an operator replaced it. Until then its reason is the rule that took it out, whatever others
it breaks meanwhile.

What failed bids say about a venue never counts: bidding is open to all, and whoever bid nonsense
about a venue would shut it to the others. A venue's failure is that its own arithmetic finds no
price, and that is seen in its state.

Moving a pool's price past the ratio by a swap, so that the others lose the pool until an operator's
update brings it back, is possible and has a price: what the swap loses against the reference prices
stays in the pool, and no problem holds the pool for whoever swapped to fetch it back. By a factor
R, with weight w of the asset paid in, it loses w·R^(1−w) + (1−w)·R^(−w) − 1 of the pool's value:
for R = 10, 74 % of a constant product or 50/50 pool, 30 % or 77 % of an 80/20 one, 1.4 % or 6.5 %
of one with weights of 99/1. A StableSwap pair sells one side nearly out first, so it loses 64 % at
A = 1, 10 % at A = 100 and 2.4 % at A = 2,000. An operator with such pools sets a greater ratio.

No share of the venues is spared: a batch without venues is better than one at prices that nobody
believes. One wrong reference price does take out what trades that asset.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from typing import Any

from walras.market.kinds import AnyVenue
from walras.market.quote import Quote, quote_of

HEALTHY_CHECKS = 3
"""Checks in a row without a broken rule that let a venue back."""

_ATOMS_PER_PRICE = 10**18
_BPS = 10_000
_MOVE_ONE = 10**8
_MOVE_BPS = _MOVE_ONE // _BPS
_MOVE_LIMIT = 10**4 * _MOVE_ONE
_SMOOTHING = 8


class VenueRule(StrEnum):
    """Why a venue is left out."""

    DRAINED = "drained"
    IMPLAUSIBLE = "implausible"
    VOLATILE = "volatile"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the rules measure against, as the auction's rules have it; 0 switches a rule off."""

    min_venue_value: int = 0
    max_price_ratio: int = 0
    max_venue_age_ms: int = 0
    max_venue_move_bps: int = 0


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A venue that a check takes out, the rule it breaks, and the numbers by name."""

    venue: str
    rule: VenueRule
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check changed, each by ascending venue id."""

    quarantined: tuple[Quarantine, ...] = ()
    released: tuple[str, ...] = ()


@dataclass(slots=True)
class _Case:
    """A venue in quarantine: by which rule, healthy checks since, replaced since the last one."""

    rule: VenueRule
    healthy: int = 0
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class _Movement:
    """The average move in 10^-8 as of check number `check`, when the venue traded at `quote`."""

    average: int
    check: int
    quote: Quote


class VenueWatch:
    """The memory of the watch: when each venue was touched, how its price moves, which are out.

    A check costs O(venues touched, in quarantine, stale or trading an asset whose price changed),
    plus one comparison per reference price; O(venues) where a price or a limit changed and after a
    restart.
    """

    def __init__(self) -> None:
        self._checks = 0
        self._touched: dict[str, int] = {}  # venue → when, oldest first
        self._cases: dict[str, _Case] = {}
        self._movements: dict[str, _Movement] = {}
        # What follows from the venues and the last check's arguments; made again after a restart.
        self._changed: set[str] = set()
        self._quotes: dict[str, Quote] = {}
        self._prices: dict[str, int] = {}
        self._limits: Limits | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VenueWatch) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # it changes

    @property
    def quarantined(self) -> Mapping[str, VenueRule]:
        """Venues that are left out → the rule that took each out."""
        return {name: case.rule for name, case in sorted(self._cases.items())}

    def touched(self, venue_id: str, at_ms: int) -> None:
        """An update or a settlement made the venue, or changed it.

        A venue in quarantine is in no problem, so what touches it is an operator's update. A time
        before the latest touch counts as that one.
        """
        latest = next(reversed(self._touched.values()), at_ms)
        self._touched.pop(venue_id, None)
        self._touched[venue_id] = max(at_ms, latest)
        self._changed.add(venue_id)
        self._quotes.pop(venue_id, None)
        if case := self._cases.get(venue_id):
            case.replaced = True

    def removed(self, venue_id: str) -> None:
        """An operator took the venue out of the market: all of it is forgotten."""
        self._changed.discard(venue_id)
        self._touched.pop(venue_id, None)
        self._cases.pop(venue_id, None)
        self._movements.pop(venue_id, None)
        self._quotes.pop(venue_id, None)

    def check(
        self,
        venues: Mapping[str, AnyVenue],
        prices: Mapping[str, int],
        limits: Limits,
        now_ms: int,
    ) -> Verdict:
        """Judge the venues before a sealing.

        Args:
            venues: all, by id; each was `touched` when it came and whenever it changed.
            prices: asset → score units per 10^18 atoms, ≥ 1.
            limits: in force.
            now_ms: the time of the check, as the log will tell it.
        """
        self._checks += 1
        quarantined: list[Quarantine] = []
        released: list[str] = []
        for name in sorted(self._suspects(prices, limits, now_ms)):
            broken = self._judge(name, venues[name], prices, limits, now_ms)
            case = self._cases.get(name)
            if broken and case:
                case.healthy, case.replaced = 0, False
            elif broken:
                quarantined.append(broken)
                self._cases[name] = _Case(broken.rule)
            elif case:
                case.healthy += 1
                if case.replaced or case.healthy == HEALTHY_CHECKS:
                    del self._cases[name]
                    released.append(name)
        self._changed.clear()
        return Verdict(tuple(quarantined), tuple(released))

    def _suspects(self, prices: Mapping[str, int], limits: Limits, now_ms: int) -> set[str]:
        """Venues about which the last check's answer may not hold."""
        suspects = self._changed | self._cases.keys()
        if limits != self._limits:
            self._limits = limits
            suspects.update(self._touched)
        if prices != self._prices:
            both = prices.keys() | self._prices.keys()
            changed = {asset for asset in both if prices.get(asset) != self._prices.get(asset)}
            self._prices = dict(prices)
            suspects.update(
                name for name, quote in self._quotes.items() if not changed.isdisjoint(quote.assets)
            )
        if limits.max_venue_age_ms:
            for name, at_ms in self._touched.items():
                if now_ms - at_ms <= limits.max_venue_age_ms:
                    break
                suspects.add(name)
        return suspects

    def _judge(
        self, name: str, venue: AnyVenue, prices: Mapping[str, int], limits: Limits, now_ms: int
    ) -> Quarantine | None:
        """The first rule that the venue breaks, with the numbers."""
        quote = self._quotes.get(name) or self._quotes.setdefault(name, quote_of(venue))
        # Before any rule may end the judgement: a drained venue's price moves, too.
        move_bps = self._average_move_bps(name, quote, limits)

        def broken(rule: VenueRule, **numbers: object) -> Quarantine:
            details = tuple((key, str(number)) for key, number in sorted(numbers.items()))
            return Quarantine(name, rule, details)

        if (least := limits.min_venue_value) and (value := _value_below(least, quote, prices)) >= 0:
            return broken(VenueRule.DRAINED, value=value, min_venue_value=least)
        if greatest := limits.max_price_ratio:
            ratio_bps, given, paid = _worst_pair(quote, prices)
            if ratio_bps > greatest * _BPS:
                return broken(
                    VenueRule.IMPLAUSIBLE,
                    asset_in=given,
                    asset_out=paid,
                    max_price_ratio=greatest,
                    ratio_bps=ratio_bps,
                )
        if (most_bps := limits.max_venue_move_bps) and move_bps > most_bps:
            return broken(VenueRule.VOLATILE, move_bps=move_bps, max_venue_move_bps=most_bps)
        age_ms = now_ms - self._touched[name]
        if (oldest := limits.max_venue_age_ms) and age_ms > oldest:
            return broken(VenueRule.STALE, age_ms=age_ms, max_venue_age_ms=oldest)
        return None

    def _average_move_bps(self, name: str, quote: Quote, limits: Limits) -> int:
        """As of this check, floored to 1/10,000; remembered only while its rule is on."""
        last = self._movements.get(name)
        quote = Quote(quote.assets, quote.bids, quote.asks)  # depth may change without a move
        if not limits.max_venue_move_bps:
            self._movements.pop(name, None)
            return 0
        if last is None or last.quote.assets != quote.assets:
            self._movements[name] = _Movement(0, self._checks, quote)
            return 0
        if last.quote == quote:
            # Nothing is written: a check that looks at more venues leaves the same memory.
            return _decayed(last.average, self._checks - last.check) // _MOVE_BPS
        average = _decayed(last.average, self._checks - last.check - 1)
        average = ((_SMOOTHING - 1) * average + _largest_move(last.quote, quote)) // _SMOOTHING
        self._movements[name] = _Movement(average, self._checks, quote)
        return average // _MOVE_BPS

    def to_json(self) -> dict[str, Any]:
        """All that a restart must not lose; numbers that may be large are strings."""
        return {
            "checks": self._checks,
            "touched": [[name, at_ms] for name, at_ms in self._touched.items()],
            "cases": {
                name: {"rule": str(case.rule), "healthy": case.healthy, "replaced": case.replaced}
                for name, case in sorted(self._cases.items())
            },
            "movements": {
                name: {
                    "average": last.average,
                    "check": last.check,
                    "assets": list(last.quote.assets),
                    "bids": [str(x) for x in last.quote.bids],
                    "asks": [str(x) for x in last.quote.asks],
                }
                for name, last in sorted(self._movements.items())
            },
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "VenueWatch":
        """The watch that `to_json` saved; it goes on as if nothing had happened."""
        watch = cls()
        watch._checks = saved["checks"]
        watch._touched = dict(saved["touched"])
        for name, case in saved["cases"].items():
            watch._cases[name] = _Case(VenueRule(case["rule"]), case["healthy"], case["replaced"])
        for name, last in saved["movements"].items():
            quote = Quote(
                tuple(last["assets"]),
                tuple(map(int, last["bids"])),
                tuple(map(int, last["asks"])),
            )
            watch._movements[name] = _Movement(last["average"], last["check"], quote)
        return watch


def _value_below(least: int, quote: Quote, prices: Mapping[str, int]) -> int:
    """What the venue can pay out, in score units, where that is less than `least`; else, or where
    part of it has no price, -1.
    """
    total = 0
    for asset, atoms in zip(quote.assets, quote.depth, strict=False):  # depth may be empty
        if atoms:
            if asset not in prices:
                return -1
            total += atoms * prices[asset]
    value = total // _ATOMS_PER_PRICE
    return value if value < least else -1


def _worst_pair(quote: Quote, prices: Mapping[str, int]) -> tuple[int, str, str]:
    """The greatest ratio of what is paid to what is given, by reference prices, in 1/10,000, and
    the assets given and paid; 0 where no pair has two prices.
    """
    worst = (0, "", "")
    for i, j in permutations(range(len(quote.bids)), 2):
        given, paid = quote.assets[i], quote.assets[j]
        if quote.bids[i] and quote.asks[j] and given in prices and paid in prices:
            worth = quote.bids[i] * prices[paid] * _BPS
            worst = max(worst, (worth // (quote.asks[j] * (prices[given] + 1)), given, paid))
    return worst


def _largest_move(before: Quote, after: Quote) -> int:
    """By what part the price of some ordered pair rose, or fell the same way, in 10^-8."""
    largest = 0
    for i, j in permutations(range(min(len(before.bids), len(after.bids))), 2):
        first = before.bids[i] * after.asks[j]
        then = after.bids[i] * before.asks[j]
        if first and then:
            low, high = sorted((first, then))
            largest = max(largest, (high - low) * _MOVE_ONE // low)
    return min(largest, _MOVE_LIMIT)


def _decayed(average: int, checks: int) -> int:
    """The average after so many checks without a move; it reaches 0 within some 200."""
    while average and checks:
        average = (_SMOOTHING - 1) * average // _SMOOTHING
        checks -= 1
    return average
