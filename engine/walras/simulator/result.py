"""What a simulation found."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from walras.balance.concentration import gini_bps, hhi_bps
from walras.balance.events import Outcome
from walras.balance.rules import BPS
from walras.simulator.arrivals import Calls

QUANTILES = (0.5, 0.9, 0.99, 0.999)
WINDOWS = 120
"""Equal parts of the time in which a series is given."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the time: what became of the calls that arrived in it."""

    from_s: float
    calls: int
    failed: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Moved:
    """The fleet changed by a rule, as a router saw it."""

    at_s: float
    router: int
    rule: str
    node: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """A policy in a scenario.

    Attributes:
        policy: its name.
        calls: those measured (after the warm-up); all that follows is of them.
        mean_ms … p999_ms: latency at the router of calls that were answered or timed out; one
            that timed out counts with the timeout.
        timeouts, errors: how many.
        max_queue: the most calls that waited at one node, warm-up included.
        top_share: of the node that got the most calls.
        hhi, gini: concentration of calls over nodes, 0 to 1.
        groups: the share of the calls of each operator group, if there are any.
        flow: calls of each node.
        latencies_ms: all of them, ascending.
        series: over time, warm-up included.
        moves: changes of the fleet by the rules.
        simulated: calls, warm-up included.
    """

    policy: str
    calls: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    timeouts: int
    errors: int
    max_queue: int
    top_share: float
    hhi: float
    gini: float
    groups: tuple[float, ...]
    flow: tuple[int, ...]
    latencies_ms: NDArray[np.float64]
    series: tuple[Window, ...]
    moves: tuple[Moved, ...]
    simulated: int


@dataclass(slots=True)
class Observed:
    """What is written down while a simulation runs: for each call its end, outcome and node."""

    latency_us: list[int]
    outcome: list[Outcome]
    node: list[int]
    moves: list[Moved]


def summarise(
    policy: str,
    calls: Calls,
    observed: Observed,
    *,
    warmup_us: float,
    end_us: float,
    max_queue: int,
    nodes: int,
    groups: tuple[int, ...],
) -> Result:
    """The figures of a run. All calls have ended."""
    at = np.array(calls.at_us, dtype=np.int64)
    latency = np.array(observed.latency_us, dtype=np.int64) / 1_000
    timeout = np.array([found is Outcome.TIMEOUT for found in observed.outcome], dtype=bool)
    error = np.array([found is Outcome.ERROR for found in observed.outcome], dtype=bool)
    measured = at >= warmup_us
    waited = np.sort(latency[measured & ~error])
    p50, p90, p99, p999 = _quantiles(waited)
    flow = np.bincount(np.array(observed.node, dtype=np.int64)[measured], minlength=nodes)
    counts = [int(count) for count in flow]
    total = max(1, sum(counts))
    flow_of = dict(enumerate(counts))
    ends = np.cumsum((0, *groups))
    return Result(
        policy=policy,
        calls=int(measured.sum()),
        mean_ms=float(waited.mean()) if len(waited) else 0.0,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        timeouts=int((timeout & measured).sum()),
        errors=int((error & measured).sum()),
        max_queue=max_queue,
        top_share=max(counts) / total,
        hhi=hhi_bps(flow_of) / BPS,
        gini=gini_bps(flow_of) / BPS,
        groups=tuple(sum(counts[a:b]) / total for a, b in itertools.pairwise(ends)),
        flow=tuple(counts),
        latencies_ms=waited,
        series=_series(at, latency, timeout | error, end_us),
        moves=tuple(observed.moves),
        simulated=len(at),
    )


def _quantiles(ascending: NDArray[np.float64]) -> tuple[float, ...]:
    if not len(ascending):
        return tuple(0.0 for _ in QUANTILES)
    return tuple(float(value) for value in np.quantile(ascending, QUANTILES))


def _series(
    at: NDArray[np.int64],
    latency: NDArray[np.float64],
    failed: NDArray[np.bool_],
    end_us: float,
) -> tuple[Window, ...]:
    edges = np.linspace(0.0, end_us, WINDOWS + 1)
    cuts = np.searchsorted(at, edges[1:-1])
    windows = []
    parts = zip(np.split(latency, cuts), np.split(failed, cuts), edges, strict=False)
    for waited, lost, start in parts:
        p50, p99 = np.quantile(waited, (0.5, 0.99)) if len(waited) else (0.0, 0.0)
        windows.append(
            Window(float(start) / 1e6, len(waited), int(lost.sum()), float(p50), float(p99))
        )
    return tuple(windows)
