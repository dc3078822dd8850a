"""Standing against a model that keeps every event and works each answer out anew."""

import json
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from walras.balance.estimates import DEFAULT_SERVICE_US, Service, Share, decay
from walras.balance.events import (
    Asked,
    Brought,
    CallEnded,
    CanaryChecked,
    Change,
    Event,
    Outcome,
    Probed,
    Promised,
    Rule,
)
from walras.balance.queueing import MOST_WAIT_US
from walras.balance.rules import BPS, FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.balance.status import State

KEYS = [bytes([number]) * 32 for number in range(7)]
PROBERS = [b"p", b"q", b"r"]
RULES = FleetRules(
    min_bond=5,
    quorum=2,
    slow_start_ms=4_000,
    max_ejection_ms=20_000,
    fade_half_life=3,
    block_ms=3_000,
    max_block_ms=10_000,
    probe_interval_ms=2_000,
)

nodes = st.sampled_from(KEYS)
outcomes = st.sampled_from(list(Outcome))


@dataclass
class Past:
    """All that happened to a node, since it was seen first."""

    there: bool = True
    drained: bool = False
    stake: int = 0
    row: int = 0
    promises: list[bool] = field(default_factory=list)
    echoes: dict[bytes, list[tuple[int, int]]] = field(default_factory=dict)


