"""Finding the best choice of a component, and a tree that certifies it: arrays for the kernels of
auction.branching.
"""

from collections.abc import Collection, Sequence
from itertools import accumulate, chain, pairwise

import numpy as np

from walras.auction.branching import certify, explore
from walras.auction.components import SCORE_SHIFT, TIE_BITS, Component
from walras.auction.separation import Instance, transposed
from walras.auction.simplex import Ints
from walras.protocol.certificate import Tree

WEIGHT_BITS = 50
"""Leading bits of the weights that a search looks at, as many as floating point holds with some to
spare; fewer where a machine word would not hold the sum of all.
"""

WORD_BITS = 60
"""Of an amount's words, after the first."""


def instance(component: Component) -> Instance:
    """The component's arrays, made once; without winners."""
    count = len(component.places)
    start, who = _pointer(component.rows), _flat(component.rows)
    return Instance(
        np.array(_leading(component), np.int64),
        np.zeros(count, np.int8),
        *transposed(start, who, count),
        start,
        who,
        *_budgets(component),
    )


def _budgets(component: Component) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints, Ints]:
    """Those of the arrays that are of budgets."""
    budgets, count = component.budgets, len(component.places)
    none = np.zeros(0, np.int64)
    if not budgets:
        amounts = none.reshape(0, 1)
        first = np.zeros(count + 1, np.int64)
        return first, none, amounts, first[:1], none, none, amounts
    words = 1 + max([-(-budget.unit // WORD_BITS) for budget in budgets])
    # Ascending by place, then by budget.
    entries = sorted(
        (place, number, _words(spent, budget.unit, words))
        for number, budget in enumerate(budgets)
        for place, spent in budget.spends.items()
    )
    place_of = np.array([place for place, _, _ in entries])
    budget_of = np.array([number for _, number, _ in entries])
    where = np.argsort(budget_of, kind="stable")
    return (
        np.searchsorted(place_of, range(count + 1)),
        budget_of,
        np.array([amount for _, _, amount in entries]),
        np.searchsorted(budget_of[where], range(len(budgets) + 1)),
        place_of[where],
        where,
        np.array([_words(budget.balance, budget.unit, words) for budget in budgets]),
    )


def _leading(component: Component) -> list[int]:
    """The weights, cut short."""
    shift = _shift(component)
    if shift < TIE_BITS:
        return [weight >> shift for weight in component.weights]
    # Nothing is left of the ties, so nobody has to calculate them.
    more = SCORE_SHIFT - shift
    if more < 0:
        return [place.score >> -more for place in component.places]
    return [place.score << more for place in component.places]


def _shift(component: Component) -> int:
    """Bits by which the weights are cut short."""
    bits = min(WEIGHT_BITS, 61 - len(component.places).bit_length())
    heaviest = max([place.score for place in component.places])
    return SCORE_SHIFT + heaviest.bit_length() - bits


def _flat(lists: Sequence[Sequence[int]]) -> Ints:
    return np.array(list(chain.from_iterable(lists)), np.int64)


def _pointer(lists: Sequence[Sequence[object]]) -> Ints:
    return np.array([0, *accumulate(map(len, lists))], np.int64)


def _words(amount: int, unit: int, words: int) -> list[int]:
    """floor(amount / 2^unit), then the bits below in words of WORD_BITS, the highest first."""
    low = (amount & ((1 << unit) - 1)) << ((words - 1) * WORD_BITS - unit if unit else 0)
    mask = (1 << WORD_BITS) - 1
    return [
        amount >> unit,
        *(low >> (WORD_BITS * place) & mask for place in range(words - 2, -1, -1)),
    ]


def search(made: Instance, effort: int) -> tuple[tuple[int, ...], bool]:
    """The places of the greatest weight found, and whether the search came to its end."""
    chosen, finished = explore(made, effort)
    return tuple(np.flatnonzero(chosen).tolist()), bool(finished)


def prove(component: Component, made: Instance, winners: Collection[int], effort: int) -> Tree:
    """A tree that bounds what any choice weighs, tight at `winners` unless the effort runs out.

    Its stated bound is left at 0.
    """
    marked = np.zeros(len(made.weights), np.int8)
    marked[list(winners)] = 1
    stream, cuts = certify(made._replace(winners=marked), effort)
    ends = [int(used) for used in stream.used]
    changes = list(
        zip(stream.lines[: ends[2]].tolist(), stream.values[: ends[2]].tolist(), strict=True)
    )
    starts = [0, *np.cumsum(stream.changes[: ends[1]]).tolist()]
    pointer = cuts.pointer[: cuts.found[0] + 1].tolist()
    rows = cuts.rows[: pointer[-1]].tolist()
    return Tree(
        shift=_shift(component),
        cuts=tuple(tuple(rows[a:b]) for a, b in pairwise(pointer)),
        nodes=tuple(stream.nodes[: ends[0]].tolist()),
        prices=tuple(tuple(changes[a:b]) for a, b in pairwise(starts)),
        bound=0,
    )


def warm() -> None:
    """Compile the kernels, or load them: half a minute at the first start on a machine."""
    none = np.zeros(0, np.int64)
    line, ends = np.zeros(2, np.int64), np.array([0, 2])
    amounts = np.zeros((0, 1), np.int64)
    # Two places of one row.
    pointer, row_of = transposed(ends, np.array([0, 1]), 2)
    made = Instance(
        np.array([2, 1]), np.array([1, 0], np.int8), pointer, row_of, ends,
        np.array([0, 1]), np.zeros(3, np.int64), none, amounts, line[:1], none, none, amounts,
    )  # fmt: skip
    explore(made, 9)
    certify(made, 9)
