"""Proofs of health and latency: the engine's own prober, and what others' observations come to."""

import asyncio
from collections.abc import Callable, Iterable

from walras.app.sealing import log_following
from walras.app.sequencer import Sequencer, Transaction
from walras.audit.probes import Opened, admit, judge, open_observations
from walras.core.errors import InvalidInput, Reason
from walras.fleet.prober import Prober
from walras.fleet.registry import Fleet as Registry
from walras.ledger.epochs import LATE_EPOCHS
from walras.ledger.fleet import Fleet
from walras.protocol.probes import Observations
from walras.store.commit import Outcome, RequestKey

MAX_LIST_BYTES = 1 << 20
MAX_AHEAD_MS = 2_000
"""A prober's clock may be this far ahead: what it says moves the clock by which blocks and
ejections of all nodes end.
"""


class Probing:
    """Takes observations into the log.

    Args:
        sequencer: the single writer.
        quietly: told how many entries were logged that are no reason to auction an idle book.
    """

    def __init__(self, sequencer: Sequencer, quietly: Callable[[int], None]) -> None:
        self._sequencer = sequencer
        self._quietly = quietly

    async def log(
        self, record: Observations, leaf: bytes, body: bytes, request: RequestKey | None = None
    ) -> Outcome:
        """Check and log what a prober saw in one epoch, and let the nodes' standing know.

        Args:
            record: whose signature was verified.
            leaf: its envelope.
            body: the list that it names.
            request: of the caller; None for the engine's own.

        Raises:
            InvalidInput: OBSERVATION_STALE for an epoch that is over, reported or yet to come, or
                a challenge of a time yet to come; or as `open_observations`, `judge` and
                `Sequencer.run`.
        """
        if len(body) > MAX_LIST_BYTES:
            raise InvalidInput(Reason.MESSAGE_TOO_LARGE, "the list of observations is too long")
        # In this order strangers cost nothing, and signatures are checked beside the sequencer.
        # What was logged once is public, so anybody can hand it in again; yet the sequencer is
        # asked, as it answers a repeated request as it did before.
        state = self._sequencer.state
        admit(record, domain=state.domain, rules=state.fleet.rules)
        stale = _stale(record, state.fleet, self._sequencer.clock())
        opened = () if stale else await asyncio.to_thread(open_observations, record, body)

        def command(tx: Transaction) -> int:
            fleet = tx.state.fleet
            error = stale or _stale(record, fleet, tx.now_ms) or _ahead(opened, tx.now_ms)
            if error is not None:
                raise error
            events = judge(
                record,
                opened,
                domain=tx.state.domain,
                rules=fleet.rules,
                nodes=fleet.nodes,
                root_at=tx.tree.root,
                entries=fleet.entries_needed(record.prober, record.epoch),
            )
            before = tx.tree.size
            tx.state.observe_epoch(record, events, before)
            tx.blob(body)
            index = tx.append(leaf)
            log_following(tx)
            self._quietly(tx.tree.size - before)
            return index

        return await self._sequencer.run(command, request)


def _stale(record: Observations, fleet: Fleet, now_ms: int) -> InvalidInput | None:
    """Why observations come too late, too early or again; None where they are in time."""
    now = now_ms // fleet.rules.probe_interval_ms
    if not now - LATE_EPOCHS <= record.epoch <= now:
        return _untimely(f"the observations are of epoch {record.epoch}, and it is epoch {now}")
    try:
        fleet.entries_needed(record.prober, record.epoch)
    except InvalidInput as error:
        return error
    return None


def _ahead(opened: Iterable[Opened], now_ms: int) -> InvalidInput | None:
    ahead_ms = max((each.challenge.sent_ms for each in opened), default=0) - now_ms
    if ahead_ms <= MAX_AHEAD_MS:
        return None
    return _untimely(f"a challenge was sent {ahead_ms} ms from now")


def _untimely(why: str) -> InvalidInput:
    return InvalidInput(Reason.OBSERVATION_STALE, why, hint="check the prober's clock")


def own_prober(seed: bytes, sequencer: Sequencer, registry: Registry, probing: Probing) -> Prober:
    """The prober that an engine runs itself; `seed` is of its key."""
    state = sequencer.state

    def targets() -> dict[bytes, str]:
        # A stranger can show a known node's key, and has no echo: whom the engine asks comes first.
        # Also nodes that are not connected now: their death would go unseen.
        ready = {node.public_key: node for node in registry.ready()}
        away = registry.by_key()
        known = [ready.get(key) or away.get(key) for key in state.fleet.nodes]
        return {
            node.public_key: node.address for node in known if node is not None and node.address
        }

    def checkpoint() -> tuple[int, bytes]:
        durable = sequencer.checkpoint
        size = 0 if durable is None else durable.size
        return size, sequencer.tree.root(size)

    return Prober(
        seed,
        state.domain,
        rules=lambda: state.fleet.rules,
        targets=targets,
        checkpoint=checkpoint,
        report=probing.log,
        clock=sequencer.clock,
    )
