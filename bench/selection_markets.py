"""Bids for the selection benchmark: solver auctions, and the five distributions of CATS.

Own generators after the descriptions in Leyton-Brown, Pearson and Shoham, Towards a Universal Test
Suite for Combinatorial Auction Algorithms (2000), with that suite's parameters. A good is a group.
A bidder's bids exclude each other by one more good that all of them touch (its dummy good). Values
are rounded to millionths.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from itertools import count, pairwise
from math import dist
from random import Random

from walras.auction.candidates import ScoredBid
from walras.core.bids import Bid, Proposal

Balances = dict[tuple[bytes, str], int]
Bids = tuple[list[ScoredBid], Balances]


def _bid(
    name: str,
    score: int,
    groups: Iterable[str],
    solver: str,
    venues: Iterable[str] = (),
    spends: Mapping[tuple[bytes, str], int] | None = None,
) -> ScoredBid:
    identity = hashlib.sha256(name.encode()).digest()
    key = hashlib.sha256(solver.encode()).digest()
    return ScoredBid(
        id=identity,
        digest=identity,
        bid=Bid(1, identity, key, Proposal((), {})),
        score=score,
        fills=(),
        surplus=dict.fromkeys(groups, score),
        spends=spends or {},
        venues=dict.fromkeys(venues),  # type: ignore[arg-type]  # selection reads the names only
        leftover={},
    )


def solver_auction(bids: int, seed: int) -> Bids:
    """What solvers send: one bid for every fifth of a market, markets in clusters of four that
    trade the same assets; 60 % of the bids touch one market of a cluster, 28 % two, 12 % three;
    each market through one of two venues half of the time. A bid takes from an account of each
    market, and one in 20 from an account that is active in many.
    """
    r = Random(seed)
    markets = bids // 5
    value = [int(10 ** r.uniform(7, 11)) for _ in range(markets)]
    made = []
    for number in range(bids):
        first = r.randrange(markets)
        cluster = range(first // 4 * 4, min(markets, first // 4 * 4 + 4))
        size = min(len(cluster), r.choices([1, 2, 3], [60, 28, 12])[0])
        chosen = {first, *r.sample(cluster, size - 1)}
        score = int(sum(value[m] for m in chosen) * r.uniform(0.85, 1) * (1 + 0.04 * len(chosen)))
        spends = {(b"%d" % m, "asset"): r.randint(1, 9) * 10**18 for m in sorted(chosen)}
        if r.random() < 0.05:
            whale = r.randrange(max(1, bids // 100))
            spends[b"whale %d" % whale, "asset"] = r.randint(1, 9) * 10**20
        made.append(
            _bid(
                f"{seed} {number}",
                score,
                [f"market {m}" for m in sorted(chosen)],
                f"solver {r.randrange(12)}",
                [f"venue {m} {r.randrange(2)}" for m in sorted(chosen) if r.random() < 0.5],
                spends,
            )
        )
    balances: Balances = {}
    for bid in made:
        for account, spent in bid.spends.items():
            balances[account] = max(balances.get(account, 0), spent)
    return made, {account: int(most * r.uniform(1, 2)) for account, most in balances.items()}


def small_auction(seed: int) -> Bids:
    """Up to nine bids in each other's way, with many ties, and amounts and scores of any size."""
    r = Random(seed)
    base = r.choice([0, 0, 0, 1 << 40, (1 << 62) - 9, r.randrange(1 << 61)])
    scale = 1 << r.choice([0, 0, 40, 61, 130, 250])
    groups, venues, owners = r.randint(1, 6), r.randint(1, 4), r.randint(1, 3)
    made = []
    for number in range(r.randint(2, 9)):
        spends = {
            (b"%d" % r.randrange(owners), "asset"): r.randint(1, 5) * scale + r.randint(0, 2)
            for _ in range(r.randint(0, 2))
        }
        made.append(
            _bid(
                f"{seed} {number}",
                base + r.randint(1, r.choice([1, 2, 8])),
                [f"group {g}" for g in r.sample(range(groups), r.randint(1, min(3, groups)))],
                f"solver {r.randrange(3)}",
                [f"venue {v}" for v in r.sample(range(venues), r.randint(0, min(2, venues)))],
                spends,
            )
        )
    balances: Balances = {}
    for bid in made:
        for account, spent in bid.spends.items():
            balances[account] = max(balances.get(account, 0), spent)
    more = {
        account: r.choice([0, r.randint(0, 8) * scale + r.randint(0, 2)]) for account in balances
    }
    return made, {account: balances[account] + more[account] for account in balances}


