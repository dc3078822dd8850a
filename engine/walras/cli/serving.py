"""Running a solver as a node, by whichever command: options and the life of the process."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from typing import Annotated

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
from walras.cli.output import next_step, print_json_line, say
from walras.core.errors import InvalidInput
from walras.sdk.keys import read_or_write_key
from walras.sdk.node import Node, start
from walras.sdk.solver import Solver

log = structlog.get_logger()

Listen = Annotated[str, typer.Option(help="host:port; port 0 takes any.")]
NodeName = Annotated[str, typer.Option(help="Shown instead of the solver's own.")]
NodeKey = Annotated[
    Path | None,
    typer.Option("--key", "-k", help="Key file, made if it is not there. Unset: a passing key."),
]
NodeSlots = Annotated[
    int, typer.Option(min=1, max=256, help="Problems that it works on at the same time.")
]
Region = Annotated[str, typer.Option(help="Where it runs, as engines name regions.")]
LogKeys = Annotated[
    list[str] | None,
    typer.Option(
        help="Verifier key of the engine's log, or a file of it: keep only its checkpoints."
        " Twice where the log gets a new one."
    ),
]
EvidenceFile = Annotated[
    Path | None, typer.Option(help="Keep here what engines sign: tasks, receipts and closings.")
]
WithParent = Annotated[bool, typer.Option("--with-parent", help="End when stdin reaches its end.")]


@dataclass(frozen=True, slots=True)
class Serving:
    """How a node is run; the options above."""

    listen: str
    name: str
    key: Path | None
    slots: int
    region: str
    log_keys: tuple[str, ...]
    evidence: Path | None
    with_parent: bool
    as_json: bool


def serve_node(make: Callable[[], Solver], label: str, serving: Serving) -> None:
    """Serve until SIGTERM or Ctrl-C; ends the process.

    Args:
        make: a solver; called once for each slot, as a solver works on one problem at a time.
        label: what the node is called where it was given no name.
        serving: the options.
    """
    configure(level="warning" if serving.with_parent else "info")
    signer = (
        read_or_write_key(serving.key) if serving.key else Signer.from_seed(token_bytes(SEED_BYTES))
    )
    # What it prints while it is imported would stand before the one line that is read.
    with redirect_stdout(sys.stderr):
        solvers = [make() for _ in range(serving.slots)]
        node = Node(
            solvers,
            signer,
            serving.name,
            region=serving.region,
            log_key=[parse_vkey(parse_log_key(text)) for text in serving.log_keys],
            evidence=Keeper(serving.evidence) if serving.evidence else None,
        )
    asyncio.run(_serve(node, serving.name or label, signer, serving))
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


async def _serve(node: Node, name: str, signer: Signer, serving: Serving) -> None:
    with until_stopped(with_parent=serving.with_parent) as stop:
        server, address = await start(node, serving.listen)
        ready = {"address": address, "public_key": signer.public_key.hex(), "name": name}
        if serving.as_json:
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
