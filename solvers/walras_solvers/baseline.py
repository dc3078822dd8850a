"""One bid per directed market, through the best single path: the reference every other bid is
measured by.

Everybody in a group trades at one price, what the path pays for the whole. The intents are taken
from the most willing on, as many as score most.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from walras.sdk import (
    Deadline,
    Description,
    Execution,
    OpenIntent,
    Problem,
    Proposal,
    Route,
    Router,
    SwapError,
    ceil_div,
    follow,
    least_fill,
    least_path_input,
    price_vector,
    propose,
    self_check,
    tradable,
)

_PREFIXES = 12  # how many sizes are tried at first
_ROUNDS = 6  # of the fixed point between what buyers pay and what a path takes


@dataclass(frozen=True, slots=True)
class Order:
    """An intent of a group, as far as its owner's balance goes.

    Attributes:
        id: of the intent.
        units: that may be filled.
        worst: settlement per unit that the limit allows.
        need: how dear it is to serve: the groups' orders are served in ascending order of it.
    """

    id: bytes
    units: int
    worst: Fraction
    need: Fraction


@dataclass(frozen=True, slots=True)
class GroupBid:
    """The best bid found that touches only `group`."""

    group: str
    proposal: Proposal
    score: int


class Baseline:
    """Best single paths of up to three hops, one market at a time."""

    def describe(self) -> Description:
        """Name and version."""
        return Description("baseline", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        """One proposal for every group that can be served at a profit."""
        for bid in group_bids(problem, deadline):
            yield bid.proposal


def group_bids(problem: Problem, deadline: Deadline) -> Iterator[GroupBid]:
    """The best bid for each group, in the groups' order, until the deadline."""
    if not problem.venues:
        return
    router = Router(problem.venues)
    groups: defaultdict[str, list[OpenIntent]] = defaultdict(list)
    for found in problem.intents.values():
        if tradable(problem, found):
            groups[found.intent.group].append(found)
    for group in sorted(groups):
        if deadline.passed:
            return
        bid = _group_bid(problem, router, group, groups[group])
        if bid is not None:
            yield bid


