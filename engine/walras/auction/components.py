"""What there is to select from (protocol §6): bids that take each other's place, and those that
share nothing, apart.

Engine and auditor both begin here; nothing of it searches. Bids that use the very same resources
compete for one place, which the best of them takes (dominance). Places that no resource links, by
however many steps, are decided apart (connected components).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import NamedTuple

from walras.auction.candidates import ScoredBid

Account = tuple[bytes, str]
Balances = Mapping[Account, int]

TIE_BITS = 128
"""Bits of a tie."""

SCORE_SHIFT = 160
"""A place weighs score · 2^160 + tie, so no sum of ties (of fewer than 2^32 bids) is worth a score
unit: the set with the greatest weight has the greatest score and, of those, the greatest tie.
"""

BUDGET_BITS = 20
"""A budget's row counts in units of 2^t atoms, so that all its spends together have 20 bits."""


@dataclass(frozen=True, slots=True)
class Budget:
    """An account that the places of a component might overspend together.

    Its row is Σ floor(spend / 2^unit) · x ≤ floor(left / 2^unit), which follows from the exact
    Σ spend · x ≤ left: what is left over fits one machine word, however large the amounts are.

    Attributes:
        account: the owner's.
        balance: atoms.
        spends: place → atoms, > 0, by ascending place.
        unit: see above.
    """

    account: Account
    balance: int
    spends: Mapping[int, int]
    unit: int


@dataclass(frozen=True, slots=True)
class Component:
    """Bids that a chain of shared resources links.

    Attributes:
        bids: all of them, by ascending id.
        places: the best bid of each set of resources, by ascending id.
        weights: of the places; see SCORE_SHIFT.
        touches: of each place, its rows.
        rows: of each row, its places, ascending. At most one of them may win. First come the groups
            and venues that several places touch, in the order in which the places, each with its
            groups ascending and then its venues ascending, come to them; then, of each budget, the
            places that spend more than half of the balance, if there are several.
        budgets: by ascending account.
    """

    bids: tuple[ScoredBid, ...]
    places: tuple[ScoredBid, ...]
    weights: tuple[int, ...]
    touches: Sequence[Sequence[int]]
    rows: Sequence[Sequence[int]]
    budgets: tuple[Budget, ...]


