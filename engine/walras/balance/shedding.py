"""Admission under overload: who is refused, by a rule that anybody can recompute.

The fleet can solve only so many open intents within a batch's budget. Up to that many, all are
admitted. Beyond it an intent is refused unless its owner stays within its fair share, so those with
the most open intents are refused first; at the hard limit all are. Shares are max–min fair: the
capacity is filled like water into vessels as large as what each owner asks for, and the level is
what an owner may hold. Nobody is shed silently: a refusal has the reason OVERLOADED, its numbers,
and when to try again.

An owner may sign under many keys. What that gains is bounded by what backs an intent: each key
needs the balance that its own intents may spend.

Source: Bertsekas and Gallager, Data Networks, 2nd ed. (1992), §6.5.2 (max–min fairness).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from walras.balance.rules import BPS
from walras.core.errors import InvalidInput, Reason


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the fleet solves in one batch.

    Attributes:
        soft: open intents that it solves within the batch's budget, ≥ 1.
        hard: open intents above which nobody is admitted, ≥ soft.
        interval_ms: between batches, ≥ 1; what a retry waits for.
    """

    soft: int
    hard: int
    interval_ms: int

    def __post_init__(self) -> None:
        """Raises InvalidInput: FIELD_INVALID."""
        if not (1 <= self.soft <= self.hard and self.interval_ms >= 1):
            raise InvalidInput(Reason.FIELD_INVALID, "no such capacity", capacity=self)


def capacity(
    *,
    slots: int,
    work_us: int,
    fan_out: int,
    budget_ms: int,
    interval_ms: int,
    utilisation_bps: int = 8_000,
    hard_bps: int = 15_000,
    least: int = 1,
) -> Capacity:
    """Slots · budget · utilisation / (work · fan-out), rounded down, at least `least`.

    Args:
        slots: of the nodes that are asked now; where there is none, as if there were one.
        work_us: estimate of what one open intent costs one node in a batch, ≥ 1.
        fan_out: nodes that each part goes to, ≥ 1.
        budget_ms: for solving, of each batch, ≥ 1.
        interval_ms: between batches, ≥ 1.
        utilisation_bps: of the budget that is planned with; the rest is for what estimates miss.
        hard_bps: the hard limit over the soft one, ≥ 10,000.
        least: the least that a fleet is taken to solve, ≥ 1.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    smallest = min(work_us, fan_out, budget_ms, interval_ms, utilisation_bps, least)
    if smallest < 1 or utilisation_bps > BPS or hard_bps < BPS:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "capacity needs positive estimates and shares within bounds",
            work_us=work_us,
            fan_out=fan_out,
            budget_ms=budget_ms,
            interval_ms=interval_ms,
            utilisation_bps=utilisation_bps,
            hard_bps=hard_bps,
            least=least,
        )
    able = max(slots, 1) * budget_ms * 1_000 * utilisation_bps // (BPS * work_us * fan_out)
    soft = max(least, able)
    return Capacity(soft, soft * hard_bps // BPS, interval_ms)


class Census:
    """How many owners have how many open intents; kept with the book, O(1) a change."""

    def __init__(self, open_by_owner: Mapping[bytes, int] | None = None) -> None:
        counts = (open_by_owner or {}).values()
        self._owners = Counter(count for count in counts if count > 0)
        self.total = sum(count * owners for count, owners in self._owners.items())

    def move(self, before: int, after: int) -> None:
        """An owner had `before` open intents and has `after`."""
        if before > 0:
            self._owners[before] -= 1
            if not self._owners[before]:
                del self._owners[before]
        if after > 0:
            self._owners[after] += 1
        self.total += after - before

    def level(self, room: int, asking: int) -> int:
        """The max–min fair share of `room` if one owner with `asking` open intents asked for one
        more: the greatest L with Σ min(wanted, L) ≤ room; `room` itself if all fits.

        O(k log k) for k different numbers of open intents.
        """
        wanted = self._owners.copy()
        if asking > 0:
            wanted[asking] -= 1
        wanted[asking + 1] += 1
        left, owners = room, wanted.total()
        for count in sorted(wanted):
            if count * owners > left:
                return left // owners
            left -= count * wanted[count]
            owners -= wanted[count]
        return room


def admit(census: Census, owner_open: int, limits: Capacity) -> None:
    """Whether an owner with `owner_open` open intents may have one more.

    Raises:
        InvalidInput: OVERLOADED, with `open` (the owner's), `fair_share`, `total`, `capacity`,
            `limit` and `retry_ms`: of the batches that the excess takes, at least one.
    """
    total = census.total + 1
    if total <= limits.soft:
        return
    share = census.level(limits.soft, owner_open)
    if total <= limits.hard and owner_open < share:
        return
    batches = -(-(total - limits.soft) // limits.soft)
    retry_ms = batches * limits.interval_ms
    full = total > limits.hard
    raise InvalidInput(
        Reason.OVERLOADED,
        "the book is at the most that the fleet may be asked to solve"
        if full
        else "the fleet is at capacity and the owner at its fair share of it",
        hint=f"try again in {retry_ms} ms",
        open=owner_open,
        fair_share=share,
        total=census.total,
        capacity=limits.soft,
        limit=limits.hard,
        retry_ms=retry_ms,
    )
