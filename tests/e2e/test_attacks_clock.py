"""A clock that is set while nodes work is no fault of theirs."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.audit.log_copy import read_leaf
from support.audit.scenario import copy_log
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, sell, signer
from support.nodes import serving
from support.solvers import Crosser
from support.worlds import Clock, running, soon, until

from walras.protocol.records import Sealed
from walras.protocol.sealed_bids import Committed, decode_commitments
from walras.sdk import Deadline, Problem, Proposal
from walras.sdk.client import Client
from walras.sdk.node import Node

ANN, BOB, HONEST = signer("ann"), signer("bob"), signer("honest")


class Working(Crosser):
    """Takes a moment."""

    begun = False

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        self.begun = True
        time.sleep(0.3)
        yield from super().solve(problem, deadline)


@pytest.mark.parametrize("step_ms", [5_000, -5_000])
async def test_a_clock_that_is_set_while_nodes_work(tmp_path: Path, step_ms: int) -> None:
    clock, solver = Clock(), Working()
    async with serving(Node(solver, HONEST)) as address:
        solvers = [{"name": "honest", "address": address}]
        async with running(tmp_path, clock, solvers=solvers, solve_ms=3_000) as world:
            await world.open_market()
            await world.nodes_here()
            await world.fund(ANN.public_key, ETH, WHOLE_ETH)
            await world.fund(BOB.public_key, USD, 2_010 * WHOLE_USD)
            await world.submit(sell(ANN.public_key), ANN)
            await world.submit(buy(BOB.public_key), BOB)
            batch = asyncio.create_task(world.auction())
            await until(lambda: solver.begun)
            clock.offset_ms += step_ms
            report = await soon(batch)
            assert report.filled == 2
            assert [each.fault for each in report.solvers] == [""]
            assert world.state.fleet.standing.status(HONEST.public_key, clock()).errors == 0
            async with Client(world.address) as client:
                log = await copy_log(client)
            assert log.audit(world.key).auctions == 1
            records = [read_leaf(leaf) for leaf in log.leaves]
            (sealed,) = (record for record in records if isinstance(record, Sealed))
            (closed,) = (record for record in records if isinstance(record, Committed))
            times = [
                one.received_ms for one in decode_commitments(log.blob(closed.commitments_digest))
            ]
            # One clock for all of it: it goes on from the sealing, whatever is set.
            assert sealed.sealed_ms + 300 <= min(times)
            assert max(times) <= closed.closed_ms <= sealed.deadline_ms
