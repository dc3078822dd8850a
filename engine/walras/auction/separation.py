"""Cuts that a relaxation's solution breaks, compiled.

Zero-half inequalities of odd cycles: for an odd set S of rows, adding them up, halving and rounding
down gives Σ floor(|S ∩ rows of b| / 2) · x_b ≤ (|S| − 1) / 2. Places b1, b2, … of which each shares
a row with the next, and the last with the first, an odd number of them, break it where the sum of
their x is above half their number less one half. With a step from u to v at the price 1 − x_u −
x_v, those are closed walks of odd length that cost less than 1, found as shortest paths.

Source: Grötschel, Lovász and Schrijver, Geometric Algorithms and Combinatorial Optimization (1988),
§9.1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from walras.auction.simplex import Ints, Reals, compiled

CUTS = 400
"""Of a component."""

SOURCES = 96
"""Places that odd cycles are sought through, in one round."""

CLEAR = 0.01
"""By how much a cut must be broken."""


class Instance(NamedTuple):
    """A component as arrays; auction.search makes them.

    Attributes:
        weights: of the places, ≥ 0: the leading bits of the exact ones, rounded down. winners: 1
        for places that win, where that is to be proven. pointer, row_of: rows of the place i are
        row_of[pointer[i]:pointer[i + 1]]. start, who: places of the row r are who[start[r]:start[r
        + 1]]. budget_pointer, budget_of, spends: budgets of places, likewise, and what they spend:
        by words,
            the first in the budget's unit, of 60 bits from there on.
        budget_start, budget_who, budget_where: places of budgets, and where their spends stand.
        balances: of the budgets, by words.
    """

    weights: Ints
    winners: NDArray[np.int8]
    pointer: Ints
    row_of: Ints
    start: Ints
    who: Ints
    budget_pointer: Ints
    budget_of: Ints
    spends: Ints
    budget_start: Ints
    budget_who: Ints
    budget_where: Ints
    balances: Ints


@compiled
def transposed(start: Ints, who: Ints, places: int) -> tuple[Ints, Ints]:
    """`pointer` and `row_of`, of so many places, by `start` and `who`."""
    pointer = np.zeros(places + 1, np.int64)
    for place in who:
        pointer[place + 1] += 1
    pointer = np.cumsum(pointer)
    row_of = np.empty(len(who), np.int64)
    end = pointer.copy()
    for row in range(len(start) - 1):
        for k in range(start[row], start[row + 1]):
            row_of[end[who[k]]] = row
            end[who[k]] += 1
    return pointer, row_of


class Cuts(NamedTuple):
    """Those found so far.

    Attributes:
        found: how many; and behind it the work so far, in entries of arrays that were gone through.
        pointer, rows: rows of the cut c are rows[pointer[c]:pointer[c + 1]], ascending.
        coefficients: by cut and place.
    """

    found: Ints
    pointer: Ints
    rows: Ints
    coefficients: NDArray[np.int8]


@compiled
def no_cuts(places: int) -> Cuts:
    """None, with space for CUTS."""
    return Cuts(
        np.zeros(2, np.int64),
        np.zeros(CUTS + 1, np.int64),
        np.empty(CUTS * 16, np.int64),
        np.empty((CUTS, places), np.int8),
    )


@compiled
def right_side(cuts: Cuts, cut: int, status: NDArray[np.int8]) -> int:
    """What is left of a cut's right-hand side by the places that are taken (status 1)."""
    left = int(cuts.pointer[cut + 1] - cuts.pointer[cut]) // 2
    for place in range(len(status)):
        if status[place] == 1:
            left -= cuts.coefficients[cut, place]
    return left


@compiled
def separate(i: Instance, cuts: Cuts, x: Reals, columns: Ints, most: int) -> int:
    """Add up to `most` cuts that x breaks; how many came to it.

    Args:
        i: the component.
        cuts: where they are added.
        x: by place.
        columns: places that are free, ascending.
        most: to add.
    """
    loose = np.empty(len(columns), np.int64)
    count = 0
    number = np.full(len(x), -1, np.int64)
    for place in columns:
        if 1e-3 < x[place] < 1.0 - 1e-3:
            loose[count] = place
            number[place] = count
            count += 1
    if count == 0:
        return 0
    rows = len(i.start) - 1
    # A row that two loose places share.
    common = np.full((count, count), -1, np.int64)
    for u in range(count):
        for k in range(i.pointer[loose[u]], i.pointer[loose[u] + 1]):
            row = i.row_of[k]
            for m in range(i.start[row], i.start[row + 1]):
                v = number[i.who[m]]
                if v >= 0 and v != u:
                    common[u, v] = row
    values = x[loose[:count]]
    distance = np.empty(2 * count)
    before = np.empty(2 * count, np.int64)
    done = np.empty(2 * count, np.bool_)
    odd = np.zeros(rows, np.bool_)
    first = int(cuts.found[0])
    for source in range(min(count, SOURCES)):
        if cuts.found[0] - first >= most or cuts.found[0] >= CUTS:
            break
        cuts.found[1] += 4 * count * count
        if not _odd_cycle(source, values, common, distance, before, done):
            continue
        # A row that is walked along twice cancels out.
        odd[:] = False
        state = source + count
        while state != source:
            row = common[before[state] % count, state % count]
            odd[row] = not odd[row]
            state = before[state]
        _add(i, cuts, x, odd)
    return int(cuts.found[0]) - first


@compiled
def _odd_cycle(
    source: int,
    x: Reals,
    common: Ints,
    distance: Reals,
    before: Ints,
    done: NDArray[np.bool_],
) -> bool:
    """Whether an odd closed walk from `source` costs less than 1; `before` then leads back from
    (source, odd), which is numbered source + count.
    """
    count = len(x)
    distance[:] = np.inf
    done[:] = False
    distance[source] = 0.0
    while True:
        nearest = -1
        best = 1.0 - CLEAR
        for state in range(2 * count):
            if not done[state] and distance[state] < best:
                best = distance[state]
                nearest = state
        if nearest < 0:
            return False
        if nearest == source + count:
            return True
        done[nearest] = True
        place = nearest % count
        other_side = count if nearest < count else 0
        for v in range(count):
            if common[place, v] >= 0:
                cost = best + max(0.0, 1.0 - x[place] - x[v])
                if cost < distance[v + other_side]:
                    distance[v + other_side] = cost
                    before[v + other_side] = nearest


@compiled
def _add(i: Instance, cuts: Cuts, x: Reals, odd: NDArray[np.bool_]) -> None:
    """Add the cut of the marked rows, if it is one, is new, and x breaks it."""
    cut = cuts.found[0]
    end = cuts.pointer[cut]
    size = int(np.sum(odd))
    if size < 3 or size % 2 == 0 or end + size > len(cuts.rows):
        return
    inside = cuts.coefficients[cut]
    inside[:] = 0
    for row in range(len(odd)):
        if odd[row]:
            cuts.rows[end] = row
            end += 1
            for m in range(i.start[row], i.start[row + 1]):
                inside[i.who[m]] += 1
    total = 0.0
    for place in range(len(x)):
        inside[place] //= 2
        total += inside[place] * x[place]
    if total < size // 2 + CLEAR:
        return
    for other in range(cut):
        if cuts.pointer[other + 1] - cuts.pointer[other] == size:
            same = True
            for k in range(size):
                if cuts.rows[cuts.pointer[other] + k] != cuts.rows[cuts.pointer[cut] + k]:
                    same = False
                    break
            if same:
                return
    cuts.pointer[cut + 1] = end
    cuts.found[0] += 1
