"""Forecasts of a load some intervals ahead, at a quantile: intents per interval, or work per shard.

Several candidates forecast side by side and are scored on what then happened:

- persistence: the last value; needs nothing, and guards against the others,
- linear: ridge regression on lags, rolling means, the season and whatever features are observed,
- trees: gradient-boosted quantile regression on the same (`walras[forecast]`; without the extra it
  is left out).

Each is corrected by adaptive conformal inference, so that the share of values above a forecast of
quantile q tends to 1 − q whatever the data do. The one with the lowest pinball loss of late is
used, if it beats the simpler ones by a margin, and not while its loss of the last hours is much
above persistence's: a guard that needs days to notice is none.

All of it works on log(1 + value): loads scale, and quantiles pass through a monotone map unchanged.
The same observations give the same forecasts.

Sources: Gibbs and Candès, Adaptive Conformal Inference Under Distribution Shift, NeurIPS 2021, eq.
2 (the level's update); Koenker and Bassett, Regression Quantiles, Econometrica 46 (1978) (the
loss).
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, exp2, expm1, isfinite, log1p
from typing import Protocol

import numpy as np

from walras.core.errors import InvalidInput, Reason
from walras.fleet.lags import Series, depth, find_period, matrix
from walras.fleet.regressors import Linear, Persistence, Regressor, Trees

CANDIDATES: Mapping[str, Callable[[], Regressor]] = {
    "persistence": Persistence,
    "linear": Linear,
    **({"trees": Trees} if Trees.available else {}),
}


class Forecaster(Protocol):
    """What the scaler asks."""

    def observe(self, value: float, features: Sequence[float] = ()) -> None:
        """An interval has ended with this value, ≥ 0; `features` were known at its end."""
        ...

    def predict(self, horizon: int, quantile: float) -> float:
        """The value `horizon` intervals after the last one observed, not exceeded with
        probability `quantile`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ForecastRules:
    """What is forecast, and by how much history.

    Attributes:
        horizons: intervals ahead, each ≥ 1.
        quantiles: each within (0, 1).
        window: intervals that are remembered and learnt from.
        refit: intervals between two fits.
        warm_up: rows without which nothing is fitted.
        scores: past errors from which the conformal correction is taken.
        step: γ of the adaptive level, > 0; larger adapts faster and wavers more.
        half_life: intervals after which a loss counts half in the choice of candidate.
        margin: share of the loss by which a candidate must be better than a simpler one. Where it
            is about what a candidate gains, the choice wavers, at more cost than either candidate.
        alarm: intervals after which a loss counts half in the guard's alarm.
        alarm_factor: a candidate whose loss of late is above this many times persistence's is out.
    """

    horizons: tuple[int, ...] = (1,)
    quantiles: tuple[float, ...] = (0.95,)
    window: int = 2_016
    refit: int = 48
    warm_up: int = 96
    scores: int = 4_000
    step: float = 0.0005
    half_life: float = 576.0
    margin: float = 0.0
    alarm: float = 24.0
    alarm_factor: float = 1.5

    def __post_init__(self) -> None:
        """Raises InvalidInput: CONFIG_INVALID."""
        fine = (
            min(self.horizons, default=0) >= 1
            and bool(self.quantiles)
            and all(0 < quantile < 1 for quantile in self.quantiles)
            and self.window >= 2
            and min(self.refit, self.warm_up, self.scores) >= 1
            and self.step > 0
            and 0 <= self.margin < 1
            and min(self.half_life, self.alarm, self.alarm_factor) > 0
        )
        if not fine:
            raise InvalidInput(Reason.CONFIG_INVALID, "no such forecast", rules=self)


class Conformal:
    """Adds to a forecast the quantile of its past errors, at a level that learns.

    level ← level + γ (1{missed} − (1 − q)), Gibbs and Candès eq. 2 for one side.
    """

    def __init__(self, quantile: float, scores: int, step: float) -> None:
        self._quantile = quantile
        self._step = step
        self._level = quantile
        self._scores: deque[float] = deque(maxlen=scores)

    def correction(self) -> float:
        """0 while there are no errors; the worst of them where the level asks for more."""
        if not self._scores:
            return 0.0
        rank = ceil(self._level * (len(self._scores) + 1)) - 1
        rank = min(max(rank, 0), len(self._scores) - 1)
        return float(np.partition(np.array(self._scores), rank)[rank])

    def restart(self, scores: Iterable[float]) -> None:
        """With these errors in place of all before; the level as at the beginning."""
        self._scores.clear()
        self._scores.extend(map(float, scores))
        self._level = self._quantile

    def learn(self, score: float, missed: bool) -> None:
        """An error (value − raw forecast), and whether the corrected forecast was exceeded."""
        self._scores.append(score)
        self._level += self._step * (missed - (1 - self._quantile))


@dataclass(slots=True)
class _Mean:
    """An average that forgets."""

    kept: float
    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float) -> None:
        self.total = self.total * self.kept + value
        self.weight = self.weight * self.kept + 1

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else 0.0


@dataclass(slots=True)
class _Track:
    """A candidate at one horizon and quantile: what it said, and how well."""

    regressor: Regressor
    conformal: Conformal
    said: deque[tuple[float, float]]
    """Forecasts that are not due, oldest first: raw and corrected, as logarithms."""
    slow: _Mean
    fast: _Mean
    fitted: bool = False


