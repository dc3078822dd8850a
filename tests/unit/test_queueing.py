"""Waiting and staffing, against closed forms, published tables and simulation."""

from collections.abc import Callable
from itertools import count
from math import exp, factorial, inf, nan

import pytest

from walras.balance.queueing import (
    MAX_SERVERS,
    MOST_WAIT_US,
    allen_cunneen,
    delay_probability,
    erlang_b,
    erlang_c,
    expected_wait_us,
    safety,
    square_root_staffing,
    utilisation_bps,
    waiting_time,
)
from walras.core.errors import InvalidInput, Reason
from walras.simulator import queue


def direct_b(servers: int, load: float) -> float:
    terms = [load**k / factorial(k) for k in range(servers + 1)]
    return terms[-1] / sum(terms)


@pytest.mark.parametrize("servers", [0, 1, 2, 5, 20, 60])
@pytest.mark.parametrize("load", [0.0, 0.3, 1.0, 7.5, 40.0])
def test_erlang_b_is_its_sum(servers: int, load: float) -> None:
    assert erlang_b(servers, load) == pytest.approx(direct_b(servers, load), rel=1e-12)


@pytest.mark.parametrize(
    ("servers", "blocking", "load"),
    # Offered load in Erlangs at a grade of service, as every traffic table prints it.
    [
        (1, 0.01, 0.0101),
        (5, 0.01, 1.361),
        (10, 0.01, 4.461),
        (20, 0.01, 12.03),
        (100, 0.01, 84.06),
        (5, 0.001, 0.762),
        (10, 0.001, 3.092),
        (10, 0.05, 6.216),
        (50, 0.02, 40.26),
    ],
)
def test_erlang_b_is_the_traffic_table(servers: int, blocking: float, load: float) -> None:
    assert erlang_b(servers, load) == pytest.approx(blocking, rel=0.01)


def test_erlang_c_is_known_where_it_is_simple() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)  # M/M/1: the load
    assert erlang_c(2, 1.2) == pytest.approx(1.2**2 / (2 + 1.2))  # M/M/2: a²/(2 + a)
    assert erlang_c(3, 2.0) == pytest.approx(4 / 9)
    assert erlang_c(5, 0.0) == 0
    assert erlang_c(4, 4.0) == erlang_c(4, 9.0) == 1


def test_many_servers_neither_overflow_nor_lose_all_digits() -> None:
    assert erlang_b(10_000, 9_000.0) == pytest.approx(0.0, abs=1e-20)
    assert 0.2 < erlang_c(100_000, 100_000 - 300.0) < 0.3


def test_one_server_is_pollaczek_khinchine() -> None:
    # E[W] = a S (1 + C²) / (2 (1 − a))
    for load in (0.1, 0.5, 0.9, 0.99):
        for scv in (0.0, 0.5, 1.0, 4.0):
            exact = load * 3.0 * (1 + scv) / (2 * (1 - load))
            assert allen_cunneen(1, load, 3.0, 1.0, scv) == pytest.approx(exact)


def test_exponential_times_are_exact_in_both() -> None:
    # M/M/2: W = S a²/(4 − a²)
    assert allen_cunneen(2, 1.5, 2.0) == pytest.approx(2.0 * 2.25 / (4 - 2.25))
    assert waiting_time(2, 1.5, 2.0) == pytest.approx(2.0 * 2.25 / (4 - 2.25))


def test_constant_arrivals_are_close_to_exact() -> None:
    # D/M/1: W = σ/(1 − σ), σ = exp(−(1 − σ)/a).
    sigma = 0.5
    for _ in range(10_000):
        sigma = exp(-(1 - sigma) / 0.9)
    exact = sigma / (1 - sigma)
    assert waiting_time(1, 0.9, 1.0, 0.0, 1.0) == pytest.approx(exact, rel=0.01)
    assert allen_cunneen(1, 0.9, 1.0, 0.0, 1.0) > 1.05 * exact


def test_no_chance_no_wait_and_no_room_no_end() -> None:
    assert waiting_time(3, 2.9, 1.0, 0.0, 0.0) == 0
    assert waiting_time(3, 0.0) == 0
    assert waiting_time(3, 3.0) == allen_cunneen(3, 5.0) == inf


@pytest.mark.parametrize(("servers", "arrival_scv", "service_scv"), [(4, 1, 0.5), (4, 0.5, 0.5)])
def test_it_is_what_a_queue_does(servers: int, arrival_scv: float, service_scv: float) -> None:
    simulated = queue.waiting_time(servers, 0.8, arrival_scv, service_scv, 200_000, 1)
    wait = waiting_time(servers, 0.8 * servers, 1.0, arrival_scv, service_scv)
    assert wait == pytest.approx(simulated, rel=0.1)


