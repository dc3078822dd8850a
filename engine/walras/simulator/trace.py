"""Recorded arrivals: CSV with a header of `at_ms` and any of `cost_us`, `region`, `key`."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from walras.core.errors import InvalidInput, Reason

COLUMNS = ("at_ms", "cost_us", "region", "key")
MAX_ROWS = 5_000_000
MAX_MS = 7 * 86_400_000
"""A week, from the first arrival on."""

_MAX_COST_US = 1e9


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in order, the first at 0 ms; columns that the file has not are empty."""

    at_ms: tuple[float, ...]
    cost_us: tuple[float, ...] = ()
    region: tuple[str, ...] = ()
    key: tuple[bytes, ...] = ()


def read_trace(path: Path) -> Trace:
    """Rows in any order. Raises InvalidInput with the line that is wrong; OSError."""
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return _read(path, csv.reader(file, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise _wrong(path, 0, f"is not CSV in UTF-8: {error}") from error


def _read(path: Path, lines: Iterator[list[str]]) -> Trace:
    header = tuple(name.strip() for name in next(lines, []))
    if not header or header[0] != "at_ms" or len(set(header) & set(COLUMNS)) != len(header):
        raise _wrong(path, 1, f"the header is at_ms and any of {', '.join(COLUMNS[1:])}")
    rows: list[tuple[float, int, list[str]]] = []
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(header):
            raise _wrong(path, number, f"{len(header)} cells are expected, not {len(cells)}")
        if len(rows) == MAX_ROWS:
            raise _wrong(path, number, f"more than {MAX_ROWS:,} rows")
        rows.append((_number(path, number, cells[0], 0.0, 1e15), number, cells))
    if not rows:
        raise _wrong(path, 2, "there are no rows")
    rows.sort()
    first = rows[0][0]
    if rows[-1][0] - first > MAX_MS:
        raise _wrong(path, 0, "arrivals span more than a week")

    def column(name: str) -> list[tuple[int, str]]:
        if name not in header:
            return []
        at = header.index(name)
        return [(number, cells[at].strip()) for _, number, cells in rows]

    return Trace(
        tuple(at - first for at, _, _ in rows),
        tuple(_number(path, n, cell, 1.0, _MAX_COST_US) for n, cell in column("cost_us")),
        tuple(cell for _, cell in column("region")),
        tuple(cell.encode() for _, cell in column("key")),
    )


def _number(path: Path, line: int, cell: str, least: float, most: float) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or not least <= value <= most:
        raise _wrong(path, line, f"{cell!r} is not a number from {least:,.16g} to {most:,.16g}")
    return value


def _wrong(path: Path, line: int, what: str) -> InvalidInput:
    where = f"{path}, line {line}" if line else str(path)
    return InvalidInput(
        Reason.FIELD_INVALID, f"{where}: {what}", hint="see docs/simulator.md", line=line
    )
