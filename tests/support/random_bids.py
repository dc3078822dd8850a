"""Valid bids that no solver would send: random fills, prices, sizes, and trips there and back."""

import random
from dataclasses import replace

from walras.auction.candidates import ScoredBid
from walras.core.errors import SwapError
from walras.protocol.problem import OpenIntent, Problem
from walras.sdk import Execution, Hop, Proposal, Router, follow, price_vector, propose, self_check


def random_bids(made: Problem, rng: random.Random, count: int) -> list[ScoredBid]:
    """What the auction would take of `count` tries; each has an id of its own."""
    if not made.intents:
        return []
    drawn = []
    for _ in range(count):
        drawn += [one for one in (_routed(made, rng), _crossed(made, rng)) if one is not None]
    drawn += [_wandering(made, rng, one) for one in drawn]
    scored = [self_check(made, one) for one in drawn]
    return [
        replace(one, id=number.to_bytes(32, "big"))
        for number, one in enumerate(scored, 1)
        if one is not None
    ]


def _routed(made: Problem, rng: random.Random) -> Proposal | None:
    """A fill of an intent of one leg through venues, at the route's price or near it."""
    singles = [one for one in made.intents.values() if len(one.intent.legs) == 1]
    if not singles:
        return None
    one = rng.choice(singles)
    units = _units(one, rng)
    [leg] = one.intent.legs
    give, take = leg.asset, one.intent.settlement_asset
    amount = abs(leg.quantity) * units
    if leg.quantity > 0:
        give, take = take, give
        amount = amount * made.prices[take].amount // made.prices[give].amount
        amount = int(amount * rng.uniform(1, 1.1)) + 1
    route = Router(made.venues).best(give, amount, take)
    if route is None or amount >= 1 << 250:
        return None
    paid = route.amount_out if leg.quantity < 0 else min(route.amount_out, leg.quantity * units)
    worse = rng.choice((100, 100, rng.randint(100, 105)))
    prices = {give: 100 * paid, take: worse * amount}
    return propose(made, {one.id: units}, prices, route.executions)


def _crossed(made: Problem, rng: random.Random) -> Proposal:
    """Two or three intents against each other."""
    chosen = rng.sample(list(made.intents.values()), min(len(made.intents), rng.randint(2, 3)))
    assets = {asset for one in chosen for asset in one.intent.assets}
    prices = {a: made.prices[a].amount * rng.lognormvariate(0, 0.03) for a in assets}
    fills = {one.id: _units(one, rng) for one in chosen}
    return propose(made, fills, price_vector(prices))


def _units(one: OpenIntent, rng: random.Random) -> int:
    return max(1, one.remaining * rng.choice((100, rng.randint(1, 100))) // 100)


def _wandering(made: Problem, rng: random.Random, bid: Proposal) -> Proposal:
    """The same fills after a trip there and back through a venue, in amounts of any size."""
    if not made.venues:
        return bid
    venue = rng.choice(list(made.venues.values()))
    give, take = rng.sample(venue.assets, 2)
    amount = int(10 ** rng.uniform(0, 30))
    try:
        there = follow(made.venues, [Hop(venue.id, give, take)], amount)
        states = {**made.venues, **there.venues}
        back = follow(states, [Hop(venue.id, take, give)], there.amount_out)
        states |= back.venues
        again = []
        for step in bid.executions:
            swap = states[step.venue].swap(step.asset_in, step.amount_in, step.asset_out)
            states[step.venue] = swap.after
            again.append(replace(step, amount_out=swap.amount_out))
    except SwapError:
        return bid
    executions: list[Execution] = [*there.executions, *back.executions, *again]
    return replace(bid, executions=tuple(executions))
