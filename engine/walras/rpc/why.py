"""Reasons out of an engine's store: what its log says of one auction, explained.

An engine keeps no balances of the past: that an intent was not backed is said without what its
owner had. `walras why --log` replays the log, and knows.
"""

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from walras.api.v1 import record_pb2
from walras.app.engine import Engine
from walras.app.report import AuctionReport
from walras.auction.batch import MAX_BID_BYTES
from walras.auction.logged import LoggedAuction, names_bid, read_auction
from walras.auction.why import Explanation, Standing, Verdict, why_bid, why_intent
from walras.audit import envelope
from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.core.intents import Intent
from walras.ledger.book import IntentState
from walras.protocol.codec import Signed, decode
from walras.protocol.records import KIND_OF_TYPE, BidReceived, Kind
from walras.protocol.trade import decode_bid, decode_intent
from walras.protocol.wire import parse
from walras.store import schema

LOOK_BACK = 64
"""Auctions in which an intent is looked for, where none is named: the newest."""

LOOK_BACK_FOR_BIDS = 8
"""Likewise for a bid's id or a commitment, for which all bids are read."""

MAX_WAITING = 8
"""Explanations; one is made at a time."""

MAX_BYTES = 256 << 20
"""Of the bids of an auction that is explained here."""

_SECONDS = 60.0
_MANY = 500
_LAST = (1 << 63) - 1
_KINDS = (
    Kind.SEALED,
    Kind.COMMITTED,
    Kind.BID_RECEIVED,
    Kind.BID_UNOPENED,
    Kind.BID_REJECTED,
    Kind.AWARDED,
    Kind.VOIDED,
)


