"""Problems that travel as the difference to an earlier one (protocol §4).

A delta is a list of spans: pieces of the earlier problem's bytes, and new bytes between them. To
apply it is to join them; nothing of it depends on what the bytes mean. To make it, both problems
are read as the entries that they are made of (an intent, a balance, a venue, a price), and an entry
that the earlier one has too is copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from walras.core.errors import InvalidInput, Reason

LEAST_COPY = 12
"""A shorter piece is cheaper to send than to point at."""


@dataclass(frozen=True, slots=True)
class Span:
    """Either `insert`, or, where that is empty, `length` bytes of the base from `offset` on."""

    offset: int = 0
    length: int = 0
    insert: bytes = b""


@dataclass(frozen=True, slots=True)
class Delta:
    """Spans that, joined, are a problem's bytes; `base_digest` is the SHA-256 of the base's."""

    base_digest: bytes
    spans: tuple[Span, ...]


class Base:
    """A problem's bytes, ready to make deltas from. O(n) to make."""

    def __init__(self, body: bytes) -> None:
        self.digest = sha256(body).digest()
        self._places: dict[bytes, int] = {}
        for start, stop in _entries(body):
            self._places.setdefault(body[start:stop], start)

    def delta(self, target: bytes) -> Delta:
        """From this problem to the bytes of another. O(n) in the target."""
        spans: list[Span] = []
        copied = [0, 0]  # offset and length of the copy that may still grow
        fresh: list[bytes] = []

        def flush() -> None:
            if copied[1]:
                spans.append(Span(copied[0], copied[1]))
                copied[1] = 0
            if fresh:
                spans.append(Span(insert=b"".join(fresh)))
                fresh.clear()

        for start, stop in _entries(target):
            entry = target[start:stop]
            place = self._places.get(entry)
            if copied[1] and copied[0] + copied[1] == place:
                copied[1] += len(entry)
            elif place is None or len(entry) < LEAST_COPY:
                if copied[1]:
                    flush()
                fresh.append(entry)
            else:
                flush()
                copied[:] = [place, len(entry)]
        flush()
        return Delta(self.digest, tuple(spans))


def apply_delta(base: bytes, delta: Delta, max_bytes: int) -> bytes:
    """The bytes that `delta` makes of `base`, whose digest was looked up by the delta's.

    Raises:
        InvalidInput: DELTA_INVALID: a span that is empty or outside the base, or more than
            `max_bytes` in all.
    """
    size = 0
    pieces: list[bytes] = []
    for span in delta.spans:
        if span.insert:
            piece = span.insert
        elif span.length and span.offset + span.length <= len(base):
            piece = base[span.offset : span.offset + span.length]
        else:
            raise InvalidInput(Reason.DELTA_INVALID, "a span is empty or not inside the base")
        size += len(piece)
        if size > max_bytes:
            raise InvalidInput(Reason.DELTA_INVALID, "the delta makes too large a problem")
        pieces.append(piece)
    return b"".join(pieces)


def _entries(body: bytes) -> Iterator[tuple[int, int]]:
    """Where each top-level field of a serialized message starts and stops.

    Bytes that are no message are one entry: deltas of them are right, if not short.
    """
    at, size = 0, len(body)
    while at < size:
        start = at
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(body, at)
        elif kind == 2:
            length, at = _varint(body, at)
            at += length
        else:
            at = size
        at = min(at, size)
        yield start, at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(body) and shift < 64:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, len(body)
