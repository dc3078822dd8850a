"""Calls as they arrive: from a rate that changes with time, or from a recorded trace."""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

from walras.core.errors import InvalidInput, Reason
from walras.simulator.chance import Stream, numbers
from walras.simulator.scenario import Scenario
from walras.simulator.service import Floats, unit
from walras.simulator.trace import Trace

MAX_CALLS = 20_000_000


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of a simulation; lists of one length.

    Attributes:
        at_us: ascending.
        work_us: on a free slot of a node of speed 1.
        router: who places it.
        key: of its shard.
    """

    at_us: list[int]
    work_us: list[float]
    router: list[int]
    key: list[bytes]


def generate(scenario: Scenario, capacity: float) -> Calls:
    """A renewal process in the scenario's load.

    Args:
        scenario: what is simulated.
        capacity: of the fleet: slots · speed, summed.

    Raises InvalidInput for more than 20 million calls.
    """
    edges, rate, work = _profile(scenario, capacity / scenario.service.mean_us)
    passed = np.concatenate(([0.0], np.cumsum(np.diff(edges) * rate)))
    expected = float(passed[-1])
    _bounded(expected)
    scv = scenario.arrival_scv
    count = ceil(expected + 8 * sqrt(expected * max(scv, 1.0)) + 8)
    gaps = unit("gamma", scv, numbers(scenario.seed, Stream.ARRIVALS), count)
    ticks = np.cumsum(gaps)
    at = np.interp(ticks[ticks < expected], passed, edges)
    needs = scenario.service.draw(numbers(scenario.seed, Stream.WORK), len(at))
    needs *= work[np.searchsorted(edges, at, side="right") - 1]
    return _placed(scenario, at, needs)


def of_trace(scenario: Scenario, trace: Trace) -> Calls:
    """The trace's calls; work that it does not give is drawn."""
    _bounded(len(trace.at_ms))
    at = np.array(trace.at_ms) * 1_000.0
    needs = scenario.service.draw(numbers(scenario.seed, Stream.WORK), len(at))
    if trace.cost_us:
        needs = np.array(trace.cost_us)
    calls = _placed(scenario, at, needs)
    if trace.key:
        calls = Calls(calls.at_us, calls.work_us, calls.router, list(trace.key))
    if not trace.region:
        return calls
    names = sorted(set(trace.region))
    if len(names) > scenario.regions:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"the trace names {len(names)} regions, the scenario has {scenario.regions}",
            hint="give --regions",
        )
    # Routers are spread over the regions in turn; a call stays in its region.
    each = max(1, scenario.routers // scenario.regions)
    router = [
        (drawn % each) * scenario.regions + names.index(name)
        for drawn, name in zip(calls.router, trace.region, strict=True)
    ]
    return Calls(calls.at_us, calls.work_us, router, calls.key)


def _bounded(calls: float) -> None:
    if calls > MAX_CALLS:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{calls:,.0f} calls are more than {MAX_CALLS:,}",
            hint="simulate less time, fewer nodes or longer calls",
        )


def _placed(scenario: Scenario, at: Floats, needs: Floats) -> Calls:
    count = len(at)
    routers = numbers(scenario.seed, Stream.ROUTERS).integers(scenario.routers, size=count)
    keys = numbers(scenario.seed, Stream.KEYS).integers(_SHARDS, size=count)
    names = [shard.to_bytes(2, "big") for shard in range(_SHARDS)]
    return Calls(
        np.rint(at).astype(np.int64).tolist(),
        np.maximum(needs, 1.0).tolist(),
        routers.tolist(),
        [names[key] for key in keys.tolist()],
    )


_SHARDS = 1_024
"""Keys that calls have where no trace says which."""


def _profile(scenario: Scenario, full: float) -> tuple[Floats, Floats, Floats]:
    """Edges in µs, and between them calls per µs and the factor of their work; `full` is the rate
    of load 1.
    """
    end = scenario.seconds * 1e6
    loads = scenario.ramp or (scenario.load,)
    steps = np.linspace(0.0, end, len(loads) + 1)
    cuts = {min(edge * 1e6, end) for s in scenario.shocks for edge in (s.at_s, s.at_s + s.for_s)}
    edges = np.array(sorted({*steps.tolist(), *cuts}))
    starts = edges[:-1]
    rate = full * np.array(loads)[np.searchsorted(steps, starts, side="right") - 1]
    work = np.ones(len(starts))
    for shock in scenario.shocks:
        during = (starts >= shock.at_s * 1e6) & (starts < (shock.at_s + shock.for_s) * 1e6)
        rate[during] *= shock.arrivals
        work[during] *= shock.work
    return edges, rate, work
