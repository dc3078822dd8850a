"""Linear programs in bulk: blocks of columns, rows and entries, solved by OR-Tools."""

import datetime as dt
from dataclasses import dataclass, field

import numpy as np
from ortools.glop import parameters_pb2
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt

from walras_solvers.optimizer.book import Floats, Ints


@dataclass(frozen=True, slots=True)
class Solution:
    """An optimal (or for mixed-integer programs the best found) solution."""

    values: Floats
    duals: Floats
    objective: float


@dataclass(slots=True)
class Program:
    """Maximise objective·v subject to low ≤ A·v ≤ high and bounds on v."""

    _columns: list[tuple[Floats, Floats, Floats, bool]] = field(default_factory=list)
    _rows: list[tuple[Floats, Floats]] = field(default_factory=list)
    _entries: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    _width: int = 0
    _height: int = 0

    def columns(
        self, low: Floats, high: Floats, objective: Floats, *, integer: bool = False
    ) -> Ints:
        """New variables; their numbers."""
        self._columns.append((low, high, objective, integer))
        self._width += len(low)
        return np.arange(self._width - len(low), self._width)

    def rows(self, low: Floats, high: Floats) -> Ints:
        """New constraints; their numbers."""
        self._rows.append((low, high))
        self._height += len(low)
        return np.arange(self._height - len(low), self._height)

    def add(self, rows: Ints, columns: Ints, values: Floats) -> None:
        """New entries of A; several at one place are summed."""
        self._entries.append((rows, columns, values))

    def solve(self, seconds: float, *, nodes: int = 200) -> Solution | None:
        """The solution; None where there is none, or none within the time."""
        if seconds <= 0.0:
            return None
        model = mathopt.Model.from_model_proto(self._proto())
        integer = any(block[3] for block in self._columns)
        limit = dt.timedelta(seconds=seconds)
        if integer:
            parameters = mathopt.SolveParameters(
                time_limit=limit,
                node_limit=nodes,
                threads=1,
                random_seed=1,
                relative_gap_tolerance=1e-6,
            )
            result = mathopt.solve(model, mathopt.SolverType.GSCIP, params=parameters)
        else:
            # Whatever is imprecise is found and mended in exact arithmetic later.
            parameters = mathopt.SolveParameters(
                time_limit=limit,
                glop=parameters_pb2.GlopParameters(change_status_to_imprecise=False),
            )
            try:
                result = mathopt.solve(model, mathopt.SolverType.GLOP, params=parameters)
            except (AttributeError, ValueError, RuntimeError):
                # GLOP gave up on the numbers; OR-Tools 9.15 then fails to make its own exception.
                return None
        if not result.has_primal_feasible_solution():
            return None
        values = np.array(result.variable_values(list(model.variables())))
        duals = np.zeros(self._height)
        if result.has_dual_feasible_solution():
            duals = np.array(result.dual_values(list(model.linear_constraints())))
        return Solution(values, duals, result.objective_value())

    def _proto(self) -> model_pb2.ModelProto:
        proto = model_pb2.ModelProto()
        for low, high, _, integer in self._columns:
            proto.variables.lower_bounds.extend(low.tolist())
            proto.variables.upper_bounds.extend(high.tolist())
            proto.variables.integers.extend([integer] * len(low))
        proto.variables.ids.extend(range(self._width))
        proto.objective.maximize = True
        objective = np.concatenate([block[2] for block in self._columns])
        proto.objective.linear_coefficients.ids.extend(range(self._width))
        proto.objective.linear_coefficients.values.extend(objective.tolist())
        for low, high in self._rows:
            proto.linear_constraints.lower_bounds.extend(low.tolist())
            proto.linear_constraints.upper_bounds.extend(high.tolist())
        proto.linear_constraints.ids.extend(range(self._height))
        rows, columns, values = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        place, inverse = np.unique(rows * self._width + columns, return_inverse=True)
        matrix = proto.linear_constraint_matrix
        matrix.row_ids.extend((place // self._width).tolist())
        matrix.column_ids.extend((place % self._width).tolist())
        matrix.coefficients.extend(np.bincount(inverse, values, len(place)).tolist())
        return proto