def _exclusive(
    bids: int, seed: int, bidder: Callable[[Random], list[tuple[set[str], float]]]
) -> Bids:
    """Bidders one after another, until there are so many bids."""
    r = Random(seed)
    made: list[ScoredBid] = []
    for agent in count():
        wishes = [(goods, value) for goods, value in bidder(r) if value > 0]
        dummy = [f"bidder {agent}"] if len(wishes) > 1 else []
        for goods, value in wishes:
            if len(made) == bids:
                return made, {}
            name = f"{seed} {len(made)}"
            score = max(1, int(value * 10**6))
            made.append(_bid(name, score, [*sorted(goods), *dummy], f"bidder {agent}"))
    raise AssertionError


def _complements(
    bids: int, seed: int, near: Callable[[Random, int], list[dict[int, float]]], goods: int
) -> Bids:
    """Goods with common and private values, complements that are near each other, and substitutes:
    `regions` and `arbitrary` (§4.2, §4.3 of the paper).
    """
    setup = Random(-seed - 1)
    weight = near(setup, goods)
    common = [setup.uniform(1, 100) for _ in range(goods)]

    def bidder(r: Random) -> list[tuple[set[str], float]]:
        private = [r.uniform(-50, 50) for _ in range(goods)]
        liking = [p + 50 for p in private]

        def bundle(first: int, size: int) -> set[int]:
            chosen = {first}
            while len(chosen) < size if size else r.random() < 0.9:
                others = [g for g in range(goods) if g not in chosen]
                pull = [liking[g] * sum(weight[c].get(g, 0.0) for c in chosen) for g in others]
                if not sum(pull):
                    break
                chosen.add(r.choices(others, pull)[0])
                if len(chosen) == 24:
                    break
            return chosen

        def worth(chosen: set[int]) -> float:
            return sum(common[g] + private[g] for g in chosen) + len(chosen) ** 1.2

        main = bundle(r.choices(range(goods), liking)[0], 0)
        value = worth(main)
        wishes = [(main, value)]
        resale = 0.5 * sum(common[g] for g in main)
        substitutes = sorted(
            ((worth(b), sorted(b)) for b in (bundle(g, len(main)) for g in main)), reverse=True
        )
        for other, chosen in substitutes:
            fresh = set(chosen) not in [goods for goods, _ in wishes]
            affordable = 0 < other <= 1.5 * value and sum(common[g] for g in chosen) >= resale
            if fresh and affordable and len(wishes) < 5:
                wishes.append((set(chosen), other))
        return [({f"good {g}" for g in chosen}, v) for chosen, v in wishes]

    return _exclusive(bids, seed, bidder)


def regions(bids: int, seed: int) -> Bids:
    """Plots on a map: bundles of neighbours."""

    def near(r: Random, goods: int) -> list[dict[int, float]]:
        side = int(goods**0.5)
        weight: list[dict[int, float]] = [{} for _ in range(goods)]

        def join(a: int, b: int) -> None:
            weight[a][b] = weight[b][a] = 1.0

        for y in range(side):
            for x in range(side):
                here = y * side + x
                if x + 1 < side and r.random() > 0.1:
                    join(here, here + 1)
                if y + 1 < side and r.random() > 0.1:
                    join(here, here + side)
                if x + 1 < side and y + 1 < side and r.random() < 0.2:
                    join(here, here + side + 1)
        return weight

    return _complements(bids, seed, near, int((bids / 4) ** 0.5) ** 2)


