"""One program as arrays, solved by OR-Tools.

Programs go to MathOpt as messages and come back as messages. Its Python objects, one for each
column, would take several times as long as GLOP does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import numpy as np
from ortools.glop import parameters_pb2
from ortools.math_opt import model_pb2, result_pb2, sparse_containers_pb2
from ortools.math_opt import parameters_pb2 as parameters_message
from ortools.math_opt.core.python import solver
from ortools.math_opt.python import mathopt
from ortools.math_opt.python.init_arguments import StreamableSolverInitArguments
from ortools.math_opt.python.solve import StatusNotOk
from ortools.sat import sat_parameters_pb2
from ortools.util.python.pybind_solve_interrupter import PySolveInterrupter

from walras_solvers.programs.arrays import Floats, Ints, Mask
from walras_solvers.programs.effort import PROGRAM, Effort

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

LONG = 2_000
"""Columns of a linear program that may take so long that it is watched for a hang-up.
"""

UNWATCHED = 1.5
"""Seconds for a mixed-integer program, at most: SCIP cannot be interrupted, and whoever hangs up
waits two seconds.
"""

EVERY = 0.05
"""Seconds between two looks at the deadline meanwhile."""


@dataclass(frozen=True, slots=True)
class Solution:
    """An optimal (or for mixed-integer programs the best found) solution."""

    values: Floats
    duals: Floats
    objective: float


@dataclass(frozen=True, slots=True)
class Model:
    """Maximise objective·v subject to low ≤ v ≤ high and row_low ≤ A·v ≤ row_high.

    Attributes:
        low, high, objective, integer: by column.
        row_low, row_high: by row.
        row, column, value: entries of A; several at one place are summed.
    """

    low: Floats
    high: Floats
    objective: Floats
    integer: Mask
    row_low: Floats
    row_high: Floats
    row: Ints
    column: Ints
    value: Floats

    def solve(self, effort: Effort) -> Solution | None:
        """The solution; None where there is none, or none within the effort."""
        seconds = effort.seconds
        if seconds <= 0.0:
            return None
        width, height = len(self.low), len(self.row_low)
        integer = bool(np.any(self.integer))
        if integer:
            seconds = min(seconds, UNWATCHED)
        effort.spend(PROGRAM + len(self.value))
        kind, given = mathopt.SolverType.GLOP, GLOP
        if integer:
            small = width <= SMALL
            kind = mathopt.SolverType.CP_SAT if small else mathopt.SolverType.GSCIP
            given = CP_SAT if small else SCIP
        size = width + height
        parameters = given.to_proto()
        if not integer:
            parameters.iteration_limit = 1_000 + MOST_STEPS * size
        parameters.time_limit.FromNanoseconds(int(seconds * 1e9))
        with _watched(effort, long=not integer and width >= LONG) as interrupter:
            result = _run(self._message(), kind, parameters, interrupter)
        if result is None:
            return None
        steps = result.solve_stats.simplex_iterations
        effort.spend(steps * size // STEPS + (CHOICE if integer else 0))
        if not result.solutions:
            return None
        found = result.solutions[0]
        if found.primal_solution.feasibility_status != FEASIBLE:
            return None
        values = _dense(found.primal_solution.variable_values, width)
        duals = np.zeros(height)
        if found.HasField("dual_solution"):
            duals = _dense(found.dual_solution.dual_values, height)
        return Solution(values, duals, found.primal_solution.objective_value)

    def _message(self) -> model_pb2.ModelProto:
        message = model_pb2.ModelProto()
        width, height = len(self.low), len(self.row_low)
        message.variables.ids.extend(range(width))
        message.variables.lower_bounds.extend(self.low.tolist())
        message.variables.upper_bounds.extend(self.high.tolist())
        message.variables.integers.extend(self.integer.tolist())
        message.objective.maximize = True
        message.objective.linear_coefficients.ids.extend(range(width))
        message.objective.linear_coefficients.values.extend(self.objective.tolist())
        message.linear_constraints.ids.extend(range(height))
        message.linear_constraints.lower_bounds.extend(self.row_low.tolist())
        message.linear_constraints.upper_bounds.extend(self.row_high.tolist())
        place, inverse = np.unique(self.row * width + self.column, return_inverse=True)
        matrix = message.linear_constraint_matrix
        matrix.row_ids.extend((place // width).tolist())
        matrix.column_ids.extend((place % width).tolist())
        matrix.coefficients.extend(np.bincount(inverse, self.value, len(place)).tolist())
        return message


def _run(
    message: model_pb2.ModelProto,
    kind: mathopt.SolverType,
    parameters: parameters_message.SolveParametersProto,
    interrupter: PySolveInterrupter | None,
) -> result_pb2.SolveResultProto | None:
    """What the solver found; None where it gave up on the numbers."""
    try:
        return solver.solve(
            message,
            kind.value,
            STREAMABLE,
            parameters,
            NO_MODEL,
            None,  # for messages
            NO_CALLBACK,
            None,  # a callback
            interrupter,
        )
    except StatusNotOk:
        return None


@contextmanager
def _watched(effort: Effort, *, long: bool) -> Iterator[PySolveInterrupter | None]:
    """What ends a long program soon after its deadline was moved, which its time limit cannot
    know.
    """
    if not long:
        yield None
        return
    interrupter, done = PySolveInterrupter(), Event()

    def watch() -> None:
        while not done.wait(EVERY):
            if effort.seconds <= 0.0:
                interrupter.interrupt()
                return

    watcher = Thread(target=watch, name="watch-deadline", daemon=True)
    watcher.start()
    try:
        yield interrupter
    finally:
        done.set()
        watcher.join()


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
