"""What there is to select from (protocol §6): bids that take each other's place, and those that
share nothing, apart.

Engine and auditor both begin here; nothing of it searches. Bids that use the very same resources
compete for one place, which the best of them takes (dominance). Places that no resource links, by
however many steps, are decided apart (connected components).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

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
        touches: of each place, its rows: groups and venues that other places touch as well.
        rows: of each row, its places, ascending. At most one of them may win. Rows are numbered in
            the order in which the places, each with its groups ascending and then its venues
            ascending, come to them.
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
    links, touching = _links([ordered[those[0]] for those in classes], contested)
    made = []
    for numbers in _linked(links, touching):
        members = [i for number in numbers for i in classes[number]]
        places = tuple([ordered[classes[number][0]] for number in numbers])
        everyone = places
        if len(members) > len(numbers):
            members.sort()
            everyone = tuple([ordered[i] for i in members])
        weights = tuple([_weight(place, seed) for place in places])
        if len(places) == 1:
            made.append(Component(everyone, places, weights, ((),), (), ()))
            continue
        touches, rows = _rows(numbers, links, touching)
        budgets = tuple(_budgets(places, contested, balances)) if contested else ()
        made.append(Component(everyone, places, weights, touches, rows, budgets))
    made.sort(key=_first_id)
    return tuple(made)


def _first_id(component: Component) -> bytes:
    return component.bids[0].id


def _weight(place: ScoredBid, seed: bytes | None) -> int:
    return (place.score << SCORE_SHIFT) + (0 if seed is None else tie(seed, place.id))


def _contested(bids: Sequence[ScoredBid], balances: Balances) -> set[Account]:
    """The accounts that compatible bids might overspend.

    No two winners touch the same group. So an account is safe if all that spend from it touch one
    group; and if the greatest spends of each first group, summed, are within its balance.
    """
    spending: dict[Account, list[tuple[int, Mapping[str, int]]]] = {}
    for bid in bids:
        groups = bid.surplus
        for account, spent in bid.spends.items():
            found = spending.get(account)
            if found is None:
                spending[account] = [(spent, groups)]
            else:
                found.append((spent, groups))
    return {
        account
        for account, those in spending.items()
        if len(those) > 1 and _overspent(those, balances.get(account, 0))
    }


def _overspent(those: Sequence[tuple[int, Mapping[str, int]]], balance: int) -> bool:
    """Whether some of these spends, each with the groups it comes with, may exceed the balance."""
    total = 0
    for spent, _ in those:
        total += spent
    if total <= balance:
        return False
    for group in those[0][1]:
        for _, groups in those:
            if group not in groups:
                break
        else:
            return False
    most: dict[str, int] = {}
    for spent, groups in those:
        first = min(groups)
        most[first] = max(spent, most.get(first, 0))
    return sum(most.values()) > balance


def _classes(
    bids: Sequence[ScoredBid], contested: set[Account], seed: bytes | None
) -> list[list[int]]:
    """Bids that use the very same resources, by number, the best of them first; by this one."""
    same: dict[object, list[int]] = {}
    for i, bid in enumerate(bids):
        groups, venues = bid.surplus, bid.venues
        key: object = (
            tuple(groups) if len(groups) < 2 else tuple(sorted(groups)),
            tuple(venues) if len(venues) < 2 else tuple(sorted(venues)),
        )
        if contested and not contested.isdisjoint(bid.spends):
            key = (key, frozenset(item for item in bid.spends.items() if item[0] in contested))
        found = same.get(key)
        if found is None:
            same[key] = [i]
        else:
            found.append(i)
    for those in same.values():
        if len(those) > 1:
            most = max([bids[i].score for i in those])
            best = [i for i in those if bids[i].score == most]
            if len(best) > 1 and seed is not None:
                best.sort(key=lambda i: (-tie(seed, bids[i].id), i))
            those.remove(best[0])
            those.insert(0, best[0])
    return sorted(same.values())


def _links(
    places: Sequence[ScoredBid], contested: set[Account]
) -> tuple[list[tuple[list[int], list[int]]], list[list[int]]]:
    """Of each place, the groups and venues that it touches, and the contested accounts that it
    spends from, as numbers; and of each of these numbers, the places.
    """
    groups: dict[str, int] = {}
    venues: dict[str, int] = {}
    accounts: dict[Account, int] = {}
    touching: list[list[int]] = []
    links = []

    def number(known: dict[Any, int], name: Any, place: int) -> int:
        found = known.get(name)
        if found is None:
            known[name] = found = len(touching)
            touching.append([place])
        else:
            touching[found].append(place)
        return found

    for i, place in enumerate(places):
        rows: list[int] = []
        for name in place.surplus if len(place.surplus) < 2 else sorted(place.surplus):
            found = groups.get(name)
            if found is None:
                groups[name] = found = len(touching)
                touching.append([i])
            else:
                touching[found].append(i)
            rows.append(found)
        if place.venues:
            rows += [number(venues, name, i) for name in sorted(place.venues)]
        spends: list[int] = []
        if contested and not contested.isdisjoint(place.spends):
            spends = [number(accounts, a, i) for a in place.spends if a in contested]
        links.append((rows, spends))
    return links, touching


def _linked(
    links: Sequence[tuple[list[int], list[int]]], touching: Sequence[Sequence[int]]
) -> list[list[int]]:
    """The numbers of the places of each component, ascending."""
    reached = [False] * len(links)
    seen = [False] * len(touching)
    found = []
    for start, before in enumerate(reached):
        if before:
            continue
        reached[start] = True
        members = [start]
        for i in members:
            for numbers in links[i]:
                for link in numbers:
                    if not seen[link]:
                        seen[link] = True
                        for other in touching[link]:
                            if not reached[other]:
                                reached[other] = True
                                members.append(other)
        members.sort()
        found.append(members)
    return found


def _rows(
    numbers: Sequence[int],
    links: Sequence[tuple[list[int], list[int]]],
    touching: Sequence[Sequence[int]],
) -> tuple[list[list[int]], list[list[int]]]:
    """Touches and rows of a component; see there."""
    place_of = {number: place for place, number in enumerate(numbers)}
    known: dict[int, int] = {}
    rows: list[list[int]] = []
    touches: list[list[int]] = []
    for number in numbers:
        mine = []
        for link in links[number][0]:
            row = known.get(link)
            if row is None:
                those = touching[link]
                if len(those) < 2:
                    continue
                known[link] = row = len(rows)
                rows.append([place_of[other] for other in those])
            mine.append(row)
        touches.append(mine)
    return touches, rows


def _budgets(
    places: Sequence[ScoredBid], contested: set[Account], balances: Balances
) -> Iterable[Budget]:
    spending: dict[Account, dict[int, int]] = {}
    for number, place in enumerate(places):
        if not contested.isdisjoint(place.spends):
            for account in contested.intersection(place.spends):
                spending.setdefault(account, {})[number] = place.spends[account]
    for account, spends in sorted(spending.items()):
        unit = max(0, sum(spends.values()).bit_length() - BUDGET_BITS)
        yield Budget(account, balances.get(account, 0), spends, unit)
