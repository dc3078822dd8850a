"""The search for prices: several starts, then local improvement, then exact proposals.

Work is counted in steps, so that with time enough the same problem gives the same proposals; the
deadline only cuts it short.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from walras.sdk import Deadline, Problem, Proposal
from walras_solvers.baseline import GroupBid
from walras_solvers.optimizer.book import Book, make_book
from walras_solvers.optimizer.bridges import bridged
from walras_solvers.optimizer.climb import QUICK, ROUNDS, STEPS, climb, quick, without_idle
from walras_solvers.optimizer.conditions import Bounds, free_bounds
from walras_solvers.optimizer.fills import Clearing, clear, restore
from walras_solvers.optimizer.integrality import choose, without_lumps
from walras_solvers.optimizer.outbox import Outbox, State
from walras_solvers.optimizer.pools import Curves, Edge, make_curves
from walras_solvers.optimizer.prices import NARROW, WIDE, tatonnement
from walras_solvers.optimizer.routes import routed
from walras_solvers.optimizer.singles import path_bids, ranked, split_bids
from walras_solvers.programs import Effort, Floats, Mask, total

WORK = 8_000_000  # in all
SENDING = 0.05  # of the time that is kept for sending
CURVES = 0.3  # of the time, at most, for sampling venues
PATHS = 0.25  # of the time, at most, for single paths
SPLITS, LARGE_SPLITS = 0.4, 0.15  # and for splits, where something was sent before
LARGE = 1_000  # columns of a batch of which something is sent before anything is looked for
KICK = (0.01, 0.003, 0.03, 0.06)  # standard deviations of random moves, in log prices, in turn
SHAKEN = (1.0, 0.2, 0.5)  # the part of the assets that is moved, in turn
TIGHT = 1e-4  # an intent this close to its limit may block a move of the prices
UNBLOCKED = 0.3  # the part of those that is left out for a while
PATIENCE = 60  # kicks in a row that may lead to nothing better
KICKS_PER_INTENT = 2  # as many are tried of a small batch
GROWTH = 1e-5  # by how much, in parts, a batch scores more than the last one that was sent
SAME = 1e-6  # scores that differ by less, in parts, are taken for one
GAIN = 1e-9  # what counts as better, in parts
NEARLY = 0.5  # a climb that is below this part of the best is not carried on
RADII = (0.01, 3e-4, 1e-5)  # of prices' moves, one after the other
WIDTHS = (0.5, 0.1, 0.02, 0.004)  # of the curves around the pools' flows, one after the other
FAIRNESS = 1e-6  # by how much more a group is given than it is owed
SPARE = 1e-8  # part of the pools' flows that is left over, for rounding
SINGLES_FIRST = 4  # single-group bids that are sent before anything else
CHOICES = 3  # of lumps and groups from one start, each at the prices that the one before led to
WAYS = 3  # times that second directions of venues are taken away
GAINS = (0.003, 0.01, 0.03, 0.1)  # what pools may bring, in parts of their flows, at most
SINGLY = 12  # edges that are tried without one by one


def search(problem: Problem, deadline: Deadline, most: int) -> Iterator[Proposal]:
    """Proposals, at most `most`: the batch as a whole, its parts, and groups on their own.

    A large batch is first sent as it can be had soon, whether or not that is fair to all; then as
    fair as the groups' best paths ask for; then, like any other, as their splits do.
    """
    seconds = deadline.remaining()
    effort = Effort(deadline, WORK, seconds * SENDING)
    mending = Effort(deadline, WORK)
    book = make_book(problem)
    if not book.intents or effort.seconds == 0.0:
        return
    curves = make_curves(book, Effort(deadline.within(seconds * CURVES), WORK))
    outbox = Outbox(problem, {}, most)
    large = len(book.intents) + len(curves.edge) > LARGE
    start: Floats | None = None
    if large:
        for state in quick(book, curves, effort):
            start = state.at.delta
            yield from outbox.send(book, state, mending, GROWTH, parts=False)
    paths = path_bids(problem, deadline.within(seconds * PATHS))
    for bid in ranked(paths)[: SINGLES_FIRST if large else 0]:
        yield from outbox.post(bid.proposal)
    if start is not None:
        outbox.judged_by(paths)
        for state in _fair(book, curves, paths, start, effort):
            start = state.at.delta
            yield from outbox.send(book, state, mending, GROWTH, parts=False)
    singles = split_bids(
        problem, paths, deadline.within(seconds * (LARGE_SPLITS if large else SPLITS))
    )
    for bid in ranked(singles)[:SINGLES_FIRST]:
        yield from outbox.post(bid.proposal)
    outbox.judged_by(singles)
    best: State | None = None
    for best in [] if effort.spent else _states(book, curves, singles, start, effort):
        yield from outbox.send(book, best, mending, GROWTH)
    if best is not None:
        yield from outbox.send(book, best, mending, 0.0)
    for bid in ranked(singles)[SINGLES_FIRST:]:
        if bid.group not in outbox.served:
            yield from outbox.post(bid.proposal)


def _bounds(book: Book, curves: Curves, singles: Mapping[str, GroupBid]) -> Bounds:
    """Nothing but what groups must have, if they are served."""
    baselines = np.array(
        [(singles[g].score + 1) / book.scale if g in singles else 0.0 for g in book.groups]
    )
    return replace(free_bounds(book, curves), baselines=baselines * (1 + FAIRNESS))


def _fair(
    book: Book, curves: Curves, singles: Mapping[str, GroupBid], delta: Floats, effort: Effort
) -> Iterator[State]:
    """States that serve no group worse than its own bid does, at once and after a short climb."""
    bounds = _bounds(book, curves, singles)
    chosen = _choose_one_way(book, curves, bounds, delta, effort)
    if chosen is None:
        return
    decided, at = chosen
    decided, at = without_idle(book, curves, decided, at, effort)
    yield State(curves, decided, at)
    at = climb(book, curves, decided, at, effort, steps=QUICK)
    yield State(curves, decided, at)


def _states(
    book: Book,
    curves: Curves,
    singles: Mapping[str, GroupBid],
    known: Floats | None,
    effort: Effort,
) -> Iterator[State]:
    """Better and better states, the first ones from `known` log prices."""
    bounds = _bounds(book, curves, singles)
    best: State | None = None
    starts = _starts(book, curves, singles, effort)
    for start in starts if known is None else chain([known], starts):
        before, reached = best, 0.0
        for state in _from_start(book, curves, bounds, start, effort):
            reached = max(reached, state.at.score)
            if state.at.score > 0 and (best is None or state.at.score > best.at.score):
                best = state
                yield best
            if effort.spent:
                return
        if effort.spent:
            return
        if before is not None and abs(reached - before.at.score) <= SAME * before.at.score:
            break  # two starts that lead to one place: so will the others
    rng = np.random.default_rng(0)
    kick, last = 0, 0
    patience = min(KICKS_PER_INTENT * len(book.intents), PATIENCE)
    while not effort.spent and kick - last <= max(patience, last // 2):
        found = _kicked(book, best, kick, rng, effort)
        kick += 1
        if found is not None and (best is None or found.at.score > best.at.score * (1 + GAIN)):
            best, last = found, kick
            yield best


def _kicked(
    book: Book, best: State | None, kick: int, rng: np.random.Generator, effort: Effort
) -> State | None:
    """What is reached from near the best: from shaken prices, or where they went without what
    blocked them.
    """
    if best is None:
        return None
    curves, bounds = best.curves, best.bounds
    if kick % 3 == 2:
        at = _unblocked(book, best, rng, effort)
    else:
        shaken = rng.random(len(book.assets)) < SHAKEN[kick // 3 % len(SHAKEN)]
        noise = rng.normal(0.0, KICK[kick % len(KICK)], len(book.assets)) * shaken
        delta = (best.at.delta if kick % 3 else np.zeros(len(noise))) + noise
        at = clear(book, curves, delta, bounds, effort)
    if at is None:
        return None
    for radius in RADII:  # a climb that is stuck with one step may go on with another
        at = climb(book, curves, bounds, at, effort, radius=radius, finest=radius / 100)
        if at.score < best.at.score * NEARLY:
            return None
    return replace(best, at=at)


def _unblocked(
    book: Book, best: State, rng: np.random.Generator, effort: Effort
) -> Clearing | None:
    """A clearing where prices go once some of the fills at their limits are left out."""
    g = book.settlements(best.at.delta)
    tight = (best.at.x > 0) & (best.bounds.low <= 0) & (g - book.limit < TIGHT * np.abs(g))
    out = tight & (rng.random(len(tight)) < UNBLOCKED)
    freer = replace(best.bounds, high=np.where(out, 0.0, best.bounds.high))
    at = clear(book, best.curves, best.at.delta, freer, effort)
    if at is None:
        return None
    delta = climb(book, best.curves, freer, at, effort, steps=STEPS // 4).delta
    return clear(book, best.curves, delta, best.bounds, effort)


def _from_start(
    book: Book, curves: Curves, bounds: Bounds, delta: Floats, effort: Effort
) -> Iterator[State]:
    """What can be reached from the prices `delta`."""
    if not np.any(bounds.baselines > 0):
        free = without_lumps(book, bounds)
        at = clear(book, curves, delta, free, effort)
        if at is not None:
            at = climb(book, curves, free, at, effort)
            yield from _with_pools(book, curves, free, at, effort)
            delta = at.delta
        if not np.any(book.lumpy | book.coarse):
            return
    score = 0.0
    for _ in range(CHOICES):
        chosen = _choose_one_way(book, curves, bounds, delta, effort)
        if chosen is None or effort.spent:
            return
        decided, at = chosen
        at = climb(book, curves, decided, at, effort, steps=STEPS // 4)
        yield from _with_pools(book, curves, decided, at, effort)
        if at.score <= score * (1 + SAME):
            return
        delta, score = at.delta, at.score


def _choose_one_way(
    book: Book, curves: Curves, bounds: Bounds, delta: Floats, effort: Effort
) -> tuple[Bounds, Clearing] | None:
    """A choice that uses every venue in one direction only: a second one would see other prices."""
    relaxed = clear(book, curves, delta, bounds, effort)
    for _ in range(WAYS):
        single = bounds if relaxed is None else _one_way(curves, bounds, relaxed.y)
        if single is bounds:
            break
        bounds = single
        relaxed = clear(book, curves, delta, bounds, effort)
    if relaxed is None:
        return None
    chosen = choose(book, curves, relaxed, bounds, effort)
    if chosen is None:
        return None
    decided, at = chosen
    single = _one_way(curves, decided, at.y)
    found = at if single is decided else restore(book, curves, at, single, effort)
    return None if found is None else (single, found)


def _one_way(curves: Curves, bounds: Bounds, y: Floats) -> Bounds:
    """The bounds without the smaller flows of venues that are used in several directions."""
    best: dict[str, int] = {}
    several = bounds.edges.copy()
    for j in np.flatnonzero(y > 0).tolist():
        venue = curves.edges[j].venue
        i = best.setdefault(venue, j)
        if i != j:
            best[venue], loser = (j, i) if y[j] > y[i] else (i, j)
            several[loser] = False
    return bounds if np.array_equal(several, bounds.edges) else replace(bounds, edges=several)


def _with_pools(
    book: Book, curves: Curves, bounds: Bounds, at: Clearing, effort: Effort
) -> Iterator[State]:
    """The state with only the pools that pay for themselves, their curves refined around their
    flows.
    """
    if not np.any(at.y > 0):
        yield State(curves, bounds, at)
        return
    bounds, at = _prune(book, curves, bounds, at, effort)
    around = {curves.edges[j]: float(at.y[j]) for j in np.flatnonzero(at.y > 0)}
    last = None
    for last in _refined(book, curves, bounds, at, around, effort):
        yield last
    if last is None or effort.spent:
        return
    used = {last.curves.edges[j]: float(last.at.y[j]) for j in np.flatnonzero(last.at.y > 0)}
    tried = [used.keys()]
    for planned in (routed(book, last.at, effort), bridged(book, last.at, used)):
        if planned and planned.keys() not in tried:
            tried.append(planned.keys())
            yield from _refined(book, last.curves, last.bounds, last.at, planned, effort)


def _refined(
    book: Book,
    curves: Curves,
    bounds: Bounds,
    at: Clearing,
    around: dict[Edge, float],
    effort: Effort,
) -> Iterator[State]:
    """States with these edges only, their curves finer and finer around their flows."""
    for width in WIDTHS:
        curves = make_curves(book, effort, around, width)
        spare = _leg_atoms(book, at)
        for edge, value in around.items():
            for asset in (edge.asset_in, edge.asset_out):
                spare[book.index[asset]] += SPARE * value
        bounds = replace(bounds, edges=np.ones(len(curves.edges), dtype=np.bool_), spare=spare)
        again = restore(book, curves, replace(at, y=np.zeros(len(curves.edges))), bounds, effort)
        if again is None:
            return
        at = climb(book, curves, bounds, again, effort, steps=STEPS // 4)
        yield State(curves, bounds, at)
        around = {curves.edges[j]: float(at.y[j]) for j in np.flatnonzero(at.y > 0)}
        if not around:
            return


def _leg_atoms(book: Book, at: Clearing) -> Floats:
    """Asset → some atoms for each fill of several legs: no single fill mends their rounding."""
    legs = np.bincount(book.leg_column, minlength=len(book.intents))
    several = (legs > 1) & (at.x > 0)
    entries = several[book.leg_column]
    unit = np.abs(book.leg_worth) * book.worth[book.leg_column]
    atoms = total(book.leg_asset[entries], 2 * unit[entries], len(book.assets))
    return atoms + total(
        book.settle[several], 2 * book.reference[book.settle[several]], len(book.assets)
    )


def _prune(
    book: Book, curves: Curves, bounds: Bounds, at: Clearing, effort: Effort
) -> tuple[Bounds, Clearing]:
    """Leave out edges that cost more than they bring: the small ones together, then one by one."""
    cost = np.array([edge.cost for edge in curves.edges])
    used = at.y > 0
    single = _one_way(curves, replace(bounds, edges=used), at.y).edges
    if not np.array_equal(single, used):
        tried = replace(bounds, edges=single)
        found = restore(book, curves, at, tried, effort)
        if found is not None:
            used, at = single & (found.y > 0), found
    for gain in GAINS:
        fewer = used & (at.y * gain > cost)
        if not np.array_equal(fewer, used):
            used, at = _without(book, curves, bounds, at, used, fewer, effort)
    for j in sorted(np.flatnonzero(used).tolist(), key=lambda j: float(at.y[j]))[:SINGLY]:
        fewer = used.copy()
        fewer[j] = False
        used, at = _without(book, curves, bounds, at, used, fewer, effort)
    return replace(bounds, edges=used), at


def _without(
    book: Book,
    curves: Curves,
    bounds: Bounds,
    at: Clearing,
    used: Mask,
    fewer: Mask,
    effort: Effort,
) -> tuple[Mask, Clearing]:
    """`fewer` edges and the clearing with them, if that scores as much as with those `used`."""
    tried = replace(bounds, edges=fewer)
    found = restore(book, curves, at, tried, effort)
    if found is not None:
        found = climb(book, curves, tried, found, effort, steps=2)
        if found.score >= at.score:
            return fewer & (found.y > 0), found
    return used, at


def _starts(
    book: Book, curves: Curves, singles: Mapping[str, GroupBid], effort: Effort
) -> Iterator[Floats]:
    """Log prices to begin with: the reference, what single groups would pay, and tâtonnement."""
    zero = np.zeros(len(book.assets))
    if singles:
        yield _singles_start(book, singles)
    yield zero
    for reach in (NARROW, WIDE):
        yield tatonnement(book, curves, zero, ROUNDS, effort, reach)


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
