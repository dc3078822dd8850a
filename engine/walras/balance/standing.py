"""How every node of the fleet stands, as a function of what happened: a state machine of integers.

The engine, the auditor that replays a log and the simulator run it alike. Events (`apply`) move the
standing of one node in O(1); time (`tick`) ends ejections and blocks, and once every `interval_ms`
looks at all nodes.

Sources: Envoy, "Outlier detection", "Panic threshold" and "Slow start mode".
"""

from collections.abc import Mapping
from typing import Any, Self

from walras.balance import stored
from walras.balance.ejection import RECENT_INTERVALS
from walras.balance.estimates import COLD_FACTOR, DEFAULT_SERVICE_US, lower_median, service_sample
from walras.balance.events import (
    Asked,
    CallEnded,
    CanaryChecked,
    Change,
    Event,
    Outcome,
    Probed,
    Promised,
    Rule,
)
from walras.balance.node import UNCOUNTED, Node
from walras.balance.rules import BPS, FleetRules, NodeInfo
from walras.balance.status import Status, status_of
from walras.balance.view import NodeView
from walras.core.errors import InvalidInput, Reason

SET_BACK_MS = 60_000
"""A tick further back than this means that the clock was set back; below, that it is late."""
MAX_REPORTED = 1_000_000
"""More than this many calls in flight is what a node may say, and not what it counts for."""


