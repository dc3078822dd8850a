"""A sealed problem in parts that can be solved apart (protocol §4).

Assets are vertices; an intent ties together the assets that it trades, a venue those that it swaps.
What is not connected has nothing to do with each other and is split at no loss. What is connected
and too large is cut by market: its busiest assets, as a rule the one that everything is quoted in,
become hubs, which tie nothing together. Every piece keeps its hubs as assets, but some routes from
piece to piece are lost: the price of solving them side by side.

A part is a problem: a bid that is valid for it is valid for the whole and scores the same there, as
the whole has the same intents, balances, venues and prices, and more of each.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from walras.market.kinds import AnyVenue
from walras.protocol.problem import OpenIntent, Problem


@dataclass(frozen=True, slots=True)
class _Market:
    """Intents of the same assets in either direction, which are never cut apart."""

    assets: tuple[str, ...]
    intents: tuple[OpenIntent, ...]


@dataclass(slots=True)
class _Piece:
    """Markets that stay together, with the number of their intents and the venues they need."""

    markets: list[_Market] = field(default_factory=list)
    venues: list[AnyVenue] = field(default_factory=list)
    size: int = 0


def split(problem: Problem, part_intents: int) -> tuple[Problem, ...]:
    """The parts of `problem`, each of at most `part_intents` intents where that can be.

    With no more intents than that the problem is its only part. A market (all intents of the same
    assets) is in one part, however many they are, and so is a fairness group. Each intent and each
    venue is in exactly one part. A venue is where the assets that it ties together are; one between
    hubs alone is where most intents trade two of its assets, else where most of its assets are
    traded, else where they are traded most. Parts come by the smallest id of their intents.

    O(n log n) in intents, venues and their assets.

    Args:
        problem: sealed.
        part_intents: ≥ 1.
    """
    if len(problem.intents) <= part_intents:
        return (problem,)
    pieces, hub_venues = _cut(_markets(problem), list(problem.venues.values()), part_intents)
    packed = _pack(pieces, part_intents)
    _place(packed, hub_venues)
    held: dict[bytes, list[tuple[str, int]]] = {}
    for (owner, asset), amount in problem.balances.items():
        held.setdefault(owner, []).append((asset, amount))
    parts = [_part(problem, piece, held) for piece in packed]
    return tuple(sorted(parts, key=lambda part: next(iter(part.intents))))


def _markets(problem: Problem) -> list[_Market]:
    found: dict[tuple[str, ...], list[OpenIntent]] = {}
    for entry in problem.intents.values():
        found.setdefault(tuple(sorted(entry.intent.assets)), []).append(entry)
    return [_Market(assets, tuple(found[assets])) for assets in sorted(found)]


def _cut(
    markets: Sequence[_Market], venues: Sequence[AnyVenue], limit: int
) -> tuple[list[_Piece], list[AnyVenue]]:
    """Pieces of at most `limit` intents where that can be, and the venues that are in none.

    Assets are taken in, the least connected first, and each ties together what it has in common
    with those taken in before it. One that would tie together too much is a hub. So what is
    connected and small enough is never cut.
    """
    touching: dict[str, list[int]] = {}  # asset → its markets, then its venues
    degrees: Counter[str] = Counter()
    everything = [market.assets for market in markets] + [venue.assets for venue in venues]
    for number, assets in enumerate(everything):
        weight = len(markets[number].intents) if number < len(markets) else 1
        for asset in assets:
            touching.setdefault(asset, []).append(number)
            degrees[asset] += weight

    # A forest over markets and venues, whose roots know how many intents hang together.
    parent = list(range(len(everything)))
    sizes = [len(market.intents) for market in markets] + [0] * len(venues)

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    for asset in sorted(degrees, key=lambda name: (degrees[name], name)):
        roots = {root(number) for number in touching[asset]}
        traded = [sizes[one] for one in roots if sizes[one]]
        if len(traded) > 1 and sum(traded) > limit:
            continue
        top = min(roots)
        for one in roots:
            parent[one] = top
        sizes[top] = sum(traded)

    pieces: dict[int, _Piece] = {}
    for number, market in enumerate(markets):
        piece = pieces.setdefault(root(number), _Piece())
        piece.markets.append(market)
        piece.size += len(market.intents)
    left: list[AnyVenue] = []
    for number, venue in enumerate(venues, len(markets)):
        home = pieces.get(root(number))
        (left if home is None else home.venues).append(venue)
    return list(pieces.values()), left


def _pack(pieces: Sequence[_Piece], limit: int) -> list[_Piece]:
    """Small pieces together, in the order of their assets, so that those which share assets meet;
    less than twice as many parts as there must be.
    """
    packed: list[_Piece] = []
    for piece in sorted(pieces, key=lambda one: one.markets[0].assets):
        if not packed or packed[-1].size + piece.size > limit:
            packed.append(_Piece())
        part = packed[-1]
        part.markets += piece.markets
        part.venues += piece.venues
        part.size += piece.size
    return packed


def _place(parts: Sequence[_Piece], venues: Iterable[AnyVenue]) -> None:
    """Give each venue to the part that has most use for it; the first of equals."""
    pairs: dict[tuple[str, str], Counter[int]] = {}
    uses: dict[str, Counter[int]] = {}
    wanted = {asset for venue in venues for asset in venue.assets}
    for place, part in enumerate(parts):
        for market in part.markets:
            known = [asset for asset in market.assets if asset in wanted]
            for index, asset in enumerate(known):
                uses.setdefault(asset, Counter())[place] += len(market.intents)
                for other in known[index + 1 :]:
                    pairs.setdefault((asset, other), Counter())[place] += len(market.intents)
    # Venues of the same assets have the same home.
    homes: dict[tuple[str, ...], int] = {}
    for venue in venues:
        assets = tuple(sorted(venue.assets))
        if assets not in homes:
            homes[assets] = _home(assets, pairs, uses)
        parts[homes[assets]].venues.append(venue)


def _home(
    assets: Sequence[str],
    pairs: Mapping[tuple[str, str], Counter[int]],
    uses: Mapping[str, Counter[int]],
) -> int:
    direct: Counter[int] = Counter()
    known: Counter[int] = Counter()
    touching: Counter[int] = Counter()
    for index, asset in enumerate(assets):
        counts = uses.get(asset, Counter())
        touching.update(counts)
        known.update(counts.keys())
        for other in assets[index + 1 :]:
            direct.update(pairs.get((asset, other), {}))
    return min(
        touching,
        key=lambda place: (-direct[place], -known[place], -touching[place], place),
        default=0,
    )


def _part(
    problem: Problem, piece: _Piece, held: Mapping[bytes, Sequence[tuple[str, int]]]
) -> Problem:
    opened = sorted((one for market in piece.markets for one in market.intents), key=_id)
    traded = {asset for market in piece.markets for asset in market.assets}
    priced = traded.union(*(venue.assets for venue in piece.venues))
    owners = sorted({entry.intent.owner for entry in opened})
    return replace(
        problem,
        intents={entry.id: entry for entry in opened},
        balances={
            (owner, asset): amount
            for owner in owners
            for asset, amount in sorted(held.get(owner, ()))
            if asset in traded
        },
        venues={venue.id: venue for venue in sorted(piece.venues, key=_id)},
        prices={asset: problem.prices[asset] for asset in sorted(priced & problem.prices.keys())},
        references={},
    )


def _id(item: OpenIntent | AnyVenue) -> bytes | str:
    return item.id
