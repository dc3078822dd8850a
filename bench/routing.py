"""One order through N pools: `router` against the routers that others use, on the same instances.

Each answer is executed to the atom by one referee and held against a certified bound. Times are
the best of some calls, as other processes can only slow one down, in one thread; from ready arrays
or objects of a peer's own to flows or paths. Building those, exact execution and bounds are on
nobody's clock. Where venues cost, peers that know no costs are given the same pruning
(`routing_peers.pruned`), and all of its rounds count.
"""

import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import linear_regression, median
from typing import TypeVar

from threadpoolctl import threadpool_limits

from bench import routing_node
from bench.routing_bound import below, best_bound
from bench.routing_instances import (
    COST,
    Floats,
    Instance,
    NoAnswer,
    Outcome,
    execute,
    generate,
    replay,
)
from bench.routing_ours import Ours, whole
from bench.routing_peers import Peer, best_path, conic, dual, pruned
from walras.core.bids import Execution
from walras.sdk import Router

LIMIT = 60.0
"""Seconds. A peer that takes longer for an instance is not asked for a larger one."""

SEEDS = {10: 3, 100: 3, 1_000: 3, 10_000: 1, 100_000: 1}
QUICK = {10: 1, 100: 1, 1_000: 1}
AIMS = {"CVXPY + Clarabel": 500.0, "L-BFGS-B on the dual": 15.0}
"""How many times faster than these `router` is to be, at the sizes aimed at."""

AIMED_AT = (1_000, 10_000)
CALLS, ENOUGH = 30, 2.0
EXACT = 1e-4
"""In 1/10,000: closer than this two answers are the same but for dust and stopping rules."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer did for an instance.

    Attributes:
        ms: the fastest call.
        executions: to the atom.
        own: the fastest by the solver's own clock, where it has one; ms.
        prices: dual prices, where it has some.
    """

    ms: float
    executions: tuple[Execution, ...]
    own: float = 0.0
    prices: Floats | None = None


Ask = Callable[[Instance], Answer]