def arbitrary(bids: int, seed: int) -> Bids:
    """Goods that go together in any way."""

    def near(r: Random, goods: int) -> list[dict[int, float]]:
        weight: list[dict[int, float]] = [{} for _ in range(goods)]
        for a in range(goods):
            for b in range(a):
                weight[a][b] = weight[b][a] = r.random()
        return weight

    return _complements(bids, seed, near, bids // 4)


def paths(bids: int, seed: int) -> Bids:
    """Routes between two cities over links that are goods."""
    setup = Random(-seed - 1)
    cities = [(setup.random(), setup.random()) for _ in range(max(8, bids // 10))]
    links: list[dict[int, float]] = [{} for _ in cities]
    for a, here in enumerate(cities):
        for b in sorted(range(len(cities)), key=lambda b: dist(here, cities[b]))[1:4]:
            links[a][b] = links[b][a] = dist(here, cities[b])

    def bidder(r: Random) -> list[tuple[set[str], float]]:
        start, end = r.sample(range(len(cities)), 2)
        offer = dist(cities[start], cities[end]) * r.uniform(1, 1.5)
        found: list[tuple[set[str], float]] = []
        heap = [(0.0, [start])]
        for _ in range(2000):
            if not heap or len(found) == 5:
                break
            length, route = heappop(heap)
            if route[-1] == end:
                goods = {f"link {min(a, b)} {max(a, b)}" for a, b in pairwise(route)}
                found.append((goods, offer - length))
                continue
            for city, step in links[route[-1]].items():
                rest = dist(cities[city], cities[end])
                if city not in route and length + step + rest < offer:
                    heappush(heap, (length + step, [*route, city]))
        return found

    return _exclusive(bids, seed, bidder)


def matching(bids: int, seed: int) -> Bids:
    """A slot to take off at one airport and a slot to land at another."""
    slots = max(20, bids // 12)
    places = [(-87.75, 41.98), (-77.03, 38.85), (-73.79, 40.65), (-73.87, 40.77)]
    longest = max(dist(a, b) for a in places for b in places)

    def bidder(r: Random) -> list[tuple[set[str], float]]:
        a, b = r.sample(range(4), 2)
        least = max(1, round(dist(places[a], places[b]) / longest * 10))
        start = r.randint(1, slots - least)
        worth = r.uniform(0.5, 1.5) * (5 + 5 * least / 10)
        wishes = []
        for take_off in range(max(1, start - 1), min(slots - least, start + 2) + 1):
            for land in range(take_off + least, min(slots, start + least + 2) + 1):
                late, slow = max(0, land - start - least), land - take_off - least
                value = worth * 0.75**late * 0.9**slow * r.uniform(0.95, 1.05)
                wishes.append(({f"{a} at {take_off}", f"{b} at {land}"}, value))
        return wishes

    return _exclusive(bids, seed, bidder)


def scheduling(bids: int, seed: int) -> Bids:
    """A machine for some time, by a deadline, or less well by a later one."""
    slots = max(20, bids // 8)

    def bidder(r: Random) -> list[tuple[set[str], float]]:
        length = r.randint(1, 10)
        deadline = r.randint(length, slots)
        worth = r.uniform(0.5, 1.5) * length**1.2
        wishes = []
        first, due = 0, deadline
        while True:
            value = worth * deadline / due
            for start in range(max(first, due - length - 6), due - length + 1):
                goods = {f"slot {t}" for t in range(start, start + length)}
                wishes.append((goods, value * r.uniform(0.999, 1.001)))
            if due == slots or r.random() > 0.7:
                return wishes
            first, due = due - length + 1, r.randint(due + 1, slots)

    return _exclusive(bids, seed, bidder)


CATS: Mapping[str, Callable[[int, int], Bids]] = {
    "arbitrary": arbitrary,
    "regions": regions,
    "paths": paths,
    "matching": matching,
    "scheduling": scheduling,
}
