"""What one commit writes: gathered in memory, then stored whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from walras.ledger.changes import Changes


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a repeated request the same: its method, the caller's id, its
    content's SHA-256.
    """

    method: str
    request_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """The log at one size, as a signed note."""

    size: int
    note: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to: a JSON-able value, and the checkpoint under which it is durable."""

    value: object
    checkpoint: SignedCheckpoint


@dataclass(frozen=True, slots=True)
class AuctionRow:
    """An auction as people ask for it: its state's name, and JSON of the rest."""

    state: str
    summary: str


@dataclass(frozen=True, slots=True)
class AnsweredNow:
    """A request answered in this very commit: what it was, and its value."""

    digest: bytes
    value: object


@dataclass(slots=True)
class Commit:
    """One transaction.

    Attributes:
        first_leaf: index of the first of `leaves`.
        leaves: envelopes to append to the log.
        blobs: by SHA-256.
        auctions: by id.
        requests: by (method, request_id), to answer repetitions alike.
        changes: what the state touched.
        checkpoint: signed over the tree with these leaves.
    """

    first_leaf: int
    leaves: list[bytes] = field(default_factory=list)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    auctions: dict[int, AuctionRow] = field(default_factory=dict)
    requests: dict[tuple[str, str], AnsweredNow] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    checkpoint: SignedCheckpoint | None = None


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """A request that was answered before: what it was, and its outcome."""

    digest: bytes
    outcome: Outcome


Answered = Mapping[tuple[str, str], AnsweredRequest]
"""By (method, request_id)."""
