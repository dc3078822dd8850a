"""What each group can have on its own: the best bid for it alone, by paths and by splits.

Others may send these bids. A bid for several groups is then dropped unless it brings each of them
as much (protocol §6), so they are what a batch is measured by.
"""

from collections import defaultdict

from walras.sdk import Deadline, OpenIntent, Problem
from walras_solvers.baseline import GroupBid, group_bids
from walras_solvers.router.markets import clear
from walras_solvers.router.split import Splitter

PATHS = 0.25
"""Of the time, at most, for single paths."""

SPLITS = 0.4
"""Of the time, at most, until splits have ended."""

MOST = 60
"""Groups that are split over several paths: those whose single paths score most."""


def single_bids(problem: Problem, deadline: Deadline) -> dict[str, GroupBid]:
    """Group → the best bid found that touches it alone."""
    seconds = deadline.remaining()
    until = seconds * (1 - SPLITS)
    found = {bid.group: bid for bid in group_bids(problem, Deadline.after(seconds * PATHS))}
    members: defaultdict[str, list[OpenIntent]] = defaultdict(list)
    for one in problem.intents.values():
        if one.intent.group in found:
            members[one.intent.group].append(one)
    splitter = Splitter(problem.venues, lambda: deadline.remaining() <= until) if found else None
    for group in sorted(found, key=lambda group: (-found[group].score, group))[:MOST]:
        split = None if splitter is None else clear(problem, splitter, members[group])
        if split is not None and split.score > found[group].score:
            found[group] = GroupBid(group, split.proposal, split.score)
    return found
