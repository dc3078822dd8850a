"""Programs put together in blocks of columns, rows and entries."""

from dataclasses import dataclass, field

import numpy as np

from walras_solvers.programs.arrays import Floats, Ints
from walras_solvers.programs.effort import Effort
from walras_solvers.programs.model import Model, Solution
from walras_solvers.programs.sifting import sift

WIDE = 3_000
"""Columns of a linear program that is sifted."""

BLOCK = 500
"""Columns of a block that may be left out for a while; smaller ones decide too much."""

BOUNDED = 1e8
"""Columns that may be greater are never left out."""


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

    def solve(self, effort: Effort, near: tuple[Ints, Floats] | None = None) -> Solution | None:
        """The solution; None where there is none, or none within the effort.

        Args:
            effort: spent on it.
            near: rows with about what one more unit of their bounds would bring; a large linear
                program is solved the faster, the nearer they are.
        """
        model = self._model()
        if near is not None and self._width >= WIDE and not np.any(model.integer):
            duals = np.zeros(self._height)
            duals[near[0]] = near[1]
            many = np.repeat(
                [len(block[0]) >= BLOCK for block in self._columns],
                [len(block[0]) for block in self._columns],
            )
            many &= np.maximum(np.abs(model.low), np.abs(model.high)) < BOUNDED
            found = sift(model, many, duals, effort)
            if found is not None or effort.spent:
                return found
        return model.solve(effort)

    def _model(self) -> Model:
        low, high, objective = (
            np.concatenate(part) for part in zip(*(c[:3] for c in self._columns), strict=True)
        )
        integer = np.repeat(
            [block[3] for block in self._columns], [len(block[0]) for block in self._columns]
        )
        row_low, row_high = (np.concatenate(part) for part in zip(*self._rows, strict=True))
        row, column, value = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        return Model(low, high, objective, integer, row_low, row_high, row, column, value)
