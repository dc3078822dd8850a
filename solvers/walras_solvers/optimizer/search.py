"""The search for prices: several starts, then local improvement, then exact proposals.

Work is counted in steps, so that with time enough the same problem gives the same proposals; the
deadline only cuts it short.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from walras.sdk import Deadline, Problem, Proposal, self_check
from walras_solvers.baseline import GroupBid, group_bids
from walras_solvers.optimizer.book import Book, Floats, make_book
from walras_solvers.optimizer.fills import Bounds, Clearing, clear, free_bounds, improve, restore
from walras_solvers.optimizer.integrality import choose_lumps, without_lumps
from walras_solvers.optimizer.pools import Curves, make_curves
from walras_solvers.optimizer.prices import NARROW, WIDE, tatonnement
from walras_solvers.optimizer.repair import Draft, components, draft, finish, whole

TATONNEMENT_ROUNDS = 200
STEPS = 40  # of local improvement from one start
KICKS = 30  # random restarts near the best
KICK = 0.01  # their standard deviation, in log prices
WIDTHS = (0.5, 0.1, 0.02, 0.004)  # of the curves around the pools' flows, one after the other
SPARE = 1e-8  # part of the pools' flows that is left over, for rounding
LP_SECONDS = 5.0
SINGLES_FIRST = 4  # single-group bids that are sent before anything else
MENDINGS = 8  # times that fills which cannot be made exact are left out
SHARE = 0.3  # of the time that single groups may take


@dataclass(slots=True)
class State:
    """A clearing with what it was found under."""

    curves: Curves
    bounds: Bounds
    at: Clearing


def search(problem: Problem, deadline: Deadline, most: int) -> Iterator[Proposal]:
    """Proposals, at most `most`: the batch as a whole, its parts, and groups on their own."""
    book = make_book(problem)
    if not book.intents:
        return
    singles = {
        bid.group: bid for bid in group_bids(problem, Deadline.after(deadline.remaining() * SHARE))
    }
    ranked = sorted(singles.values(), key=lambda bid: (-bid.score, bid.group))
    for bid in ranked[:SINGLES_FIRST]:
        yield bid.proposal
    outbox = _Outbox(problem, singles, most - len(ranked[:SINGLES_FIRST]))
    banned: set[str] = set()
    for _ in range(4):
        before = set(banned)
        for state in _states(book, problem, singles, banned, deadline):
            yield from outbox.send(book, state)
        banned |= outbox.unfair
        if banned == before or deadline.passed:
            break
    for bid in ranked[SINGLES_FIRST:]:
        if bid.group not in outbox.served:
            yield from outbox.post(bid.proposal)


@dataclass(slots=True)
class _Outbox:
    """What was sent, so that only what is better follows.

    Attributes:
        unfair: groups that a batch bid would serve worse than their own bid does.
        served: groups that a bid which was sent serves fairly.
    """

    problem: Problem
    singles: Mapping[str, GroupBid]
    left: int
    best: int = 0
    sent: set[Proposal] = field(default_factory=set)
    unfair: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)

    def send(self, book: Book, state: State) -> Iterator[Proposal]:
        """The state's proposals, if the whole scores more than the best so far."""
        made = _mended(book, state)
        if made is None:
            return
        batch = whole(made)
        scored = self_check(self.problem, batch)
        if scored is None or scored.score <= self.best * 1.0001:
            return
        self.unfair = self._unfair(scored.surplus)
        parts = components(made)
        if not self.unfair:
            self.best = scored.score
            self.served = set(scored.surplus)
            yield from self.post(batch)
        if len(parts) > 1:
            for part in parts:
                checked = self_check(self.problem, part)
                if checked is not None and not self._unfair(checked.surplus):
                    yield from self.post(part)

    def post(self, proposal: Proposal) -> Iterator[Proposal]:
        """The proposal, if there is room for it."""
        if self.left > 0:
            self.left -= 1
            yield proposal

    def _unfair(self, surplus: Mapping[str, int]) -> set[str]:
        if len(surplus) == 1:
            return set()
        return {g for g, s in surplus.items() if g in self.singles and s < self.singles[g].score}


def _mended(book: Book, state: State) -> Draft | None:
    """The state in valid integers, without the intents that stand in the way."""
    at, bounds = state.at, state.bounds
    for _ in range(MENDINGS):
        made = draft(book, state.curves, at)
        bad = finish(made)
        if not bad:
            return made
        high = bounds.high.copy()
        high[list(bad)] = 0.0
        bounds = replace(bounds, high=high, low=np.minimum(bounds.low, high))
        found = clear(book, state.curves, at.delta, bounds, LP_SECONDS)
        if found is None:
            return None
        at = found
    return None


