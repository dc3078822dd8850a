"""Branch and bound over linear relaxations, compiled: the inner loops of auction.search.

Whatever these kernels find is a proposal that rests on nothing until auction.certificate has
confirmed it in integers of any size, so floating point may lead the way. Effort is counted in
nodes, and all is done in one fixed order: the same component gives the same answer on every
machine.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from walras.auction.relaxation import (
    FREE,
    OUT,
    TAKEN,
    Node,
    excess,
    read_prices,
    relax,
    thin_out,
)
from walras.auction.separation import CUTS, Cuts, Instance, no_cuts
from walras.auction.simplex import Ints, compiled

DEEPEST = 300
"""Branches above one another."""

ROUNDS, ROUNDS_BELOW = 16, 4
"""Of cuts, at the first node and at others."""

MANY = 64
"""Cuts from which on a proof seeks others at its first node only: each makes all nodes slower."""

WORD = 1 << 60
"""The base of amounts' words."""


class Stream(NamedTuple):
    """What a tree is written to; arrays of one element count what is used.

    Attributes:
        nodes: as in a certificate.
        changes: of each change of prices, how many lines change.
        lines, values: of all changes.
        used: of nodes, changes, lines.
    """

    nodes: Ints
    changes: Ints
    lines: Ints
    values: Ints
    used: Ints


@compiled
def _fits(i: Instance, place: int, left: Ints) -> bool:
    """Whether every budget has as much left as the place spends."""
    for k in range(i.budget_pointer[place], i.budget_pointer[place + 1]):
        for word in range(left.shape[1]):
            if i.spends[k, word] != left[i.budget_of[k], word]:
                if i.spends[k, word] > left[i.budget_of[k], word]:
                    return False
                break
    return True


@compiled
def _spend(i: Instance, place: int, left: Ints) -> None:
    """Take what the place spends from what is left."""
    for k in range(i.budget_pointer[place], i.budget_pointer[place + 1]):
        budget = i.budget_of[k]
        for word in range(left.shape[1] - 1, -1, -1):
            left[budget, word] -= i.spends[k, word]
            if word > 0 and left[budget, word] < 0:
                left[budget, word] += WORD
                left[budget, word - 1] -= 1


@compiled
def _arrive(i: Instance, node: Node, path: Ints, depth: int, possible: NDArray[np.bool_]) -> int:
    """Set the node to where the path leads, place + 1 for taken and −1 − place for left out. How
    many places are free there.
    """
    status, covered, left = node.status, node.covered, node.left
    covered[:] = False
    left[:] = i.balances
    for place in range(len(status)):
        status[place] = FREE if possible[place] and _fits(i, place, left) else OUT
    for step in range(depth):
        if path[step] < 0:
            status[-1 - path[step]] = OUT
            continue
        place = path[step] - 1
        status[place] = TAKEN
        for k in range(i.pointer[place], i.pointer[place + 1]):
            row = i.row_of[k]
            covered[row] = True
            for m in range(i.start[row], i.start[row + 1]):
                if status[i.who[m]] == FREE:
                    status[i.who[m]] = OUT
        _spend(i, place, left)
        for k in range(i.budget_pointer[place], i.budget_pointer[place + 1]):
            budget = i.budget_of[k]
            for m in range(i.budget_start[budget], i.budget_start[budget + 1]):
                other = i.budget_who[m]
                if status[other] == FREE and not _fits(i, other, left):
                    status[other] = OUT
    return int(np.sum(status == FREE))


