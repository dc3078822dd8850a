"""What a settlement moves (protocol §7)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from walras.auction.candidates import ScoredBid
from walras.core.bids import SettledFill
from walras.core.errors import InvalidInput, Reason
from walras.ledger.book import Book, BookEntry
from walras.market.kinds import AnyVenue

BUFFER = bytes(32)
"""The owner of what bids leave over. Not a valid public key, so nobody can sign for it."""

Amounts = defaultdict[tuple[bytes, str], int]
"""(owner, asset) → atoms that come, or go."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What winning bids change.

    Attributes:
        fills: of entries of the book, in the winners' order.
        net: what each touched account gains.
        venues: touched ones, in their states then.
    """

    fills: list[tuple[BookEntry, SettledFill]]
    net: Amounts
    venues: dict[str, AnyVenue]


def settlement(book: Book, winners: Iterable[ScoredBid]) -> Settlement:
    """What the winners' fills move, with what is left over to the buffer.

    Gives before receives would need an order; the net per account cannot fall below zero, because
    gross gives are covered by what was available.

    Raises:
        InvalidInput: INTENT_UNKNOWN.
    """
    made = Settlement([], defaultdict(int), {})
    net, entries = made.net, book.entries
    for bid in winners:
        for fill in bid.fills:
            entry = entries.get(fill.intent_id)
            if entry is None:
                raise InvalidInput(
                    Reason.INTENT_UNKNOWN, f"intent {fill.intent_id.hex()} is not in the book"
                )
            intent, units = entry.intent, fill.units
            owner = intent.owner
            for leg in intent.legs:
                net[owner, leg.asset] += leg.quantity * units
            net[owner, intent.settlement_asset] += fill.settlement
            made.fills.append((entry, fill))
        for asset, amount in bid.leftover.items():
            net[BUFFER, asset] += amount
        made.venues.update(bid.venues)
    return made


def forfeit(
    net: Amounts,
    balances: Mapping[tuple[bytes, str], int],
    bond_asset: str,
    amount: int,
    withheld: Iterable[bytes],
) -> None:
    """Add to `net` what the solvers in `withheld`, once for each time, lose to the buffer: each
    time `amount` of the bond, as far as they have it then; nothing where either is not set.
    """
    if not (bond_asset and amount):
        return
    for solver in withheld:
        left = balances.get((solver, bond_asset), 0) + net[solver, bond_asset]
        lost = min(amount, max(0, left))
        net[solver, bond_asset] -= lost
        net[BUFFER, bond_asset] += lost
