"""The simulator: a queue it must agree with, chance that repeats, faults and references."""

import re
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from walras.balance.events import Outcome
from walras.balance.queueing import erlang_c
from walras.balance.view import Request
from walras.core.errors import InvalidInput
from walras.simulator.arrivals import generate
from walras.simulator.balancers import NAMES
from walras.simulator.chance import Stream, draws, numbers
from walras.simulator.fleet import simulate
from walras.simulator.node import Node
from walras.simulator.queue import _one_server, _servers, waiting_time
from walras.simulator.references import JoinShortestQueue
from walras.simulator.scenario import SCENARIOS, Fault, Scenario, Shock
from walras.simulator.service import KINDS, Service, unit
from walras.simulator.speed import Antagonists, Speed, constant, hindered
from walras.simulator.table import COLUMNS
from walras.simulator.trace import Trace, read_trace

SMALL = Scenario("small", nodes=4, slots=2, routers=2, seconds=4.0, warmup_s=1.0, load=0.6)
DEFAULT = "least_expected_delay"


# queues that have a formula


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (4, 0.8), (16, 0.9)])
def test_a_markovian_queue_waits_as_erlang_says(servers: int, load: float) -> None:
    expected = erlang_c(servers, servers * load) / (servers * (1 - load))
    assert waiting_time(servers, load, 1, 1, 400_000, seed=3) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("scv", [0.0, 0.5, 4.0])
def test_one_server_waits_as_pollaczek_and_khinchine_say(scv: float) -> None:
    expected = 0.7 / 0.3 * (1 + scv) / 2
    assert waiting_time(1, 0.7, 1, scv, 600_000, seed=5) == pytest.approx(expected, rel=0.06)


def test_one_server_waits_the_same_by_both_recursions() -> None:
    gaps = unit("exponential", 1, numbers(1, Stream.ARRIVALS), 5_000)
    work = 0.9 * unit("exponential", 1, numbers(1, Stream.WORK), 5_000)
    assert _one_server(gaps, work) == pytest.approx(_servers(1, gaps, work), abs=1e-6)


@pytest.mark.parametrize(("c", "load", "calls"), [(0, 0.5, 1_000), (1, 1.0, 1_000), (1, 0.5, 9)])
def test_queues_without_a_mean_are_refused(c: int, load: float, calls: int) -> None:
    with pytest.raises(InvalidInput):
        waiting_time(c, load, 1, 1, calls, seed=1)


def test_a_fleet_with_perfect_knowledge_waits_as_one_queue_at_least() -> None:
    """No balancer beats one queue for all slots, and the ideal is close to it."""
    scenario = replace(SMALL, nodes=8, load=0.8, seconds=60.0)
    found = simulate(scenario, "join_shortest_queue")
    bound = erlang_c(16, 16 * 0.8) / (16 * 0.2) * 10
    wait = found.mean_ms - 10
    assert 0.8 * bound < wait < 3 * bound


# chance


@pytest.mark.parametrize("kind", KINDS)
def test_distributions_have_the_mean_and_variation_that_is_asked(kind: str) -> None:
    scv = {"exponential": 1.0, "deterministic": 0.0}.get(kind, 2.0)
    chosen = next(known for known in KINDS if known == kind)
    drawn = unit(chosen, scv, numbers(1, Stream.WORK), 400_000)
    assert drawn.min() > 0
    assert drawn.mean() == pytest.approx(1, rel=0.02)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(scv, rel=0.15, abs=1e-9)


def test_draws_are_uniform_and_exact_for_large_numbers() -> None:
    draw = draws(1, 0)
    counts = np.bincount([draw(7) for _ in range(70_000)], minlength=7)
    assert abs(counts - 10_000).max() < 500
    large = [draw(1 << 80) for _ in range(200)]
    assert max(large) > 1 << 79
    assert len({value % 1024 for value in large}) > 100