def tie(seed: bytes, bid_id: bytes) -> int:
    """The first 128 bits of SHA-256(seed ‖ bid id), as a number."""
    return int.from_bytes(hashlib.sha256(seed + bid_id).digest()[: TIE_BITS // 8], "big")


def score_of(weight: int) -> int:
    """The score in a weight; of a bound on weights, the bound on scores."""
    return weight >> SCORE_SHIFT


def greedy(component: Component) -> list[int]:
    """The places that anybody finds: by falling weight, each that still fits; ascending."""
    taken: set[int] = set()
    left = [budget.balance for budget in component.budgets]
    chosen = []
    for place in sorted(range(len(component.places)), key=lambda b: -component.weights[b]):
        spends = [budget.spends.get(place, 0) for budget in component.budgets]
        if taken.isdisjoint(component.touches[place]) and all(
            spent <= rest for spent, rest in zip(spends, left, strict=True)
        ):
            chosen.append(place)
            taken.update(component.touches[place])
            left = [rest - spent for spent, rest in zip(spends, left, strict=True)]
    return sorted(chosen)


def components(
    bids: Iterable[ScoredBid], balances: Balances, seed: bytes | None
) -> tuple[Component, ...]:
    """The components, by ascending id of their first bid.

    Args:
        bids: in any order, with distinct ids.
        balances: (owner, asset) → available atoms; 0 where it is missing.
        seed: of the ties; without one, all ties are 0.
    """
    ordered = sorted(bids, key=attrgetter("id"))
    contested = _contested(ordered, balances)
    classes = _classes(ordered, contested, seed)
    touching = _touching(classes)
    spending = _spending(classes)
    parts = _linked(len(classes), [*touching, *spending.values()])
    part_of = [0] * len(classes)
    place_of = [0] * len(classes)
    for number, part in enumerate(parts):
        for place, those in enumerate(part):
            part_of[those] = number
            place_of[those] = place
    touches: list[list[list[int]]] = [[[] for _ in part] for part in parts]
    rows: list[list[list[int]]] = [[] for _ in parts]
    for numbers in touching:
        if len(numbers) > 1:
            part_number = part_of[numbers[0]]
            mine, row = touches[part_number], len(rows[part_number])
            places = [place_of[those] for those in numbers]
            for place in places:
                mine[place].append(row)
            rows[part_number].append(places)
    budgets: list[list[Budget]] = [[] for _ in parts]
    for account, numbers in sorted(spending.items()):
        part_number = part_of[numbers[0]]
        spends = {place_of[n]: ordered[classes[n].bids[0]].spends[account] for n in numbers}
        budget = _budget(account, balances.get(account, 0), spends)
        _add_halves(budget, touches[part_number], rows[part_number])
        budgets[part_number].append(budget)
    made = []
    for number, part in enumerate(parts):
        places_ = tuple([ordered[classes[those].bids[0]] for those in part])
        members = [i for those in part for i in classes[those].bids]
        everyone = places_
        if len(members) > len(part):
            members.sort()
            everyone = tuple([ordered[i] for i in members])
        weights = tuple([_weight(place, seed) for place in places_])
        made.append(
            Component(
                everyone, places_, weights, touches[number], rows[number], tuple(budgets[number])
            )
        )
    made.sort(key=_first_id)
    return tuple(made)


def _first_id(component: Component) -> bytes:
    return component.bids[0].id


def _weight(place: ScoredBid, seed: bytes | None) -> int:
    return (place.score << SCORE_SHIFT) + (0 if seed is None else tie(seed, place.id))


class _Class(NamedTuple):
    """Bids that use the very same resources.

    Attributes:
        bids: their numbers, the best first.
        groups, venues: that they touch, ascending.
        accounts: contested ones that they spend from.
    """

    bids: list[int]
    groups: tuple[str, ...]
    venues: tuple[str, ...]
    accounts: tuple[Account, ...]


def _contested(bids: Sequence[ScoredBid], balances: Balances) -> dict[Account, list[int]]:
    """The accounts that compatible bids might overspend, with the numbers of the bids.

    No two winners touch the same group. So an account is safe if all that spend from it touch one
    group; and if the greatest spends of each first group, summed, are within its balance.
    """
    spending: dict[Account, list[int]] = {}
    for i, bid in enumerate(bids):
        for account in bid.spends:
            found = spending.get(account)
            if found is None:
                spending[account] = [i]
            else:
                found.append(i)
    return {
        account: those
        for account, those in spending.items()
        if len(those) > 1
        and _overspent(account, [bids[i] for i in those], balances.get(account, 0))
    }


def _overspent(account: Account, bids: Sequence[ScoredBid], balance: int) -> bool:
    """Whether compatible ones of these bids might spend more than the balance."""
    for group in bids[0].surplus:
        for bid in bids:
            if group not in bid.surplus:
                break
        else:
            return False
    most: dict[str, int] = {}
    for bid in bids:
        first, spent = min(bid.surplus), bid.spends[account]
        most[first] = max(spent, most.get(first, 0))
    return sum(most.values()) > balance


def _classes(
    bids: Sequence[ScoredBid], contested: Mapping[Account, Sequence[int]], seed: bytes | None
) -> list[_Class]:
    """The classes, by the number of their best bid."""
    accounts: dict[int, list[Account]] = {}
    for account, those in contested.items():
        for i in those:
            accounts.setdefault(i, []).append(account)
    same: dict[object, _Class] = {}
    for i, bid in enumerate(bids):
        groups, venues = tuple(bid.surplus), tuple(bid.venues)
        if len(groups) > 1:
            groups = tuple(sorted(groups))
        if len(venues) > 1:
            venues = tuple(sorted(venues))
        key: object = (groups, venues)
        mine = accounts.get(i, ())
        if mine:
            key = (key, frozenset([(account, bid.spends[account]) for account in mine]))
        found = same.get(key)
        if found is None:
            same[key] = _Class([i], groups, venues, tuple(mine))
        else:
            found.bids.append(i)
    for made in same.values():
        numbers = made.bids
        if len(numbers) > 1:
            most = max([bids[i].score for i in numbers])
            best = [i for i in numbers if bids[i].score == most]
            if len(best) > 1 and seed is not None:
                best.sort(key=lambda i: (-tie(seed, bids[i].id), i))
            numbers.remove(best[0])
            numbers.insert(0, best[0])
    return sorted(same.values(), key=itemgetter(0))


def _touching(classes: Iterable[_Class]) -> list[list[int]]:
    """Of each group and venue, in the order in which the classes come to them, the classes."""
    groups: dict[str, list[int]] = {}
    venues: dict[str, list[int]] = {}
    touching: list[list[int]] = []
    for number, those in enumerate(classes):
        for name in those.groups:
            found = groups.get(name)
            if found is None:
                groups[name] = found = [number]
                touching.append(found)
            else:
                found.append(number)
        for name in those.venues:
            found = venues.get(name)
            if found is None:
                venues[name] = found = [number]
                touching.append(found)
            else:
                found.append(number)
    return touching


def _spending(classes: Iterable[_Class]) -> dict[Account, list[int]]:
    """Of each contested account, the classes that spend from it."""
    spending: dict[Account, list[int]] = {}
    for number, those in enumerate(classes):
        for account in those.accounts:
            spending.setdefault(account, []).append(number)
    return spending


def _linked(count: int, links: Iterable[Sequence[int]]) -> list[list[int]]:
    """The connected components of so many numbers, ascending, linked by sets of them."""
    parent = list(range(count))
    for numbers in links:
        if len(numbers) > 1:
            first = numbers[0]
            while parent[first] != first:
                parent[first] = first = parent[parent[first]]
            for number in numbers:
                other = number
                while parent[other] != other:
                    parent[other] = other = parent[parent[other]]
                if other < first:
                    parent[first] = first = other
                else:
                    parent[other] = first
    found: dict[int, list[int]] = {}
    for number in range(count):
        root = number
        while parent[root] != root:
            root = parent[root]
        if root == number:
            found[number] = [number]
        else:
            found[root].append(number)
    return list(found.values())


def _add_halves(budget: Budget, touches: list[list[int]], rows: list[list[int]]) -> None:
    """Places that spend more than half of a balance have room for one: they are a row."""
    halves = [b for b, spent in budget.spends.items() if 2 * spent > budget.balance]
    if len(halves) > 1:
        for b in halves:
            touches[b].append(len(rows))
        rows.append(halves)


def _budget(account: Account, balance: int, spends: Mapping[int, int]) -> Budget:
    unit = max(0, sum(spends.values()).bit_length() - BUDGET_BITS)
    return Budget(account, balance, spends, unit)
