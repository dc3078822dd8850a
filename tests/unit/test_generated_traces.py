"""Generated arrival traces: the same for the same seed, and what their names say."""

import numpy as np
import pytest

from walras.core.errors import InvalidInput, Reason
from walras.datasets.traces import DAY, SEASONAL, UNSEASONAL, generate

NAMES = [*SEASONAL, *UNSEASONAL]


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_is_fixed_by_its_seed(name: str) -> None:
    trace = generate(name, 10 * DAY, 1)
    assert trace.shape == (10 * DAY,)
    assert np.array_equal(trace, generate(name, 10 * DAY, 1))
    assert not np.array_equal(trace, generate(name, 10 * DAY, 2))
    assert np.array_equal(trace, np.round(trace))
    assert trace.min() >= 0


@pytest.mark.parametrize("name", NAMES)
def test_means_are_roughly_what_is_asked(name: str) -> None:
    means = [generate(name, 30 * DAY, seed, mean=200).mean() for seed in range(8)]
    assert 140 < np.mean(means) < 300


def correlation(series: np.ndarray, lag: int) -> float:
    return float(np.corrcoef(series[:-lag], series[lag:])[0, 1])


def test_seasons_repeat_daily_and_the_others_do_not() -> None:
    assert correlation(generate("diurnal", 20 * DAY, 1), DAY) > 0.9
    assert correlation(generate("diurnal_bursty", 20 * DAY, 1), DAY) > 0.5
    for name in ("bursty", "white_noise", "flash_crowd"):
        assert abs(correlation(generate(name, 20 * DAY, 1), DAY)) < 0.1


def test_bursts_come_and_go_at_their_rates() -> None:
    trace = generate("bursty", 200 * DAY, 1)
    busy = trace > 900
    assert busy.mean() == pytest.approx(6 / 36, rel=0.1)
    starts = np.count_nonzero(busy[1:] & ~busy[:-1])
    assert busy.sum() / starts == pytest.approx(6, rel=0.1)


def test_white_noise_remembers_nothing_and_a_walk_all() -> None:
    assert abs(correlation(generate("white_noise", 20 * DAY, 3), 1)) < 0.05
    assert correlation(generate("random_walk", 20 * DAY, 3), 1) > 0.9


def test_a_step_doubles_once() -> None:
    trace = generate("step", 9 * DAY, 4)
    third = 3 * DAY
    assert trace[-third:].mean() / trace[:third].mean() == pytest.approx(2, rel=0.05)


def test_crowds_decay() -> None:
    trace = generate("flash_crowd", 100 * DAY, 5)
    peaks = np.flatnonzero((trace[1:-10] > 1_500) & (trace[:-11] < 800)) + 1
    assert len(peaks) > 20
    after = np.mean([trace[peaks + lag] for lag in (0, 3, 9)], axis=1)
    # 1 + 2·exp(−t/3): 3, 1.74 and 1.10
    assert after / after[0] == pytest.approx([1, 0.58, 0.37], rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [("none", 10, 1, 1.0), ("step", 2, 1, 1.0), ("step", 10, -1, 1.0), ("step", 10, 1, 0.0)],
)
def test_what_is_no_trace_is_refused(wrong: tuple[str, int, int, float]) -> None:
    with pytest.raises(InvalidInput) as caught:
        generate(*wrong)
    assert caught.value.reason is Reason.FIELD_INVALID