class Reasons:
    """Answers to "why", one after another, in a thread of their own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="why")
        self._waiting = 0
        self._last: LoggedAuction | None = None

    async def explain(self, asked: bytes, auction_id: int) -> Explanation:
        """Why an intent was not filled, or a bid did not win.

        Args:
            asked: id of an intent; or id of a bid, its envelope's digest, or a commitment.
            auction_id: the batch; 0: an intent's newest, and a bid's own.

        Raises:
            InvalidInput: NOT_FOUND, with where else to look; QUEUE_FULL.
            WalrasError: DEADLINE_PASSED.
        """
        if self._waiting >= MAX_WAITING:
            raise InvalidInput(
                Reason.QUEUE_FULL, f"{MAX_WAITING} explanations wait already", hint="try again"
            )
        loop = asyncio.get_running_loop()
        reader = _Reader(self._engine, loop, loop.time() + _SECONDS)
        work = loop.run_in_executor(self._thread, self._explain, reader, asked, auction_id)
        self._waiting += 1
        work.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(work), _SECONDS)
        except TimeoutError:
            raise _late() from None

    def _done(self, work: asyncio.Future[Explanation]) -> None:
        self._waiting -= 1
        if not work.cancelled():
            work.exception()  # whoever waited has seen it, or has gone

    def _explain(self, reader: "_Reader", asked: bytes, auction_id: int) -> Explanation:
        row = reader.intent(asked)
        if row is None:
            return self._bid(reader, asked, auction_id)
        found = self._intent(reader, row, auction_id)
        return replace(found, fields={**found.fields, "state": row.state})

    def _intent(self, reader: "_Reader", row: sa.Row[Any], auction_id: int) -> Explanation:
        intent = decode_intent(envelope.decode(row.envelope).body)
        is_open = row.state == IntentState.OPEN.value
        since = [r for r in reader.reports(auction_id) if r.sealed_leaf > row.leaf_index]
        for report in since:
            # What is open now was open then, and windows are known; balances of the past are not.
            known = is_open or (bool(auction_id) and intent.expiry_ms <= report.sealed_ms)
            if known or reader.holds(report, row.id):
                standing = Standing(intent, int(row.remaining))
                return why_intent(row.id, standing, self._auction(reader, report))
            if auction_id:
                raise InvalidInput(
                    Reason.NOT_FOUND,
                    f"auction {auction_id} did not hold the intent, which is {row.state} now",
                    hint="the log says why: walras export, then walras why --log",
                )
        if auction_id:
            message = f"it was logged after auction {auction_id} was sealed"
            return Explanation("intent", row.id, auction_id, Verdict.PENDING, message)
        if is_open:
            message = "no batch was sealed since it was logged"
            return Explanation("intent", row.id, 0, Verdict.PENDING, message)
        expired = row.state == IntentState.EXPIRED.value
        message = f"it is {row.state}, and none of the newest {LOOK_BACK} auctions held it"
        verdict = Verdict.EXPIRED if expired else Verdict.CLOSED_BEFORE
        return Explanation("intent", row.id, 0, verdict, message)

    def _bid(self, reader: "_Reader", asked: bytes, auction_id: int) -> Explanation:
        number = auction_id or reader.auction_of(asked)
        for report in reader.reports(number)[:LOOK_BACK_FOR_BIDS]:
            records = reader.records(report)
            if any(names_bid(record, asked, reader.blob) for record in records):
                found = why_bid(asked, self._auction(reader, report))
                if found is not None:
                    return found
        newest = f"the newest {LOOK_BACK_FOR_BIDS} auctions"
        where = f"auction {number}" if number else newest
        raise InvalidInput(
            Reason.NOT_FOUND,
            f"there is no intent {asked.hex()}, and no bid or commitment in {where}",
            hint="what was refused at intake is in no log: the answer to its submission said why;"
            " of an older bid, name the auction",
        )

    def _auction(self, reader: "_Reader", report: AuctionReport) -> LoggedAuction:
        """What the log says of it; the last one that had ended is kept."""
        if self._last is not None and self._last.auction_id == report.auction_id:
            return self._last
        intents = reader.intents(bytes.fromhex(report.problem_digest))
        found = read_auction(reader.records(report), reader.blob, intents)
        if report.end_leaf:
            self._last = found
        return found


class _Reader:
    """The store, read from a thread beside the engine's loop, until a moment of its clock."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, end: float) -> None:
        self._engine = engine
        self._loop = loop
        self._end = end

    def rows(self, query: sa.Select[Any]) -> list[sa.Row[Any]]:
        """What a query gives. Raises WalrasError: DEADLINE_PASSED: nobody waits any more."""
        if self._loop.time() >= self._end:
            raise _late()

        async def read() -> list[sa.Row[Any]]:
            async with self._engine.store.read() as db:
                return list((await db.execute(query)).all())

        return asyncio.run_coroutine_threadsafe(read(), self._loop).result(_SECONDS)

    def intent(self, intent_id: bytes) -> sa.Row[Any] | None:
        """A row of the intent's table with its envelope."""
        table, leaf = schema.intent, schema.leaf
        query = sa.select(table, leaf.c.envelope).join(
            leaf, leaf.c.leaf_index == table.c.leaf_index
        )
        return next(iter(self.rows(query.where(table.c.id == intent_id))), None)

    def reports(self, auction_id: int) -> list[AuctionReport]:
        """The auction, or the newest ones; of them those that were sealed.

        Raises InvalidInput: NOT_FOUND.
        """
        number = schema.auction.c.auction_id
        query = sa.select(schema.auction.c.summary).order_by(number.desc()).limit(LOOK_BACK)
        if auction_id:
            query = query.where(number == min(auction_id, _LAST))
        found = [AuctionReport.from_json(row.summary) for row in self.rows(query)]
        if auction_id and not found:
            raise InvalidInput(
                Reason.NOT_FOUND, f"there is no auction {auction_id}", hint="see ListAuctions"
            )
        return [report for report in found if report.problem_digest]

    def holds(self, report: AuctionReport, intent_id: bytes) -> bool:
        """Whether the problem's bytes hold the id."""
        body = schema.blob.c.body
        query = sa.select(sa.func.instr(body, intent_id)).where(
            schema.blob.c.digest == bytes.fromhex(report.problem_digest)
        )
        return any(row[0] for row in self.rows(query))

    def auction_of(self, digest: bytes) -> int:
        """Which auction a bid says it is for, by its envelope's digest; 0 where it is none."""
        query = sa.select(schema.blob.c.body).where(schema.blob.c.digest == digest)
        for row in self.rows(query):
            try:
                signed = envelope.decode(row.body, MAX_BID_BYTES)
                if signed.payload_type == Kind.BID.payload_type:
                    return decode_bid(signed.body).auction_id
            except WalrasError:
                return 0  # broken bytes are looked for like any id
        return 0

    def records(self, report: AuctionReport) -> list[Signed]:
        """The auction's, from its sealing on.

        Raises InvalidInput: OVERLOADED, where its bids are more than is read here.
        """
        leaf = schema.leaf.c
        end = report.end_leaf or _LAST
        of_auctions = sa.or_(
            *(sa.func.instr(leaf.envelope, kind.payload_type.encode()) > 0 for kind in _KINDS)
        )
        query = (
            sa.select(leaf.envelope)
            .where(leaf.leaf_index >= report.sealed_leaf, leaf.leaf_index < end, of_auctions)
            .order_by(leaf.leaf_index)
        )
        found = [
            record
            for row in self.rows(query)
            if getattr(record := _decode(row.envelope), "auction_id", 0) == report.auction_id
        ]
        bids = {record.bid_digest for record in found if isinstance(record, BidReceived)}
        if self._bytes(bids) > MAX_BYTES:
            raise InvalidInput(
                Reason.OVERLOADED,
                f"the bids of auction {report.auction_id} have more than {MAX_BYTES} bytes",
                hint="walras export, then walras why --log",
            )
        return found

    def blob(self, digest: bytes) -> bytes:
        """One that a record names."""
        query = sa.select(schema.blob.c.body).where(schema.blob.c.digest == digest)
        body: bytes = self.rows(query)[0].body
        return body

    def intents(self, problem_digest: bytes) -> dict[bytes, Intent]:
        """The bodies of all intents that a problem names."""
        ids = [
            entry.intent_id
            for entry in parse(record_pb2.Problem, self.blob(problem_digest)).intents
        ]
        table, leaf = schema.intent, schema.leaf
        found = {}
        for some in _chunks(ids):
            query = sa.select(table.c.id, leaf.c.envelope).join(
                leaf, leaf.c.leaf_index == table.c.leaf_index
            )
            for row in self.rows(query.where(table.c.id.in_(some))):
                found[row.id] = decode_intent(envelope.decode(row.envelope).body)
        return found

    def _bytes(self, digests: Iterable[bytes]) -> int:
        blob = schema.blob.c
        return sum(
            row[0] or 0
            for some in _chunks(digests)
            for row in self.rows(
                sa.select(sa.func.sum(sa.func.length(blob.body))).where(blob.digest.in_(some))
            )
        )


def _late() -> WalrasError:
    return WalrasError(Reason.DEADLINE_PASSED, f"there is no explanation after {_SECONDS:g} s")


def _decode(leaf: bytes) -> Signed:
    signed = envelope.decode(leaf)
    return decode(KIND_OF_TYPE[signed.payload_type], signed.body)


def _chunks(items: Iterable[bytes]) -> Iterator[list[bytes]]:
    every = list(items)
    for start in range(0, len(every), _MANY):
        yield every[start : start + _MANY]
