"""What holds of capacity, scaling, pace and shedding whatever the numbers are."""

from contextlib import suppress
from itertools import pairwise
from math import inf, isfinite

from hypothesis import given
from hypothesis import strategies as st

from walras.balance.pace import Cause, Pace, PaceRules, Signals, Stress, react
from walras.balance.queueing import (
    MOST_WAIT_US,
    allen_cunneen,
    erlang_b,
    erlang_c,
    expected_wait_us,
    utilisation_bps,
    waiting_time,
)
from walras.balance.scaling import Load, Scale, ScalingRules, nodes_needed, scale
from walras.balance.shedding import Capacity, Census, admit
from walras.core.errors import InvalidInput

servers = st.integers(1, 300)
loads = st.floats(0, 400, allow_nan=False)
scvs = st.floats(0, 5, allow_nan=False)


@given(servers, loads)
def test_probabilities_are_in_order(count: int, load: float) -> None:
    blocked, delayed = erlang_b(count, load), erlang_c(count, load)
    assert 0 <= blocked <= delayed <= 1 + 1e-12
    assert erlang_c(count + 1, load) <= delayed + 1e-12
    assert erlang_b(count + 1, load) <= blocked + 1e-12


@given(servers, st.floats(1e-6, 0.999), scvs, scvs, st.floats(1.0, 3.0))
def test_waits_grow_with_variation_and_scale_with_service(
    count: int, share: float, arrival_scv: float, service_scv: float, more: float
) -> None:
    load = share * count
    for formula in (allen_cunneen, waiting_time):
        wait = formula(count, load, 1.0, arrival_scv, service_scv)
        assert 0 <= wait < inf
        assert formula(count, load, 1.0, arrival_scv * more, service_scv) >= wait * (1 - 1e-9)
        assert formula(count, load, 1.0, arrival_scv, service_scv * more) >= wait * (1 - 1e-9)
        assert (
            abs(formula(count, load, 7.0, arrival_scv, service_scv) - 7 * wait)
            <= 1e-9 * wait + 1e-300
        )


