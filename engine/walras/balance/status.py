"""How a node stands, for people."""

from dataclasses import dataclass
from enum import StrEnum

from walras.balance.node import Node
from walras.balance.queueing import expected_wait_us, utilisation_bps
from walras.balance.rules import BPS, FleetRules


class State(StrEnum):
    """The most important thing to say of a node."""

    HEALTHY = "healthy"
    WARMING = "warming"
    EJECTED = "ejected"
    BLOCKED = "blocked"
    DRAINING = "draining"
    UNBONDED = "unbonded"


@dataclass(frozen=True, slots=True)
class Status:
    """A node's standing in numbers.

    Attributes:
        state: in one word.
        why: a sentence; empty where there is nothing to explain.
        until_ms: how much longer, in ms, it is ejected, blocked or warming; 0 otherwise.
        service_us: estimate of what a call takes on a free slot.
        utilisation_bps: calls of late over what its slots can do, in 1/10,000.
        wait_us: mean wait for a slot that follows from these: `queueing.expected_wait_us`.
        rtt_us: the quorum's median of its round trip; 0 while there is none.
        probers: that saw an echo recently.
        calls, errors: that ended, all in all.
        call_errors, probe_errors: in a row.
        ejections: that lengthen the next one.
        blocks: likewise.
        fade_bps: smoothed share of broken promises.
        canary_miss_bps: smoothed share of missed canaries.
        canaries_found, canaries_missed: all in all.
        warmth_bps: how much of its weight it has.
        reported: calls in flight as it says.
        stake: its bond.
    """

    state: State
    why: str
    until_ms: int
    service_us: int
    utilisation_bps: int
    wait_us: int
    rtt_us: int
    probers: int
    calls: int
    errors: int
    call_errors: int
    probe_errors: int
    ejections: int
    blocks: int
    fade_bps: int
    canary_miss_bps: int
    canaries_found: int
    canaries_missed: int
    warmth_bps: int
    reported: int
    stake: int


def status_of(node: Node, now_ms: int, rules: FleetRules, cold_us: int) -> Status:
    """The status of a node that is there; `cold_us` is taken where it had no calls."""
    state, why, left = _state(node, now_ms, rules)
    ejection, breaker = node.ejection, node.breaker
    service_us = node.service.us or cold_us
    rate = node.arrivals.calls, node.arrivals.span_at(now_ms)
    slots = node.info.slots
    return Status(
        state=state,
        why=why,
        until_ms=left,
        service_us=service_us,
        utilisation_bps=utilisation_bps(slots, service_us, *rate),
        wait_us=expected_wait_us(slots, service_us, *rate, node.variation_bps),
        rtt_us=node.round_trip.us,
        probers=len(node.round_trip.seen),
        calls=node.calls,
        errors=node.errors,
        call_errors=ejection.call_errors,
        probe_errors=ejection.probe_errors,
        ejections=ejection.count,
        blocks=breaker.blocks,
        fade_bps=breaker.fades.bps,
        canary_miss_bps=node.canaries.bps,
        canaries_found=node.found,
        canaries_missed=node.missed,
        warmth_bps=node.warmth(now_ms, rules),
        reported=node.reported,
        stake=node.stake,
    )


def _state(node: Node, now_ms: int, rules: FleetRules) -> tuple[State, str, int]:
    if node.drained:
        return State.DRAINING, "taken out of service by an operator", 0
    if node.stake < rules.min_bond:
        return State.UNBONDED, f"its bond is {node.stake} atoms, {rules.min_bond} are needed", 0
    if node.breaker.until_ms is not None:
        left = max(0, node.breaker.until_ms - now_ms)
        fades = node.breaker.fades.bps
        return State.BLOCKED, f"for {left} ms more; broke {fades} of 10,000 promises", left
    if node.ejection.until_ms is not None:
        left = max(0, node.ejection.until_ms - now_ms)
        return State.EJECTED, f"for {left} ms more; ejection {node.ejection.count}", left
    left = max(0, rules.slow_start_ms - (now_ms - node.since_ms))
    if left:
        return State.WARMING, f"full weight in {left} ms", left
    missing = BPS - node.warmth(now_ms, rules)
    if node.ejection.failing(rules):
        return State.HEALTHY, "failing, but as many nodes are out as may be", 0
    return State.HEALTHY, f"{missing} of 10,000 of its weight off for canaries" * (missing > 0), 0
