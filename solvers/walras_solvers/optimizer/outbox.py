"""What leaves the search: clearings made exact and fair, the better ones only, with their parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from walras.sdk import Problem, Proposal, self_check
from walras_solvers.baseline import GroupBid
from walras_solvers.optimizer.book import Book
from walras_solvers.optimizer.conditions import Bounds
from walras_solvers.optimizer.drafts import Draft, components, draft, whole
from walras_solvers.optimizer.fills import Clearing, appease, restore
from walras_solvers.optimizer.pools import Curves
from walras_solvers.optimizer.repair import finish, takers
from walras_solvers.programs import Effort

MENDINGS = 8  # times that fills which cannot be made exact are moved from their limits or left out
FAIRER = 4  # times that groups which rounding left short are given more, then left out


@dataclass(slots=True)
class State:
    """A clearing with what it was found under."""

    curves: Curves
    bounds: Bounds
    at: Clearing


@dataclass(slots=True)
class Outbox:
    """What was sent, so that only what is better follows.

    Attributes:
        most: proposals, in all.
        sent: all of them.
        served: groups that the best batch bid serves.
    """

    problem: Problem
    singles: Mapping[str, GroupBid]
    most: int
    sent: list[Proposal] = field(default_factory=list)
    best: int = 0
    served: set[str] = field(default_factory=set)

    def send(
        self, book: Book, state: State, effort: Effort, growth: float, *, parts: bool = True
    ) -> Iterator[Proposal]:
        """The state's proposals, if the whole scores more than the best so far, by `growth`; with
        those for its parts, or without.
        """
        if state.at.score * book.scale <= self.best * (1 + growth):
            return
        for attempt in range(FAIRER):
            made = _mended(book, state, effort)
            if made is None:
                return
            batch = whole(made)
            scored = self_check(self.problem, batch)
            if scored is None or scored.score <= self.best * (1 + growth):
                return
            short = self._short(scored.surplus)
            if not short:
                self.best = scored.score
                self.served = set(scored.surplus)
                yield from self.post(batch)
            if parts and attempt == 0:
                yield from self._parts(made)
            if not short:
                return
            fairer = _fairer(book, state, short, effort, give_up=attempt >= FAIRER // 2)
            if fairer is None:
                return
            state = fairer

    def _parts(self, made: Draft) -> Iterator[Proposal]:
        parts = components(made)
        if len(parts) > 1:
            for part in parts:
                checked = self_check(self.problem, part)
                if checked is not None and not self._short(checked.surplus):
                    yield from self.post(part)

    def post(self, proposal: Proposal) -> Iterator[Proposal]:
        """The proposal, if there is room for it and it was not sent before."""
        if len(self.sent) < self.most and proposal not in self.sent:
            self.sent.append(proposal)
            yield proposal

    def judged_by(self, singles: Mapping[str, GroupBid]) -> None:
        """Begin anew with what is better, as groups must have at least these bids' scores now."""
        self.singles, self.best, self.served = singles, 0, set()

    def _short(self, surplus: Mapping[str, int]) -> dict[str, int]:
        """Group → how much less the bid brings it than its own bid does."""
        if len(surplus) == 1:
            return {}
        lacks = {g: self.singles[g].score - s for g, s in surplus.items() if g in self.singles}
        return {group: lack for group, lack in lacks.items() if lack > 0}


def _fairer(
    book: Book, state: State, short: Mapping[str, int], effort: Effort, *, give_up: bool
) -> State | None:
    """The state with more for the groups that rounding left short, or without them."""
    owed, high = state.bounds.owed.copy(), state.bounds.high.copy()
    for name, lack in short.items():
        group = book.groups.index(name)
        owed[group] = 0.0 if give_up else owed[group] + 2 * (lack + 1) / book.scale
        if give_up:
            high[book.group == group] = 0.0
    bounds = replace(state.bounds, owed=owed, high=high, low=np.minimum(state.bounds.low, high))
    at = replace(state.at, x=np.minimum(state.at.x, high))
    found = restore(book, state.curves, at, bounds, effort)
    if found is not None:
        return State(state.curves, bounds, found)
    return None if give_up else _fairer(book, state, short, effort, give_up=True)


def _mended(book: Book, state: State, effort: Effort) -> Draft | None:
    """The state in valid integers.

    Intents that break a rule are first kept some atoms further from their limits, then left out. Of
    what lacks more is left over at first, then who takes it is left out.
    """
    at, bounds = state.at, state.bounds
    warned: set[int] = set()
    for attempt in range(MENDINGS):
        made = draft(book, state.curves, at)
        bad, lacking = finish(made)
        if not bad and not lacking:
            return made
        again = bad & warned
        if bad:
            book = _warned(book, at, bad - warned)
            warned |= bad
        elif attempt < MENDINGS // 2:
            bounds = _sparing(book, bounds, lacking)
        else:
            again = takers(made, lacking)
        high = bounds.high.copy()
        high[sorted(again)] = 0.0
        bounds = replace(bounds, high=high, low=np.minimum(bounds.low, high))
        found = restore(book, state.curves, at, bounds, effort) or appease(
            book, state.curves, at, bounds, effort, moves=1
        )
        if found is None:
            return None
        at = found
    return None


def _warned(book: Book, at: Clearing, columns: set[int]) -> Book:
    """The book with some intents kept some atoms further from their limits."""
    first = sorted(columns)
    atoms = np.zeros(len(book.margin))
    atoms[first] = 4 * book.reference[book.settle[first]] / np.maximum(at.x[first], 1e-100)
    return replace(book, margin=book.margin + np.minimum(atoms, 0.01))


def _sparing(book: Book, bounds: Bounds, lacking: Mapping[str, int]) -> Bounds:
    """The bounds with more of what lacked left over."""
    spare = bounds.spare.copy()
    for asset, atoms in lacking.items():
        place = book.index[asset]
        spare[place] += (2 * atoms + 2) * book.reference[place]
    return replace(bounds, spare=spare)
