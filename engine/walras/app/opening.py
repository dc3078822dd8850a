"""Having the bids of a closed set of commitments opened."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from hashlib import sha256

import structlog

from walras.api.v1.solver_service_pb2 import Closing, SolveRequest
from walras.app.collecting import MAX_DIGESTS, Collected
from walras.auction.batch import ReceivedBid
from walras.auction.commitments import CommittedBatch
from walras.core.errors import BidRejected, Reason, SolverFault, WalrasError
from walras.fleet.conversation import Conversation
from walras.protocol.codec import Signed
from walras.protocol.sealed_bids import BidReceipt, Commitment

log = structlog.get_logger()

MAX_OPENED = MAX_DIGESTS // 2
"""In one receipt, which names two digests for each opening: 1,024 of them are no envelope."""

Outcome = tuple[ReceivedBid, bytes] | WalrasError
Check = Callable[[int, bytes], asyncio.Future[Outcome]]
"""A commitment's place and an opening → the bid, some time later, or why it is none."""


async def open_bids(
    committed: CommittedBatch,
    talks: Iterable[tuple[bytes, Conversation]],
    closing: Closing,
    clock: Callable[[], int],
    sign: Callable[[Signed], bytes],
    check: Check,
    collected: Collected,
) -> None:
    """Tell the nodes what was closed, and add what they open to `collected`, by the commitments'
    order. The first opening of a commitment counts; each has a receipt.

    Args:
        committed: what was closed.
        talks: with the nodes that were asked.
        closing: what they are told.
        clock: milliseconds since the epoch, of the sealing.
        sign: the engine's envelope of a record.
        check: starts the check of an opening.
        collected: of the batch.
    """
    places = committed.places()
    owed = Counter(key for key, _ in places)
    opened: dict[int, tuple[asyncio.Future[Outcome], bytes]] = {}
    request = SolveRequest(closing=closing).SerializeToString()
    end = time.monotonic() + (committed.open_until_ms - clock()) / 1_000

    async def take(key: bytes, talk: Conversation, came: Sequence[bytes]) -> None:
        now = clock()
        # Megabytes to hash: not on the loop, nor behind the checks of other bids.
        hidden = await asyncio.to_thread(lambda: [committed.claim(key, one) for one in came])
        claims = [(mine, one) for mine, one in zip(hidden, came, strict=True) if mine]
        for start in range(0, len(claims), MAX_OPENED):
            some = claims[start : start + MAX_OPENED]
            await talk.receipt(sign(_receipt(committed, key, now, some)), end)
        for mine, opening in claims:
            place = places.get((key, mine))
            if place is not None and place not in opened and now <= committed.open_until_ms:
                opened[place] = (check(place, opening), opening)

    async def listen(key: bytes, talk: Conversation) -> None:
        try:
            async with aclosing(talk.openings(request, owed[key], end)) as openings:
                async for came in openings:
                    await take(key, talk, came)
        except SolverFault as fault:
            log.warning("openings ended", solver=key.hex(), reason=fault.reason, why=str(fault))

    async with asyncio.TaskGroup() as group:
        for key, talk in talks:
            if owed[key]:
                group.create_task(listen(key, talk))
    missing = BidRejected(Reason.OPENING_MISSING, "no opening came in time")
    for place, found in enumerate(committed.outcomes):
        opening = b""
        outcome: Outcome = missing
        if not isinstance(found, Commitment):
            outcome = found
        elif place in opened:
            future, opening = opened[place]
            outcome = await future
        if isinstance(outcome, WalrasError):
            collected.unopened.append((committed.unopened(place, outcome, opening), opening))
        else:
            collected.bids.append(outcome)


def _receipt(
    committed: CommittedBatch, key: bytes, now_ms: int, claims: Sequence[tuple[bytes, bytes]]
) -> BidReceipt:
    """For openings, each behind the commitment that it claims to open."""
    sealed = committed.sealed
    return BidReceipt(
        sealed.problem.domain,
        sealed.auction_id,
        key,
        tuple(sha256(opening).digest() for _, opening in claims),
        now_ms,
        tuple(hidden for hidden, _ in claims),
    )
