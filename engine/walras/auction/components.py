"""What there is to select from (protocol §6): bids that take each other's place, and those that
share nothing, apart.

Engine and auditor both begin here; nothing of it searches. Bids that use the very same resources
compete for one place, which the best of them takes (dominance). Places that no resource links, by
however many steps, are decided apart (connected components).
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from walras.auction.candidates import ScoredBid

Account = tuple[bytes, str]
Balances = Mapping[Account, int]

Resource = str | tuple[str]
"""What at most one winner touches: a group by its name, a venue by its id in a tuple."""

_Use = tuple[bytes, tuple[Resource, ...], ScoredBid]
"""A bid's id, its groups, ascending, and then its venues, ascending, and the bid."""

_Spent = Mapping[bytes, Sequence[tuple[Account, int]]]
"""Of each bid that spends from contested accounts, these and atoms, in one order for all bids."""

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


@dataclass(frozen=True)
class Component:
    """Bids that a chain of shared resources links. What not everybody needs is made when it is
    asked for.

    Attributes:
        bids: all of them, by ascending id.
        places: the best bid of each set of resources, by ascending id.
        rows: of each row, its places, ascending. At most one of them may win. First come the groups
            and venues that several places touch, in the order in which the places, each with its
            groups ascending and then its venues ascending, come to them; then, of each budget, the
            places that spend more than half of the balance, if there are several.
        budgets: by ascending account.
        seed: of the ties.
    """

    bids: tuple[ScoredBid, ...]
    places: tuple[ScoredBid, ...]
    rows: Sequence[Sequence[int]]
    budgets: tuple[Budget, ...]
    seed: bytes | None

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Of the places; see SCORE_SHIFT."""
        seed = self.seed
        if seed is None:
            return tuple([place.score << SCORE_SHIFT for place in self.places])
        return tuple([(place.score << SCORE_SHIFT) + tie(seed, place.id) for place in self.places])

    @cached_property
    def touches(self) -> Sequence[Sequence[int]]:
        """Of each place, its rows, ascending."""
        touches: list[list[int]] = [[] for _ in self.places]
        for row, places in enumerate(self.rows):
            for place in places:
                touches[place].append(row)
        return touches


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
    # One pass through the bids, in the order in which they lie in memory, reads what is needed.
    uses, spending = _read(bids)
    spent = _contested(spending, balances)
    uses.sort(key=itemgetter(0))
    classes = _classes(uses, spent, seed)
    found = [
        _component([classes[n] for n in part], uses, spent, balances, seed)
        for part in _linked([uses[numbers[0]] for numbers in classes], spent)
    ]
    return tuple(sorted(found, key=_first_id))


def _first_id(component: Component) -> bytes:
    return component.bids[0].id


def _read(bids: Iterable[ScoredBid]) -> tuple[list[_Use], dict[Account, list[_Use]]]:
    """What the bids use, and of each account, the uses of the bids that spend from it."""
    uses: list[_Use] = []
    spending: defaultdict[Account, list[_Use]] = defaultdict(list)
    for bid in bids:
        groups, venues = bid.surplus, bid.venues
        resources: tuple[Resource, ...] = (*(sorted(groups) if len(groups) > 1 else groups),)
        if venues:
            resources += (*zip(sorted(venues) if len(venues) > 1 else venues),)
        use = (bid.id, resources, bid)
        uses.append(use)
        for account in bid.spends:
            spending[account].append(use)
    return uses, spending


def _contested(spending: Mapping[Account, Sequence[_Use]], balances: Balances) -> _Spent:
    """What bids spend from accounts that compatible ones might overspend.

    No two winners touch the same group. So an account is safe if all that spend from it touch one
    group; and if the greatest spends of each first group, summed, are within its balance.
    """
    spent: defaultdict[bytes, list[tuple[Account, int]]] = defaultdict(list)
    for account, uses in spending.items():
        if len(uses) == 1 or _exclusive(uses):
            continue
        most: dict[Resource, int] = {}
        for _, resources, bid in uses:
            first, amount = resources[0], bid.spends[account]
            most[first] = max(amount, most.get(first, 0))
        if sum(most.values()) > balances.get(account, 0):
            for bid_id, _, bid in uses:
                spent[bid_id].append((account, bid.spends[account]))
    return spent


def _exclusive(uses: Sequence[_Use]) -> bool:
    """Whether there is a group that all of them touch."""
    for resource in uses[0][1]:
        for _, resources, _ in uses:
            if resource not in resources:
                break
        else:
            if isinstance(resource, str):
                return True
    return False


def _classes(uses: Sequence[_Use], spent: _Spent, seed: bytes | None) -> list[list[int]]:
    """The numbers of bids that use the very same resources, the best first, by ascending best."""
    same: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, (bid_id, resources, _) in enumerate(uses):
        key: tuple[object, ...] = resources
        if bid_id in spent:
            key += (*spent[bid_id],)
        same[key].append(i)
    for numbers in same.values():
        if len(numbers) > 1:
            scores = [uses[i][2].score for i in numbers]
            most = max(scores)
            best = numbers[scores.index(most)]
            if seed is not None and scores.count(most) > 1:
                equal = [i for i, score in zip(numbers, scores, strict=True) if score == most]
                best = max(equal, key=lambda i: tie(seed, uses[i][0]))
            numbers.remove(best)
            numbers.insert(0, best)
    return sorted(same.values(), key=itemgetter(0))


def _linked(places: Iterable[_Use], spent: _Spent) -> list[list[int]]:
    """The connected components of places that share a resource or a contested account: numbers of
    places, ascending.
    """
    first: dict[object, int] = {}
    part_of: list[list[int]] = []
    parts: list[list[int]] = []
    for number, (bid_id, resources, _) in enumerate(places):
        part: list[int] | None = None
        shared: tuple[object, ...] = resources
        if bid_id in spent:
            shared += tuple([account for account, _ in spent[bid_id]])
        for resource in shared:
            before = first.setdefault(resource, number)
            if before == number:
                continue
            other = part_of[before]
            if part is None:
                part = other
            elif other is not part:
                # The shorter joins the longer, so no number moves often.
                if len(other) > len(part):
                    part, other = other, part
                for moved in other:
                    part_of[moved] = part
                part += other
                other.clear()
        if part is None:
            part = []
            parts.append(part)
        part.append(number)
        part_of.append(part)
    return [sorted(part) for part in parts if part]


def _component(
    classes: Sequence[Sequence[int]],
    uses: Sequence[_Use],
    spent: _Spent,
    balances: Balances,
    seed: bytes | None,
) -> Component:
    """Of the classes that are linked."""
    places = []
    touching: defaultdict[Resource, list[int]] = defaultdict(list)
    spending: defaultdict[Account, dict[int, int]] = defaultdict(dict)
    for place, numbers in enumerate(classes):
        bid_id, resources, bid = uses[numbers[0]]
        places.append(bid)
        for resource in resources:
            touching[resource].append(place)
        if bid_id in spent:
            for account, amount in spent[bid_id]:
                spending[account][place] = amount
    rows = [those for those in touching.values() if len(those) > 1]
    budgets = []
    for account, spends in sorted(spending.items()):
        balance = balances.get(account, 0)
        unit = max(0, sum(spends.values()).bit_length() - BUDGET_BITS)
        budgets.append(Budget(account, balance, spends, unit))
        # Places that spend more than half of a balance have room for one: they are a row.
        halves = [place for place, amount in spends.items() if 2 * amount > balance]
        if len(halves) > 1:
            rows.append(halves)
    members = sorted([i for numbers in classes for i in numbers])
    return Component(
        tuple([uses[i][2] for i in members]), tuple(places), rows, tuple(budgets), seed
    )
