"""Problems on their way to nodes: whole, or as the difference to what a node holds."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from walras.api.v1.solver_service_pb2 import ProblemDelta, ProblemPart, SolveRequest
from walras.api.v1.solver_service_pb2 import Span as WireSpan
from walras.protocol.delta import Base
from walras.protocol.problem import OpenIntent
from walras.protocol.trade import encode_intent

MAX_HELD = 1_024
MAX_HELD_BYTES = 64 << 20
"""Of one node's problems; what several nodes hold is in memory once."""


def request(
    parts: Iterable[bytes], budget_ms: int, checkpoint: bytes = b"", task: bytes = b""
) -> bytes:
    """A serialized SolveRequest that brings these parts, in their order."""
    head = SolveRequest(budget_ms=budget_ms, checkpoint=checkpoint, task=task).SerializeToString()
    return b"".join((head, *parts))


@dataclass(frozen=True)
class Outgoing:
    """A part on its way to several nodes; what is costly to make is made once.

    Attributes:
        body: the problem's bytes.
        intents: by id.
        shard: a name that the part keeps from batch to batch.
    """

    body: bytes
    intents: Mapping[bytes, OpenIntent]
    shard: bytes = b""

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the problem's bytes."""
        return sha256(self.body).digest()

    def part(self, base: "Outgoing | None") -> bytes:
        """Its part of a serialized SolveRequest to a node that holds `base`, or need hold nothing.

        It is serialized once for all nodes with the same base: protobuf messages are merged by
        joining their bytes.
        """
        return self._whole if base is None else self._from_base(base)

    @cached_property
    def _whole(self) -> bytes:
        return SolveRequest(
            parts=[ProblemPart(problem=self.body, problem_digest=self.digest)],
            intents=[encode_intent(entry.intent) for entry in self.intents.values()],
        ).SerializeToString()

    @cached_property
    def _base(self) -> Base:
        return Base(self.body)

    @cached_property
    def _deltas(self) -> dict[bytes, bytes]:
        return {}

    def _from_base(self, held: "Outgoing") -> bytes:
        made = self._deltas.get(held.digest)
        if made is None:
            delta = held._base.delta(self.body)  # noqa: SLF001 - of this class
            if 2 * sum(len(span.insert) for span in delta.spans) > len(self.body):
                return self._whole  # they have little in common: spans would only be added to it
            part = ProblemPart(
                delta=ProblemDelta(
                    base_digest=delta.base_digest,
                    spans=[
                        WireSpan(offset=s.offset, length=s.length, insert=s.insert)
                        for s in delta.spans
                    ],
                ),
                problem_digest=self.digest,
            )
            fresh = self.intents.keys() - held.intents.keys()
            made = self._deltas[held.digest] = SolveRequest(
                parts=[part],
                intents=[
                    encode_intent(entry.intent)
                    for name, entry in self.intents.items()
                    if name in fresh
                ],
            ).SerializeToString()
        return made

    def settle(self) -> None:
        """Everybody has it: what was made to send it is not needed any more."""
        self.__dict__.pop("_whole", None)
        self.__dict__.pop("_deltas", None)


class Holding:
    """The latest problems that a node took; it keeps at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = min(limit, MAX_HELD)
        self._problems: OrderedDict[bytes, Outgoing] = OrderedDict()
        self._bytes = 0

    def base_for(self, problem: Outgoing) -> Outgoing | None:
        """The latest of the same shard, else the latest; None where it holds none."""
        latest = None
        for held in reversed(self._problems.values()):
            latest = latest or held
            if held.shard == problem.shard:
                return held
        return latest

    def add(self, problem: Outgoing) -> None:
        """The node took it."""
        if self._problems.pop(problem.digest, None) is None:
            self._bytes += len(problem.body)
        self._problems[problem.digest] = problem
        while self._problems and (
            len(self._problems) > self._limit or self._bytes > MAX_HELD_BYTES
        ):
            _, old = self._problems.popitem(last=False)
            self._bytes -= len(old.body)

    def clear(self) -> None:
        """It holds nothing that is known of."""
        self._problems.clear()
        self._bytes = 0
