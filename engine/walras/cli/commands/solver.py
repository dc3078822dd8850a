"""walras solver list, serve, check, cow, new"""

from typing import Annotated

import typer

from walras.cli.commands.solver_check import register as register_check
from walras.cli.commands.solver_cow import register as register_cow
from walras.cli.commands.solver_new import register as register_new
from walras.cli.output import Json, next_step, print_json, show, table
from walras.cli.search_path import search_here
from walras.cli.serving import (
    EvidenceFile,
    Listen,
    LogKeys,
    NodeKey,
    NodeName,
    NodeSlots,
    Region,
    Serving,
    WithParent,
    serve_node,
)
from walras.sdk.plugins import installed, load

Target = Annotated[str, typer.Argument(help="An installed solver's name, or module:Class.")]


def register(app: typer.Typer, name: str) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Write, check, serve and list solvers.")
    group.command("list")(list_solvers)
    group.command("serve")(serve)
    register_check(group)
    register_cow(group)
    register_new(group)
    app.add_typer(group, name=name)


def list_solvers(as_json: Json = False) -> None:
    """List installed solvers: those of the entry-point group walras.solvers."""
    found = dict(sorted(installed().items()))
    if as_json:
        print_json(found)
        return
    made = table("name", "class")
    for name, target in found.items():
        made.add_row(name, target)
    show(made)
    next_step("walras solver check NAME", "how well it does")


def serve(
    target: Target,
    listen: Listen = "127.0.0.1:0",
    name: NodeName = "",
    key: NodeKey = None,
    slots: NodeSlots = 1,
    region: Region = "",
    log_key: LogKeys = None,
    evidence: EvidenceFile = None,
    with_parent: WithParent = False,
    as_json: Json = False,
) -> None:
    """Run a solver as a node that engines dial, until SIGTERM or Ctrl-C."""
    serving = Serving(
        listen,
        name,
        key,
        slots,
        region,
        tuple(log_key or ()),
        evidence,
        with_parent,
        as_json,
    )
    search_here()
    serve_node(lambda: load(target), target, serving)