def test_the_same_seed_gives_the_same_result_and_another_does_not() -> None:
    def figures(seed: int) -> tuple[object, ...]:
        found = simulate(replace(SMALL, seed=seed), DEFAULT)
        return (*found.latencies_ms.tolist(), found.flow, found.max_queue)

    assert figures(1) == figures(1)
    assert figures(1) != figures(2)


def test_every_policy_meets_the_same_calls() -> None:
    """Common random numbers: with one node there is nothing to choose, so nothing differs."""
    alone = replace(SMALL, nodes=1, slots=8, antagonists=Antagonists())
    results = [simulate(alone, policy) for policy in NAMES]
    first = results[0].latencies_ms
    assert all(np.array_equal(result.latencies_ms, first) for result in results)


def test_arrivals_follow_ramp_and_shock() -> None:
    scenario = replace(SMALL, ramp=(0.5, 1.0), seconds=100.0, shocks=(Shock(20, 10, 3, 2),))
    calls = generate(scenario, capacity=8)
    at = np.array(calls.at_us)
    work = np.array(calls.work_us)
    assert (np.diff(at) >= 0).all()
    rate = 8 / 0.01  # a second, at load 1
    assert np.sum(at < 20e6) == pytest.approx(0.5 * rate * 20, rel=0.05)
    during = (at >= 20e6) & (at < 30e6)
    assert np.sum(during) == pytest.approx(1.5 * rate * 10, rel=0.05)
    assert np.sum(at >= 50e6) == pytest.approx(rate * 50, rel=0.05)
    assert work[during].mean() == pytest.approx(20_000, rel=0.05)
    assert work[~during].mean() == pytest.approx(10_000, rel=0.05)


# speed


def test_work_takes_as_long_as_the_speed_makes_it() -> None:
    speed = Speed([0.0, 10.0, 20.0], [1.0, 0.5, 2.0])
    assert speed.finish(0, 5) == 5
    assert speed.finish(5, 10) == 20  # 5 at full speed, 5 at half
    assert speed.finish(8, 11) == pytest.approx(22)  # 2, then 5 in ten, then 4 at double speed
    assert speed.finish(30, 10) == 35
    assert speed.mean(20) == pytest.approx(0.75)
    assert constant(0.25).finish(3, 1) == 7


def test_antagonists_take_their_share() -> None:
    found = Antagonists(1.0, 1_000, 3_000, speed_on=0.2, speed_off=1.0)
    means = [
        hindered(found, 1.0, 200e6, numbers(1, Stream.ANTAGONIST, i)).mean(200e6) for i in range(40)
    ]
    assert np.mean(means) == pytest.approx(0.25 * 0.2 + 0.75, rel=0.03)


# nodes


def node(*faults: Fault, slots: int = 1) -> Node:
    return Node(slots, 1.0, constant(1.0), faults)


def test_a_node_serves_in_order_and_drops_what_is_late() -> None:
    found = node()
    assert found.take(0, 10, 100) == (10, Outcome.OK)
    assert found.take(0, 10, 100) == (20, Outcome.OK)
    assert found.take(0, 10, 15) == (15, Outcome.TIMEOUT)  # never starts, takes no slot
    assert found.take(0, 10, 100) == (30, Outcome.OK)
    assert found.take(0, 99, 40) == (40, Outcome.TIMEOUT)  # given up halfway: the slot is free
    assert found.take(0, 5, 100) == (45, Outcome.OK)
    assert found.most == 5
    assert found.inside == 6


def test_what_a_node_has_is_lost_when_it_falls_silent() -> None:
    found = node(Fault("silent", 1, 50e-6, 80e-6))
    assert found.take(40, 10, 200) == (50, Outcome.OK)
    assert found.take(40, 10, 200) == (200, Outcome.TIMEOUT)
    found.turn("silent", 50)
    assert not found.alive
    assert found.take(60, 1, 90) == (90, Outcome.TIMEOUT)
    life = found.life
    found.turn(None, 80)
    assert found.alive
    assert found.inside == 0
    found.leave(life, 10, Outcome.TIMEOUT)  # of a life before
    assert found.inside == 0
    assert found.take(90, 10, 200) == (100, Outcome.OK)


