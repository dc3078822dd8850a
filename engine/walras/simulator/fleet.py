"""The simulation: events in the order of their time, nothing else moves the clock.

A call costs one event where round trips take no time (its end) and three where they do (it comes
to the node, it ends there, its answer comes to the router). Arrivals are made beforehand.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from walras.balance.events import Outcome, Probed, Promised
from walras.balance.view import Request
from walras.simulator.arrivals import Calls, generate, of_trace
from walras.simulator.balancers import balancers, node_key, prober_key
from walras.simulator.build import build, check, faulty
from walras.simulator.chance import Stream, numbers
from walras.simulator.node import Node
from walras.simulator.result import Moved, Observed, Result, summarise
from walras.simulator.scenario import FaultKind, Scenario
from walras.simulator.trace import Trace

_TICK_US = 100_000
"""How often a router looks at the time, as the engine's does."""


def simulate(scenario: Scenario, policy: str, trace: Trace | None = None) -> Result:
    """Run a scenario with a policy: one of `walras.balance.policies.POLICIES` or a reference.

    The same scenario and policy give the same result; another policy meets the same calls, the
    same work and the same antagonists. Raises InvalidInput.
    """
    check(scenario)
    end_us = scenario.seconds * 1e6 if trace is None else trace.at_ms[-1] * 1_000 + 1
    fleet = build(scenario, end_us)
    calls = generate(scenario, fleet.capacity) if trace is None else of_trace(scenario, trace)
    run = _Run(scenario, policy, fleet.nodes, calls, end_us)
    run.to_the_end()
    return summarise(
        policy,
        calls,
        run.observed,
        warmup_us=min(scenario.warmup_s * 1e6, end_us / 2),
        end_us=end_us,
        max_queue=max(node.most for node in fleet.nodes),
        nodes=scenario.nodes,
        groups=scenario.groups,
    )


class _Run:
    """One run of the clock."""

    def __init__(
        self, scenario: Scenario, policy: str, nodes: list[Node], calls: Calls, end_us: float
    ) -> None:
        self._scenario = scenario
        self._calls = calls
        self._end_us = end_us
        self._nodes = nodes
        self._keys = [node_key(index) for index in range(len(nodes))]
        self._index = {key: index for index, key in enumerate(self._keys)}
        self._probers = [prober_key(router) for router in range(scenario.routers)]
        self._routers = balancers(scenario, policy, nodes)
        self._timeout = scenario.timeout_ms * 1_000
        self._regions = scenario.regions if scenario.rtt_ms else 0
        self._ways = [[ms * 500 for ms in row] for row in scenario.rtt_ms]
        total = len(calls.at_us)
        wins = numbers(scenario.seed, Stream.FAULTS).random(total) < scenario.win_share
        self._wins: list[bool] = wins.tolist()
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._open = 0
        self.observed = Observed([0] * total, [Outcome.OK] * total, [0] * total, [])

    def to_the_end(self) -> None:
        """All calls arrive and end."""
        for index, fault in faulty(self._scenario):
            self._at(fault.from_s * 1e6, self._turn, index, fault.kind)
            if fault.until_s * 1e6 < self._end_us:
                self._at(fault.until_s * 1e6, self._turn, index, None)
        self._at(0.0, self._tick)
        every = self._scenario.rules.probe_interval_ms * 1_000
        for router in range(len(self._routers)):
            self._at(every * (router + 1) / len(self._routers), self._probe, router)
        heap = self._heap
        for call, at in enumerate(self._calls.at_us):
            while heap[0][0] <= at:
                time, _, what, args = heappop(heap)
                what(time, *args)
            self._arrive(call, at)
        while self._open:
            time, _, what, args = heappop(heap)
            what(time, *args)

    def _at(self, time: float, what: Callable[..., None], *args: object) -> None:
        heappush(self._heap, (time, next(self._order), what, args))

    def _arrive(self, call: int, at: int) -> None:
        router = self._calls.router[call]
        region = str(router % self._regions) if self._regions else ""
        request = Request(self._calls.key[call], region, at)
        index, token = self._routers[router].start(request)
        self.observed.node[call] = index
        self._open += 1
        if self._regions:
            way = self._ways[router % self._regions][index % self._regions]
            self._at(at + way, self._come, call, token, at + self._timeout, way)
            return
        node = self._nodes[index]
        end, outcome = node.take(at, self._calls.work_us[call], at + self._timeout)
        args = (call, token, node.life, outcome)
        heappush(self._heap, (end, next(self._order), self._end, args))

    def _end(self, time: float, call: int, token: Any, life: int, outcome: Outcome) -> None:
        node = self._nodes[self.observed.node[call]]
        node.leave(life, self._calls.work_us[call], outcome)
        self._ended(time, call, token, outcome, node.reports)

    def _come(self, time: float, call: int, token: Any, deadline: float, way: float) -> None:
        node = self._nodes[self.observed.node[call]]
        end, outcome = node.take(time, self._calls.work_us[call], deadline)
        self._at(end, self._answer, call, token, node.life, outcome, deadline, way)

    def _answer(
        self,
        time: float,
        call: int,
        token: Any,
        life: int,
        outcome: Outcome,
        deadline: float,
        way: float,
    ) -> None:
        node = self._nodes[self.observed.node[call]]
        node.leave(life, self._calls.work_us[call], outcome)
        back = time + way
        if back > deadline:
            back, outcome = max(time, deadline), Outcome.TIMEOUT
        self._at(back, self._ended, call, token, outcome, node.reports)

    def _ended(self, time: float, call: int, token: Any, outcome: Outcome, reported: int) -> None:
        now = int(time)
        self._open -= 1
        self.observed.latency_us[call] = now - self._calls.at_us[call]
        router = self._routers[self._calls.router[call]]
        if outcome is not Outcome.OK:
            self.observed.outcome[call] = outcome
            router.end(token, now, outcome, 0)
            return
        router.end(token, now, outcome, reported)
        if self._wins[call]:
            node = self.observed.node[call]
            kept = self._nodes[node].fault != "fade"
            router.observe(Promised(self._keys[node], now // 1_000, kept))

    def _turn(self, time: float, index: int, fault: FaultKind | None) -> None:
        self._nodes[index].turn(fault, time)

    def _tick(self, time: float) -> None:
        for number, router in enumerate(self._routers):
            for change in router.tick(int(time)):
                node = self._index[change.node] if change.node else None
                self.observed.moves.append(Moved(time / 1e6, number, change.rule.value, node))
        self._at(time + _TICK_US, self._tick)

    def _probe(self, time: float, number: int) -> None:
        rules, router = self._scenario.rules, self._routers[number]
        at_ms, prober = int(time) // 1_000, self._probers[number]
        silent = []
        for index, node in enumerate(self._nodes):
            if not node.alive:
                silent.append(index)
                continue
            rtt = 1
            if self._regions:
                rtt = max(1, int(2 * self._ways[number % self._regions][index % self._regions]))
            router.observe(Probed(self._keys[index], prober, at_ms, rtt, node.reports))
        if silent:
            self._at(time + rules.probe_timeout_ms * 1_000, self._no_echo, number, silent)
        self._at(time + rules.probe_interval_ms * 1_000, self._probe, number)

    def _no_echo(self, time: float, number: int, silent: list[int]) -> None:
        for index in silent:
            event = Probed(self._keys[index], self._probers[number], int(time) // 1_000, None)
            self._routers[number].observe(event)
