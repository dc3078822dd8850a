"""The store: one SQL database, one writer.

`Store.commit` is the only write. It is one transaction, synced to disk before it returns, so
whatever the engine acknowledges afterwards survives a kill at any moment. A file lock keeps a
second engine away from the same folder: two writers would fork the log.
"""

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.ledger.changes import Changes
from walras.ledger.fleet import to_json as fleet_to_json
from walras.ledger.pricing import feed_to_json
from walras.ledger.state import State
from walras.protocol.codec import encode
from walras.protocol.records import RulesSet
from walras.protocol.venues import encode_venue
from walras.store import schema
from walras.store.commit import (
    Answered,
    AnsweredRequest,
    Commit,
    Outcome,
    RequestKey,
    SignedCheckpoint,
)

_READERS = 4
_MANY = 500
"""Ids per IN list, below every database's limit on parameters."""


class Store:
    """An open database. Make one with `open_store`."""

    def __init__(self, writer: AsyncEngine, readers: AsyncEngine) -> None:
        self._writer = writer
        self._readers = readers

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading."""
        async with self._readers.connect() as connection:
            yield connection

    async def commit(self, commit: Commit, state: State, now_ms: int) -> None:
        """Write `commit`, whole and synced, or raise and write nothing."""
        statements = list(_statements(commit, state, now_ms))
        with explained():
            await self._execute(statements)

    async def _execute(
        self, statements: Iterable[tuple[sa.Executable, list[dict[str, Any]]]]
    ) -> None:
        async with self._writer.begin() as connection:
            for statement, rows in statements:
                await connection.execute(statement, rows)

    async def answered(self, keys: Iterable[RequestKey]) -> Answered:
        """The outcomes of those requests that were answered before."""
        request, checkpoint = schema.request, schema.checkpoint
        wanted = [(key.method, key.request_id) for key in keys]
        found: dict[tuple[str, str], AnsweredRequest] = {}
        async with self._writer.connect() as connection:
            for start in range(0, len(wanted), _MANY):
                rows = await connection.execute(
                    sa.select(request, checkpoint.c.note)
                    .join(checkpoint, checkpoint.c.size == request.c.checkpoint_size)
                    .where(
                        sa.tuple_(request.c.method, request.c.request_id).in_(
                            wanted[start : start + _MANY]
                        )
                    )
                )
                for row in rows:
                    found[row.method, row.request_id] = AnsweredRequest(
                        row.digest,
                        Outcome(
                            json.loads(row.value), SignedCheckpoint(row.checkpoint_size, row.note)
                        ),
                    )
        return found

    async def cosign(self, checkpoint: SignedCheckpoint) -> None:
        """Keep a checkpoint with its cosignatures in place of the same one without."""
        table = schema.checkpoint
        async with self._writer.begin() as connection:
            await connection.execute(
                sa.update(table).where(table.c.size == checkpoint.size).values(note=checkpoint.note)
            )
            await connection.execute(
                _upsert(schema.setting), [{"name": schema.COSIGNED, "body": checkpoint.note}]
            )

    async def cosigned(self) -> bytes | None:
        """The note that was cosigned last; None if none was."""
        table = schema.setting
        async with self.read() as connection:
            query = sa.select(table.c.body).where(table.c.name == schema.COSIGNED)
            note: bytes | None = (await connection.execute(query)).scalar_one_or_none()
        return note

    async def forget_requests(self, before_ms: int) -> None:
        """Forget answers that were given before `before_ms`."""
        async with self._writer.begin() as connection:
            await connection.execute(
                sa.delete(schema.request).where(schema.request.c.created_ms < before_ms)
            )

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        await self._readers.dispose()


@contextmanager
def explained() -> Iterator[None]:
    """Raises WalrasError INTERNAL where the database fails: a full disk, a damaged file."""
    try:
        yield
    except sa.exc.IntegrityError:
        raise  # what is stored twice is a fault of ours, and no disk's
    except sa.exc.DBAPIError as error:
        raise WalrasError(
            Reason.INTERNAL,
            f"the database failed: {error.orig}",
            hint="see that its disk has room and its files are whole; nothing acknowledged is lost",
        ) from error


async def open_store(folder: Path) -> Store:
    """The store in `folder`, made or migrated where needed."""
    path = folder / "walras.db"
    with explained():
        await asyncio.to_thread(_migrate, path)
    writer = _engine(path, pool_size=1)
    return Store(writer, _engine(path, pool_size=_READERS))


def lock_folder(folder: Path) -> Any:
    """An exclusive lock on `folder`, held as long as the returned file is open.

    Raises:
        InvalidInput: CONFIG_INVALID if another engine has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"another engine runs on {folder}",
            hint="stop it, or choose another folder",
        ) from error
    return lock


def _engine(path: Path, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=pool_size, max_overflow=0, pool_timeout=30
    )
    sa.event.listen(engine.sync_engine, "connect", _configure)
    return engine


