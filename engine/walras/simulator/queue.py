"""Waiting in a queue of c servers, by simulation: what formulas are held against."""

from heapq import heapreplace

import numpy as np

from walras.core.errors import InvalidInput, Reason
from walras.simulator.chance import Stream, numbers
from walras.simulator.service import Floats, Kind, unit

WARM_UP = 10
"""One call in so many, at the start, is left out: the queue begins empty."""


def waiting_time(
    c: int,
    load: float,
    arrival_scv: float,
    service_scv: float,
    calls: int,
    seed: int,
    *,
    service: Kind = "gamma",
) -> float:
    """Mean wait before service in G/G/c, first come first served, in units of mean service.

    Times between arrivals are gamma (exponential for scv 1, fixed for 0), as are service times if
    `service` does not say otherwise.

    Args:
        c: servers, ≥ 1.
        load: arrival rate · mean service / c, in (0, 1).
        arrival_scv: squared coefficient of variation of the times between arrivals.
        service_scv: of the service times.
        calls: how many are simulated, ≥ 100; the first tenth does not count.
        seed: the same seed, the same result.
        service: distribution of the service times.

    Raises InvalidInput. Source: Lindley 1952 for c = 1, Kiefer and Wolfowitz 1955 for any c.
    """
    if c < 1 or not 0 < load < 1 or calls < 100:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"a queue has servers, a load in (0, 1) and at least 100 calls: {c}, {load}, {calls}",
            hint="with a load of 1 or more the wait has no bound",
        )
    gaps = unit("gamma", arrival_scv, numbers(seed, Stream.ARRIVALS), calls) / (load * c)
    work = unit(service, service_scv, numbers(seed, Stream.WORK), calls)
    waits = _one_server(gaps, work) if c == 1 else _servers(c, gaps, work)
    return float(np.mean(waits[calls // WARM_UP :]))


def _one_server(gaps: Floats, work: Floats) -> Floats:
    """Lindley: W(n) = max(0, W(n−1) + S(n−1) − T(n)), as a walk less its lowest point so far."""
    walk = np.concatenate(([0.0], np.cumsum(work[:-1] - gaps[1:])))
    waits: Floats = walk - np.minimum.accumulate(walk)
    return waits


def _servers(c: int, gaps: Floats, work: Floats) -> Floats:
    """Kiefer–Wolfowitz: a call takes the server that is free first."""
    free = [0.0] * c
    waits = []
    for now, takes in zip(np.cumsum(gaps).tolist(), work.tolist(), strict=True):
        start = free[0]
        start = max(start, now)
        heapreplace(free, start + takes)
        waits.append(start - now)
    return np.array(waits)
