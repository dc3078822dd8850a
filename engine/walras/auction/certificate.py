"""Certificates (protocol §6, step 4): proofs that no choice is worth more, checked without a
solver.

A component's places are chosen by x ∈ {0, 1}, subject to lines, each with a right-hand side:

    rows       Σ x_b over the row's places ≤ 1
    budgets    Σ floor(spend_b / 2^unit) · x_b ≤ floor(left / 2^unit)
    cuts       Σ floor(|S ∩ touches_b| / 2) · x_b ≤ (|S| − 1) / 2,   S an odd set of rows

The budgets follow from the exact ones; a cut follows by adding up the rows of S, halving and
rounding down (Chvátal and Gomory). By weak duality, any prices y ≥ 0 of the lines prove of every
choice that

    Σ w_b · x_b ≤ Σ y · right-hand side + Σ max(0, w_b − Σ y · coefficient_b)

A tree splits the choices at a place, taken or left out, until this proves enough at each leaf.
Where a place is taken, the places that no longer fit beside it are out: those of its rows, and
those that spend more than is left. The bound of a leaf is the weight of what was taken, plus the
above over the free places, with right-hand sides less what was taken uses. The bound of a tree is
the greatest of its leaves'.

Checking takes additions and comparisons of integers of any size. It touches what a step changes:
the time is that of reading the tree, times the places that share a line.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

from walras.auction.components import Component, score_of
from walras.core.errors import AuditFailure, Reason
from walras.protocol.certificate import BRANCH, MAX_PRICE, MAX_SHIFT, PRICES, Tree

T = TypeVar("T")

MAX_STEPS = 1 << 26
"""Of all trees of a certificate: what a stranger can make an auditor compute has a bound."""


@dataclass(slots=True)
class Steps:
    """That may still be taken: 1 for a node; for a price that is set, the places of its line; for a
    branch, the places of each row and each budget of its place; for a cut, those of each of its
    rows.
    """

    left: int = MAX_STEPS


def check_tree(
    component: Component,
    tree: Tree,
    place: Mapping[str, object] | None = None,
    steps: Steps | None = None,
) -> int:
    """The weight that the tree proves no choice exceeds.

    Args:
        component: with several places.
        tree: whatever somebody sent.
        place: where the tree stands, for the errors.
        steps: that may be taken; those that are, are taken off. None: MAX_STEPS.

    Raises:
        AuditFailure: CERTIFICATE_TOO_LARGE, CERTIFICATE_CUT, CERTIFICATE_PRICE, CERTIFICATE_BRANCH,
            CERTIFICATE_LEAF, CERTIFICATE_BOUND; with `node`, the number of the node, if it is
            one's.
    """
    where = place or {}
    proven = _Walk(component, tree, where, steps or Steps()).heaviest_leaf().bound
    if tree.bound != score_of(proven):
        raise AuditFailure(
            Reason.CERTIFICATE_BOUND,
            f"the tree proves a bound of {score_of(proven)}, not the {tree.bound} that it states",
            **dict[str, Any](where),
        )
    return proven


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of a tree.

    Attributes:
        bound: no choice below it weighs more.
        taken: places that were taken on the way to it, ascending.
        weight: of these; a choice that is reached if it equals the bound.
    """

    bound: int
    taken: tuple[int, ...]
    weight: int


def heaviest_leaf(
    component: Component,
    tree: Tree,
    steps: Steps | None = None,
    weights: Sequence[int] | None = None,
) -> Leaf:
    """The leaf with the greatest bound, which is the tree's; of equals the first.

    Args:
        component: as for `check_tree`.
        tree: likewise.
        steps: likewise.
        weights: of the places, instead of the component's.

    Raises:
        AuditFailure: as `check_tree`, but for what the tree states as its bound.
    """
    return _Walk(component, tree, {}, steps or Steps(), weights).heaviest_leaf()


