"""The one place where anything changes.

Commands run one after another against the state in memory; what a group of them logged is signed
and committed in one transaction; only then are their callers answered. So a record is durable
before it is acknowledged, the log has one order, and thousands of intents a second share one disk
sync.

A command either raises a WalrasError and has changed nothing, or it is part of the commit. Anything
else that fails, the disk above all, leaves memory ahead of the store; then the sequencer stops for
good, and a restart reads the store again.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from walras.audit import envelope
from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, sign_checkpoint
from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.ledger.changes import Changes
from walras.ledger.state import State
from walras.protocol.codec import Signed, encode
from walras.store.commit import (
    Answered,
    AnsweredNow,
    AuctionRow,
    Commit,
    Outcome,
    RequestKey,
    SignedCheckpoint,
)
from walras.store.database import Store

MAX_QUEUE = 8_192
MAX_GROUP = 1_024


@dataclass(slots=True)
class Transaction:
    """What a command may do besides applying records to the state: log them, keep blobs, note
    auctions.
    """

    state: State
    tree: Tree
    signer: Signer
    now_ms: int
    commit: Commit

    def append(self, leaf: bytes) -> int:
        """Log an envelope as it is; returns its index.

        Raises:
            RuntimeError: for one that no auditor reads, which ends the engine: better no entry.
        """
        if len(leaf) > envelope.MAX_ENVELOPE_BYTES:
            raise RuntimeError(
                f"a log entry of {len(leaf)} bytes; it may have {envelope.MAX_ENVELOPE_BYTES}"
            )
        self.commit.leaves.append(leaf)
        return self.tree.append(leaf)

    def record(self, record: Signed) -> bytes:
        """Sign a record by the engine's key and log it; returns the envelope."""
        leaf = self.seal(record)
        self.append(leaf)
        return leaf

    def seal(self, record: Signed) -> bytes:
        """Sign a record by the engine's key without logging it."""
        return seal(record, self.signer)

    def blob(self, body: bytes) -> bytes:
        """Keep `body`; returns its SHA-256."""
        digest = sha256(body).digest()
        self.commit.blobs[digest] = body
        return digest

    def auction(self, auction_id: int, row: AuctionRow) -> None:
        """Note what people are told of an auction."""
        self.commit.auctions[auction_id] = row


def seal(record: Signed, signer: Signer) -> bytes:
    """The envelope of a record, signed by `signer`."""
    kind, body = encode(record)
    return envelope.seal(kind.payload_type, body, signer)


Command = Callable[[Transaction], object]


@dataclass(slots=True)
class _Job:
    command: Command
    request: RequestKey | None
    done: asyncio.Future[Outcome]


