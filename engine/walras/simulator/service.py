"""How long work takes: distributions by mean and squared coefficient of variation (scv)."""

from dataclasses import dataclass
from math import log, sqrt
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from walras.core.errors import InvalidInput, Reason

Floats = NDArray[np.float64]

Kind = Literal["exponential", "lognormal", "pareto", "gamma", "deterministic"]
KINDS: tuple[Kind, ...] = ("exponential", "lognormal", "pareto", "gamma", "deterministic")

PARETO_SHAPE = 1.5
"""Of the bounded Pareto; its bounds follow from mean and scv."""

_WIDEST = 1e9


@dataclass(frozen=True, slots=True)
class Service:
    """What a call's work takes on a free slot of an unhindered node.

    Attributes:
        kind: exponential (scv 1), deterministic (scv 0), lognormal, gamma, or bounded Pareto of
            shape 1.5.
        mean_us: mean, > 0.
        scv: variance / mean², ≥ 0; of no use where the kind fixes it.
    """

    kind: Kind = "exponential"
    mean_us: float = 10_000.0
    scv: float = 1.0

    def draw(self, source: Generator, count: int) -> Floats:
        """`count` service times in µs."""
        return self.mean_us * unit(self.kind, self.scv, source, count)


def unit(kind: Kind, scv: float, source: Generator, count: int) -> Floats:
    """`count` times of mean 1. Raises InvalidInput for an scv that the kind cannot have."""
    if not 0 <= scv <= 1_000:
        raise InvalidInput(Reason.FIELD_INVALID, f"an scv is 0 to 1,000, not {scv}", scv=scv)
    if kind == "exponential":
        return source.standard_exponential(count)
    if kind == "deterministic" or scv == 0:
        return np.ones(count)
    if kind == "gamma":
        return source.standard_gamma(1 / scv, count) * scv
    if kind == "lognormal":
        sigma = sqrt(log(1 + scv))
        return source.lognormal(-sigma * sigma / 2, sigma, count)
    return _bounded_pareto(scv, source.random(count))


def _moment(order: int, ratio: float) -> float:
    """E[X^order] for bounds 1 and `ratio`: ∫ x^order · a x^(−a−1) / (1 − ratio^−a) dx."""
    a = PARETO_SHAPE
    return float(a / (order - a) * (ratio ** (order - a) - 1) / (1 - ratio**-a))


def _bounded_pareto(scv: float, uniform: Floats) -> Floats:
    def of(ratio: float) -> float:
        return _moment(2, ratio) / _moment(1, ratio) ** 2 - 1

    low, high = 1 + 1e-9, _WIDEST
    for _ in range(200):  # scv grows with the ratio of the bounds: bisect its logarithm
        middle = sqrt(low * high)
        low, high = (middle, high) if of(middle) < scv else (low, middle)
    ratio = sqrt(low * high)
    drawn: Floats = (1 - uniform * (1 - ratio**-PARETO_SHAPE)) ** (-1 / PARETO_SHAPE)
    return drawn / _moment(1, ratio)
