"""walras witness"""

import asyncio
from pathlib import Path
from typing import Annotated

import structlog
import typer

from walras.audit.cosignature import WitnessKey
from walras.audit.keys import Signer
from walras.audit.note import format_vkey, parse_vkey
from walras.audit.policy import NONE, Log, Policy
from walras.audit.witness import MAX_REQUEST_BYTES
from walras.cli.lifetime import until_stopped
from walras.cli.logs import configure
from walras.cli.options import parse_log_key
from walras.cli.output import Json, print_json_line
from walras.core.errors import InvalidInput, Reason
from walras.sdk.keys import read_or_write_key
from walras.web.server import Limits, serving
from walras.witness.book import open_book
from walras.witness.policy_file import read_policy
from walras.witness.server import Witness, known_logs

log = structlog.get_logger()


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(witness)


def witness(
    name: Annotated[
        str, typer.Option(help="Of the witness, as in its key: witness.example.org/w1.")
    ],
    data: Annotated[Path, typer.Option(help="Folder of its key and of what it cosigned.")],
    logs: Annotated[
        list[str] | None,
        typer.Option("--log", help="A log's verifier key, or a file with it; repeat for more."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="A tlog-policy file; its logs are witnessed too.")
    ] = None,
    listen: Annotated[str, typer.Option(help="host:port; port 0 takes any.")] = "127.0.0.1:7490",
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
    as_json: Json = False,
) -> None:
    """Run a witness until SIGTERM or Ctrl-C: C2SP tlog-witness.

    It cosigns a log's checkpoint if that is shown to hold all that it cosigned of the log before.
    With --json, one line on stdout says where it serves and its verifier key, once it does.
    """
    configure()
    found = tuple(Log(parse_vkey(parse_log_key(text))) for text in logs or [])
    if policy is not None:
        found += read_policy(policy).logs
    if not found:
        raise InvalidInput(
            Reason.CONFIG_INVALID, "a witness without logs", hint="give --log VKEY or --policy FILE"
        )
    signer = read_or_write_key(data / "witness.key")
    key = WitnessKey(name, signer.public_key)
    asyncio.run(_serve(key, signer, found, data, listen, with_parent=with_parent, as_json=as_json))


async def _serve(
    key: WitnessKey,
    signer: Signer,
    logs: tuple[Log, ...],
    data: Path,
    listen: str,
    *,
    with_parent: bool,
    as_json: bool,
) -> None:
    with until_stopped(with_parent=with_parent) as stop, open_book(data / "logs", key) as book:
        made = Witness(key.name, signer, known_logs(Policy(logs, (), (), NONE)), book)
        async with serving(listen, made.handle, Limits(body_bytes=MAX_REQUEST_BYTES)) as address:
            ready = {"url": f"http://{address}", "verifier_key": format_vkey(key)}
            log.info("witnessing", **ready, logs=sorted({each.key.name for each in logs}))
            if as_json:
                print_json_line(ready)
            await stop.wait()