@dataclass(slots=True)
class Sequencer:
    """The single writer.

    Attributes:
        state, tree: as of the last command that ran; ahead of the store by at most one group.
        checkpoint: the newest durable one.
        on_commit: called with the changes of each commit once they are durable.
    """

    state: State
    tree: Tree
    checkpoint: SignedCheckpoint | None
    store: Store
    signer: Signer
    clock: Callable[[], int]
    on_commit: list[Callable[[Changes], None]] = field(default_factory=list)
    _queue: asyncio.Queue[_Job] = field(default_factory=asyncio.Queue)
    _failed: bool = False

    async def run(self, command: Command, request: RequestKey | None = None) -> Outcome:
        """Run `command` in its turn; return once what it did is durable.

        Args:
            command: fast and synchronous; its result must be JSON-able if `request` is given.
            request: if it logged something, the same one again is answered as before, without
                running anything.

        Raises:
            InvalidInput: QUEUE_FULL, REQUEST_ID_REUSED, SHUTTING_DOWN, or what the command raised.
        """
        if self._failed:
            raise _stopped()
        # The engine's own commands have no request: callers must not be able to end its auctions.
        if request is not None and self._queue.qsize() >= MAX_QUEUE:
            raise InvalidInput(
                Reason.QUEUE_FULL,
                f"{MAX_QUEUE} requests wait already",
                hint="slow down and try again",
            )
        job = _Job(command, request, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(job)
        # A caller that gives up takes nothing back: the command runs and becomes durable.
        return await asyncio.shield(job.done)

    def seal(self, record: Signed) -> bytes:
        """Sign a record by the engine's key without logging it."""
        return seal(record, self.signer)

    async def serve(self) -> None:
        """Run commands until cancelled.

        Raises:
            Exception: what made it stop for good; every waiting caller was told SHUTTING_DOWN.
        """
        group: list[_Job] = []
        try:
            while True:
                group = [await self._queue.get()]
                while len(group) < MAX_GROUP and not self._queue.empty():
                    group.append(self._queue.get_nowait())
                await self._run_group(group)
                group = []
        finally:
            self._failed = True
            while not self._queue.empty():
                group.append(self._queue.get_nowait())
            for job in group:
                if not job.done.done():
                    job.done.set_exception(_stopped())
                    job.done.exception()  # nobody may be left to look at it

    async def _run_group(self, group: list[_Job]) -> None:
        asked = [job.request for job in group if job.request is not None]
        answered = await self.store.answered(asked) if asked else {}
        tx = Transaction(
            self.state, self.tree, self.signer, self.clock(), Commit(first_leaf=self.tree.size)
        )
        ran: list[tuple[_Job, object]] = []
        for job in group:
            logged = len(tx.commit.leaves)
            try:
                previous = _previous(job, answered, tx.commit)
                if previous is _NEW:
                    value = job.command(tx)
                    # What logged nothing changed nothing and may run again: else batches of
                    # worthless envelopes, which cost nobody anything, would fill the disk.
                    if job.request is not None and len(tx.commit.leaves) > logged:
                        tx.commit.requests[job.request.method, job.request.request_id] = (
                            AnsweredNow(job.request.digest, value)
                        )
                elif isinstance(previous, Outcome):
                    job.done.set_result(previous)
                    continue
                else:
                    value = previous
                ran.append((job, value))
            except WalrasError as error:
                if len(tx.commit.leaves) != logged:
                    raise  # half a command is in the log: stop before it becomes durable
                if not job.done.done():
                    job.done.set_exception(error)
                    job.done.exception()
        tx.commit.changes = self.state.take_changes()
        checkpoint = await self._write(tx)
        if checkpoint is None:
            # Only commands that wrote nothing, before there was anything to write.
            raise WalrasError(Reason.INTERNAL, "the log has not begun")
        for job, value in ran:
            if not job.done.done():
                job.done.set_result(Outcome(value, checkpoint))
        for listener in self.on_commit:
            listener(tx.commit.changes)

    async def _write(self, tx: Transaction) -> SignedCheckpoint | None:
        commit = tx.commit
        if commit.leaves:
            size = self.tree.size
            note = sign_checkpoint(
                Checkpoint(self.state.domain, size, self.tree.root()),
                self.state.domain,
                self.signer,
            )
            commit.checkpoint = SignedCheckpoint(size, note)
        else:
            commit.checkpoint = self.checkpoint
        if commit.leaves or commit.requests or commit.auctions:
            await _finish(self.store.commit(commit, self.state, tx.now_ms))
        self.checkpoint = commit.checkpoint
        return commit.checkpoint


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end, also when cancelled: a commit that began is not abandoned."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


_NEW: Any = object()


def _previous(job: _Job, answered: Answered, commit: Commit) -> object:
    """How the job's request was answered before: an Outcome, a value of this very
    group, or _NEW.
    """
    request = job.request
    if request is None:
        return _NEW
    before = answered.get((request.method, request.request_id))
    if before is not None:
        if before.digest != request.digest:
            raise _reused(request)
        return before.outcome
    earlier = commit.requests.get((request.method, request.request_id))
    if earlier is None:
        return _NEW
    if earlier.digest != request.digest:
        raise _reused(request)
    return earlier.value


def _reused(request: RequestKey) -> InvalidInput:
    return InvalidInput(
        Reason.REQUEST_ID_REUSED,
        f"request_id {request.request_id!r} was used for another request",
        hint="use a fresh id, such as a UUID, for each new request",
    )


def _stopped() -> InvalidInput:
    return InvalidInput(
        Reason.SHUTTING_DOWN,
        "the engine is stopping",
        hint="ask again with the same request_id once it is back",
    )
