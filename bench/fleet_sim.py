"""The fleet's claims on the simulator: every figure is of fixed seeds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import process_time

from walras.balance.rules import FleetRules
from walras.simulator.fleet import simulate
from walras.simulator.result import Result
from walras.simulator.scenario import SCENARIOS, Fault, Scenario
from walras.simulator.table import COLUMNS, cells

DEFAULT = "least_expected_delay"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be shown, what was found, and whether that is enough."""

    what: str
    found: str
    met: bool


def run() -> None:
    """Print the tables, then the claims; each is met or not."""
    claims: list[Claim] = []
    for part in (slow_nodes, antagonists, hobbled, ramp, sybil, dead_nodes, silent, large):
        claims += part()
    print("\nClaims\n")
    for claim in claims:
        print(f"{'met' if claim.met else 'NOT MET':8}{claim.what}: {claim.found}")


def compare(scenario: Scenario, *policies: str) -> dict[str, Result]:
    """Run and print a table."""
    print(f"\n{scenario.name}: {scenario.about}\n")
    widths = (24, 11, *[9] * (len(COLUMNS) - 2))
    rows = [COLUMNS]
    results = {}
    for policy in policies:
        results[policy] = simulate(scenario, policy)
        rows.append(cells(results[policy]))
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        print(first[0].ljust(first[1]) + "".join(cell.rjust(width) for cell, width in others))
    return results


def slow_nodes() -> Iterator[Claim]:
    """Load is of what the nodes can really do, slow ones at their own speed."""
    policies = (DEFAULT, "prequal", "least_request", "round_robin", "random")
    found = compare(SCENARIOS["slow-nodes"], *policies, "join_shortest_queue")
    ratio = found["least_request"].p999_ms / found[DEFAULT].p999_ms
    yield Claim("p99.9 of least_request ≥ 5 × the default's", f"{ratio:.1f} ×", ratio >= 5)
    lost = {name: found[name].timeouts for name in (DEFAULT, "round_robin", "random")}
    text = ", ".join(f"{name} {count:,}" for name, count in lost.items())
    met = not lost[DEFAULT] and bool(lost["round_robin"]) and bool(lost["random"])
    yield Claim("the default has no timeout; round_robin and random do", text, met)


def antagonists() -> Iterator[Claim]:
    """Load is of what is allocated, as in the paper."""
    yield from _against("antagonists")


def hobbled() -> Iterator[Claim]:
    """The harder reading: load is of what antagonists leave."""
    yield from _against("hobbled")


def _against(name: str) -> Iterator[Claim]:
    policies = (DEFAULT, "prequal", "least_request", "round_robin", "join_shortest_queue")
    found = compare(SCENARIOS[name], *policies)
    ideal = found[DEFAULT].p99_ms / found["join_shortest_queue"].p99_ms
    yield Claim(f"{name}: p99 ≤ 1.1 × join_shortest_queue's", f"{ideal:.2f} ×", ideal <= 1.1)
    other = found[DEFAULT].p99_ms / found["least_request"].p99_ms
    yield Claim(f"{name}: p99 ≤ 0.95 × least_request's", f"{other:.2f} ×", other <= 0.95)


def ramp() -> Iterator[Claim]:
    """Load is of what is allocated."""
    found = compare(SCENARIOS["ramp"], DEFAULT, "weighted_round_robin")
    ours, theirs = found[DEFAULT], found["weighted_round_robin"]
    text = f"{ours.timeouts + ours.errors:,} and {theirs.timeouts:,}"
    met = not ours.timeouts + ours.errors and bool(theirs.timeouts)
    yield Claim("load 0.75 → 1.14: no failure; weighted_round_robin times out", text, met)


