"""walras audit"""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from walras.cli.auditing import Audited, audit_folder
from walras.cli.fetch import fetch_log
from walras.cli.output import Json, next_step, print_json, say
from walras.core.addresses import is_address
from walras.core.errors import InvalidInput, Reason
from walras.sdk.client import Client


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(audit)


def audit(
    log: Annotated[
        str, typer.Argument(metavar="DIR|ADDRESS", help="A log folder, or host:port of an engine.")
    ],
    key: Annotated[
        str,
        typer.Option(
            "--key",
            "-k",
            help="The log's verifier key, or a file with it, from a source you trust."
            " Unset: the one that the log itself names.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Check a log: A every signature and inclusion, B every auction replayed, C nothing left out.

    Exit code 1 and the first wrong entry if it does not hold.
    """
    # What names a folder is one; only otherwise can it be host:port.
    folder = Path(log)
    if folder.is_dir():
        done = audit_folder(folder, key)
    elif is_address(log):
        done = asyncio.run(_fetched(log, key))
    else:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"there is no folder {log}, and it is no host:port",
            hint="walras audit DIR, or walras audit 127.0.0.1:7400",
        )
    if as_json:
        print_json(done.document())
        return
    done.show()
    if not key:
        say("the key is the log's own word: whoever made the log chose it; give yours by --key")
    if folder.is_dir():
        next_step(f"walras audit {log} --key VKEY --json", "with a key from a source you trust")
    else:
        next_step(f"walras export {log} DIR", "keep this log")


async def _fetched(address: str, key: str) -> Audited:
    with tempfile.TemporaryDirectory(prefix="walras-audit-") as name:
        async with Client(address) as client:
            await fetch_log(client, Path(name), key)
        return await asyncio.to_thread(audit_folder, Path(name), key)
