"""HTTP for a solver that asks a service of its own: bounded, within a deadline that may move."""

import asyncio

from walras.sdk.solver import Deadline
from walras.web.client import Answer, Peer

__all__ = ["Answer", "Peer", "post"]

_LOOK_SECONDS = 0.05
"""How often a deadline that others may move is looked at."""


def post(
    peer: Peer, path: str, body: bytes, deadline: Deadline, *, content_type: str = ""
) -> Answer:
    """What `peer` answers, for the thread of a solver.

    Args:
        peer: of this thread alone. What its answer may have at most is its `max_bytes`.
        path: behind the prefix of its URL.
        body: to send.
        deadline: the wait ends with it, also where it comes earlier than it was.
        content_type: of the body.

    Raises:
        ConnectionError: no connection, no HTTP, too long an answer, or none in time.
    """
    return asyncio.run(_post(peer, path, body, deadline, content_type))


async def _post(
    peer: Peer, path: str, body: bytes, deadline: Deadline, content_type: str
) -> Answer:
    seconds = deadline.remaining()
    asking = asyncio.create_task(
        peer.ask("POST", path, body, seconds=seconds, content_type=content_type)
    )
    try:
        while not asking.done():
            if deadline.passed:
                raise ConnectionError(f"{peer.url} does not answer in time")
            await asyncio.wait([asking], timeout=_LOOK_SECONDS)
        return asking.result()
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        peer.close()
