"""Selection (protocol §6, steps 2 and 3): the best compatible set of bids; of several, which.

Weighted set packing with budgets. Over x_b ∈ {0, 1}, x_b = 1 where bid b wins,

    maximise    Σ score_b · x_b
    subject to  Σ x_b ≤ 1                          over the bids touching r, r a group or a venue
                Σ spends_b[a] · x_b ≤ balance[a]   for each owner's account a

and among the optima first the greatest Σ tie_b · x_b, then the lexicographically smallest sorted
ids. That an intent stands in at most one winner needs no constraint: an intent is of one group. The
result is one certain set, whatever the order of the bids and whoever computes it.

Bids that share nothing are solved apart.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from operator import attrgetter

from walras.auction.candidates import ScoredBid
from walras.auction.packing import SAFE_BITS, Best, Budget, Choice, Cover, Packing, Weights

Account = tuple[bytes, str]
Balances = Mapping[Account, int]

EFFORT = 10.0
"""Work allowed for all parts, in CP-SAT's deterministic seconds: the same on every machine."""

LEAST_EFFORT = 0.1
"""Work allowed for any part, however small a share of the bids it has."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bids of one connected component and the best of them.

    Attributes:
        bids: by ascending id.
        winners: by ascending id.
        total: the winners' scores, summed.
        bound: no compatible set scores more; equal to `total` where that is proven to be the best.
        settled: score and ties are proven, so that this is the set that the rules ask for.
    """

    bids: tuple[ScoredBid, ...]
    winners: tuple[ScoredBid, ...]
    total: int
    bound: int
    settled: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """The winners of an auction.

    Attributes:
        winners: by ascending id.
        total: the winners' scores, summed: an integer of any size.
        bound: no compatible set scores more; equal to `total` unless the effort ran out.
        settled: as in `Part`, for all parts.
        parts: by ascending id of their first bid.
    """

    winners: tuple[ScoredBid, ...]
    total: int
    bound: int
    settled: bool
    parts: tuple[Part, ...]


def select(
    bids: Iterable[ScoredBid], balances: Balances, seed: bytes, *, effort: float = EFFORT
) -> Selection:
    """The winning bids.

    The parts may be decided one by one. Scores and ties are sums over parts. So, in effect, is the
    order of ids: scores are positive, so no optimal set of a part contains another; of two optimal
    sets, sorted, one therefore has the smaller id at the first place where they differ, and still
    has it there when the same ids are merged into both.

    Args:
        bids: that fairness kept, in any order, with distinct ids; each keeps the rules by itself.
        balances: (owner, asset) → available atoms; 0 where it is missing.
        seed: makes ties fair; fixed only once all bids are in.
        effort: see `EFFORT`. Where it ends first, the best set found stands, and is not `settled`.
    """
    components = _components(bids, balances)
    parts = tuple(
        _solve(part, balances, seed, share)
        for part, share in zip(components, _shares(components, effort), strict=True)
    )
    return Selection(
        winners=tuple(sorted((w for part in parts for w in part.winners), key=attrgetter("id"))),
        total=sum(part.total for part in parts),
        bound=sum(part.bound for part in parts),
        settled=all(part.settled for part in parts),
        parts=parts,
    )


def best_total(bids: Iterable[ScoredBid], balances: Balances, *, effort: float = EFFORT) -> int:
    """The total that `select` would reach, without settling ties."""
    parts = _components(bids, balances)
    shares = _shares(parts, effort)
    return sum(
        _solve(part, balances, None, share).total for part, share in zip(parts, shares, strict=True)
    )


def _shares(parts: Sequence[Sequence[ScoredBid]], effort: float) -> list[float]:
    """The parts' shares of the work, by how many bids they have: nobody can buy more of it."""
    count = sum(map(len, parts))
    return [max(LEAST_EFFORT, effort * len(part) / count) for part in parts]


def tie(seed: bytes, bid_id: bytes) -> int:
    """The first 32 bits of SHA-256(seed ‖ bid id), as a number."""
    return int.from_bytes(hashlib.sha256(seed + bid_id).digest()[:4], "big")


def _touches(bid: ScoredBid) -> list[tuple[str, str]]:
    """What at most one winner may touch."""
    return [("group", name) for name in bid.surplus] + [("venue", name) for name in bid.venues]


