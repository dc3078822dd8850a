"""Routes through venues, with exact quotes.

A path is a chain of up to `max_hops` swaps that uses no venue twice. A venue pays more for more, so
among the ways to one asset after the same number of hops only the best need be followed; a few are
kept because the best may use up a venue that the rest of the path needs.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from walras.core.bids import Execution
from walras.core.errors import Reason, SwapError
from walras.market.inverse import least_input
from walras.market.kinds import AnyVenue
from walras.market.marginal import spot_price
from walras.protocol.problem import ATOMS_PER_PRICE

MAX_HOPS = 3
_KEPT = 3  # ways to one asset that are followed further
_SLACK = 1 + 1e-9  # by how much a float bound may err


@dataclass(frozen=True, slots=True)
class Hop:
    """One swap of a path, without its amounts."""

    venue: str
    asset_in: str
    asset_out: str


@dataclass(frozen=True, slots=True)
class Route:
    """A path for a certain input.

    Attributes:
        executions: in order, at least one; each takes all that the one before paid out.
        venues: the states of the touched venues afterwards.
        cost: of the executions, in score units.
    """

    executions: tuple[Execution, ...]
    venues: Mapping[str, AnyVenue]
    cost: int

    @property
    def path(self) -> tuple[Hop, ...]:
        """The route without its amounts."""
        return tuple(Hop(ex.venue, ex.asset_in, ex.asset_out) for ex in self.executions)

    @property
    def amount_in(self) -> int:
        """Atoms that go in."""
        return self.executions[0].amount_in

    @property
    def amount_out(self) -> int:
        """Atoms that come out."""
        return self.executions[-1].amount_out


def follow(venues: Mapping[str, AnyVenue], path: Sequence[Hop], amount_in: int) -> Route:
    """The route of `amount_in` atoms along `path`.

    Raises:
        SwapError: as `Venue.swap`, from the first hop that cannot be done.
    """
    executions: list[Execution] = []
    after: dict[str, AnyVenue] = {}
    cost = 0
    amount = amount_in
    for hop in path:
        venue = after.get(hop.venue) or venues[hop.venue]
        swap = venue.swap(hop.asset_in, amount, hop.asset_out)
        executions.append(
            Execution(hop.venue, hop.asset_in, amount, hop.asset_out, swap.amount_out)
        )
        after[hop.venue] = swap.after
        cost += venue.cost
        amount = swap.amount_out
    return Route(tuple(executions), after, cost)


def least_path_input(venues: Mapping[str, AnyVenue], path: Sequence[Hop], amount_out: int) -> int:
    """The least input along `path`, worked out backwards, that pays at least `amount_out` atoms.

    Raises:
        SwapError: SWAP_LIQUIDITY where no input does.
    """
    amount = amount_out
    for hop in reversed(path):
        amount = least_input(venues[hop.venue], hop.asset_in, hop.asset_out, amount)
    return amount


class Router:
    """The swaps that a set of venues offers, as a graph of assets."""

    def __init__(self, venues: Mapping[str, AnyVenue]) -> None:
        self.venues = venues
        self._edges: dict[str, list[tuple[str, str]]] = defaultdict(list)  # in → (out, venue)
        self._sources: dict[str, set[str]] = defaultdict(set)  # out → in
        self._spots: dict[tuple[str, str, str], float] = {}
        for venue in venues.values():
            for asset_in in venue.assets:
                for asset_out in venue.assets:
                    if asset_in != asset_out:
                        self._edges[asset_in].append((asset_out, venue.id))
                        self._sources[asset_out].add(asset_in)

    def after(self, changed: Mapping[str, AnyVenue]) -> "Router":
        """The same graph with some venues in other states."""
        router = Router.__new__(Router)
        router.venues = {**self.venues, **changed}
        router._edges, router._sources = self._edges, self._sources  # noqa: SLF001 - its own class
        router._spots = {  # noqa: SLF001 - its own class
            key: spot for key, spot in self._spots.items() if key[0] not in changed
        }
        return router

    def spot(self, venue: str, asset_in: str, asset_out: str) -> float:
        """`spot_price`, remembered."""
        key = (venue, asset_in, asset_out)
        found = self._spots.get(key)
        if found is None:
            found = self._spots[key] = spot_price(self.venues[venue], asset_in, asset_out)
        return found

    def best(
        self,
        asset_in: str,
        amount_in: int,
        asset_out: str,
        *,
        price: int = 0,
        max_hops: int = MAX_HOPS,
        avoid: Collection[str] = (),
    ) -> Route | None:
        """The route that brings the most for exactly `amount_in` atoms; None where there is none.

        Args:
            asset_in: what goes in.
            amount_in: atoms of it, ≥ 1.
            asset_out: what comes out.
            price: of `asset_out`, in score units per 10^18 atoms: the routes are compared net of
                the costs of their executions. At 0 only the output counts.
            max_hops: ≥ 1.
            avoid: venues that must not be used.
        """
        routes = self._search(asset_in, amount_in, asset_out, max_hops, avoid)
        return max(routes, key=lambda route: _worth(route, price), default=None)

    def best_for_output(
        self,
        asset_in: str,
        asset_out: str,
        amount_out: int,
        *,
        guess: int,
        price: int = 0,
        max_hops: int = MAX_HOPS,
        avoid: Collection[str] = (),
    ) -> Route | None:
        """A route that brings at least `amount_out` atoms for as little as can be found.

        The paths compared are those that are best for an input of `guess` atoms; each is priced
        exactly.

        Args:
            asset_in: what goes in.
            asset_out: what comes out.
            amount_out: atoms of it, ≥ 1.
            guess: about the input it takes, ≥ 1.
            price: of `asset_in`, in score units per 10^18 atoms, to compare inputs with costs.
            max_hops: ≥ 1.
            avoid: venues that must not be used.
        """
        routes: list[Route] = []
        for found in self._search(asset_in, guess, asset_out, max_hops, avoid):
            try:
                amount_in = least_path_input(self.venues, found.path, amount_out)
                routes.append(follow(self.venues, found.path, amount_in))
            except SwapError:
                continue  # this path cannot bring so much; others may
        if price:
            return min(
                routes,
                key=lambda r: r.amount_in * price // ATOMS_PER_PRICE + r.cost,
                default=None,
            )
        return min(routes, key=lambda r: r.amount_in, default=None)

    def _search(
        self,
        asset_in: str,
        amount_in: int,
        asset_out: str,
        max_hops: int,
        avoid: Collection[str],
    ) -> Iterator[Route]:
        """The best few routes of each length."""
        reach = self._reach(asset_out, max_hops)
        ways: dict[str, list[tuple[int, tuple[Execution, ...]]]] = {asset_in: [(amount_in, ())]}
        for hop in range(1, max_hops + 1):
            offers: dict[str, list[tuple[float, str, str, int, tuple[Execution, ...]]]]
            offers = defaultdict(list)
            for asset, heads in ways.items():
                for target, venue in self._edges.get(asset, ()):
                    if reach.get(target, max_hops) > max_hops - hop or venue in avoid:
                        continue
                    spot = self.spot(venue, asset, target)
                    for amount, steps in heads:
                        if spot > 0.0 and target != asset_in and not _visits(steps, target, venue):
                            offers[target].append((amount * spot, venue, asset, amount, steps))
            ways = {}
            for target, several in offers.items():
                kept = self._kept(target, several)
                if target == asset_out:
                    for _, steps in kept:
                        yield follow(
                            self.venues,
                            [Hop(ex.venue, ex.asset_in, ex.asset_out) for ex in steps],
                            amount_in,
                        )
                elif kept:
                    ways[target] = kept

    def _kept(
        self, target: str, offers: list[tuple[float, str, str, int, tuple[Execution, ...]]]
    ) -> list[tuple[int, tuple[Execution, ...]]]:
        """The best offers by exact quote; none is asked for that its spot price rules out."""
        offers.sort(key=lambda offer: (-offer[0], offer[1], offer[2]))
        kept: list[tuple[int, tuple[Execution, ...]]] = []
        for bound, venue, asset, amount, steps in offers:
            if len(kept) == _KEPT and bound * _SLACK < kept[-1][0]:
                break
            try:
                out = self.venues[venue].swap(asset, amount, target).amount_out
            except SwapError as error:
                if error.reason is Reason.SWAP_ASSETS:
                    raise
                continue  # too small or too large for this venue
            kept.append((out, (*steps, Execution(venue, asset, amount, target, out))))
            kept.sort(key=lambda way: -way[0])
            del kept[_KEPT:]
        return kept

    def _reach(self, asset_out: str, max_hops: int) -> dict[str, int]:
        """Asset → the fewest hops from it to `asset_out`, up to max_hops - 1."""
        reach = {asset_out: 0}
        border = {asset_out}
        for hop in range(1, max_hops):
            border = {a for b in border for a in self._sources.get(b, ())} - reach.keys()
            reach.update(dict.fromkeys(border, hop))
        return reach


def _visits(steps: Sequence[Execution], asset: str, venue: str) -> bool:
    return any(step.venue == venue or asset == step.asset_in for step in steps)


def _worth(route: Route, price: int) -> int:
    if not price:
        return route.amount_out
    return route.amount_out * price // ATOMS_PER_PRICE - route.cost
