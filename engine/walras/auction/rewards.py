"""Rewards (protocol §6, step 5): what a solver adds to the total, up to a cap."""

from walras.auction.selection import EFFORT, Balances, Selection, best_total
from walras.core.bids import Reward


def rewards(selection: Selection, balances: Balances, cap: int) -> tuple[Reward, ...]:
    """The rewards of the solvers that won, by ascending key.

    reference_i is the best total of the same bids without solver i's; only the parts in which it
    won can change. reward_i = min(cap, total − reference_i). Where the effort ended before the
    total was proven the best, the reference may turn out higher; the reward is then 0.

    Args:
        selection: over the bids that fairness kept.
        balances: that it was made with.
        cap: score units.
    """
    solvers = sorted({bid.bid.solver for bid in selection.winners})
    # All references together are allowed as much work as the selection was.
    return tuple(
        _reward(selection, balances, cap, solver, EFFORT / len(solvers)) for solver in solvers
    )


def _reward(
    selection: Selection, balances: Balances, cap: int, solver: bytes, effort: float
) -> Reward:
    reference = selection.total
    for part in selection.parts:
        if any(bid.bid.solver == solver for bid in part.winners):
            others = [bid for bid in part.bids if bid.bid.solver != solver]
            reference += best_total(others, balances, effort=effort) - part.total
    return Reward(solver, reference, max(0, min(cap, selection.total - reference)))
