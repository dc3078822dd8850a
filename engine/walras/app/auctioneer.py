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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import ParamSpec, TypeVar

import structlog

from walras.app.collecting import Collected, Collection
from walras.app.report import AuctionReport, solver_reports
from walras.app.sealing import Sending, copies, log_news, observe, send_out, work_us
from walras.app.sequencer import Command, Sequencer, Transaction
from walras.auction.batch import AwardedBatch, ClosedBatch, OpenBatch, SealedBatch
from walras.audit.vrf import VrfKey
from walras.balance.events import Change, Rule
from walras.balance.pace import Pace
from walras.balance.rules import FleetRules
from walras.core.errors import InvalidInput, Reason
from walras.fleet.nodes import Node
from walras.fleet.registry import Fleet
from walras.protocol.fleet import LoadProbe
from walras.protocol.problem import Rules
from walras.protocol.records import Awarded, Opened, RulesSet, Settled, Voided
from walras.protocol.values import encode_balances, encode_rules, encode_venues
from walras.store.commit import AuctionRow, Outcome, RequestKey

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAITING = 1_024
"""Withdrawals and market updates that may wait for a batch to end."""

MAX_WAITING_PER_SIGNER = 8
"""Of them, those of one key: nobody keeps the others out."""

IDLE_MS = 60_000
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
        rules, fleet_rules: from the next batch on.
        vrf: seeds who is asked.
        next_id: the next auction's.

    Attributes:
        sealed: the batch that is sealed and has no end in the log yet, so as of the last command
            that ran: a cancellation right behind the sealing must know of it.
        canaries: ids of intents that were planted to see who finds them.
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
        fleet_rules: FleetRules,
        vrf: VrfKey,
        next_id: int,
    ) -> None:
        self._sequencer = sequencer
        self._fleet = fleet
        self._clock = clock
        self._interval_ms = interval_ms
        self._solve_ms = solve_ms
        self._rules = rules
        self._fleet_rules = fleet_rules
        self._vrf = vrf
        self._claims: list[Change] = []
        self._next_id = next_id
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="auction")
        self._between = asyncio.Lock()
        self._waiting: Counter[bytes] = Counter()
        # The log's size if nobody but the auctioneer logged anything since the last sealing.
        self._quiet_size = 0
        self.sealed: SealedBatch | None = None
        self.canaries: set[bytes] = set()
        self.on_auction: list[Callable[[AuctionReport], None]] = []

    @property
    def interval_ms(self) -> int:
        """A batch gathers intents at least this long."""
        return self._interval_ms

    @property
    def idle(self) -> asyncio.Lock:
        """Held while a batch is out for bids; whoever holds it keeps the next one in."""
        return self._between

    def set_pace(self, pace: Pace, causes: Sequence[Change]) -> None:
        """Go on at another pace from the next batch on; the causes are logged then."""
        self._interval_ms = pace.interval_ms
        self._rules = replace(self._rules, collar_bps=pace.collar_bps)
        self._fleet_rules = replace(self._fleet_rules, fan_out=pace.fan_out)
        self._claims += causes

    def quietly(self, entries: int) -> None:
        """So many entries were logged that are no reason to auction an idle book."""
        self._quiet_size += entries

    async def serve(self) -> None:
        """Run batches until cancelled."""
        rest_ms = 0
        while True:
            batch = await self.open()
            # Nothing wakes a batch but time: an intent may also become eligible by itself.
            await self._wait_for_news(rest_ms)
            while (report := await self.settle(batch)) is None:
                await asyncio.sleep(max(self._interval_ms, 50) / 1000)
                if self._clock() < batch.opened.opened_ms:
                    batch = await self._reopen(batch)
            rest_ms = self._rest_ms(report, rest_ms)
            log.info(
                "auction",
                id=report.auction_id,
                state=report.state,
                intents=report.intents,
                filled=report.filled,
                bids=report.bids,
                score=report.score,
            )

    def _rest_ms(self, report: AuctionReport, before: int) -> int:
        """How long a book rests if nothing changes: not at all after a fill, long where nobody
        who could be asked fills anything, and in between longer each time, as the next draw may
        ask others.
        """
        if report.filled:
            return 0
        if report.copies >= len(self._fleet.ready()):
            return IDLE_MS
        return min(max(2 * before, self._interval_ms), IDLE_MS)

    async def _wait_for_news(self, rest_ms: int) -> None:
        """After a batch that filled nothing, wait for a change; but not for ever: solvers may come
        back, or do better.
        """
        if not rest_ms or self._sequencer.state.moves_by_itself(self._clock()):
            return
        end = time.monotonic() + rest_ms / 1_000
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
            fleet, claims = tx.state.fleet, self._claims
            news = self._fleet_rules if fleet.rules != self._fleet_rules else None
            if news or claims:
                claims = claims or [Change(Rule.CONFIGURED, why="configuration")]
                tx.record(fleet.change(tx.now_ms, rules=news, claims=claims))
                tx.state.changes.fleet = True
                self._claims = []
            opened = Opened(
                self._next_id,
                sha256(encode_rules(tx.state.rules)).digest(),
                tx.now_ms,
                tx.now_ms + self._interval_ms,
            )
            tx.record(opened)
            tx.state.tell_time(tx.now_ms)
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
        probes: list[LoadProbe] = []
        if self._fleet_rules.policy == "prequal":
            size = self._fleet_rules.probe_pool_size
            probes = await self._fleet.loads(size, self._clock() * 1_000)
        async with self._between:
            nodes = {node.public_key: node for node in self._fleet.ready()}
            with watch.phase("seal"):
                outcome = await self._sequencer.run(lambda tx: self._seal(tx, batch, nodes, probes))
            if outcome.value is None:
                return None
            assert isinstance(outcome.value, Sending)
            sending = outcome.value
            sealed = sending.sealed
            collected = await self._collect(sending, nodes, watch)
            collected.faults = faults | collected.faults
            with watch.phase("select"):
                closed = sealed.close(bid for bid, _ in collected.bids)
                closing = self._sequencer.seal(closed.record())
                awarded = await self._start(closed.award, sha256(closing).digest())
            with watch.phase("settle"):
                report = await self._commit(
                    batch, sending, collected, closed, closing, awarded, watch
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

    def _seal(
        self,
        tx: Transaction,
        batch: OpenBatch,
        nodes: Mapping[bytes, Node],
        probes: Sequence[LoadProbe],
    ) -> Sending | None:
        if tx.now_ms < batch.opened.seal_after_ms:
            return None  # the clock was set back while the batch waited
        problem = tx.state.problem(batch.opened.auction_id, tx.now_ms)
        if not problem.intents and not tx.state.has_expired(tx.now_ms):
            return None
        log_news(tx, nodes.values(), self._fleet)
        watched = tx.state.prepare(tx.now_ms)
        if watched is not None:
            tx.record(watched)
        problem = replace(problem, venues=tx.state.open_venues())
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
        tx.record(sending.sealed.record())
        self._quiet_size = tx.tree.size
        tx.state.expire(tx.now_ms)
        report = AuctionReport(
            sending.sealed.auction_id,
            "sealed",
            batch.opened.opened_ms,
            problem.sealed_ms,
            sending.sealed.digest.hex(),
            intents=len(problem.intents),
        )
        tx.auction(report.auction_id, AuctionRow("sealed", report.to_json()))
        self.sealed = sending.sealed
        return sending

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
        self, sending: Sending, nodes: Mapping[bytes, Node], watch: Stopwatch
    ) -> Collected:
        """What the nodes answer until the deadline, checked and scored."""
        sealed = sending.sealed
        if sealed.plan is None:
            return Collected()
        checkpoint = self._sequencer.checkpoint
        assert checkpoint is not None
        collection = Collection(
            sealed,
            sending.bodies,
            nodes,
            self._fleet.in_flight,
            checkpoint.note,
            self._clock,
            lambda data, key, now: self._start(sealed.evaluate, data, key, now),
        )
        with watch.phase("solve"):
            await collection.run()
        with watch.phase("check"):
            return await collection.finish()

    async def _commit(
        self,
        batch: OpenBatch,
        sending: Sending,
        collected: Collected,
        closed: ClosedBatch,
        closing: bytes,
        awarded: AwardedBatch,
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
            for _, data in collected.bids:
                tx.blob(data)
            tx.append(closing)
            bundle = tx.blob(tx.seal(awarded.bundle()))
            tx.record(Awarded(number, bundle))
            if sealed.plan is not None:
                observe(tx, sending, collected.calls, closed, awarded)
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
                work_us=work_us(sending, collected.calls),
                copies=copies(sending),
                solvers=solver_reports(sealed, closed, awarded, collected.faults),
                seconds=watch.seconds,
            )
            tx.auction(number, AuctionRow("settled", report.to_json()))
            self.sealed = None
            return report

        outcome = await self._sequencer.run(command)
        assert isinstance(outcome.value, AuctionReport)
        return outcome.value
