"""Outlier ejection of one node: what counts against it, and how long it is out.

Source: Envoy, "Outlier detection": consecutive errors eject at once, for the base time multiplied
by the number of ejections, which falls by one for every interval in good health.
"""

from dataclasses import dataclass

from walras.balance.rules import FleetRules

RECENT_INTERVALS = 3
"""Probes count for so many probe intervals."""


@dataclass(slots=True)
class Ejection:
    """Failures in a row, and what followed from them.

    Calls and probes are counted apart, so that a node cannot cover calls that it fails by echoes
    that it sends. Probes count where failures in a row come from a quorum of probers: fewer cannot
    eject a node.

    Attributes:
        call_errors: calls that failed in a row.
        probe_errors: probes that failed in a row, by whichever prober.
        probers: who saw them, up to the quorum.
        probe_ms: when the last one failed.
        since_ms: when the ejection began; when the last one ended, where the node is in.
        until_ms: when it ends; None: the node is in.
        count: ejections that lengthen the next one.
    """

    call_errors: int = 0
    probe_errors: int = 0
    probers: tuple[bytes, ...] = ()
    probe_ms: int = 0
    since_ms: int = 0
    until_ms: int | None = None
    count: int = 0

    def call(self, *, failed: bool, sent_ms: int) -> None:
        """A call ended. One that was sent before the ejection has led to it, and says no more."""
        if self.until_ms is not None and sent_ms <= self.since_ms:
            return
        self.call_errors = self.call_errors + 1 if failed else 0

    def probe(self, prober: bytes, at_ms: int, quorum: int, *, failed: bool) -> None:
        """A probe ended."""
        if not failed:
            self.probe_errors, self.probers = 0, ()
            return
        self.probe_errors += 1
        self.probe_ms = max(self.probe_ms, at_ms)
        if prober not in self.probers and len(self.probers) < quorum:
            self.probers = (*self.probers, prober)

    def forget(self, before_ms: int) -> None:
        """Without any probe since, those before say nothing."""
        if self.probe_ms < before_ms:
            self.probe_errors, self.probers = 0, ()

    def failing(self, rules: FleetRules) -> bool:
        """Whether enough failed in a row to eject it."""
        enough = rules.consecutive_errors
        return self.call_errors >= enough or (
            self.probe_errors >= enough and len(self.probers) >= rules.quorum
        )

    def begin(self, now_ms: int, rules: FleetRules) -> int:
        """Out it goes; returns for how long, in ms."""
        self.count += 1
        self.since_ms = now_ms
        return self._stay(now_ms, rules)

    def end(self, now_ms: int, rules: FleetRules) -> bool:
        """Whether it comes back now.

        While probes, or the calls of a panic, still fail, it stays out for as long again, without
        being another ejection: a dead node gets no calls, and comes back soon after it is well.
        """
        if self.until_ms is None or now_ms < self.until_ms:
            return False
        if self.failing(rules):
            self._stay(now_ms, rules)
            return False
        self.until_ms, self.since_ms = None, now_ms
        return True

    def heal(self, now_ms: int, intervals: int, rules: FleetRules) -> None:
        """So many intervals passed since health was looked at; it is in, and does not fail."""
        well = max(0, now_ms - self.since_ms) // rules.interval_ms
        self.count = max(0, self.count - min(intervals, well))

    def _stay(self, now_ms: int, rules: FleetRules) -> int:
        length = min(rules.base_ejection_ms * self.count, rules.max_ejection_ms)
        self.until_ms = now_ms + length
        # Calls have to fail anew: where there are none, time alone brings a node back.
        self.call_errors = 0
        return length
