"""Deltas: their spans, their limits, and what a node that is sent them keeps."""

import time
from dataclasses import replace
from hashlib import sha256

import pytest
from support.solver_markets import generated

from walras.api.v1 import record_pb2
from walras.core.errors import InvalidInput, Reason
from walras.protocol.delta import LEAST_COPY, Base, Delta, Span, apply_delta
from walras.protocol.trade import encode_problem

PROBLEM = generated(1, 40)


def entry(text: str, field: int = 4) -> bytes:
    """A top-level field of bytes."""
    return bytes([field << 3 | 2, len(text)]) + text.encode()


def spans_of(base: bytes, target: bytes) -> tuple[Span, ...]:
    return Base(base).delta(target).spans


def refused(base: bytes, *spans: Span, limit: int = 100) -> Reason:
    with pytest.raises(InvalidInput) as caught:
        apply_delta(base, Delta(sha256(base).digest(), spans), limit)
    return caught.value.reason


LONG = [entry(f"entry number {number}") for number in range(4)]


def test_neighbours_are_one_copy() -> None:
    base = b"".join(LONG)
    assert spans_of(base, base) == (Span(0, len(base)),)
    assert spans_of(base, b"".join(LONG[1:3])) == (Span(len(LONG[0]), 2 * len(LONG[1])),)


def test_new_entries_between_copies() -> None:
    base, new = b"".join(LONG), entry("something new")
    size = len(LONG[0])
    assert spans_of(base, b"".join([*LONG[:2], new, new, *LONG[2:]])) == (
        Span(0, 2 * size),
        Span(insert=new + new),
        Span(2 * size, 2 * size),
    )


def test_entry_left_out() -> None:
    base, size = b"".join(LONG), len(LONG[0])
    assert spans_of(base, b"".join([LONG[0], *LONG[2:]])) == (
        Span(0, size),
        Span(2 * size, 2 * size),
    )


def test_short_entries_travel_unless_a_copy_goes_on() -> None:
    short = entry("x")
    assert len(short) < LEAST_COPY
    base = LONG[0] + short + LONG[1]
    assert spans_of(base, short) == (Span(insert=short),)
    assert spans_of(base, base) == (Span(0, len(base)),)
    # After an insertion it is cheaper to go on inserting.
    new = entry("something new")
    assert spans_of(base, new + short) == (Span(insert=new + short),)


def test_the_same_entry_twice_is_copied_twice() -> None:
    size = len(LONG[0])
    assert spans_of(LONG[0], LONG[0] * 2) == (Span(0, size), Span(0, size))


def test_from_nothing_and_to_nothing() -> None:
    assert spans_of(b"", LONG[0]) == (Span(insert=LONG[0]),)
    assert spans_of(LONG[0], b"") == ()
    assert apply_delta(LONG[0], Delta(b"", ()), 0) == b""


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 30,  # a tag that does not end
        b"\x22\x7f" + b"x" * 20,  # a length past the end
        b"\x0b" + b"x" * 20,  # a wire type that problems do not have
        b"\x08" + b"\xff" * 12,  # a number that does not end
        LONG[0] + b"\x22",
    ],
)
def test_bytes_that_are_no_message(body: bytes) -> None:
    for base in (body, LONG[0]):
        assert apply_delta(base, Base(base).delta(body), 100) == body


def test_refusals() -> None:
    base = b"0123456789"
    assert refused(base, Span(0, 11)) is Reason.DELTA_INVALID
    assert refused(base, Span(10, 1)) is Reason.DELTA_INVALID
    assert refused(base, Span(1 << 63, 1)) is Reason.DELTA_INVALID
    assert refused(base, Span(1, (1 << 64) - 1)) is Reason.DELTA_INVALID
    assert refused(base, Span()) is Reason.DELTA_INVALID
    assert refused(base, Span(0, 10), Span(0, 10), limit=19) is Reason.DELTA_INVALID
    assert refused(base, Span(insert=b"x" * 5), limit=4) is Reason.DELTA_INVALID
    assert apply_delta(base, Delta(b"", (Span(9, 1), Span(insert=b"x"))), 2) == b"9x"


def test_no_amplification() -> None:
    """A few spans that copy a large base over and over are stopped at the limit, at once."""
    base = bytes(1 << 20)
    spans = tuple(Span(0, len(base)) for _ in range(10_000))
    began = time.monotonic()
    assert refused(base, *spans, limit=4 << 20) is Reason.DELTA_INVALID
    assert time.monotonic() - began < 1


def test_venue_that_moved_is_all_that_travels() -> None:
    venue = PROBLEM.venues["pair-0"]
    after = venue.swap(venue.assets[0], 10**15, venue.assets[1]).after
    moved = replace(PROBLEM, venues={**PROBLEM.venues, "pair-0": after})
    old, new = encode_problem(PROBLEM), encode_problem(moved)
    delta = Base(old).delta(new)
    assert apply_delta(old, delta, len(new)) == new
    # The fields before the rules are shorter than a pointer to them.
    header, copied, sent, rest = delta.spans
    assert len(header.insert) < 4 * LEAST_COPY
    assert sent.insert == entry_of(new, b"pair-0")
    assert len(header.insert) + copied.length + len(sent.insert) + rest.length == len(new)


def entry_of(body: bytes, name: bytes) -> bytes:
    """The top-level entry that a name stands in, found by the library that everybody has."""
    message = record_pb2.Problem.FromString(body)
    (venue,) = (venue for venue in message.venues if venue.id == name.decode())
    return record_pb2.Problem(venues=[venue]).SerializeToString()
