"""The routing benchmark's instances, referee, bounds and peers."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import routing, routing_node
from bench.routing import PEERS, ROUTER, Answer, Measuring, router, router_whole
from bench.routing_bound import below, best_bound, bound, earnings
from bench.routing_instances import (
    ATOMS,
    COST,
    FEE_PIPS,
    GAMMA,
    Floats,
    Instance,
    NoAnswer,
    as_json,
    execute,
    generate,
    replay,
)
from bench.routing_ours import Ours
from bench.routing_peers import Peer, best_path, conic, dual, pruned
from walras.core.bids import Execution
from walras.core.errors import SwapError
from walras.sdk import Router

CONVEX = pytest.mark.parametrize("peer", [dual, conic])


def two_pools() -> Instance:
    """One pair of tokens, two pools; the second at the better price."""
    reserves = ((1_000 * ATOMS, 1_000 * ATOMS), (3_000 * ATOMS, 3_003 * ATOMS))
    return Instance(np.ones(2), np.array([[0, 1], [0, 1]]), reserves, 100 * ATOMS)


def split(instance: Instance) -> list[float]:
    """The best split over parallel pools that are all used, in closed form: equal marginal prices
    γ·k/(R + γΔ)² = λ, and the Δ add up to the order."""
    held = np.array(instance.reserves, float) / ATOMS
    roots = np.sqrt(held.prod(axis=1))
    order = instance.amount / ATOMS
    level = (GAMMA * order + held[:, 0].sum()) / roots.sum()
    return ((level * roots - held[:, 0]) / GAMMA).tolist()


def worth(instance: Instance, flows: Floats) -> float:
    return replay(instance, execute(instance, flows)).net


def single_paths(instance: Instance, hops: int) -> list[tuple[Execution, ...]]:
    """Every path of so many hops at most, by trying all."""
    ends = {id_: frozenset(venue.assets) for id_, venue in instance.venues.items()}
    paths = []
    for length in range(1, hops + 1):
        for pools in permutations(ends, length):
            at, amount, steps = instance.assets[0], instance.amount, []
            seen = {at}
            for pool in pools:
                if at not in ends[pool] or at == instance.assets[1]:
                    break
                (to,) = ends[pool] - {at}
                if to in seen:
                    break
                try:
                    out = instance.venues[pool].swap(at, amount, to).amount_out
                except SwapError:
                    break
                steps.append(Execution(pool, at, amount, to, out))
                seen.add(to)
                at, amount = to, out
            if len(steps) == length and at == instance.assets[1]:
                paths.append(tuple(steps))
    return paths


@pytest.mark.parametrize("pools", [1, 2, 10, 137])
def test_an_instance_follows_from_its_seed(pools: int) -> None:
    first, again, other = generate(pools, 7), generate(pools, 7), generate(pools, 8)
    assert json.dumps(as_json(first)) == json.dumps(as_json(again))
    assert first.reserves != other.reserves
    assert len(first.venues) == pools
    assert {0, 1} in (set(pair) for pair in first.tokens.tolist())
    reached = {0}
    for _ in range(len(first.prices)):
        reached |= {t for pair in first.tokens.tolist() if reached & set(pair) for t in pair}
    assert reached == set(range(len(first.prices)))
    # Nothing is to be earned at the reference prices: no pool is off by more than its fee.
    assert not earnings(first.network, np.ones(len(first.prices))).any()


def test_a_peer_in_another_language_is_given_the_same_numbers() -> None:
    instance = generate(10, 0).at_cost(COST)
    given = json.loads(json.dumps(as_json(instance)))
    a, b, x, y = given["pools"][3]
    venue = instance.venues["3"]
    assert [given["tokens"][t] for t in (a, b)] == [id_[-42:] for id_ in venue.assets]
    assert (int(x), int(y)) == venue.reserves
    assert int(given["amount"]) == instance.amount
    cost = float(given["cost"]) * instance.price / 10**9
    assert cost == pytest.approx(instance.cost_value)


@CONVEX
def test_over_parallel_pools_the_split_is_the_closed_form(peer: Peer) -> None:
    instance = two_pools()
    found = peer(instance.network)()
    assert found.flows == pytest.approx(split(instance), rel=1e-3)
    exact = sum(
        y * GAMMA * part / (x + GAMMA * part)
        for part, (x, y) in zip(split(instance), [(1_000, 1_000), (3_000, 3_003)], strict=True)
    )
    assert worth(instance, found.flows) == pytest.approx(exact, rel=1e-8)
    assert bound(instance, found.prices) >= worth(instance, found.flows)
    assert best_bound(instance, [found.prices]) == pytest.approx(exact, rel=1e-9)


@CONVEX
def test_along_a_chain_the_output_is_the_venues_own(peer: Peer) -> None:
    reserves = ((500 * ATOMS, 700 * ATOMS), (900 * ATOMS, 800 * ATOMS))
    tokens = np.array([[0, 2], [1, 2]])
    instance = Instance(np.ones(3), tokens, reserves, 20 * ATOMS)
    assets = instance.assets
    middle = instance.venues["0"].swap(assets[0], instance.amount, assets[2]).amount_out
    out = instance.venues["1"].swap(assets[2], middle, assets[1]).amount_out
    outcome = replay(instance, execute(instance, peer(instance.network)().flows))
    assert (outcome.output, outcome.venues) == (out, 2)


@CONVEX
@pytest.mark.parametrize("pools", [1, 10, 60])
def test_a_convex_peer_reaches_the_bound(peer: Peer, pools: int) -> None:
    instance = generate(pools, 3)
    found = peer(instance.network)()
    best = best_bound(instance, [found.prices])
    outcome = replay(instance, execute(instance, found.flows))
    # L-BFGS may stop where its gradient is small and the bottom is flat.
    assert 0 <= below(best, outcome) < 0.1


@CONVEX
def test_pruning_pays(peer: Peer) -> None:
    instance = generate(60, 5).at_cost(COST)
    plans = pruned(peer, instance.network, instance.cost_value)
    nets = [worth(instance, plan.flows) for plan in plans]
    assert max(nets) > nets[0]
    best = best_bound(instance, [plans[0].prices])
    assert best < bound(instance.at_cost(0), plans[0].prices)
    assert max(nets) <= best


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 25), st.integers(0, 99), st.booleans(), st.data())
def test_whatever_the_flows_they_are_executed_and_below_every_bound(
    pools: int, seed: int, costs: bool, data: st.DataObject
) -> None:
    instance = generate(pools, seed).at_cost(COST if costs else 0)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    flows = random.normal(0.0, 1.0, pools) * instance.value
    flows *= random.random(pools) < data.draw(st.sampled_from([0.3, 1.0]))
    prices = np.exp(
        random.normal(0.0, data.draw(st.sampled_from([1e-3, 0.3])), len(instance.prices))
    )
    executions = execute(instance, flows)
    used = {execution.venue for execution in executions}
    assert len(used) == len(executions)
    assert all(flows[int(venue)] for venue in used)
    assert replay(instance, executions).net <= bound(instance, prices)


def test_the_referee_refuses_what_cannot_be_done() -> None:
    instance = two_pools()
    good = execute(instance, np.array([1.0, 3.0]))
    assert sum(ex.amount_in for ex in good) == instance.amount
    with pytest.raises(ValueError, match=" pays "):
        replay(instance, [replace(good[0], amount_out=good[0].amount_out + 1)])
    more = instance.venues["0"].swap(good[0].asset_in, instance.amount + 1, good[0].asset_out)
    with pytest.raises(ValueError, match=" lack 1 atoms"):
        replay(instance, [replace(good[0], amount_in=instance.amount + 1,
                                  amount_out=more.amount_out)])  # fmt: skip


def test_the_baseline_is_the_best_single_path() -> None:
    for seed in range(3):
        instance = generate(10, seed)
        paths = single_paths(instance, 3)
        best = max(replay(instance, path).output for path in paths)
        found = best_path(instance, Router(instance.venues), instance.price)
        assert replay(instance, found).output == best


def test_peers_in_node() -> None:
    instance = generate(10, 0)
    try:
        routing_node.folder()
    except NoAnswer as absent:
        pytest.skip(f"{absent}; the peers need node, npm and npm's registry")
    best = max(replay(instance, path).output for path in single_paths(instance, 3))
    uniswap = PEERS["Uniswap v2-sdk, one path"](instance)
    assert replay(instance, uniswap.executions).output == best
    balancer = replay(instance, PEERS["Balancer SOR, 64 pools"](instance).executions)
    solution = dual(instance.network)()
    assert balancer.output > best
    assert balancer.net <= bound(instance, solution.prices)


def test_who_is_absent_or_slow_is_asked_no_more_and_the_table_says_so() -> None:
    asked: list[tuple[str, int]] = []

    def absent(_: Instance) -> Answer:
        asked.append(("absent", 0))
        raise NoAnswer("node and npm are not installed")

    def slow(instance: Instance) -> Answer:
        asked.append(("slow", len(instance.tokens)))
        if len(instance.tokens) > 2:
            raise NoAnswer("over 60 s")
        return Answer(1.0, ())

    def good(instance: Instance) -> Answer:
        found = dual(instance.network)()
        return Answer(1.0, execute(instance, found.flows), prices=found.prices)

    measuring = Measuring({"absent": absent, "slow": slow, "good": good})
    rows = [row for pools in (2, 5, 9) for row in measuring.size(pools, 1)]
    assert rows[0].startswith("| 2 | absent | node and npm are not installed, at 2 |")
    assert rows[1].startswith("| 2 | slow | 1 | 10,000.00 | 0 | 1 | 10,000.00 | 0 |")
    assert rows[4].startswith("| 5 | slow | over 60 s, at 5 |")
    assert rows[8].startswith("| 9 | good | 1 | < 0.0001 |")
    assert all(row.count("|") == 9 for row in rows)
    assert asked == [("absent", 0), ("slow", 2), ("slow", 2), ("slow", 5)]


@pytest.mark.parametrize("pools", [10, 60])
def test_the_router_is_measured_as_the_others_are(pools: int) -> None:
    for costs in (0, COST):
        instance = generate(pools, 3).at_cost(costs)
        peer = dual(instance.network)()
        for ask in (router, router_whole):
            answer = ask(instance)
            outcome = replay(instance, answer.executions)
            best = best_bound(instance, [peer.prices])
            assert 0 <= below(best, outcome) < (50 if costs else 1e-3)
            assert answer.ms > 0


def test_the_router_with_few_venues_keeps_to_them() -> None:
    ours = Ours(generate(60, 3).at_cost(COST))
    free = ours.with_at_most(60)
    assert ours.with_at_most(1).venues == 1
    assert free.net >= replay(ours.instance, ours.executions(ours.sparse())).net
    few = ours.with_at_most(max(1, free.venues - 1))
    assert few.venues < free.venues
    assert 0 < few.net <= free.net


def test_the_verdicts_follow_from_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "AIMED_AT", (60,))
    ran: list[Instance] = []

    def times(ms: float) -> Callable[[Instance], Answer]:
        def ask(instance: Instance) -> Answer:
            ran.append(instance)
            found = dual(instance.network)()
            return Answer(ms, execute(instance, found.flows), own=ms / 2, prices=found.prices)

        return ask

    measuring = Measuring({ROUTER: times(1.0), "CVXPY + Clarabel": times(600.0),
                           "L-BFGS-B on the dual": times(14.0)})  # fmt: skip
    list(measuring.size(60, 1))
    first, second, third, *_ = measuring.verdicts()
    assert first == ("60 pools: 600 × CVXPY + Clarabel (300 × by its own clock), of 500 ×: met")
    assert second.endswith(" of 15 ×: NOT MET")
    # The peers used every pool that costs nothing; the router with as many venues does better.
    assert third.startswith("net of costs, with as many venues at most as CVXPY + Clarabel: at the")
    assert third.endswith(" at 60 pools: met")
    assert len(ran) == 6


def test_the_fee_is_the_pools() -> None:
    venue = generate(2, 0).venues["0"]
    assert venue.fee_pips == FEE_PIPS
    x, y = venue.reserves
    out = venue.swap(venue.assets[0], x // 1_000, venue.assets[1]).amount_out
    assert out == pytest.approx(y * GAMMA / 1_000 / (1 + GAMMA / 1_000), rel=1e-12)
    assert sqrt(GAMMA) < 1
