"""A running engine, most of whose nodes say at once that they found nothing: what it learns of
them, and what an auditor learns from its log.
"""

import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from support.audit.scenario import copy_log
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, sell, signer
from support.nodes import serving
from support.solvers import Crosser, crossings
from support.worlds import running, until

from walras.app.planning import SMALL_BATCH
from walras.audit.verifier import replayed, verify_entries
from walras.sdk import Deadline, Problem, Proposal
from walras.sdk.client import Client
from walras.sdk.node import Node

ANN, BOB = signer("ann"), signer("bob")
WORK_US = 60_000


class Working(Crosser):
    """Finds what there is, after some work."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        time.sleep(WORK_US / 1_000_000)
        yield from crossings(problem)


class Idle(Crosser):
    """Finds nothing, without looking."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        return ()


async def test_to_answer_at_once_with_nothing_looks_neither_fast_nor_cheap(tmp_path: Path) -> None:
    made = {"idle": Idle(), "lazy": Idle(), "works": Working()}
    async with AsyncExitStack() as stack:
        solvers = []
        for name, solver in made.items():
            address = await stack.enter_async_context(serving(Node(solver, signer(name), name)))
            solvers.append({"name": name, "address": address})
        world = await stack.enter_async_context(running(tmp_path, solvers=solvers))
        await world.open_market()
        await world.nodes_here()
        await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
        await world.fund(BOB.public_key, USD, 210_000 * WHOLE_USD)
        for _ in range(4):
            await world.submit(sell(ANN.public_key), ANN)
            await world.submit(buy(BOB.public_key), BOB)
            report = await world.auction()
            assert report.filled == 2
            assert report.work_us >= WORK_US
            world.clock.offset_ms += 1_500
        fleet, now = world.state.fleet, world.clock()
        found = {
            name: fleet.standing.status(signer(name).public_key, now).service_us for name in made
        }
        assert min(found.values()) >= WORK_US
        # What is admitted follows from the work that was done: 2 intents took 60 ms or more.
        planner = world.engine.planner
        await until(planner._reports.empty)
        before = planner._work.mean
        assert before >= WORK_US / 2
        assert planner.limits is not None
        assert planner.limits.soft >= SMALL_BATCH
        # One batch moves it by a factor of two at most, whatever it is said to have cost.
        planner.add(replace(report, work_us=10**12))
        await until(planner._reports.empty)
        assert before < planner._work.mean <= 2 * before
        async with Client(world.address, attempts=1) as client:
            log = await copy_log(client)
        machine = replayed(verify_entries(log, world.key), log, world.key)
        assert machine.state.fleet == fleet
