"""Rates, moments and volatility on line, against what generated them."""

from math import exp, inf, log, nan, sqrt

import numpy as np
import pytest

from walras.balance.arrivals import MOST_SCV_BPS, Arrivals, Moments, Spread, Volatility
from walras.core.errors import InvalidInput, Reason

ONE = 1 << 16


def per_second(arrivals: Arrivals, now_ms: int) -> float:
    span = arrivals.span_at(now_ms)
    return 1_000 * arrivals.calls / span if span else 0.0


def test_arrivals_tell_poisson_from_a_clock_and_from_bursts() -> None:
    rng = np.random.default_rng(1)
    poisson, clock, bursts = Arrivals(), Arrivals(), Arrivals()
    seen: dict[str, list[int]] = {"poisson": [], "bursts": []}
    for at in np.cumsum(rng.exponential(200.0, 8_000)):
        poisson.add(int(at))
        seen["poisson"].append(poisson.scv_bps)
    for at in range(8_000):
        clock.add(at * 200)
    for at in np.cumsum(rng.gamma(0.25, 800.0, 8_000)):
        bursts.add(int(at))
        seen["bursts"].append(bursts.scv_bps)
    assert per_second(clock, 7_999 * 200) == pytest.approx(5.0, rel=1e-3)
    assert clock.scv_bps <= 1
    assert per_second(poisson, poisson.at_ms or 0) == pytest.approx(5.0, rel=0.25)
    assert np.mean(seen["poisson"][500:]) == pytest.approx(10_000, rel=0.1)
    assert np.mean(seen["bursts"][500:]) == pytest.approx(40_000, rel=0.15)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_calls_that_come_in_batches(batch: int) -> None:
    arrivals = Arrivals()
    for turn in range(60):
        arrivals.add(1_000 + 2_000 * turn, batch)
    now = arrivals.at_ms or 0
    assert per_second(arrivals, now) == pytest.approx(batch / 2, rel=1e-3)
    assert arrivals.scv_bps == pytest.approx(10_000 * (batch - 1), abs=2)
    # One by one is the same as at once.
    single = Arrivals()
    for turn in range(60):
        for _ in range(batch):
            single.add(1_000 + 2_000 * turn)
    assert per_second(single, now) == pytest.approx(per_second(arrivals, now), rel=0.02)


def test_a_rate_falls_while_nobody_calls_and_follows_a_change() -> None:
    arrivals = Arrivals()
    for turn in range(100):
        arrivals.add(turn * 1_000)
    assert per_second(arrivals, 99_000) == pytest.approx(1.0, rel=1e-3)
    assert per_second(arrivals, 99_000 + 30_000) == pytest.approx(0.5, rel=0.05)
    for turn in range(600):
        arrivals.add(100_000 + turn * 100)
    assert per_second(arrivals, 160_000) == pytest.approx(
        9.0, rel=0.1
    )  # a minute after 1 became 10
    arrivals.add(10**9)
    assert per_second(arrivals, 10**9) < 0.01


def test_arrivals_of_which_little_is_known_are_poisson_and_have_no_rate() -> None:
    arrivals = Arrivals()
    assert (arrivals.scv_bps, arrivals.span_at(5)) == (10_000, 0)
    arrivals.add(1_000, 3)
    assert (arrivals.calls, arrivals.scv_bps, arrivals.span_at(9_000)) == (0, 10_000, 0)
    arrivals.add(1_010)
    assert (arrivals.scv_bps, arrivals.span_at(9_000)) == (10_000, 0)
    arrivals.add(1_020)
    arrivals.add(1_030)
    assert arrivals.span_at(1_030) == pytest.approx(30 * ONE, rel=1e-2)


def test_no_time_passed_between_calls() -> None:
    arrivals = Arrivals()
    for _ in range(5):
        arrivals.add(7, 2)
    assert (arrivals.span_at(7), arrivals.scv_bps) == (0, 10_000)


