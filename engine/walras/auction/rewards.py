"""Rewards (protocol §6, step 5): what a solver adds to the total, up to a cap, and the proofs."""

from walras.auction.awarded import reward
from walras.auction.components import Balances
from walras.auction.selection import EFFORT, STEPS, Selection, select
from walras.core.bids import Reward
from walras.protocol.certificate import Reference


def rewards(
    selection: Selection, balances: Balances, cap: int, *, effort: int = EFFORT
) -> tuple[tuple[Reward, ...], tuple[Reference, ...]]:
    """The rewards of the solvers that won, by ascending key, and what proves their references.

    reference_i is the best total of the same bids without solver i's; only the components in which
    it won can change, and only those are solved again. reward_i = min(cap, total − reference_i).
    Where the effort ends before a reference is proven, its proven upper bound stands for it, so
    that no reward is too high; it is never negative.

    Args:
        selection: over the bids that fairness kept.
        balances: that it was made with.
        cap: score units.
        effort: for all references together.
    """
    ordered = sorted(bid.id for part in selection.parts for bid in part.component.bids)
    numbers = {identity: number for number, identity in enumerate(ordered)}
    solvers = sorted({bid.bid.solver for bid in selection.winners})
    made, proofs = [], []
    for solver in solvers:
        value, without = 0, []
        for part in selection.parts:
            if any(bid.bid.solver == solver for bid in part.winners):
                without += [bid for bid in part.component.bids if bid.bid.solver != solver]
            else:
                value += part.bound
        best = select(
            without,
            balances,
            None,
            effort=effort // len(solvers),
            steps=STEPS // len(solvers),
        )
        made.append(reward(solver, value + best.bound, selection.total, cap))
        attained = tuple(sorted(numbers[bid.id] for bid in best.winners))
        proofs.append(Reference(solver, attained, best.trees))
    return tuple(made), tuple(proofs)