class Standing:
    """The standing of all nodes under the rules in force.

    Times given may go backwards: the standing has a clock of its own that does not. Where a tick
    shows that the clock was set back, it goes on from there, so that no ejection lasts longer.

    Attributes:
        rules: in force; `set_rules` replaces them.
        panic: so few nodes are healthy that all are asked; decided at events and ticks.
        version: grows whenever who is eligible, or what is known of nodes beyond their calls, may
            have changed.
    """

    def __init__(self, rules: FleetRules) -> None:
        self.rules = rules
        self.panic = False
        self.version = 0
        self._every: dict[bytes, Node] = {}  # also those that left, for a time
        self._infos: dict[bytes, NodeInfo] = {}
        self._waiting: set[bytes] = set()  # ejected or blocked
        self._members = self._healthy = self._ejected = 0
        self._clock = self._offset = self._swept = 0
        self._median_us = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Standing) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # it changes

    # What the operator, the ledger and the log's time do.

    def set_rules(self, rules: FleetRules) -> None:
        """Other rules from now on; what they would have done before is not done again."""
        self.rules = rules
        for node in self._every.values():
            self._count(node)

    def join(self, info: NodeInfo, at_ms: int) -> None:
        """A node is there, or says other things of itself: its history stays.

        A node that left and comes back starts slowly again, with what counted against it.
        """
        now = self._advance(at_ms)
        node = self._every.get(info.public_key)
        if node is None:
            node = self._every[info.public_key] = Node(info, now)
        elif node.left_ms is not None:
            node.left_ms, node.since_ms = None, now
        node.info = info
        self._infos[info.public_key] = info
        self.version += 1
        self._count(node)

    def leave(self, key: bytes) -> None:
        """A node is not there any more; nothing happens where it was not.

        What counts against it is kept for `max_block_ms`, so that leaving clears nobody.
        """
        node = self._every.get(key)
        if node is not None and node.left_ms is None:
            node.left_ms = self._clock
            del self._infos[key]
            self._count(node)

    def drain(self, key: bytes, at_ms: int) -> None:
        """Ask it no more. Raises InvalidInput: NODE_UNKNOWN."""
        self._advance(at_ms)
        node = self._known(key)
        node.drained = True
        self._count(node)

    def resume(self, key: bytes, at_ms: int) -> None:
        """Ask it again, slowly at first. Raises InvalidInput: NODE_UNKNOWN."""
        now = self._advance(at_ms)
        node = self._known(key)
        if node.drained:
            node.drained, node.since_ms = False, now
            self._count(node)

    def set_stake(self, key: bytes, atoms: int) -> None:
        """Its bond is this much now. Raises InvalidInput: NODE_UNKNOWN."""
        node = self._known(key)
        if node.stake != atoms:
            node.stake = atoms
            self.version += 1
            self._count(node)

    # What happens.

    def apply(self, event: Event) -> tuple[Change, ...]:
        """Count an event and return what follows; one of an unknown node is passed over."""
        node = self._every.get(event.node)
        if node is None:
            return ()
        now = self._advance(event.at_ms)
        if isinstance(event, CallEnded):
            return self._call(node, event, now)
        if isinstance(event, Asked):
            node.arrivals.add(now, event.calls)
            return ()
        if isinstance(event, Probed):
            return self._probe(node, event, now)
        if isinstance(event, Promised):
            return self._promise(node, event, now)
        return self._canary(node, event)

    def tick(self, now_ms: int) -> tuple[Change, ...]:
        """Let time pass and return what follows.

        O(nodes out), and O(nodes · probers) once every `interval_ms`.
        """
        if now_ms + self._offset < self._clock - SET_BACK_MS:
            self._offset = self._clock - now_ms
        now = self._advance(now_ms)
        changes: list[Change] = []
        for key in sorted(self._waiting):
            node = self._every[key]
            if node.breaker.end(now):
                node.since_ms = now
                changes.append(Change(Rule.BLOCK_OVER, key, "its block is over"))
            if node.ejection.end(now, self.rules):
                node.since_ms = now
                changes.append(Change(Rule.EJECTION_OVER, key, "its ejection is over"))
            self._count(node)
        if now - self._swept >= self.rules.interval_ms:
            changes += self._sweep(now)
        return (*changes, *self._panic())

    # What is to be known.

    @property
    def nodes(self) -> Mapping[bytes, NodeInfo]:
        """The nodes that are there, by key."""
        return self._infos

    def eligible(self, now_ms: int) -> list[bytes]:
        """Keys of the nodes that may be asked, ascending; in panic also those ejected or blocked.

        What ended between the last tick and `now_ms` is over; panic is as of that tick.
        """
        now = now_ms + self._offset
        return [
            key
            for key, node in sorted(self._every.items())
            if node.member(self.rules) and (self.panic or not self._out(node, now))
        ]

    def info(self, key: bytes) -> NodeInfo:
        """Who it is. Raises InvalidInput: NODE_UNKNOWN."""
        return self._known(key).info

    def warmth(self, key: bytes, now_ms: int) -> int:
        """How much of its weight a node has, in 1/10,000; 10,000 when it is warm.

        Raises InvalidInput: NODE_UNKNOWN.
        """
        return self._known(key).warmth(now_ms + self._offset, self.rules)

    def view(self, key: bytes, now_ms: int, in_flight: int = 0) -> NodeView:
        """A node as policies see it, with its warmth for a weight.

        Raises InvalidInput: NODE_UNKNOWN.
        """
        view = NodeView(key, weight=self.warmth(key, now_ms), in_flight=in_flight)
        self.refresh(view)
        return view

    def refresh(self, view: NodeView) -> None:
        """Bring a view up to date, but for its weight and what is in flight. O(1)."""
        node = self._every.get(view.key)
        if node is None:
            return
        info = node.info
        view.group, view.region, view.slots = info.group, info.region, info.slots
        view.stake, view.reported = node.stake, node.reported
        view.rtt_us = node.round_trip.us
        view.service_us = node.service.us or self.cold_us
        if self.rules.max_wait_ms:
            view.arrived, view.span = node.arrivals.calls, node.arrivals.span_at(self._clock)
            view.variation_bps = node.variation_bps

    @property
    def cold_us(self) -> int:
        """What a call is taken to take at a node that had none."""
        return COLD_FACTOR * self._median_us or DEFAULT_SERVICE_US

    def status(self, key: bytes, now_ms: int) -> Status:
        """How a node stands, for people. Raises InvalidInput: NODE_UNKNOWN."""
        return status_of(self._known(key), now_ms + self._offset, self.rules, self.cold_us)

    def to_json(self) -> dict[str, Any]:
        """All of it, rules included, as JSON values; the same state gives the same values."""
        return {
            "rules": stored.plain(self.rules),
            "panic": self.panic,
            "version": self.version,
            "clock": self._clock,
            "offset": self._offset,
            "swept": self._swept,
            "median_us": self._median_us,
            "nodes": [stored.plain(node) for _, node in sorted(self._every.items())],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """As `to_json` gave it."""
        standing = cls(stored.rules(data["rules"]))
        for node in map(stored.node, data["nodes"]):
            key = node.info.public_key
            standing._every[key] = node
            if node.left_ms is None:
                standing._infos[key] = node.info
            node.counted = UNCOUNTED
            standing._count(node)
        standing.panic, standing.version = data["panic"], data["version"]
        standing._clock, standing._offset = data["clock"], data["offset"]
        standing._swept, standing._median_us = data["swept"], data["median_us"]
        return standing

    # How.

    def _call(self, node: Node, event: CallEnded, now: int) -> tuple[Change, ...]:
        if event.outcome is Outcome.CANCELLED:
            return ()
        rules, ejection, ok = self.rules, node.ejection, event.outcome is Outcome.OK
        if ok:
            self._report(node, event.reported, now)
        node.calls += 1
        node.errors += not ok
        rtt_us = node.round_trip.us if ok else 0
        sample = service_sample(event.latency_us, rtt_us, node.info.slots, event.ahead)
        if ok:
            node.spread.add(sample)
        node.service.add(sample, now, self._median_us, answered=ok, brought=event.brought)
        before = ejection.call_errors
        sent_ms = event.at_ms + self._offset - event.latency_us // 1_000
        ejection.call(failed=not ok, sent_ms=sent_ms)
        if before == ejection.call_errors:
            return ()
        self._count(node)
        changes = self._eject(node, now) if ejection.call_errors >= rules.consecutive_errors else ()
        return (*changes, *self._panic())

    def _probe(self, node: Node, event: Probed, now: int) -> tuple[Change, ...]:
        rules = self.rules
        if rules.probers and event.prober not in rules.probers:
            return ()
        at_ms = event.at_ms + self._offset
        node.ejection.probe(event.prober, at_ms, rules.quorum, failed=event.rtt_us is None)
        if event.rtt_us is not None:
            self._report(node, event.reported, now)
            node.round_trip.add(event.prober, event.rtt_us, at_ms, rules.quorum)
        self._count(node)
        return (*self._eject(node, now), *self._panic())

    def _promise(self, node: Node, event: Promised, now: int) -> tuple[Change, ...]:
        if not node.breaker.promise(now, self.rules, kept=event.kept):
            return ()
        self._count(node)
        until = node.breaker.until_ms
        assert until is not None
        why = f"it broke {node.breaker.fades.bps} of 10,000 promises; out for {until - now} ms"
        return (Change(Rule.FADE_RATE, node.info.public_key, why), *self._panic())

    def _canary(self, node: Node, event: CanaryChecked) -> tuple[Change, ...]:
        node.canaries.add(self.rules.fade_half_life, wrong=not event.found)
        node.found += event.found
        node.missed += not event.found
        self.version += 1
        return ()

    def _eject(self, node: Node, now: int) -> tuple[Change, ...]:
        """Eject a node that fails, unless too many are out; the first may always be."""
        rules = self.rules
        if node.ejected or not node.member(rules) or not node.ejection.failing(rules):
            return ()
        room = (self._ejected + 1) * BPS <= rules.max_ejection_bps * self._members
        if not rules.max_ejection_bps or (self._ejected and not room):
            return ()
        calls, probes = node.ejection.call_errors, node.ejection.probe_errors
        length = node.ejection.begin(now, rules)
        self._count(node)
        why = f"{calls} calls and {probes} probes in a row failed; out for {length} ms"
        return (Change(Rule.CONSECUTIVE_ERRORS, node.info.public_key, why),)

    def _sweep(self, now: int) -> list[Change]:
        rules = self.rules
        intervals = (now - self._swept) // rules.interval_ms
        self._swept += intervals * rules.interval_ms
        before = now - RECENT_INTERVALS * rules.probe_interval_ms
        changes: list[Change] = []
        for key, node in sorted(self._every.items()):
            if node.left_ms is not None and now - node.left_ms > rules.max_block_ms:
                self._count(node)
                self._waiting.discard(key)
                del self._every[key]
                continue
            node.ejection.forget(before)
            node.round_trip.forget(before, rules.quorum, rules.probers)
            if node.reported_ms < before:
                node.reported = 0
            if not node.ejected and not node.ejection.failing(rules):
                node.ejection.heal(now, intervals, rules)
            self._count(node)
            changes += self._eject(node, now)
        there = (node for node in self._every.values() if node.left_ms is None)
        self._median_us = lower_median(node.service.us for node in there if node.service.samples)
        self.version += 1
        return changes

    def _panic(self) -> tuple[Change, ...]:
        short = self._healthy * BPS < self.rules.panic_bps * self._members
        if short == self.panic:
            return ()
        self.panic = short
        self.version += 1
        why = f"{self._healthy} of {self._members} nodes are healthy"
        return (Change(Rule.PANIC if short else Rule.PANIC_OVER, b"", why),)

    def _report(self, node: Node, reported: int, now: int) -> None:
        # The last word counts; who says nothing is taken at what the router counts itself.
        node.reported, node.reported_ms = min(max(reported, 0), MAX_REPORTED), now

    def _count(self, node: Node) -> None:
        """Bring the fleet's counts up to date with a node; O(1)."""
        member = node.member(self.rules)
        counted = (
            member,
            member and node.healthy(self.rules),
            member and node.ejected,
            member and node.blocked,
        )
        old, node.counted = node.counted, counted
        self._members += counted[0] - old[0]
        self._healthy += counted[1] - old[1]
        self._ejected += counted[2] - old[2]
        if node.ejected or node.blocked:
            self._waiting.add(node.info.public_key)
        else:
            self._waiting.discard(node.info.public_key)
        if counted != old:
            self.version += 1

    def _out(self, node: Node, now: int) -> bool:
        blocked, ejected = node.breaker.until_ms, node.ejection.until_ms
        if blocked is not None and now < blocked:
            return True
        return ejected is not None and (now < ejected or node.ejection.failing(self.rules))

    def _advance(self, at_ms: int) -> int:
        self._clock = max(self._clock, at_ms + self._offset)
        return self._clock

    def _known(self, key: bytes) -> Node:
        node = self._every.get(key)
        if node is None or node.left_ms is not None:
            raise InvalidInput(Reason.NODE_UNKNOWN, f"there is no node {key.hex()}", node=key.hex())
        return node