def sybil() -> Iterator[Claim]:
    """An operator with 16 of 64 slots, split over 1 … 16 identities; then each claims them all."""
    shares = {}
    most = 0.0
    cap = 2_000
    print("\nsybil: the operator's share of the flow; capped: each identity claims all 16 slots\n")
    print(f"{'identities':>10}{'honest, no cap':>16}{f'claiming, cap {cap / 100:.0f} %':>24}")
    for identities in (1, 2, 4, 8, 16):
        split = replace(
            SCENARIOS["sybil"],
            nodes=identities + 12,
            groups=(identities, 3, 3, 3, 3),
            first_slots=(16 // identities,) * identities,
            seconds=25.0,
        )
        honest = replace(split, claims=1, rules=FleetRules())
        shares[identities] = simulate(honest, DEFAULT).groups[0]
        capped = simulate(replace(split, claims=identities), DEFAULT).groups
        most = max(most, *capped)
        print(f"{identities:>10}{shares[identities]:>16.4f}{capped[0]:>24.4f}")
    gain = max(shares.values()) - shares[1]
    yield Claim("split into 1 … 16 gains ≤ 2 % of the flow", f"{100 * gain:.2f} %", gain <= 0.02)
    yield Claim(
        "no group above cap + 2 %", f"{100 * most:.2f} %, cap 20 %", most <= cap / 1e4 + 0.02
    )


def dead_nodes() -> Iterator[Claim]:
    """Twelve of twenty nodes are silent from second 20 to 40."""
    scenario = SCENARIOS["dead-nodes"]
    fault = scenario.faults[0]
    result = compare(scenario, DEFAULT)[DEFAULT]
    panics = [move.at_s for move in result.moves if move.rule == "panic"]
    over = [move.at_s for move in result.moves if move.rule == "panic_over"]
    # The first seconds find out: two timeouts in a row eject a node.
    settled = [w for w in result.series if fault.from_s + 3 <= w.from_s < fault.until_s]
    lost = sum(w.failed for w in settled) / sum(w.calls for w in settled)
    yield Claim(
        "60 % dead: panic, calls go on",
        f"panic after {min(panics) - fault.from_s:.1f} s; then {100 * (1 - lost):.2f} % answered",
        len({move.router for move in result.moves if move.rule == "panic"}) == scenario.routers
        and lost < 0.02,
    )
    moved = [move.at_s for move in result.moves if move.node is not None]
    late = sum(w.failed for w in result.series if w.from_s > fault.until_s)
    yield Claim(
        "back to normal unaided",
        f"last panic over {max(over) - fault.until_s:.1f} s, last node back"
        f" {max(moved) - fault.until_s:.1f} s after they answer again; {late} failures",
        len(over) == len(panics) and not late,
    )


def silent() -> Iterator[Claim]:
    """With a timeout of a minute calls tell nothing in time: probes have to."""
    at, rules = 20.0, FleetRules()
    for name, timeout in (("probes alone", 60_000), ("calls and probes", 1_000)):
        scenario = replace(
            SCENARIOS["plain"],
            timeout_ms=timeout,
            load=0.5,
            faults=(Fault("silent", 1 / 16, at, at + 30),),
        )
        moves = simulate(scenario, DEFAULT).moves
        out = {
            move.router: move.at_s
            for move in reversed(moves)
            if move.rule == "consecutive_errors" and move.node == 15 and move.at_s > at
        }
        took = max(out.values()) - at
        intervals = took * 1_000 / rules.probe_interval_ms
        yield Claim(
            f"a silent node is ejected within 3 probe intervals ({name})",
            f"{took:.1f} s, {intervals:.2f} intervals",
            len(out) == scenario.routers and intervals <= 3,
        )


def large() -> Iterator[Claim]:
    """A thousand nodes."""
    scenario = SCENARIOS["large"]
    began = process_time()
    result = simulate(scenario, DEFAULT)
    took = process_time() - began
    rate = result.simulated / took
    print(f"\nlarge: {scenario.nodes:,} nodes, {result.simulated:,} calls in {took:.1f} s")
    # Every call is two events: it comes, and it ends.
    yield Claim(
        f"{scenario.nodes:,} nodes run at 50,000 calls/s or more",
        f"{rate:,.0f} calls/s, {2 * rate:,.0f} events/s",
        rate >= 50_000,
    )
