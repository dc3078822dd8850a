"""The fleet of a scenario: its nodes, and what they can do together."""

from collections.abc import Iterator
from dataclasses import dataclass

from walras.core.errors import InvalidInput, Reason
from walras.simulator.chance import Stream, numbers
from walras.simulator.node import Node
from walras.simulator.scenario import Fault, Scenario
from walras.simulator.speed import Speed, constant, hindered

MAX_NODES = 20_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """Nodes and their capacity: slots · speed, summed, by the scenario's `load_of`."""

    nodes: list[Node]
    capacity: float


def build(scenario: Scenario, end_us: float) -> Fleet:
    """Make the nodes for a run that ends at `end_us`."""
    faults: dict[int, list[Fault]] = {}
    for index, fault in faulty(scenario):
        faults.setdefault(index, []).append(fault)
    nodes, capacity = [], 0.0
    for index in range(scenario.nodes):
        base = 1 / scenario.slow_factor if index < scenario.slow_nodes else 1.0
        speed = _speed(scenario, index, base, end_us)
        mean = base if scenario.load_of == "allocation" else speed.mean(end_us)
        capacity += scenario.slots_of(index) * mean
        slots = scenario.slots_of(index)
        nodes.append(Node(slots, base, speed, tuple(faults.get(index, ()))))
    return Fleet(nodes, capacity)


def faulty(scenario: Scenario) -> Iterator[tuple[int, Fault]]:
    """Each fault with each node that has it: from the last node down, one fault after another."""
    last = scenario.nodes
    for fault in scenario.faults:
        many = max(1, round(fault.share * scenario.nodes))
        for index in range(max(0, last - many), last):
            yield index, fault
        last -= many


def _speed(scenario: Scenario, index: int, base: float, end_us: float) -> Speed:
    found = scenario.antagonists
    if found is None or index >= round(found.share * scenario.nodes):
        return constant(base)
    source = numbers(scenario.seed, Stream.ANTAGONIST, index)
    # Calls in flight at the end still meet them.
    return hindered(found, base, end_us + scenario.timeout_ms * 1_000, source)


def check(scenario: Scenario) -> None:
    """Raises InvalidInput for what cannot be simulated."""
    regions = scenario.regions
    bounds: tuple[tuple[str, float, float, float], ...] = (
        ("nodes", scenario.nodes, 1, MAX_NODES),
        ("slots", min(scenario.slots, *scenario.first_slots, 1_024), 1, 1_024),
        ("slots", max(scenario.slots, *scenario.first_slots, 1), 1, 1_024),
        ("routers", scenario.routers, regions, 256),
        ("regions", regions, 1, 64),
        ("load", scenario.load, 0.001, 10),
        ("seconds", scenario.seconds, 0.001, 86_400),
        ("seed", scenario.seed, 0, 1 << 62),
        ("arrival scv", scenario.arrival_scv, 0, 1_000),
        ("service mean, µs", scenario.service.mean_us, 1, 1e9),
        ("timeout, ms", scenario.timeout_ms, 1, 3_600_000),
        ("slow nodes", scenario.slow_nodes, 0, scenario.nodes),
        ("slow factor", scenario.slow_factor, 1, 10_000),
        ("nodes with slots of their own", len(scenario.first_slots), 0, scenario.nodes),
        ("nodes in groups", sum(scenario.groups), 0, scenario.nodes),
        ("rows of round trips", len(scenario.rtt_ms) or regions, regions, regions),
    )
    for name, value, least, most in bounds:
        if not least <= value <= most:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"{name}: {value:g} is not from {least:,.12g} to {most:,.12g}",
                name=name,
                value=value,
            )
