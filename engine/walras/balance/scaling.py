"""How many nodes the fleet wishes to have: ahead of load, never below what the present one needs.

The wish is square-root staffing of the greater of the load now (the reactive floor) and its
forecast for the moment when a node started now would be ready. It is followed upwards at once. It
is followed downwards to the highest wish of the last `cool_down_ms`, and only past a tolerance: a
node that is stopped a moment too early costs a missed batch, one that is stopped too late a few
node-minutes.

A forecast for one moment is enough: wishes made since then for the moments in between are
still held by the cool-down, which must be no shorter than a node's start.

The window of wishes is that of the Kubernetes Horizontal Pod Autoscaler ("stabilization window",
with its tolerance). Source: Kubernetes documentation, Horizontal Pod Autoscaling, algorithm
details.
"""

from dataclasses import dataclass
from math import ceil, isfinite

from walras.balance.events import Change, Rule
from walras.balance.queueing import square_root_staffing
from walras.balance.rules import BPS
from walras.core.errors import InvalidInput, Reason

MAX_LOAD = 900_000.0
"""Erlangs; a greater load, or forecast, is taken as this."""


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """Bounds and targets of the fleet's size.

    Attributes:
        min_nodes, max_nodes: limits; 1 ≤ min ≤ max.
        slots: of one node, ≥ 1.
        delay_bps: share of calls that may find no slot free, within (0, 10,000).
        tolerance_bps: fewer nodes are wished only if at least this share of them is too many.
        cool_down_ms: for so long the highest wish holds; no less than a node takes to start.
    """

    min_nodes: int = 1
    max_nodes: int = 64
    slots: int = 1
    delay_bps: int = 2_000
    tolerance_bps: int = 500
    cool_down_ms: int = 60_000

    def __post_init__(self) -> None:
        """Raises InvalidInput: CONFIG_INVALID."""
        bounds = 1 <= self.min_nodes <= self.max_nodes and self.slots >= 1
        shares = 0 < self.delay_bps < BPS and 0 <= self.tolerance_bps < BPS
        if not (bounds and shares and self.cool_down_ms >= 0):
            raise InvalidInput(
                Reason.CONFIG_INVALID,
                "a fleet's size needs 1 ≤ min_nodes ≤ max_nodes, slots ≥ 1, shares within bounds"
                " and cool_down_ms ≥ 0",
                rules=self,
            )


@dataclass(frozen=True, slots=True)
class Load:
    """Erlangs: slots busy on average, as arrivals per unit of time × mean service.

    Attributes:
        present: measured over the last interval, ≥ 0; with what waits, if anything does.
        forecast: for when a node started now is ready, at the quantile that is paid for, ≥ 0.
    """

    present: float
    forecast: float = 0.0


@dataclass(frozen=True, slots=True)
class Scale:
    """The scaler's state: a value; `scale` makes the next one.

    Attributes:
        nodes: wished now.
        wishes: times and wishes within the cool-down that no later one exceeds, oldest first: their
            first is the highest. At most one for each possible wish.
    """

    nodes: int
    wishes: tuple[tuple[int, int], ...] = ()


def nodes_needed(rules: ScalingRules, erlangs: float) -> int:
    """Nodes that serve this load with `delay_bps` of calls waiting, before limits are looked at.

    Raises:
        InvalidInput: FIELD_INVALID: the load is negative or not a number.
    """
    if not erlangs >= 0:
        raise InvalidInput(Reason.FIELD_INVALID, "a load is not negative", load=erlangs)
    slots = square_root_staffing(min(erlangs, MAX_LOAD), rules.delay_bps / BPS)
    return ceil(slots / rules.slots)


def scale(
    rules: ScalingRules, state: Scale, load: Load, now_ms: int
) -> tuple[Scale, Change | None]:
    """The next state, and the change of the whole fleet if its size moves.

    A forecast that is not finite is left out: the floor stands alone then.

    Args:
        rules: bounds and targets.
        state: `Scale(nodes)` at first.
        load: in Erlangs.
        now_ms: never earlier than in the calls before.

    Raises:
        InvalidInput: FIELD_INVALID: a load is negative, or the present one is not a number.
    """
    floor = nodes_needed(rules, load.present)
    ahead = nodes_needed(rules, load.forecast) if isfinite(load.forecast) else 0
    wish = min(max(floor, ahead, rules.min_nodes), rules.max_nodes)
    kept = [
        (at_ms, nodes)
        for at_ms, nodes in state.wishes
        if nodes > wish and now_ms - at_ms < rules.cool_down_ms
    ]
    wishes = (*kept, (now_ms, wish))
    highest = wishes[0][1]
    nodes = state.nodes
    if wish > nodes:
        nodes = wish
    elif (nodes - highest) * BPS > rules.tolerance_bps * nodes or nodes > rules.max_nodes:
        nodes = min(highest, rules.max_nodes)
    if nodes == state.nodes:
        return Scale(nodes, wishes), None
    why = (
        f"nodes {state.nodes} → {nodes}: load {load.present:.2f} Erlangs needs {floor},"
        f" forecast {load.forecast:.2f} needs {ahead}, highest wish in"
        f" {rules.cool_down_ms} ms {highest}, limits {rules.min_nodes} to {rules.max_nodes}"
    )
    rule = Rule.SCALED_UP if nodes > state.nodes else Rule.SCALED_DOWN
    return Scale(nodes, wishes), Change(rule, why=why)
