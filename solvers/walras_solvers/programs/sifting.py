"""Linear programs with many columns and few rows, by sifting.

At an optimum no more columns lie between their bounds than there are rows. So first only those
columns enter whose reduced cost at guessed duals is next to nothing; the others stay at the bound
that its sign asks for. Then those enter that the new duals would rather have at their other bound,
until there are none: what is found then is optimal in the whole program. Rows may lack something,
at a penalty, so that every restricted program has a solution.

Source: Bixby, Gregory, Lustig, Marsten, Shanno, "Very large-scale linear programming: a case study
in combining interior point and simplex methods", Operations Research 40(5), 1992.
"""

import numpy as np

from walras_solvers.programs.arrays import Floats, Ints, Mask
from walras_solvers.programs.effort import Effort
from walras_solvers.programs.model import Model, Solution

FIRST = 1_500
"""Columns that enter at first, or four for each row that they share."""

ROUNDS = 30

PENALTY = 1e3
"""What a row that lacks something costs, for each unit of the greatest objective."""

TOLERANCE = 1e-9
"""Reduced costs below this are nothing; GLOP's tolerance is 1e-6."""


def sift(model: Model, many: Mask, duals: Floats, effort: Effort) -> Solution | None:
    """The solution; None where sifting does not lead to one.

    Args:
        model: without integer columns.
        many: column → whether it may be left out for a while; its bounds are finite.
        duals: row → a guess. For a maximum: what one more unit of the row's bounds would bring.
        effort: spent on it.
    """
    shared = np.unique(model.row[many[model.column]])
    under = shared[np.isfinite(model.row_low[shared])]
    over = shared[np.isfinite(model.row_high[shared])]
    cost = _reduced(model, duals)
    fixed = np.where(cost > 0, model.high, model.low)
    candidates = np.flatnonzero(many)
    closest = np.argsort((np.abs(cost) / _scale(model, duals))[candidates], kind="stable")
    active = ~many
    active[candidates[closest[: max(FIRST, 4 * len(shared))]]] = True
    for _ in range(ROUNDS):
        inside = np.flatnonzero(active)
        found = _restricted(model, active, fixed, under, over).solve(effort)
        if found is None:
            return None
        cost = _reduced(model, found.duals)
        wrong = ~active & (
            ((fixed <= model.low) & (cost > TOLERANCE))
            | ((fixed > model.low) & (cost < -TOLERANCE))
        )
        if not np.any(wrong):
            if np.any(found.values[len(inside) :] > TOLERANCE):
                return None  # there is no solution without a lack, or none at such a penalty
            values = fixed.copy()
            values[inside] = found.values[: len(inside)]
            return Solution(values, found.duals, float(model.objective @ values))
        active |= wrong
    return None


def _restricted(model: Model, active: Mask, fixed: Floats, under: Ints, over: Ints) -> Model:
    """The active columns, the others at their bounds, and columns for what rows lack."""
    inside = np.flatnonzero(active)
    count, lacks = len(inside), len(under) + len(over)
    place = np.full(len(active), -1)
    place[inside] = np.arange(count)
    kept = active[model.column]
    left = ~kept
    moved = np.bincount(
        model.row[left], model.value[left] * fixed[model.column[left]], len(model.row_low)
    )
    top = np.abs(model.objective).max(initial=0.0)
    return Model(
        low=np.concatenate([model.low[inside], np.zeros(lacks)]),
        high=np.concatenate([model.high[inside], np.full(lacks, np.inf)]),
        objective=np.concatenate([model.objective[inside], np.full(lacks, -PENALTY * top)]),
        integer=np.zeros(count + lacks, dtype=np.bool_),
        row_low=model.row_low - moved,
        row_high=model.row_high - moved,
        row=np.concatenate([model.row[kept], under, over]),
        column=np.concatenate([place[model.column[kept]], count + np.arange(lacks)]),
        value=np.concatenate([model.value[kept], np.ones(len(under)), -np.ones(len(over))]),
    )


def _reduced(model: Model, duals: Floats) -> Floats:
    """Column → what one more unit of it would bring at these duals."""
    spent = np.bincount(model.column, model.value * duals[model.row], len(model.low))
    return np.asarray(model.objective - spent)


def _scale(model: Model, duals: Floats) -> Floats:
    """Column → the size of what its reduced cost is a difference of."""
    size = np.bincount(model.column, np.abs(model.value * duals[model.row]), len(model.low))
    return np.asarray(np.abs(model.objective) + size + 1e-12)
