"""IntentService."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from walras.api.v1 import intent_service_pb2 as pb
from walras.api.v1 import intent_service_pb2_grpc
from walras.app.engine import Engine
from walras.app.sequencer import Transaction
from walras.audit import envelope
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.intake.admission import OpenedRecord, check_window, open_record
from walras.ledger.book import BookEntry, IntentState
from walras.ledger.changes import Changes
from walras.protocol.records import Cancel, Kind
from walras.protocol.trade import decode_intent
from walras.rpc.interceptor import Context
from walras.rpc.receipts import inclusion, receipt
from walras.rpc.requests import (
    check_digest,
    make_token,
    page_size,
    read_number_token,
    request_key,
)
from walras.rpc.watchers import Watchers
from walras.store import schema

MAX_BATCH = 1_024
MAX_WATCHED = 1_000

STATES = {
    IntentState.OPEN: pb.INTENT_STATE_OPEN,
    IntentState.FILLED: pb.INTENT_STATE_FILLED,
    IntentState.CANCELLED: pb.INTENT_STATE_CANCELLED,
    IntentState.EXPIRED: pb.INTENT_STATE_EXPIRED,
}


class IntentService(intent_service_pb2_grpc.IntentServiceServicer):
    """Signed intents in; their fate out."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._threads = threads
        self._watchers: Watchers[BookEntry] = Watchers()
        engine.sequencer.on_commit.append(self._publish)

    async def SubmitIntent(
        self, request: pb.SubmitIntentRequest, context: Context
    ) -> pb.SubmitIntentResponse:
        """Verify, admit, commit, acknowledge."""
        key = request_key(request)
        opened = await self._open(open_record, request.envelope, Kind.INTENT)
        outcome = await self._engine.sequencer.run(lambda tx: self._admit(tx, opened), key)
        value: Any = outcome.value
        return pb.SubmitIntentResponse(
            intent_id=bytes.fromhex(value["id"]),
            receipt=receipt(self._engine.sequencer.tree, value["leaf"], outcome.checkpoint),
        )

    async def SubmitIntents(
        self, request: pb.SubmitIntentsRequest, context: Context
    ) -> pb.SubmitIntentsResponse:
        """As SubmitIntent, many in one commit."""
        key = request_key(request)
        if not 1 <= len(request.envelopes) <= MAX_BATCH:
            raise InvalidInput(Reason.FIELD_INVALID, f"a batch has 1 to {MAX_BATCH} envelopes")
        opened = await self._open(_open_many, list(request.envelopes))
        outcome = await self._engine.sequencer.run(lambda tx: self._admit_many(tx, opened), key)
        tree, checkpoint = self._engine.sequencer.tree, outcome.checkpoint
        values: Any = outcome.value
        return pb.SubmitIntentsResponse(
            results=[
                pb.SubmitResult(
                    intent_id=bytes.fromhex(value["id"]),
                    inclusion=inclusion(tree, value["leaf"], checkpoint.size),
                )
                if "leaf" in value
                else pb.SubmitResult(refusal=pb.Refusal(**value))
                for value in values
            ],
            checkpoint=checkpoint.note,
        )

    async def CancelIntent(
        self, request: pb.CancelIntentRequest, context: Context
    ) -> pb.CancelIntentResponse:
        """Take an intent out of the book."""
        key = request_key(request)
        opened = await self._open(open_record, request.envelope, Kind.CANCEL)
        record: Cancel = opened.record
        auctioneer = self._engine.auctioneer

        def command(tx: Transaction) -> dict[str, object]:
            sealed = auctioneer.sealed
            held = sealed is not None and record.intent_id in sealed.problem.intents
            entry = tx.state.cancel(record, held)
            return {
                "id": entry.id.hex(),
                "remaining": str(entry.remaining),
                "settled": str(entry.settled),
                "auction": sealed.auction_id if held and sealed is not None else 0,
                "leaf": tx.append(opened.leaf),
            }

        try:
            outcome = await self._engine.sequencer.run(command, key)
        except InvalidInput as error:
            if error.reason is Reason.INTENT_UNKNOWN:
                await self._check_open(record.intent_id)
            raise
        value: Any = outcome.value
        status = await self._status(bytes.fromhex(value["id"]))
        status.state = pb.INTENT_STATE_CANCELLED
        status.remaining, status.settled = value["remaining"], value["settled"]
        return pb.CancelIntentResponse(
            intent=status,
            sealed_in_auction_id=value["auction"],
            receipt=receipt(self._engine.sequencer.tree, value["leaf"], outcome.checkpoint),
        )

    async def GetIntent(
        self, request: pb.GetIntentRequest, context: Context
    ) -> pb.GetIntentResponse:
        """One intent, whatever became of it."""
        return pb.GetIntentResponse(intent=await self._status(request.intent_id))

    async def ListIntents(
        self, request: pb.ListIntentsRequest, context: Context
    ) -> pb.ListIntentsResponse:
        """Intents in the order of the log."""
        size = page_size(request.page_size)
        table = schema.intent
        after = read_number_token(request.page_token, -1)
        query = _select_status().where(table.c.leaf_index > after)
        if request.owner:
            query = query.where(table.c.owner == check_digest(request.owner, "owner"))
        if request.state:
            names = {number: state for state, number in STATES.items()}
            if request.state not in names:
                raise InvalidInput(Reason.FIELD_INVALID, "there is no such intent state")
            query = query.where(table.c.state == names[request.state].value)
        async with self._engine.store.read() as db:
            rows = (await db.execute(query.order_by(table.c.leaf_index).limit(size + 1))).all()
        more = len(rows) > size
        return pb.ListIntentsResponse(
            intents=[_to_status(row) for row in rows[:size]],
            next_page_token=make_token(rows[size - 1].leaf_index) if more else "",
        )

    async def WatchIntents(
        self, request: pb.WatchIntentsRequest, context: Context
    ) -> AsyncIterator[pb.WatchIntentsResponse]:
        """The present state of each, then every change."""
        ids = {check_digest(name, "intent_ids") for name in request.intent_ids}
        owner = check_digest(request.owner, "owner") if request.owner else b""
        if bool(ids) == bool(owner) or len(ids) > MAX_WATCHED:
            raise InvalidInput(
                Reason.FIELD_INVALID, f"watch 1 to {MAX_WATCHED} intents, or one owner's"
            )
        wants: Callable[[BookEntry], bool]
        wants = (lambda e: e.id in ids) if ids else (lambda e: e.intent.owner == owner)
        with self._watchers.watch(wants) as changes:
            # Headers first, so that a caller knows when it has begun to watch.
            await context.send_initial_metadata(())
            open_ids = set(ids)
            for name in sorted(ids):
                status = await self._status(name)
                yield pb.WatchIntentsResponse(intent=status)
                if status.state != pb.INTENT_STATE_OPEN:
                    open_ids.discard(name)
            if ids and not open_ids:
                return
            async for entry in changes:
                yield pb.WatchIntentsResponse(intent=await self._status(entry.id))
                if entry.state is not IntentState.OPEN:
                    open_ids.discard(entry.id)
                    if ids and not open_ids:
                        return

    def _publish(self, changes: Changes) -> None:
        for entry in changes.intents.values():
            self._watchers.publish(entry)

    async def _open(self, function: Callable[..., Any], *args: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    async def _check_open(self, intent_id: bytes) -> None:
        """The book knows open intents only; the store knows what became of the others."""
        status = await self._status(intent_id)
        if status.state != pb.INTENT_STATE_OPEN:
            state = pb.IntentState.Name(status.state).removeprefix("INTENT_STATE_").lower()
            raise InvalidInput(Reason.INTENT_CLOSED, f"the intent is already {state}")

    def _admit(self, tx: Transaction, opened: OpenedRecord) -> dict[str, object]:
        intent = opened.record
        assert isinstance(intent, Intent)
        check_window(intent.expiry_ms, tx.now_ms)
        self._engine.planner.admit(intent.owner)
        tx.state.submit(opened.id, intent, tx.tree.size)
        self._engine.planner.admitted(intent.owner)
        return {"id": opened.id.hex(), "leaf": tx.append(opened.leaf)}

    def _admit_many(
        self, tx: Transaction, many: Sequence[OpenedRecord | InvalidInput]
    ) -> list[dict[str, object]]:
        results: list[dict[str, object]] = []
        for opened in many:
            try:
                if isinstance(opened, InvalidInput):
                    raise opened
                results.append(self._admit(tx, opened))
            except InvalidInput as error:
                refusal = {
                    "reason": error.reason.value,
                    "message": error.message,
                    "hint": error.hint,
                }
                results.append({**refusal})
        return results

    async def _status(self, intent_id: bytes) -> pb.IntentStatus:
        check_digest(intent_id, "intent_id")
        async with self._engine.store.read() as db:
            row = await _find(db, intent_id)
        if row is None:
            raise InvalidInput(
                Reason.INTENT_UNKNOWN,
                f"there is no intent {intent_id.hex()}",
                hint="an intent is known where it was handed in; is this that engine?",
            )
        return _to_status(row)


def _open_many(envelopes: Sequence[bytes]) -> list[OpenedRecord | InvalidInput]:
    results: list[OpenedRecord | InvalidInput] = []
    for data in envelopes:
        try:
            results.append(open_record(data, Kind.INTENT))
        except InvalidInput as error:
            results.append(error)
    return results


def _select_status() -> sa.Select[Any]:
    leaf = schema.leaf
    return sa.select(schema.intent, leaf.c.envelope).join(
        leaf, leaf.c.leaf_index == schema.intent.c.leaf_index
    )


async def _find(db: AsyncConnection, intent_id: bytes) -> sa.Row[Any] | None:
    found = await db.execute(_select_status().where(schema.intent.c.id == intent_id))
    row: sa.Row[Any] | None = found.first()
    return row


def _to_status(row: sa.Row[Any]) -> pb.IntentStatus:
    intent = decode_intent(envelope.decode(row.envelope).body)
    return pb.IntentStatus(
        intent_id=row.id,
        state=STATES[IntentState(row.state)],
        units=str(intent.units),
        remaining=row.remaining,
        settled=row.settled,
        envelope=row.envelope,
        leaf_index=row.leaf_index,
    )