def test_a_node_that_refuses_says_so_at_once() -> None:
    found = node(Fault("refuse", 1, 50e-6, inf))
    assert found.take(45, 10, 200) == (50, Outcome.ERROR)
    found.turn("refuse", 50)
    assert found.take(60, 10, 200) == (60, Outcome.ERROR)


def test_a_node_cheats_fast_and_a_liar_reports_nothing() -> None:
    found = node(Fault("garbage", 1))
    found.turn("garbage", 0)
    assert found.take(0, 1_000, 5_000) == (10, Outcome.ERROR)
    found.turn("fade", 0)
    assert found.take(0, 1_000, 5_000) == (10, Outcome.OK)
    found.turn("zero_load", 0)
    assert found.take(0, 1_000, 5_000) == (1_000, Outcome.OK)
    assert found.inside == 3
    assert found.reports == 0


def test_a_probe_is_answered_with_the_latency_at_that_load() -> None:
    found = node()
    found.estimates = True
    for _ in range(3):
        found.take(0, 10, 1_000)
    assert found.estimate(5) == (3, 1)  # nothing has ended yet
    found.inside = 1
    assert found.estimate(40) == (1, 20)
    found.inside = 9
    assert found.estimate(40) == (9, 30)


# the ideal


def test_the_shortest_queue_is_joined_whatever_happens() -> None:
    nodes = [node() for _ in range(5)]
    ideal = JoinShortestQueue(nodes, draws(1, 0))
    draw, open_calls, counts = draws(2, 0), [], [0] * 5
    for step in range(2_000):
        if step == 700:
            nodes[2].turn("silent", 0)
        if step == 1_400:
            nodes[2].turn(None, 0)
            ideal.tick(0)
        if open_calls and draw(100) < 48:
            token = open_calls.pop(draw(len(open_calls)))
            ideal.end(token, 0, Outcome.OK, 0)
            counts[token] -= 1
        else:
            index, token = ideal.start(Request())
            living = [counts[i] for i in range(5) if nodes[i].alive]
            assert nodes[index].alive
            assert counts[index] == min(living)
            counts[index] += 1
            open_calls.append(token)


# fleets


def test_all_calls_end_and_none_is_lost() -> None:
    scenario = replace(SCENARIOS["byzantine"], seconds=6.0)
    for policy in (DEFAULT, "prequal", "join_shortest_queue", "weighted_round_robin"):
        found = simulate(scenario, policy)
        assert len(found.latencies_ms) + found.errors == found.calls == sum(found.flow)
        assert sum(window.calls for window in found.series) == found.simulated


def test_a_silent_node_is_ejected_and_comes_back() -> None:
    scenario = replace(
        SMALL, seconds=40.0, timeout_ms=500, faults=(Fault("silent", 0.25, 5.0, 12.0),)
    )
    found = simulate(scenario, DEFAULT)
    out = [m for m in found.moves if m.rule == "consecutive_errors" and m.node == 3]
    back = [m for m in found.moves if m.rule == "ejection_over" and m.node == 3]
    assert {move.router for move in out} == {move.router for move in back} == {0, 1}
    assert 5.0 < min(move.at_s for move in out) < 7.0
    assert not [window for window in found.series if window.from_s > 13 and window.failed]
    assert found.timeouts


def test_what_never_answers_times_out_at_the_timeout() -> None:
    scenario = replace(SMALL, timeout_ms=300, faults=(Fault("silent", 1.0),))
    found = simulate(scenario, DEFAULT)
    assert found.timeouts == found.calls
    assert set(found.latencies_ms.tolist()) == {300.0}


