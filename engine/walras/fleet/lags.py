"""What a forecast is made from: lags, rolling means, the season, and features from outside."""

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

LAGS = (1, 2, 3, 6, 12)
MEANS = (3, 12, 48)
HARMONICS = 3
SEASONS = 4
"""Past periods whose values at the same phase are averaged."""
DEPTH = max(*LAGS, *MEANS)


def find_period(series: Series, shortest: int = 8) -> int:
    """Intervals after which the series repeats itself, 0 if it does not seem to.

    The least lag whose autocorrelation is a peak, within a tenth of the highest peak and 0.2 above
    the trough before it; at least three periods must have been seen. O(n log n).
    """
    longest = len(series) // 3
    if longest <= shortest:
        return 0
    at = np.arange(len(series))
    centred = series - np.polyval(np.polyfit(at, series, 1), at)
    power = np.abs(np.fft.rfft(centred, 2 * len(series))) ** 2
    overlap = len(series) - np.arange(longest + 1)
    correlation = np.fft.irfft(power)[: longest + 1] / overlap
    if not correlation[0] > 1e-12:
        return 0
    correlation /= correlation[0]
    trough = np.minimum.accumulate(correlation)
    lags = np.arange(shortest, longest)
    peaks = lags[
        (correlation[lags] >= correlation[lags - 1])
        & (correlation[lags] > correlation[lags + 1])
        & (correlation[lags] > trough[lags] + 0.2)
        & (correlation[lags] > 0.2)
    ]
    if not len(peaks):
        return 0
    good = peaks[correlation[peaks] >= 0.9 * correlation[peaks].max()]
    return int(good[0])


def matrix(
    series: Series, outside: Series, at: Index, horizon: int, period: int, origin: int = 0
) -> Series:
    """One row for each moment of `at`, to forecast `horizon` intervals later.

    Args:
        series: shape (n,), all that is known.
        outside: shape (n, m), features observed with it.
        at: indices of `series`, each ≥ `depth(period, horizon)`.
        horizon: ≥ 1.
        period: as found; 0 for none.
        origin: when `series` begins, in intervals since any fixed moment: phases count from it.

    Returns:
        shape (len(at), columns); the first column is the value at that moment.
    """
    now = series[at]
    total = np.concatenate(([0.0], np.cumsum(series)))
    columns = [now, *(series[at - lag] for lag in LAGS)]
    columns += [(total[at + 1] - total[at + 1 - width]) / width for width in MEANS]
    if period:
        columns += [season(series, at + horizon, at, period), season(series, at, at - 1, period)]
        phase = 2 * np.pi * ((origin + at + horizon) % period) / period
        columns.append(phase)
        for harmonic in range(1, HARMONICS + 1):
            columns += [np.sin(harmonic * phase), np.cos(harmonic * phase)]
    columns += list(outside[at].T)
    return np.column_stack(columns)


def depth(period: int, horizon: int) -> int:
    """Values that must be known before the first row."""
    return max(DEPTH, period + horizon) + 1


def season(series: Series, of: Index, known: Index, period: int) -> Series:
    """Mean of the values whole periods before `of`, as far as they were known at `known`."""
    back = -(-(of - known) // period) * period
    first = of - np.maximum(back, period)
    count = np.zeros(len(of))
    total = np.zeros(len(of))
    for past in range(SEASONS):
        source = first - past * period
        seen = source >= 0
        total += np.where(seen, series[np.maximum(source, 0)], 0.0)
        count += seen
    return total / count