class Fleet(RuleBasedStateMachine):
    """Any sequence of what operators, calls, probes, promises and time do."""

    @initialize(
        share=st.sampled_from([0, 1, 3_000, 5_000, BPS]),
        panic=st.sampled_from([0, 5_000, BPS]),
        start=st.sampled_from([0, 1_700_000_000_000]),
    )
    def begin(self, share: int, panic: int, start: int) -> None:
        self.rules = replace(RULES, max_ejection_bps=share, panic_bps=panic)
        self.standing = Standing(self.rules)
        self.past: dict[bytes, Past] = {}
        self.now = start
        self.out: dict[bytes, set[Rule]] = {}
        self.panic = False
        for key in KEYS[:4]:
            self.join(key)
            self.bond(key, 9)
        self.tick(0)

    def took(self, changes: tuple[Change, ...]) -> None:
        """Changes are all that moves nodes in and out, and each is a real one."""
        for change in changes:
            assert change.why
            out = self.out.setdefault(change.node, set())
            match change.rule:
                case Rule.CONSECUTIVE_ERRORS | Rule.FADE_RATE:
                    assert change.rule not in out
                    out.add(change.rule)
                case Rule.EJECTION_OVER:
                    out.remove(Rule.CONSECUTIVE_ERRORS)
                case Rule.BLOCK_OVER:
                    out.remove(Rule.FADE_RATE)
                case Rule.PANIC:
                    assert not self.panic
                    self.panic = True
                case Rule.PANIC_OVER:
                    assert self.panic
                    self.panic = False
                case _:
                    raise AssertionError(change)
            if change.rule is Rule.CONSECUTIVE_ERRORS:
                ejected = [
                    key
                    for key, past in self.past.items()
                    if self.member(past) and Rule.CONSECUTIVE_ERRORS in self.out.get(key, ())
                ]
                members = sum(map(self.member, self.past.values()))
                most = self.rules.max_ejection_bps * members // BPS
                assert len(ejected) <= max(most, int(self.rules.max_ejection_bps > 0))

    def member(self, past: Past) -> bool:
        return past.there and not past.drained and past.stake >= self.rules.min_bond

    def happens(self, event: Event) -> None:
        self.took(self.standing.apply(event))

    @rule(key=nodes)
    def join(self, key: bytes) -> None:
        self.standing.join(NodeInfo(key.hex(), key, slots=2), self.now)
        self.past.setdefault(key, Past()).there = True

    @rule(key=nodes)
    def leave(self, key: bytes) -> None:
        self.standing.leave(key)
        if key in self.past:
            self.past[key].there = False

    @rule(key=nodes, atoms=st.integers(0, 9))
    def bond(self, key: bytes, atoms: int) -> None:
        if key in self.standing.nodes:
            self.standing.set_stake(key, atoms)
            self.past[key].stake = atoms

    @rule(key=nodes, calls=st.integers(1, 50))
    def calls_come(self, key: bytes, calls: int) -> None:
        self.happens(Asked(key, self.now, calls))
        if key in self.standing.nodes:
            status = self.standing.status(key, self.now)
            assert status.utilisation_bps >= 0
            assert 0 <= status.wait_us <= MOST_WAIT_US

    @rule(key=nodes, out=st.booleans())
    def drain_or_resume(self, key: bytes, out: bool) -> None:
        if key in self.standing.nodes:
            (self.standing.drain if out else self.standing.resume)(key, self.now)
            self.past[key].drained = out

    @rule(
        key=nodes,
        outcome=outcomes,
        us=st.integers(-5, 10_000_000),
        ahead=st.integers(1, 50),
        reported=st.integers(-3, 100),
        late=st.integers(0, 3_000),
        brought=st.sampled_from(list(Brought)),
    )
    def call(
        self,
        key: bytes,
        outcome: Outcome,
        us: int,
        ahead: int,
        reported: int,
        late: int,
        brought: Brought,
    ) -> None:
        standing = self.standing
        before = standing.view(key, self.now).service_us if key in standing.nodes else 0
        at_ms = self.now - late
        self.happens(CallEnded(key, at_ms, outcome, us, ahead, reported, brought))
        if before and brought is not Brought.BID:
            least = min(before, standing._median_us or DEFAULT_SERVICE_US)
            assert standing.view(key, self.now).service_us >= least

    @rule(key=nodes, times=st.integers(1, 4))
    def fail(self, key: bytes, times: int) -> None:
        for _ in range(times):
            self.happens(CallEnded(key, self.now, Outcome.ERROR, 1))
        if key in self.standing.nodes:
            status = self.standing.status(key, self.now)
            stays_in = status.state in {State.HEALTHY, State.WARMING}
            if times > 1 and stays_in and self.rules.max_ejection_bps == BPS:
                raise AssertionError(status)

    @rule(key=nodes, prober=st.sampled_from(PROBERS), rtt=st.none() | st.integers(-1, 10**7))
    def probe(self, key: bytes, prober: bytes, rtt: int | None) -> None:
        self.happens(Probed(key, prober, self.now, rtt))
        if key in self.past and rtt is not None:
            self.past[key].echoes.setdefault(prober, []).append((self.now, max(1, rtt)))

    @rule(key=nodes, kept=st.booleans(), times=st.integers(1, 6))
    def promise(self, key: bytes, kept: bool, times: int) -> None:
        for _ in range(times):
            self.happens(Promised(key, self.now, kept))
            if key in self.past:
                self.past[key].promises.append(kept)

    @rule(key=nodes, found=st.booleans())
    def canary(self, key: bytes, found: bool) -> None:
        self.happens(CanaryChecked(key, self.now, found))

    @rule(ms=st.integers(0, 8_000))
    def tick(self, ms: int) -> None:
        self.now += ms
        self.took(self.standing.tick(self.now))
        # What left long ago is forgotten by the standing, so by the model.
        for key in [key for key in self.past if key not in self.standing._every]:
            assert not self.past[key].there
            del self.past[key]
            self.out.pop(key, None)

    @rule(ms=st.integers(1, 50_000))
    def late_tick(self, ms: int) -> None:
        self.took(self.standing.tick(self.now - ms))

    @rule()
    def restart(self) -> None:
        text = json.dumps(self.standing.to_json())
        self.standing = Standing.from_json(json.loads(text))
        assert json.dumps(self.standing.to_json()) == text

    @precondition(lambda self: hasattr(self, "standing"))
    @rule(share=st.sampled_from([3_000, BPS]))
    def other_rules(self, share: int) -> None:
        self.rules = replace(self.rules, max_ejection_bps=share)
        self.standing.set_rules(self.rules)

    @invariant()
    def eligible_are_members_that_are_in(self) -> None:
        expected = [
            key
            for key, past in sorted(self.past.items())
            if self.member(past) and (self.panic or not self.out.get(key))
        ]
        standing = self.standing
        assert standing.panic == self.panic
        # Since the last tick time stood still, so what is out is what changes said.
        assert standing.eligible(standing._clock) == expected

    @invariant()
    def counts_are_what_a_count_gives(self) -> None:
        standing, rules = self.standing, self.rules
        members = [node for node in standing._every.values() if node.member(rules)]
        assert standing._members == len(members)
        assert standing._healthy == sum(node.healthy(rules) for node in members)
        assert standing._ejected == sum(node.ejected for node in members)
        assert standing._waiting == {
            key for key, node in standing._every.items() if node.ejected or node.blocked
        }
        assert set(standing.nodes) == {key for key, past in self.past.items() if past.there}

    @invariant()
    def estimates_are_what_a_recount_gives(self) -> None:
        for key, past in self.past.items():
            if not past.there:
                continue
            status = self.standing.status(key, self.now)
            wrong = total = 0
            for kept in past.promises:
                wrong = wrong * decay(3) // (1 << 32) + ((not kept) << 32)
                total = total * decay(3) // (1 << 32) + (1 << 32)
            assert status.fade_bps == (wrong * BPS // total if total else 0)
            # Whether an old observation counts is settled at sweeps: by the last, or by the next.
            swept = self.standing._swept
            least = {
                prober: min(rtt for _, rtt in seen[-4:])
                for prober, seen in past.echoes.items()
                if prober in self.standing._every[key].round_trip.seen
            }
            for prober, seen in past.echoes.items():
                if seen[-1][0] > swept:
                    assert prober in least
                if seen[-1][0] < swept - 3 * self.rules.probe_interval_ms:
                    assert prober not in least
            if len(least) < self.rules.quorum:
                assert status.rtt_us == 0
            else:
                assert min(least.values()) <= status.rtt_us <= max(least.values())

    @invariant()
    def numbers_are_in_their_ranges(self) -> None:
        for key in self.standing.nodes:
            status = self.standing.status(key, self.now)
            assert self.rules.min_weight_bps <= status.warmth_bps <= BPS
            assert 0 <= status.fade_bps <= BPS
            assert 0 <= status.canary_miss_bps <= BPS
            assert status.service_us >= 1
            assert 0 <= status.until_ms <= self.rules.max_ejection_ms + 60_000
            view = self.standing.view(key, self.now, in_flight=3)
            assert view.load >= 3


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 10**8), min_size=1, max_size=60), st.booleans())
def test_an_estimate_stays_within_what_was_measured(samples: list[int], prior: bool) -> None:
    service = Service()
    median = samples[0] if prior else 0
    start = 3 * median
    for turn, sample in enumerate(samples):
        service.add(sample, turn * 3_000, median, answered=True)
        seen = [*samples[: turn + 1], *([start] if start else [])]
        assert min(seen) - 1 <= service.us <= max(seen)


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 50))
def test_a_share_is_a_share(wrongs: list[bool], half_life: int) -> None:
    share = Share()
    for wrong in wrongs:
        share.add(half_life, wrong=wrong)
        assert 0 <= share.wrong <= share.total
    if wrongs and len(set(wrongs)) == 1:
        assert share.bps == BPS * wrongs[0]
