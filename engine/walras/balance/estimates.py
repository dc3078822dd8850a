"""What is estimated of a node: how long a call takes, how far it is, how often it fails.

Every estimate is a few integers that one observation moves in O(1), the same way on every machine.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from walras.balance.events import Brought
from walras.balance.rules import BPS

DEFAULT_SERVICE_US = 100_000
"""Of a node without calls, while no node of the fleet had one."""
COLD_FACTOR = 3
"""A node without calls is taken to be this many times slower than the fleet's median."""
RTT_KEPT = 4
"""Round trips kept of a prober; the least of them counts."""

_SCALE = 256
_WEIGHT = 16
_FADES_MS = 10_000
_ONE = 1 << 32


@dataclass(slots=True)
class Service:
    """Estimate of what a call takes on a free slot: an EWMA of what the router measured.

    A sample is latency · slots / max(slots, calls ahead), as a call waits where all slots are
    taken. The first samples form a plain mean, with the prior as one of them; from the 16th on a
    new one weighs 1/16. What is old counts for less by the time since the last sample, for a
    quarter after 10 s: a node that was slow and is hardly asked needs a few good answers.

    A call without an answer took at least as long as was waited, and an error that comes fast
    shows no fast node: these only raise the estimate. Nor does an answer without a valid bid: it
    lowers the estimate no further than to the fleet's median. Where another node had a valid bid it
    counts as the median, if it came sooner, so that a node which is known as fast does not stay so.

    Attributes:
        scaled: the estimate, in 1/256 µs; 0 while there is none.
        samples: that formed it, no more than 16.
        at_ms: of the last one.
    """

    scaled: int = 0
    samples: int = 0
    at_ms: int = 0

    @property
    def us(self) -> int:
        """In whole microseconds; 0 while there is none."""
        return self.scaled // _SCALE

    def add(
        self,
        sample_us: int,
        at_ms: int,
        median_us: int,
        *,
        answered: bool,
        brought: Brought = Brought.BID,
    ) -> None:
        """Take a sample in.

        Args:
            sample_us: of the call, on a free slot.
            at_ms: when the call ended.
            median_us: of the fleet's estimates; 0 while there is none.
            answered: whether it is the time of an answer.
            brought: what came of it.
        """
        least_us = 0
        if answered and brought is not Brought.BID:
            least_us = median_us or DEFAULT_SERVICE_US
            if brought is Brought.MISSED:
                sample_us = max(sample_us, least_us)
        scaled = max(1, sample_us) * _SCALE
        if not self.samples:
            prior_us = COLD_FACTOR * median_us
            if least_us or not answered:
                prior_us = prior_us or DEFAULT_SERVICE_US
            if not answered:
                prior_us = max(prior_us, sample_us)
            self.samples = int(prior_us > 0)
            self.scaled = prior_us * _SCALE or scaled
        if answered or scaled > self.scaled:
            if self.samples < _WEIGHT:
                self.samples += 1
            # What is left of the old estimate: 1 − 1/samples of it, less by (1 + age/10 s)².
            left = (self.scaled - scaled) * (self.samples - 1) // self.samples
            age = at_ms - self.at_ms
            if age > 0 and self.at_ms:
                left = left * _FADES_MS**2 // (_FADES_MS + age) ** 2
            least = min(self.scaled, least_us * _SCALE)
            self.scaled = max(_SCALE, least, scaled + left)
        self.at_ms = max(self.at_ms, at_ms)


def service_sample(latency_us: int, rtt_us: int, slots: int, ahead: int) -> int:
    """What a call would have taken on a free slot, in µs, ≥ 1.

    The round trip is taken off, as the expected delay adds it again. A node that delays its echoes
    to have more taken off gains nothing while it has free slots.
    """
    return max(1, (latency_us - rtt_us) * slots // max(slots, ahead))


def lower_median(values: Iterable[int]) -> int:
    """The middle value, of two the lower; 0 of nothing."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0


@dataclass(slots=True)
class RoundTrip:
    """Round trips as probers saw them.

    The least of a prober's last few is what it claims: delay only ever adds (so do NTP's clients
    take the sample of least delay, RFC 5905 §10). The lower median over the probers is the
    quorum's claim.

    Attributes:
        seen: prober → when it last saw an echo, and its last round trips in µs.
        us: the claim; 0 with less than a quorum.
    """

    seen: dict[bytes, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    us: int = 0

    def add(self, prober: bytes, rtt_us: int, at_ms: int, quorum: int) -> None:
        """An echo came."""
        _, last = self.seen.get(prober, (0, ()))
        self.seen[prober] = (at_ms, (*last, max(1, rtt_us))[-RTT_KEPT:])
        self._claim(quorum)

    def forget(self, before_ms: int, quorum: int, probers: tuple[bytes, ...]) -> None:
        """Probers that saw nothing since, or do not count any more, do not count."""
        self.seen = {
            prober: (at_ms, last)
            for prober, (at_ms, last) in self.seen.items()
            if at_ms >= before_ms and (not probers or prober in probers)
        }
        self._claim(quorum)

    def _claim(self, quorum: int) -> None:
        enough = self.seen and len(self.seen) >= quorum
        self.us = lower_median(min(last) for _, last in self.seen.values()) if enough else 0


@dataclass(slots=True)
class Share:
    """A smoothed share of what went wrong: after `half_life` observations an old one counts half.

    Attributes:
        wrong, total: decayed counts, in 2^-32.
        seen: observations, not decayed.
    """

    wrong: int = 0
    total: int = 0
    seen: int = 0

    @property
    def bps(self) -> int:
        """The share, in 1/10,000; 0 of nothing."""
        return self.wrong * BPS // self.total if self.total else 0

    def add(self, half_life: int, *, wrong: bool) -> None:
        """One more."""
        keep = decay(half_life)
        self.wrong = self.wrong * keep // _ONE + (_ONE if wrong else 0)
        self.total = self.total * keep // _ONE + _ONE
        self.seen += 1


@lru_cache(maxsize=64)
def decay(half_life: int) -> int:
    """⌊2^32 · 2^(−1/half_life)⌋, exactly, for half_life ≥ 1; half-lives above 4,096 are 4,096."""
    power = min(max(half_life, 1), 4_096)
    low, high, target = 0, _ONE, 1 << (32 * power - 1)
    while high - low > 1:
        middle = (low + high) // 2
        if middle**power <= target:
            low = middle
        else:
            high = middle
    return low
