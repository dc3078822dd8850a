"""The single writer: order, group commit, repeated requests, and stopping for good."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.ledgers import ENGINE, OPERATOR, VRF
from support.market import DOMAIN, ETH, deposit, market_update, signer

from walras.app import sequencer as module
from walras.app.sequencer import Command, Sequencer, Transaction
from walras.audit.merkle import Tree
from walras.audit.note import NoteKey, open_checkpoint
from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.ledger.changes import Changes
from walras.ledger.state import State
from walras.protocol.records import Genesis
from walras.store.commit import AuctionRow, Commit, Outcome, RequestKey
from walras.store.database import Store, open_store
from walras.store.load import load

SIGNER = signer("engine")
ANN = signer("ann").public_key
KEY = NoteKey(DOMAIN, SIGNER.public_key)


@dataclass
class Desk:
    """A serving sequencer over a real store, whose commits can be watched, held or failed."""

    sequencer: Sequencer
    store: Store
    serving: "asyncio.Task[None]"
    commits: list[Commit] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None

    async def held(self) -> "asyncio.Task[Outcome]":
        """A command whose commit waits at the gate, so that what follows forms one group."""
        self.gate.clear()
        self.entered.clear()
        task = asyncio.create_task(self.sequencer.run(give(0)))
        await self.entered.wait()
        return task

    async def queued(self, commands: list[Awaitable[Outcome]]) -> "list[asyncio.Task[Outcome]]":
        """Commands that wait in the queue, in this order."""
        tasks = []
        for command in commands:
            tasks.append(asyncio.ensure_future(command))
            await asyncio.sleep(0)
        assert self.sequencer._queue.qsize() == len(tasks)
        return tasks


@asynccontextmanager
async def desk_on(folder: Path) -> AsyncIterator[Desk]:
    store = await open_store(folder)
    loaded = await load(store)
    made = Sequencer(loaded.state, loaded.tree, loaded.checkpoint, store, SIGNER, lambda: 1_000)
    desk = Desk(made, store, asyncio.create_task(made.serve()))
    commit = store.commit

    async def watched(pending: Commit, state: State, now_ms: int) -> None:
        desk.entered.set()
        await desk.gate.wait()
        if desk.failure is not None:
            raise desk.failure
        desk.commits.append(pending)
        await commit(pending, state, now_ms)

    store.commit = watched  # type: ignore[method-assign]  # the real one, held and watched
    desk.gate.set()
    if loaded.state.genesis is None:
        await made.run(begin)
    try:
        yield desk
    finally:
        desk.serving.cancel()
        await asyncio.gather(desk.serving, return_exceptions=True)
        await store.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_on(tmp_path) as found:
        found.commits.clear()
        yield found


def begin(tx: Transaction) -> None:
    genesis = Genesis(DOMAIN, ENGINE, (OPERATOR,), VRF.public_key)
    tx.state.begin(genesis)
    tx.record(genesis)
    update = market_update(OPERATOR)
    tx.state.update_market(update)
    tx.record(update)


def give(amount: int, seen: list[int] | None = None) -> Command:
    """Credit Ann and log it; answers with her balance."""

    def command(tx: Transaction) -> str:
        if amount:
            record = deposit(OPERATOR, ANN, ETH, amount)
            tx.state.deposit(record)
            tx.record(record)
        else:
            tx.auction(1, AuctionRow("open", "{}"))
        if seen is not None:
            seen.append(amount)
        return str(tx.state.balance(ANN, ETH))

    return command


def refuse(tx: Transaction) -> None:
    raise InvalidInput(Reason.FIELD_INVALID, "no")


def key(request_id: str, content: bytes = b"content", method: str = "Give") -> RequestKey:
    return RequestKey(method, request_id, content.ljust(32, b"."))


async def test_in_order_and_in_one_commit(desk: Desk) -> None:
    first = await desk.held()
    seen: list[int] = []
    tasks = await desk.queued([desk.sequencer.run(give(n, seen)) for n in range(1, 51)])
    assert not any(task.done() for task in tasks)
    assert seen == []
    desk.gate.set()
    outcomes = await asyncio.gather(first, *tasks)
    assert seen == list(range(1, 51))
    assert [outcome.value for outcome in outcomes[1:]] == [
        str(sum(range(n + 1))) for n in range(1, 51)
    ]
    assert [len(commit.leaves) for commit in desk.commits] == [0, 50]
    # All of a group are durable under one checkpoint, which covers them.
    (note,) = {outcome.checkpoint for outcome in outcomes[1:]}
    checkpoint = open_checkpoint(note.note, KEY)
    assert checkpoint.size == note.size == desk.sequencer.tree.size == 52
    assert checkpoint.root == desk.sequencer.tree.root()
    assert desk.sequencer.checkpoint == note


async def test_groups_have_a_bound(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GROUP", 4)
    first = await desk.held()
    tasks = await desk.queued([desk.sequencer.run(give(1)) for _ in range(10)])
    desk.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(commit.leaves) for commit in desk.commits] == [0, 4, 4, 2]


async def test_answered_only_once_durable(desk: Desk) -> None:
    heard: list[Changes] = []
    desk.sequencer.on_commit.append(heard.append)
    before = desk.sequencer.checkpoint
    desk.gate.clear()
    task = asyncio.create_task(desk.sequencer.run(give(5)))
    await desk.entered.wait()
    await asyncio.sleep(0.02)
    assert not task.done()
    assert desk.sequencer.state.balance(ANN, ETH) == 5  # memory is ahead
    assert desk.sequencer.checkpoint == before
    assert heard == []
    desk.gate.set()
    await task
    assert desk.sequencer.checkpoint != before
    assert heard[0].balances == {(ANN, ETH)}


async def test_a_refused_command_leaves_the_group(desk: Desk) -> None:
    first = await desk.held()
    tasks = await desk.queued(
        [desk.sequencer.run(command) for command in (give(1), refuse, give(2))]
    )
    desk.gate.set()
    found = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert isinstance(found[2], InvalidInput)
    assert [outcome.value for outcome in (found[1], found[3])] == ["1", "3"]  # type: ignore[union-attr]  # outcomes
    assert len(desk.commits[-1].leaves) == 2


async def test_a_command_that_wrote_nothing(desk: Desk) -> None:
    before = desk.sequencer.checkpoint
    outcome = await desk.sequencer.run(lambda tx: tx.now_ms)
    assert (outcome.value, outcome.checkpoint) == (1_000, before)
    assert desk.commits == []


async def test_repetitions_within_a_group(desk: Desk) -> None:
    first = await desk.held()
    run = desk.sequencer.run
    tasks = await desk.queued(
        [
            run(give(1), key("a")),
            run(give(1), key("a")),
            run(give(1), key("a", b"other")),
            run(give(1), key("a", method="Take")),
            run(refuse, key("b")),
            run(give(1), key("b")),
        ]
    )
    desk.gate.set()
    found: list[Any] = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert found[1] == found[2]
    assert found[3].reason is Reason.REQUEST_ID_REUSED
    assert [found[n].value for n in (1, 4, 6)] == ["1", "2", "3"]
    assert found[5].reason is Reason.FIELD_INVALID  # and what was refused may be tried again


async def test_repetitions_across_groups_and_restarts(tmp_path: Path) -> None:
    async with desk_on(tmp_path) as desk:
        answer = await desk.sequencer.run(give(1), key("a"))
        await desk.sequencer.run(lambda _: "nothing", key("b"))
        await desk.sequencer.run(give(1))
        assert await desk.sequencer.run(give(1), key("a")) == answer
    async with desk_on(tmp_path) as desk:
        size = desk.sequencer.tree.size
        assert await desk.sequencer.run(give(1), key("a")) == answer
        for _ in range(2):
            with pytest.raises(InvalidInput) as caught:
                await desk.sequencer.run(give(1), key("a", b"other"))
            assert caught.value.reason is Reason.REQUEST_ID_REUSED
        assert desk.sequencer.tree.size == size
        assert desk.sequencer.state.balance(ANN, ETH) == 2
        # What logged nothing is not kept.
        assert (await desk.sequencer.run(give(1), key("b"))).value == "3"


async def test_many_requests_of_one_group_are_looked_up(desk: Desk) -> None:
    """More ids than one query takes."""
    first = await desk.held()
    run = desk.sequencer.run
    tasks = await desk.queued([run(give(1), key(f"{n}")) for n in range(1_024)])
    desk.gate.set()
    outcomes = await asyncio.gather(first, *tasks)
    first = await desk.held()
    tasks = await desk.queued([run(give(1), key(f"{n}")) for n in range(1_024)])
    desk.gate.set()
    assert (await asyncio.gather(first, *tasks))[1:] == outcomes[1:]
    assert desk.sequencer.state.balance(ANN, ETH) == 1_024


async def test_who_gives_up_takes_nothing_back(desk: Desk) -> None:
    desk.gate.clear()
    task = asyncio.create_task(desk.sequencer.run(give(7), key("a")))
    await desk.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    desk.gate.set()
    assert (await desk.sequencer.run(give(7), key("a"))).value == "7"
    assert desk.sequencer.state.balance(ANN, ETH) == 7


async def test_the_queue_has_a_bound_for_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own commands pass it: a full queue must not end the auctions."""
    monkeypatch.setattr(module, "MAX_QUEUE", 2)
    async with desk_on(tmp_path) as desk:
        run = desk.sequencer.run
        first = await desk.held()
        tasks = await desk.queued([run(give(1), key("a")), run(give(1), key("b"))])
        try:
            with pytest.raises(InvalidInput) as caught:
                await run(give(1), key("c"))
            assert caught.value.reason is Reason.QUEUE_FULL
            tasks.append(asyncio.create_task(run(give(1))))
            await asyncio.sleep(0)
        finally:
            desk.gate.set()
        await asyncio.gather(first, *tasks)
        assert desk.sequencer.state.balance(ANN, ETH) == 3


