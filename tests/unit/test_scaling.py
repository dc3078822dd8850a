"""The scaler: ahead of load, never below it, and down only after a while."""

from math import inf, nan

import pytest

from walras.balance.events import Rule
from walras.balance.queueing import erlang_c
from walras.balance.scaling import Load, Scale, ScalingRules, nodes_needed, scale
from walras.core.errors import InvalidInput, Reason

RULES = ScalingRules(min_nodes=2, max_nodes=40, slots=4, cool_down_ms=10_000)


def run(rules: ScalingRules, state: Scale, *steps: tuple[int, float, float]) -> list[int]:
    sizes = []
    for now_ms, present, forecast in steps:
        state, _ = scale(rules, state, Load(present, forecast), now_ms)
        sizes.append(state.nodes)
    return sizes


def test_what_is_needed_keeps_the_delay_it_promises() -> None:
    for load in (1.0, 20.0, 77.0):
        nodes = nodes_needed(RULES, load)
        assert erlang_c(4 * nodes, load) <= 0.22
        assert erlang_c(max(4 * (nodes - 1), 1), load) > 0.2


def test_a_forecast_is_followed_at_once_and_says_why() -> None:
    state, change = scale(RULES, Scale(3), Load(8.0, 60.0), 0)
    assert state.nodes == nodes_needed(RULES, 60.0) > 3
    assert change is not None
    assert change.rule is Rule.SCALED_UP
    assert change.node == b""
    assert "nodes 3 → " in change.why
    assert "forecast 60.00" in change.why


def test_the_present_load_is_a_floor() -> None:
    state, _ = scale(RULES, Scale(3), Load(60.0, 1.0), 0)
    assert state.nodes == nodes_needed(RULES, 60.0)


@pytest.mark.parametrize("forecast", [nan, inf])
def test_a_forecast_that_is_none_leaves_the_floor(forecast: float) -> None:
    assert scale(RULES, Scale(2), Load(30.0, forecast), 0)[0].nodes == nodes_needed(RULES, 30.0)


def test_limits_hold() -> None:
    assert run(RULES, Scale(3), (0, 1e9, inf)) == [40]
    assert run(RULES, Scale(3), (0, 0.0, 0.0), (10_000, 0.0, 0.0)) == [2, 2]
    # A fleet that is larger than it may be, as the limit was lowered, shrinks to it.
    assert run(RULES, Scale(50), (0, 1e9, 0.0)) == [40]


def test_down_only_after_the_cool_down_and_to_its_highest_wish() -> None:
    steps = [(0, 60.0, 0.0), (4_000, 20.0, 0.0), (8_000, 30.0, 0.0), (9_999, 20.0, 0.0)]
    steps += [(10_000, 20.0, 0.0), (17_999, 20.0, 0.0), (18_000, 20.0, 0.0)]
    high, middle, low = (nodes_needed(RULES, load) for load in (60.0, 30.0, 20.0))
    assert run(RULES, Scale(2), *steps) == [high, high, high, high, middle, middle, low]


def test_down_says_why() -> None:
    state, _ = scale(RULES, Scale(2), Load(60.0), 0)
    state, change = scale(RULES, state, Load(20.0), 10_000)
    assert change is not None
    assert change.rule is Rule.SCALED_DOWN


def test_a_little_too_many_are_kept() -> None:
    rules = ScalingRules(max_nodes=100, tolerance_bps=1_000, cool_down_ms=0)
    exact = nodes_needed(rules, 50.0)
    assert run(rules, Scale(exact + 5), (0, 50.0, 0.0)) == [exact + 5]
    assert run(rules, Scale(exact + 10), (0, 50.0, 0.0)) == [exact]


def test_wishes_that_can_no_longer_matter_are_forgotten() -> None:
    state = Scale(2)
    for at in range(10_000):
        state, _ = scale(RULES, state, Load(float(at % 97)), at)
    assert len(state.wishes) <= RULES.max_nodes
    assert [nodes for _, nodes in state.wishes] == sorted(
        {nodes for _, nodes in state.wishes}, reverse=True
    )


@pytest.mark.parametrize("load", [Load(-1.0), Load(nan), Load(1.0, -2.0)])
def test_a_load_that_is_none_is_refused(load: Load) -> None:
    with pytest.raises(InvalidInput) as caught:
        scale(RULES, Scale(2), load, 0)
    assert caught.value.reason is Reason.FIELD_INVALID


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_nodes": 0},
        {"min_nodes": 65},
        {"slots": 0},
        {"delay_bps": 0},
        {"delay_bps": 10_000},
        {"tolerance_bps": -1},
        {"cool_down_ms": -1},
    ],
)
def test_rules_that_cannot_be_kept_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput) as caught:
        ScalingRules(**wrong)
    assert caught.value.reason is Reason.CONFIG_INVALID
