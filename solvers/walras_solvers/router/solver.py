"""The solver: single paths first, then splits, then markets that share venues."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from walras.sdk import Deadline, Description, OpenIntent, Problem, Proposal, tradable
from walras_solvers.baseline import GroupBid, group_bids
from walras_solvers.router.joint import Market, join, opposite, send
from walras_solvers.router.markets import Cleared, checked, clear
from walras_solvers.router.sparse import warm
from walras_solvers.router.split import Splitter

PATHS_SHARE, SPARE_SHARE = 0.3, 0.15
"""Of the time: for single paths at most; and kept back, so that what was found is sent."""


class Router:
    """Splits what a market gives over all venues at once."""

    def __init__(self) -> None:
        """Compiles what is compiled, so that the first problem does not wait for it."""
        warm()

    def describe(self) -> Description:
        """Name and version."""
        return Description("router", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
        """A bid for every market that can be served at a profit along single paths; then better
        ones.
        """
        whole = deadline.remaining()
        room = problem.rules.max_bids
        paths: dict[str, GroupBid] = {}
        for bid in group_bids(problem, deadline.within(PATHS_SHARE * whole)):
            if deadline.passed or len(paths) == room:
                return
            paths[bid.group] = bid
            yield bid.proposal

        def late() -> bool:
            return deadline.remaining() <= SPARE_SHARE * whole

        sent = [bid.proposal for bid in paths.values()]
        for made in _better(problem, paths, late):
            if made.proposal not in sent and len(sent) < room:
                sent.append(made.proposal)
                yield made.proposal


def _better(
    problem: Problem, paths: Mapping[str, GroupBid], late: Callable[[], bool]
) -> list[Cleared]:
    """The bids that let the auction award more than single paths do."""
    if not problem.venues or late():
        return []
    splitter = Splitter(problem.venues, late)
    markets = []
    for group, members in _ranked(problem, paths):
        if late():
            break
        known = paths.get(group)
        path = checked(problem, known.proposal) if known else None
        split = clear(problem, splitter, members)
        solo = max((one for one in (path, split) if one), key=lambda one: one.score, default=None)
        if solo is not None:
            markets.append(Market(members, {group: path.score} if path else {}, solo, path))
    markets = opposite(problem, splitter, markets)
    return send(markets, join(problem, splitter, markets))


def _ranked(problem: Problem, paths: Mapping[str, GroupBid]) -> list[tuple[str, list[OpenIntent]]]:
    """The groups, those first whose paths score most."""
    groups: defaultdict[str, list[OpenIntent]] = defaultdict(list)
    for found in problem.intents.values():
        if tradable(problem, found):
            groups[found.intent.group].append(found)
    scores = {group: bid.score for group, bid in paths.items()}
    return sorted(groups.items(), key=lambda item: (-scores.get(item[0], 0), item[0]))