def test_near_nodes_answer_sooner_where_the_policy_knows_the_way() -> None:
    scenario = replace(SCENARIOS["regions"], seconds=6.0)
    near, any_node = (simulate(scenario, policy) for policy in ("geographic", "round_robin"))
    assert near.p50_ms < 20
    assert any_node.p50_ms > 80


def test_a_round_trip_adds_to_every_answer() -> None:
    scenario = replace(SMALL, load=0.05, service=Service("deterministic"), regions=1)
    plain = simulate(scenario, "random")
    away = simulate(replace(scenario, rtt_ms=((40.0,),)), "random")
    assert plain.p50_ms == pytest.approx(10)
    assert away.p50_ms == pytest.approx(50, abs=0.01)


def test_slow_nodes_cost_the_default_little_and_round_robin_much() -> None:
    scenario = replace(SCENARIOS["slow-nodes"], seconds=12.0)
    ours, theirs = (simulate(scenario, policy) for policy in (DEFAULT, "round_robin"))
    assert ours.p99_ms * 5 < theirs.p99_ms
    assert not ours.timeouts


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": 0},
        {"slots": 0},
        {"routers": 0},
        {"load": float("nan")},
        {"seconds": 0.0},
        {"seed": -1},
        {"slow_nodes": 5},
        {"service": Service("lognormal", scv=-1)},
        {"seconds": 80_000.0, "load": 9.0},
        {"rtt_ms": ((1.0,), (1.0,))},
        {"groups": (3, 3)},
        {"first_slots": (0,)},
    ],
)
def test_what_cannot_be_simulated_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        simulate(replace(SMALL, **change), DEFAULT)


def test_an_unknown_policy_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput) as raised:
        simulate(SMALL, "best")
    assert all(name in raised.value.hint for name in NAMES)


# traces


def write(folder: Path, text: str) -> Path:
    file = folder / "trace.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_trace_is_run_as_it_was_recorded(tmp_path: Path) -> None:
    file = write(tmp_path, "at_ms,cost_us,region,key\n1020,9000,b,x\n1000,5000,a,y\n1500,1,a,x\n")
    trace = read_trace(file)
    assert trace == Trace(
        (0.0, 20.0, 500.0), (5000.0, 9000.0, 1.0), ("a", "b", "a"), (b"y", b"x", b"x")
    )
    scenario = replace(SMALL, regions=2, rtt_ms=((0.0, 0.0), (0.0, 0.0)), warmup_s=0.0)
    found = simulate(scenario, "random", trace)
    assert found.latencies_ms.tolist() == pytest.approx([0.001, 5.0, 9.0], abs=0.001)
    with pytest.raises(InvalidInput, match="2 regions"):
        simulate(SMALL, "random", trace)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "1"),
        ("cost_us,at_ms\n1,2\n", "1"),
        ("at_ms,at_ms\n1,2\n", "1"),
        ("at_ms,colour\n1,red\n", "1"),
        ("at_ms\n", "2"),
        ("at_ms\n1\nnan\n", "3"),
        ("at_ms\n-1\n", "2"),
        ("at_ms,cost_us\n1,5\n2,0\n", "3"),
        ("at_ms,cost_us\n1\n", "2"),
        ("at_ms\n0\n9e14\n", "0"),
        ('at_ms\n"1\n', "0"),
    ],
)
def test_a_trace_that_is_wrong_is_refused_with_its_line(
    text: str, line: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_trace(write(tmp_path, text))
    assert raised.value.fields["line"] == line


def test_the_document_has_every_scenario() -> None:
    text = (Path(__file__).parents[2] / "docs/simulator.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([a-z-]+)(?: FILE)?` \| ", text, re.MULTILINE)
    assert set(named) >= set(SCENARIOS)
    for column in COLUMNS[1:]:
        assert f"`{column}`" in text or column in {"p90", "p99"}
