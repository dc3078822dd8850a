"""Two opposite markets at one price: what both sides give is exchanged, and only the rest is split
over venues. The price is what the venues pay for the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from walras.sdk import OpenIntent, Problem, propose
from walras_solvers.baseline import Order, orders_of
from walras_solvers.router.markets import BPS, Cleared, checked, vector
from walras_solvers.router.split import Splitter, Terms

ROUNDS = 6
"""Of the fixed point between price, orders and the rest."""


@dataclass(frozen=True, slots=True)
class _Side:
    """An order with the prices it takes.

    Attributes:
        order: see there.
        base: atoms of the base asset that it gives; < 0: receives. 0: its amount is in the quote
            asset.
        quote: atoms of the quote asset, as `base`.
        least, most: of quote atoms per base atom; None: any.
    """

    order: Order
    base: int
    quote: int
    least: Fraction | None
    most: Fraction | None

    def takes(self, price: Fraction) -> bool:
        above = self.least is None or self.least <= price
        return above and (self.most is None or price <= self.most)


def clear_sides(
    problem: Problem, splitter: Splitter, members: Sequence[OpenIntent]
) -> Cleared | None:
    """The best bid found for the orders of two opposite groups of a single leg; None where there is
    none.
    """
    intent = members[0].intent
    base, quote = sorted((intent.legs[0].asset, intent.settlement_asset))
    sides = _sides(problem, members, base)
    reference = Fraction(problem.prices[base].amount, problem.prices[quote].amount)
    band = Fraction(problem.rules.collar_bps, BPS)
    best: Cleared | None = None
    tried: set[Fraction] = set()
    price = reference
    for _ in range(ROUNDS):
        if price in tried or splitter.late():
            break
        tried.add(price)
        chosen = [side for side in sides if side.takes(price)]
        if not chosen:
            break
        given = sum(side.base for side in chosen)
        paid = sum(side.quote for side in chosen)
        rest = given - paid / price
        after, split, sells = price, None, rest > 0
        if rest >= 1:
            split = splitter.sell(Terms(base, quote, problem.prices[quote].amount), int(rest))
        elif -rest * price >= 1:
            terms = Terms(quote, base, problem.prices[base].amount)
            split = splitter.sell(terms, int(-rest * price))
        if split is not None:
            after = Fraction(split.amount_out, split.amount_in)
            after = after if sells else 1 / after
        swapped = (0, 0)
        if split is not None:
            swapped = (-split.amount_in, split.amount_out)
            swapped = swapped if sells else swapped[::-1]
        executions = split.executions if split is not None else ()
        left = (given + swapped[0], paid + swapped[1])
        for one in _prices(after, (given, paid), left):
            integers = vector({base: one, quote: Fraction(1)})
            if not integers:
                continue
            fills = {side.order.id: side.order.units for side in chosen}
            made = propose(problem, fills, integers, executions)
            scored = checked(problem, made)
            if scored is not None and (best is None or scored.score > best.score):
                best = scored
        price = min(max(after, reference * (1 - band)), reference * (1 + band))
    return best


def _sides(problem: Problem, members: Sequence[OpenIntent], base: str) -> list[_Side]:
    groups: dict[str, list[OpenIntent]] = {}
    for found in members:
        groups.setdefault(found.intent.group, []).append(found)
    sides = []
    for group in sorted(groups):
        for order in orders_of(problem, groups[group]):
            leg = problem.intents[order.id].intent.legs[0]
            amount = -leg.quantity * order.units
            # The limit is settlement per unit: what a unit must bring, or may cost where below 0.
            rate = order.worst / -leg.quantity  # settlement atoms per atom of the leg
            sells = leg.quantity < 0
            if leg.asset == base:
                low, high = (rate, None) if sells else (None, rate)
                sides.append(_Side(order, amount, 0, low, high))
            elif rate > 0:
                low, high = (None, 1 / rate) if sells else (1 / rate, None)
                sides.append(_Side(order, 0, amount, low, high))
            else:
                sides.append(_Side(order, 0, amount, None, None))
    return sides


def _prices(price: Fraction, net: tuple[int, int], left: tuple[int, int]) -> Iterator[Fraction]:
    """The price, and those at which one of the two assets comes out even.

    Args:
        price: about the right one.
        net: base and quote atoms that the orders give by their fixed amounts.
        left: the same after the split.
    """
    yield price
    if net[0] and Fraction(left[1], net[0]) > 0:
        yield Fraction(left[1], net[0])
    if left[0] and Fraction(net[1], left[0]) > 0:
        yield Fraction(net[1], left[0])
