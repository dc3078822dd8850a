"""What each group can have on its own: the best bid for it alone, by paths and by splits.

Others may send these bids. A bid for several groups is then dropped unless it brings each of them
as much (protocol §6), so they are what a batch is measured by.
"""

from collections import defaultdict
from collections.abc import Mapping

from walras.sdk import Deadline, OpenIntent, Problem
from walras_solvers.baseline import GroupBid, group_bids
from walras_solvers.router.markets import clear
from walras_solvers.router.split import Splitter

MOST = 60
"""Groups that are split over several paths: those whose single paths score most."""


def path_bids(problem: Problem, deadline: Deadline) -> dict[str, GroupBid]:
    """Group → the best bid along single paths that touches it alone."""
    return {bid.group: bid for bid in group_bids(problem, deadline)}


def split_bids(
    problem: Problem, paths: Mapping[str, GroupBid], deadline: Deadline
) -> dict[str, GroupBid]:
    """Group → the best bid found that touches it alone; those that score most may be split."""
    found = dict(paths)
    if not found or deadline.remaining() == 0.0:
        return found
    members: defaultdict[str, list[OpenIntent]] = defaultdict(list)
    for one in problem.intents.values():
        if one.intent.group in found:
            members[one.intent.group].append(one)
    splitter = Splitter(problem.venues, lambda: deadline.passed)
    for group in sorted(found, key=lambda group: (-found[group].score, group))[:MOST]:
        if deadline.passed:
            break
        split = clear(problem, splitter, members[group])
        if split is not None and split.score > found[group].score:
            found[group] = GroupBid(group, split.proposal, split.score)
    return found


def single_bids(problem: Problem, deadline: Deadline) -> dict[str, GroupBid]:
    """Group → the best bid found that touches it alone, by paths and splits."""
    return split_bids(problem, path_bids(problem, deadline), deadline)


def ranked(bids: Mapping[str, GroupBid]) -> list[GroupBid]:
    """The bids, those first that score most."""
    return sorted(bids.values(), key=lambda bid: (-bid.score, bid.group))