def _states(
    book: Book,
    problem: Problem,
    singles: Mapping[str, GroupBid],
    banned: set[str],
    deadline: Deadline,
) -> Iterator[State]:
    """Better and better states."""
    curves = make_curves(book)
    bounds = free_bounds(book, curves)
    if banned:
        out = np.array([group in banned for group in book.kind_groups])[book.kind]
        bounds = replace(bounds, high=np.where(out, 0.0, bounds.high))
    best: State | None = None
    for start in _starts(book, curves, singles):
        for state in _from_start(book, curves, bounds, start, deadline):
            if deadline.passed:
                return
            if state.at.score > 0 and (best is None or state.at.score > best.at.score):
                best = state
                yield best
    if best is None:
        return
    rng = np.random.default_rng(0)
    for kick in range(KICKS):
        if deadline.passed:
            return
        noise = rng.normal(0.0, KICK / (1 + kick // 10), len(book.assets))
        delta = best.at.delta + noise
        at = clear(book, best.curves, delta, best.bounds, _seconds(deadline))
        if at is None:
            continue
        at = _climb(book, best.curves, best.bounds, at, deadline)
        if at.score > best.at.score * (1 + 1e-6):
            best = replace(best, at=at)
            yield best


def _from_start(
    book: Book, curves: Curves, bounds: Bounds, delta: Floats, deadline: Deadline
) -> Iterator[State]:
    free = without_lumps(book, bounds)
    at = clear(book, curves, delta, free, _seconds(deadline))
    if at is None:
        return
    at = _climb(book, curves, free, at, deadline)
    yield from _with_pools(book, curves, free, at, deadline)
    if np.any(book.lumpy | book.coarse):
        for prices in (delta, at.delta):
            chosen = choose_lumps(book, curves, prices, bounds, _seconds(deadline))
            if chosen is not None:
                decided, found = chosen
                found = _climb(book, curves, decided, found, deadline)
                yield from _with_pools(book, curves, decided, found, deadline)


def _with_pools(
    book: Book, curves: Curves, bounds: Bounds, at: Clearing, deadline: Deadline
) -> Iterator[State]:
    """The state with only the pools that pay for themselves, their curves refined around their
    flows.
    """
    if not np.any(at.y > 0):
        yield State(curves, bounds, at)
        return
    bounds, at = _prune(book, curves, bounds, at, deadline)
    for width in WIDTHS:
        around = {curves.edges[j]: float(at.y[j]) for j in np.flatnonzero(at.y > 0)}
        curves = make_curves(book, around, width)
        spare = np.zeros(len(book.assets))
        for edge, value in around.items():
            for asset in (edge.asset_in, edge.asset_out):
                spare[book.index[asset]] += SPARE * value
        bounds = replace(bounds, edges=np.ones(len(curves.edges), dtype=np.bool_), spare=spare)
        again = restore(book, curves, at, bounds, _seconds(deadline))
        if again is None:
            return
        at = _climb(book, curves, bounds, again, deadline)
        if not np.any(at.y > 0):
            break
    yield State(curves, bounds, at)


def _prune(
    book: Book, curves: Curves, bounds: Bounds, at: Clearing, deadline: Deadline
) -> tuple[Bounds, Clearing]:
    """Leave out edges that cost more than they bring, and all but one direction of a venue."""
    used = at.y > 0
    for j in sorted(np.flatnonzero(used).tolist(), key=lambda j: float(at.y[j])):
        venue = curves.edges[j].venue
        twice = sum(used[i] and curves.edges[i].venue == venue for i in np.flatnonzero(used)) > 1
        fewer = used.copy()
        fewer[j] = False
        tried = replace(bounds, edges=fewer)
        found = restore(book, curves, at, tried, _seconds(deadline))
        if found is not None:
            found = _climb(book, curves, tried, found, deadline, steps=4)
        if found is not None and (twice or found.score >= at.score):
            used, at = fewer, found
    return replace(bounds, edges=used), at


def _climb(
    book: Book,
    curves: Curves,
    bounds: Bounds,
    at: Clearing,
    deadline: Deadline,
    *,
    radius: float = 0.01,
    steps: int = STEPS,
) -> Clearing:
    """Move prices as long as the fills there score more."""
    for _ in range(steps):
        if deadline.passed or radius < 1e-7:
            break
        delta = improve(book, curves, at, bounds, radius, _seconds(deadline))
        found = None
        if delta is not None:
            found = clear(book, curves, delta, bounds, _seconds(deadline))
        if found is not None and found.score > at.score + 1e-7 * abs(at.score):
            at, radius = found, min(radius * 2, 0.03)
        else:
            radius /= 4
    return at


def _starts(book: Book, curves: Curves, singles: Mapping[str, GroupBid]) -> Iterator[Floats]:
    """Log prices to begin with: the reference, what single groups would pay, and tâtonnement."""
    zero = np.zeros(len(book.assets))
    if singles:
        yield _singles_start(book, singles)
    yield zero
    for reach in (NARROW, WIDE):
        yield tatonnement(book, curves, zero, TATONNEMENT_ROUNDS, reach)


def _singles_start(book: Book, singles: Mapping[str, GroupBid]) -> Floats:
    """The prices of the single-group bids, the best first, as far as they do not contradict."""
    known: dict[int, float] = {}
    for bid in sorted(singles.values(), key=lambda bid: (-bid.score, bid.group)):
        logs = {
            book.index[a]: float(np.log(float(p)) - np.log(1 / book.reference[book.index[a]]))
            - 2 * float(np.log(book.reference[book.index[a]]))
            for a, p in bid.proposal.prices.items()
        }
        shared = [i for i in logs if i in known]
        shift = (
            known[shared[0]] - logs[shared[0]] if shared else -float(np.mean(list(logs.values())))
        )
        for i, value in logs.items():
            known.setdefault(i, value + shift)
    delta = np.zeros(len(book.assets))
    for i, value in known.items():
        delta[i] = value
    return delta


def _seconds(deadline: Deadline) -> float:
    return min(LP_SECONDS, deadline.remaining())