def broken(tx: Transaction) -> None:
    raise ZeroDivisionError


def half_done(tx: Transaction) -> None:
    tx.record(deposit(OPERATOR, ANN, ETH, 1))
    raise InvalidInput(Reason.FIELD_INVALID, "too late to refuse")


@pytest.mark.parametrize("how", ["disk", "bug", "half"])
async def test_it_stops_for_good(tmp_path: Path, how: str) -> None:
    """A disk that fails, a command with a bug, or one that refuses after it wrote."""
    failures: dict[str, tuple[Callable[[Transaction], object], type[Exception]]] = {
        "disk": (give(1), OSError),
        "bug": (broken, ZeroDivisionError),
        "half": (half_done, InvalidInput),
    }
    command, expected = failures[how]
    async with desk_on(tmp_path) as desk:
        await desk.sequencer.run(give(10))
        durable = desk.sequencer.checkpoint
        first = await desk.held()
        if how == "disk":
            desk.failure = OSError("the disk is full")
        commands = [give(1), command, give(1)]
        tasks = await desk.queued([desk.sequencer.run(one) for one in commands])
        desk.gate.set()
        found: list[Any] = await asyncio.gather(first, *tasks, return_exceptions=True)
        for error in found if how == "disk" else found[1:]:
            assert isinstance(error, InvalidInput)
            assert error.reason is Reason.SHUTTING_DOWN
        with pytest.raises(expected):
            await desk.serving
        with pytest.raises(InvalidInput) as caught:
            await desk.sequencer.run(give(1))
        assert caught.value.reason is Reason.SHUTTING_DOWN
        assert desk.sequencer.checkpoint == durable
    async with desk_on(tmp_path) as desk:
        assert desk.sequencer.state.balance(ANN, ETH) == 10
        assert desk.sequencer.checkpoint == durable
        assert (await desk.sequencer.run(give(1))).value == "11"


async def test_cancelled_within_a_commit(tmp_path: Path) -> None:
    """What began to be written is written; its callers are told to ask again."""
    async with desk_on(tmp_path) as desk:
        desk.gate.clear()
        task = asyncio.create_task(desk.sequencer.run(give(3), key("a")))
        await desk.entered.wait()
        desk.serving.cancel()
        await asyncio.sleep(0)
        desk.gate.set()
        with pytest.raises(InvalidInput) as caught:
            await task
        assert caught.value.reason is Reason.SHUTTING_DOWN
    async with desk_on(tmp_path) as desk:
        assert (await desk.sequencer.run(give(3), key("a"))).value == "3"
        assert desk.sequencer.state.balance(ANN, ETH) == 3


async def test_before_the_log_begins(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    made = Sequencer(State(), Tree(), None, store, SIGNER, lambda: 0)
    serving = asyncio.create_task(made.serve())
    with pytest.raises(InvalidInput):
        await made.run(lambda _: None)
    with pytest.raises(WalrasError, match="has not begun"):
        await serving
    await store.close()
