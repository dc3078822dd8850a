"""What is sent: the batch as a whole, its parts, and groups on their own."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from walras.sdk import Deadline, Problem, Proposal, propose, self_check
from walras_solvers.baseline import GroupBid, group_bids
from walras_solvers.equilibrium.book import Book, make_book, members_of, without
from walras_solvers.equilibrium.market import make_market
from walras_solvers.equilibrium.mend import Draft
from walras_solvers.equilibrium.pooling import pooling
from walras_solvers.equilibrium.search import NEAR, STEPS, climb, exact, fill, starts, whole_lumps
from walras_solvers.equilibrium.states import State, fairly, searches, shaken
from walras_solvers.programs import Effort

MOST = 32
"""Proposals for one problem, at most."""

SINGLES = 8
"""Of which groups on their own."""

WORK = 10**9
"""Effort of one problem: the deadline ends it."""

SHARE = 0.25
"""Of the time that groups on their own may take."""

FREELY = 0.25
"""Of the time, after which the batch is looked at with regard to what groups could have alone."""

FAIRER = 3
"""Times that groups which the batch serves worse than they could be alone are left out."""


def bids(problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
    """Proposals that the auction accepts.

    First the batch as if nobody could do better alone; then so that nobody does.
    """
    effort = Effort(deadline, WORK, reserve=0.05 * deadline.remaining())
    latest = deadline.remaining() * (1 - FREELY)
    outbox = Outbox(problem, MOST - SINGLES)
    members = members_of(problem)
    if members:
        book = make_book(problem, members)
        pools = pooling(problem.venues, book.names, book.worth) if problem.venues else None
        freely, fair = Search(outbox, effort), Search(outbox, effort, fairly=True)
        for found in searches(book, pools, effort):
            before = freely.best
            for state in found:
                yield from freely.follow([state])
                if fair.best is None and deadline.remaining() < latest:
                    yield from _fairly(freely, fair)
            if freely.best is not before:
                yield from _fairly(freely, fair)
        outbox.look({found.intent.group for found in members}, deadline)
        if outbox.fair < outbox.best:
            yield from fair.shake(outbox.scores(deadline))
        yield from freely.shake()
    outbox.left += SINGLES
    for bid in sorted(outbox.singles.values(), key=lambda bid: (-bid.score, bid.group)):
        if bid.group not in outbox.served:
            yield from outbox.post(bid.proposal)


def _fairly(freely: "Search", fair: "Search") -> Iterator[Proposal]:
    """From the best state, those in which nobody would do better alone, if it is not one."""
    outbox = freely.outbox
    if freely.best is not None and outbox.fair < outbox.best:
        scores = outbox.scores(freely.effort.deadline)
        yield from fair.follow(fairly(freely.best, scores, freely.effort))


def marginal_prices(problem: Problem) -> dict[str, float]:
    """Score units per atom, by asset: where supply meets demand if pools cost nothing to use."""
    book = make_book(problem, members_of(problem))
    pools = pooling(problem.venues, book.names, book.worth)
    market, start = make_market(book), np.zeros(len(book.names))
    others = [*market.agents(), pools.agent(book.worth)]
    delta, _ = next(starts(market.curves, others, market.collar, start))
    prices = book.worth * book.scale * np.exp(delta)
    return dict(zip(book.names, prices.tolist(), strict=True))


@dataclass(slots=True)
class Search:
    """States that come by, the best of which is kept.

    Attributes:
        outbox: where they are sent from. effort: that they may take.
        fairly: whether the groups get what they could have alone.
        best: the best so far.
    """

    outbox: "Outbox"
    effort: Effort
    fairly: bool = False
    best: State | None = None

    def follow(self, found: Iterable[State]) -> Iterator[Proposal]:
        """The states' proposals."""
        for state in found:
            if self.best is None or state.score > self.best.score:
                self.best = state
            yield from self.outbox.send(state, self.effort, fairly=self.fairly)

    def shake(self, scores: Mapping[str, int] | None = None) -> Iterator[Proposal]:
        """Those of better states, found from the best."""
        if self.best is not None:
            yield from self.follow(shaken(self.best, self.effort, scores))


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
        touched: groups of the best. looked: groups whose own bids were looked for.
        singles: group → its own bid.
    """

    problem: Problem
    left: int
    best: int = 0
    fair: int = 0
    served: frozenset[str] = frozenset()
    sent: set[tuple[object, ...]] = field(default_factory=set)
    touched: frozenset[str] = frozenset()
    looked: set[str] = field(default_factory=set)
    singles: dict[str, GroupBid] = field(default_factory=dict)

    def send(self, state: State, effort: Effort, *, fairly: bool) -> Iterator[Proposal]:
        """The state's proposals, if the whole scores more than the best so far; `fairly`, than the
        best so far that is fair.
        """
        if state.score <= (self.fair if fairly else self.best):
            return
        draft = exact(state.market, state.at, effort)
        if draft is None:
            return
        batch = proposal_of(self.problem, state.market.book, draft)
        scored = self_check(self.problem, batch)
        if scored is None or scored.score <= (self.fair if fairly else self.best):
            return
        if not fairly or scored.score > self.best:
            self.best, self.touched = scored.score, frozenset(scored.surplus)
            yield from self.post(batch)
            yield from self._parts(state.market.book, draft)
        yield from self._fairer(state, batch, scored.surplus, effort, fairly=fairly)

    def _parts(self, book: Book, draft: Draft) -> Iterator[Proposal]:
        parts = components(draft)
        for part in parts if len(parts) > 1 else []:
            proposal = proposal_of(self.problem, book, part)
            if self_check(self.problem, proposal) is not None:
                yield from self.post(proposal)

    def _fairer(
        self,
        state: State,
        batch: Proposal,
        surplus: Mapping[str, int],
        effort: Effort,
        *,
        fairly: bool,
    ) -> Iterator[Proposal]:
        """The batch, if it is fair; `fairly`, else without the groups that do better alone."""
        self.look(surplus, effort.deadline)
        scores = self.scores(effort.deadline)
        for _ in range(1 + FAIRER):
            short = {group for group, gain in surplus.items() if gain < scores.get(group, 0)}
            scored = self_check(self.problem, batch)
            if scored is None or scored.score <= self.fair:
                return
            if not short:
                self.fair, self.served = scored.score, frozenset(surplus)
                yield from self.post(batch)
                return
            if not fairly:
                return
            fewer = _without_groups(self.problem, state, short, effort)
            draft = exact(fewer.market, fewer.at, effort) if fewer is not None else None
            if fewer is None or draft is None:
                return
            batch = proposal_of(self.problem, fewer.market.book, draft)
            checked = self_check(self.problem, batch)
            if checked is None:
                return
            state, surplus = fewer, checked.surplus

    def scores(self, deadline: Deadline) -> dict[str, int]:
        """Group → the score of its own bid, of those in the best batch."""
        self.look(self.touched, deadline)
        return {group: bid.score for group, bid in self.singles.items()}

    def look(self, groups: Collection[str], deadline: Deadline) -> None:
        """Look for the groups' own bids, as far as there is time."""
        new = set(groups) - self.looked
        self.looked |= new
        members = {
            name: found for name, found in self.problem.intents.items() if found.intent.group in new
        }
        if members:
            limit = deadline.within(deadline.remaining() * SHARE)
            for bid in group_bids(replace(self.problem, intents=members), limit):
                self.singles[bid.group] = bid

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
    out = np.array([problem.intents[name].intent.group in groups for name in book.ids], np.bool_)
    packs = [problem.intents[name].intent.group in groups for name in book.packs.ids]
    book = without(book, out)
    book = replace(book, packs=book.packs.without(np.array(packs, np.bool_)))
    market = state.market.with_orders(book).with_terms(None)
    at = fill(market, state.at.delta, NEAR, effort)
    if at is None:
        return None
    fitting = whole_lumps(market, climb(market, at, effort, steps=STEPS // 4), effort)
    return State(*fitting) if fitting is not None else None


def proposal_of(problem: Problem, book: Book, draft: Draft) -> Proposal:
    """The draft as a proposal."""
    fills = {book.ids[column]: units for column, units in draft.units.items()}
    fills |= {book.packs.ids[column]: units for column, units in draft.packs.items()}
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
    for column in draft.packs:
        for asset, _ in sheet.packs[column].legs:
            parent[root(asset)] = root(sheet.packs[column].settle)
    for flow in draft.flows:
        parent[root(flow.asset_in)] = root(flow.asset_out)
    parts: defaultdict[int, dict[int, int]] = defaultdict(dict)
    packs: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for column, units in draft.units.items():
        parts[root(sheet.give[column])][column] = units
    for column, units in draft.packs.items():
        packs[root(sheet.packs[column].settle)][column] = units
        parts[root(sheet.packs[column].settle)] |= {}
    return [
        replace(
            draft,
            units=units,
            packs=packs[one],
            room={},
            flows={
                flow: atoms for flow, atoms in draft.flows.items() if root(flow.asset_in) == one
            },
        )
        for one, units in sorted(parts.items(), key=lambda part: (-len(part[1]), part[0]))
    ]
