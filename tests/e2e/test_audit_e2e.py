"""From a running engine to an audit, through everything in between."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.audit.log_copy import read_leaf
from support.audit.scenario import (
    DOMAIN,
    WHOLE,
    WHOLE_U,
    Play,
    U,
    W,
    copy_log,
    fund,
    interrupted_auction,
    order,
    owner,
    play_all,
    recorded,
    signer,
    sold,
)
from support.audit.scripted_node import Task

from walras.api.v1 import intent_service_pb2 as ipb
from walras.audit.counts import Counts
from walras.audit.merkle import Tree
from walras.audit.note import format_vkey, parse_vkey
from walras.audit.replay import Replay
from walras.core.errors import Reason, WalrasError
from walras.protocol.records import Awarded, Cancel, Withdrawal
from walras.sdk.client import Client
from walras.sdk.signing import sign_record
from walras.store.folder import write_log_folder


@asynccontextmanager
async def play_in(folder: Path) -> AsyncIterator[Play]:
    """A play whose nodes stop at its end."""
    async with AsyncExitStack() as stack:
        play = Play(folder)
        await play.add_nodes("first", "second", "rogue")
        for node in play.nodes.values():
            stack.push_async_callback(node.stop)
        yield play


async def audited(client: Client) -> Counts:
    log = await copy_log(client)
    answer = await client.checkpoint()
    return log.audit(parse_vkey(answer.verifier_key))


async def test_an_auditor_ends_in_the_state_that_the_engine_starts_from(tmp_path: Path) -> None:
    """The log, replayed by a stranger; the tables, read back by a restart: the same state."""
    play = Play(tmp_path)
    await play_all(play)
    async with play.running() as (engine, client):
        log = await copy_log(client)
        stored = engine.sequencer.state
        tree = Tree()
        machine = Replay(engine.sequencer.signer.public_key, log.blob, tree.root)
        for leaf in log.leaves:
            machine.apply(leaf)
            tree.append(leaf)
        replayed = machine.state
        for name in ("genesis", "rules", "balances", "nonces", "book", "market", "fleet"):
            assert getattr(stored, name) == getattr(replayed, name), name
        assert engine.sequencer.checkpoint is not None
        assert log.note == engine.sequencer.checkpoint.note
    for node in play.nodes.values():
        await node.stop()


async def test_a_cancellation_right_behind_the_sealing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both in one commit: the batch holds the intent already and may fill it."""
    async with play_in(tmp_path) as play, play.running() as (engine, client):
        await fund(engine, client)
        sale = order("alice", 1, {W: -1}, WHOLE, U, 2_900 * WHOLE_U)
        name = await play.submit(client, "sale", sale)

        async def fills(task: Task) -> AsyncIterator[bytes]:
            yield task.bid(sold(task.problem, {name: WHOLE}, "wu"))

        play.nodes["first"].script = fills
        opened = await engine.auctioneer.open()
        play.clock.now += 1_500

        gate, commit = asyncio.Event(), engine.store.commit

        async def slow(*args: Any) -> None:
            await gate.wait()
            await commit(*args)

        monkeypatch.setattr(engine.store, "commit", slow)
        queue = engine.sequencer._queue
        other = order("bob", 1, {W: -1}, WHOLE, U, 9_000 * WHOLE_U)
        async with asyncio.TaskGroup() as group:
            group.create_task(play.submit(client, "other", other))
            await asyncio.sleep(0.1)
            settled = group.create_task(engine.auctioneer.settle(opened))
            await until(lambda: queue.qsize() == 1)
            record = Cancel(DOMAIN, owner("alice"), name)
            cancelled = group.create_task(client.cancel(sign_record(record, signer("alice"))))
            await until(lambda: queue.qsize() == 2)
            gate.set()
        assert cancelled.result().sealed_in_auction_id == 1
        report = settled.result()
        assert report is not None
        assert report.filled == 1
        status = await client.intent(name)
        assert status.state == ipb.INTENT_STATE_FILLED
        counts = await audited(client)
        assert (counts.intents["filled"], counts.intents["open"]) == (1, 1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another's state, which wakes nobody
            await asyncio.sleep(0.005)


async def test_no_withdrawal_while_a_batch_that_was_stopped_waits_for_its_end(
    tmp_path: Path,
) -> None:
    """It would stand between the sealing and the voiding, where the auditor refuses it."""
    taken = Withdrawal(DOMAIN, owner("alice"), 7, W, 1, 1 << 60)
    leaf = sign_record(taken, signer("alice"))
    async with play_in(tmp_path) as play:
        async with play.running() as (engine, client):
            await fund(engine, client)
            await interrupted_auction(play, engine, client)
            with pytest.raises(WalrasError) as refusal:
                await client.withdraw(leaf)
            assert refusal.value.reason is Reason.SHUTTING_DOWN
            assert (await audited(client)).records["withdrawal"] == 0
        async with play.running() as (_, client):
            await client.withdraw(leaf)
            counts = await audited(client)
            assert (counts.voided, counts.records["withdrawal"]) == (1, 1)


async def test_a_clock_set_back_seals_no_batch_before_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with play_in(tmp_path) as play, play.running() as (engine, client):
        await fund(engine, client)
        sale = order("alice", 1, {W: -1}, WHOLE, U, 2_900 * WHOLE_U)
        await play.submit(client, "sale", sale)
        opened = await engine.auctioneer.open()
        ready = engine.fleet.ready

        def set_back() -> object:
            play.clock.now -= 1_000
            return ready()

        play.clock.now += 1_500
        with monkeypatch.context() as patch:
            patch.setattr(engine.fleet, "ready", set_back)
            assert await engine.auctioneer.settle(opened) is None
        play.clock.now += 1_000
        report = await engine.auctioneer.settle(opened)
        assert report is not None
        assert report.sealed_ms >= opened.opened.seal_after_ms
        assert (await audited(client)).auctions == 1


# the command


def walras_audit(folder: Path, key: str) -> tuple[int, str, str]:
    command = [
        sys.executable,
        "-m",
        "walras.cli.main",
        "audit",
        str(folder),
        "--key",
        key,
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_command_audits_a_copied_folder(tmp_path: Path) -> None:
    made = recorded()
    key = format_vkey(made.key)
    write_log_folder(tmp_path, made.log.leaves, made.log.note, key, made.log.blobs.items())
    code, out, _ = walras_audit(tmp_path, key)
    assert code == 0
    told = json.loads(out)
    assert (told["ok"], told["entries"]) == (True, len(made.log.leaves))
    assert (told["auctions"], told["voided"], told["rejected"]) == (4, 2, 18)


def test_the_command_names_the_entry_that_an_engine_forged(tmp_path: Path) -> None:
    made = recorded()
    forgery = made.forgery()
    bundle = forgery.bundle(1)
    index = forgery.rebundle(1, replace(bundle, score=bundle.score + 1))
    assert isinstance(read_leaf(forgery.leaves[index]), Awarded)
    log = forgery.log()
    key = format_vkey(made.key)
    write_log_folder(tmp_path, log.leaves, log.note, key, log.blobs.items())
    code, out, err = walras_audit(tmp_path, key)
    assert code == 1
    assert Reason.AWARD_MISMATCH.value in out + err
    assert str(index) in out + err
