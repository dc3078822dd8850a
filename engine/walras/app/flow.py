"""How concentrated the order flow is: by operator group, over the last auctions."""

from collections import Counter, deque
from dataclasses import dataclass

import structlog

from walras.app.report import AuctionReport
from walras.balance.concentration import gini_bps, hhi_bps, nakamoto
from walras.ledger.fleet import Fleet

log = structlog.get_logger()

EPOCH = 256
"""Auctions that are looked at."""
LEAST_GROUPS = 3
"""Of two groups one has at least half of the flow, whatever anybody does: no news."""


@dataclass(frozen=True, slots=True)
class Concentration:
    """Of the flow, by group: a node without one stands for itself, by its name.

    Attributes:
        asked: parts asked for.
        score: of winning bids, in score units; what the figures are of.
        hhi_bps, gini_bps: in 1/10,000.
        nakamoto: the fewest groups with more than half; 0 while there is no flow.
        alarm: the HHI is above the rules' bound, and there are three groups or more: in the fleet,
            or that were asked.
    """

    asked: Counter[str]
    score: Counter[str]
    hhi_bps: int = 0
    gini_bps: int = 0
    nakamoto: int = 0
    alarm: bool = False


class Flow:
    """Follows auctions; `add` is a listener of the auctioneer's."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._reports: deque[AuctionReport] = deque(maxlen=EPOCH)
        self._alarmed = False

    def add(self, report: AuctionReport) -> None:
        """One more auction; says so when the alarm goes on or off."""
        self._reports.append(report)
        found = self.concentration()
        if found.alarm != self._alarmed:
            self._alarmed = found.alarm
            say = log.warning if found.alarm else log.info
            bound = self._fleet.rules.hhi_alarm_bps
            say("concentration", alarm=found.alarm, hhi_bps=found.hhi_bps, bound_bps=bound)

    def concentration(self) -> Concentration:
        """As of now. O(auctions · solvers)."""
        groups = {key.hex(): node.group or node.name for key, node in self._fleet.nodes.items()}
        asked: Counter[str] = Counter()
        score: Counter[str] = Counter()
        for report in self._reports:
            for solver in report.solvers:
                group = groups.get(solver.public_key, solver.name)
                asked[group] += solver.asked
                score[group] += solver.score
        if not score.total():
            return Concentration(asked, score)
        index = hhi_bps(score)
        many = len(asked.keys() | set(groups.values())) >= LEAST_GROUPS
        return Concentration(
            asked,
            score,
            index,
            gini_bps(score),
            nakamoto(score),
            many and index > self._fleet.rules.hhi_alarm_bps,
        )