@compiled
def _round(i: Instance, node: Node, columns: Ints) -> int:
    """A choice near x: by falling x, then weight, every place that still fits. Its weight."""
    heaviest = float(max(1, int(np.max(i.weights))))
    order = np.empty(len(columns))
    for j in range(len(columns)):
        place = columns[j]
        order[j] = -np.floor(node.x[place] * 1000.0 + 0.5) - 0.5 * i.weights[place] / heaviest
    used = node.covered.copy()
    left = node.left.copy()
    node.nearby[:] = 0
    value = 0
    for place in range(len(i.weights)):
        if node.status[place] == TAKEN:
            node.nearby[place] = 1
            value += i.weights[place]
    for j in np.argsort(order, kind="mergesort"):
        place = columns[j]
        fits = _fits(i, place, left)
        for k in range(i.pointer[place], i.pointer[place + 1]):
            if used[i.row_of[k]]:
                fits = False
                break
        if fits:
            node.nearby[place] = 1
            value += i.weights[place]
            for k in range(i.pointer[place], i.pointer[place + 1]):
                used[i.row_of[k]] = True
            _spend(i, place, left)
    return value


@compiled
def _fraction(i: Instance, node: Node, columns: Ints) -> int:
    """A place to branch at: between 0 and 1, heavy, near the middle; −1 where x is integral."""
    found = -1
    most = -1.0
    for place in columns:
        if 1e-3 < node.x[place] < 1.0 - 1e-3:
            value = min(node.x[place], 1.0 - node.x[place]) * i.weights[place]
            if value > most:
                found = place
                most = value
    return found


@compiled
def _difference(i: Instance, node: Node, columns: Ints, marked: NDArray[np.int8]) -> int:
    """The heaviest place in which x and a choice differ; where they do not, the heaviest."""
    found = -1
    most = -1.0
    for place in columns:
        value = i.weights[place] * 2.0**-80
        if (node.x[place] > 0.5) != (marked[place] == 1):
            value = float(i.weights[place])
        if value > most:
            found = place
            most = value
    return found


@compiled
def _grown(values: Ints) -> Ints:
    longer = np.empty(2 * len(values), np.int64)
    longer[: len(values)] = values
    return longer


@compiled
def _emit(s: Stream, kind: int, prices: Ints, above: Ints) -> Stream:
    """Write a node, and before it what changes in prices."""
    changed = int(np.sum(prices != above))
    while (
        s.used[0] + 2 > len(s.nodes)
        or s.used[1] + 1 > len(s.changes)
        or s.used[2] + changed > len(s.lines)
    ):
        s = Stream(_grown(s.nodes), _grown(s.changes), _grown(s.lines), _grown(s.values), s.used)
    if changed:
        s.nodes[s.used[0]] = 1
        s.used[0] += 1
        s.changes[s.used[1]] = changed
        s.used[1] += 1
        for line in range(len(prices)):
            if prices[line] != above[line]:
                s.lines[s.used[2]] = line
                s.values[s.used[2]] = prices[line]
                s.used[2] += 1
    s.nodes[s.used[0]] = kind
    s.used[0] += 1
    return s


@compiled
def _start(i: Instance) -> Node:
    return Node(
        np.empty(len(i.weights), np.int8),
        np.empty(len(i.start) - 1, np.bool_),
        np.empty_like(i.balances),
        np.empty(len(i.weights)),
        np.zeros(len(i.weights), np.int8),
    )


@compiled
def _advance(path: Ints, depth: int) -> int:
    """Turn to the next branch's other side; the depth there, 0 where there is none."""
    while depth > 0 and path[depth - 1] < 0:
        depth -= 1
    if depth > 0:
        path[depth - 1] = -path[depth - 1]
    return depth


