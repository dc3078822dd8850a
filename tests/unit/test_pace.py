"""The market's pace: which setting moves for which stress, how far, and how it comes back."""

import pytest

from walras.balance.events import Rule
from walras.balance.pace import Cause, Move, Pace, PaceRules, Signals, Stress, react
from walras.core.errors import InvalidInput, Reason

RULES = PaceRules()
CALM = Stress(RULES.calm)
QUIET = Signals(5_000, 50)


def settle(rules: PaceRules, state: Stress, signals: Signals, now_ms: int = 0) -> Stress:
    """The same signals until nothing moves."""
    for _ in range(20):
        state, moves = react(rules, state, signals, now_ms)
        now_ms += rules.hold_ms
        if not moves and (state.interval, state.collar, state.fan_out) == (None, None, None):
            return state
    raise AssertionError(state)


def work(rules: PaceRules, pace: Pace) -> float:
    """What the utilisation is proportional to, as a formula of its own."""
    fixed = rules.fixed_bps / 10_000
    return pace.fan_out * (1 - fixed + fixed * rules.calm.interval_ms / pace.interval_ms)


def test_nothing_moves_while_nothing_is_the_matter() -> None:
    assert react(RULES, CALM, QUIET, 0) == (CALM, ())


def test_overload_takes_fan_out_first() -> None:
    state, moves = react(RULES, CALM, Signals(11_000, 50), 0)
    assert state.pace == Pace(2_000, 1_000, 2)
    assert moves == (Move("fan_out", 3, 2, Cause.OVERLOAD, Signals(11_000, 50)),)
    assert moves[0].change.rule is Rule.STRESS
    assert moves[0].change.why == (
        "fan_out 3 → 2: overload, forecast utilisation 11000 bps, volatility 50 bps/√h"
    )


def test_then_the_interval_by_just_what_is_missing() -> None:
    signals = Signals(13_000, 50)
    state, moves = react(RULES, CALM, signals, 0)
    assert [move.setting for move in moves] == ["interval_ms", "fan_out"]
    after = 13_000 * work(RULES, state.pace) / work(RULES, RULES.calm)
    assert after <= RULES.utilisation_bps
    shorter = Pace(state.pace.interval_ms - 10, 1_000, 2)
    assert 13_000 * work(RULES, shorter) / work(RULES, RULES.calm) > RULES.utilisation_bps


def test_the_interval_has_an_end() -> None:
    state, _ = react(RULES, CALM, Signals(50_000, 50), 0)
    assert state.pace == Pace(10_000, 1_000, 2)


def test_what_is_measured_at_other_settings_is_not_overload_again() -> None:
    state, _ = react(RULES, CALM, Signals(13_000, 50), 0)
    seen = int(13_000 * work(RULES, state.pace) / work(RULES, RULES.calm))
    again, moves = react(RULES, state, Signals(seen, 50), 1)
    assert moves == ()
    assert again.pace == state.pace


def test_volatility_shortens_the_interval_and_widens_the_collar() -> None:
    # σ√T = 10 bps at σ = 600 bps/√h needs T = 3,600 s / 60² = 1 s.
    state, moves = react(RULES, CALM, Signals(1_000, 600), 0)
    assert state.pace.interval_ms == 1_000
    # z σ √((T + age)/h) = 5 · 600 · √(61/3600) = 390
    assert state.pace.collar_bps == 1_390
    assert state.pace.fan_out == 3
    assert {move.cause for move in moves} == {Cause.VOLATILITY}


def test_volatility_has_its_bounds() -> None:
    state, _ = react(RULES, CALM, Signals(1_000, 10**9), 0)
    assert state.pace == Pace(500, 3_000, 3)


def test_overload_goes_before_volatility() -> None:
    # 7,900 bps at the calm interval would be more than it can do at a short one.
    signals = Signals(7_900, 1_200)
    state, _ = react(RULES, CALM, signals, 0)
    assert state.pace.fan_out == 2
    assert 500 < state.pace.interval_ms < 2_000
    used = 7_900 * work(RULES, state.pace) / work(RULES, RULES.calm)
    assert 7_800 < used <= 8_000


def test_a_short_interval_is_lengthened_at_once_when_load_comes() -> None:
    state = Stress(Pace(500, 1_000, 2))
    state, moves = react(RULES, state, Signals(12_000, 1_200), 0)
    assert state.pace.interval_ms > 500
    assert moves[0].cause is Cause.OVERLOAD


def test_back_only_after_the_hold_and_as_far_as_all_of_it_asked() -> None:
    state, _ = react(RULES, CALM, Signals(1_000, 1_200), 0)
    assert state.pace.interval_ms == 500
    collar = state.pace.collar_bps
    state, moves = react(RULES, state, Signals(1_000, 50), 1_000)
    assert moves == ()
    state, moves = react(RULES, state, Signals(1_000, 600), 30_000)
    assert moves == ()
    state, moves = react(RULES, state, Signals(1_000, 50), 60_999)
    assert (moves, state.pace.interval_ms, state.pace.collar_bps) == ((), 500, collar)
    state, moves = react(RULES, state, Signals(1_000, 50), 61_000)
    assert state.pace.interval_ms == 1_000  # what the middle one asked for
    assert {move.cause for move in moves} == {Cause.CALM}
    assert moves[0].change.rule is Rule.CALM
    assert settle(RULES, state, Signals(1_000, 0), 61_001).pace == RULES.calm


def test_asking_for_calm_starts_anew_when_stress_returns() -> None:
    state, _ = react(RULES, CALM, Signals(1_000, 1_200), 0)
    state, _ = react(RULES, state, Signals(1_000, 50), 1_000)
    state, _ = react(RULES, state, Signals(1_000, 1_200), 2_000)
    state, moves = react(RULES, state, Signals(1_000, 50), 61_500)
    assert moves == ()
    assert state.pace.interval_ms == 500


def test_small_moves_are_not_made() -> None:
    state = Stress(Pace(1_000, 1_390, 3))
    state, moves = react(RULES, state, Signals(1_000, 620), 0)  # would be 936 ms, 1,402 bps
    assert moves == ()
    assert state.pace == Pace(1_000, 1_390, 3)


@pytest.mark.parametrize("signals", [Signals(-1, 0), Signals(0, -1)])
def test_signals_are_not_negative(signals: Signals) -> None:
    with pytest.raises(InvalidInput) as caught:
        react(RULES, CALM, signals, 0)
    assert caught.value.reason is Reason.FIELD_INVALID


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_interval_ms": 0},
        {"min_interval_ms": 2_001},
        {"max_interval_ms": 1_999},
        {"max_collar_bps": 999},
        {"max_collar_bps": 10_001},
        {"min_fan_out": 4},
        {"min_fan_out": 0},
        {"utilisation_bps": 0},
        {"fixed_bps": 10_001},
        {"drift_bps": 0},
        {"hold_ms": -1},
    ],
)
def test_rules_that_cannot_be_kept_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput) as caught:
        PaceRules(**wrong)
    assert caught.value.reason is Reason.CONFIG_INVALID
