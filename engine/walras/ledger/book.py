"""The order book: open intents, and closed ones that a sealed batch still holds."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from walras.core.amounts import AMOUNT_LIMIT
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent, least_fill
from walras.protocol.problem import OpenIntent, Rules
from walras.protocol.records import Cancel


class IntentState(StrEnum):
    """Where an intent's life stands."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class BookEntry(NamedTuple):
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


@dataclass(slots=True)
class Book:
    """Intents by id. What changes an entry returns it as it is then.

    Attributes:
        entries: id → entry, in the order in which they came.
        open_by_owner: how many open intents an owner has.
    """

    entries: dict[bytes, BookEntry] = field(default_factory=dict)
    open_by_owner: Counter[bytes] = field(default_factory=Counter)

    def check_room(self, owner: bytes, rules: Rules) -> None:
        """Refuse one more of `owner`. Raises InvalidInput: OPEN_INTENT_LIMIT, BOOK_FULL."""
        if self.open_by_owner[owner] >= rules.max_open_per_owner:
            raise InvalidInput(
                Reason.OPEN_INTENT_LIMIT,
                f"the owner has {rules.max_open_per_owner} open intents, the most allowed",
                hint="cancel one first",
                limit=rules.max_open_per_owner,
            )
        if len(self.entries) >= rules.max_open:
            raise InvalidInput(
                Reason.BOOK_FULL, "the book is full", hint="try again after the next batch"
            )

    def add(self, entry: BookEntry) -> BookEntry:
        """Take an open intent in."""
        self.entries[entry.id] = entry
        self.open_by_owner[entry.intent.owner] += 1
        return entry

    def cancel(self, cancel: Cancel, held: bool) -> BookEntry:
        """Close what its owner takes back; `held` while a sealed batch may still fill it.

        Raises:
            InvalidInput: INTENT_UNKNOWN, OWNER_MISMATCH or INTENT_CLOSED.
        """
        entry = self.entries.get(cancel.intent_id)
        if entry is None:
            raise InvalidInput(
                Reason.INTENT_UNKNOWN,
                f"intent {cancel.intent_id.hex()} is not open",
                intent_id=cancel.intent_id.hex(),
            )
        if entry.intent.owner != cancel.owner:
            raise InvalidInput(Reason.OWNER_MISMATCH, "only an intent's owner can cancel it")
        if entry.state is not IntentState.OPEN:
            raise InvalidInput(Reason.INTENT_CLOSED, f"the intent is already {entry.state}")
        return self._close(entry, IntentState.CANCELLED, keep=held)

    def expire(self, sealed_ms: int) -> list[BookEntry]:
        """Close what a batch sealed at `sealed_ms` finds expired."""
        return [
            self._close(entry, IntentState.EXPIRED, keep=False)
            for entry in list(self.entries.values())
            if _has_expired(entry, sealed_ms)
        ]

    def fill(self, entry: BookEntry, units: int, settlement: int) -> BookEntry:
        """Fill some units; a batch holds the entry, so it stays until `release`."""
        remaining = entry.remaining - units
        state = entry.state if remaining else IntentState.FILLED
        if remaining == 0 and entry.state is IntentState.OPEN:
            self._closed(entry.intent.owner)
        settled = entry.settled + settlement
        after = BookEntry(entry.id, entry.intent, entry.leaf_index, remaining, settled, state)
        self.entries[after.id] = after
        return after

    def release(self) -> None:
        """A batch has ended: forget the closed intents it still held."""
        for entry in [e for e in self.entries.values() if e.state is not IntentState.OPEN]:
            del self.entries[entry.id]

    def eligible(
        self,
        sealed_ms: int,
        balance: Callable[[bytes, str], int],
        unpriced: Collection[str] = (),
    ) -> tuple[dict[bytes, OpenIntent], dict[tuple[bytes, str], int]]:
        """What a batch sealed now would freeze: intents by ascending id, and balances behind them.

        Eligible is what is open, inside its window, of assets that have a reference price, and
        backed: its owner has what the least fill takes at the present limit. As many units may be
        filled as remain and are backed.

        Args:
            sealed_ms: when.
            balance: (owner, asset) → available atoms.
            unpriced: assets without a reference price.
        """
        intents: dict[bytes, OpenIntent] = {}
        balances: dict[tuple[bytes, str], int] = {}
        for entry in self.entries.values():
            intent = entry.intent
            fillable = _fillable(entry, sealed_ms, balance)
            if not fillable or any(asset in unpriced for asset in intent.assets):
                continue
            intents[entry.id] = OpenIntent(entry.id, intent, fillable)
            for asset in intent.needs(fillable, intent.limit_at(sealed_ms)):
                # Settlements may raise a balance past what an amount can be; a problem shows no
                # more.
                available = balance(intent.owner, asset)
                balances[intent.owner, asset] = min(available, AMOUNT_LIMIT - 1)
        return {name: intents[name] for name in sorted(intents)}, balances

    def has_fillable(self, sealed_ms: int, balance: Callable[[bytes, str], int]) -> bool:
        """Whether anything would be eligible now if all assets had a reference price."""
        return any(_fillable(entry, sealed_ms, balance) for entry in self.entries.values())

    def has_expired(self, now_ms: int) -> bool:
        """Whether an open intent's window has passed."""
        return any(_has_expired(entry, now_ms) for entry in self.entries.values())

    def moves_by_itself(self, now_ms: int) -> bool:
        """Whether time alone will change what is eligible, or at what limit, after `now_ms`."""
        return any(
            entry.intent.not_before_ms > now_ms
            or (entry.intent.decay is not None and entry.intent.decay.end_ms > now_ms)
            for entry in self.entries.values()
        )

    def _close(self, entry: BookEntry, state: IntentState, *, keep: bool) -> BookEntry:
        closed = entry._replace(state=state)
        self._closed(entry.intent.owner)
        if keep:
            self.entries[closed.id] = closed
        else:
            del self.entries[closed.id]
        return closed

    def _closed(self, owner: bytes) -> None:
        self.open_by_owner[owner] -= 1
        if not self.open_by_owner[owner]:
            del self.open_by_owner[owner]


def check_backed(intent: Intent, balance: Callable[[bytes, str], int]) -> None:
    """Refuse what its owner cannot back. Raises InvalidInput: BALANCE_INSUFFICIENT."""
    worst = min(intent.limit, intent.decay.start_limit if intent.decay else intent.limit)
    for asset, need in intent.needs(least_fill(intent, intent.units), worst).items():
        available = balance(intent.owner, asset)
        if available < need:
            raise InvalidInput(
                Reason.BALANCE_INSUFFICIENT,
                f"the least fill needs {need} atoms of {asset}, the owner has {available}",
                hint="deposit more, or lower min_units",
                asset=asset,
                needed=need,
                available=available,
            )


def _fillable(entry: BookEntry, sealed_ms: int, balance: Callable[[bytes, str], int]) -> int:
    """Units that may be filled now; 0 for none."""
    intent = entry.intent
    if entry.state is not IntentState.OPEN:
        return 0
    if not intent.not_before_ms <= sealed_ms < intent.expiry_ms:
        return 0
    # A surplus counts only as far as the owner could have paid the limit: otherwise "buy for at
    # most 10^30" would outscore every honest bid.
    backed = intent.backed(intent.limit_at(sealed_ms), partial(balance, intent.owner))
    units = min(entry.remaining, backed)
    return units if units >= least_fill(intent, entry.remaining) else 0


def _has_expired(entry: BookEntry, now_ms: int) -> bool:
    return entry.state is IntentState.OPEN and entry.intent.expiry_ms <= now_ms
