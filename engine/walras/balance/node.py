"""Everything that counts for or against one node."""

from dataclasses import dataclass, field

from walras.balance.arrivals import Arrivals, Spread
from walras.balance.breaker import LEAST_PROMISES, Breaker
from walras.balance.ejection import Ejection
from walras.balance.estimates import RoundTrip, Service, Share
from walras.balance.rules import BPS, FleetRules, NodeInfo

UNCOUNTED = (False, False, False, False)


@dataclass(slots=True)
class Node:
    """A node of the fleet, by the standing's own clock.

    Attributes:
        info: who it is.
        since_ms: its slow start began.
        left_ms: when it left; None: it is there. What counts against it outlives its leaving.
        drained: an operator takes it out of service.
        stake: its bond.
        service, spread, arrivals, round_trip, ejection, breaker: see there.
        canaries: the smoothed share of canaries that it missed.
        found, missed: canaries.
        calls, errors: that ended, all in all, without those that were cancelled.
        reported: calls in flight as it said last.
        reported_ms: when it did.
        counted: whether it counts in the fleet as a member, and then as healthy, ejected, blocked.
    """

    info: NodeInfo
    since_ms: int
    left_ms: int | None = None
    drained: bool = False
    stake: int = 0
    service: Service = field(default_factory=Service)
    spread: Spread = field(default_factory=Spread)
    arrivals: Arrivals = field(default_factory=Arrivals)
    round_trip: RoundTrip = field(default_factory=RoundTrip)
    ejection: Ejection = field(default_factory=Ejection)
    breaker: Breaker = field(default_factory=Breaker)
    canaries: Share = field(default_factory=Share)
    found: int = 0
    missed: int = 0
    calls: int = 0
    errors: int = 0
    reported: int = 0
    reported_ms: int = 0
    counted: tuple[bool, bool, bool, bool] = UNCOUNTED

    def member(self, rules: FleetRules) -> bool:
        """Whether it may be asked at all: there, in service, with its bond."""
        return self.left_ms is None and not self.drained and self.stake >= rules.min_bond

    @property
    def variation_bps(self) -> int:
        """C²ₐ + C²ₛ of its queue, in 1/10,000."""
        return self.arrivals.scv_bps + self.spread.scv_bps

    @property
    def ejected(self) -> bool:
        """Whether it is out."""
        return self.ejection.until_ms is not None

    @property
    def blocked(self) -> bool:
        """Whether the breaker is open."""
        return self.breaker.until_ms is not None

    def healthy(self, rules: FleetRules) -> bool:
        """Whether it works: also a node that is in because no more may be ejected may not."""
        return not self.ejected and not self.blocked and not self.ejection.failing(rules)

    def warmth(self, now_ms: int, rules: FleetRules) -> int:
        """How much of its weight it has, in 1/10,000: `min_weight_bps` … 10,000.

        Slow start raises it linearly over its window (Envoy's "Slow start mode", aggression 1);
        the share of canaries missed lowers it linearly. One that does not work has the least: in
        panic it is asked, but the others do most; where none works, all have the same again.
        """
        if not self.healthy(rules):
            return rules.min_weight_bps
        full = BPS
        elapsed = max(0, now_ms - self.since_ms)
        if elapsed < rules.slow_start_ms:
            full = BPS * elapsed // rules.slow_start_ms
        if self.canaries.seen >= LEAST_PROMISES:
            full = full * (BPS - self.canaries.bps) // BPS
        return max(full, rules.min_weight_bps)
