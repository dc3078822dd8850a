"""One batch, from its sealing to its settlement.

Sealing is a commit of its own, and so is closing the set of commitments where bids are sealed: it
must be in the log before any bid is open. All the rest, from the first bid's record to the
settlement, is one commit. A crash before it leaves a sealed batch, which the next start voids; a
crash after it leaves a settled one. There is nothing in between.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from walras.api.v1.log_service_pb2 import InclusionProof
from walras.api.v1.solver_service_pb2 import Closing
from walras.app.collecting import Collected, Collection
from walras.app.opening import open_bids
from walras.app.report import AuctionReport, solver_reports
from walras.app.sealing import Sending, copies, log_bids, log_news, observe, send_out, work_us
from walras.app.sequencer import Sequencer, Transaction
from walras.auction.award import award
from walras.auction.batch import AwardedBatch, ClosedBatch, OpenBatch, SealedBatch
from walras.auction.commitments import CommittedBatch, close_commitments
from walras.auction.observed import withheld
from walras.audit.vrf import VrfKey
from walras.core.errors import SolverFault
from walras.fleet.nodes import Node
from walras.fleet.registry import Fleet
from walras.protocol.dispatch import LoadProbe
from walras.protocol.records import Awarded, Settled
from walras.protocol.values import encode_balances
from walras.protocol.venues import encode_venues
from walras.store.commit import AuctionRow

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Stopwatch:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time spent inside towards `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Batches:
    """Runs them one at a time.

    Args:
        sequencer: the single writer.
        fleet: whom to ask.
        solve_ms: solvers have this long to bid.
        open_ms: and this long to open the bids that they committed to.
        vrf: seeds who is asked, and ties.

    Attributes:
        sealed: the batch that is sealed and has no end in the log yet, so as of the last command
            that ran: a cancellation right behind the sealing must know of it.
        canaries: ids of intents that were planted to see who finds them.
        quiet_size: the log's size if nobody but the auctions logged anything since the last
            sealing.
    """

    def __init__(
        self,
        sequencer: Sequencer,
        fleet: Fleet,
        *,
        solve_ms: int,
        open_ms: int,
        vrf: VrfKey,
    ) -> None:
        self._sequencer = sequencer
        self._fleet = fleet
        self._solve_ms = solve_ms
        self._open_ms = open_ms
        self._vrf = vrf
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="auction")
        self.sealed: SealedBatch | None = None
        self.canaries: set[bytes] = set()
        self.quiet_size = 0
        self._sealed_leaf = 0

    async def run(
        self, batch: OpenBatch, probes: Sequence[LoadProbe], faults: dict[str, SolverFault]
    ) -> AuctionReport | None:
        """The batch, settled; None if it has nothing to decide yet.

        Args:
            batch: whose time to be sealed has come.
            probes: of nodes' loads, for Prequal.
            faults: node's name → what is wrong with it before it is asked.
        """
        watch = Stopwatch()
        nodes = {node.public_key: node for node in self._fleet.ready()}
        with watch.phase("seal"):
            outcome = await self._sequencer.run(lambda tx: self._seal(tx, batch, nodes, probes))
        if outcome.value is None:
            return None
        assert isinstance(outcome.value, Sending)
        sending = outcome.value
        collection = self._collection(sending, nodes)
        try:
            collected, closed = await self._bids(sending, collection, watch)
            collected.faults = faults | collected.faults
            with watch.phase("select"):
                tie_proof, awarded = await self._start(self._award, closed)
            with watch.phase("settle"):
                return await self._commit(
                    batch, sending, collected, closed, tie_proof, awarded, watch
                )
        finally:
            if collection is not None:
                await collection.close()

    def _collection(self, sending: Sending, nodes: Mapping[bytes, Node]) -> Collection | None:
        sealed = sending.sealed
        if sealed.plan is None:
            return None
        checkpoint = self._sequencer.checkpoint
        assert checkpoint is not None
        return Collection(
            sealed,
            sending.bodies,
            nodes,
            self._fleet.in_flight,
            checkpoint.note,
            sending.clock,
            lambda data, key, now: self._start(sealed.evaluate, data, key, now),
            self._sequencer.seal,
            self._open_ms / 1_000 if sealed.bid_key else 0.0,
        )

    async def _bids(
        self, sending: Sending, collection: Collection | None, watch: Stopwatch
    ) -> tuple[Collected, ClosedBatch]:
        """What the nodes answer until the deadline, checked and scored, and the bidding closed."""
        sealed = sending.sealed
        if collection is None:
            return Collected(), sealed.close(())
        with watch.phase("solve"):
            await collection.run()
        with watch.phase("check"):
            collected = await collection.finish()
        if not sealed.bid_key:
            return collected, sealed.close(bid for bid, _ in collected.bids)
        with watch.phase("close"):
            now = sending.clock()
            committed = await self._start(
                close_commitments, sealed, collected.commitments, now, now + self._open_ms
            )
            closing = await self._log_closing(committed)
        with watch.phase("open"):
            secret = sending.bid_secret
            await open_bids(
                committed,
                collection.talks,
                closing,
                sending.clock,
                self._sequencer.seal,
                lambda place, opening: self._start(committed.evaluate, place, opening, secret),
                collected,
            )
        closed = sealed.close(
            (bid for bid, _ in collected.bids),
            committed.set_digest(),
            secret,
            tuple(record for record, _ in collected.unopened),
        )
        return collected, closed

    async def _log_closing(self, committed: CommittedBatch) -> Closing:
        """Log the set of commitments; what nodes are told, with the proof that it is logged."""

        def command(tx: Transaction) -> tuple[bytes, int]:
            tx.blob(committed.blob())
            envelope = tx.record(committed.record())
            self.quiet_size += 1
            return envelope, tx.tree.size - 1

        outcome = await self._sequencer.run(command)
        assert isinstance(outcome.value, tuple)
        envelope, index = outcome.value
        checkpoint = self._sequencer.checkpoint
        assert checkpoint is not None
        return Closing(
            committed=envelope,
            commitments=committed.blob(),
            inclusion=InclusionProof(
                leaf_index=index,
                tree_size=checkpoint.size,
                hashes=self._sequencer.tree.inclusion_proof(index, checkpoint.size),
            ),
            checkpoint=checkpoint.note,
        )

    def _award(self, closed: ClosedBatch) -> tuple[bytes, AwardedBatch]:
        proof, seed = self._vrf.prove(closed.tie_input())
        made = award(closed.sealed.problem, closed.scored(), seed)
        return proof, AwardedBatch(closed.sealed, made)

    def _seal(
        self,
        tx: Transaction,
        batch: OpenBatch,
        nodes: Mapping[bytes, Node],
        probes: Sequence[LoadProbe],
    ) -> Sending | None:
        if tx.now_ms < batch.opened.seal_after_ms:
            return None  # the clock was set back while the batch waited
        book = tx.state.book
        if not book.has_fillable(tx.now_ms, tx.state.balance) and not book.has_expired(tx.now_ms):
            return None
        log_news(tx, nodes.values(), self._fleet)
        for watched in tx.state.prepare(tx.now_ms):
            tx.record(watched)
        problem = tx.state.problem(batch.opened.auction_id, tx.now_ms)
        canaries = self.canaries & problem.intents.keys()
        sending = send_out(
            tx,
            batch,
            problem,
            tx.now_ms + self._solve_ms,
            {key: self._fleet.in_flight[key] for key in nodes},
            probes,
            self._vrf,
            sorted(canaries),
        )
        self._sealed_leaf = tx.tree.size
        tx.record(sending.sealed.record())
        self.quiet_size = tx.tree.size
        tx.state.expire(tx.now_ms)
        report = AuctionReport(
            sending.sealed.auction_id,
            "sealed",
            batch.opened.opened_ms,
            problem.sealed_ms,
            sending.sealed.digest.hex(),
            intents=len(problem.intents),
            sealed_leaf=self._sealed_leaf,
        )
        tx.auction(report.auction_id, AuctionRow("sealed", report.to_json()))
        self.sealed = sending.sealed
        return sending

    def _start(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def _commit(
        self,
        batch: OpenBatch,
        sending: Sending,
        collected: Collected,
        closed: ClosedBatch,
        tie_proof: bytes,
        awarded: AwardedBatch,
        watch: Stopwatch,
    ) -> AuctionReport:
        sealed = closed.sealed
        number = sealed.auction_id

        def command(tx: Transaction) -> AuctionReport:
            before = tx.tree.size
            # First what may raise: a command that does has logged nothing.
            touched = tx.state.settle(awarded.award.winners, withheld(closed))
            log_bids(tx, closed, collected)
            tx.record(closed.record())
            certificate = tx.blob(awarded.certificate())
            bundle = tx.blob(tx.seal(awarded.bundle()))
            tx.record(Awarded(number, bundle, tie_proof, certificate))
            if sealed.plan is not None:
                observe(tx, sending, collected.calls, closed, awarded)
            balances = tx.blob(encode_balances(touched.balances))
            venues = tx.blob(encode_venues(touched.venues))
            tx.record(Settled(number, bundle, balances, venues))
            tx.state.release()
            self.quiet_size += tx.tree.size - before
            report = AuctionReport(
                number,
                "settled",
                batch.opened.opened_ms,
                sealed.problem.sealed_ms,
                sealed.digest.hex(),
                bundle.hex(),
                intents=len(sealed.problem.intents),
                filled=sum(len(bid.fills) for bid in awarded.award.winners),
                bids=len(closed.bids),
                rejected=sum(bid.rejected(number) is not None for bid in closed.bids),
                winners=len(awarded.award.winners),
                score=awarded.award.score,
                work_us=work_us(closed, collected.calls, tx.state.fleet.nodes),
                copies=copies(sending),
                sealed_leaf=self._sealed_leaf,
                end_leaf=tx.tree.size,
                solvers=solver_reports(sealed, closed, awarded, collected.faults),
                seconds=watch.seconds,
            )
            tx.auction(number, AuctionRow("settled", report.to_json()))
            self.sealed = None
            return report

        outcome = await self._sequencer.run(command)
        assert isinstance(outcome.value, AuctionReport)
        return outcome.value
