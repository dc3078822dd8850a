"""Who places calls: a router with one of the engine's policies, or a reference beside it."""

from collections import deque
from dataclasses import replace
from hashlib import sha256
from typing import Any, Protocol

from walras.balance.chooser import Chooser, weigh
from walras.balance.events import Change, Event, Outcome
from walras.balance.policies import POLICIES
from walras.balance.policies.prequal import Prequal, Probe
from walras.balance.policy import Policy
from walras.balance.router import Call, Router
from walras.balance.rules import NodeInfo
from walras.balance.view import Draw, NodeView, Pool, Request
from walras.core.errors import InvalidInput, Reason
from walras.simulator.chance import draws
from walras.simulator.node import Node
from walras.simulator.references import JoinShortestQueue, WeightedRoundRobin
from walras.simulator.scenario import Scenario

REFERENCES = ("weighted_round_robin", "join_shortest_queue")
NAMES = (*POLICIES, *REFERENCES)
"""What can be compared."""


class Balancer(Protocol):
    """A router, as the simulation sees it."""

    def start(self, request: Request) -> tuple[int, Any]:
        """The index of the node that gets the call, and what `end` wants back."""
        ...

    def end(self, token: Any, now_us: int, outcome: Outcome, reported: int) -> None:
        """The call ended."""
        ...

    def observe(self, event: Event) -> None:
        """A probe's result, or a promise kept or broken."""
        ...

    def tick(self, now_us: int) -> list[Change]:
        """Some time has passed; what changed."""
        ...


class Routed:
    """A router of `walras.balance` with one of its policies."""

    def __init__(self, scenario: Scenario, policy: str, nodes: list[Node], number: int) -> None:
        rules = replace(scenario.rules, policy=policy)
        chooser = Chooser(rules)
        self._index = {node_key(index): index for index in range(len(nodes))}
        picker: Policy = chooser
        if isinstance(chooser.policy, Prequal):
            trips = _round_trips(scenario, number)
            picker = _Probing(chooser, chooser.policy, nodes, self._index, trips)
        self._router = Router(rules, draws(scenario.seed, number), picker, weigh)
        operators = [o for o, many in enumerate(scenario.groups) for _ in range(many)]
        for key, index in self._index.items():
            group = f"operator {operators[index]}" if index < len(operators) else ""
            region_name = str(index % scenario.regions) if scenario.rtt_ms else ""
            info = NodeInfo(f"node {index}", key, group, region_name, scenario.claimed(index))
            self._router.join(info, 0)
            self._router.standing.set_stake(key, info.slots)

    def start(self, request: Request) -> tuple[int, Call]:
        """By the policy."""
        call = self._router.start(request)
        return self._index[call.node.key], call

    def end(self, token: Call, now_us: int, outcome: Outcome, reported: int) -> None:
        """Counted in the node's standing."""
        token.end(now_us, outcome, reported)

    def observe(self, event: Event) -> None:
        """Counted in the node's standing."""
        self._router.observe(event)

    def tick(self, now_us: int) -> list[Change]:
        """What the standing did."""
        return self._router.tick(now_us)


def _round_trips(scenario: Scenario, router: int) -> list[int]:
    """Of each node to the router, in µs."""
    if not scenario.rtt_ms:
        return [0] * scenario.nodes
    row = scenario.rtt_ms[router % scenario.regions]
    return [int(1_000 * row[index % scenario.regions]) for index in range(scenario.nodes)]


class _Probing:
    """Prequal with its own probes: sent after each pick, answered a round trip later, with what
    was so when they were sent.
    """

    def __init__(
        self,
        chooser: Chooser,
        policy: Prequal,
        nodes: list[Node],
        index: dict[bytes, int],
        round_trips: list[int],
    ) -> None:
        self._chooser = chooser
        self._policy = policy
        self._nodes = nodes
        self._index = index
        self._round_trips = round_trips
        self._coming: deque[Probe] = deque()
        for node in nodes:
            node.estimates = True

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        """By the chooser."""
        now_us = request.now_us
        for _ in range(len(self._coming)):
            probe = self._coming.popleft()
            if probe.at_us <= now_us:
                self._policy.add(probe)
            else:
                self._coming.append(probe)
        picked = self._chooser.pick(pool, request, draw)
        for view in self._policy.due(pool, draw):
            index = self._index[view.key]
            node = self._nodes[index]
            if node.alive:
                rif, latency_us = node.estimate(now_us)
                round_trip = self._round_trips[index]
                at_us = now_us + round_trip
                self._coming.append(Probe(view.key, rif, latency_us + round_trip, at_us))
        return picked


def balancers(scenario: Scenario, policy: str, nodes: list[Node]) -> list[Balancer]:
    """A balancer for each router. Raises InvalidInput for a policy that is none."""
    numbers = range(scenario.routers)
    if policy == "join_shortest_queue":
        return [JoinShortestQueue(nodes, draws(scenario.seed, 0))] * scenario.routers
    if policy == "weighted_round_robin":
        return [WeightedRoundRobin(nodes, draws(scenario.seed, number)) for number in numbers]
    if policy not in POLICIES:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"{policy!r} is not a policy", hint=f"one of {', '.join(NAMES)}"
        )
    return [Routed(scenario, policy, nodes, number) for number in numbers]


def node_key(index: int) -> bytes:
    """The public key of a node, as far as policies are concerned."""
    return sha256(b"node %d" % index).digest()


def prober_key(router: int) -> bytes:
    """The public key of the prober that works for a router."""
    return sha256(b"prober %d" % router).digest()