class AdaptiveForecaster:
    """The forecaster of one series. See the module.

    Making it loads scikit-learn, if it is there, which takes seconds.

    Args:
        rules: what to forecast.
        candidates: by name, the simplest first; `persistence` must be among them.
    """

    def __init__(
        self,
        rules: ForecastRules,
        candidates: Mapping[str, Callable[[], Regressor]] = CANDIDATES,
    ) -> None:
        self._rules = rules
        self._values: deque[float] = deque(maxlen=rules.window)
        self._features: deque[tuple[float, ...]] = deque(maxlen=rules.window)
        self._first = 0  # of the remembered values, counted from the first that was observed
        self._since_fit = 0
        self._periods: dict[int, int] = {}
        self._tracks: dict[tuple[int, float], dict[str, _Track]] = {
            (horizon, quantile): {
                name: _Track(
                    regressor(),
                    Conformal(quantile, rules.scores, rules.step),
                    deque(maxlen=horizon),
                    _Mean(exp2(-1 / rules.half_life)),
                    _Mean(exp2(-1 / rules.alarm)),
                )
                for name, regressor in candidates.items()
            }
            for horizon, quantile in product(rules.horizons, rules.quantiles)
        }

    def observe(self, value: float, features: Sequence[float] = ()) -> None:
        """An interval has ended. Milliseconds; where a fit is due, some tenths of a second for each
        horizon and quantile: not for an event loop's own thread.

        Raises:
            InvalidInput: FIELD_INVALID: a value or feature is not finite, the value is negative, or
                there are not as many features as before. Nothing has changed then.
        """
        self._check(value, features)
        level = log1p(value)
        for (horizon, quantile), tracks in self._tracks.items():
            for track in tracks.values():
                if len(track.said) == horizon:
                    self._score(track, quantile, level, value)
        self._first += len(self._values) == self._rules.window
        self._values.append(level)
        self._features.append(tuple(features))
        self._since_fit += 1
        series = np.array(self._values)
        outside = np.array(self._features).reshape(len(series), -1)
        if self._since_fit >= self._rules.refit:
            self._fit(series, outside)
        for (horizon, _), tracks in self._tracks.items():
            row = self._row(series, outside, horizon)
            for track in tracks.values():
                raw = float(track.regressor.predict(row)[0])
                track.said.append((raw, raw + track.conformal.correction()))

    def predict(self, horizon: int, quantile: float) -> float:
        """See `Forecaster`.

        Raises:
            InvalidInput: FIELD_INVALID: the rules do not name this horizon and quantile, or nothing
                has been observed.
        """
        tracks = self._tracks.get((horizon, quantile))
        if tracks is None or not self._values:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "nothing is forecast at this horizon and quantile",
                horizon=horizon,
                quantile=quantile,
                observed=len(self._values),
            )
        return max(0.0, expm1(tracks[self.chosen(horizon, quantile)].said[-1][1]))

    def chosen(self, horizon: int, quantile: float) -> str:
        """The candidate in use: the least loss, if by enough and no alarm speaks against it."""
        tracks = self._tracks[horizon, quantile]
        best, guard = "persistence", tracks["persistence"]
        for name, track in tracks.items():
            alarm = track.fast.value > self._rules.alarm_factor * guard.fast.value
            least = (1 - self._rules.margin) * tracks[best].slow.value
            if track.fitted and not alarm and track.slow.value < least:
                best = name
        return best

    def losses(self, horizon: int, quantile: float) -> dict[str, float]:
        """Rolling pinball loss of each candidate, in the value's units; 0 before any is known."""
        return {name: track.slow.value for name, track in self._tracks[horizon, quantile].items()}

    def _check(self, value: float, features: Sequence[float]) -> None:
        width = len(self._features[-1]) if self._features else len(features)
        fine = isfinite(value) and value >= 0 and all(map(isfinite, features))
        if not fine or len(features) != width:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "a value must be finite and not negative, features finite and as many as before",
                value=value,
                features=list(features),
            )

    def _score(self, track: _Track, quantile: float, level: float, value: float) -> None:
        raw, corrected = track.said.popleft()
        track.conformal.learn(level - raw, missed=level > corrected)
        above = value - max(0.0, expm1(corrected))
        loss = max(quantile * above, (quantile - 1) * above)
        track.slow.add(loss)
        track.fast.add(loss)

    def _fit(self, series: Series, outside: Series) -> None:
        """All regressions anew, once there are rows enough for the horizon."""
        self._since_fit = 0
        period = find_period(series)
        for (horizon, quantile), tracks in self._tracks.items():
            at = np.arange(depth(period, horizon), len(series) - horizon)
            if len(at) < self._rules.warm_up:
                continue
            rows = matrix(series, outside, at, horizon, period, self._first)
            targets = series[at + horizon]
            for track in tracks.values():
                if not track.fitted:
                    self._calibrate(track, rows, targets, quantile)
                track.regressor.fit(rows, targets, quantile)
            self._periods[horizon] = period

    def _calibrate(self, track: _Track, rows: Series, targets: Series, quantile: float) -> None:
        """Errors of the first fit, on the last third of the rows, in place of those before it."""
        cut = len(rows) * 2 // 3
        track.regressor.fit(rows[:cut], targets[:cut], quantile)
        track.conformal.restart(targets[cut:] - track.regressor.predict(rows[cut:]))
        track.fitted = True

    def _row(self, series: Series, outside: Series, horizon: int) -> Series:
        """What is known now, as the regressors were fitted; before that, the last value."""
        period = self._periods.get(horizon)
        if period is None:
            return series[None, -1:]
        at = np.array([len(series) - 1])
        return matrix(series, outside, at, horizon, period, self._first)