def best_of(call: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds of the fastest of some calls, and the last answer."""
    fastest, spent, calls = math.inf, 0.0, 0
    while calls < CALLS and spent < ENOUGH:
        start = time.perf_counter()
        answer = call()
        took = time.perf_counter() - start
        fastest, spent, calls = min(fastest, took), spent + took, calls + 1
    return fastest * 1e3, answer


def convex(peer: Peer) -> Ask:
    """A convex solver; with costs, its best answer of some rounds of pruning."""

    def ask(instance: Instance) -> Answer:
        network = instance.network
        if instance.cost:
            ms, found = best_of(lambda: pruned(peer, network, instance.cost_value))
        else:
            solve = peer(network)
            ms, found = best_of(lambda: [solve()])
        plans = [execute(instance, solution.flows) for solution in found]
        best = max(plans, key=lambda plan: replay(instance, plan).net)
        own = sum(solution.seconds for solution in found) * 1e3
        return Answer(ms, best, own, found[0].prices)

    return ask


def baseline(instance: Instance) -> Answer:
    paths = Router(instance.venues)
    ms, executions = best_of(lambda: best_path(instance, paths, instance.price))
    return Answer(ms, executions)


def in_node(script: str, *arguments: str) -> Ask:
    """A peer that runs in node."""
    return lambda instance: Answer(*routing_node.ask(script, instance, LIMIT, *arguments))


def router(instance: Instance) -> Answer:
    """Ours, from ready arrays to a plan in floats."""
    ours = Ours(instance)
    ms, plan = best_of(ours.call())
    return Answer(ms, ours.executions(plan), prices=ours.prices(plan))


def router_whole(instance: Instance) -> Answer:
    """Ours, from a ready splitter to executions in atoms."""
    return Answer(*best_of(whole(instance)))


ROUTER = "router"
OURS: Mapping[str, Ask] = {ROUTER: router, "router, to the atom": router_whole}
PEERS: Mapping[str, Ask] = {
    "CVXPY + Clarabel": convex(conic),
    "L-BFGS-B on the dual": convex(dual),
    "baseline, one path": baseline,
    "Uniswap v2-sdk, one path": in_node("uniswap.mjs"),
    "Balancer SOR, 4 pools": in_node("balancer.mjs", "4"),
    "Balancer SOR, 64 pools": in_node("balancer.mjs", "64"),
}


@dataclass
class Cell:
    """One peer at one size, over the seeds: without and with costs."""

    ms: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    bps: list[float] = field(default_factory=list)
    venues: list[int] = field(default_factory=list)

    def add(self, answer: Answer, outcome: Outcome, bound: float) -> None:
        self.ms.append(answer.ms)
        self.own.append(answer.own)
        self.bps.append(below(bound, outcome))
        self.venues.append(outcome.venues)

    def __str__(self) -> str:
        own = f" ({_ms(median(self.own))})" if median(self.own) else ""
        return (
            f"{_ms(median(self.ms))}{own} | {_bps(median(self.bps))} | {median(self.venues):,.0f}"
        )


def _ms(ms: float) -> str:
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}"


def _bps(bps: float) -> str:
    return "< 0.0001" if bps < 1e-4 else f"{bps:,.2f}" if bps >= 0.01 else f"{bps:.4f}"


class Measuring:
    """All peers on all instances; who was too slow or is absent is asked no more.

    Attributes:
        peers: by name, ours among them.
        out: who is asked no more, and why.
        cells: by peer, pools, whether venues cost.
        ahead: peer → by how much `router` with as many venues at most is above it, 1/10,000 of the
            bound; and of how many pools.
    """

    def __init__(self, peers: Mapping[str, Ask]) -> None:
        self.peers = peers
        self.out: dict[str, str] = {}
        self.cells: dict[tuple[str, int, bool], Cell] = {}
        self.ahead: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)

    def size(self, pools: int, seeds: int) -> Iterator[str]:
        """Measure one size; its rows of the table."""
        for seed in range(seeds):
            for costs in (False, True):
                self._instance(pools, generate(pools, seed).at_cost(COST if costs else 0))
        for name in self.peers:
            cells = [self.cells.get((name, pools, costs)) for costs in (False, True)]
            if cells[0] is None:
                yield f"| {pools:,} | {name} | {self.out[name]} | | | | | |"
            else:
                second = str(cells[1]) if cells[1] else f"{self.out[name]} | |"
                yield f"| {pools:,} | {name} | {cells[0]} | {second} |"

    def _instance(self, pools: int, instance: Instance) -> None:
        answers: dict[str, tuple[Answer, Outcome]] = {}
        for name, ask in self.peers.items():
            if name in self.out:
                continue
            print(f"{pools:,} {name} …", file=sys.stderr, flush=True)
            try:
                answer = ask(instance)
            except NoAnswer as error:
                self.out[name] = f"{error}, at {pools:,}"
                continue
            if answer.ms > LIMIT * 1e3:
                self.out[name] = f"over {LIMIT:.0f} s at {pools:,}"
            answers[name] = answer, replay(instance, answer.executions)
        starts = [a.prices for a, _ in answers.values() if a.prices is not None]
        bound = best_bound(instance, starts)
        for name, (answer, outcome) in answers.items():
            cell = self.cells.setdefault((name, pools, bool(instance.cost)), Cell())
            cell.add(answer, outcome, bound)
        if instance.cost:
            ours = Ours(instance)
            for name, (_, outcome) in answers.items():
                if name in PEERS and outcome.output:
                    lead = ours.with_at_most(outcome.venues).net - outcome.net
                    self.ahead[name].append((lead / bound * 1e4, pools))

    def slopes(self) -> Iterator[str]:
        """Time as a power of N, over the sizes from 100 on."""
        for name in self.peers:
            powers = []
            for costs in (False, True):
                points = [
                    (math.log(pools), math.log(median(cell.ms)))
                    for (who, pools, with_costs), cell in self.cells.items()
                    if (who, with_costs) == (name, costs) and pools >= 100
                ]
                powers.append(
                    f"{linear_regression(*zip(*points, strict=True)).slope:.2f}"
                    if len(points) > 1
                    else "too few sizes"
                )
            yield f"| {name} | {powers[0]} | {powers[1]} |"

    def verdicts(self) -> Iterator[str]:
        """What was aimed at, and whether it was reached."""
        for name, aim in AIMS.items():
            for pools in AIMED_AT:
                ours, theirs = (self.cells.get((who, pools, False)) for who in (ROUTER, name))
                if ours and theirs:
                    times = median(theirs.ms) / median(ours.ms)
                    own = median(theirs.own) / median(ours.ms)
                    clock = f" ({own:,.0f} × by its own clock)" if own else ""
                    met = _verdict(times >= aim)
                    yield f"{pools:,} pools: {times:,.0f} × {name}{clock}, of {aim:.0f} ×: {met}"
        for name, leads in self.ahead.items():
            lead, pools = min(leads)
            met = _verdict(lead >= -EXACT)
            yield (
                f"net of costs, with as many venues at most as {name}: at the least"
                f" {lead:+.2f}/10,000, at {pools:,} pools: {met}"
            )


def _verdict(met: bool) -> str:
    return "met" if met else "NOT MET"


def run() -> None:
    """Print the tables; with `--quick`, of one seed and up to 1,000 pools."""
    sizes = QUICK if "--quick" in sys.argv else SEEDS
    print("\nRouting; ms, and in brackets by the solver's own clock; 1/10,000 below the bound\n")
    print("| pools | | ms | below | venues | with costs, ms | below | venues |")
    print("|---|---|---|---|---|---|---|---|")
    for cost in (0, COST):  # compile
        for ask in OURS.values():
            ask(generate(10, 0).at_cost(cost))
    measuring = Measuring({**OURS, **PEERS})
    with threadpool_limits(1):
        for pools, seeds in sizes.items():
            for row in measuring.size(pools, seeds):
                print(row, flush=True)
    print("\n| ms as a power of the pools | | with costs |")
    print("|---|---|---|")
    print(*measuring.slopes(), sep="\n")
    print("", *measuring.verdicts(), sep="\n")
