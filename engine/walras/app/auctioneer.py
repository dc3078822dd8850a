"""The auctioneer: one batch after another on a clock.

    open ── interval ── seal ── ask all nodes at once ── deadline or all answered ── close ── award
    ── settle

Opening and sealing are commits of their own. All the rest, from the first bid's record to the
settlement, is one commit: a crash before it leaves a sealed batch, which the next start voids; a
crash after it leaves a settled one. There is nothing in between.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import ParamSpec, TypeVar

import structlog

from walras.api.v1 import solver_service_pb2
from walras.app.report import AuctionReport, solver_reports
from walras.app.sequencer import Command, Sequencer, Transaction
from walras.auction.batch import AwardedBatch, ClosedBatch, OpenBatch, ReceivedBid, SealedBatch
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.nodes import Node
from walras.fleet.registry import Fleet
from walras.protocol.problem import Rules
from walras.protocol.records import Awarded, Opened, RulesSet, Settled, SolverKey, Voided
from walras.protocol.trade import encode_intent, encode_problem
from walras.protocol.values import encode_balances, encode_rules, encode_venues
from walras.store.commit import AuctionRow, Outcome, RequestKey

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAITING = 1_024
"""Withdrawals and market updates that may wait for a batch to end."""

MAX_WAITING_PER_SIGNER = 8
"""Of them, those of one key: nobody keeps the others out."""

IDLE_SECONDS = 60.0
"""How long a book that the last batch could not fill rests, if nothing changes."""


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


class Auctioneer:
    """Runs batches through the sequencer.

    Args:
        sequencer: the single writer.
        fleet: whom to ask.
        clock: milliseconds since the epoch.
        interval_ms: a batch gathers intents at least this long.
        solve_ms: solvers have this long.
        rules: from the next batch on.
        next_id: the next auction's.

    Attributes:
        sealed: the batch that is sealed and has no end in the log yet, so as of the last command
            that ran: a cancellation right behind the sealing must know of it.
        on_auction: called with the report of each batch that was settled.
    """

    def __init__(
        self,
        sequencer: Sequencer,
        fleet: Fleet,
        clock: Callable[[], int],
        *,
        interval_ms: int,
        solve_ms: int,
        rules: Rules,
        next_id: int,
    ) -> None:
        self._sequencer = sequencer
        self._fleet = fleet
        self._clock = clock
        self._interval_ms = interval_ms
        self._solve_ms = solve_ms
        self._rules = rules
        self._next_id = next_id
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="auction")
        self._between = asyncio.Lock()
        self._waiting: Counter[bytes] = Counter()
        # The log's size if nobody but the auctioneer logged anything since the last sealing.
        self._quiet_size = 0
        self.sealed: SealedBatch | None = None
        self.on_auction: list[Callable[[AuctionReport], None]] = []

    async def serve(self) -> None:
        """Run batches until cancelled."""
        filled = 1
        while True:
            batch = await self.open()
            # Nothing wakes a batch but time: an intent may also become eligible by itself.
            await self._wait_for_news(filled)
            while (report := await self.settle(batch)) is None:
                await asyncio.sleep(max(self._interval_ms, 50) / 1000)
                if self._clock() < batch.opened.opened_ms:
                    batch = await self._reopen(batch)
            filled = report.filled
            log.info(
                "auction",
                id=report.auction_id,
                state=report.state,
                intents=report.intents,
                filled=report.filled,
                bids=report.bids,
                score=report.score,
            )

    async def _wait_for_news(self, filled: int) -> None:
        """After a batch that filled nothing, wait for a change; but not for ever: solvers may come
        back, or do better.
        """
        if filled or self._sequencer.state.moves_by_itself(self._clock()):
            return
        end = time.monotonic() + IDLE_SECONDS
        # Looked at once an interval, as an open batch is: an event would have to come from the log.
        while self._sequencer.tree.size <= self._quiet_size and time.monotonic() < end:  # noqa: ASYNC110 - so
            await asyncio.sleep(self._interval_ms / 1000)

    async def _reopen(self, batch: OpenBatch) -> OpenBatch:
        """Another batch for one that may not be sealed for hours, as the clock was set back."""
        opened = batch.opened
        log.warning("the clock was set back", opened_ms=opened.opened_ms, now_ms=self._clock())
        await self.void(
            AuctionReport(opened.auction_id, "open", opened.opened_ms), Reason.BATCH_INTERRUPTED
        )
        return await self.open()

    async def open(self) -> OpenBatch:
        """Open the next batch."""

        def command(tx: Transaction) -> OpenBatch:
            before = tx.tree.size
            if tx.state.rules != self._rules:
                record = RulesSet(self._rules)
                tx.record(record)
                tx.state.set_rules(record)
            opened = Opened(
                self._next_id,
                sha256(encode_rules(tx.state.rules)).digest(),
                tx.now_ms,
                tx.now_ms + self._interval_ms,
            )
            tx.record(opened)
            report = AuctionReport(opened.auction_id, "open", opened.opened_ms)
            tx.auction(opened.auction_id, AuctionRow("open", report.to_json()))
            self._quiet_size += tx.tree.size - before
            return OpenBatch(opened)

        outcome = await self._sequencer.run(command)
        assert isinstance(outcome.value, OpenBatch)
        self._next_id += 1
        return outcome.value

    async def settle(self, batch: OpenBatch) -> AuctionReport | None:
        """Wait for the batch's time, then run it; None if it has nothing to decide yet."""
        wait = batch.opened.seal_after_ms - self._clock()
        if wait > 0:
            await asyncio.sleep(min(wait, self._interval_ms) / 1000)
        watch = Stopwatch()
        faults = self._fleet.faults()
        async with self._between:
            nodes = self._fleet.ready()
            with watch.phase("seal"):
                outcome = await self._sequencer.run(lambda tx: self._seal(tx, batch, nodes))
            if outcome.value is None:
                return None
            assert isinstance(outcome.value, SealedBatch)
            sealed = outcome.value
            bids = await self._collect(sealed, nodes, faults, watch)
            with watch.phase("select"):
                closed = sealed.close(bid for bid, _ in bids)
                closing = self._sequencer.seal(closed.record())
                awarded = await self._start(closed.award, sha256(closing).digest())
            with watch.phase("settle"):
                report = await self._commit(
                    batch, closed, [data for _, data in bids], closing, awarded, faults, watch
                )
        for listener in self.on_auction:
            listener(report)
        return report

    async def between_batches(
        self, signer: bytes, command: Command, request: RequestKey | None
    ) -> Outcome:
        """Run a command of `signer` that may not fall between a batch's sealing and its end.

        Raises:
            InvalidInput: QUEUE_FULL if too many wait already, SHUTTING_DOWN, or as `Sequencer.run`.
        """
        if self._waiting[signer] >= MAX_WAITING_PER_SIGNER or self._waiting.total() >= MAX_WAITING:
            raise InvalidInput(
                Reason.QUEUE_FULL,
                "too many requests wait for the batch to end",
                hint="try again after the batch",
            )

        def guarded(tx: Transaction) -> object:
            # Auctions that were stopped within a batch leave it to the next start to void.
            if self.sealed is not None:
                raise InvalidInput(
                    Reason.SHUTTING_DOWN,
                    "the engine is stopping",
                    hint="ask again with the same request_id once it is back",
                )
            return command(tx)

        self._waiting[signer] += 1
        try:
            async with self._between:
                return await self._sequencer.run(guarded, request)
        finally:
            self._waiting[signer] -= 1
            self._waiting += Counter()  # drops the zeroes

    def _seal(self, tx: Transaction, batch: OpenBatch, nodes: Sequence[Node]) -> SealedBatch | None:
        if tx.now_ms < batch.opened.seal_after_ms:
            return None  # the clock was set back while the batch waited
        problem = tx.state.problem(batch.opened.auction_id, tx.now_ms)
        if not problem.intents and not tx.state.has_expired(tx.now_ms):
            return None
        body = encode_problem(problem)
        digest = tx.blob(body)
        deadline = tx.now_ms + self._solve_ms
        asked = [SolverKey(node.name, node.public_key) for node in nodes if problem.intents]
        sealed = batch.seal(problem, digest, asked, deadline)
        tx.record(sealed.record())
        self._quiet_size = tx.tree.size
        tx.state.expire(tx.now_ms)
        report = AuctionReport(
            sealed.auction_id,
            "sealed",
            batch.opened.opened_ms,
            problem.sealed_ms,
            digest.hex(),
            intents=len(problem.intents),
        )
        tx.auction(sealed.auction_id, AuctionRow("sealed", report.to_json()))
        self.sealed = sealed
        return sealed

    async def void(self, report: AuctionReport, reason: Reason) -> None:
        """End a batch that was left open or, by an earlier run, sealed."""

        def command(tx: Transaction) -> None:
            tx.record(Voided(report.auction_id, reason.value))
            tx.state.release()
            voided = replace(report, state="voided", void_reason=reason.value)
            tx.auction(report.auction_id, AuctionRow("voided", voided.to_json()))

        await self._sequencer.run(command)

    def _start(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, partial(function, *args, **kwargs))

    async def _collect(
        self,
        sealed: SealedBatch,
        nodes: Sequence[Node],
        faults: dict[str, SolverFault],
        watch: Stopwatch,
    ) -> list[tuple[ReceivedBid, bytes]]:
        """What all nodes answer until the deadline, checked and scored, with the bytes as they
        came.
        """
        if not sealed.solvers:
            return []
        request = solver_service_pb2.SolveRequest(
            problem=encode_problem(sealed.problem),
            intents=[encode_intent(entry.intent) for entry in sealed.problem.intents.values()],
            budget_ms=max(1, sealed.deadline_ms - self._clock()),
        )
        # Reading and checking are apart: a dear check must not keep a bid waiting past the
        # deadline.
        checks: list[asyncio.Future[ReceivedBid]] = []
        envelopes: list[bytes] = []

        async def ask(node: Node) -> None:
            left_ms = min(sealed.deadline_ms - self._clock(), self._solve_ms)
            seconds = max(0.001, left_ms / 1000)  # at most that, though the clock was set back
            try:
                async for data in node.solve(request, seconds, sealed.problem.rules.max_bids):
                    now = self._clock()
                    if now > sealed.deadline_ms:
                        raise SolverFault(Reason.NODE_TIMEOUT, f"{node.name} answers late")
                    envelopes.append(data)
                    checks.append(self._start(sealed.evaluate, data, node.public_key, now))
            except SolverFault as fault:
                log.warning("solver fault", node=node.name, reason=fault.reason, why=str(fault))
                faults[node.name] = fault

        with watch.phase("solve"):
            async with asyncio.TaskGroup() as group:
                for node in nodes:
                    group.create_task(ask(node))
        with watch.phase("check"):
            return list(zip(await asyncio.gather(*checks), envelopes, strict=True))

    async def _commit(
        self,
        batch: OpenBatch,
        closed: ClosedBatch,
        envelopes: Sequence[bytes],
        closing: bytes,
        awarded: AwardedBatch,
        faults: dict[str, SolverFault],
        watch: Stopwatch,
    ) -> AuctionReport:
        sealed = closed.sealed
        number = sealed.auction_id

        def command(tx: Transaction) -> AuctionReport:
            before = tx.tree.size
            # First what may raise: a command that does has logged nothing.
            touched = tx.state.settle(awarded.award.winners)
            for bid in closed.bids:
                tx.record(bid.received(number))
                rejection = bid.rejected(number)
                if rejection is not None:
                    tx.record(rejection)
            for data in envelopes:
                tx.blob(data)
            tx.append(closing)
            bundle = tx.blob(tx.seal(awarded.bundle()))
            tx.record(Awarded(number, bundle))
            balances = tx.blob(encode_balances(touched.balances))
            venues = tx.blob(encode_venues(touched.venues))
            tx.record(Settled(number, bundle, balances, venues))
            tx.state.release()
            self._quiet_size += tx.tree.size - before
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
                solvers=solver_reports(sealed, closed, awarded, faults),
                seconds=watch.seconds,
            )
            tx.auction(number, AuctionRow("settled", report.to_json()))
            self.sealed = None
            return report

        outcome = await self._sequencer.run(command)
        assert isinstance(outcome.value, AuctionReport)
        return outcome.value
