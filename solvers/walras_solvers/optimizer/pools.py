"""Venues as concave curves: what a growing input brings, by exact quotes, in values at reference
prices.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from walras.sdk import Router, SwapError
from walras_solvers.optimizer.book import Book
from walras_solvers.programs import Effort, Floats, Ints

POINTS = 12
"""Quotes that make one curve."""

AROUND = (-1.0, -0.5, -0.2, -0.08, -0.02, 0.0, 0.02, 0.08, 0.2, 0.5, 1.0)
"""Where the quotes of a curve near a known flow are, in parts of its width."""

DEPTH = 0.25
"""A curve ends where the venue pays this much less than at first."""

MAX_HOPS = 3
"""Swaps on the way of what is given to who takes it."""

WORST = 0.5
"""Directions that pay less than this part of the reference price are left out."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One direction of a venue; `cost` in the book's values."""

    venue: str
    asset_in: str
    asset_out: str
    cost: float


@dataclass(frozen=True, slots=True)
class Curves:
    """The segments of all curves.

    Attributes:
        edges: directions.
        edge: segment → edge. source, target: segment → assets.
        size: segment → value of its input. rate: segment → value out per value in.
    """

    edges: tuple[Edge, ...]
    edge: Ints
    source: Ints
    target: Ints
    size: Floats
    rate: Floats


def make_curves(
    book: Book, effort: Effort, around: dict[Edge, float] | None = None, width: float = 0.5
) -> Curves:
    """The curves of every direction of every venue, or of as many as the effort is enough for.

    Args:
        book: gives the assets and their reference prices.
        effort: once it is spent, no more edges are looked at.
        around: values of input near which the curves are to be fine; other edges are then left out.
        width: how far around them, as a part of each.
    """
    problem = book.problem
    router = Router(problem.venues)
    edges: list[Edge] = []
    segments: list[tuple[int, int, int, float, float]] = []
    for edge in around if around is not None else _edges(book):
        if effort.spent:
            break
        i, j = book.index[edge.asset_in], book.index[edge.asset_out]
        spot = router.spot(edge.venue, edge.asset_in, edge.asset_out)
        first = spot * book.reference[j] / book.reference[i]
        if not WORST < first < 1 / WORST:
            continue
        points = _curve(book, edge, spot, around.get(edge) if around is not None else None, width)
        previous = (0.0, 0.0)
        for value_in, value_out in points:
            size = value_in - previous[0]
            if size > 0:
                segments.append((len(edges), i, j, size, (value_out - previous[1]) / size))
                previous = (value_in, value_out)
        edges.append(edge)
    numbers = np.array([segment[:3] for segment in segments], dtype=np.int64).reshape(-1, 3)
    values = np.array([segment[3:] for segment in segments], dtype=np.float64).reshape(-1, 2)
    return Curves(
        edges=tuple(edges),
        edge=numbers[:, 0],
        source=numbers[:, 1],
        target=numbers[:, 2],
        size=values[:, 0],
        rate=values[:, 1],
    )


def _edges(book: Book) -> list[Edge]:
    """The directions that lie on a way of at most MAX_HOPS swaps from what some intent gives to
    what some intent takes.
    """
    all_edges = [
        Edge(venue.id, a, b, venue.cost / book.scale)
        for venue in book.problem.venues.values()
        for a in venue.assets
        for b in venue.assets
        if a != b
    ]
    given, taken = set(), set()
    for found in book.intents:
        intent = found.intent
        legs = [leg.quantity < 0 for leg in intent.legs]
        given |= {leg.asset for leg in intent.legs if leg.quantity < 0}
        taken |= {leg.asset for leg in intent.legs if leg.quantity > 0}
        if any(legs):
            taken.add(intent.settlement_asset)
        if not all(legs):
            given.add(intent.settlement_asset)
    after = _hops(given, [(edge.asset_in, edge.asset_out) for edge in all_edges])
    before = _hops(taken, [(edge.asset_out, edge.asset_in) for edge in all_edges])
    far = MAX_HOPS
    return [
        edge
        for edge in all_edges
        if after.get(edge.asset_in, far) + before.get(edge.asset_out, far) < far
    ]


def _hops(start: set[str], pairs: list[tuple[str, str]]) -> dict[str, int]:
    """Asset → the fewest swaps from `start` to it, below MAX_HOPS."""
    hops = dict.fromkeys(start, 0)
    border = start
    for hop in range(1, MAX_HOPS):
        border = {b for a, b in pairs if a in border and b not in hops}
        hops.update(dict.fromkeys(border, hop))
    return hops


def _curve(
    book: Book, edge: Edge, spot: float, near: float | None, width: float
) -> list[tuple[float, float]]:
    """(value in, value out), growing, from exact quotes; concave but for rounding."""
    unit_in = float(book.reference[book.index[edge.asset_in]])
    unit_out = float(book.reference[book.index[edge.asset_out]])

    def quote(amount: int) -> int:
        try:
            return (
                book.problem.venues[edge.venue]
                .swap(edge.asset_in, amount, edge.asset_out)
                .amount_out
            )
        except SwapError:
            return 0

    if near is not None:
        middle = near / unit_in
        amounts = sorted({int(middle * (1 + width * part)) for part in AROUND} - {0})
    else:
        top = _depth(quote, spot)
        if not top:
            return []
        amounts = sorted(
            {int(top * 2.0 ** ((k - POINTS) * 0.75)) for k in range(1, POINTS + 1)} - {0}
        )
    points = [(float(a) * unit_in, float(quote(a)) * unit_out) for a in amounts]
    return _concave([p for p in points if p[1] > 0])


def _depth(quote: Callable[[int], int], spot: float) -> int:
    """About the input at which the average price is DEPTH worse than at first."""
    low, high = 0, 1
    while high < 1 << 200 and _fine(quote(high), high, spot):
        low, high = high, high * 16
    if not low:
        # Small inputs lose much to rounding; start where a hundred atoms come out.
        high = max(1, int(100 / spot)) if spot > 0 else 1
        while high < 1 << 200 and _fine(quote(high), high, spot):
            low, high = high, high * 16
    for _ in range(6):
        middle = (low + high) // 2
        low, high = (middle, high) if _fine(quote(middle), middle, spot) else (low, middle)
    return low


def _fine(out: int, amount: int, spot: float) -> bool:
    return out >= (1 - DEPTH) * spot * amount


def _concave(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The upper concave hull from (0, 0) on."""
    hull = [(0.0, 0.0)]
    for point in points:
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2], hull[-1]
            if (y1 - y0) * (point[0] - x1) > (point[1] - y1) * (x1 - x0):
                break
            hull.pop()
        hull.append(point)
    return hull[1:]
