"""What commands print: one JSON document or text for people on stdout, progress on stderr."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_json_line(document: object) -> None:
    """One JSON document of a stream, on a line of its own, at once."""
    print(json.dumps(document, ensure_ascii=False), flush=True)


def say(text: str = "") -> None:
    """A line for people; what it holds is text, never markup."""
    stdout.print(text, markup=False)


def title(text: str) -> None:
    """A line that begins a part."""
    stdout.print(text, style="bold", markup=False)


def fields(pairs: Mapping[str, object]) -> None:
    """Names and values, aligned."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        say(f"{name:<{width}}  {value}")


def next_step(command: str, why: str) -> None:
    """What is useful now."""
    stdout.print(f"next: {command}  ({why})", style="dim", markup=False)


def table(*columns: str, right: str = "") -> Table:
    """An empty table; `right` holds the names of columns of numbers, separated by spaces."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # What is too wide goes on in the next line: an id that is cut is none.
        numbers = column in right.split()
        made.add_column(column, justify="right" if numbers else "left", overflow="fold")
    return made


def show(made: Table) -> None:
    """Print a table, as wide as it is where nobody looks."""
    if stdout.is_terminal:
        stdout.print(made)
    else:
        Console(file=sys.stdout, width=200, highlight=False).print(made)


@contextmanager
def progress(what: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal; call what it gives with how much was just done."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr,
        transient=True,
        disable=quiet or not stderr.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner on stderr, where that is a terminal; a line elsewhere."""
    if stderr.is_terminal:
        with stderr.status(what):
            yield
    else:
        stderr.print(f"{what} …", markup=False)
        yield