def test_integers_say_what_floats_say() -> None:
    for slots in (1, 2, 16, 256):
        for share in (0.01, 0.5, 0.9, 0.999):
            for variation_bps in (0, 3_000, 20_000, 90_000):
                calls, service_us = 40_000, 70_000
                span_ms = round(calls * service_us / 1_000 / slots / share)
                load = calls * service_us / 1_000 / span_ms
                exact = allen_cunneen(slots, load, service_us, variation_bps / 10_000, 0.0)
                found = expected_wait_us(slots, service_us, calls, span_ms, variation_bps)
                assert found == pytest.approx(exact, rel=1e-6, abs=2.0)
                assert utilisation_bps(slots, service_us, calls, span_ms) == int(
                    10_000 * load / slots
                )


def test_where_there_is_no_end_and_where_nothing_is_known() -> None:
    assert expected_wait_us(4, 1_000, 4, 1, 20_000) == MOST_WAIT_US  # four slots, four Erlangs
    assert expected_wait_us(4, 1_000, 9, 1, 0) == MOST_WAIT_US
    assert expected_wait_us(1, 1 << 60, 1, (1 << 50) + 1, 20_000) == MOST_WAIT_US
    assert expected_wait_us(4, 1_000, 0, 1, 20_000) == 0
    assert expected_wait_us(4, 1_000, 9, 0, 20_000) == utilisation_bps(4, 1_000, 9, 0) == 0


def test_more_slots_than_are_counted_err_on_the_side_of_waiting() -> None:
    counted = expected_wait_us(256, 1_000, 255_000, 1_000, 20_000)
    for slots in (257, 1_000, (1 << 32) - 1):
        calls = 255_000 * slots // 256
        found = expected_wait_us(slots, 1_000, calls, 1_000, 20_000)
        assert found == pytest.approx(counted * 256 / slots, rel=0.01, abs=1)
        if slots < 2_000:
            assert found + 1 >= allen_cunneen(slots, calls / 1_000, 1_000.0)


def test_halfin_whitt_is_the_limit_of_erlang_c() -> None:
    for beta in (0.2, 1.0, 2.0):
        load = 200_000.0
        servers = round(load + beta * load**0.5)
        assert erlang_c(servers, load) == pytest.approx(delay_probability(beta), rel=0.01)
    assert delay_probability(1e-9) == pytest.approx(1)
    assert delay_probability(31) == 0


def test_safety_inverts_the_limit() -> None:
    # β from Halfin and Whitt's function: P(wait) = 1/2 at β ≈ 0.506, 0.2 at β ≈ 1.06.
    assert safety(0.5) == pytest.approx(0.506, abs=1e-3)
    assert safety(0.2) == pytest.approx(1.062, abs=1e-3)
    for delay in (1e-9, 0.01, 0.7, 0.999):
        assert delay_probability(safety(delay)) == pytest.approx(delay, rel=1e-9)


def test_square_root_staffing_is_one_off_at_most() -> None:
    for load in (1.0, 5.0, 50.0, 300.0):
        for delay in (0.05, 0.2, 0.5):
            exact = next(c for c in count(1) if c > load and erlang_c(c, load) <= delay)
            assert abs(square_root_staffing(load, delay) - exact) <= 1, (load, delay)
    assert square_root_staffing(0.0, 0.2) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: erlang_b(-1, 1.0),
        lambda: erlang_b(MAX_SERVERS + 1, 1.0),
        lambda: erlang_c(0, 1.0),
        lambda: erlang_c(1, -0.1),
        lambda: erlang_c(1, nan),
        lambda: erlang_c(1, inf),
        lambda: allen_cunneen(1, 0.5, 0.0),
        lambda: allen_cunneen(1, 0.5, nan),
        lambda: allen_cunneen(1, 0.5, 1.0, -1.0),
        lambda: waiting_time(1, 0.5, 1.0, 1.0, inf),
        lambda: safety(0.0),
        lambda: safety(nan),
        lambda: square_root_staffing(-1.0, 0.2),
        lambda: square_root_staffing(1.0, 1.0),
    ],
)
def test_what_is_no_queue_is_refused(wrong: Callable[[], float]) -> None:
    with pytest.raises(InvalidInput) as caught:
        wrong()
    assert caught.value.reason is Reason.FIELD_INVALID
