"""Linear and mixed-integer programs as arrays, and how much work may go into them."""

from walras_solvers.programs.arrays import Floats, Ints, Mask, total
from walras_solvers.programs.effort import PROGRAM, Effort
from walras_solvers.programs.model import Solution
from walras_solvers.programs.program import Program

__all__ = ["PROGRAM", "Effort", "Floats", "Ints", "Mask", "Program", "Solution", "total"]