@compiled
def explore(  # noqa: PLR0915 - one walk; what it calls on is apart
    i: Instance, effort: int
) -> tuple[NDArray[np.int8], bool]:
    """The choice of the greatest weight found, and whether the search came to its end.

    Depth first, the side in which a place is taken before the other. It ends early when it has done
    so much work (`Cuts.found`), but looks at one node at least.
    """
    cuts = no_cuts(len(i.weights))
    node = _start(i)
    path = np.empty(DEEPEST + 1, np.int64)
    chosen = np.zeros(len(i.weights), np.int8)
    possible = np.ones(len(i.weights), np.bool_)
    # Of the first relaxation: its value, and what each place would take from it.
    top = np.inf
    reduced = np.zeros(len(i.weights))
    best = -1
    depth = 0
    number = -1
    while number < 0 or cuts.found[1] <= effort:
        number += 1
        cuts.found[1] += len(i.row_of)
        free = _arrive(i, node, path, depth, possible)
        columns = np.flatnonzero(node.status == FREE)
        weight = 0
        for place in range(len(i.weights)):
            if node.status[place] == TAKEN:
                weight += i.weights[place]
        branch = -1
        node.x[:] = 0.0
        value = float(weight)
        sound = True
        if free:
            lines = np.empty(len(i.start) + len(i.balances) + CUTS + free, np.int64)
            first = cuts.found[0]
            rounds = ROUNDS if number == 0 else ROUNDS_BELOW
            d, sound = relax(
                i, cuts, node, columns, lines, False, rounds, best + 0.5 - weight
            )  # fmt: skip
            value += d.objective[-1]
            branch = _fraction(i, node, columns)
            if number > 0:
                cuts.found[0] = first
            elif sound:
                thin_out(i, cuts, d, columns, lines)
                top = value
                for j in range(free):
                    if d.others[j] < free:
                        reduced[columns[d.others[j]]] = max(d.objective[j], 0.0)
        if not sound or value > best + 0.5:
            near = _round(i, node, columns)
            if near > best:
                best = near
                chosen[:] = node.nearby
                for place in range(len(i.weights)):
                    # With it no choice is better than the best one known.
                    possible[place] = top - reduced[place] > best + 0.5
            if branch < 0 and free and (not sound or value > best + 0.5):
                # Only a budget's last atoms stand between x and being the best.
                branch = _difference(i, node, columns, node.nearby)
            if branch >= 0 and (not sound or value > best + 0.5):
                if depth == DEEPEST:
                    return chosen, False
                path[depth] = branch + 1
                depth += 1
                continue
        depth = _advance(path, depth)
        if depth == 0:
            return chosen, True
    return chosen, False


@compiled
def certify(i: Instance, effort: int) -> tuple[Stream, Cuts]:
    """A tree that no choice outweighs the winners, as far as so much work leads."""
    cuts = no_cuts(len(i.weights))
    node = _start(i)
    path = np.empty(DEEPEST + 1, np.int64)
    possible = np.ones(len(i.weights), np.bool_)
    lines_in_all = len(i.start) - 1 + len(i.balances) + CUTS
    prices = np.empty((min(DEEPEST, len(i.weights)) + 2, lines_in_all), np.int64)
    prices[0] = 0
    stream = Stream(
        np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64),
        np.empty(64, np.int64), np.zeros(3, np.int64),
    )  # fmt: skip
    depth = 0
    number = 0
    while True:
        free = _arrive(i, node, path, depth, possible)
        # The first line holds what is above all nodes: no prices.
        mine = prices[depth + 1]
        mine[:] = prices[depth]
        branch = -1
        cuts.found[1] += len(i.row_of)
        if (number == 0 or cuts.found[1] <= effort) and excess(i, cuts, node, mine) > 0:
            if free == 0:
                mine[:] = 0  # all is decided: it weighs what it weighs
            else:
                columns = np.flatnonzero(node.status == FREE)
                lines = np.empty(lines_in_all + free + 1, np.int64)
                rounds = ROUNDS_BELOW if cuts.found[0] < MANY else 0
                d, _ = relax(
                    i, cuts, node, columns, lines, True, ROUNDS if number == 0 else rounds, -np.inf
                )
                read_prices(i, cuts, node, d, columns, lines, mine)
                if excess(i, cuts, node, mine) > 0 and depth < DEEPEST:
                    branch = _fraction(i, node, columns)
                    if branch < 0:
                        branch = _difference(i, node, columns, i.winners)
        number += 1
        stream = _emit(stream, branch + 2 if branch >= 0 else 0, mine, prices[depth])
        if branch >= 0:
            path[depth] = branch + 1
            depth += 1
            continue
        depth = _advance(path, depth)
        if depth == 0:
            return stream, cuts
