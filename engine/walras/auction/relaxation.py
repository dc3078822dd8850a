"""The linear relaxation of a node, tightened by cuts, and what its prices prove; compiled."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from walras.auction.separation import CUTS, Cuts, Instance, right_side, separate
from walras.auction.simplex import (
    TINY,
    Dictionary,
    Ints,
    Reals,
    close,
    compiled,
    dictionary,
    enlarged,
    maximise,
    put,
    restore,
)

FREE, TAKEN, OUT = 0, 1, 2
"""What a place is at a node."""


class Node(NamedTuple):
    """Where the search stands.

    Attributes:
        status: of each place.
        covered: rows of which a place is taken.
        left: of the budgets, by words.
        x: the relaxation's solution, by place.
        nearby: 1 for places of a choice near it.
    """

    status: NDArray[np.int8]
    covered: NDArray[np.bool_]
    left: Ints
    x: Reals
    nearby: NDArray[np.int8]


@compiled
def worth(i: Instance, place: int, proving: bool) -> int:
    """A place's weight; in proofs, rounded in favour of the winners."""
    return int(i.weights[place]) + (1 if proving and not i.winners[place] else 0)


@compiled
def _write(
    i: Instance, cuts: Cuts, node: Node, columns: Ints, lines: Ints, room: int
) -> tuple[Dictionary, int]:
    """The relaxation of what is free, without an objective, and how many lines it has.

    A row, budget or cut is its number among these; a place that is in none has a line −1 − place.
    """
    status = node.status
    rows, budgets = len(i.start) - 1, len(i.balances)
    column_of = np.full(len(status), -1, np.int64)
    for j in range(len(columns)):
        column_of[columns[j]] = j
    size = 0
    for row in range(rows):
        if not node.covered[row]:
            for m in range(i.start[row], i.start[row + 1]):
                if status[i.who[m]] == FREE:
                    lines[size] = row
                    size += 1
                    break
    for number in range(rows, rows + budgets + cuts.found[0]):
        lines[size] = number
        size += 1
    for place in columns:
        if i.pointer[place] == i.pointer[place + 1]:
            lines[size] = -1 - place
            size += 1
    entries = 8 * (len(i.row_of) + len(i.budget_of) + len(columns)) + 64
    d = dictionary(len(columns), size + room, entries)
    for number in range(size):
        line = lines[number]
        right = 1.0
        while d.used[0] + len(columns) > len(d.place):
            d = enlarged(d)
        if line < 0:
            put(d, column_of[-1 - line], 1.0)
        elif line < rows:
            for m in range(i.start[line], i.start[line + 1]):
                if status[i.who[m]] == FREE:
                    put(d, column_of[i.who[m]], 1.0)
        elif line < rows + budgets:
            budget = line - rows
            for m in range(i.budget_start[budget], i.budget_start[budget + 1]):
                units = i.spends[i.budget_where[m], 0]
                if status[i.budget_who[m]] == FREE and units:
                    put(d, column_of[i.budget_who[m]], units / max(node.left[budget, 0], 1))
        else:
            cut = line - rows - budgets
            right = float(right_side(cuts, cut, status))
            for place in columns:
                if cuts.coefficients[cut, place]:
                    put(d, column_of[place], float(cuts.coefficients[cut, place]))
        close(d, right)
    return d, size


@compiled
def _append(d: Dictionary, cuts: Cuts, cut: int, status: NDArray[np.int8], columns: Ints) -> None:
    """Add the row of a cut: its slack, with the places that are basic written by the others."""
    coefficients = cuts.coefficients[cut]
    right = float(right_side(cuts, cut, status))
    for j in range(len(columns)):
        if d.others[j] < len(columns):
            d.work[j] = coefficients[columns[d.others[j]]]
    for row in range(d.used[2]):
        if d.basis[row] < len(columns):
            factor = coefficients[columns[d.basis[row]]]
            if factor:
                right -= factor * d.right[row]
                for k in range(d.start[row], d.start[row] + d.length[row]):
                    d.work[d.place[k]] -= factor * d.value[k]
    for j in range(len(columns)):
        if abs(d.work[j]) > TINY:
            put(d, j, d.work[j])
        d.work[j] = 0.0
    close(d, right)