def _contested(bids: Iterable[ScoredBid], balances: Balances) -> set[Account]:
    """The accounts that compatible bids might overspend.

    Winners have no group in common, so no first group either: together they ask an account at most
    for the greatest spend of each first group, summed.
    """
    most: defaultdict[Account, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for bid in bids:
        first = min(bid.surplus)
        for account, spent in bid.spends.items():
            most[account][first] = max(spent, most[account][first])
    return {
        account
        for account, by_group in most.items()
        if sum(by_group.values()) > balances.get(account, 0)
    }


def _components(bids: Iterable[ScoredBid], balances: Balances) -> list[tuple[ScoredBid, ...]]:
    """The bids by connected component: those linked by a group, a venue or a contested account."""
    ordered = sorted(bids, key=attrgetter("id"))
    contested = _contested(ordered, balances)
    parent = list(range(len(ordered)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    seen: dict[object, int] = {}
    for i, bid in enumerate(ordered):
        for link in (*_touches(bid), *(contested & bid.spends.keys())):
            other = root(seen.setdefault(link, i))
            parent[root(i)] = other
    parts: defaultdict[int, list[ScoredBid]] = defaultdict(list)
    for i, bid in enumerate(ordered):
        parts[root(i)].append(bid)
    return [tuple(part) for part in parts.values()]


def _undominated(
    bids: Iterable[ScoredBid], contested: set[Account], ties: Mapping[bytes, int]
) -> list[ScoredBid]:
    """Of the bids that use the very same resources the best: it can always take another's place."""
    best: dict[object, ScoredBid] = {}
    for bid in sorted(bids, key=lambda bid: (-bid.score, -ties[bid.id], bid.id)):
        spends = frozenset(item for item in bid.spends.items() if item[0] in contested)
        best.setdefault((frozenset(_touches(bid)), spends), bid)
    return sorted(best.values(), key=attrgetter("id"))


def _solve(
    part: tuple[ScoredBid, ...], balances: Balances, seed: bytes | None, effort: float
) -> Part:
    """The best of one component; without a seed, ties are left open."""
    contested = _contested(part, balances)
    ties = {bid.id: 0 if seed is None else tie(seed, bid.id) for bid in part}
    bids = _undominated(part, contested, ties)
    if len(bids) == 1:
        return Part(part, tuple(bids), bids[0].score, bids[0].score, settled=True)
    budgets = {account: balances.get(account, 0) for account in sorted(contested)}
    packing = Packing(len(bids), _covers(bids), _budgets(bids, budgets), effort)
    scores = [bid.score for bid in bids]
    best = packing.best(scores, start=_greedy(bids, budgets))
    chosen, settled = best.chosen, False
    if seed is not None and best.proven:
        rest = chain([[ties[bid.id] for bid in bids]], _by_id(len(bids)))
        chosen, settled = _settle(packing, best, scores, rest)
    return Part(part, tuple(compress(bids, chosen)), best.value, best.bound, settled)


def _covers(bids: Sequence[ScoredBid]) -> list[Cover]:
    touching: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for i, bid in enumerate(bids):
        for resource in _touches(bid):
            touching[resource].append(i)
    return [Cover(places) for places in touching.values() if len(places) > 1]


def _budgets(bids: Sequence[ScoredBid], balances: Balances) -> list[Budget]:
    return [
        Budget({i: bid.spends[a] for i, bid in enumerate(bids) if a in bid.spends}, balance)
        for a, balance in balances.items()
    ]


def _settle(
    packing: Packing, best: Best, weights: Weights, rest: Iterable[Weights]
) -> tuple[Choice, bool]:
    """The choice that is best by `weights`, then by each of the rest; and whether it is proven.

    Scores are positive, so no optimal set contains another: a rival misses one of the winners. It
    is sought by the same objective, which prunes far better than "at least as good" would.
    """
    held: list[tuple[Weights, int]] = []
    for following in rest:
        rival = packing.best(weights, held=held, beside=best.chosen)
        if rival.value < best.value:
            return best.chosen, rival.bound < best.value
        held.append((weights, best.value))
        weights = following
        best = packing.best(weights, held=held, start=best.chosen)
        if not best.proven:
            return best.chosen, False
    return best.chosen, True


def _by_id(count: int) -> Iterator[Weights]:
    """Objectives that prefer the smaller sorted ids: each bid outweighs all with greater ids."""
    for start in range(0, count, SAFE_BITS):
        block = range(start, start + SAFE_BITS)
        yield [1 << (block[-1] - i) if i in block else 0 for i in range(count)]


def _greedy(bids: Sequence[ScoredBid], budgets: Mapping[Account, int]) -> Choice:
    """A start for the search: by falling score, every bid that still fits."""
    taken: set[tuple[str, str]] = set()
    left = dict(budgets)
    chosen = [False] * len(bids)
    for i in sorted(range(len(bids)), key=lambda i: (-bids[i].score, bids[i].id)):
        touches = _touches(bids[i])
        spends = {account: s for account, s in bids[i].spends.items() if account in left}
        if taken.isdisjoint(touches) and all(s <= left[account] for account, s in spends.items()):
            chosen[i] = True
            taken.update(touches)
            for account, spent in spends.items():
                left[account] -= spent
    return chosen
