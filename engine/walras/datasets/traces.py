"""Generated arrival traces: intents per interval, for whoever tries how the fleet is sized.

A trace is an intensity (mean intents per interval) and a Poisson draw from it, so that even a flat
one is noisy by the square root of its level. The same name, length, seed and mean give the same
trace. Means are those of the intensity over a long trace, roughly.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from walras.core.errors import InvalidInput, Reason

Series = npt.NDArray[np.float64]

DAY = 144
"""Intervals of a day: ten minutes each."""


def diurnal(intervals: int, rng: np.random.Generator) -> Series:
    """Two harmonics of a day, whose swing differs from day to day, and slow noise on top.

    The busiest hour has about five times the intents of the quietest.
    """
    at = np.arange(intervals)
    swing = 1 + 0.1 * rng.standard_normal(intervals // DAY + 1)[at // DAY]
    day = 2 * np.pi * at / DAY
    return np.exp(swing * (0.7 * np.sin(day) + 0.3 * np.sin(2 * day + 1)) + _slow(intervals, rng))


def bursty(intervals: int, rng: np.random.Generator) -> Series:
    """A Markov-modulated Poisson process: quiet for 30 intervals, at three times the rate for 6,
    both in the mean and geometrically distributed.

    Source: Fischer and Meier-Hellstern, The Markov-modulated Poisson process (MMPP) cookbook,
    Performance Evaluation 18 (1993).
    """
    return 0.75 * np.where(_states(intervals, 30, 6, rng), 3.0, 1.0)


def diurnal_bursty(intervals: int, rng: np.random.Generator) -> Series:
    """`diurnal`, twice as busy for a third of an hour after each 8-hourly funding time, with
    unannounced bursts to half as much again.
    """
    funding = np.arange(intervals) % (DAY // 3) < 2
    bursts = _states(intervals, 60, 4, rng)
    return diurnal(intervals, rng) * np.where(funding, 2.0, 1.0) * np.where(bursts, 1.5, 1.0)


def flash_crowd(intervals: int, rng: np.random.Generator) -> Series:
    """Level, but for crowds that come unannounced, triple the rate at once and decay over half an
    hour; one in two days.
    """
    shape = np.exp(-np.arange(DAY) / 3)
    starts = rng.random(intervals) < 1 / (2 * DAY)
    return 1 + 2 * np.convolve(starts, shape)[:intervals]


def random_walk(intervals: int, rng: np.random.Generator) -> Series:
    """The logarithm walks by steps of 3 % and is drawn back slowly, lest it leave any range."""
    return _autoregressive(intervals, 0.998, 0.03, rng)


def white_noise(intervals: int, rng: np.random.Generator) -> Series:
    """Independent log-normal levels, 15 % apart."""
    return np.exp(0.15 * rng.standard_normal(intervals))


def step(intervals: int, rng: np.random.Generator) -> Series:
    """Level, and twice as high from some moment in the middle third on."""
    at = intervals // 3 + int(rng.integers(intervals // 3))
    return np.where(np.arange(intervals) < at, 0.75, 1.5) * np.exp(_slow(intervals, rng))


SEASONAL: Mapping[str, Callable[[int, np.random.Generator], Series]] = {
    "diurnal": diurnal,
    "bursty": bursty,
    "diurnal_bursty": diurnal_bursty,
}
UNSEASONAL: Mapping[str, Callable[[int, np.random.Generator], Series]] = {
    "random_walk": random_walk,
    "white_noise": white_noise,
    "step": step,
    "flash_crowd": flash_crowd,
}


def generate(name: str, intervals: int, seed: int, mean: float = 600.0) -> Series:
    """Intents that arrive in each interval, shape (intervals,), whole numbers.

    Args:
        name: of `SEASONAL` or `UNSEASONAL`.
        intervals: ≥ 3.
        seed: ≥ 0.
        mean: intents per interval where the intensity is 1, > 0.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    shape = {**SEASONAL, **UNSEASONAL}.get(name)
    if shape is None or intervals < 3 or seed < 0 or not mean > 0:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "no such trace",
            name=name,
            intervals=intervals,
            seed=seed,
            mean=mean,
        )
    rng = np.random.default_rng(seed)
    return rng.poisson(mean * shape(intervals, rng)).astype(np.float64)


def _slow(intervals: int, rng: np.random.Generator) -> Series:
    """The logarithm of slow noise: an hour's memory, 8 % apart."""
    return np.log(_autoregressive(intervals, 0.85, 0.08 * (1 - 0.85**2) ** 0.5, rng))


def _autoregressive(
    intervals: int, memory: float, step_size: float, rng: np.random.Generator
) -> Series:
    level, levels = 0.0, np.empty(intervals)
    for at, shock in enumerate(step_size * rng.standard_normal(intervals)):
        level = memory * level + shock
        levels[at] = level
    return np.exp(levels)


def _states(
    intervals: int, quiet: float, busy: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """A two-state Markov chain, quiet at first; mean stays in intervals."""
    busy_now, states = False, np.empty(intervals, dtype=np.bool_)
    for at, chance in enumerate(rng.random(intervals)):
        busy_now ^= bool(chance < 1 / (busy if busy_now else quiet))
        states[at] = busy_now
    return states
