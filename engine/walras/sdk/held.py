"""What a node keeps of the problems that it was sent, so that the next may be a difference."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from walras.api.v1 import solver_service_pb2
from walras.audit import envelope
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.protocol.delta import Delta, Span, apply_delta
from walras.protocol.problem import Problem
from walras.protocol.records import Kind
from walras.protocol.trade import decode_intent, decode_problem

MAX_MESSAGE_BYTES = 256 << 20
"""The largest problem a node takes; the engine's channel allows as much."""

HELD_PROBLEMS = 256
HELD_BYTES = 256 << 20
"""Of problems, and as much again of intents. What came first is forgotten first."""

MAX_INTENTS = 1 << 18
OVERHEAD_BYTES = 1_024
"""What an intent takes beside its body, decoded: small ones must not be many more."""


class Held:
    """The latest problems' bytes, and the intents that came with them; both bounded."""

    def __init__(self) -> None:
        self._problems: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        self._intents = _Intents()

    def add_intents(self, bodies: Sequence[bytes]) -> None:
        """Keep intents for the problems that name them; on the event loop.

        Raises:
            InvalidInput: MESSAGE_TOO_LARGE, for more than any batch has; none is looked at.
        """
        self._intents.add(bodies)

    def take(self, part: solver_service_pb2.ProblemPart) -> bytes:
        """The bytes of the requested problem, which are kept.

        On the event loop, as requests come: the next may build on this one.

        Raises:
            InvalidInput: BASE_UNKNOWN, DELTA_INVALID or DIGEST_WRONG.
        """
        body = self._apply(part.delta) if part.HasField("delta") else part.problem
        digest = sha256(body).digest()
        if digest != part.problem_digest:
            raise InvalidInput(
                Reason.DIGEST_WRONG,
                "the problem's bytes do not have the digest that they came with",
            )
        self._keep(digest, body)
        return body

    def problem(self, body: bytes) -> Problem:
        """The problem of these bytes, which were taken before; from any thread.

        Raises:
            InvalidInput: BASE_UNKNOWN where an intent's body is not at hand, or malformed.
        """
        try:
            return decode_problem(body, self._intents)
        except KeyError:
            message = "an intent was forgotten before its turn came"
        except InvalidInput as error:
            if error.reason is not Reason.INTENT_UNKNOWN:
                raise
            message = error.message
        raise InvalidInput(Reason.BASE_UNKNOWN, message)

    def _apply(self, delta: solver_service_pb2.ProblemDelta) -> bytes:
        base = self._problems.get(delta.base_digest)
        if base is None:
            raise InvalidInput(Reason.BASE_UNKNOWN, "the delta's base is not held here")
        self._problems.move_to_end(delta.base_digest)
        spans = tuple(Span(s.offset, s.length, s.insert) for s in delta.spans)
        # A problem is not many times the last one: pointing at one span again and again is.
        fresh = sum(len(span.insert) for span in spans)
        most = min(MAX_MESSAGE_BYTES, 4 * len(base) + fresh)
        return apply_delta(base, Delta(delta.base_digest, spans), most)

    def _keep(self, digest: bytes, body: bytes) -> None:
        if digest in self._problems:
            self._problems.move_to_end(digest)
            return
        self._problems[digest] = body
        self._bytes += len(body)
        while len(self._problems) > HELD_PROBLEMS or self._bytes > HELD_BYTES:
            _, old = self._problems.popitem(last=False)
            self._bytes -= len(old)


@dataclass(slots=True)
class _Known:
    """An intent as it came and, once somebody asked for it, as a value."""

    body: bytes
    intent: Intent | None = None


class _Intents(Mapping[bytes, Intent]):
    """By id. Added to on the event loop, read from any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._bytes = 0

    def add(self, bodies: Sequence[bytes]) -> None:
        """Those that are new, in place of the oldest where there are too many."""
        if len(bodies) > MAX_INTENTS:
            raise InvalidInput(
                Reason.MESSAGE_TOO_LARGE, f"a request brings at most {MAX_INTENTS} intents"
            )
        for body in bodies:
            name = envelope.record_id(Kind.INTENT.payload_type, body)
            if name not in self._known:
                self._known[name] = _Known(body)
                self._bytes += len(body) + OVERHEAD_BYTES
        while self._bytes > HELD_BYTES:
            _, old = self._known.popitem(last=False)
            self._bytes -= len(old.body) + OVERHEAD_BYTES

    def __getitem__(self, name: bytes) -> Intent:
        known = self._known[name]
        if known.intent is None:
            known.intent = decode_intent(known.body)
        return known.intent

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
