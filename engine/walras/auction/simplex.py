"""Linear relaxations by the simplex method on a sparse dictionary, compiled.

    maximise c·x   subject to   A x ≤ b, x ≥ 0

A dictionary writes basic variables, and the objective, by the other ones. Right-hand sides are
perturbed against cycling; the prices that come out do not depend on them. Effort is counted in
pivots, and the arithmetic is plain IEEE in one fixed order, so the same problem gives the same
answer on every machine. An answer is a proposal: auction.certificate confirms it in integers.

Numba's cache looks at one file at a time: after a change here, delete the __pycache__ beside it.

Source: Chvátal, Linear Programming (1983), chapters 2, 3 and 10.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

TINY = 1e-9
"""Entries below this are no pivots."""

PIVOTS = 20_000
"""Of one call."""

BLOCK = 16
"""Columns that are looked at together for the least objective entry."""


def compiled(function: F) -> F:
    """Compiled at its first call, or taken from the cache where there is a folder for one."""
    try:
        made = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to write to, as in a read-only image without a home
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return cast("F", made)


class Dictionary(NamedTuple):
    """Basic variables, and the objective, written by the other ones; rows are sparse.

    Variables are numbered: columns of the problem, then slacks of its lines, in order.

    Attributes:
        place, value: entries of all rows: column and coefficient, in one pool. start, length, room:
        of each row, where it stands in the pool, its entries, and its space. link_row, link_next,
        head: of each column, a chain of rows that may have an entry there. used: entries in use: of
        the pool, of the chains; rows; and the last mark. right, moved: right-hand sides; the same
        perturbed, by which rows are chosen. objective: negated coefficients, ≥ 0 where optimal:
        then prices of the others. Behind them its
            value.
        basis, others: variables by row, and by column.
        work, mark: scratch, by column; work is 0 between calls.
    """

    place: Ints
    value: Reals
    start: Ints
    length: Ints
    room: Ints
    link_row: Ints
    link_next: Ints
    head: Ints
    used: Ints
    right: Reals
    moved: Reals
    objective: Reals
    basis: Ints
    others: Ints
    work: Reals
    mark: Ints


@compiled
def dictionary(columns: int, rows: int, entries: int) -> Dictionary:
    """An empty one, with space for so many rows and about so many entries."""
    return Dictionary(
        np.empty(entries, np.int64), np.empty(entries), np.zeros(rows, np.int64),
        np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.empty(entries, np.int64),
        np.empty(entries, np.int64), np.full(columns, -1, np.int64), np.zeros(5, np.int64),
        np.zeros(rows), np.zeros(rows), np.zeros(columns + 1), np.empty(rows, np.int64),
        np.arange(columns), np.zeros(columns), np.zeros(columns, np.int64),
    )  # fmt: skip


@compiled
def enlarged(d: Dictionary) -> Dictionary:
    """The same with twice the space, and chains without what is stale."""
    size = 2 * len(d.place)
    made = Dictionary(
        np.empty(size, np.int64), np.empty(size), d.start, d.length, d.room,
        np.empty(size, np.int64), np.empty(size, np.int64), d.head, d.used, d.right, d.moved,
        d.objective, d.basis, d.others, d.work, d.mark,
    )  # fmt: skip
    made.head[:] = -1
    made.used[0] = 0
    made.used[1] = 0
    for row in range(made.used[2]):
        old = made.start[row]
        made.start[row] = made.used[0]
        made.room[row] = made.length[row]
        for k in range(made.length[row]):
            made.place[made.used[0]] = d.place[old + k]
            made.value[made.used[0]] = d.value[old + k]
            _link(made, row, d.place[old + k])
            made.used[0] += 1
    return made


@compiled
def _link(d: Dictionary, row: int, column: int) -> None:
    """Add to the column's chain."""
    d.link_row[d.used[1]] = row
    d.link_next[d.used[1]] = d.head[column]
    d.head[column] = d.used[1]
    d.used[1] += 1


@compiled
def _entry(d: Dictionary, row: int, column: int) -> int:
    """Where the row's entry in the column stands in the pool; −1 where it has none."""
    for k in range(d.start[row], d.start[row] + d.length[row]):
        if d.place[k] == column:
            return k
    return -1


@compiled
def _pivot(d: Dictionary, row: int, column: int) -> bool:  # noqa: PLR0915 - one hot loop
    """Exchange the basic variable of `row` for the other one of `column`; False without space."""
    pivot_start = d.start[row]
    pivot_length = d.length[row]
    needed = np.int64(0)
    k = d.head[column]
    while k >= 0:
        needed += d.length[d.link_row[k]] + pivot_length
        k = d.link_next[k]
    if d.used[0] + needed > len(d.place) or d.used[1] + needed > len(d.link_row):
        return False
    d.used[4] += needed + len(d.work)
    inverse = 1.0 / d.value[_entry(d, row, column)]
    for k in range(pivot_start, pivot_start + pivot_length):
        d.value[k] *= inverse
        if d.place[k] == column:
            d.value[k] = inverse
        d.work[d.place[k]] = d.value[k]
    d.right[row] *= inverse
    d.moved[row] *= inverse
    # The chain may name a row twice, or one that has no entry left.
    previous = -1
    k = d.head[column]
    while k >= 0:
        other = d.link_row[k]
        at = -1 if other == row else _entry(d, other, column)
        if at < 0 or d.value[at] == 0.0 or d.basis[other] < 0:
            stale = other != row
        else:
            stale = False
            factor = d.value[at]
            d.value[at] = 0.0
            _subtract(d, other, factor, pivot_start, pivot_length)
            d.right[other] -= factor * d.right[row]
            d.moved[other] -= factor * d.moved[row]
            # Not to be met again in this chain.
            d.basis[other] = -1 - d.basis[other]
        following = d.link_next[k]
        if stale:
            if previous < 0:
                d.head[column] = following
            else:
                d.link_next[previous] = following
        else:
            previous = k
        k = following
    k = d.head[column]
    while k >= 0:
        other = d.link_row[k]
        if d.basis[other] < 0:
            d.basis[other] = -1 - d.basis[other]
        k = d.link_next[k]
    factor = d.objective[column]
    d.objective[column] = 0.0
    for k in range(pivot_start, pivot_start + pivot_length):
        d.objective[d.place[k]] -= factor * d.value[k]
        d.work[d.place[k]] = 0.0
    d.objective[-1] -= factor * d.right[row]
    d.basis[row], d.others[column] = d.others[column], d.basis[row]
    return True


