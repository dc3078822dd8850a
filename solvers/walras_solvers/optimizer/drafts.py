"""A clearing in integers: fills, flows and prices, to be mended and then sent."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from walras.sdk import (
    Execution,
    Problem,
    Proposal,
    SwapError,
    ceil_div,
    keeps_limit,
    net_flows,
    price_vector,
    propose,
    settlement,
)
from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.conditions import HEADROOM
from walras_solvers.optimizer.fills import Clearing
from walras_solvers.optimizer.pools import Curves, Edge

FRAGILE = 1e-9
"""What the room of a fill counts for whose limit one atom less would break, or whose units are
few.
"""


@dataclass(slots=True)
class Draft:
    """A proposal in the making.

    Attributes:
        book: see there.
        prices: integers.
        units: column → units.
        room: column → value that its fill may be reduced by; 0 where it must stay as it is.
        flows: edge → amount in; executed in this order.
    """

    book: Book
    prices: dict[str, int]
    units: dict[int, int]
    room: dict[int, float]
    flows: dict[Edge, int]

    @property
    def problem(self) -> Problem:
        """The problem it is for."""
        return self.book.problem

    def executions(self) -> list[Execution]:
        """The flows as executions, without those that a venue refuses."""
        states = dict(self.problem.venues)
        steps = []
        for edge, amount in self.flows.items():
            try:
                swap = states[edge.venue].swap(edge.asset_in, amount, edge.asset_out)
            except SwapError:
                continue
            states[edge.venue] = swap.after
            steps.append(
                Execution(edge.venue, edge.asset_in, amount, edge.asset_out, swap.amount_out)
            )
        return steps

    def residual(self) -> dict[str, int]:
        """Asset → what is left over, or lacking where negative."""
        fills = [(self.book.intents[i].id, k) for i, k in self.units.items()]
        return net_flows(self.problem, fills, self.prices, self.executions())

    def settled(self, column: int) -> int:
        """The settlement of a fill."""
        return settlement(self.book.intents[column].intent, self.units[column], self.prices)


def draft(book: Book, curves: Curves, clearing: Clearing) -> Draft:
    """The clearing in integers, before anything is mended."""
    values = book.reference * np.exp(clearing.delta)
    ours = values[np.concatenate([book.leg_asset, book.settle])]
    # What no intent names needs no true price, and may be worth next to nothing.
    values = np.clip(values, ours.min(), ours.max())
    prices = price_vector(dict(zip(book.assets, values.tolist(), strict=True)))
    made = Draft(book, prices, {}, {}, {})
    for j, edge in enumerate(curves.edges):
        if clearing.y[j] > 0:
            amount = int(clearing.y[j] / book.reference[book.index[edge.asset_in]])
            if amount > 0:
                made.flows[edge] = amount
    for i in np.flatnonzero(clearing.x > 0).tolist():
        share = clearing.x[i] / book.cap[i]
        most, fewest = book.units[i], book.least[i]
        if book.coarse[i]:
            units = round(clearing.x[i] / book.worth[i])
        elif share > 1 - HEADROOM / 2:
            units = most
        else:
            units = int(clearing.x[i] / book.worth[i])
        if units >= fewest:
            made.units[i] = min(units, most)
            made.room[i] = 0.0
            if len(book.intents[i].intent.legs) == 1:
                made.room[i] = float(made.units[i] - fewest) * float(book.worth[i])
                made.room[i] *= FRAGILE if book.coarse[i] else 1.0
            if made.room[i] > 0.0 and not book.coarse[i]:
                _tighten(made, i)
    return made


def _tighten(made: Draft, column: int) -> None:
    """The fewest units that settle for as much: a price at the limit stays there when it is
    rounded.
    """
    intent = made.book.intents[column].intent
    leg, price = intent.legs[0], made.prices[intent.settlement_asset]
    worth = -leg.quantity * made.prices[leg.asset]
    settled = made.settled(column)
    if worth > 0 and settled > 0:
        fewest = max(ceil_div(settled * price, worth), made.book.least[column])
        made.units[column] = min(made.units[column], fewest)
    limit = intent.limit_at(made.problem.sealed_ms)
    if not keeps_limit(intent, made.units[column], settled - 1, limit):
        made.room[column] *= FRAGILE


def components(made: Draft) -> list[Proposal]:
    """The proposals that the draft falls into: parts that share no asset, the greatest first."""
    parent: dict[str, str] = {}

    def root(asset: str) -> str:
        while parent.setdefault(asset, asset) != asset:
            asset = parent[asset]
        return asset

    for column in made.units:
        first, *others = made.book.intents[column].intent.assets
        for other in others:
            parent[root(other)] = root(first)
    for edge in made.flows:
        parent[root(edge.asset_in)] = root(edge.asset_out)
    parts: defaultdict[str, list[int]] = defaultdict(list)
    for column in made.units:
        parts[root(made.book.intents[column].intent.settlement_asset)].append(column)
    proposals = []
    for name, columns in sorted(parts.items(), key=lambda part: (-len(part[1]), part[0])):
        flows = {edge: flow for edge, flow in made.flows.items() if root(edge.asset_in) == name}
        part = Draft(made.book, made.prices, {i: made.units[i] for i in columns}, {}, flows)
        proposals.append(whole(part))
    return proposals


def whole(made: Draft) -> Proposal:
    """The draft as one proposal."""
    fills = {made.book.intents[i].id: units for i, units in made.units.items()}
    return propose(made.problem, fills, made.prices, made.executions())
