"""walras solver new"""

from pathlib import Path
from typing import Annotated

import typer

from walras.cli.output import Json, next_step, print_json, say
from walras.cli.solver_template import write_project


def register(group: typer.Typer) -> None:
    """Add the command to `walras solver`."""
    group.command("new")(new)


def new(
    name: Annotated[str, typer.Argument(help="Of the project and the solver: my-solver.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write it to. Unset: NAME, here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a project of a solver that works: package, entry point, tests, README."""
    folder = Path(name) if out is None else out
    written = write_project(name, folder)
    if as_json:
        print_json({"out": str(folder), "files": [str(p.relative_to(folder)) for p in written]})
        return
    for path in written:
        say(str(path))
    next_step(
        f"cd {folder} && pip install -e '.[dev]' && walras solver check {name}",
        "what it is worth as it is",
    )
