"""One directed market at a time: everybody in it at one price, what they give split over all
venues.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from walras.sdk import (
    Execution,
    OpenIntent,
    Problem,
    Proposal,
    ceil_div,
    judged,
    least_fill,
    price_vector,
    propose,
    self_check,
)
from walras_solvers.baseline import Order, orders_of, traded
from walras_solvers.router.execute import Split
from walras_solvers.router.split import Splitter, Terms

SIZES = 4
"""How many numbers of orders are tried at first."""

PARTS = 5
"""How often the last order's part is halved."""

ROUNDS = 3
"""Of the fixed point between what buyers pay and what a split takes."""

BPS = 10_000


@dataclass(frozen=True, slots=True)
class Cleared:
    """A valid bid.

    Attributes:
        proposal, score: see there.
        surplus: group → score units.
    """

    proposal: Proposal
    score: int
    surplus: dict[str, int]


def checked(problem: Problem, proposal: Proposal) -> Cleared | None:
    """The proposal with what it scores; None where the auction would reject it."""
    if self_check(problem, proposal) is None:
        return None
    scored = judged(problem, proposal)
    return Cleared(proposal, scored.score, dict(scored.surplus))


def clear(problem: Problem, splitter: Splitter, members: Sequence[OpenIntent]) -> Cleared | None:
    """The best bid found for the orders of one group; None where there is none."""
    orders = orders_of(problem, members)
    if not orders:
        return None
    search = _Search(problem, splitter, len(members[0].intent.legs) == 1)
    sizes = {ceil_div(len(orders) * i, SIZES) for i in range(1, SIZES + 1)}
    while sizes and not splitter.late():
        for size in sorted(sizes - search.tried):
            search.attempt(orders[:size], size)
        if search.best is None:
            break
        # Closing in on the peak: halfway to the sizes tried next to it.
        peak = search.peak
        below = max((size for size in search.tried if size < peak), default=0)
        above = min((size for size in search.tried if size > peak), default=peak)
        sizes = {(below + peak) // 2, (above + peak + 1) // 2} - search.tried - {0}
    _part_of_last(problem, search, orders)
    return search.best


def _part_of_last(problem: Problem, search: "_Search", orders: Sequence[Order]) -> None:
    """A part of the order that was the first to be left out."""
    size = search.peak
    if size == len(orders):
        return
    found = problem.intents[orders[size].id]
    least = least_fill(found.intent, found.remaining)
    low, high = least, orders[size].units
    for _ in range(PARTS if search.best is not None else 2 * PARTS):
        middle = (low + high) // 2
        if high - low < 2 or search.splitter.late():
            return
        part = replace(orders[size], units=middle)
        if search.attempt([*orders[:size], part], size):
            low = middle
        else:
            high = middle


class _Search:
    """The best attempt so far."""

    def __init__(self, problem: Problem, splitter: Splitter, single: bool) -> None:
        self.problem = problem
        self.splitter = splitter
        self.best: Cleared | None = None
        self.peak = 0
        self.tried: set[int] = set()
        self._clear = _pair if single else _legs

    def attempt(self, orders: Sequence[Order], size: int) -> bool:
        """Whether these orders together are better than what was tried before."""
        self.tried.add(size)
        better = False
        for proposal in self._clear(self.problem, self.splitter, orders):
            made = checked(self.problem, proposal)
            if made is not None and (self.best is None or made.score > self.best.score):
                self.best, self.peak, better = made, size, True
        return better


def _pair(problem: Problem, splitter: Splitter, orders: Sequence[Order]) -> Iterator[Proposal]:
    """Sells and buys of one directed market at one price."""
    given, received, sold, bought = traded(problem, orders)
    split = _sized(problem, splitter, given, received, sold, bought)
    if split is None:
        return
    # Atoms received per atom given. What the split pays must cover sellers and buyers; what sellers
    # and buyers give, what it takes; and nobody may receive more than the collar allows.
    references = problem.prices[given].amount, problem.prices[received].amount
    ceilings = [Fraction((BPS + problem.rules.collar_bps) * references[0], BPS * references[1])]
    if sold:
        ceilings.append(Fraction(split.amount_out - bought, sold))
    if split.amount_in > sold:
        ceilings.append(Fraction(bought, split.amount_in - sold))
    prices = vector({given: min(ceilings), received: Fraction(1)})
    if prices:
        yield propose(problem, {o.id: o.units for o in orders}, prices, split.executions)


def _sized(
    problem: Problem, splitter: Splitter, given: str, received: str, sold: int, bought: int
) -> Split | None:
    """The split of `sold` atoms and of what buyers of `bought` atoms pay at its price."""
    worths = problem.prices[given].amount, problem.prices[received].amount
    estimate = max(1, bought * worths[1] // worths[0])
    if not sold:
        return splitter.buy(Terms(given, received, worths[0]), bought, estimate)
    terms = Terms(given, received, worths[1])
    amount = sold + (estimate if bought else 0)
    split = None
    for _ in range(ROUNDS if bought else 1):
        split = splitter.sell(terms, amount)
        if split is None:
            return None
        paid = ceil_div(bought * split.amount_in, split.amount_out)
        if sold + paid == amount:
            break
        amount = sold + paid
    return split


def _legs(problem: Problem, splitter: Splitter, orders: Sequence[Order]) -> Iterator[Proposal]:
    """Intents of several legs: each leg's total to or from the settlement asset, one after
    another.
    """
    intents = [problem.intents[order.id].intent for order in orders]
    currency = intents[0].settlement_asset
    worth = problem.prices[currency].amount
    totals: defaultdict[str, int] = defaultdict(int)
    for order, intent in zip(orders, intents, strict=True):
        for leg in intent.legs:
            totals[leg.asset] += leg.quantity * order.units
    executions: list[Execution] = []
    prices: dict[str, Fraction] = {currency: Fraction(1)}
    for asset, total in sorted(totals.items()):
        if total < 0:
            split = splitter.sell(Terms(asset, currency, worth), -total)
        else:
            guess = max(1, total * problem.prices[asset].amount // worth)
            split = splitter.buy(Terms(currency, asset, worth), total, guess)
        if split is None:
            return
        prices[asset] = Fraction(split.amount_out if total < 0 else split.amount_in, abs(total))
        executions += split.executions
        splitter = splitter.after(split.venues)
    integers = vector(prices)
    if not integers:
        return
    for asset, total in totals.items():
        if total > 0 and Fraction(integers[asset], integers[currency]) < prices[asset]:
            integers[asset] += 1  # rounded against who receives it, as it is for those who give
    yield propose(problem, {order.id: order.units for order in orders}, integers, executions)


def vector(prices: Mapping[str, Fraction]) -> dict[str, int]:
    """As `price_vector`; none where a price is not positive, or too small beside the others."""
    try:
        return price_vector(prices)
    except ValueError:
        return {}