def test_service_times_and_their_spread() -> None:
    rng = np.random.default_rng(2)
    steady, varied, found = Spread(), Spread(), []
    assert steady.scv_bps == 10_000
    steady.add(40_000)
    assert steady.scv_bps == 10_000
    for sample in rng.gamma(2.0, 20_000.0, 4_000):
        steady.add(40_000)
        varied.add(int(sample))
        found.append(varied.scv_bps)
    assert steady.scv_bps <= 1
    assert np.mean(found[200:]) == pytest.approx(5_000, rel=0.1)
    varied.add(10**12)
    assert varied.scv_bps > 500_000
    rare = Spread()
    for sample_us in [0] * 300 + [10**18]:
        rare.add(sample_us)
    assert rare.scv_bps <= MOST_SCV_BPS


def test_moments_without_forgetting_are_the_sample_s() -> None:
    values = np.random.default_rng(2).gamma(2.0, 3.0, 500)
    moments = Moments(half_life=1e12)
    for at, value in enumerate(values):
        moments.add(float(at), float(value))
    assert moments.mean == pytest.approx(values.mean())
    assert moments.variance == pytest.approx(values.var())
    assert moments.scv == pytest.approx(values.var() / values.mean() ** 2)


def test_moments_forget() -> None:
    moments = Moments(half_life=5.0)
    for at in range(100):
        moments.add(float(at), 1.0)
    for at in range(100, 200):
        moments.add(float(at), 9.0)
    assert moments.mean == pytest.approx(9.0, rel=1e-4)
    assert moments.scv < 1e-4


def test_nothing_seen_says_nothing() -> None:
    moments = Moments(1.0)
    assert (moments.mean, moments.variance, moments.scv) == (0, 0, 0)
    moments.add(0.0, 0.0)
    assert moments.scv == 0


def test_volatility_is_that_of_the_walk_however_it_is_sampled() -> None:
    rng = np.random.default_rng(3)
    hourly = 0.02
    for gaps in (np.full(5_000, 10.0), rng.exponential(10.0, 5_000)):
        volatility, at, level = Volatility(half_life=1e9), 0.0, 0.0
        for gap in gaps:
            at += gap
            level += hourly * sqrt(gap / 3_600) * rng.standard_normal()
            volatility.add(at, exp(level))
        assert volatility.hourly_bps == pytest.approx(200, rel=0.05)


def test_volatility_forgets_a_shock() -> None:
    volatility = Volatility(half_life=60.0)
    volatility.add(0.0, 100.0)
    assert volatility.hourly_bps == 0
    volatility.add(10.0, 110.0)
    shocked = volatility.hourly_bps
    assert shocked == int(10_000 * log(1.1) * sqrt(360))
    for at in range(20, 2_000, 10):
        volatility.add(float(at), 110.0)
    assert volatility.hourly_bps < shocked / 100


def test_two_prices_at_once_are_the_later_one() -> None:
    volatility = Volatility(half_life=60.0)
    volatility.add(0.0, 100.0)
    volatility.add(0.0, 50.0)
    volatility.add(10.0, 50.0)
    assert volatility.hourly_bps == 0


@pytest.mark.parametrize("wrong", [0.0, -1.0, nan, inf])
def test_a_half_life_is_positive(wrong: float) -> None:
    for made in (Moments, Volatility):
        with pytest.raises(InvalidInput) as caught:
            made(wrong)
        assert caught.value.reason is Reason.CONFIG_INVALID


@pytest.mark.parametrize("wrong", [nan, inf, -1.0])
def test_a_value_that_is_none_changes_nothing(wrong: float) -> None:
    moments, volatility = Moments(10.0), Volatility(10.0)
    moments.add(0.0, 2.0)
    volatility.add(0.0, 2.0)
    for add in (moments.add, volatility.add):
        with pytest.raises(InvalidInput) as caught:
            add(1.0, wrong)
        assert caught.value.reason is Reason.FIELD_INVALID
    with pytest.raises(InvalidInput):
        volatility.add(wrong, 1.0) if wrong != -1.0 else volatility.add(1.0, 0.0)
    moments.add(1.0, 2.0)
    volatility.add(1.0, 2.0)
    assert (moments.mean, volatility.hourly_bps) == (2, 0)
