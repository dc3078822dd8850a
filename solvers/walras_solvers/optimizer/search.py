"""The search for prices: several starts, then local improvement, then exact proposals.

Work is counted in steps, so that with time enough the same problem gives the same proposals; the
deadline only cuts it short.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from walras.sdk import Deadline, Problem, Proposal
from walras_solvers.baseline import GroupBid, group_bids
from walras_solvers.optimizer.book import Book, Floats, Mask, make_book, total
from walras_solvers.optimizer.fills import Bounds, Clearing, clear, free_bounds, improve, restore
from walras_solvers.optimizer.integrality import choose, without_lumps
from walras_solvers.optimizer.outbox import Outbox, State, seconds_for
from walras_solvers.optimizer.pools import Curves, make_curves
from walras_solvers.optimizer.prices import NARROW, WIDE, tatonnement

TATONNEMENT_ROUNDS = 200
STEPS = 40  # of local improvement from one start
KICKS = 120  # random restarts near the best
KICK = (0.01, 0.003, 0.03)  # their standard deviations, in log prices, in turn
TIGHT = 1e-4  # an intent this close to its limit may block a move of the prices
UNBLOCKED = 0.3  # the part of those that is left out for a while
PATIENCE = 45  # kicks in a row that may lead to nothing better
WIDTHS = (0.5, 0.1, 0.02, 0.004)  # of the curves around the pools' flows, one after the other
FAIRNESS = 1e-6  # by how much more a group is given than it is owed
SPARE = 1e-8  # part of the pools' flows that is left over, for rounding
SINGLES_FIRST = 4  # single-group bids that are sent before anything else
CHOICES = 3  # of lumps and groups from one start, each at the prices that the one before led to
WAYS = 3  # times that second directions of venues are taken away
GAINS = (0.003, 0.01, 0.03, 0.1)  # what pools may bring, in parts of their flows, at most
SINGLY = 12  # edges that are tried without one by one
SHARE = 0.25  # of the time that single groups may take


def search(problem: Problem, deadline: Deadline, most: int) -> Iterator[Proposal]:
    """Proposals, at most `most`: the batch as a whole, its parts, and groups on their own."""
    deadline = Deadline.after(deadline.remaining() * 0.95)  # the rest is for sending
    book = make_book(problem)
    if not book.intents:
        return
    singles = {
        bid.group: bid for bid in group_bids(problem, Deadline.after(deadline.remaining() * SHARE))
    }
    ranked = sorted(singles.values(), key=lambda bid: (-bid.score, bid.group))
    for bid in ranked[:SINGLES_FIRST]:
        yield bid.proposal
    outbox = Outbox(problem, singles, most - len(ranked[:SINGLES_FIRST]))
    for state in _states(book, singles, deadline):
        yield from outbox.send(book, state, deadline)
    for bid in ranked[SINGLES_FIRST:]:
        if bid.group not in outbox.served:
            yield from outbox.post(bid.proposal)


def _states(book: Book, singles: Mapping[str, GroupBid], deadline: Deadline) -> Iterator[State]:
    """Better and better states."""
    curves = make_curves(book)
    baselines = np.array(
        [(singles[g].score + 1) / book.scale if g in singles else 0.0 for g in book.groups]
    )
    bounds = replace(free_bounds(book, curves), baselines=baselines * (1 + FAIRNESS))
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
    since = 0
    for kick in range(KICKS):
        if deadline.passed or since > PATIENCE:
            return
        since += 1
        at = _kicked(book, best, kick, rng, deadline)
        if at is None:
            continue
        at = _climb(book, best.curves, best.bounds, at, deadline)
        if at.score > best.at.score * (1 + 1e-6):
            since = 0
            best = replace(best, at=at)
            yield best


def _kicked(
    book: Book, best: State, kick: int, rng: np.random.Generator, deadline: Deadline
) -> Clearing | None:
    """A clearing near the best: at shaken prices, or where they went without what blocked them."""
    if kick % 2:
        noise = rng.normal(0.0, KICK[kick // 2 % len(KICK)], len(book.assets))
        delta = best.at.delta + noise
    else:
        g = book.settlements(best.at.delta)
        tight = (best.at.x > 0) & (best.bounds.low <= 0) & (g - book.limit < TIGHT * np.abs(g))
        out = tight & (rng.random(len(tight)) < UNBLOCKED)
        freer = replace(best.bounds, high=np.where(out, 0.0, best.bounds.high))
        at = clear(book, best.curves, best.at.delta, freer, seconds_for(deadline))
        if at is None:
            return None
        delta = _climb(book, best.curves, freer, at, deadline, steps=STEPS // 4).delta
    return clear(book, best.curves, delta, best.bounds, seconds_for(deadline))


def _from_start(
    book: Book, curves: Curves, bounds: Bounds, delta: Floats, deadline: Deadline
) -> Iterator[State]:
    """What can be reached from the prices `delta`."""
    if not np.any(bounds.baselines > 0):
        free = without_lumps(book, bounds)
        at = clear(book, curves, delta, free, seconds_for(deadline))
        if at is not None:
            at = _climb(book, curves, free, at, deadline)
            yield from _with_pools(book, curves, free, at, deadline)
            delta = at.delta
        if not np.any(book.lumpy | book.coarse):
            return
    for _ in range(CHOICES):
        chosen = _choose_one_way(book, curves, bounds, delta, deadline)
        if chosen is None or deadline.passed:
            return
        decided, at = chosen
        at = _climb(book, curves, decided, at, deadline, steps=STEPS // 4)
        yield from _with_pools(book, curves, decided, at, deadline)
        if np.allclose(at.delta, delta, rtol=0.0, atol=1e-6):
            return
        delta = at.delta


def _choose_one_way(
    book: Book, curves: Curves, bounds: Bounds, delta: Floats, deadline: Deadline
) -> tuple[Bounds, Clearing] | None:
    """A choice that uses every venue in one direction only: a second one would see other prices."""
    for _ in range(WAYS):
        relaxed = clear(book, curves, delta, bounds, seconds_for(deadline))
        if relaxed is None:
            return None
        before, bounds = bounds, _one_way(curves, bounds, relaxed.y)
        if bounds is before:
            break
    for _ in range(WAYS):
        chosen = choose(book, curves, delta, bounds, seconds_for(deadline))
        if chosen is None:
            return None
        before, bounds = bounds, _one_way(curves, bounds, chosen[1].y)
        if bounds is before:
            return chosen
    return chosen


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
        spare = _leg_atoms(book, at)
        for edge, value in around.items():
            for asset in (edge.asset_in, edge.asset_out):
                spare[book.index[asset]] += SPARE * value
        bounds = replace(bounds, edges=np.ones(len(curves.edges), dtype=np.bool_), spare=spare)
        again = restore(book, curves, at, bounds, seconds_for(deadline))
        if again is None:
            return
        at = _climb(book, curves, bounds, again, deadline, steps=STEPS // 4)
        yield State(curves, bounds, at)
        if not np.any(at.y > 0):
            break


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
    book: Book, curves: Curves, bounds: Bounds, at: Clearing, deadline: Deadline
) -> tuple[Bounds, Clearing]:
    """Leave out edges that cost more than they bring: the small ones together, then one by one."""
    cost = np.array([edge.cost for edge in curves.edges])
    used = at.y > 0
    single = _one_way(curves, replace(bounds, edges=used), at.y).edges
    if not np.array_equal(single, used):
        tried = replace(bounds, edges=single)
        found = restore(book, curves, at, tried, seconds_for(deadline))
        if found is not None:
            used, at = single & (found.y > 0), found
    for gain in GAINS:
        fewer = used & (at.y * gain > cost)
        if not np.array_equal(fewer, used):
            used, at = _without(book, curves, bounds, at, used, fewer, deadline)
    for j in sorted(np.flatnonzero(used).tolist(), key=lambda j: float(at.y[j]))[:SINGLY]:
        fewer = used.copy()
        fewer[j] = False
        used, at = _without(book, curves, bounds, at, used, fewer, deadline)
    return replace(bounds, edges=used), at


def _without(
    book: Book,
    curves: Curves,
    bounds: Bounds,
    at: Clearing,
    used: Mask,
    fewer: Mask,
    deadline: Deadline,
) -> tuple[Mask, Clearing]:
    """`fewer` edges and the clearing with them, if that scores as much as with those `used`."""
    tried = replace(bounds, edges=fewer)
    found = restore(book, curves, at, tried, seconds_for(deadline))
    if found is not None:
        found = _climb(book, curves, tried, found, deadline, steps=2)
        if found.score >= at.score:
            return fewer & (found.y > 0), found
    return used, at


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
        delta = improve(book, curves, at, bounds, radius, seconds_for(deadline))
        found = None
        if delta is not None:
            found = clear(book, curves, delta, bounds, seconds_for(deadline))
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
