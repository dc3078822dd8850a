"""Waiting for one of several servers: how long, and how many servers it takes.

A node is a queue with as many servers as it has slots, a fleet one with all of its slots. Load is
in Erlangs: arrivals per unit of time × mean service, the servers that are busy on average. Times
come out in the unit of the mean service. Floats, for planning; but for `expected_wait_us`: picks
hang on it, and an auditor computes it again.

Symbols: c servers, a load in Erlangs, S mean service, C²ₐ and C²ₛ squared coefficients of
variation (variance over squared mean: 0 constant, 1 exponential) of times between arrivals and of
service.
"""

from functools import lru_cache
from math import ceil, erf, exp, inf, isfinite, pi, sqrt

from walras.balance.rules import BPS
from walras.core.errors import InvalidInput, Reason

MAX_SERVERS = 1_000_000
MOST_WAIT_US = 1 << 40
"""Some twelve days: there is no end to a wait."""

_MOST_SLOTS = 256
_ONE = 1 << 48


def erlang_b(servers: int, load: float) -> float:
    """Probability that an arrival finds all servers busy and is lost, M/G/c/c; O(c).

    B(0) = 1, B(k) = aB(k−1) / (k + aB(k−1)), which neither overflows nor cancels.

    Args:
        servers: 0 to 1,000,000.
        load: Erlangs, ≥ 0.

    Raises:
        InvalidInput: FIELD_INVALID.

    Source: Jagerman, Some Properties of the Erlang Loss Function, BSTJ 53 (1974).
    """
    _check(servers, load, least=0)
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Probability that an arrival waits, M/M/c: B / (1 − a/c · (1 − B)); 1 where a ≥ c. O(c).

    Args:
        servers: 1 to 1,000,000.
        load: Erlangs, ≥ 0.

    Raises:
        InvalidInput: FIELD_INVALID.

    Source: Cooper, Introduction to Queueing Theory, 2nd ed. (1981), §3.4.
    """
    _check(servers, load)
    return _delayed(erlang_b(servers, load), servers, load)


def allen_cunneen(
    servers: int,
    load: float,
    service: float = 1.0,
    arrival_scv: float = 1.0,
    service_scv: float = 1.0,
) -> float:
    """Mean wait before service, G/G/c: C(c, a) · S / (c − a) · (C²ₐ + C²ₛ) / 2; ∞ where a ≥ c.

    Exact for M/M/c and M/G/1. Close in heavy traffic; too high where arrivals are much steadier
    than Poisson and servers are many: see `waiting_time`.

    Args:
        servers: 1 to 1,000,000.
        load: Erlangs, ≥ 0.
        service: mean, > 0, in any unit of time.
        arrival_scv: C²ₐ ≥ 0.
        service_scv: C²ₛ ≥ 0.

    Returns:
        In the unit of `service`.

    Raises:
        InvalidInput: FIELD_INVALID.

    Source: Allen, Probability, Statistics, and Queueing Theory, 2nd ed. (1990), ch. 5.
    """
    _check(servers, load)
    _check_times(service, arrival_scv, service_scv)
    if load >= servers:
        return inf
    delayed = erlang_c(servers, load)
    return delayed * service / (servers - load) * (arrival_scv + service_scv) / 2


def waiting_time(
    servers: int,
    load: float,
    service: float = 1.0,
    arrival_scv: float = 1.0,
    service_scv: float = 1.0,
) -> float:
    """`allen_cunneen`, corrected where a coefficient of variation is below 1.

    Between M/M/c, M/D/c and D/M/c, whose waits W are known well, by Kimura's interpolation

        (C²ₐ + C²ₛ) / ((1 − C²ₐ)/W(D/M/c) + (1 − C²ₛ)/W(M/D/c) + 2(C²ₐ + C²ₛ − 1)/W(M/M/c)),

    the first two as W(M/M/c)/2 times the corrections φ₃ and φ₁ of Cosmetatos and of Krämer and
    Langenbach-Belz. What a coefficient is above 1 adds to the wait as it does in `allen_cunneen`.

    Sources: Kimura, A Two-Moment Approximation for the Mean Waiting Time in the GI/G/s Queue,
    Management Science 32 (1986); Whitt, Approximations for the GI/G/m Queue, POM 2 (1993), §2.
    """
    _check_times(service, arrival_scv, service_scv)
    markovian = allen_cunneen(servers, load, service)
    if not 0 < markovian < inf:
        return markovian
    rho = load / servers
    gamma = (1 - rho) * (servers - 1) * (sqrt(4 + 5 * servers) - 2) / (16 * servers * rho)
    gamma = min(0.24, gamma)
    constant_service = 1 + gamma
    # It vanishes under light load, where nobody waits anyway; the floor keeps it a divisor.
    constant_arrivals = max(1e-12, (1 - 4 * gamma) * exp(-2 * (1 - rho) / (3 * rho)))
    less_a, less_s = max(0.0, 1 - arrival_scv), max(0.0, 1 - service_scv)
    together = 2 - less_a - less_s
    interpolated = together / (
        less_a / constant_arrivals + less_s / constant_service + 1 - less_a - less_s
    )
    above = max(0.0, arrival_scv - 1) + max(0.0, service_scv - 1)
    return markovian * (interpolated + above) / 2


def expected_wait_us(
    slots: int, service_us: int, calls: int, span_ms: int, variation_bps: int
) -> int:
    """What a call may expect to wait for a slot of its node: Allen–Cunneen in integers, as picks
    hang on it; `MOST_WAIT_US` where calls come faster than they are served.

    With more than 256 slots, as if there were 256 that are quicker in proportion, which errs on the
    side of waiting. Within 10^-6, or a microsecond, of `allen_cunneen`. O(slots).

    Args:
        slots: ≥ 1.
        service_us: mean service on a slot, ≥ 1.
        calls: that come in `span_ms`, ≥ 0; both in any common scale.
        span_ms: ≥ 0; 0: nothing is known of them, and no wait expected.
        variation_bps: C²ₐ + C²ₛ, in 1/10,000, ≥ 0.
    """
    if not span_ms:
        return 0
    servers = min(slots, _MOST_SLOTS)
    load = calls * service_us * servers * _ONE // (span_ms * 1_000 * slots)
    free = servers * _ONE - load
    if free <= 0:
        return MOST_WAIT_US
    blocked = _ONE
    for count in range(1, servers + 1):
        busy = load * blocked // _ONE
        blocked = busy * _ONE // (count * _ONE + busy)
    delayed = blocked * servers * _ONE // (servers * _ONE - load * (_ONE - blocked) // _ONE)
    wait_us = delayed * service_us * servers * variation_bps // (2 * BPS * free * slots)
    return min(wait_us, MOST_WAIT_US)


def utilisation_bps(slots: int, service_us: int, calls: int, span_ms: int) -> int:
    """Load over slots, in 1/10,000, rounded down; arguments as `expected_wait_us`."""
    return calls * service_us * BPS // (span_ms * 1_000 * slots) if span_ms else 0


def delay_probability(beta: float) -> float:
    """Limit of Erlang C for many servers, c = a + β√a: 1 / (1 + β Φ(β) / φ(β)), β > 0.

    Source: Halfin and Whitt, Heavy-Traffic Limits for Queues with Many Exponential Servers,
    Operations Research 29 (1981), Proposition 1.
    """
    if beta > 30:  # φ(β) is about to underflow; the limit is below 10^-190
        return 0.0
    normal = (1 + erf(beta / sqrt(2))) / 2
    return 1 / (1 + beta * normal * sqrt(2 * pi) * exp(beta * beta / 2))


@lru_cache(maxsize=16)
def safety(delay: float) -> float:
    """β whose `delay_probability` is `delay`, within (0, 1); by bisection.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    _check_delay(delay)
    low, high = 0.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if delay_probability(middle) > delay else (low, middle)
    return high


