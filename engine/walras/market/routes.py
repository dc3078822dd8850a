"""Prices that venues show: paths to the numeraire that share no venue, weighted by depth.

Of each asset A the paths are found level by level, from the numeraire N outward:

    paths_0(N) = the empty path
    paths_h(A) = of all hops (venue, A → B) before a path of paths_{h-1}(B), the deepest one, then
                 the deepest that shares no venue with those taken, and so on, up to MAX_PATHS

A path's price is the product of its hops' marginal prices, an exact ratio. Its depth is that of
its shallowest hop: what a small move of the price pays there (`walras.market.depth`), of the asset
of which that is worth less. Worth is what others than venues say, so that a pool becomes shallower
whichever way it is pushed. The asset's price is the median of paths_3(A), each weighing as much as
it is deep: to move it, paths with half of the depth must be pushed, each at its own cost.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from operator import itemgetter

from walras.core.amounts import AMOUNT_LIMIT
from walras.market.depth import near_depth
from walras.market.kinds import AnyVenue
from walras.market.quote import quote_of

MAX_HOPS = 3
MAX_PATHS = 8

_ATOMS_PER_PRICE = 10**18
_ORDER = itemgetter(0, 1, 2)


@dataclass(frozen=True, slots=True)
class Hop:
    """A venue between two assets: an atom of `given` is worth gain / cost atoms of `taken`.

    `near_given` and `near_taken`, atoms ≥ 1, are what a small move of the price pays of either.
    """

    venue: str
    given: str
    taken: str
    gain: int
    cost: int
    near_given: int
    near_taken: int

    def depth(self, worth: Mapping[str, int]) -> int:
        """Score units, of the side that is worth less; 0 where nobody says what either is worth.

        Args:
            worth: asset → score units per 10^18 atoms.
        """
        sides = ((self.given, self.near_given), (self.taken, self.near_taken))
        known = [atoms * worth[asset] for asset, atoms in sides if asset in worth]
        return min(known, default=0) // _ATOMS_PER_PRICE


@dataclass(frozen=True, slots=True)
class Path:
    """From an asset to the numeraire: an atom is worth gain / cost atoms of the numeraire.

    Attributes:
        gain, cost: ≥ 1.
        depth: score units; -1 for the empty path, which has no hop to be pushed.
        venues, assets: along the path; one more asset than venues.
    """

    gain: int
    cost: int
    depth: int
    venues: tuple[str, ...]
    assets: tuple[str, ...]

    def behind(self, hop: Hop, depth: int) -> "Path":
        """The path, so deep, that takes `hop` first."""
        return Path(
            hop.gain * self.gain,
            hop.cost * self.cost,
            depth,
            (hop.venue, *self.venues),
            (hop.given, *self.assets),
        )


def hops_of(venue: AnyVenue) -> tuple[Hop, ...]:
    """Both ways between any two assets that the venue buys as well as sells.

    An atom is worth what lies midway between what the venue credits and what it charges for it.
    """
    quote = quote_of(venue)
    pays = near_depth(venue)
    hops = []
    for i, j in permutations(range(len(quote.bids)), 2):
        if quote.bids[i] and quote.asks[i] and quote.bids[j] and quote.asks[j]:
            gain, cost = quote.bids[i] + quote.asks[i], quote.bids[j] + quote.asks[j]
            if pays[i] and pays[j]:
                given, taken = quote.assets[i], quote.assets[j]
                hops.append(Hop(venue.id, given, taken, gain, cost, pays[i], pays[j]))
    return tuple(hops)


def independent_paths(
    hops: Iterable[Hop], numeraire: str, wanted: Iterable[str], worth: Mapping[str, int]
) -> dict[str, tuple[Path, ...]]:
    """Asset → its paths to the numeraire, deepest first; assets without one are left out.

    O(hops · MAX_PATHS) paths are looked at, at each level.

    Args:
        hops: of all venues, in any order.
        numeraire: an asset.
        wanted: of these assets.
        worth: asset → score units per 10^18 atoms, of the numeraire at least.
    """
    leaving: defaultdict[str, list[tuple[Hop, int]]] = defaultdict(list)
    for hop in hops:
        if hop.given != numeraire and (depth := hop.depth(worth)):
            leaving[hop.given].append((hop, depth))
    start: dict[str, tuple[Path, ...]] = {numeraire: (Path(1, 1, -1, (), (numeraire,)),)}
    known = start
    for level in range(1, MAX_HOPS + 1):
        assets = leaving.keys() & set(wanted) if level == MAX_HOPS else leaving.keys()
        found = {asset: _disjoint(leaving[asset], known) for asset in assets}
        known = {asset: paths for asset, paths in found.items() if paths} | start
    return {asset: known[asset] for asset in sorted(known) if asset != numeraire}


def venue_prices(
    hops: Iterable[Hop],
    numeraire: str,
    wanted: Iterable[str],
    worth: Mapping[str, int],
    least: int,
) -> dict[str, int]:
    """Asset → score units per 10^18 atoms, ≥ 1 and below 2^255, floored.

    Args:
        hops: of all venues, in any order.
        numeraire: an asset, which has no price of its own here.
        wanted: of these assets.
        worth: asset → score units per 10^18 atoms, as others than venues say; of the numeraire
            at least.
        least: shallower paths do not count; score units.
    """
    prices = {}
    for asset, known in independent_paths(hops, numeraire, wanted, worth).items():
        deep = [path for path in known if path.depth >= least]
        shown = sorted((p.gain * worth[numeraire] // p.cost, p.depth) for p in deep)
        if shown:
            price = weighted_median(shown)
            if 1 <= price < AMOUNT_LIMIT:
                prices[asset] = price
    return prices


def weighted_median(weighed: Sequence[tuple[int, int]]) -> int:
    """The least value that, with all below it, has half of the weight; (value, weight ≥ 1),
    ascending, at least one.
    """
    total, below = sum(weight for _, weight in weighed), 0
    for value, weight in weighed:
        below += weight
        if 2 * below >= total:
            return value
    raise AssertionError  # the last one has all of it


def _disjoint(
    leaving: Iterable[tuple[Hop, int]], known: Mapping[str, Sequence[Path]]
) -> tuple[Path, ...]:
    """Deepest first; of equals by venues, then assets."""
    candidates = sorted(
        (
            (
                -(depth if path.depth < 0 else min(depth, path.depth)),
                (hop.venue, *path.venues),
                path.assets,
                hop,
                path,
            )
            for hop, depth in leaving
            for path in known.get(hop.taken, ())
            if hop.venue not in path.venues and hop.given not in path.assets
        ),
        key=_ORDER,
    )
    taken: list[Path] = []
    used: set[str] = set()
    for minus_depth, venues, _, hop, path in candidates:
        if used.isdisjoint(venues):
            taken.append(path.behind(hop, -minus_depth))
            used.update(venues)
            if len(taken) == MAX_PATHS:
                break
    return tuple(taken)