@given(servers, st.integers(1, 10**7), st.integers(0, 10**9), st.integers(1, 10**9), st.integers())
def test_a_node_s_wait_grows_with_its_calls(
    count: int, service_us: int, calls: int, span: int, seed: int
) -> None:
    """So a limit leaves it some calls and moves the others."""
    variation_bps = abs(seed) % 200_000
    wait = expected_wait_us(count, service_us, calls, span, variation_bps)
    assert 0 <= wait <= MOST_WAIT_US
    assert utilisation_bps(count, service_us, calls, span) >= 0
    more = expected_wait_us(count, service_us, calls + 1 + calls // 20, span, variation_bps)
    assert more >= wait - 1
    assert expected_wait_us(count, service_us, calls, 2 * span, variation_bps) <= wait + 1


@given(
    st.builds(
        ScalingRules,
        min_nodes=st.integers(1, 5),
        max_nodes=st.integers(5, 60),
        slots=st.integers(1, 8),
        tolerance_bps=st.integers(0, 3_000),
        cool_down_ms=st.integers(0, 50),
    ),
    st.lists(st.tuples(st.integers(0, 20), st.floats(0, 200), st.floats(0, 200)), min_size=1),
)
def test_the_fleet_is_never_below_its_load_nor_outside_its_limits(
    rules: ScalingRules, steps: list[tuple[int, float, float]]
) -> None:
    state, now_ms, seen = Scale(rules.min_nodes), 0, []
    for passed, present, forecast in steps:
        now_ms += passed
        before = state.nodes
        state, change = scale(rules, state, Load(present, forecast), now_ms)
        wish = max(nodes_needed(rules, present), nodes_needed(rules, forecast))
        seen.append((now_ms, min(max(wish, rules.min_nodes), rules.max_nodes)))
        assert rules.min_nodes <= state.nodes <= rules.max_nodes
        assert state.nodes >= seen[-1][1]
        assert (change is None) == (state.nodes == before)
        # Never below any wish of the cool-down; a new size is one of them.
        recent = [n for at, n in seen[:-1] if now_ms - at < rules.cool_down_ms] + [seen[-1][1]]
        assert state.nodes >= max(recent)
        if change is not None:
            assert state.nodes == max(recent)


@given(
    st.lists(
        st.tuples(st.integers(0, 40_000), st.integers(0, 60_000), st.integers(0, 5_000)),
        min_size=1,
        max_size=30,
    )
)
def test_the_pace_keeps_its_bounds_and_its_calm_comes_late(
    steps: list[tuple[int, int, int]],
) -> None:
    rules, state, now_ms = PaceRules(), Stress(PaceRules().calm), 0
    asked_since: dict[str, int] = {}
    for passed, utilisation, volatility in steps:
        now_ms += passed
        before = state
        state, moves = react(rules, state, Signals(utilisation, volatility), now_ms)
        pace = state.pace
        assert rules.min_interval_ms <= pace.interval_ms <= rules.max_interval_ms
        assert rules.calm.collar_bps <= pace.collar_bps <= rules.max_collar_bps
        assert rules.min_fan_out <= pace.fan_out <= rules.calm.fan_out
        told = {move.setting: move for move in moves}
        for name in Pace.__slots__:
            was, is_now = getattr(before.pace, name), getattr(pace, name)
            assert (name in told) == (was != is_now)
            if was != is_now:
                assert (told[name].before, told[name].after) == (was, is_now)
                if told[name].cause is Cause.CALM:
                    assert now_ms - asked_since.pop(name, now_ms) >= rules.hold_ms
        for name, held in [("interval_ms", state.interval), ("collar_bps", state.collar)]:
            if held is None:
                asked_since.pop(name, None)
            else:
                asked_since.setdefault(name, now_ms)
        if state.fan_out is None:
            asked_since.pop("fan_out", None)
        else:
            asked_since.setdefault("fan_out", now_ms)


def fair(wants: list[int], room: int) -> list[int]:
    """Max–min by filling one unit at a time."""
    given_, left = [0] * len(wants), room
    while left and any(g < w for g, w in zip(given_, wants, strict=True)):
        least = min(g for g, w in zip(given_, wants, strict=True) if g < w)
        for at, want in enumerate(wants):
            if given_[at] == least < want and left:
                given_[at] += 1
                left -= 1
    return given_


def taken(census: Census, owner_open: int, limits: Capacity) -> bool:
    with suppress(InvalidInput):
        admit(census, owner_open, limits)
        return True
    return False


@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.integers(1, 60), st.integers(0, 20))
def test_shedding_is_max_min_fair(opens: list[int], soft: int, spare: int) -> None:
    book = {bytes([n]): count for n, count in enumerate(opens)}
    limits = Capacity(soft, soft + spare, 1_000)
    census = Census(book)
    for owner, count in book.items():
        admitted = taken(census, count, limits)
        wants = [open_ + (other == owner) for other, open_ in book.items()]
        whole = fair(wants, soft)[list(book).index(owner)] == count + 1
        total = sum(opens) + 1
        if total <= soft:
            assert admitted
        elif total > limits.hard:
            assert not admitted
        elif admitted:
            assert whole  # what it holds with the new one is within what fairness gives it
        if not admitted and total <= limits.hard:
            # Nobody with more is admitted where this one is refused.
            assert not any(taken(census, more, limits) for more in opens if more > count)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), max_size=20))
def test_wishes_stay_strictly_falling(loads_: list[tuple[float, float]]) -> None:
    rules, state = ScalingRules(cool_down_ms=5), Scale(1)
    for now_ms, (present, forecast) in enumerate(loads_):
        state, _ = scale(rules, state, Load(present, forecast), now_ms)
        assert all(a > b for (_, a), (_, b) in pairwise(state.wishes))
        assert all(isfinite(nodes) for _, nodes in state.wishes)
