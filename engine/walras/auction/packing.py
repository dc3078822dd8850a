"""A better choice for a component that branch and bound left open, by OR-Tools CP-SAT.

It learns from conflicts, which the search does not, and so gets further where relaxations are weak.
It works with what fits its 64 bits: the leading bits of the weights, and budgets nearly. What comes
out is a choice; what it is worth, and what bounds it, is for others to say.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

from ortools.sat.python import cp_model

from walras.auction.components import Budget, Component
from walras.core.errors import Reason, WalrasError

SAFE_BITS = 61
"""CP-SAT refuses linear expressions that could reach 2^62. Sums of this many bits cannot."""

EFFORT = 2.0
"""Of one call, in CP-SAT's deterministic seconds: the same on every machine."""


def pack(component: Component, start: Collection[int], effort: float = EFFORT) -> tuple[int, ...]:
    """Places that may win together and weigh at least as much as `start` do, ascending."""
    model = cp_model.CpModel()
    x = [model.new_bool_var("") for _ in component.places]
    for row in component.rows:
        model.add_at_most_one([x[b] for b in row])
    for budget in component.budgets:
        _limit(model, x, budget)
    shift = max(0, sum(component.weights).bit_length() - SAFE_BITS)
    weights = [weight >> shift for weight in component.weights]
    model.maximize(cp_model.LinearExpr.weighted_sum(x, weights))
    for b, variable in enumerate(x):
        model.add_hint(variable, b in start)
    best, spent = tuple(sorted(start)), 0.0
    while spent < effort:
        solver = _solver(effort - spent)
        status = solver.solve(model)
        spent += solver.response_proto.deterministic_time
        if status == cp_model.UNKNOWN:
            break
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            # Some choice always keeps the constraints, so that is a fault of ours and no bid's.
            raise WalrasError(Reason.INTERNAL, f"CP-SAT: {solver.status_name(status)}")
        found = tuple(b for b, variable in enumerate(x) if solver.boolean_value(variable))
        covers = [cover for budget in component.budgets for cover in overspent(budget, found)]
        if not covers:
            return max(best, found, key=lambda those: sum(component.weights[b] for b in those))
        for members, most in covers:
            model.add(cp_model.LinearExpr.sum([x[b] for b in members]) <= most)
    return best


def _limit(model: cp_model.CpModel, x: Sequence[cp_model.IntVar], budget: Budget) -> None:
    """Add the budget, as nearly as fits int64.

    Σ floor(spend / 2^d) · x ≤ floor(balance / 2^d) follows from Σ spend · x ≤ balance. Where d > 0
    it allows slightly too much, which `overspent` finds.
    """
    d = max(0, sum(budget.spends.values()).bit_length() - SAFE_BITS)
    scaled = [spent >> d for spent in budget.spends.values()]
    total = cp_model.LinearExpr.weighted_sum([x[b] for b in budget.spends], scaled)
    model.add(total <= min(budget.balance >> d, sum(scaled)))


def overspent(budget: Budget, chosen: Collection[int]) -> Iterator[tuple[list[int], int]]:
    """An extended cover inequality that `chosen` breaks, if it spends too much: places, and how
    many of them may be chosen at most.

    A cover C overspends and none of its proper subsets does; of C and the places that spend at
    least as much as each of C, at most |C| − 1 may be chosen.
    """
    spends = budget.spends
    falling = sorted((b for b in spends if b in chosen), key=lambda b: -spends[b])
    for size, spent in enumerate(accumulate(spends[b] for b in falling), start=1):
        if spent > budget.balance:
            most = spends[falling[0]]
            extended = {b for b, amount in spends.items() if amount >= most}
            yield sorted(extended.union(falling[:size])), size - 1
            return


def _solver(effort: float) -> cp_model.CpSolver:
    """One worker and a fixed seed: the same model gives the same answer."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = effort
    # Gaps are measured in floating point, where great scores that differ look the same.
    solver.parameters.absolute_gap_limit = 0
    solver.parameters.relative_gap_limit = 0
    solver.parameters.catch_sigint_signal = False
    return solver
