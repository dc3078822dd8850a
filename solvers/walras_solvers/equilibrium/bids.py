"""What is sent: the batch as a whole, its parts, and groups on their own."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from walras.sdk import Deadline, Problem, Proposal, propose, self_check
from walras_solvers.baseline import GroupBid, group_bids
from walras_solvers.equilibrium.book import Book, make_book, plain, without
from walras_solvers.equilibrium.curves import make_curves
from walras_solvers.equilibrium.mend import Draft
from walras_solvers.equilibrium.pooling import pooling
from walras_solvers.equilibrium.search import NEAR, STEPS, climb, exact, fill, starts, whole_lumps
from walras_solvers.equilibrium.sheet import BPS
from walras_solvers.equilibrium.states import State, states
from walras_solvers.optimizer.effort import Effort

MOST = 32
"""Proposals for one problem, at most."""

SINGLES = 8
"""Of which groups on their own."""

WORK = 10**9
"""Effort of one problem: the deadline ends it."""

SHARE = 0.25
"""Of the time that groups on their own may take."""

FAIRER = 3
"""Times that groups which the batch serves worse than they could be alone are left out."""


def bids(problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
    """Proposals that the auction accepts."""
    effort = Effort(deadline, WORK, reserve=0.05 * deadline.remaining())
    outbox = Outbox(problem, MOST - SINGLES)
    members = plain(problem)
    if members:
        book = make_book(problem, members)
        pools = pooling(problem.venues, book.names, book.worth) if problem.venues else None
        for state in states(book, pools, effort):
            yield from outbox.send(state, effort)
    outbox.left += SINGLES
    for bid in sorted(outbox.alone(deadline).values(), key=lambda bid: (-bid.score, bid.group)):
        if bid.group not in outbox.served:
            yield from outbox.post(bid.proposal)


def marginal_prices(problem: Problem) -> dict[str, float]:
    """Score units per atom, by asset: where supply meets demand if pools cost nothing to use."""
    book = make_book(problem, plain(problem))
    pools = pooling(problem.venues, book.names, book.worth)
    curves, start = make_curves(book.orders), np.zeros(len(book.names))
    collar = problem.rules.collar_bps / BPS
    delta, _ = next(starts(curves, [pools.agent(book.worth)], collar, start))
    prices = book.worth * book.scale * np.exp(delta)
    return dict(zip(book.names, prices.tolist(), strict=True))


@dataclass(slots=True)
class Outbox:
    """What was sent, so that only what is better follows.

    Attributes:
        problem: see there.
        left: proposals that may be sent.
        best, fair: the greatest scores sent: of any, and of one that serves no group worse than it
            could be served alone, as far as is known.
        served: groups in the best of these.
        sent: what was sent.
        singles: group → its own bid, once that was looked for.
    """

    problem: Problem
    left: int
    best: int = 0
    fair: int = 0
    served: frozenset[str] = frozenset()
    sent: set[tuple[object, ...]] = field(default_factory=set)
    singles: dict[str, GroupBid] | None = None

    def send(self, state: State, effort: Effort) -> Iterator[Proposal]:
        """The state's proposals, if the whole scores more than the best so far."""
        if state.score <= self.best:
            return
        draft = exact(state.market, state.at, effort)
        if draft is None:
            return
        batch = proposal_of(self.problem, state.market.book, draft)
        scored = self_check(self.problem, batch)
        if scored is None or scored.score <= self.best:
            return
        self.best = scored.score
        yield from self.post(batch)
        yield from self._parts(state.market.book, draft)
        yield from self._fairer(state, scored.surplus, scored.score, effort)

    def _parts(self, book: Book, draft: Draft) -> Iterator[Proposal]:
        parts = components(draft)
        for part in parts if len(parts) > 1 else []:
            proposal = proposal_of(self.problem, book, part)
            if self_check(self.problem, proposal) is not None:
                yield from self.post(proposal)

    def _fairer(
        self, state: State, surplus: Mapping[str, int], score: int, effort: Effort
    ) -> Iterator[Proposal]:
        """The state without the groups that do better alone."""
        singles = self.alone(effort.deadline)
        for _ in range(FAIRER):
            short = {g for g, s in surplus.items() if g in singles and s < singles[g].score}
            if not short:
                if score > self.fair:
                    self.fair, self.served = score, frozenset(surplus)
                return
            fewer = _without_groups(self.problem, state, short, effort)
            draft = exact(fewer.market, fewer.at, effort) if fewer is not None else None
            if fewer is None or draft is None:
                return
            batch = proposal_of(self.problem, fewer.market.book, draft)
            scored = self_check(self.problem, batch)
            if scored is None:
                return
            state, surplus, score = fewer, scored.surplus, scored.score
            if score > self.fair:
                yield from self.post(batch)

    def alone(self, deadline: Deadline) -> dict[str, GroupBid]:
        """Group → its own bid, as far as there is time to look for it."""
        if self.singles is None:
            limit = Deadline.after(deadline.remaining() * SHARE)
            self.singles = {bid.group: bid for bid in group_bids(self.problem, limit)}
        return self.singles

    def post(self, proposal: Proposal) -> Iterator[Proposal]:
        """The proposal, if there is room for it and it is new."""
        key = proposal.fills, proposal.executions, tuple(proposal.prices.items())
        if self.left > 0 and key not in self.sent:
            self.left -= 1
            self.sent.add(key)
            yield proposal


def _without_groups(
    problem: Problem, state: State, groups: set[str], effort: Effort
) -> State | None:
    book = state.market.book
    out = np.array([problem.intents[name].intent.group in groups for name in book.ids])
    market = state.market.with_orders(without(book, out))
    at = fill(market, state.at.delta, NEAR, effort)
    if at is None:
        return None
    fitting = whole_lumps(market, climb(market, at, effort, steps=STEPS // 4), effort)
    return State(*fitting) if fitting is not None else None


def proposal_of(problem: Problem, book: Book, draft: Draft) -> Proposal:
    """The draft as a proposal."""
    fills = {book.ids[column]: units for column, units in draft.units.items()}
    prices = dict(zip(book.names, draft.prices, strict=True))
    return propose(problem, fills, prices, draft.executions())


def components(draft: Draft) -> list[Draft]:
    """The parts that share no asset, the greatest first."""
    parent = list(range(len(draft.names)))

    def root(asset: int) -> int:
        while parent[asset] != asset:
            parent[asset] = parent[parent[asset]]
            asset = parent[asset]
        return asset

    sheet = draft.sheet
    for column in draft.units:
        parent[root(sheet.give[column])] = root(sheet.take[column])
    for flow in draft.flows:
        parent[root(flow.asset_in)] = root(flow.asset_out)
    parts: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for column, units in draft.units.items():
        parts[root(sheet.give[column])][column] = units
    return [
        replace(
            draft,
            units=units,
            room={},
            flows={
                flow: atoms for flow, atoms in draft.flows.items() if root(flow.asset_in) == one
            },
        )
        for one, units in sorted(parts.items(), key=lambda part: (-len(part[1]), part[0]))
    ]
