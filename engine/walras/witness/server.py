"""A witness over HTTP: C2SP tlog-witness' add-checkpoint, and the checkpoints it last cosigned.

    POST /add-checkpoint                     200 with the cosignature, or why not
    GET  /<SHA-256 of origin>/checkpoint     the checkpoint last cosigned

| status | why |
|---|---|
| 400 | no request of the one form, or an old size above the checkpoint's |
| 403 | no signature of a key that is known for the log, or one that does not verify |
| 404 | no log of this origin is known |
| 409 | the old size is not the one last cosigned, which the body says; or another root of it was |
| 422 | the checkpoint is not shown to follow the one last cosigned |
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from walras.audit.cosignature import WitnessKey, cosign
from walras.audit.keys import Signer
from walras.audit.note import NoteKey, with_signatures
from walras.audit.policy import Policy
from walras.audit.witness import (
    SIZE_TYPE,
    check_successor,
    encode_size,
    parse_request,
    recognise,
)
from walras.core.errors import Reason, WalrasError
from walras.web.server import Request, Response
from walras.witness.book import Book

log = structlog.get_logger()

PATH = "/add-checkpoint"

STATUSES: Mapping[Reason, int] = {
    Reason.MESSAGE_MALFORMED: 400,
    Reason.FIELD_INVALID: 400,
    Reason.CHECKPOINT_INVALID: 403,
    Reason.LOG_UNKNOWN: 404,
    Reason.CHECKPOINT_STALE: 409,
    Reason.ROOT_MISMATCH: 409,
    Reason.PROOF_INVALID: 422,
}


_FORKS = {Reason.ROOT_MISMATCH, Reason.PROOF_INVALID}


def wall_clock_s() -> int:
    """Seconds since 1970."""
    return int(time.time())


def known_logs(policy: Policy) -> dict[str, Sequence[NoteKey]]:
    """The logs of a policy: by origin, the keys to believe."""
    found: defaultdict[str, list[NoteKey]] = defaultdict(list)
    for each in policy.logs:
        found[each.key.name].append(each.key)
    return dict(found)


class Witness:
    """What answers a witness' requests.

    Args:
        name: of the witness, as in its key.
        signer: its key pair; of no other use.
        logs: by origin, the keys to believe.
        book: what it cosigned.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        signer: Signer,
        logs: Mapping[str, Sequence[NoteKey]],
        book: Book,
        clock: Callable[[], int] = wall_clock_s,
    ) -> None:
        self.key = WitnessKey(name, signer.public_key)
        self._signer = signer
        self._logs = logs
        self._book = book
        self._clock = clock
        # Between looking up what was cosigned and storing what follows, nobody else may do either.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == PATH:
            if request.method != "POST":
                return Response(405, b"use POST\n", headers={"Allow": "POST"})
            return await self._add_checkpoint(request.body)
        if request.method not in {"GET", "HEAD"}:
            return Response(405, b"use GET\n", headers={"Allow": "GET, HEAD"})
        name, slash, rest = request.path.removeprefix("/").partition("/")
        note = self._book.note(name) if slash and rest == "checkpoint" else None
        if note is None:
            return Response(404, b"not found\n", headers={"Cache-Control": "no-store"})
        return Response(200, note, headers={"Cache-Control": "no-cache"})

    async def _add_checkpoint(self, body: bytes) -> Response:
        try:
            asked = parse_request(body)
            signatures = recognise(asked, self._logs)
            async with self._turns[asked.head.origin]:
                check_successor(asked, self._book.latest(asked.head.origin))
                line = cosign(asked.note.text, self.key.name, self._signer, self._clock())
                kept = with_signatures(f"{asked.note.text}\n".encode(), [*signatures, line])
                # A deadline that passes must not let the next one overtake a write.
                await _to_the_end(asyncio.to_thread(self._book.write, kept))
        except WalrasError as error:
            return _refused(error, body)
        log.info("cosigned", origin=asked.head.origin, size=asked.head.size)
        return Response(200, line.line.encode(), "text/plain; charset=utf-8")


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end, also when cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _refused(error: WalrasError, body: bytes) -> Response:
    status = STATUSES[error.reason]
    if error.reason in _FORKS:
        # The log's signature holds, so the request itself may prove what the log did.
        log.error("inconsistent", why=error.message, request=body.decode(errors="replace"))
    elif status != 409:
        log.info("refused", status=status, why=error.message)
    if status == 409:
        return Response(409, encode_size(int(error.fields["size"])), SIZE_TYPE)
    return Response(status, f"{error.message}\n".encode())
