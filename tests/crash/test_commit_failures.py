"""The store's commit fails, at every commit of a play, in both ways in which it can.

Not written: it raises before anything is on the disk. Written, not acknowledged: it raises after
everything is. The engine stops, a new one starts on the same folder, the clients ask again with the
same request ids, and the log that comes of it is the one that was meant.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from support.audit.log_copy import LogCopy, read_leaf
from support.audit.scenario import (
    DOMAIN,
    PRICES,
    VENUES,
    WHOLE,
    WHOLE_U,
    Play,
    U,
    W,
    copy_log,
    order,
    owner,
    signer,
    sold,
)
from support.audit.scripted_node import Task

from walras.api.v1 import intent_service_pb2 as ipb
from walras.api.v1 import intent_service_pb2_grpc as igrpc
from walras.api.v1 import ledger_service_pb2 as lpb
from walras.api.v1 import ledger_service_pb2_grpc as lgrpc
from walras.api.v1 import market_service_pb2 as mpb
from walras.api.v1 import market_service_pb2_grpc as mgrpc
from walras.app.engine import Engine
from walras.audit.note import NoteKey, parse_vkey
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.protocol.records import Cancel, Credit, Deposit, MarketUpdate, Settled, Withdrawal
from walras.sdk.client import Client
from walras.sdk.signing import intent_id, sign_record
from walras.store.database import Store

COMMITS = 16
"""How many the whole play makes."""


class DiskFailure(OSError):
    """What the store meets."""


@dataclass
class FailingStore:
    """Lets `left` commits pass; then one fails, before or after it is written."""

    commit: Callable[..., Awaitable[None]]
    left: int
    written: bool
    seen: int = 0

    def as_method(self) -> Callable[..., Awaitable[None]]:
        async def commit(*args: object) -> None:
            self.seen += 1
            self.left -= 1
            fails = self.left == 0
            if self.written or not fails:
                await self.commit(*args)
            if fails:
                raise DiskFailure("the disk is gone")

        return commit


@dataclass
class Story:
    """What is to happen, step by step; a step that failed is tried again after the restart."""

    play: Play
    answers: dict[str, object] = field(default_factory=dict)
    log: LogCopy | None = None
    key: NoteKey | None = None

    async def run(self, engine: Engine, client: Client) -> None:
        channel = grpc.aio.insecure_channel(client.address)
        try:
            for name, step in self._steps(engine, channel):
                if name not in self.answers:
                    self.answers[name] = await step()
        finally:
            await channel.close()
        self.log = await copy_log(client)
        self.key = parse_vkey(engine.verifier_key)

    def _steps(
        self, engine: Engine, channel: grpc.aio.Channel
    ) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
        operator = engine.operator
        assert operator is not None
        intents, ledger = igrpc.IntentServiceStub(channel), lgrpc.LedgerServiceStub(channel)
        market = mgrpc.MarketServiceStub(channel)
        assets = (Asset(W, "W", 18), Asset(U, "U", 6))
        venues = tuple(venue for venue in VENUES if venue.id == "wu")
        prices = {asset: PRICES[asset] for asset in (W, U)}
        update = MarketUpdate(DOMAIN, operator.public_key, 1, assets, venues, (), prices)
        credit = Credit(owner("alice"), W, 10 * WHOLE)
        deposit = Deposit(DOMAIN, operator.public_key, 2, (credit,))
        alice = signer("alice")
        sale = order("alice", 1, {W: -1}, WHOLE, U, 2_900 * WHOLE_U)
        later = order("alice", 2, {W: -1}, WHOLE, U, 2_000 * WHOLE_U)
        dear = order("alice", 3, {W: -1}, WHOLE, U, 9_000 * WHOLE_U)
        withdrawal = Withdrawal(DOMAIN, alice.public_key, 9, W, WHOLE, 1 << 60)

        def submit(intent: Intent) -> Callable[[], Awaitable[object]]:
            return lambda: intents.SubmitIntent(
                ipb.SubmitIntentRequest(
                    request_id=f"intent-{intent.nonce}",
                    envelope=sign_record(intent, alice),
                )
            )

        async def batch() -> object:
            # Where the batch was settled but nobody heard of it, there may be nothing left to do.
            opened = await engine.auctioneer.open()
            self.play.clock.now += 1_500
            return await engine.auctioneer.settle(opened) or "nothing to do"

        return [
            (
                "market",
                lambda: market.PutVenues(
                    mpb.PutVenuesRequest(request_id="m", envelope=sign_record(update, operator))
                ),
            ),
            (
                "deposit",
                lambda: ledger.Deposit(
                    lpb.DepositRequest(request_id="d", envelope=sign_record(deposit, operator))
                ),
            ),
            ("sale", submit(sale)),
            ("dear", submit(dear)),
            ("first batch", batch),
            (
                "withdrawal",
                lambda: ledger.Withdraw(
                    lpb.WithdrawRequest(request_id="w", envelope=sign_record(withdrawal, alice))
                ),
            ),
            (
                "cancel",
                lambda: intents.CancelIntent(
                    ipb.CancelIntentRequest(
                        request_id="c",
                        envelope=sign_record(
                            Cancel(DOMAIN, alice.public_key, intent_id(dear)), alice
                        ),
                    )
                ),
            ),
            ("later", submit(later)),
            ("second batch", batch),
        ]


async def sells(task: Task) -> AsyncIterator[bytes]:
    """Whatever asks for less than the pool pays."""
    fills = {
        name: entry.remaining
        for name, entry in task.problem.intents.items()
        if entry.intent.limit < 3_000 * WHOLE_U
    }
    if fills:
        yield task.bid(sold(task.problem, fills, "wu"))


async def play_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch, left: int, *, written: bool
) -> tuple[Story, FailingStore]:
    """The story, with its `left`-th commit failing; 0 for none."""
    play = Play(folder)
    await play.add_nodes("first")
    play.nodes["first"].script = sells
    story = Story(play)
    failing = FailingStore(Store.commit, left, written)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(play.nodes["first"].stop)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "commit", failing.as_method())
            stopped = await _life(story)
        assert stopped == (left > 0)
        if stopped:
            assert not await _life(story)
    return story, failing


async def _life(story: Story) -> bool:
    """One run of an engine; whether the disk ended it. Callers are told that it is stopping."""
    try:
        async with story.play.running() as (engine, client):
            await story.run(engine, client)
    except BaseExceptionGroup as failures:
        seen = {_what(error) for error in _leaves(failures)}
        if seen <= {DiskFailure, grpc.StatusCode.UNAVAILABLE, Reason.SHUTTING_DOWN}:
            return DiskFailure in seen
        raise
    return False


def _what(error: BaseException) -> object:
    match error:
        case grpc.aio.AioRpcError():
            return error.code()
        case InvalidInput():
            return error.reason
        case _:
            return type(error)


def _leaves(group: BaseExceptionGroup) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


def check(story: Story, voided: int) -> None:
    assert story.log is not None
    assert story.key is not None
    counts = story.log.audit(story.key)
    wanted = Counter(genesis=1, rules=1, market=1, deposit=1, intent=3, withdrawal=1, cancel=1)
    assert {kind: counts.records[kind] for kind in wanted} == wanted
    assert counts.intents == Counter(filled=2, cancelled=1)
    assert counts.records["settled"] in {2, 3}
    assert counts.voided == voided
    settled = [r for r in map(read_leaf, story.log.leaves) if isinstance(r, Settled)]
    assert len({record.bundle_digest for record in settled}) == len(settled)


async def test_the_story_without_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story, store = await play_with(tmp_path, monkeypatch, 0, written=False)
    assert store.seen == COMMITS
    check(story, 0)


@pytest.mark.parametrize("written", [False, True], ids=["not-written", "not-acknowledged"])
@pytest.mark.parametrize("left", range(1, COMMITS + 1))
async def test_a_commit_that_fails_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, written: bool
) -> None:
    story, _ = await play_with(tmp_path, monkeypatch, left, written=written)
    # 6 to 9 and 13 to 16 open, seal, close and settle a batch: what is left begun is voided.
    begun = {6: (0, 1), 7: (1, 1), 8: (1, 1), 9: (1, 0)}
    begun |= {13: (0, 1), 14: (1, 1), 15: (1, 1), 16: (1, 0)}
    check(story, begun.get(left, (0, 0))[written])
