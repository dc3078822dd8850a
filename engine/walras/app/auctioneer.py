"""The auctioneer: one batch after another on a clock.

open ── interval ── seal ── ask nodes ── deadline or all answered ── close ── open bids ── award
── settle
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256

import structlog

from walras.app.batches import Batches
from walras.app.report import AuctionReport
from walras.app.sequencer import Command, Sequencer, Transaction
from walras.auction.batch import OpenBatch, SealedBatch
from walras.balance.events import Change, Rule
from walras.balance.pace import Pace
from walras.balance.rules import FleetRules
from walras.core.errors import InvalidInput, Reason
from walras.fleet.registry import Fleet
from walras.protocol.dispatch import LoadProbe
from walras.protocol.problem import Rules
from walras.protocol.records import Opened, RulesSet, Voided
from walras.protocol.values import encode_rules
from walras.store.commit import AuctionRow, Outcome, RequestKey

log = structlog.get_logger()

MAX_WAITING = 1_024
"""Withdrawals and market updates that may wait for a batch to end."""

MAX_WAITING_PER_SIGNER = 8
"""Of them, those of one key: nobody keeps the others out."""

MAX_CAUSES = 16
"""Of a pace that are logged with it: the latest."""

IDLE_MS = 60_000
"""How long a book that the last batch could not fill rests, if nothing changes."""


class Auctioneer:
    """Runs batches through the sequencer.

    Args:
        sequencer: the single writer.
        fleet: whom to ask.
        batches: what runs one.
        clock: milliseconds since the epoch.
        interval_ms: a batch gathers intents at least this long.
        rules, fleet_rules: from the next batch on.
        next_id: the next auction's.

    Attributes:
        on_auction: called with the report of each batch that was settled.
    """

    def __init__(
        self,
        sequencer: Sequencer,
        fleet: Fleet,
        batches: Batches,
        clock: Callable[[], int],
        *,
        interval_ms: int,
        rules: Rules,
        fleet_rules: FleetRules,
        next_id: int,
    ) -> None:
        self._sequencer = sequencer
        self._fleet = fleet
        self._clock = clock
        self._interval_ms = interval_ms
        self._rules = rules
        self._fleet_rules = fleet_rules
        self._claims: list[Change] = []
        self._next_id = next_id
        self._batches = batches
        self._between = asyncio.Lock()
        self._waiting: Counter[bytes] = Counter()
        self.on_auction: list[Callable[[AuctionReport], None]] = []

    @property
    def sealed(self) -> SealedBatch | None:
        """The batch that is sealed and has no end in the log yet."""
        return self._batches.sealed

    @property
    def canaries(self) -> set[bytes]:
        """Ids of intents that were planted to see who finds them."""
        return self._batches.canaries

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
        self._claims = [*self._claims, *causes][-MAX_CAUSES:]

    def quietly(self, entries: int) -> None:
        """So many entries were logged that are no reason to auction an idle book."""
        self._batches.quiet_size += entries

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
        if not rest_ms or self._sequencer.state.book.moves_by_itself(self._clock()):
            return
        end = time.monotonic() + rest_ms / 1_000
        # Looked at once an interval, as an open batch is: an event would have to come from the log.
        while self._sequencer.tree.size <= self._batches.quiet_size and time.monotonic() < end:  # noqa: ASYNC110 - so
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
            self._batches.quiet_size += tx.tree.size - before
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
        faults = self._fleet.faults()
        probes: list[LoadProbe] = []
        if self._fleet_rules.policy == "prequal":
            size = self._fleet_rules.probe_pool_size
            probes = await self._fleet.loads(size, self._clock() * 1_000)
        async with self._between:
            report = await self._batches.run(batch, probes, faults)
        if report is not None:
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
            if self._batches.sealed is not None:
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

    async def void(self, report: AuctionReport, reason: Reason) -> None:
        """End a batch that was left open or, by an earlier run, sealed."""

        def command(tx: Transaction) -> None:
            tx.record(Voided(report.auction_id, reason.value))
            tx.state.release()
            voided = replace(
                report, state="voided", void_reason=reason.value, end_leaf=tx.tree.size
            )
            tx.auction(report.auction_id, AuctionRow("voided", voided.to_json()))

        await self._sequencer.run(command)
