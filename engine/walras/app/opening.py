"""Having the bids of a closed set of commitments opened."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import aclosing

import structlog

from walras.api.v1.solver_service_pb2 import Closing, SolveRequest
from walras.app.collecting import Collected
from walras.auction.batch import ReceivedBid
from walras.auction.commitments import CommittedBatch, commitment_of
from walras.core.errors import BidRejected, Reason, SolverFault, WalrasError
from walras.fleet.conversation import Conversation
from walras.protocol.sealed_bids import Commitment

log = structlog.get_logger()

Outcome = tuple[ReceivedBid, bytes] | WalrasError
Check = Callable[[int, bytes], asyncio.Future[Outcome]]
"""A commitment's place and an opening → the bid, some time later, or why it is none."""


async def open_bids(
    committed: CommittedBatch,
    talks: Iterable[tuple[bytes, Conversation]],
    closing: Closing,
    seconds: float,
    check: Check,
    collected: Collected,
) -> None:
    """Tell the nodes what was closed, and add what they open to `collected`, by the commitments'
    order. The first opening of a commitment counts.

    Args:
        committed: what was closed.
        talks: with the nodes that were asked.
        closing: what they are told.
        seconds: that they have.
        check: starts the check of an opening.
        collected: of the batch.
    """
    places = committed.places()
    owed = Counter(key for key, _ in places)
    opened: dict[int, tuple[asyncio.Future[Outcome], bytes]] = {}
    request = SolveRequest(closing=closing).SerializeToString()
    end = time.monotonic() + seconds

    async def listen(key: bytes, talk: Conversation) -> None:
        try:
            async with aclosing(talk.openings(request, owed[key], end)) as openings:
                async for opening in openings:
                    place = places.get((key, commitment_of(opening)))
                    if place is not None and place not in opened:
                        opened[place] = (check(place, opening), opening)
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
