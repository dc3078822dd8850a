"""Estimates on line of what arrives: rates, service times, their variation, price volatility.

`Arrivals` and `Spread` are a node's and part of its standing: integers, which the log gives.
`Moments` and `Volatility` are of planning, and nothing of it is signed: floats, forgetting by
time, so that what is `half_life` old counts half. Their time is in seconds on any clock that does
not go back; an earlier time is taken as the latest one seen.
"""

from dataclasses import dataclass
from math import exp2, isfinite, log, sqrt

from walras.balance.rules import BPS
from walras.core.errors import InvalidInput, Reason

HOUR = 3_600.0

FADES_MS = 30_000
"""An arrival so long ago has half of its weight, or less if others came between."""
MOST_SCV_BPS = 1_000_000

_ONE = 1 << 16


class Moments:
    """Mean and variation of values that come at irregular times: service times, for one.

    Args:
        half_life: seconds, > 0.

    Raises:
        InvalidInput: CONFIG_INVALID.

    Source: West, Updating Mean and Variance Estimates, CACM 22 (1979), with decaying weights.
    """

    def __init__(self, half_life: float) -> None:
        self._half_life = _positive(half_life)
        self._at: float | None = None
        self._weight = 0.0
        self._squares = 0.0
        self.mean = 0.0

    def add(self, at: float, value: float) -> None:
        """One value, ≥ 0.

        Raises:
            InvalidInput: FIELD_INVALID: it is negative or not finite; nothing has changed.
        """
        _usable(value)
        last = at if self._at is None else self._at
        kept = exp2(-max(0.0, at - last) / self._half_life)
        self._at = max(at, last)
        self._weight = self._weight * kept + 1
        gap = value - self.mean
        self.mean += gap / self._weight
        self._squares = self._squares * kept + gap * (value - self.mean)

    @property
    def variance(self) -> float:
        """Of the weighted values; 0 for fewer than two."""
        return max(0.0, self._squares / self._weight) if self._weight else 0.0

    @property
    def scv(self) -> float:
        """Variance over squared mean; 0 where the mean is."""
        return self.variance / self.mean**2 if self.mean > 0 else 0.0


@dataclass(slots=True)
class Arrivals:
    """Calls that come to a node: how many in a time, and how unevenly; integers, as picks hang on
    them.

    Of the gaps between calls, the sum and the sum of squares. With each arrival what is old keeps
    FADES / (FADES + gap) of its weight: an exponential decay, by one implicit step of Euler's, so
    that it is the same number on every machine. Of calls that come together the first has the gap
    and the others none, so batches of k at a steady pace have a coefficient of variation of k − 1.

    Attributes:
        calls: that came after the first, decayed, in 2^-16.
        span: sum of the gaps before them, in 2^-16 ms, decayed likewise.
        squares: sum of the squared gaps, in 2^-16 ms², likewise.
        at_ms: of the last arrival; None before any.
    """

    calls: int = 0
    span: int = 0
    squares: int = 0
    at_ms: int | None = None

    def add(self, at_ms: int, calls: int = 1) -> None:
        """So many calls came, no earlier than those before."""
        if self.at_ms is not None:
            gap = at_ms - self.at_ms
            kept, whole = FADES_MS, FADES_MS + gap
            self.calls = self.calls * kept // whole + calls * _ONE
            self.span = self.span * kept // whole + gap * _ONE
            self.squares = self.squares * kept // whole + gap * gap * _ONE
        self.at_ms = at_ms

    def span_at(self, now_ms: int) -> int:
        """The span with the time since the last arrival: without calls the rate falls. 0 while
        fewer than two calls count, which tell no rate.
        """
        if self.at_ms is None or self.calls < 2 * _ONE:
            return 0
        return self.span + max(0, now_ms - self.at_ms) * _ONE

    @property
    def scv_bps(self) -> int:
        """Squared coefficient of variation of the gaps, in 1/10,000, 0 to 10^6; 10,000, as for
        Poisson, while fewer than two count.
        """
        return _scv_bps(self.calls, self.span, self.squares)


@dataclass(slots=True)
class Spread:
    """How much service times vary, of the last 64 or so.

    Attributes:
        weight: of the times that count, in 2^-16.
        total: their sum, in 2^-16 µs.
        squares: the sum of their squares, in 2^-16 µs².
    """

    weight: int = 0
    total: int = 0
    squares: int = 0

    def add(self, sample_us: int) -> None:
        """One more time, on a free slot."""
        self.weight = self.weight * 63 // 64 + _ONE
        self.total = self.total * 63 // 64 + sample_us * _ONE
        self.squares = self.squares * 63 // 64 + sample_us * sample_us * _ONE

    @property
    def scv_bps(self) -> int:
        """Their squared coefficient of variation, in 1/10,000, 0 to 10^6; 10,000, as for
        exponential times, while fewer than two count.
        """
        return _scv_bps(self.weight, self.total, self.squares)


def _scv_bps(weight: int, total: int, squares: int) -> int:
    if weight < 2 * _ONE or not total:
        return BPS
    return min(max(0, weight * squares * BPS // total**2 - BPS), MOST_SCV_BPS)


class Volatility:
    """Standard deviation of a price's logarithm, from squared returns over the time they took.

    σ² per second is the decayed sum of r² over the decayed sum of the seconds between prices, which
    needs no even spacing. Source: J. P. Morgan, RiskMetrics Technical Document, 4th ed. (1996),
    §5.2, for equal spacing.

    Args:
        half_life: seconds, > 0.

    Raises:
        InvalidInput: CONFIG_INVALID.
    """

    def __init__(self, half_life: float) -> None:
        self._half_life = _positive(half_life)
        self._last: tuple[float, float] | None = None
        self._squares = 0.0
        self._seconds = 0.0

    def add(self, at: float, price: float) -> None:
        """A price, > 0. One that is not later than the last replaces it.

        Raises:
            InvalidInput: FIELD_INVALID: not positive or not finite; nothing has changed.
        """
        if not (isfinite(price) and price > 0 and isfinite(at)):
            raise InvalidInput(Reason.FIELD_INVALID, "no such price", price=price, at=at)
        if self._last is None or at <= self._last[0]:
            self._last = (at if self._last is None else self._last[0], price)
            return
        before, known = self._last
        seconds = at - before
        kept = exp2(-seconds / self._half_life)
        self._squares = self._squares * kept + log(price / known) ** 2
        self._seconds = self._seconds * kept + seconds
        self._last = (at, price)

    @property
    def hourly_bps(self) -> int:
        """Over an hour, in 1/10,000; 0 before two prices are known; at most 10^9."""
        if not self._seconds:
            return 0
        return min(10**9, int(10_000 * sqrt(self._squares / self._seconds * HOUR)))


def _positive(half_life: float) -> float:
    if not (isfinite(half_life) and half_life > 0):
        raise InvalidInput(Reason.CONFIG_INVALID, "a half-life is positive", half_life=half_life)
    return half_life


def _usable(value: float) -> float:
    if not (isfinite(value) and value >= 0):
        raise InvalidInput(
            Reason.FIELD_INVALID, "a measured value is finite and not negative", value=value
        )
    return value
