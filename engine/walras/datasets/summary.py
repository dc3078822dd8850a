"""What an importer took, and what it left out and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Summary:
    """The account an importer gives of itself; whatever is not taken has a reason here.

    Attributes:
        source: the format that was read.
        orders: in the file; taken + Σ orders_left_out.
        taken: orders that became intents.
        orders_left_out: reason → orders.
        pools: in the file; pools_taken + Σ pools_left_out.
        pools_taken: pools that became venues.
        pools_left_out: reason → pools.
        adjusted: what was done to orders that were taken → orders; one may count under several.
        accounts: in the market.
        priced: assets with a reference price.
        unpriced: assets without.
        notes: what else a reader should know, a sentence each.
    """

    source: str
    orders: int
    taken: int
    orders_left_out: Mapping[str, int]
    accounts: int
    priced: int
    unpriced: int
    pools: int = 0
    pools_taken: int = 0
    pools_left_out: Mapping[str, int] = field(default_factory=dict)
    adjusted: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"orders: {self.taken} of {self.orders} taken"]
        lines += [f"  left out, {why}: {n}" for why, n in self.orders_left_out.items()]
        lines += [f"  taken, {what}: {n}" for what, n in self.adjusted.items()]
        lines.append(f"pools: {self.pools_taken} of {self.pools} taken")
        lines += [f"  left out, {why}: {n}" for why, n in self.pools_left_out.items()]
        lines.append(f"accounts: {self.accounts}")
        lines.append(f"assets: {self.priced} with a reference price, {self.unpriced} without")
        return lines + [f"note: {note}" for note in self.notes]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "source": self.source,
            "orders": self.orders,
            "taken": self.taken,
            "orders_left_out": dict(self.orders_left_out),
            "adjusted": dict(self.adjusted),
            "pools": self.pools,
            "pools_taken": self.pools_taken,
            "pools_left_out": dict(self.pools_left_out),
            "accounts": self.accounts,
            "priced": self.priced,
            "unpriced": self.unpriced,
            "notes": list(self.notes),
        }


def tally(counts: Counter[str]) -> dict[str, int]:
    """The counts above zero, by name, so that the same file always reads the same."""
    return dict(sorted((+counts).items()))
