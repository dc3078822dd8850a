"""Rates, moments and volatility on line, against what generated them."""

from math import exp, inf, log, nan, sqrt

import numpy as np
import pytest

from walras.balance.arrivals import Arrivals, Moments, Rate, Volatility
from walras.core.errors import InvalidInput, Reason


def test_a_young_rate_is_not_drawn_to_zero() -> None:
    rate = Rate(half_life=60.0, since=100.0)
    for at in range(101, 106):
        rate.add(float(at))
    assert rate.at(105.0) == pytest.approx(1.0, rel=0.03)


def test_an_old_event_counts_half_after_the_half_life() -> None:
    rate = Rate(half_life=10.0)
    rate.add(1_000.0, 50.0)  # so late that the weights of the time have their limit
    before = rate.at(1_000.0)
    assert before == pytest.approx(50 * log(2) / 10)
    assert rate.at(1_010.0) == pytest.approx(before / 2)


def test_no_time_no_rate() -> None:
    assert Rate(1.0).at(0.0) == 0
    rate = Rate(1.0, since=5.0)
    rate.add(5.0)
    assert rate.at(4.0) == 0  # a clock that goes back is taken as standing still


def test_arrivals_tell_poisson_from_a_clock() -> None:
    rng = np.random.default_rng(1)
    poisson, clock, bursts = (Arrivals(half_life=600.0) for _ in range(3))
    for at in np.cumsum(rng.exponential(0.5, 4_000)):
        poisson.add(float(at))
    for at in range(4_000):
        clock.add(at / 2)
    for at in np.cumsum(rng.gamma(0.25, 2.0, 8_000)):
        bursts.add(float(at))
    assert poisson.rate(2_000.0) == pytest.approx(2.0, rel=0.1)
    assert clock.rate(2_000.0) == pytest.approx(2.0, rel=0.01)
    assert clock.scv == pytest.approx(0.0, abs=1e-12)
    assert poisson.scv == pytest.approx(1.0, rel=0.15)
    assert bursts.scv == pytest.approx(4.0, rel=0.25)


def test_arrivals_of_which_little_is_known_are_poisson() -> None:
    arrivals = Arrivals(half_life=1.0)
    assert arrivals.scv == 1
    arrivals.add(1.0)
    arrivals.add(2.0)
    assert arrivals.scv == 1


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
    for made in (Rate, Moments, Arrivals, Volatility):
        with pytest.raises(InvalidInput) as caught:
            made(wrong)
        assert caught.value.reason is Reason.CONFIG_INVALID


@pytest.mark.parametrize("wrong", [nan, inf, -1.0])
def test_a_value_that_is_none_changes_nothing(wrong: float) -> None:
    moments, volatility, rate = Moments(10.0), Volatility(10.0), Rate(10.0)
    moments.add(0.0, 2.0)
    volatility.add(0.0, 2.0)
    for add in (moments.add, volatility.add, rate.add):
        with pytest.raises(InvalidInput) as caught:
            add(1.0, wrong)
        assert caught.value.reason is Reason.FIELD_INVALID
    with pytest.raises(InvalidInput):
        volatility.add(wrong, 1.0) if wrong != -1.0 else volatility.add(1.0, 0.0)
    moments.add(1.0, 2.0)
    volatility.add(1.0, 2.0)
    assert (moments.mean, volatility.hourly_bps) == (2, 0)
    assert rate.at(5.0) == 0
