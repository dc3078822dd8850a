"""The market's pace under stress: batch interval, collar and fan-out, within bounds.

Two signals come in: the fleet's utilisation as forecast, and the volatility of reference prices.
Three settings move, each for one reason:

**Interval.** Prices drift by about σ√T between an owner's signature and the clearing of a batch of
length T. That drift is what a resting limit loses to whoever sees the price first, and what makes
the reference prices of a problem stale. So volatility shortens the interval, T ∝ 1/σ², until σ√T is
within `drift_bps`. What shortening costs: fewer intents meet in a batch, and whatever a batch costs
once (dispatch, venue states, checking, a commit) is paid more often. So overload lengthens it: the
part of the work that is paid per batch is spread over more intents. Overload goes before
volatility: a batch that is not solved in time clears nothing, at any price.

**Fan-out.** Each part is solved k times, by k nodes, which is what makes them compete and what
stands in when one fails. Work is proportional to k, so it is the first thing given up under
overload: it frees capacity at once, in proportion, and no owner waits for it. Never below
`min_fan_out`, which should be 2 or more: an auction with one bidder is none. Volatility moves it
only through the load that shorter batches bring.

**Collar.** Fills far from the reference price are refused: a guard against manipulated or mistaken
prices, beside the owner's limit, which holds whatever the collar is. Its calm width allows for what
a fill itself moves; on top comes what the price may honestly have moved since it was fed, z·σ√(T +
age). A narrower one would refuse honest fills and close the market just when it is needed; a wider
one lets more through than noise explains. So volatility widens it, as the price bands of exchanges
widen at open and close, and never beyond a bound that stays fixed. Overload does not move it.

What moves towards stress moves at once. What moves back waits until the signals have asked for it
for `hold_ms`, and goes as far as all of them asked: an interval or a collar that flickers is itself
a risk to whoever quotes. Moves smaller than `tolerance_bps` are not made.

Integers only, so that an auditor can compute each move from the numbers that are logged with it.

Sources: Budish, Cramton and Shim, The High-Frequency Trading Arms Race: Frequent Batch Auctions as
a Market Design Response, QJE 130 (2015), §VII (length of the interval); Milionis, Moallemi,
Roughgarden and Zhang, Automated Market Making and Loss-Versus-Rebalancing (2022) (loss ∝ σ²); SEC,
National Market System Plan to Address Extraordinary Market Volatility (limit up – limit down), §V
(bands).
"""

from dataclasses import dataclass
from enum import StrEnum
from math import isqrt

from walras.balance.events import Change, Rule
from walras.balance.rules import BPS
from walras.core.errors import InvalidInput, Reason

HOUR_MS = 3_600_000


class Cause(StrEnum):
    """What moved a setting."""

    OVERLOAD = "overload"
    VOLATILITY = "volatility"
    CALM = "calm"


@dataclass(frozen=True, slots=True)
class Pace:
    """The three settings.

    Attributes:
        interval_ms: a batch gathers intents at least this long.
        collar_bps: a fill's value received is within this many 1/10,000 of its value given.
        fan_out: nodes that each part goes to.
    """

    interval_ms: int
    collar_bps: int
    fan_out: int


@dataclass(frozen=True, slots=True)
class PaceRules:
    """Bounds and targets.

    Attributes:
        calm: the settings while nothing is the matter.
        min_interval_ms, max_interval_ms: bounds around the calm interval, ≥ 1.
        max_collar_bps: the widest collar, no less than the calm one.
        min_fan_out: the smallest fan-out, 1 to the calm one.
        utilisation_bps: forecast utilisation that is still no overload, 1 to 10,000.
        fixed_bps: share of the work at the calm interval that is paid per batch, whatever it
            holds, 0 to 10,000.
        drift_bps: σ√T that the interval is to keep within, ≥ 1.
        collar_sigmas: z, ≥ 0.
        price_age_ms: how old reference prices are when a batch opens, at most, ≥ 0.
        tolerance_bps: share of the present setting; smaller moves are not made.
        hold_ms: signals must ask for a calmer setting this long, ≥ 0.
    """

    calm: Pace = Pace(2_000, 1_000, 3)
    min_interval_ms: int = 500
    max_interval_ms: int = 10_000
    max_collar_bps: int = 3_000
    min_fan_out: int = 2
    utilisation_bps: int = 8_000
    fixed_bps: int = 3_000
    drift_bps: int = 10
    collar_sigmas: int = 5
    price_age_ms: int = 60_000
    tolerance_bps: int = 1_000
    hold_ms: int = 60_000

    def __post_init__(self) -> None:
        """Raises InvalidInput: CONFIG_INVALID."""
        fine = (
            1 <= self.min_interval_ms <= self.calm.interval_ms <= self.max_interval_ms
            and 1 <= self.calm.collar_bps <= self.max_collar_bps <= BPS
            and 1 <= self.min_fan_out <= self.calm.fan_out
            and 1 <= self.utilisation_bps <= BPS
            and 0 <= self.fixed_bps <= BPS
            and self.drift_bps >= 1
            and min(self.collar_sigmas, self.price_age_ms, self.tolerance_bps, self.hold_ms) >= 0
        )
        if not fine:
            raise InvalidInput(Reason.CONFIG_INVALID, "no such pace", rules=self)


@dataclass(frozen=True, slots=True)
class Signals:
    """What stress is read from.

    Attributes:
        utilisation_bps: work forecast for the next batches over what the fleet can do, at the
            settings that are in force; above 10,000 where it cannot.
        volatility_bps: of the most volatile price in use, over an hour (`Volatility.hourly_bps`).
    """

    utilisation_bps: int
    volatility_bps: int


