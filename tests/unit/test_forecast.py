"""Forecasts: what they learn, how they are corrected, which is chosen."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from math import inf, nan

import numpy as np
import pytest

from walras.core.errors import InvalidInput, Reason
from walras.datasets import traces
from walras.fleet.forecast import (
    CANDIDATES,
    AdaptiveForecaster,
    Conformal,
    Forecaster,
    ForecastRules,
)
from walras.fleet.lags import depth, find_period, matrix, season
from walras.fleet.regressors import Linear, Persistence, Regressor, Trees

PURE: Mapping[str, Callable[[], Regressor]] = {"persistence": Persistence, "linear": Linear}
RULES = ForecastRules(horizons=(4,), quantiles=(0.9,))


def forecasts(
    values: np.ndarray,
    rules: ForecastRules = RULES,
    candidates: Mapping[str, Callable[[], Regressor]] = PURE,
    features: np.ndarray | None = None,
) -> tuple[np.ndarray, AdaptiveForecaster]:
    """What is forecast after each value for 4 intervals later, at 0.9."""
    forecaster = AdaptiveForecaster(rules, candidates)
    found = []
    for at, value in enumerate(values):
        forecaster.observe(float(value), () if features is None else (float(features[at]),))
        found.append(forecaster.predict(4, 0.9))
    return np.array(found), forecaster


def coverage(values: np.ndarray, found: np.ndarray, first: int) -> float:
    return float(np.mean(values[first + 4 :] <= found[first:-4]))


def test_it_is_a_forecaster() -> None:
    made: Forecaster = AdaptiveForecaster(ForecastRules())
    made.observe(3.0)
    assert made.predict(1, 0.95) == pytest.approx(3.0)  # nothing is known but this


@pytest.mark.parametrize("name", ["diurnal", "bursty", "random_walk", "white_noise"])
def test_as_many_values_are_above_as_the_quantile_says(name: str) -> None:
    values = traces.generate(name, 1_200, 5)
    found, _ = forecasts(values)
    assert coverage(values, found, 300) == pytest.approx(0.9, abs=0.035)


def test_a_season_is_seen_and_used() -> None:
    values = traces.generate("diurnal", 1_400, 1)
    found, forecaster = forecasts(values)
    assert forecaster.chosen(4, 0.9) == "linear"
    losses = forecaster.losses(4, 0.9)
    assert losses["linear"] < 0.75 * losses["persistence"]
    alone, _ = forecasts(values, candidates={"persistence": Persistence})
    assert found[600:].mean() < alone[600:].mean()


def test_the_guard_takes_over_when_the_regression_fails() -> None:
    values = np.concatenate((traces.generate("diurnal", 1_000, 1), np.full(300, 5_000.0)))
    forecaster = AdaptiveForecaster(RULES, PURE)
    chosen = []
    for value in values:
        forecaster.observe(float(value))
        chosen.append(forecaster.chosen(4, 0.9))
    assert chosen[999] == "linear"
    assert "persistence" in chosen[1_000:1_048]


def test_without_history_persistence_is_used() -> None:
    _, forecaster = forecasts(traces.generate("diurnal", 100, 1))
    assert forecaster.chosen(4, 0.9) == "persistence"


def test_a_feature_that_leads_is_used() -> None:
    rng = np.random.default_rng(4)
    volatility = np.repeat(rng.choice([0.0, 1.0], 400, p=[0.8, 0.2]), 4)
    # Load follows volatility four intervals later.
    level = 300 * (1 + 2 * np.concatenate((np.zeros(4), volatility[:-4])))
    values = rng.poisson(level).astype(float)
    _, blind = forecasts(values)
    _, seeing = forecasts(values, features=volatility)
    assert seeing.losses(4, 0.9)["linear"] < 0.3 * blind.losses(4, 0.9)["linear"]


@pytest.mark.skipif(not Trees.available, reason="needs scikit-learn: pip install walras[forecast]")
def test_trees_find_what_a_line_cannot() -> None:
    rng = np.random.default_rng(6)
    feature = rng.random(900)
    # Busy only in the middle of the feature's range: no straight line sees that.
    level = np.where(np.abs(feature - 0.5) < 0.15, 900.0, 300.0)
    values = np.concatenate((np.full(4, 300.0), rng.poisson(level).astype(float)[:-4]))
    found, forecaster = forecasts(values, candidates=CANDIDATES, features=feature)
    assert forecaster.chosen(4, 0.9) == "trees"
    losses = forecaster.losses(4, 0.9)
    assert losses["trees"] < 0.5 * losses["linear"]
    assert coverage(values, found, 300) == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("candidates", [PURE, CANDIDATES], ids=["pure", "all"])
def test_the_same_values_give_the_same_forecasts(
    candidates: Mapping[str, Callable[[], Regressor]],
) -> None:
    values = traces.generate("diurnal_bursty", 350, 3)
    first, _ = forecasts(values, candidates=candidates)
    again, _ = forecasts(values, candidates=candidates)
    assert np.array_equal(first, again)


def test_old_values_are_forgotten() -> None:
    values = traces.generate("diurnal", 900, 2)
    rules = ForecastRules(horizons=(4,), quantiles=(0.9,), window=600)
    other = values.copy()
    other[:100] *= 1.5
    first, _ = forecasts(values, rules, {"persistence": Persistence})
    again, _ = forecasts(other, rules, {"persistence": Persistence})
    assert first[99] != again[99]
    forecaster = AdaptiveForecaster(rules, PURE)
    for value in values:
        forecaster.observe(float(value))
    assert len(forecaster._values) == 600
    assert forecaster._first == 300


def test_the_correction_keeps_the_quantile_whatever_the_errors_do() -> None:
    rng = np.random.default_rng(8)
    for scale in (lambda at: 1.0, lambda at: 1.0 + at / 500, lambda at: 1 + (at // 500) % 2 * 4):
        conformal = Conformal(0.9, scores=300, step=0.02)
        missed = 0
        for at in range(4_000):
            error = float(scale(at) * rng.standard_normal())
            miss = error > conformal.correction()
            missed += miss
            conformal.learn(error, missed=miss)
        assert missed / 4_000 == pytest.approx(0.1, abs=0.01)


def test_the_correction_is_the_worst_error_while_few_are_known() -> None:
    conformal = Conformal(0.95, scores=10, step=0.001)
    assert conformal.correction() == 0
    for error in (1.0, 3.0, 2.0):
        conformal.learn(error, missed=False)
    assert conformal.correction() == 3


@pytest.mark.parametrize("wrong", [nan, inf, -1.0])
def test_a_value_that_is_none_is_refused_and_changes_nothing(wrong: float) -> None:
    forecaster = AdaptiveForecaster(RULES, PURE)
    forecaster.observe(5.0, (1.0,))
    before = forecaster.predict(4, 0.9)
    for value, features in [(wrong, (1.0,)), (1.0, (nan,)), (1.0, ()), (1.0, (1.0, 2.0))]:
        with pytest.raises(InvalidInput) as caught:
            forecaster.observe(value, features)
        assert caught.value.reason is Reason.FIELD_INVALID
    assert forecaster.predict(4, 0.9) == before


def test_what_the_rules_do_not_name_is_not_forecast() -> None:
    forecaster = AdaptiveForecaster(RULES, PURE)
    with pytest.raises(InvalidInput):
        forecaster.predict(4, 0.9)  # nothing observed
    forecaster.observe(1.0)
    for horizon, quantile in [(3, 0.9), (4, 0.95)]:
        with pytest.raises(InvalidInput):
            forecaster.predict(horizon, quantile)


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizons": ()},
        {"horizons": (0,)},
        {"quantiles": (1.0,)},
        {"quantiles": ()},
        {"window": 1},
        {"refit": 0},
        {"scores": 0},
        {"step": 0.0},
        {"half_life": 0.0},
        {"alarm": 0.0},
    ],
)
def test_rules_that_cannot_be_kept_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        ForecastRules(**wrong)
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_without_the_extra_the_pure_candidates_remain() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'sklearn' else found(name, *a)\n"
        "from walras.fleet.forecast import AdaptiveForecaster, CANDIDATES, ForecastRules\n"
        "forecaster = AdaptiveForecaster(ForecastRules())\n"
        "for at in range(400): forecaster.observe(100 + 50 * (at % 24 < 12) + at % 5)\n"
        "print(sorted(CANDIDATES), forecaster.chosen(1, 0.95))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.stdout == "['linear', 'persistence'] linear\n", done.stderr


# what the regressions see


def test_periods() -> None:
    at = np.arange(600)
    assert find_period(np.sin(2 * np.pi * at / 24)) == 24
    assert find_period(at / 10 + np.sin(2 * np.pi * at / 48)) == 48
    assert find_period((at % 30 < 3).astype(float)) == 30
    assert find_period(np.log1p(traces.generate("diurnal", 1_000, 1))) == pytest.approx(144, abs=1)
    assert find_period(np.random.default_rng(1).standard_normal(600)) == 0
    assert find_period(np.ones(600)) == 0
    assert find_period(np.ones(5)) == 0


def test_no_row_sees_what_is_later() -> None:
    rng = np.random.default_rng(2)
    series = rng.random(400)
    for period in (0, 24, 100):
        for horizon in (1, 4, 30):
            at = np.arange(depth(period, horizon), 300)
            rows = matrix(series, np.zeros((400, 0)), at, horizon, period)
            later = series.copy()
            later[300:] = 99.0
            assert np.array_equal(rows, matrix(later, np.zeros((400, 0)), at, horizon, period))
            assert np.array_equal(rows[:, 0], series[at])


def test_a_season_is_the_mean_of_whole_periods_before() -> None:
    series = np.arange(100.0)
    one = np.array([95])
    # 4 periods of 10 before 97, as far as known at 95: 87, 77, 67, 57
    assert season(series, one + 2, one, 10) == pytest.approx([72.0])
    # 12 ahead: 107 − 20 = 87 is the last that is known
    assert season(series, one + 12, one, 10) == pytest.approx([72.0])
    # only one period is there
    assert season(series, np.array([15]), np.array([12]), 10) == pytest.approx([5.0])


def test_rows_do_not_depend_on_where_the_window_begins() -> None:
    series = np.random.default_rng(3).random(300)
    nothing = np.zeros((300, 0))
    at = np.array([299])
    whole = matrix(series, nothing, at, 2, 24)
    part = matrix(series[100:], nothing[100:], at - 100, 2, 24, origin=100)
    assert whole == pytest.approx(part)


def test_a_line_is_found() -> None:
    rng = np.random.default_rng(5)
    rows = rng.random((500, 3))
    line = Linear(ridge=1e-9)
    assert np.array_equal(line.predict(rows), rows[:, 0])  # before any fit
    line.fit(rows, 1 + rows @ np.array([2.0, 0.0, -1.0]), 0.5)
    assert line.predict(np.array([[1.0, 1.0, 1.0]])) == pytest.approx([2.0], abs=1e-5)
    constant = np.column_stack((rows, np.ones(500)))
    line.fit(constant, rows[:, 0], 0.5)
    assert np.isfinite(line.predict(constant)).all()
