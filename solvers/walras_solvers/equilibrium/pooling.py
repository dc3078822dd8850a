"""Pools as agents in the search for prices, and as stretches of concave curves for the programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from walras.sdk import AnyVenue, SwapError
from walras_solvers.equilibrium.kernels import Agent, Floats, add_even
from walras_solvers.equilibrium.market import Links
from walras_solvers.equilibrium.mend import Flow
from walras_solvers.pools import Liquidity, laplacian, make_liquidity, sweep, trades

ALONG = (0.005, 0.02, 0.06, 0.15, 0.3, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2, 3.0)
"""Where a pool is asked for quotes from nothing on, in parts of its flow."""

KINK = 1e-3
"""Over how much of its rate a kinked supply, as of a book, goes from nothing to all: coarse, for a
search that flows by exact quotes follow.
"""

AROUND = (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)
"""Where near its flow, in parts of a width around it."""

SPARE = 1e-8
"""The part of what pools pay that is left over, for rounding."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """The venues that may be used.

    Attributes:
        venues: by id. names: assets by number.
        liquidity: the venues as arrays.
    """

    venues: Mapping[str, AnyVenue]
    names: Sequence[str]
    liquidity: Liquidity

    def only(self, venues: Sequence[str]) -> "Pooling":
        """With fewer venues."""
        kept = {name: self.venues[name] for name in venues}
        return Pooling(kept, self.names, make_liquidity(kept.values(), self.names, KINK))

    def agent(self, worth: Floats) -> Agent:
        """All venues, each with the trade that gains the most at the prices."""
        pools = self.liquidity.pools
        flow, weight = np.zeros(len(worth)), np.zeros(len(pools.left))
        matrix = np.zeros((len(worth), len(worth)))

        def add(delta: Floats, _band: float, net: Floats, gross: Floats, slope: Floats) -> None:
            prices = worth * np.exp(delta)
            sweep(pools, np.sqrt(prices), flow, weight)
            laplacian(pools, weight, matrix)
            paid = prices * flow
            net -= paid
            gross += np.abs(paid)
            # At marginal prices pools pay more than they take. Somebody has to want the rest, or
            # nothing would balance: it goes where most is paid.
            out = np.maximum(paid, 0.0)
            rest, whole = paid.sum(), out.sum()
            if 0.0 < rest <= whole:  # below 0 by rounding only
                net += out * (rest / whole)
            slope -= matrix
            np.einsum("ii->i", slope)[:] -= paid

        return add

    def flows(self, worth: Floats, delta: Floats) -> dict[Flow, tuple[float, float]]:
        """What each venue trades at the prices: (atoms in, gain in value).

        Of several assets only the one of which most comes in and the one of which most goes out
        count: the first swap would move the prices of a second one.
        """
        pools = self.liquidity.pools
        prices = worth * np.exp(delta)
        net = np.zeros(len(pools.slot))
        trades(pools, np.sqrt(prices), net)
        value = net * prices[pools.slot]
        places = self.liquidity.slot_venue
        gain = np.bincount(places, value, len(self.liquidity.venues))
        least = np.zeros(len(gain), np.int64)
        most = np.zeros(len(gain), np.int64)
        order = np.argsort(value, kind="stable")
        least[places[order[::-1]]] = order[::-1]
        most[places[order]] = order
        found = {}
        for place in np.flatnonzero(gain > 0).tolist():
            into, out = least[place], most[place]
            venue = self.venues[self.liquidity.venues[place]]
            flow = Flow(venue, int(pools.slot[into]), int(pools.slot[out]))
            found[flow] = float(-net[into]), float(gain[place])
        return found


def pooling(venues: Mapping[str, AnyVenue], names: Sequence[str], worth: Floats) -> Pooling:
    """The venues of which all assets are worth something."""
    known = {name for name, value in zip(names, worth.tolist(), strict=True) if value > 0}
    usable = {name: venue for name, venue in venues.items() if known.issuperset(venue.assets)}
    return Pooling(usable, names, make_liquidity(usable.values(), names, KINK))


def even(links: Links) -> Agent:
    """Pools each of which trades as much as leaves nothing over: at its average price."""
    start = np.searchsorted(links.edge, np.arange(links.edges + 1)).astype(np.int64)

    def add(delta: Floats, _band: float, net: Floats, gross: Floats, slope: Floats) -> None:
        add_even(
            delta, start, links.source, links.target, links.size, links.rate, net, gross, slope
        )

    return add


def links_of(
    flows: Mapping[Flow, float],
    names: Sequence[str],
    worth: Floats,
    scale: float,
    parts: Sequence[float],
) -> tuple[list[Flow], Links]:
    """The flows' venues by exact quotes.

    Args:
        flows: flow → atoms in.
        names: of the assets.
        worth: values of their atoms.
        scale: score units per value.
        parts: where the quotes are, in parts of each flow, ascending.

    Returns: the flows in the links' order, and the links.
    """
    edges: list[Flow] = []
    stretches: list[tuple[int, float, float]] = []
    for flow, amount in flows.items():
        points = _quotes(flow, amount, names, parts)
        if len(points) > 1:
            unit_in, unit_out = float(worth[flow.asset_in]), float(worth[flow.asset_out])
            for (x0, y0), (x1, y1) in pairwise(points):
                size = (x1 - x0) * unit_in
                rate = (y1 - y0) * unit_out / size * (1 - SPARE)
                stretches.append((len(edges), size, rate))
            edges.append(flow)
    edge = np.array([stretch[0] for stretch in stretches], np.int64)
    sources = np.array([flow.asset_in for flow in edges], np.int64)
    targets = np.array([flow.asset_out for flow in edges], np.int64)
    return edges, Links(
        edges=len(edges),
        edge=edge,
        source=sources[edge] if len(edge) else edge,
        target=targets[edge] if len(edge) else edge,
        size=np.array([stretch[1] for stretch in stretches]),
        rate=np.array([stretch[2] for stretch in stretches]),
        cost=np.array([flow.venue.cost / scale for flow in edges]),
    )


def _quotes(
    flow: Flow, amount: float, names: Sequence[str], parts: Sequence[float]
) -> list[tuple[int, int]]:
    """(atoms in, atoms out), growing and concave, beginning with nothing."""
    amounts = sorted({int(amount * part) for part in parts})
    points = [(0, 0)]
    for atoms in amounts:
        if atoms <= 0:
            continue
        try:
            paid = flow.venue.swap(names[flow.asset_in], atoms, names[flow.asset_out]).amount_out
        except SwapError:
            continue
        # Only points on the concave hull: rounding makes steps.
        while len(points) > 1:
            (x0, y0), (x1, y1) = points[-2:]
            if (paid - y1) * (x1 - x0) <= (y1 - y0) * (atoms - x1):
                break
            points.pop()
        if paid > points[-1][1]:
            points.append((atoms, paid))
    return points
