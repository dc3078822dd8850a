"""Regressions that a forecast may use; all take the rows of `walras.fleet.lags.matrix`."""

from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]


class Regressor(Protocol):
    """Fitted anew now and then. `rows` have shape (n, columns), targets and answers (n,)."""

    def fit(self, rows: Series, targets: Series, quantile: float) -> None:
        """Learn."""
        ...

    def predict(self, rows: Series) -> Series:
        """An answer for each row; before any fit, its first column."""
        ...


class Persistence:
    """What is will be."""

    def fit(self, rows: Series, targets: Series, quantile: float) -> None:
        """Nothing to learn."""

    def predict(self, rows: Series) -> Series:
        """The value now."""
        return rows[:, 0]


class Linear:
    """Ridge regression of the mean; `ridge` per row, on standardised columns."""

    def __init__(self, ridge: float = 1e-3) -> None:
        self._ridge = ridge
        self._weights: Series | None = None
        self._centre: Series = np.zeros(0)
        self._level = 0.0

    def fit(self, rows: Series, targets: Series, quantile: float) -> None:
        """Least squares with a penalty; O(rows · columns²)."""
        del quantile
        self._centre = rows.mean(axis=0)
        self._level = float(targets.mean())
        spread = rows.std(axis=0)
        spread[spread < 1e-9] = np.inf  # a constant column says nothing
        scaled = (rows - self._centre) / spread
        gram = scaled.T @ scaled + self._ridge * len(rows) * np.eye(rows.shape[1])
        self._weights = np.linalg.solve(gram, scaled.T @ (targets - self._level)) / spread

    def predict(self, rows: Series) -> Series:
        """The mean given each row."""
        if self._weights is None:
            return rows[:, 0]
        return np.asarray(self._level + (rows - self._centre) @ self._weights)


class Trees:
    """Gradient-boosted trees of the quantile, on what the linear regression leaves over."""

    available = find_spec("sklearn") is not None

    def __init__(self, ridge: float = 1e-3) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 - an extra
        from threadpoolctl import ThreadpoolController  # noqa: PLC0415 - the same extra

        self._make = HistGradientBoostingRegressor
        self._threads = ThreadpoolController()
        self._base = Linear(ridge)
        self._trees: Any = None

    def fit(self, rows: Series, targets: Series, quantile: float) -> None:
        """60 small trees; the seed is fixed and nothing is held out, so it repeats exactly."""
        self._base.fit(rows, targets, quantile)
        trees = self._make(
            loss="quantile",
            quantile=quantile,
            max_iter=60,
            learning_rate=0.08,
            max_leaf_nodes=8,
            min_samples_leaf=25,
            early_stopping=False,
            random_state=0,
        )
        # Thousands of rows: threads would cost more than they bring, and fight over the cores.
        with self._threads.limit(limits=1, user_api="openmp"):
            self._trees = trees.fit(rows, targets - self._base.predict(rows))

    def predict(self, rows: Series) -> Series:
        """The quantile given each row."""
        if self._trees is None:
            return rows[:, 0]
        with self._threads.limit(limits=1, user_api="openmp"):
            left: Series = self._trees.predict(rows)
        return self._base.predict(rows) + left
