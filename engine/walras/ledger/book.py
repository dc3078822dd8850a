"""One intent's place in the book."""

from dataclasses import dataclass
from enum import StrEnum

from walras.core.intents import Intent


class IntentState(StrEnum):
    """Where an intent's life stands."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class BookEntry:
    """An intent and what became of it.

    Attributes:
        id: SHA-256 over the PAE.
        intent: as signed.
        leaf_index: where the log holds it.
        remaining: units that may still be filled.
        settled: sum of its fills' settlements, signed from the owner's side.
        state: a batch that was sealed before a cancellation may still fill a cancelled intent.
    """

    id: bytes
    intent: Intent
    leaf_index: int
    remaining: int
    settled: int = 0
    state: IntentState = IntentState.OPEN