@compiled
def relax(
    i: Instance,
    cuts: Cuts,
    node: Node,
    columns: Ints,
    lines: Ints,
    proving: bool,
    rounds: int,
    enough: float,
) -> tuple[Dictionary, bool]:
    """Solve the relaxation of what is free and tighten it by cuts, until x is integral, or its
    value below `enough`. The dictionary, and whether its value is a bound.

    Proving, the weights are moved in favour of the winners, by more than all rounding comes to.
    """
    heaviest = max(1, int(np.max(i.weights)))
    margin = heaviest >> 40
    room = min(CUTS - cuts.found[0], 128, 2 * len(columns))
    d, size = _write(i, cuts, node, columns, lines, room)
    for j in range(len(columns)):
        objective = float(worth(i, columns[j], proving))
        if proving:
            objective += -margin if i.winners[columns[j]] else margin
        d.objective[j] = -objective
    d, sound = maximise(d, max(1e-3, heaviest * 2.0**-46))
    while True:
        node.x[:] = 0.0
        for row in range(d.used[2]):
            if d.basis[row] < len(columns):
                node.x[columns[d.basis[row]]] = d.right[row]
        if not sound or d.objective[-1] < enough or rounds == 0:
            break
        known = cuts.found[0]
        if separate(i, cuts, node.x, columns, size + room - d.used[2]) == 0:
            break
        rounds -= 1
        for cut in range(known, cuts.found[0]):
            lines[d.used[2]] = len(i.start) - 1 + len(i.balances) + cut
            while d.used[0] + len(columns) > len(d.place):
                d = enlarged(d)
            _append(d, cuts, cut, node.status, columns)
        d, sound = restore(d)
    cuts.found[1] += d.used[4]
    return d, sound


@compiled
def _priced(i: Instance, cuts: Cuts, place: int, prices: Ints) -> int:
    """What the place's resources cost."""
    rows = len(i.start) - 1
    total = 0
    for k in range(i.pointer[place], i.pointer[place + 1]):
        total += prices[i.row_of[k]]
    for k in range(i.budget_pointer[place], i.budget_pointer[place + 1]):
        total += prices[rows + i.budget_of[k]] * i.spends[k, 0]
    for cut in range(cuts.found[0]):
        total += prices[rows + len(i.balances) + cut] * cuts.coefficients[cut, place]
    return total


@compiled
def read_prices(
    i: Instance, cuts: Cuts, node: Node, d: Dictionary, columns: Ints, lines: Ints, prices: Ints
) -> None:
    """Prices of the lines, rounded. What a winner has left over goes to a row of its own."""
    rows, budgets = len(i.start) - 1, len(i.balances)
    prices[:] = 0
    for j in range(len(columns)):
        if d.others[j] >= len(columns):
            line = lines[d.others[j] - len(columns)]
            value = max(d.objective[j], 0.0)
            if rows <= line < rows + budgets:
                value /= max(node.left[line - rows, 0], 1)
            if line >= 0:
                prices[line] = round(value)
    for place in columns:
        if i.winners[place] and i.pointer[place] < i.pointer[place + 1]:
            rest = i.weights[place] - _priced(i, cuts, place, prices)
            if rest > 0:
                prices[i.row_of[i.pointer[place]]] += rest


@compiled
def excess(i: Instance, cuts: Cuts, node: Node, prices: Ints) -> int:
    """By how much the bound that the prices prove here exceeds what the winners weigh."""
    rows, budgets = len(i.start) - 1, len(i.balances)
    total = 0
    for row in range(rows):
        if not node.covered[row]:
            total += prices[row]
    for budget in range(budgets):
        total += prices[rows + budget] * node.left[budget, 0]
    for cut in range(cuts.found[0]):
        if prices[rows + budgets + cut]:
            total += prices[rows + budgets + cut] * right_side(cuts, cut, node.status)
    for place in range(len(i.weights)):
        if i.winners[place]:
            total -= i.weights[place]
        if node.status[place] == TAKEN:
            total += worth(i, place, True)
        elif node.status[place] == FREE:
            total += max(0, worth(i, place, True) - _priced(i, cuts, place, prices))
    return total


@compiled
def thin_out(i: Instance, cuts: Cuts, d: Dictionary, columns: Ints, lines: Ints) -> None:
    """Forget the cuts that an optimum has no price for."""
    first = len(i.start) - 1 + len(i.balances)
    priced = np.zeros(cuts.found[0], np.bool_)
    for j in range(len(columns)):
        if d.others[j] >= len(columns) and d.objective[j] > 0.0:
            line = lines[d.others[j] - len(columns)]
            if line >= first:
                priced[line - first] = True
    kept = 0
    for cut in range(len(priced)):
        if priced[cut]:
            start, end = cuts.pointer[cut], cuts.pointer[cut + 1]
            for k in range(start, end):
                cuts.rows[cuts.pointer[kept] + k - start] = cuts.rows[k]
            cuts.coefficients[kept] = cuts.coefficients[cut]
            cuts.pointer[kept + 1] = cuts.pointer[kept] + end - start
            kept += 1
    cuts.found[0] = kept