def _configure(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # FULL: a commit is on the disk when it returns, also across a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _migrate(path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")
    sa.event.listen(engine, "connect", _configure)
    config = Config()
    config.set_main_option("script_location", "walras.store:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def _statements(
    commit: Commit, state: State, now_ms: int
) -> Iterable[tuple[sa.Executable, list[dict[str, Any]]]]:
    if commit.leaves:
        yield (
            sa.insert(schema.leaf),
            [
                {"leaf_index": commit.first_leaf + i, "envelope": envelope}
                for i, envelope in enumerate(commit.leaves)
            ],
        )
    if commit.blobs:
        # The same bytes may be stored twice, such as a venue state that comes back.
        yield (
            insert(schema.blob).on_conflict_do_nothing(),
            [{"digest": digest, "body": body} for digest, body in commit.blobs.items()],
        )
    if commit.checkpoint is not None and commit.leaves:
        yield (
            sa.insert(schema.checkpoint),
            [{"size": commit.checkpoint.size, "note": commit.checkpoint.note}],
        )
    if commit.auctions:
        yield (
            _upsert(schema.auction),
            [
                {"auction_id": number, "state": row.state, "summary": row.summary}
                for number, row in commit.auctions.items()
            ],
        )
    if commit.requests and commit.checkpoint is not None:
        yield (
            sa.insert(schema.request),
            [
                {
                    "method": method,
                    "request_id": request_id,
                    "digest": answer.digest,
                    "value": json.dumps(answer.value),
                    "checkpoint_size": commit.checkpoint.size,
                    "created_ms": now_ms,
                }
                for (method, request_id), answer in commit.requests.items()
            ],
        )
    yield from _state_statements(commit.changes, state)


def _state_statements(
    changes: Changes, state: State
) -> Iterable[tuple[sa.Executable, list[dict[str, Any]]]]:
    if changes.intents:
        yield (
            _upsert(schema.intent),
            [
                {
                    "leaf_index": entry.leaf_index,
                    "id": entry.id,
                    "owner": entry.intent.owner,
                    "state": entry.state.value,
                    "remaining": str(entry.remaining),
                    "settled": str(entry.settled),
                }
                for entry in changes.intents.values()
            ],
        )
    if changes.nonces:
        yield (
            sa.insert(schema.nonce),
            [{"signer": signer, "nonce": str(nonce)} for signer, nonce in changes.nonces],
        )
    if changes.balances:
        yield (
            _upsert(schema.balance),
            [
                {"owner": owner, "asset": asset, "amount": str(state.balance(owner, asset))}
                for owner, asset in changes.balances
            ],
        )
    if changes.assets:
        yield (
            _upsert(schema.asset),
            [
                {
                    "id": a,
                    "symbol": state.market.assets[a].symbol,
                    "decimals": state.market.assets[a].decimals,
                }
                for a in changes.assets
            ],
        )
    kept = [name for name in changes.venues if name in state.market.venues]
    if kept:
        yield (
            _upsert(schema.venue),
            [{"id": name, "body": encode_venue(state.market.venues[name])} for name in kept],
        )
    removed = changes.venues - state.market.venues.keys()
    if removed:
        yield (
            sa.delete(schema.venue).where(schema.venue.c.id == sa.bindparam("name")),
            [{"name": name} for name in removed],
        )
    if changes.prices:
        yield (
            _upsert(schema.price),
            [
                {
                    "asset": asset,
                    "amount": str(state.market.prices[asset].amount),
                    "source": state.market.prices[asset].source,
                }
                for asset in changes.prices
            ],
        )
    settings = []
    if changes.genesis and state.genesis is not None:
        settings.append({"name": "genesis", "body": encode(state.genesis)[1]})
    if changes.rules:
        settings.append({"name": "rules", "body": encode(RulesSet(state.rules))[1]})
    if changes.fleet:
        settings.append({"name": schema.FLEET, "body": fleet_to_json(state.fleet).encode()})
    if changes.watch:
        settings.append(
            {"name": schema.WATCH, "body": json.dumps(state.market.watch.to_json()).encode()}
        )
    pricing = state.market.pricing
    if changes.pricing:
        settings.append({"name": schema.PRICING, "body": json.dumps(pricing.to_json()).encode()})
    for feeder in sorted(changes.feeds):
        feed = json.dumps(feed_to_json(pricing.feeds[feeder]))
        settings.append({"name": schema.FEED + feeder.hex(), "body": feed.encode()})
    if settings:
        yield _upsert(schema.setting), settings


def _upsert(table: sa.Table) -> sa.Executable:
    statement = insert(table)
    keys = {column.name for column in table.primary_key}
    updates: Mapping[str, Any] = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    return statement.on_conflict_do_update(index_elements=sorted(keys), set_=updates)
