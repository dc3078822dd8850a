"""Balancing live: real solver nodes on loopback, asked through the router that the engine runs."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random

from bench.fleet_dispatch import Claim, fleet, market
from walras.balance.chooser import Chooser
from walras.balance.events import Outcome
from walras.balance.router import Router
from walras.balance.rules import FleetRules
from walras.balance.view import Request
from walras.core.bids import Proposal
from walras.core.errors import Reason
from walras.fleet.nodes import Node
from walras.fleet.sending import Outgoing
from walras.protocol.problem import Problem
from walras.protocol.trade import encode_problem
from walras.sdk.solver import Deadline, Description

NODES = 16
SLOW_NODES = 2
SLOW_FACTOR = 16
SERVICE_SECONDS = 0.025
LOAD = 0.7
SECONDS = 20.0
TIMEOUT_SECONDS = 2.0
MOST_MS = 500.0
SEED = 1
POLICIES = ("least_expected_delay", "least_request", "round_robin")


class Quick:
    """Works for an exponential time and bids nothing."""

    mean = SERVICE_SECONDS

    def __init__(self) -> None:
        self._random = Random(os.getpid())

    def describe(self) -> Description:
        return Description("sleeper", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        del problem
        time.sleep(min(self._random.expovariate(1 / self.mean), deadline.remaining()))
        return ()


class Slow(Quick):
    mean = SLOW_FACTOR * SERVICE_SECONDS


def run() -> None:
    """Print the table, then the claim."""
    slots = (NODES - SLOW_NODES) + SLOW_NODES / SLOW_FACTOR
    rate = LOAD * slots / SERVICE_SECONDS
    print(
        f"\n{NODES} gRPC servers on loopback, a process and a slot each,"
        f" {SERVICE_SECONDS * 1_000:.0f} ms a call (exponential),"
        f" {SLOW_NODES} of them {SLOW_FACTOR}× slow; {rate:.0f} calls/s (load {LOAD})"
        f" for {SECONDS:.0f} s, given up after {TIMEOUT_SECONDS:.0f} s\n"
    )
    columns = ("policy", "calls", "mean", "p50", "p99", "p99.9", "errors")
    print("".join(f"{name:>22}" if not i else f"{name:>9}" for i, name in enumerate(columns)))
    found = asyncio.run(_measure(rate))
    for policy, (took, errors) in found.items():
        shown = [f"{_at(took, q):>9.0f}" for q in (0.5, 0.99, 0.999)]
        mean = sum(took) / len(took)
        print(f"{policy:>22}{len(took):>9,}{mean:>9.0f}{''.join(shown)}{errors:>9}")
    took, errors = found["least_expected_delay"]
    claim = Claim(
        f"live, {NODES} nodes: the default's p99.9 < {MOST_MS:.0f} ms, no error",
        f"{_at(took, 0.999):.0f} ms, {errors} errors",
        _at(took, 0.999) < MOST_MS and not errors,
    )
    print(f"\n{'met' if claim.met else 'NOT MET':8}{claim.what}: {claim.found}")


async def _measure(rate: float) -> dict[str, tuple[list[float], int]]:
    """By policy: milliseconds of every call in ascending order, and how many failed."""
    quick = fleet(NODES - SLOW_NODES, "bench.fleet_live:Quick")
    slow = fleet(SLOW_NODES, "bench.fleet_live:Slow")
    async with quick as some, slow as others:
        return {policy: await _load(policy, rate, some | others) for policy in POLICIES}


async def _load(policy: str, rate: float, nodes: Mapping[bytes, Node]) -> tuple[list[float], int]:
    rules = replace(FleetRules(), policy=policy, slow_start_ms=0)
    draws = Random(SEED)
    router = Router(rules, draws.randrange, Chooser(rules))
    start = time.monotonic()

    def now_us() -> int:
        return int((time.monotonic() - start) * 1_000_000)

    for node in nodes.values():
        router.join(node.info, 0)
    problem = market(seed=1, intents=1, venues=24)
    outgoing = Outgoing(encode_problem(problem), problem.intents)
    took: list[float] = []
    errors: Counter[str] = Counter()

    async def ask() -> None:
        began = time.monotonic()
        call = router.start(Request(now_us=now_us()))
        outcome, reported = Outcome.OK, 0
        end = began + TIMEOUT_SECONDS
        talk = nodes[call.node.key].ask([outgoing], end=end, last=end, max_bids=1)
        async for answer in talk.answers():
            reported = answer.in_flight or reported
            if answer.fault is not None:
                late = answer.fault.reason is Reason.NODE_TIMEOUT
                outcome = Outcome.TIMEOUT if late else Outcome.ERROR
                errors[answer.fault.reason] += 1
        await talk.close()
        call.end(now_us(), outcome, reported)
        took.append(1_000 * (time.monotonic() - began))

    arrivals, at = Random(SEED), 0.0
    async with asyncio.TaskGroup() as group:
        while at < SECONDS:
            at += arrivals.expovariate(rate)
            await asyncio.sleep(max(0.0, start + at - time.monotonic()))
            router.tick(now_us())
            group.create_task(ask())
    assert not router.in_flight, "calls leaked"
    return sorted(took), errors.total()


def _at(ascending: list[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]