def square_root_staffing(load: float, delay: float) -> int:
    """Servers with which about `delay` of all arrivals wait: ⌈a + β√a⌉, at least 1. O(1).

    Args:
        load: Erlangs, 0 to 900,000.
        delay: probability, within (0, 1).

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    beta = safety(delay)
    _check(1, load)
    return max(1, ceil(load + beta * sqrt(load)))


def _delayed(blocked: float, servers: int, load: float) -> float:
    if load >= servers:
        return 1.0
    return blocked / (1 - load / servers * (1 - blocked))


def _check(servers: int, load: float, least: int = 1) -> None:
    if not (least <= servers <= MAX_SERVERS and isfinite(load) and load >= 0):
        raise InvalidInput(Reason.FIELD_INVALID, "no such queue", servers=servers, load=load)


def _check_times(service: float, arrival_scv: float, service_scv: float) -> None:
    positive = isfinite(service) and service > 0
    if not (positive and 0 <= arrival_scv < inf and 0 <= service_scv < inf):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "a mean service must be positive and coefficients of variation not negative",
            service=service,
            arrival_scv=arrival_scv,
            service_scv=service_scv,
        )


def _check_delay(delay: float) -> None:
    if not 0 < delay < 1:
        raise InvalidInput(
            Reason.FIELD_INVALID, "a probability of delay is within (0, 1)", delay=delay
        )
