"""What a stranger who dials a node can make it keep."""

from hashlib import sha256

import pytest

from walras.api.v1 import solver_service_pb2 as pb
from walras.core.errors import InvalidInput, Reason
from walras.sdk import held


def part(body: bytes, **other: object) -> pb.ProblemPart:
    return pb.ProblemPart(problem_digest=sha256(body).digest(), **other)  # type: ignore[arg-type]


def test_a_small_delta_does_not_make_a_large_problem() -> None:
    holding = held.Held()
    base = bytes(range(256)) * 40
    holding.take(part(base, problem=base))
    span = pb.Span(offset=0, length=len(base))
    four = pb.ProblemDelta(base_digest=sha256(base).digest(), spans=[span] * 4)
    assert holding.take(part(base * 4, delta=four)) == base * 4
    five = pb.ProblemDelta(base_digest=sha256(base).digest(), spans=[span] * 5)
    with pytest.raises(InvalidInput) as caught:
        holding.take(part(base * 5, delta=five))
    assert caught.value.reason is Reason.DELTA_INVALID


def test_a_request_with_too_many_intents_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held, "MAX_INTENTS", 3)
    holding = held.Held()
    holding.add_intents([b"a", b"b", b"c"])
    with pytest.raises(InvalidInput) as caught:
        holding.add_intents([b"a", b"b", b"c", b"d"])
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE
    assert len(holding._intents) == 3


def test_tiny_intents_count_for_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "HELD_BYTES", 10 * (held.OVERHEAD_BYTES + 1))
    holding = held.Held()
    bodies = [bytes([number]) for number in range(100)]
    holding.add_intents(bodies)
    assert len(holding._intents) == 10
