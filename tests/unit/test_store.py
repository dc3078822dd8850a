"""The store: what is committed is what is loaded, and nothing else."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.ledgers import (
    OPERATOR,
    VRF,
    copied,
    crossed,
    fund,
    ledger,
    name_of,
    scored,
    sold_to,
    submit,
)
from support.market import (
    DOMAIN,
    ETH,
    NEVER,
    USD,
    WHOLE_ETH,
    WHOLE_USD,
    buy,
    nonce,
    pool,
    sell,
    signer,
)

from walras.audit.merkle import Tree
from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.ledger.changes import Changes
from walras.ledger.state import State
from walras.market.kinds import Offer, OrderBook
from walras.protocol.problem import Price, Rules
from walras.protocol.records import Cancel, Genesis, MarketUpdate, RulesSet, Withdrawal
from walras.sdk.signing import sign_record
from walras.store import schema
from walras.store.commit import AnsweredNow, AuctionRow, Commit, RequestKey, SignedCheckpoint
from walras.store.database import Store, lock_folder, open_store
from walras.store.load import load

ANN, BOB = signer("ann"), signer("bob")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = await open_store(tmp_path)
    yield found
    await found.close()


class Writer:
    """A state whose changes are committed as the sequencer does, with leaves as they come."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.state = State()
        self.tree = Tree()

    def new(self) -> Commit:
        return Commit(first_leaf=self.tree.size)

    async def write(self, commit: Commit | None = None, now_ms: int = 0) -> SignedCheckpoint | None:
        pending = commit or self.new()
        for leaf in pending.leaves:
            self.tree.append(leaf)
        pending.changes = self.state.take_changes()
        if pending.leaves:
            pending.checkpoint = SignedCheckpoint(self.tree.size, b"note %d" % self.tree.size)
        await self.store.commit(pending, self.state, now_ms)
        return pending.checkpoint

    async def check(self) -> None:
        """What is loaded equals what is in memory."""
        loaded = await load(self.store)
        assert loaded.state == self.state
        assert (loaded.tree.size, loaded.tree.root()) == (self.tree.size, self.tree.root())


async def test_an_empty_store(store: Store) -> None:
    loaded = await load(store)
    assert loaded.state == State()
    assert loaded.tree.size == 0
    assert loaded.checkpoint is None
    assert loaded.auction is None


