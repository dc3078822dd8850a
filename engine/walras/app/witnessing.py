"""Asking witnesses to cosign: each is a server that nobody trusts to answer, or to answer well.

A round asks all of them at once and ends when the policy's quorum has answered and the others had
a moment more, or at its deadline. A witness that fails rests, longer each time. One that has seen
more than there is, or another log, is told of as an error: the log was forked or set back.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from walras.audit.cosignature import check_cosignature
from walras.audit.merkle import Tree
from walras.audit.note import Signature, parse_note, with_signatures
from walras.audit.policy import Policy, Witness
from walras.audit.witness import SIZE_TYPE, encode_request, parse_cosignatures, parse_size
from walras.core.errors import Reason, WalrasError
from walras.web.client import Peer

log = structlog.get_logger()

GRACE_SECONDS = 0.25
"""What the others still have once a quorum has answered."""
FIRST_REST_SECONDS = 1.0
LAST_REST_SECONDS = 60.0
_ATTEMPTS = 3  # a first guess, and two corrections where another of our requests came between


@dataclass(slots=True)
class _Asked:
    """A witness and what is known of it.

    Attributes:
        size: that it cosigned last; 0 until it says.
        failures: in a row.
        rests_until: not asked before, by the loop's clock.
    """

    witness: Witness
    peer: Peer
    size: int = 0
    failures: int = 0
    rests_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Round:
    """What came of asking.

    Attributes:
        note: the checkpoint with the cosignatures that were given.
        asked: how many were asked; the others rest.
        names: the policy's for who gave one.
        enough: whether they are a quorum.
    """

    note: bytes
    asked: int
    names: frozenset[str]
    enough: bool


@dataclass(slots=True)
class Witnesses:
    """Those of a policy's witnesses that have a URL.

    Attributes:
        policy: of whoever will read the log.
        timeout_s: of a round.
    """

    policy: Policy
    timeout_s: float
    _asked: list[_Asked] = field(init=False)

    def __post_init__(self) -> None:
        self._asked = [_Asked(each, Peer(each.url)) for each in self.policy.witnesses if each.url]

    def close(self) -> None:
        """Hang up on all of them."""
        for each in self._asked:
            each.peer.close()

    async def cosign(self, note: bytes, size: int, tree: Tree) -> Round:
        """Ask for cosignatures of a checkpoint; returns within `timeout_s`, whoever answers.

        Args:
            note: the checkpoint, signed by the log.
            size: its.
            tree: of the log, at least as large.
        """
        loop = asyncio.get_running_loop()
        deadline = last = loop.time() + self.timeout_s
        text = parse_note(note).text
        given: dict[str, Signature] = {}
        waiting = {
            asyncio.create_task(self._ask(each, note, text, size, tree)): each
            for each in self._asked
            if each.rests_until <= loop.time()
        }
        asked = len(waiting)
        try:
            while waiting and (left := deadline - loop.time()) > 0:
                done, _ = await asyncio.wait(
                    waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    each = waiting.pop(task)
                    if (signature := task.result()) is not None:
                        given[each.witness.name] = signature
                if self.policy.is_quorum(frozenset(given)):
                    deadline = min(deadline, loop.time() + GRACE_SECONDS)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if loop.time() >= last:
            for each in waiting.values():
                self._rest(each)
                log.warning("a witness was too slow", witness=each.witness.name, size=size)
        names = frozenset(given)
        cosigned = with_signatures(note, given.values())
        return Round(cosigned, asked, names, self.policy.is_quorum(names))

    async def _ask(
        self, asked: _Asked, note: bytes, text: str, size: int, tree: Tree
    ) -> Signature | None:
        """The cosignature of one; None if it gives none, which is logged."""
        try:
            signature = await self._asked_until_told(asked, note, text, size, tree)
        except (OSError, WalrasError) as error:
            self._rest(asked)
            grave = isinstance(error, WalrasError) and error.reason in _GRAVE
            tell: Callable[..., object] = log.error if grave else log.warning
            tell("a witness did not cosign", witness=asked.witness.name, size=size, why=str(error))
            return None
        asked.failures = 0
        return signature

    @staticmethod
    def _rest(asked: _Asked) -> None:
        rest = min(LAST_REST_SECONDS, FIRST_REST_SECONDS * 2.0 ** min(asked.failures, 10))
        asked.failures += 1
        asked.rests_until = asyncio.get_running_loop().time() + rest

    async def _asked_until_told(
        self, asked: _Asked, note: bytes, text: str, size: int, tree: Tree
    ) -> Signature:
        for _ in range(_ATTEMPTS):
            if asked.size > size:
                seen, asked.size = asked.size, 0  # it is asked anew, not taken at its word
                raise WalrasError(
                    Reason.CHECKPOINT_STALE,
                    f"it cosigned {seen} entries and the log has {size}: was it set back?",
                )
            proof = tree.consistency_proof(asked.size, size)
            body = encode_request(asked.size, proof, note)
            answer = await asked.peer.ask("POST", "/add-checkpoint", body, seconds=self.timeout_s)
            if answer.status == 409 and answer.content_type == SIZE_TYPE:
                before, asked.size = asked.size, parse_size(answer.body)
                if before == size == asked.size:
                    raise WalrasError(
                        Reason.ROOT_MISMATCH,
                        f"it cosigned another root of {size} entries: did the log fork?",
                    )
                continue
            if answer.status != 200:
                raise WalrasError(
                    Reason.PROOF_INVALID if answer.status == 422 else Reason.WITNESS_FAILED,
                    f"it answered {answer.status}: {answer.body[:200].decode(errors='replace')!r}",
                )
            signature = self._own(asked.witness, text, answer.body)
            asked.size = size
            return signature
        raise WalrasError(
            Reason.WITNESS_FAILED, f"it named {_ATTEMPTS} sizes and cosigned after none of them"
        )

    @staticmethod
    def _own(witness: Witness, text: str, answer: bytes) -> Signature:
        """The witness' cosignature in its answer; others in there are ignored.

        Raises:
            WalrasError: WITNESS_FAILED, CHECKPOINT_INVALID or COSIGNATURE_INVALID.
        """
        for signature in parse_cosignatures(text, answer).signatures:
            if signature.is_of(witness.key) and check_cosignature(text, signature, witness.key):
                return signature
        raise WalrasError(
            Reason.WITNESS_FAILED, "its answer has no cosignature of its key that says a time"
        )


_GRAVE = {Reason.CHECKPOINT_STALE, Reason.PROOF_INVALID, Reason.ROOT_MISMATCH}
