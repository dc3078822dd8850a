"""What is searched: the orders, the pools near their flows, and what fills have to keep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from walras_solvers.equilibrium.book import Book
from walras_solvers.equilibrium.curves import Curves, make_curves
from walras_solvers.equilibrium.kernels import Agent, Floats, Ints, Mask
from walras_solvers.equilibrium.mend import Flow
from walras_solvers.equilibrium.packs import Packs

PARTS = np.array([0.4, 0.7, 0.9, 1.0])
"""Where a market of many orders is cut, in parts of what is willing."""

FEW = 6_000
"""So many stretches go into linear programs; of more, only those whose limits are near."""

WHOLE = 10.0
"""A width that leaves nothing out of a program."""


@dataclass(frozen=True, slots=True)
class Links:
    """Pools as stretches of concave curves.

    Attributes:
        edges: how many directions of pools there are.
        edge, source, target: of each stretch: its direction, asset in and asset out.
        size: value of its input. rate: value out for each in.
        cost: of each direction.
    """

    edges: int
    edge: Ints
    source: Ints
    target: Ints
    size: Floats
    rate: Floats
    cost: Floats


def no_links() -> Links:
    """No pools."""
    none, empty = np.zeros(0), np.zeros(0, np.int64)
    return Links(0, empty, empty, empty, none, none, none)


@dataclass(frozen=True, slots=True)
class Terms:
    """What was chosen, which fills then keep.

    Attributes:
        delta: log prices at which it was chosen.
        shut: market → whether nothing of it is filled.
        firm: market → whether its least is.
        owed: group → surplus that it has at least, in value; groups are pairs, give·assets + take,
            and those of `Packs`.
        low, high: intent of several legs → between what its size is filled.
        soft: whether groups may have less than they are owed, at a price.
    """

    delta: Floats
    shut: Mask
    firm: Mask
    owed: Floats
    low: Floats
    high: Floats
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Clearing:
    """A solution.

    Attributes:
        delta: log prices relative to the references.
        filled: market → size filled. packed: the same of intents of several legs.
        flow: edge → value put in.
        score: surplus less costs.
    """

    delta: Floats
    filled: Floats
    packed: Floats
    flow: Floats
    score: float


@dataclass(frozen=True, slots=True)
class Market:
    """What is searched.

    Attributes:
        book: the orders. every: the same, sorted. curves: those of them that are not shut.
        links: pools near their flows; edges: the same flows.
        collar: by how much of its value what is received may differ from what is given.
        terms: what was chosen; None before.
    """

    book: Book
    every: Curves
    curves: Curves
    links: Links
    edges: Sequence[Flow]
    collar: float
    terms: Terms | None = None

    @property
    def packs(self) -> Packs:
        """Intents of several legs."""
        return self.book.packs

    @property
    def bound(self) -> bool:
        """Whether it has to be chosen what of it is filled: lumps, and intents of several legs."""
        return bool(len(self.book.packs) or np.any(self.every.least))

    @property
    def groups(self) -> int:
        """How many numbers groups have."""
        return self.every.assets**2 + len(self.book.groups)

    def agents(self) -> list[Agent]:
        """Who trades, besides the orders and pools."""
        return [self.packs.agent(self.collar)] if len(self.packs) else []

    def width(self, width: float) -> float:
        """How near limits have to be for orders to go into a program."""
        return WHOLE if self.small else width

    @property
    def small(self) -> bool:
        """Whether all of it fits into a program."""
        return int(np.minimum(np.diff(self.curves.start), len(PARTS)).sum()) <= FEW

    def with_orders(self, book: Book) -> "Market":
        """The market with other sizes or limits of the same orders."""
        if book.orders.limit is self.book.orders.limit:
            every = self.every.sized(book.orders)
        else:
            every = make_curves(book.orders)
        return replace(self, book=book, every=every).with_terms(self.terms)

    def with_terms(self, terms: Terms | None) -> "Market":
        """The market with another choice, or with none."""
        curves = self.every if terms is None else self.every.without(terms.shut)
        return replace(self, curves=curves, terms=terms)


def make_market(book: Book) -> Market:
    """The market of a book, without pools."""
    curves = make_curves(book.orders)
    collar = book.sheet.collar_bps / 10_000
    return Market(book, curves, curves, no_links(), (), collar)
