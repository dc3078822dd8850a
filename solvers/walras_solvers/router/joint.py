"""Markets that share venues, in one bid: each is split over what those before it left."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from walras.sdk import AnyVenue, OpenIntent, Problem, propose
from walras_solvers.router.markets import Cleared, checked, clear, vector
from walras_solvers.router.sides import clear_sides
from walras_solvers.router.split import Splitter

MOST = 24
"""Markets that one bid joins."""


@dataclass(frozen=True, slots=True)
class Market:
    """A group, or two opposite ones, with the best bid for it alone.

    Attributes:
        members: its intents.
        paths: group → score of its best bid along single paths, where it has one.
        solo: the best bid that is known.
        path: the best one along single paths, of one group.
    """

    members: Sequence[OpenIntent]
    paths: Mapping[str, int]
    solo: Cleared
    path: Cleared | None = None

    @property
    def groups(self) -> frozenset[str]:
        """The names of its groups."""
        return frozenset(found.intent.group for found in self.members)

    def clear(self, problem: Problem, splitter: Splitter) -> Cleared | None:
        """The best bid for it on venues in other states."""
        one = clear if len(self.groups) == 1 else clear_sides
        return one(problem, splitter, self.members)

    def fair(self, bid: Cleared) -> bool:
        """Whether the bid brings no group of it less than its best path."""
        return all(bid.surplus.get(group, 0) >= score for group, score in self.paths.items())


def opposite(problem: Problem, splitter: Splitter, markets: Sequence[Market]) -> list[Market]:
    """The markets, two opposite ones as one where that brings more than both alone."""
    left = {next(iter(m.groups)): m for m in markets}
    merged: list[Market] = []
    for group in sorted(left):
        other = ">".join(reversed(group.split(">")))
        if splitter.late() or group >= other or other not in left or group not in left:
            continue
        two = left[group], left[other]
        both = Market(
            (*two[0].members, *two[1].members), {**two[0].paths, **two[1].paths}, two[0].solo
        )
        made = both.clear(problem, splitter)
        apart = sum(bid.score for bid in beside([m.solo for m in two], set()))
        if made is not None and made.score > apart and both.fair(made):
            merged.append(replace(both, solo=made))
            del left[group], left[other]
    return [*merged, *left.values()]


def join(problem: Problem, splitter: Splitter, markets: Sequence[Market]) -> Cleared | None:
    """A bid for several markets; None where no two go together.

    One price vector serves all, so a market is only added if at most one of its assets has a price.
    A
    market that would get less than its best path brings is left out: others offer that path, and
        the
    bid would be dropped as unfair to it.
    """
    ranked = sorted(markets, key=lambda m: (-m.solo.score, sorted(m.groups)))[:MOST]
    # What the first one takes beyond its path can cost the others more than it brings.
    firsts = [bid for bid in (ranked[0].solo, ranked[0].path) if bid] if ranked else []
    found = [_joined(problem, splitter, first, ranked[1:]) for first in firsts]
    return max((bid for bid in found if bid), key=lambda bid: bid.score, default=None)


def _joined(
    problem: Problem, splitter: Splitter, joined: Cleared, others: Sequence[Market]
) -> Cleared | None:
    """The bid with those of the others that fit, each on what is left."""
    alone = joined
    states = _after(problem, joined)
    for market in others:
        if splitter.late():
            break
        assets = {a for found in market.members for a in found.intent.assets}
        if len(assets & joined.proposal.prices.keys()) > 1:
            continue
        left = replace(problem, venues={**problem.venues, **states})
        made = market.clear(left, splitter.after(states))
        both = _merged(problem, joined, made) if made is not None else None
        if both is not None and both.score > joined.score and market.fair(both):
            joined = both
            states = _after(problem, joined)
    return joined if joined is not alone else None


def send(markets: Sequence[Market], joined: Cleared | None) -> list[Cleared]:
    """The bids that together let the auction award the most, about.

    A market's own bid sets what a joint bid must bring to it. So of the markets in a joint bid that
    is worth more than all single bids that could win beside each other, only those bids are sent
    that the joint one is not below.
    """
    solos = [m.solo for m in markets]
    if joined is None:
        return solos
    apart = sum(bid.score for bid in beside(solos, set()))
    others = [m.solo for m in markets if not m.groups & joined.surplus.keys()]
    taken = {step.venue for step in joined.proposal.executions}
    if joined.score + sum(bid.score for bid in beside(others, taken)) <= apart:
        return [*solos, joined]
    fair = [
        bid
        for bid in solos
        if all(bid.score <= joined.surplus.get(g, bid.score) for g in bid.surplus)
    ]
    return [joined, *fair]


def beside(bids: Sequence[Cleared], taken: Collection[str]) -> list[Cleared]:
    """Bids, the best first, that touch no venue twice, nor those taken."""
    touched = set(taken)
    chosen = []
    for bid in sorted(bids, key=lambda bid: -bid.score):
        venues = {step.venue for step in bid.proposal.executions}
        if touched.isdisjoint(venues):
            touched |= venues
            chosen.append(bid)
    return chosen


def _merged(problem: Problem, first: Cleared, second: Cleared) -> Cleared | None:
    """Both in one bid, the second one's prices in the first one's unit."""
    a, b = first.proposal, second.proposal
    shared = sorted(a.prices.keys() & b.prices.keys())
    unit = Fraction(a.prices[shared[0]], b.prices[shared[0]]) if shared else Fraction(1)
    prices = {
        **{asset: price * unit for asset, price in b.prices.items()},
        **{asset: Fraction(price) for asset, price in a.prices.items()},
    }
    fills = {fill.intent_id: fill.units for one in (a, b) for fill in one.fills}
    integers = vector(prices)
    if not integers:
        return None
    return checked(problem, propose(problem, fills, integers, (*a.executions, *b.executions)))


def _after(problem: Problem, bid: Cleared) -> dict[str, AnyVenue]:
    states: dict[str, AnyVenue] = {}
    known: Mapping[str, AnyVenue] = problem.venues
    for step in bid.proposal.executions:
        venue = states.get(step.venue, known[step.venue])
        states[step.venue] = venue.swap(step.asset_in, step.amount_in, step.asset_out).after
    return states
