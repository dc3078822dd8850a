"""walras solver list, serve, check"""

import asyncio
import os
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from walras.api.v1.solver_service_pb2 import Closing
from walras.audit.evidence import encode_evidence
from walras.audit.keys import SEED_BYTES, Signer
from walras.audit.note import parse_vkey
from walras.cli.lifetime import until_stopped
from walras.cli.logs import configure
from walras.cli.names import node_name
from walras.cli.options import parse_log_key
from walras.cli.output import Json, next_step, print_json, print_json_line, say, show, table
from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.datasets.generate import START_MS, generate
from walras.datasets.market_file import read_market
from walras.sdk.keys import read_or_write_key
from walras.sdk.node import Node, start
from walras.sdk.plugins import installed, load

if TYPE_CHECKING:
    from walras.cli.check import Checked

log = structlog.get_logger()

Target = Annotated[str, typer.Argument(help="An installed solver's name, or module:Class.")]


def register(app: typer.Typer, name: str) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(no_args_is_help=True, help="List, serve and check solvers.")
    group.command("list")(list_solvers)
    group.command("serve")(serve)
    group.command("check")(check)
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
    listen: Annotated[str, typer.Option(help="host:port; port 0 takes any.")] = "127.0.0.1:0",
    name: Annotated[str, typer.Option(help="Shown instead of the solver's own.")] = "",
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", "-k", help="Key file, made if it is not there. Unset: a passing key."
        ),
    ] = None,
    slots: Annotated[
        int, typer.Option(min=1, max=256, help="Problems that it works on at the same time.")
    ] = 1,
    region: Annotated[str, typer.Option(help="Where it runs, as engines name regions.")] = "",
    log_key: Annotated[
        list[str] | None,
        typer.Option(
            help="Verifier key of the engine's log, or a file of it: keep only its checkpoints."
            " Twice where the log gets a new one."
        ),
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="Keep here what engines sign: tasks, receipts and closings."),
    ] = None,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when stdin reaches its end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a solver as a node that engines dial, until SIGTERM or Ctrl-C."""
    configure(level="warning" if with_parent else "info")
    signer = read_or_write_key(key) if key else Signer.from_seed(token_bytes(SEED_BYTES))
    # What it prints while it is imported would stand before the one line that is read.
    with redirect_stdout(sys.stderr):
        _search_here()
        # One for each slot: a solver works on one problem at a time.
        solvers = [load(target) for _ in range(slots)]
        trusted = [parse_vkey(parse_log_key(text)) for text in log_key or []]
        keep = Keeper(evidence) if evidence else None
        node = Node(solvers, signer, name, region=region, log_key=trusted, evidence=keep)
    asyncio.run(
        _serve(node, name or target, signer, listen, with_parent=with_parent, as_json=as_json)
    )
    # A solver that does not heed its deadline must not keep the process from ending.
    sys.stdout.flush()
    os._exit(0)


class Keeper:
    """Adds evidence to a file, as it comes; what an engine sends is bounded by the call."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def __call__(self, kind: str, data: bytes) -> None:
        """One more; of a closing, the record that the engine signed."""
        kept = Closing.FromString(data).committed if kind == "closing" else data
        try:
            self._file.write(encode_evidence([kept]))
            self._file.flush()
        except (OSError, InvalidInput) as error:
            log.warning("evidence is not kept", kind=kind, why=str(error))


async def _serve(
    node: Node, name: str, signer: Signer, listen: str, *, with_parent: bool, as_json: bool
) -> None:
    with until_stopped(with_parent=with_parent) as stop:
        server, address = await start(node, listen)
        ready = {"address": address, "public_key": signer.public_key.hex(), "name": name}
        if as_json:
            print_json_line(ready)
        else:
            for what, value in ready.items():
                say(f"{what}: {value}")
            next_step(
                "walras serve --config walras.toml",
                f'with [[solvers]] name = "{node_name(name)}", address = "{address}",'
                f' public_key = "{signer.public_key.hex()}"',
            )
        await stop.wait()
        await server.stop(1.0)


def _search_here() -> None:
    """Let module:Class be a file of this folder, as it is for the nodes that an engine starts."""
    here = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if here not in sys.path:
        sys.path.append(here)


def check(
    target: Target,
    market: Annotated[Path | None, typer.Option(help="A market file besides.")] = None,
    seconds: Annotated[float, typer.Option(help="The solver's time for one market.")] = 2.0,
    as_json: Json = False,
) -> None:
    """Judge a solver's proposals exactly, beside the installed ones; exit code 1 if one is invalid.

    The solver runs in this process, over generated markets and the one given.
    """
    # The auction is not loaded where a node only serves: an engine waits for its nodes to start.
    from walras.cli.check import check_solver  # noqa: PLC0415 - see above

    configure(level="warning")
    _search_here()
    markets = {
        f"generated {seed}": (generate(seed, intents=n), START_MS) for seed, n in ((1, 20), (2, 80))
    }
    if market is not None:
        found = read_market(market)
        now_ms = found.about.summary.get("now_ms")
        markets[market.name] = (found, now_ms if isinstance(now_ms, int) else START_MS)
    others = [name for name in sorted(installed()) if name != target]
    results = [
        result for name in [target, *others] for result in check_solver(name, markets, seconds)
    ]
    own = [result for result in results if result.solver == target]
    if as_json:
        print_json({"solver": target, "results": [asdict(result) for result in results]})
    else:
        _show(results)
    invalid = sum(len(result.invalid) for result in own)
    if invalid or any(result.fault for result in own):
        raise WalrasError(
            Reason.NODE_FAILED,
            f"{target} made {invalid} invalid proposals"
            + "".join(f"; on {r.market} it failed: {r.fault}" for r in own if r.fault),
            hint="call walras.sdk.self_check before you yield a proposal",
        )
    if not as_json:
        next_step(f"walras solver serve {target} --key solver.key", "run it for an engine to dial")


def _show(results: "list[Checked]") -> None:
    made = table(
        *("market", "solver", "proposals", "invalid", "score", "seconds"),
        right="proposals invalid score seconds",
    )
    for r in sorted(results, key=lambda result: result.market):
        made.add_row(
            r.market, r.solver, str(r.proposals), str(len(r.invalid)), r.score, f"{r.seconds:.2f}"
        )
    show(made)
    say("score: what the auction would award if this solver alone had bid")
    for result in results:
        for number, reason, message in result.invalid:
            say(f"{result.solver} on {result.market}, proposal {number}: {reason}: {message}")