def _group_bid(
    problem: Problem, router: Router, group: str, members: Sequence[OpenIntent]
) -> GroupBid | None:
    orders = orders_of(problem, members)
    if not orders:
        return None
    single = len(members[0].intent.legs) == 1
    clear = _clear_pair if single else _clear_legs
    best: GroupBid | None = None
    peak = 0
    tried: set[int] = set()
    sizes = {ceil_div(len(orders) * i, _PREFIXES) for i in range(1, _PREFIXES + 1)}
    while sizes:
        for size in sorted(sizes - tried):
            tried.add(size)
            for proposal in clear(problem, router, orders[:size]):
                scored = self_check(problem, proposal)
                if scored is not None and (best is None or scored.score > best.score):
                    best = GroupBid(group, proposal, scored.score)
                    peak = size
        if best is None:
            break
        # Closing in on the peak: halfway to the sizes tried next to it.
        below = max((size for size in tried if size < peak), default=0)
        above = min((size for size in tried if size > peak), default=peak)
        sizes = {(below + peak) // 2, (above + peak + 1) // 2} - tried - {0}
    return best


def orders_of(problem: Problem, members: Sequence[OpenIntent]) -> list[Order]:
    """The group's intents, most willing first, each within what its owner has left."""
    orders = []
    for found in members:
        intent = found.intent
        worst = Fraction(intent.limit_at(problem.sealed_ms), intent.units)
        scale = sum(abs(leg.quantity) for leg in intent.legs)
        if len(intent.legs) == 1 and intent.legs[0].quantity > 0:
            need = -scale / worst  # received per atom paid; a buyer's limit is negative
        else:
            need = worst / scale
        orders.append(Order(found.id, found.remaining, worst, need))
    orders.sort(key=lambda order: (order.need, order.id))
    left = dict(problem.balances)
    kept = []
    for order in orders:
        found = problem.intents[order.id]
        intent = found.intent
        gives = {leg.asset: Fraction(-leg.quantity) for leg in intent.legs if leg.quantity < 0}
        if order.worst < 0:
            gives[intent.settlement_asset] = -order.worst
        units = order.units
        for asset, amount in gives.items():
            units = min(units, int(left.get((intent.owner, asset), 0) / amount))
        if units < least_fill(intent, found.remaining):
            continue
        for asset, amount in gives.items():
            left[intent.owner, asset] -= ceil_div(
                (amount * units).numerator, (amount * units).denominator
            )
        kept.append(Order(order.id, units, order.worst, order.need))
    return kept


def traded(problem: Problem, orders: Sequence[Order]) -> tuple[str, str, int, int]:
    """Of orders of one directed market: the assets given and received, and the atoms sold of the
    one and bought of the other.
    """
    first = problem.intents[orders[0].id].intent
    leg = first.legs[0]
    given, received = leg.asset, first.settlement_asset
    if leg.quantity > 0:
        given, received = received, given
    sold = bought = 0
    for order in orders:
        quantity = problem.intents[order.id].intent.legs[0].quantity
        if quantity < 0:
            sold -= quantity * order.units
        else:
            bought += quantity * order.units
    return given, received, sold, bought


def _clear_pair(problem: Problem, router: Router, orders: Sequence[Order]) -> Iterator[Proposal]:
    """Sells and buys of one directed market at one price: all they give goes through one path."""
    given, received, sold, bought = traded(problem, orders)
    route = _size_route(problem, router, given, received, sold, bought)
    if route is None:
        return
    # Price in atoms received per atom given. What the path pays must cover sellers and buyers, and
    # what sellers and buyers give must cover what the path takes.
    ceilings = []
    if sold:
        ceilings.append(Fraction(route.amount_out - bought, sold))
    if route.amount_in > sold:
        ceilings.append(Fraction(bought, route.amount_in - sold))
    prices = _vector({given: min(ceilings), received: Fraction(1)})
    if prices:
        fills = {order.id: order.units for order in orders}
        yield propose(problem, fills, prices, route.executions)


def _size_route(
    problem: Problem, router: Router, given: str, received: str, sold: int, bought: int
) -> Route | None:
    """The route for `sold` atoms and for what buyers of `bought` atoms pay at its price."""
    references = problem.prices[given].amount, problem.prices[received].amount
    estimate = bought * references[1] // references[0]
    price = references[1]
    if not sold:
        guess = max(1, estimate)
        return router.best_for_output(given, received, bought, guess=guess, price=references[0])
    route = router.best(given, sold + estimate, received, price=price)
    if route is None or not bought:
        return route
    path = route.path
    try:
        for _ in range(_ROUNDS):
            paid = ceil_div(bought * route.amount_in, route.amount_out)
            if sold + paid == route.amount_in:
                break
            route = follow(router.venues, path, sold + paid)
        if route.amount_out <= bought:
            route = follow(router.venues, path, least_path_input(router.venues, path, bought + 1))
    except SwapError:
        return None
    return route


def _clear_legs(problem: Problem, router: Router, orders: Sequence[Order]) -> Iterator[Proposal]:
    """A group of multi-leg intents: each leg by its own path to or from the settlement asset."""
    intents = [problem.intents[order.id].intent for order in orders]
    currency = intents[0].settlement_asset
    price = problem.prices[currency].amount
    totals: defaultdict[str, int] = defaultdict(int)
    for order, intent in zip(orders, intents, strict=True):
        for leg in intent.legs:
            totals[leg.asset] += leg.quantity * order.units
    executions: list[Execution] = []
    prices: dict[str, Fraction] = {currency: Fraction(1)}
    for asset, total in sorted(totals.items()):
        if total < 0:
            route = router.best(asset, -total, currency, price=price)
        else:
            guess = max(1, total * problem.prices[asset].amount // price)
            route = router.best_for_output(currency, asset, total, guess=guess, price=price)
        if route is None:
            return
        moved = route.amount_out if total < 0 else route.amount_in
        prices[asset] = Fraction(moved, abs(total))
        executions += route.executions
        router = router.after(route.venues)
    vector = _vector(prices)
    if not vector:
        return
    for asset, total in totals.items():
        if total > 0 and Fraction(vector[asset], vector[currency]) < prices[asset]:
            vector[asset] += 1  # rounded against those who receive it, as it is for those who give
    yield propose(problem, {order.id: order.units for order in orders}, vector, executions)


def _vector(prices: Mapping[str, Fraction]) -> dict[str, int]:
    """As `price_vector`; none where a price is not positive, or too small beside the others."""
    try:
        return price_vector(prices)
    except ValueError:
        return {}
