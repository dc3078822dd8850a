"""What is simulated, as values, and the named scenarios."""

from dataclasses import dataclass, field
from typing import Literal

from walras.balance.rules import FleetRules
from walras.simulator.service import Service
from walras.simulator.speed import Antagonists

LoadOf = Literal["capacity", "allocation"]

FaultKind = Literal["silent", "refuse", "garbage", "fade", "zero_load"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Some nodes misbehave for a while.

    Attributes:
        kind: `silent`: never answers (stopped, partitioned); what it had is lost. `refuse`: the
            same, but says at once that it is gone. `garbage`: answers in a hundredth of the time,
            wrongly. `fade`: the same, rightly, but breaks what it promised. `zero_load`: works,
            and reports that nothing is in flight.
        share: of all nodes, counted from the last one down, rounded, at least one.
        from_s, until_s: when.
    """

    kind: FaultKind
    share: float
    from_s: float = 0.0
    until_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Shock:
    """A burst: for a while more calls come, and each is more work."""

    at_s: float
    for_s: float
    arrivals: float = 1.0
    work: float = 1.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet, its load and what goes wrong.

    Attributes:
        name, about: for people.
        nodes, slots, routers: how many nodes, slots on each, and independent routers; a router
            sees nothing of what the others do.
        load: arriving work / what the fleet can do, by `load_of`.
        load_of: `capacity`: what the nodes do on average as they are, slow and hindered ones at
            their speed, dead ones as if alive; `allocation`: as if every node were allowed its
            allocation (speed 1 for all but slow ones), whatever its antagonists leave of it.
        ramp: loads one after another, each for an equal part of the time; else `load` throughout.
        seconds: how long calls arrive; then those in flight end.
        warmup_s: calls of the first seconds are not measured; routers learn meanwhile.
        seed: of all chance.
        service: what calls take. arrival_scv: of the times between them; 1 is Poisson.
        timeout_ms: after it the router gives a call up; its deadline travels with it, so the node
            does so too.
        slow_nodes, slow_factor: so many of the nodes, the first ones, are so much slower.
        antagonists: of the nodes' machines.
        faults, shocks: what goes wrong when.
        regions: nodes and routers are spread over so many in turn; `rtt_ms` is the matrix of round
            trips, row and column by region; empty: none take time.
        groups: nodes of each operator group, from the first node on; the others have none.
        first_slots: slots of the first nodes, where they are not `slots`.
        claims: a node of the first group says that it has so many times its slots.
        win_share: of the answers, those that win: the node's promise is then kept or broken.
        policies: what is compared if nothing else is said.
        rules: those of the engine; `policy` is set by what is compared.
    """

    name: str
    about: str = ""
    nodes: int = 16
    slots: int = 4
    routers: int = 4
    load: float = 0.7
    load_of: LoadOf = "capacity"
    ramp: tuple[float, ...] = ()
    seconds: float = 60.0
    warmup_s: float = 5.0
    seed: int = 1
    service: Service = field(default_factory=Service)
    arrival_scv: float = 1.0
    timeout_ms: int = 5_000
    slow_nodes: int = 0
    slow_factor: float = 16.0
    antagonists: Antagonists | None = None
    faults: tuple[Fault, ...] = ()
    shocks: tuple[Shock, ...] = ()
    regions: int = 1
    rtt_ms: tuple[tuple[float, ...], ...] = ()
    groups: tuple[int, ...] = ()
    first_slots: tuple[int, ...] = ()
    claims: int = 1
    win_share: float = 0.0
    policies: tuple[str, ...] = (
        "least_expected_delay",
        "prequal",
        "least_request",
        "round_robin",
        "random",
        "weighted_round_robin",
        "join_shortest_queue",
    )
    rules: FleetRules = field(default_factory=FleetRules)

    def slots_of(self, node: int) -> int:
        """What a node has."""
        return self.first_slots[node] if node < len(self.first_slots) else self.slots

    def claimed(self, node: int) -> int:
        """What it says that it has."""
        liar = bool(self.groups) and node < self.groups[0]
        return self.slots_of(node) * (self.claims if liar else 1)


_TENANTS = Antagonists(1.0, 20_000.0, 20_000.0, speed_on=0.9, speed_off=2.0)
"""As in Prequal's testbed (NSDI 2024, §5): a replica may use more than its allocation where its
machine is idle, and is throttled, a little too hard, where it is not.
"""

SCENARIOS = {
    found.name: found
    for found in (
        Scenario("plain", "equal nodes, nothing goes wrong", load=0.8),
        Scenario("slow-nodes", "two of sixteen nodes are 16 times slower", slow_nodes=2),
        Scenario(
            "antagonists",
            "load is 0.9 of what is allocated; idle tenants leave half the machines more",
            nodes=100,
            load=0.9,
            load_of="allocation",
            seconds=20.0,
            antagonists=_TENANTS,
        ),
        Scenario(
            "hobbled",
            "other tenants halve a node's speed a third of the time; load is 0.9 of what is left",
            load=0.9,
            seconds=100.0,
            antagonists=Antagonists(1.0, 2_000.0, 4_000.0, speed_on=0.5, speed_off=1.0),
        ),
        Scenario(
            "ramp",
            "load grows past what is allocated; idle tenants leave half the machines more",
            nodes=100,
            ramp=(0.75, 0.83, 0.93, 1.03, 1.14),
            load_of="allocation",
            seconds=60.0,
            timeout_ms=1_000,
            antagonists=_TENANTS,
        ),
        Scenario(
            "sybil",
            "one operator splits a machine into eight nodes, each claiming all of its slots",
            nodes=20,
            load=0.6,
            groups=(8, 3, 3, 3, 3),
            first_slots=(2,) * 8,
            claims=8,
            policies=("least_expected_delay", "least_request", "random"),
            rules=FleetRules(group_cap_bps=2_000),
        ),
        Scenario(
            "dead-nodes",
            "60 % of the nodes fall silent for twenty seconds",
            nodes=20,
            load=0.25,
            timeout_ms=1_000,
            seconds=90.0,
            faults=(Fault("silent", 0.6, 20.0, 40.0),),
        ),
        Scenario(
            "byzantine",
            "nodes that lie about load, answer garbage, win and fade, or fall silent",
            nodes=20,
            load=0.5,
            timeout_ms=1_000,
            win_share=0.2,
            faults=(
                Fault("zero_load", 0.20),
                Fault("garbage", 0.15),
                Fault("fade", 0.10),
                Fault("silent", 0.05),
            ),
        ),
        Scenario(
            "regions",
            "three regions, 80 to 160 ms apart",
            nodes=24,
            routers=6,
            regions=3,
            rtt_ms=((1.0, 80.0, 160.0), (80.0, 1.0, 100.0), (160.0, 100.0, 1.0)),
            policies=("geographic", "least_expected_delay", "least_request", "round_robin"),
        ),
        Scenario(
            "shock",
            "a price shock: twice, for three seconds 1.5 times the calls, each 1.5 times the work",
            load=0.6,
            shocks=(Shock(20.0, 3.0, 1.5, 1.5), Shock(40.0, 3.0, 1.5, 1.5)),
        ),
        Scenario("trace", "arrivals from a file, work too where it says so"),
        Scenario(
            "large",
            "a thousand nodes",
            nodes=1_000,
            load=0.8,
            seconds=3.0,
            warmup_s=1.0,
            slow_nodes=20,
        ),
    )
}
"""Name → scenario; every field can be replaced."""
