"""One problem at one node, asked as an engine asks: a signed task, commitments, receipts, a closing
that is in a log, openings.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from secrets import token_bytes
from typing import TypeVar

from walras.api.v1.log_service_pb2 import InclusionProof
from walras.api.v1.solver_service_pb2 import Closing
from walras.app.collecting import Collected, Collection
from walras.app.opening import Outcome, open_bids
from walras.auction.batch import ReceivedBid, SealedBatch
from walras.auction.candidates import ScoredBid
from walras.auction.commitments import CommittedBatch, close_commitments
from walras.audit.keys import SEED_BYTES, Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, sign_checkpoint
from walras.audit.openings import public_bid_key
from walras.balance.events import Outcome as Ended
from walras.core.errors import BidRejected, Reason, SolverFault, WalrasError
from walras.fleet.nodes import Node
from walras.protocol.codec import Signed
from walras.protocol.dispatch import Assignment, Dispatch, NodeLoad
from walras.protocol.problem import Problem
from walras.protocol.trade import encode_problem
from walras.sdk.signing import sign_record

OPEN_SECONDS = 2.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trial:
    """What a node made of a problem.

    Attributes:
        bids: as they were judged, in the order in which they came.
        unopened: commitments that are none, or came to no bid, and why.
        commitments: how many came in time.
        seconds: until it had answered, at most its time.
        late: whether it had not by then.
        fault: how it failed, if it did.
    """

    bids: tuple[ReceivedBid, ...] = ()
    unopened: tuple[WalrasError, ...] = ()
    commitments: int = 0
    seconds: float = 0.0
    late: bool = False
    fault: SolverFault | None = None

    @property
    def valid(self) -> list[ScoredBid]:
        """The bids that an award is made among."""
        return [bid.outcome for bid in self.bids if isinstance(bid.outcome, ScoredBid)]

    @property
    def rejected(self) -> list[WalrasError]:
        """The others, and commitments that came to no bid: the rule each breaks."""
        broken = [bid.outcome for bid in self.bids if isinstance(bid.outcome, WalrasError)]
        return [*broken, *self.unopened]


class Asker:
    """Stands for an engine: a passing key, and a log that holds closings."""

    def __init__(self) -> None:
        self._signer = Signer.from_seed(token_bytes(SEED_BYTES))
        self._tree = Tree()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")

    async def ask(
        self,
        node: Node,
        parts: Sequence[Problem],
        seconds: float,
        *,
        bodies: Sequence[bytes] = (),
    ) -> Trial:
        """Ask for bids on `parts`, all in one call. A node that cannot be reached has failed.

        Args:
            node: as an engine has it; one that went away is started or dialled again.
            parts: of one auction.
            seconds: that it has for all of them.
            bodies: what is sent in place of the parts' own bytes.
        """
        try:
            await self._reach(node)
        except SolverFault as fault:
            return Trial(fault=fault)
        sealed, secret, collection = self._collection(node, parts, seconds, bodies)
        unopened: list[WalrasError] = []
        try:
            await collection.run()
            collected = await collection.finish()
            if sealed.bid_key:
                unopened = await self._open(sealed, secret, collection, collected)
        finally:
            await collection.close()
        return _trial(node, sealed, collected, unopened)

    async def hang_up(self, node: Node, problem: Problem, seconds: float, after: float) -> bool:
        """Ask, and hang up after so many seconds; whether the node was at work then.

        Raises:
            SolverFault: it cannot be reached.
        """
        await self._reach(node)
        _, _, collection = self._collection(node, (problem,), seconds, ())
        asking = asyncio.create_task(collection.run())
        done, _ = await asyncio.wait([asking], timeout=after)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await collection.close()
        return not done

    def close(self) -> None:
        """Let go of the thread that bids are judged in."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    async def _reach(node: Node) -> None:
        if not node.connected:
            await node.connect()

    def _collection(
        self, node: Node, parts: Sequence[Problem], seconds: float, bodies: Sequence[bytes]
    ) -> tuple[SealedBatch, bytes, Collection]:
        made = tuple(bodies) or tuple(map(encode_problem, parts))
        first = parts[0]
        secret = token_bytes(32) if first.rules.sealed_bids else b""
        digests = [sha256(body).digest() for body in made]
        sealed = SealedBatch(
            first.auction_id,
            first,
            digests[0],
            tuple(parts),
            Dispatch(
                b"",
                (NodeLoad(node.public_key, 0, node.name),),
                (),
                tuple(Assignment(digest, (0,), 1) for digest in digests),
            ),
            {digest: place for place, digest in enumerate(digests)},
            {node.public_key: node.name},
            first.sealed_ms + round(1_000 * seconds),
            b"",
            public_bid_key(secret) if secret else b"",
        )

        def check(data: bytes, key: bytes, at_ms: int) -> asyncio.Future[ReceivedBid]:
            return self._start(partial(sealed.evaluate, data, key, at_ms))

        collection = Collection(
            sealed,
            made,
            {node.public_key: node},
            Counter(),
            self._checkpoint(first.domain),
            _going_on(first.sealed_ms),
            check,
            self._sign,
            OPEN_SECONDS,
        )
        return sealed, secret, collection

    async def _open(
        self, sealed: SealedBatch, secret: bytes, collection: Collection, collected: Collected
    ) -> list[WalrasError]:
        """Have the commitments opened; why some came to no bid."""
        now_ms = sealed.deadline_ms
        committed = close_commitments(
            sealed, collected.commitments, now_ms, now_ms + round(1_000 * OPEN_SECONDS)
        )
        opened: dict[int, asyncio.Future[Outcome]] = {}

        def check(place: int, data: bytes) -> asyncio.Future[Outcome]:
            opened[place] = self._start(partial(committed.evaluate, place, data, secret))
            return opened[place]

        closing = self._closing(committed, sealed.problem.domain)
        clock = _going_on(now_ms)
        talks = collection.talks
        await open_bids(committed, talks, closing, clock, self._sign, check, collected)
        why: list[WalrasError] = []
        for record, _ in collected.unopened:
            place = record.place
            found = opened[place].result() if place in opened else committed.outcomes[place]
            message = f"commitment {place} was not opened within {OPEN_SECONDS:g} s"
            missing = BidRejected(Reason.OPENING_MISSING, message, commitment=place)
            why.append(found if isinstance(found, WalrasError) else missing)
        return why

    def _closing(self, committed: CommittedBatch, domain: str) -> Closing:
        envelope = self._sign(committed.record())
        index = self._tree.append(envelope)
        return Closing(
            committed=envelope,
            commitments=committed.blob(),
            inclusion=InclusionProof(
                leaf_index=index,
                tree_size=self._tree.size,
                hashes=self._tree.inclusion_proof(index, self._tree.size),
            ),
            checkpoint=self._checkpoint(domain),
        )

    def _checkpoint(self, domain: str) -> bytes:
        made = Checkpoint(domain, self._tree.size, self._tree.root())
        return sign_checkpoint(made, domain, self._signer)

    def _sign(self, record: Signed) -> bytes:
        return sign_record(record, self._signer)

    def _start(self, judge: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, judge)


def _going_on(now_ms: int) -> Callable[[], int]:
    start = time.monotonic_ns()
    return lambda: now_ms + (time.monotonic_ns() - start) // 1_000_000


def _trial(
    node: Node, sealed: SealedBatch, collected: Collected, unopened: Sequence[WalrasError]
) -> Trial:
    return Trial(
        bids=sealed.close(bid for bid, _ in collected.bids).bids,
        unopened=tuple(unopened),
        commitments=len(collected.commitments),
        seconds=max((call.latency_us for call in collected.calls), default=0) / 1e6,
        late=any(call.outcome is Ended.TIMEOUT for call in collected.calls),
        fault=collected.faults.get(node.name),
    )
