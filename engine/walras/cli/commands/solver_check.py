"""walras solver check"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from walras.cli.logs import configure
from walras.cli.output import Json, next_step, print_json, progress
from walras.cli.search_path import search_here
from walras.core.errors import InvalidInput, Reason, WalrasError


def register(group: typer.Typer) -> None:
    """Add the command to `walras solver`."""
    group.command("check")(check)


def check(
    target: Annotated[
        str, typer.Argument(help="An installed solver's name, or module:Class; or --address.")
    ] = "",
    address: Annotated[
        str, typer.Option("--address", "-a", help="host:port of a node, in whatever language.")
    ] = "",
    market: Annotated[
        list[Path] | None, typer.Option(help="A market file besides. Repeatable.")
    ] = None,
    markets: Annotated[int, typer.Option(min=0, max=1_000, help="How many generated markets.")] = 6,
    seed: Annotated[
        int, typer.Option(help="Of the first of them; each further one has the next.")
    ] = 1,
    seconds: Annotated[
        float, typer.Option(min=0.05, max=600, help="The solver's time for one market.")
    ] = 1.0,
    against: Annotated[
        list[str] | None,
        typer.Option(help="An installed solver to compare with. Repeatable. Unset: the built-in."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a solver as an engine does; judge its bids, its score and its conduct.

    It runs in a node of its own, over markets of all sizes and kinds of venue, beside the built-in
    solvers. Exit code 1 if a bid is invalid or it does what no node may.
    """
    # Not loaded where a node only serves: an engine waits for its nodes to start.
    from walras.app.config import SolverConfig  # noqa: PLC0415 - see above
    from walras.cli.engines import solver_configs  # noqa: PLC0415 - see above
    from walras.cli.solver_checking import Plan, builtin_solvers  # noqa: PLC0415 - see above
    from walras.cli.solver_checking import check as run  # noqa: PLC0415 - see above
    from walras.cli.solver_problems import cases  # noqa: PLC0415 - see above
    from walras.cli.solver_report import document, print_report  # noqa: PLC0415 - see above

    if bool(target) == bool(address):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "name one solver: an installed one, module:Class, or a node by --address host:port",
            hint="walras solver list; walras solver new NAME",
        )
    # What a call ends with is in the report; the collection's own log says it a second time.
    configure(level="critical")
    search_here()
    (named,) = solver_configs([target or address])
    config = SolverConfig.model_validate(named)
    plan = Plan(
        config,
        builtin_solvers(target, against or ()),
        tuple(cases(range(seed, seed + markets), market or ())),
        seconds,
        seed,
    )
    with progress("checking", plan.steps, quiet=as_json) as advance:
        checked = asyncio.run(run(plan, advance))
    if as_json:
        print_json(document(checked))
    else:
        print_report(checked)
    if not checked.ok:
        failed = [found.check for found in checked.findings if found.verdict == "failed"]
        raise WalrasError(
            Reason.NODE_FAILED,
            f"{plan.target} does not pass: {', '.join(failed)}",
            hint="what to do stands beside each; a market of the report again:"
            " --seed N --markets 1",
        )
    if as_json:
        return
    if config.plugin:
        next_step(f"walras solver serve {target} --key solver.key", "run it for an engine to dial")
    else:
        next_step("walras serve --config walras.toml", f'with [[solvers]] address = "{address}"')
