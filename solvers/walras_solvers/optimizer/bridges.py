"""Which bridges carry how much of one asset between the chains it lives on: a min-cost flow.

Bridges that join an asset's ids are a network of their own: what is carried has one unit on all of
them, only capacities couple them, and a fee is a cost per unit. So the flow of least fees is a
min-cost flow, and one in integers: no cycles, and no more bridges in use than chains and full
bridges ask for, where a linear program over all venues may return any mixture of bridges that cost
the same. What fees take away on the way, a linear program puts right around these amounts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow

from walras.sdk import Bridge, Problem
from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.fills import Clearing
from walras_solvers.optimizer.pools import Edge
from walras_solvers.optimizer.routes import net_supply

BITS = 62
"""The sum of all costs is below 2^62: it is counted in 64 bits with a sign."""

FEE_BITS = 20
"""A fee is below 2^20 pips."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """One direction of a bridge: places, units that it can carry, cost of each in pips."""

    source: int
    target: int
    capacity: int
    fee: int


def cheapest(supply: Sequence[int], crossings: Sequence[Crossing]) -> list[int]:
    """Crossing → what it carries: as much as can be of what there is to where it is needed, at the
    least cost.

    Args:
        supply: place → units that are left over, or needed where below 0; of any size.
        crossings: their capacities are of any size.
    """
    total = max(sum(units for units in supply if units > 0), 1)
    room = BITS - FEE_BITS - len(crossings).bit_length() - len(supply).bit_length()
    shift = max(0, total.bit_length() - room)
    flow = SimpleMinCostFlow()
    for one in crossings:
        flow.add_arc_with_capacity_and_unit_cost(
            one.source, one.target, min(one.capacity, total) >> shift, one.fee
        )
    source, sink = len(supply), len(supply) + 1
    wanted = 0
    for place, units in enumerate(supply):
        if units > 0:
            flow.add_arc_with_capacity_and_unit_cost(source, place, units >> shift, 0)
        elif units < 0:
            flow.add_arc_with_capacity_and_unit_cost(place, sink, min(-units, total) >> shift, 0)
            wanted += min(-units, total) >> shift
    wanted = min(wanted, total >> shift)
    flow.set_node_supply(source, wanted)
    flow.set_node_supply(sink, -wanted)
    if flow.solve_max_flow_with_min_cost() != flow.OPTIMAL:
        return [0] * len(crossings)
    return [int(flow.flow(arc)) << shift for arc in range(len(crossings))]


def networks(problem: Problem) -> list[dict[str, Fraction]]:
    """Asset → common units per atom, for every network of at least two bridges."""
    beside: defaultdict[str, list[tuple[str, Fraction]]] = defaultdict(list)
    count: defaultdict[str, int] = defaultdict(int)
    for venue in problem.venues.values():
        if isinstance(venue, Bridge):
            (a, b), (s, t) = venue.assets, venue.scaling
            beside[a].append((b, Fraction(t, s)))
            beside[b].append((a, Fraction(s, t)))
            count[a] += 1
    found: list[dict[str, Fraction]] = []
    seen: set[str] = set()
    for root in sorted(beside):
        if root in seen:
            continue
        unit, border = {root: Fraction(1)}, [root]
        while border:
            here = border.pop()
            for other, ratio in beside[here]:
                if other not in unit:
                    unit[other] = unit[here] * ratio
                    border.append(other)
        seen |= unit.keys()
        if sum(count[asset] for asset in unit) > 1:
            found.append(unit)
    return found


def bridged(book: Book, at: Clearing, flows: Mapping[Edge, float]) -> dict[Edge, float]:
    """The flows with those over bridges as a min-cost flow has them; empty without networks.

    Args:
        book: gives the bridges.
        at: gives the fills.
        flows: edge → value of its input; what those beside bridges pay is taken for as much.
    """
    parts = networks(book.problem)
    bridges = {v.id: v for v in book.problem.venues.values() if isinstance(v, Bridge)}
    if not parts or not any(edge.venue in bridges for edge in flows):
        return {}
    left = net_supply(book, at)
    kept = {edge: value for edge, value in flows.items() if edge.venue not in bridges}
    for edge, value in kept.items():
        left[book.index[edge.asset_in]] -= value
        left[book.index[edge.asset_out]] += value * float(
            np.exp(at.delta[book.index[edge.asset_in]] - at.delta[book.index[edge.asset_out]])
        )
    for unit in parts:
        places = sorted(unit)
        scale = {asset: float(unit[asset]) / book.reference[book.index[asset]] for asset in places}
        edges, crossings = [], []
        for name in sorted(bridges):
            bridge = bridges[name]
            for i in (0, 1):
                a, b = bridge.assets[i], bridge.assets[1 - i]
                if a in unit:
                    capacity = int(bridge.capacity[1 - i] * unit[b])
                    edges.append(Edge(name, a, b, bridge.cost / book.scale))
                    places_at = places.index(a), places.index(b)
                    crossings.append(Crossing(*places_at, capacity, bridge.fee_pips))
        supply = [int(left[book.index[asset]] * scale[asset]) for asset in places]
        for edge, units in zip(edges, cheapest(supply, crossings), strict=True):
            if units > 0:
                kept[edge] = units / scale[edge.asset_in]
    return kept