async def test_a_life(store: Store) -> None:
    """Commit after commit, the store holds the state: with deletions, closures and huge amounts."""
    writer = Writer(store)
    state = writer.state
    state.begin(Genesis(DOMAIN, ANN.public_key, (OPERATOR, BOB.public_key), VRF.public_key))
    state.set_rules(RulesSet(Rules(reward_cap=(1 << 62) - 1)))
    commit = writer.new()
    commit.leaves += [b"genesis", b"rules"]
    await writer.write(commit)
    await writer.check()
    other = ledger(pool("a"), OrderBook("book", 1, (ETH, USD), (Offer(1, 10),), ()))
    state.update_market(
        MarketUpdate(
            DOMAIN,
            OPERATOR,
            (1 << 64) - 1,
            tuple(other.market.assets.values()),
            tuple(other.market.venues.values()),
            (),
            {**other.market.prices, ETH: Price(2**255 - 1, "dear")},
        )
    )
    fund(state, ANN.public_key, ETH, 2**255 - 1)
    fund(state, BOB.public_key, USD, 20_000 * WHOLE_USD)
    await writer.write()
    await writer.check()
    made = [sell(ANN.public_key), sell(ANN.public_key), buy(BOB.public_key), sell(ANN.public_key)]
    commit = writer.new()
    for one in made:
        commit.leaves.append(sign_record(one, ANN if one.owner == ANN.public_key else BOB))
    names = [name_of(one) for one in made]
    for place, one in enumerate(made):
        state.submit(names[place], one, commit.first_leaf + place)
    await writer.write(commit)
    await writer.check()
    state.cancel(Cancel(DOMAIN, ANN.public_key, names[3]), held=False)
    state.withdraw(
        Withdrawal(DOMAIN, ANN.public_key, nonce(), ETH, 2**255 - 1 - 3 * WHOLE_ETH, NEVER)
    )
    state.update_market(MarketUpdate(DOMAIN, OPERATOR, nonce(), removed_venues=("book",)))
    state.update_market(MarketUpdate(DOMAIN, OPERATOR, nonce(), prices={ETH: Price(10**9, "test")}))
    await writer.write()
    await writer.check()
    problem = state.problem(1, 1)
    winners = crossed(problem)
    filled = {fill.intent_id for winner in winners for fill in winner.fills}
    rest = problem.intents[next(name for name in names[:2] if name not in filled)]
    winners.append(scored(problem, sold_to(problem, rest, WHOLE_ETH // 3, "a")))
    state.settle(winners)
    state.release()
    commit = writer.new()
    commit.auctions[1] = AuctionRow("settled", "{}")
    await writer.write(commit)
    await writer.check()
    assert (await load(store)).auction == AuctionRow("settled", "{}")
    # Balances that fell to zero and venues that were removed are gone; the book holds what is open.
    assert set(state.book.entries) == {rest.id}
    assert set(state.market.venues) == {"a"}
    state.withdraw(
        Withdrawal(
            DOMAIN,
            BOB.public_key,
            nonce(),
            USD,
            state.balance(BOB.public_key, USD),
            NEVER,
        )
    )
    await writer.write()
    await writer.check()
    # Those that no longer are open keep their rows.
    async with store.read() as db:
        rows = await db.execute(sa.select(schema.intent.c.id, schema.intent.c.state))
        found = {row.id: row.state for row in rows}
    assert found == {
        **dict.fromkeys(filled, "filled"),
        names[3]: "cancelled",
        rest.id: "open",
    }


async def test_whole_or_not_at_all(store: Store) -> None:
    """A commit that fails at its last statement has written none."""
    writer = Writer(store)
    writer.state = ledger()
    commit = writer.new()
    commit.leaves.append(b"leaf")
    await writer.write(commit)
    before = copied(writer.state)
    loaded = (await load(store)).state
    fund(writer.state, ANN.public_key, ETH, 5)
    twice = Commit(first_leaf=1, leaves=[b"another"], blobs={b"digest": b"body"})
    twice.checkpoint = SignedCheckpoint(2, b"note")
    twice.changes = writer.state.take_changes()
    twice.changes.nonces *= 2  # breaks a primary key
    with pytest.raises((WalrasError, sa.exc.IntegrityError), match="UNIQUE"):
        await store.commit(twice, writer.state, 0)
    after = await load(store)
    assert after.state == loaded
    assert after.tree.size == 1
    async with store.read() as db:
        assert (await db.execute(sa.select(schema.blob))).all() == []
    assert before != writer.state


async def test_a_leaf_is_never_overwritten(store: Store) -> None:
    writer = Writer(store)
    commit = writer.new()
    commit.leaves += [b"a", b"b"]
    await writer.write(commit)
    fork = Commit(first_leaf=1, leaves=[b"x"], checkpoint=SignedCheckpoint(2, b"fork"))
    with pytest.raises((WalrasError, sa.exc.IntegrityError), match="UNIQUE"):
        await store.commit(fork, writer.state, 0)
    assert (await load(store)).tree.root() == writer.tree.root()


async def test_blobs_may_come_twice(store: Store) -> None:
    writer = Writer(store)
    for number in range(2):
        commit = writer.new()
        commit.leaves.append(b"leaf %d" % number)
        commit.blobs[b"d" * 32] = b"body"
        await writer.write(commit)
    async with store.read() as db:
        assert [row.body for row in await db.execute(sa.select(schema.blob))] == [b"body"]


async def test_answers(store: Store) -> None:
    writer = Writer(store)
    values: list[object] = [{"id": "00", "leaf": 7}, [1, "x", None], "5", 0]
    for number, value in enumerate(values):
        commit = writer.new()
        commit.leaves.append(b"leaf %d" % number)
        commit.requests["Submit", f"r{number}"] = AnsweredNow(bytes(32), value)
        commit.requests["Cancel", f"r{number}"] = AnsweredNow(b"c" * 32, value)
        await writer.write(commit, now_ms=1_000 * number)
    keys = [RequestKey("Submit", f"r{number}", bytes(32)) for number in range(6)]
    found = await store.answered(keys)
    assert [found["Submit", f"r{number}"].outcome.value for number in range(4)] == values
    assert found["Submit", "r2"].outcome.checkpoint == SignedCheckpoint(3, b"note 3")
    assert len(found) == 4
    assert (await store.answered([RequestKey("Cancel", "r1", b"")]))["Cancel", "r1"].digest == (
        b"c" * 32
    )
    assert await store.answered([]) == {}
    await store.forget_requests(2_000)
    assert set(await store.answered(keys)) == {("Submit", "r2"), ("Submit", "r3")}
    await store.forget_requests(10_000)
    assert await store.answered(keys) == {}
    # The log is not what is forgotten.
    assert (await load(store)).tree.size == 4


async def test_a_database_that_was_cut(tmp_path: Path) -> None:
    """A log without its last leaf is noticed, before anything is signed over it."""
    store = await open_store(tmp_path)
    writer = Writer(store)
    commit = writer.new()
    commit.leaves += [b"a", b"b"]
    await writer.write(commit)
    await store.close()
    database = sqlite3.connect(tmp_path / "walras.db")
    with database:
        database.execute("DELETE FROM leaf WHERE leaf_index = 1")
    database.close()
    store = await open_store(tmp_path)
    with pytest.raises(WalrasError) as caught:
        await load(store)
    assert caught.value.reason is Reason.LOG_INCOMPLETE
    await store.close()


async def test_migrations_give_the_schema(tmp_path: Path) -> None:
    """Twice on one folder: the second finds nothing to do; the tables are those of the schema."""
    for _ in range(2):
        store = await open_store(tmp_path)
        await store.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'walras.db'}")
    inspector = sa.inspect(engine)
    assert set(inspector.get_table_names()) == {*schema.metadata.tables, "alembic_version"}
    for name, table in schema.metadata.tables.items():
        columns = {column["name"]: column for column in inspector.get_columns(name)}
        assert columns.keys() == {column.name for column in table.columns}
        for column in table.columns:
            assert columns[column.name]["nullable"] == column.nullable
        assert set(inspector.get_pk_constraint(name)["constrained_columns"]) == {
            column.name for column in table.primary_key
        }
        assert {index["name"] for index in inspector.get_indexes(name)} == {
            index.name for index in table.indexes
        }
    with engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
    engine.dispose()


async def test_migrations_keep_what_is_there(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    writer = Writer(store)
    writer.state = ledger()
    writer.state.changes = Changes(assets=set(writer.state.market.assets), genesis=True, rules=True)
    commit = writer.new()
    commit.leaves.append(b"leaf")
    await writer.write(commit)
    await store.close()
    store = await open_store(tmp_path)
    loaded = await load(store)
    assert loaded.tree.size == 1
    assert loaded.state.market.assets == writer.state.market.assets
    assert loaded.state.genesis == writer.state.genesis
    await store.close()


async def test_every_commit_is_synced(store: Store) -> None:
    async with store._writer.connect() as connection:
        # 2 is FULL: the log is synced before a commit returns.
        assert (await connection.execute(sa.text("PRAGMA synchronous"))).scalar() == 2


async def test_readers_do_not_wait_for_the_writer(store: Store) -> None:
    async with store._writer.begin() as writing:
        await writing.execute(sa.insert(schema.blob), [{"digest": b"d", "body": b"b"}])
        async with asyncio.timeout(5), store.read() as db:
            assert (await db.execute(sa.select(schema.blob))).all() == []


def test_the_folder_is_locked(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    lock = lock_folder(folder)
    with pytest.raises(InvalidInput) as caught:
        lock_folder(folder)
    assert caught.value.reason is Reason.CONFIG_INVALID
    lock.close()
    lock_folder(folder).close()


def test_submit_helper_counts_leaves() -> None:
    state = ledger()
    fund(state, ANN.public_key, ETH, WHOLE_ETH)
    name = submit(state, sell(ANN.public_key))
    assert state.changes.intents[name].leaf_index >= 100
