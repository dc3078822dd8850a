"""Estimates on line of what arrives: rates, service times, their variation, price volatility.

All forget by time: what is `half_life` old counts half. Time comes in as seconds on any clock that
does not go back; an earlier time is taken as the latest one seen. Floats: nothing of it is signed.
"""

from math import exp2, isfinite, log, sqrt

from walras.core.errors import InvalidInput, Reason

HOUR = 3_600.0


class Rate:
    """Events per second: weights of what came over the weight of the time that passed.

    Both start at nothing, so a young estimate is not drawn to zero.

    Args:
        half_life: seconds, > 0.
        since: when counting begins.

    Raises:
        InvalidInput: CONFIG_INVALID.
    """

    def __init__(self, half_life: float, since: float = 0.0) -> None:
        self._half_life = _positive(half_life)
        self._at = since
        self._count = 0.0
        self._span = 0.0

    def add(self, at: float, count: float = 1.0) -> None:
        """`count` ≥ 0 events came by `at`."""
        self._pass(at)
        self._count += _usable(count)

    def at(self, now: float) -> float:
        """Events per second as of `now`; 0 before any time has passed."""
        self._pass(now)
        return self._count / self._span if self._span > 0 else 0.0

    def _pass(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        kept = exp2(-passed / self._half_life)
        self._count *= kept
        # The integral of the weights over the time that passed.
        self._span = self._span * kept + (1 - kept) * self._half_life / log(2)
        self._at += passed


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


class Arrivals:
    """Rate of arrivals and the variation of the times between them.

    Args:
        half_life: seconds, > 0.
        since: when counting begins.

    Raises:
        InvalidInput: CONFIG_INVALID.
    """

    def __init__(self, half_life: float, since: float = 0.0) -> None:
        self._rate = Rate(half_life, since)
        self._gaps = Moments(half_life)
        self._last: float | None = None
        self._known = 0

    def add(self, at: float) -> None:
        """One arrival."""
        self._rate.add(at)
        if self._last is not None:
            at = max(at, self._last)
            self._gaps.add(at, at - self._last)
            self._known += 1
        self._last = at

    def rate(self, now: float) -> float:
        """Arrivals per second."""
        return self._rate.at(now)

    @property
    def scv(self) -> float:
        """Squared coefficient of variation of the gaps; 1, as for Poisson, until two are known."""
        return self._gaps.scv if self._known > 1 else 1.0


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