@compiled
def _subtract(d: Dictionary, row: int, factor: float, pivot_start: int, pivot_length: int) -> None:
    """Take `factor` times the pivot row, which `work` holds too, from another row."""
    if d.length[row] + pivot_length > d.room[row]:
        end = d.used[0]
        for k in range(d.length[row]):
            d.place[end + k] = d.place[d.start[row] + k]
            d.value[end + k] = d.value[d.start[row] + k]
        d.start[row] = end
        d.room[row] = d.length[row] + pivot_length
        d.used[0] += d.room[row]
    d.used[3] += 1
    mark = d.used[3]
    start = d.start[row]
    end = start + d.length[row]
    k = start
    while k < end:
        column = d.place[k]
        d.mark[column] = mark
        value = d.value[k] - factor * d.work[column]
        if abs(value) < TINY * 1e-3:
            end -= 1
            d.place[k] = d.place[end]
            d.value[k] = d.value[end]
            continue
        d.value[k] = value
        k += 1
    for k in range(pivot_start, pivot_start + pivot_length):
        if d.mark[d.place[k]] != mark:
            d.place[end] = d.place[k]
            d.value[end] = -factor * d.value[k]
            _link(d, row, d.place[k])
            end += 1
    d.length[row] = end - start


@compiled
def put(d: Dictionary, column: int, value: float) -> None:
    """Write an entry of the row that is being made."""
    row = d.used[2]
    if d.length[row] == 0:
        d.start[row] = d.used[0]
    d.place[d.used[0]] = column
    d.value[d.used[0]] = value
    d.used[0] += 1
    d.length[row] += 1
    _link(d, row, column)


@compiled
def close(d: Dictionary, right: float) -> None:
    """End the row that is being made; its basic variable is the slack of its line."""
    row = d.used[2]
    d.room[row] = d.length[row]
    d.right[row] = right
    d.moved[row] = right + 1e-6 * ((row * 7919 + 104729) % 1009 + 1)
    d.basis[row] = len(d.work) + row
    d.used[2] += 1


@compiled
def _primal(d: Dictionary, least: float) -> int:
    """Pivot until no objective entry is below −least: 1; 0 if it does not get there; −1 without
    space.
    """
    columns = len(d.work)
    objective = d.objective
    # The least entry of each block; a pivot changes few.
    lowest = np.full((columns + BLOCK - 1) // BLOCK, np.inf)
    for j in range(columns):
        lowest[j // BLOCK] = min(lowest[j // BLOCK], objective[j])
    for _ in range(PIVOTS):
        column = -1
        best = -least
        for block in range(len(lowest)):
            if lowest[block] < best:
                best = lowest[block]
                column = block * BLOCK
        if column < 0:
            return 1
        while objective[column] != best:
            column += 1
        row = -1
        ratio = np.inf
        k = d.head[column]
        while k >= 0:
            other = d.link_row[k]
            at = _entry(d, other, column)
            if at >= 0 and d.value[at] > TINY:
                quotient = d.moved[other] / d.value[at]
                if quotient < ratio:
                    ratio = quotient
                    row = other
            k = d.link_next[k]
        if row < 0:
            return 0
        if not _pivot(d, row, column):
            return -1
        for k in range(d.start[row], d.start[row] + d.length[row]):
            block = d.place[k] // BLOCK
            least_entry = np.inf
            for j in range(block * BLOCK, min(block * BLOCK + BLOCK, columns)):
                least_entry = min(least_entry, objective[j])
            lowest[block] = least_entry
    return 0


@compiled
def _dual(d: Dictionary) -> int:
    """Pivot until no right-hand side is negative; returns as `_primal`."""
    for _ in range(PIVOTS):
        row = -1
        worst = -TINY
        for i in range(d.used[2]):
            if d.moved[i] < worst:
                worst = d.moved[i]
                row = i
        if row < 0:
            return 1
        column = -1
        ratio = np.inf
        for k in range(d.start[row], d.start[row] + d.length[row]):
            if d.value[k] < -TINY:
                quotient = max(d.objective[d.place[k]], 0.0) / -d.value[k]
                if quotient < ratio:
                    ratio = quotient
                    column = d.place[k]
        if column < 0:
            return 0
        if not _pivot(d, row, column):
            return -1
    return 0


@compiled
def maximise(d: Dictionary, least: float) -> tuple[Dictionary, bool]:
    """Bring a feasible dictionary to its optimum, up to objective entries of −least; whether it got
    there. The dictionary may be a larger copy.
    """
    outcome = _primal(d, least)
    while outcome < 0:
        d = enlarged(d)
        outcome = _primal(d, least)
    return d, outcome == 1


@compiled
def restore(d: Dictionary) -> tuple[Dictionary, bool]:
    """Bring an optimum that rows were added to back to feasibility; returns as `maximise`."""
    outcome = _dual(d)
    while outcome < 0:
        d = enlarged(d)
        outcome = _dual(d)
    return d, outcome == 1
