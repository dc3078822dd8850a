"""Proofs of health and latency: the engine's own prober, and what others' observations come to."""

import asyncio
from collections.abc import Callable

from walras.app.sequencer import Sequencer, Transaction
from walras.audit.probes import admit, judge, open_observations
from walras.core.errors import InvalidInput, Reason
from walras.fleet.prober import Prober
from walras.fleet.registry import Fleet
from walras.protocol.probes import Observations
from walras.store.commit import Outcome, RequestKey

MAX_LIST_BYTES = 1 << 20
LATE_EPOCHS = 2
"""Observations of an epoch are taken until this many epochs later."""


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
            InvalidInput: OBSERVATION_STALE for an epoch that is over or yet to come, or as
                `open_observations`, `judge` and `Sequencer.run`.
        """
        if len(body) > MAX_LIST_BYTES:
            raise InvalidInput(Reason.MESSAGE_TOO_LARGE, "the list of observations is too long")
        # In this order strangers cost nothing, and signatures are checked beside the sequencer.
        state = self._sequencer.state
        admit(record, domain=state.domain, rules=state.fleet.rules)
        opened = await asyncio.to_thread(open_observations, record, body)

        def command(tx: Transaction) -> int:
            fleet = tx.state.fleet
            now = tx.now_ms // fleet.rules.probe_interval_ms
            if not now - LATE_EPOCHS <= record.epoch <= now:
                raise InvalidInput(
                    Reason.OBSERVATION_STALE,
                    f"the observations are of epoch {record.epoch}, and it is epoch {now}",
                    hint="check the prober's clock",
                )
            events = judge(
                record,
                opened,
                domain=tx.state.domain,
                rules=fleet.rules,
                nodes=fleet.nodes,
                root_at=tx.tree.root,
            )
            before = tx.tree.size
            tx.state.observe_epoch(record, events)
            tx.blob(body)
            index = tx.append(leaf)
            if fleet.pending:
                tx.record(fleet.change(tx.now_ms))
            self._quietly(tx.tree.size - before)
            return index

        return await self._sequencer.run(command, request)


def own_prober(seed: bytes, sequencer: Sequencer, registry: Fleet, probing: Probing) -> Prober:
    """The prober that an engine runs itself; `seed` is of its key."""
    state = sequencer.state

    def targets() -> dict[bytes, str]:
        # A stranger can show a known node's key, and has no echo: whom the engine asks comes first.
        # Also nodes that are not connected now: their death would go unseen.
        ready = {node.public_key: node for node in registry.ready()}
        known = [ready.get(key) or registry.find(key) for key in state.fleet.nodes]
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
