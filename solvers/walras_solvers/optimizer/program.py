"""Linear programs in bulk: blocks of columns, rows and entries, solved by OR-Tools.

Programs go to MathOpt as messages and come back as messages. Its Python objects, one for each
column, would take several times as long as GLOP does.
"""

from dataclasses import dataclass, field

import numpy as np
from ortools.glop import parameters_pb2
from ortools.math_opt import model_pb2, sparse_containers_pb2
from ortools.math_opt.core.python import solver
from ortools.math_opt.python import mathopt
from ortools.math_opt.python.init_arguments import StreamableSolverInitArguments
from ortools.math_opt.python.solve import StatusNotOk
from ortools.sat import sat_parameters_pb2

from walras_solvers.optimizer.book import Floats, Ints
from walras_solvers.optimizer.effort import PROGRAM, Effort

CHOICE = 100_000
"""Work of one mixed-integer program besides its steps."""

STEPS = 60
"""A step of the simplex method looks at every column; so many columns are a unit of work."""

CHOICE_UNITS = 0.02
"""CP-SAT's own count of its work, at most; some tenths of a second."""

MOST_STEPS = 10
"""Steps for each row and column, at most; a program that takes more goes in circles."""

GAP = 1e-6
"""A choice may be this far below the best, in parts of it."""

SMALL = 120
"""Columns of a mixed-integer program for CP-SAT, which has to round all numbers to integers. In
larger ones most columns are flows through pools, which are no integers, and SCIP finds more.
"""

NODES = 100
"""Of SCIP's search, at most."""


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

    def solve(self, effort: Effort) -> Solution | None:
        """The solution; None where there is none, or none within the effort."""
        integer = any(block[3] and len(block[0]) for block in self._columns)
        seconds = effort.seconds
        if seconds <= 0.0:
            return None
        effort.spend(PROGRAM + sum(len(entries[0]) for entries in self._entries))
        kind, given = mathopt.SolverType.GLOP, GLOP
        if integer:
            small = self._width <= SMALL
            kind = mathopt.SolverType.CP_SAT if small else mathopt.SolverType.GSCIP
            given = CP_SAT if small else SCIP
        size = self._width + self._height
        parameters = given.to_proto()
        if not integer:
            parameters.iteration_limit = 1_000 + MOST_STEPS * size
        parameters.time_limit.FromNanoseconds(int(seconds * 1e9))
        try:
            result = solver.solve(
                self._proto(),
                kind.value,
                STREAMABLE,
                parameters,
                NO_MODEL,
                None,  # for messages
                NO_CALLBACK,
                None,  # a callback
                None,  # an interrupter
            )
        except StatusNotOk:
            return None  # it gave up on the numbers
        steps = result.solve_stats.simplex_iterations
        effort.spend(steps * size // STEPS + (CHOICE if integer else 0))
        if not result.solutions:
            return None
        found = result.solutions[0]
        if found.primal_solution.feasibility_status != FEASIBLE:
            return None
        values = _dense(found.primal_solution.variable_values, self._width)
        duals = np.zeros(self._height)
        if found.HasField("dual_solution"):
            duals = _dense(found.dual_solution.dual_values, self._height)
        return Solution(values, duals, found.primal_solution.objective_value)

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


def _dense(sparse: sparse_containers_pb2.SparseDoubleVectorProto, length: int) -> Floats:
    values = np.zeros(length)
    values[np.array(sparse.ids, dtype=np.int64)] = np.array(sparse.values)
    return values


# Whatever is imprecise is found and mended in exact arithmetic later.
GLOP = mathopt.SolveParameters(glop=parameters_pb2.GlopParameters(change_status_to_imprecise=False))
CP_SAT = mathopt.SolveParameters(
    threads=1,
    random_seed=1,
    relative_gap_tolerance=GAP,
    cp_sat=sat_parameters_pb2.SatParameters(max_deterministic_time=CHOICE_UNITS),
)
SCIP = mathopt.SolveParameters(
    threads=1, random_seed=1, relative_gap_tolerance=GAP, node_limit=NODES
)
STREAMABLE = StreamableSolverInitArguments().to_proto()
NO_MODEL = mathopt.ModelSolveParameters().to_proto()
NO_CALLBACK = mathopt.CallbackRegistration().to_proto()
FEASIBLE = mathopt.SolutionStatus.FEASIBLE.value