class _Walk:
    """One pass through a tree: what is taken where it stands, what is free, and the bound there.

    Every change of a list is remembered, so that it can be taken back at a branch's other side.
    """

    def __init__(
        self,
        component: Component,
        tree: Tree,
        place: Mapping[str, object],
        steps: Steps,
        weights: Sequence[int] | None = None,
    ) -> None:
        self._tree = tree
        self._place = place
        self._steps = steps
        self._node = -1
        if not 0 <= tree.shift <= MAX_SHIFT:
            raise self._failure(Reason.CERTIFICATE_TOO_LARGE, f"prices shift by up to {MAX_SHIFT}")
        self._weights = component.weights if weights is None else weights
        self._budgets = component.budgets
        self._first_budget = len(component.rows)
        self._left = [budget.balance for budget in component.budgets]
        # Of each place, lines and coefficients; of each line, places and coefficients.
        self._lines = [[(row, 1) for row in rows] for rows in component.touches]
        self._members = [[(b, 1) for b in places] for places in component.rows]
        self._right = [1] * len(component.rows)
        self._spends: list[list[int]] = [[] for _ in self._weights]
        for number, budget in enumerate(component.budgets):
            units = {b: spent >> budget.unit for b, spent in budget.spends.items()}
            self._add_line(units, budget.balance >> budget.unit)
            for b in budget.spends:
                self._spends[b].append(number)
        self._add_cuts(component)
        self._prices = [0] * len(self._right)
        self._slack = list(self._weights)
        self._free = [True] * len(self._weights)
        self._bound = sum(self._weights)
        self._changes: list[tuple[list[Any], int, Any]] = []
        for budget in component.budgets:
            for b, spent in budget.spends.items():
                if spent > budget.balance and self._free[b]:
                    self._exclude(b)

    def heaviest_leaf(self) -> Leaf:
        """Walk the tree, once."""
        # What to come back to: changes and bound before a branch, and its place.
        open_branches: list[tuple[int, int, int]] = []
        taken: list[int] = []
        prices = iter(self._tree.prices)
        heaviest: Leaf | None = None
        repriced = complete = False
        for number, kind in enumerate(self._tree.nodes):
            self._node = number
            self._step(1)
            if complete:
                raise self._failure(Reason.CERTIFICATE_LEAF, "nodes follow the end of the tree")
            if kind == PRICES:
                changes = next(prices, None)
                if changes is None or repriced:
                    raise self._failure(
                        Reason.CERTIFICATE_PRICE, "the prices of a node are missing"
                    )
                self._reprice(changes)
                repriced = True
                continue
            repriced = False
            if kind >= BRANCH:
                b = kind - BRANCH
                if b >= len(self._free) or not self._free[b]:
                    raise self._failure(
                        Reason.CERTIFICATE_BRANCH, "a branch is at a place that is not free"
                    )
                open_branches.append((len(self._changes), self._bound, b))
                taken.append(b)
                self._take(b)
                continue
            if heaviest is None or self._bound > heaviest.bound:
                weight = sum(self._weights[b] for b in taken)
                heaviest = Leaf(self._bound, tuple(sorted(taken)), weight)
            if open_branches:
                mark, self._bound, b = open_branches.pop()
                self._restore(mark)
                taken.pop()
                self._exclude(b)
            else:
                complete = True
        if heaviest is None or not complete:
            raise self._failure(Reason.CERTIFICATE_LEAF, "a branch of the tree has no leaf")
        if next(prices, None) is not None:
            raise self._failure(Reason.CERTIFICATE_PRICE, "prices are stated that no node has")
        return heaviest

    def _step(self, count: int) -> None:
        self._steps.left -= count
        if self._steps.left < 0:
            raise self._failure(
                Reason.CERTIFICATE_TOO_LARGE, f"checking takes more than {MAX_STEPS} steps"
            )

    def _failure(self, reason: Reason, message: str) -> AuditFailure:
        fields = dict[str, Any](self._place)
        if self._node >= 0:
            fields["node"] = self._node
        return AuditFailure(reason, message, **fields)

    def _add_line(self, coefficients: Mapping[int, int], right: int) -> None:
        members = [(b, a) for b, a in coefficients.items() if a]
        for b, a in members:
            self._lines[b].append((len(self._right), a))
        self._members.append(members)
        self._right.append(right)

    def _add_cuts(self, component: Component) -> None:
        for number, cut in enumerate(self._tree.cuts):
            ascending = all(a < b for a, b in pairwise(cut))
            if len(cut) % 2 == 0 or not ascending or cut[0] < 0 or cut[-1] >= len(component.rows):
                raise self._failure(
                    Reason.CERTIFICATE_CUT, f"cut {number} is not an odd set of rows, in order"
                )
            self._step(sum(len(component.rows[row]) for row in cut))
            counts = Counter(b for row in cut for b in component.rows[row])
            self._add_line({b: count // 2 for b, count in counts.items()}, len(cut) // 2)

    def _set(self, values: list[T], index: int, value: T) -> None:
        self._changes.append((values, index, values[index]))
        values[index] = value

    def _restore(self, mark: int) -> None:
        changes = self._changes
        while len(changes) > mark:
            values, index, value = changes.pop()
            values[index] = value

    def _reprice(self, changes: Sequence[tuple[int, int]]) -> None:
        before = -1
        for line, value in changes:
            if not before < line < len(self._prices):
                raise self._failure(
                    Reason.CERTIFICATE_PRICE, "prices are of no line, or not in order"
                )
            if not 0 <= value <= MAX_PRICE:
                raise self._failure(Reason.CERTIFICATE_PRICE, "a price is negative, or too large")
            before = line
            self._step(len(self._members[line]))
            price = value << self._tree.shift
            more = price - self._prices[line]
            self._set(self._prices, line, price)
            self._bound += more * self._right[line]
            for b, coefficient in self._members[line]:
                slack = self._slack[b]
                after = slack - more * coefficient
                self._set(self._slack, b, after)
                if self._free[b]:
                    self._bound += max(0, after) - max(0, slack)

    def _exclude(self, b: int) -> None:
        """A free place can no longer be taken."""
        self._set(self._free, b, value=False)
        self._bound -= max(0, self._slack[b])

    def _use(self, line: int, right: int) -> None:
        self._bound -= self._prices[line] * (self._right[line] - right)
        self._set(self._right, line, right)

    def _take(self, b: int) -> None:
        """Take a free place, and exclude what no longer fits beside it."""
        self._exclude(b)
        self._bound += self._weights[b]
        first, end = self._first_budget, self._first_budget + len(self._budgets)
        self._step(sum(len(self._members[line]) for line, _ in self._lines[b] if line < first))
        self._step(sum(len(self._budgets[number].spends) for number in self._spends[b]))
        for line, coefficient in self._lines[b]:
            if not first <= line < end:
                self._use(line, self._right[line] - coefficient)
            if line < first:
                for other, _ in self._members[line]:
                    if self._free[other]:
                        self._exclude(other)
        for number in self._spends[b]:
            budget = self._budgets[number]
            left = self._left[number] - budget.spends[b]
            self._set(self._left, number, left)
            self._use(first + number, left >> budget.unit)
            for other, spent in budget.spends.items():
                if spent > left and self._free[other]:
                    self._exclude(other)