@dataclass(frozen=True, slots=True)
class Move:
    """One setting moves."""

    setting: str
    before: int
    after: int
    cause: Cause
    signals: Signals

    @property
    def change(self) -> Change:
        """As it is logged."""
        why = (
            f"{self.setting} {self.before} → {self.after}: {self.cause}, forecast utilisation"
            f" {self.signals.utilisation_bps} bps, volatility {self.signals.volatility_bps} bps/√h"
        )
        return Change(Rule.CALM if self.cause is Cause.CALM else Rule.STRESS, why=why)


@dataclass(frozen=True, slots=True)
class Held:
    """A calmer setting is asked for: since when, and the least calm of what was asked since."""

    since_ms: int
    asked: int


@dataclass(frozen=True, slots=True)
class Stress:
    """The state: settings in force, and what is held back of each."""

    pace: Pace
    interval: Held | None = None
    collar: Held | None = None
    fan_out: Held | None = None


def react(
    rules: PaceRules, state: Stress, signals: Signals, now_ms: int
) -> tuple[Stress, tuple[Move, ...]]:
    """The next state and the moves that lead to it.

    Args:
        rules: bounds and targets.
        state: `Stress(rules.calm)` at first.
        signals: as forecast now.
        now_ms: never earlier than in the calls before.

    Raises:
        InvalidInput: FIELD_INVALID: a signal is negative.
    """
    if min(signals.utilisation_bps, signals.volatility_bps) < 0:
        raise InvalidInput(Reason.FIELD_INVALID, "signals are not negative", signals=signals)
    pace, moves = state.pace, []

    def step(
        setting: str, before: int, after: int, cause: Cause, held: Held | None
    ) -> tuple[int, Held | None]:
        """What the setting becomes, and what is held back of it from now on."""
        small = abs(after - before) * BPS < rules.tolerance_bps * before
        if after == before or (small and after != getattr(rules.calm, setting)):
            return before, None
        if cause is Cause.CALM:
            furthest = max if after < before else min
            asked = after if held is None else furthest(after, held.asked)
            since_ms = now_ms if held is None else held.since_ms
            if now_ms - since_ms < rules.hold_ms:
                return before, Held(since_ms, asked)
            after = asked
        moves.append(Move(setting, before, after, cause, signals))
        return after, None

    drifting = _drift_interval(rules, signals)
    fan_out = _affordable(rules, pace, signals, drifting)
    bearable = _bearable_interval(rules, pace, signals, fan_out)
    interval = max(drifting, bearable)
    cause = Cause.CALM
    if interval > pace.interval_ms and bearable > drifting:
        cause = Cause.OVERLOAD
    elif interval < pace.interval_ms <= rules.calm.interval_ms:
        cause = Cause.VOLATILITY
    interval, held_interval = step("interval_ms", pace.interval_ms, interval, cause, state.interval)
    collar = _collar(rules, signals, interval)
    cause = Cause.VOLATILITY if collar > pace.collar_bps else Cause.CALM
    collar, held_collar = step("collar_bps", pace.collar_bps, collar, cause, state.collar)
    cause = Cause.OVERLOAD if fan_out < pace.fan_out else Cause.CALM
    fan_out, held_fan_out = step("fan_out", pace.fan_out, fan_out, cause, state.fan_out)
    after = Pace(interval, collar, fan_out)
    return Stress(after, held_interval, held_collar, held_fan_out), tuple(moves)


def _work(rules: PaceRules, interval_ms: int) -> int:
    """Work per unit of time and of fan-out, times the interval, in any unit."""
    return (BPS - rules.fixed_bps) * interval_ms + rules.fixed_bps * rules.calm.interval_ms


def _drift_interval(rules: PaceRules, signals: Signals) -> int:
    """The longest up to the calm one over which prices drift no more than they may."""
    variance = max(1, signals.volatility_bps**2)
    longest = HOUR_MS * rules.drift_bps**2 // variance
    return min(max(longest, rules.min_interval_ms), rules.calm.interval_ms)


def _affordable(rules: PaceRules, pace: Pace, signals: Signals, interval_ms: int) -> int:
    """The greatest fan-out up to the calm one that is no overload at this interval.

    Work is fan-out · (variable + fixed · calm interval / interval), in proportion.
    """
    able = rules.utilisation_bps * pace.fan_out * _work(rules, pace.interval_ms) * interval_ms
    asked = signals.utilisation_bps * _work(rules, interval_ms) * pace.interval_ms
    most = able // asked if asked else rules.calm.fan_out
    return min(max(most, rules.min_fan_out), rules.calm.fan_out)


def _bearable_interval(rules: PaceRules, pace: Pace, signals: Signals, fan_out: int) -> int:
    """The shortest interval that is no overload at this fan-out, up to the longest allowed."""
    able = rules.utilisation_bps * pace.fan_out * _work(rules, pace.interval_ms)
    asked = signals.utilisation_bps * fan_out * pace.interval_ms
    left = able - asked * (BPS - rules.fixed_bps)
    if left <= 0:
        return rules.max_interval_ms if asked else rules.min_interval_ms
    shortest = -(-asked * rules.fixed_bps * rules.calm.interval_ms // left)
    return min(max(shortest, rules.min_interval_ms), rules.max_interval_ms)


def _collar(rules: PaceRules, signals: Signals, interval_ms: int) -> int:
    """The calm one, and z standard deviations of the prices' move on top."""
    variance = signals.volatility_bps**2 * (interval_ms + rules.price_age_ms)
    moved = isqrt(rules.collar_sigmas**2 * variance // HOUR_MS)
    return min(rules.calm.collar_bps + moved, rules.max_collar_bps)
