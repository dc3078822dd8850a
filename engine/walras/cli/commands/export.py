"""walras export"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from walras.cli.fetch import fetch_log
from walras.cli.options import LogKey
from walras.cli.output import Json, fields, next_step, print_json
from walras.sdk.client import Client


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(export)


def export(
    address: Annotated[str, typer.Argument(help="host:port of the engine.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the log goes.")],
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Write a server's log to a folder: checkpoint, tiles, blobs."""
    entries, blobs = asyncio.run(_export(address, folder, log_key))
    made = {"folder": str(folder), "entries": entries, "blobs": blobs}
    if as_json:
        print_json(made)
        return
    fields(made)
    next_step(f"walras audit {folder}", "check all of it")


async def _export(address: str, folder: Path, log_key: str) -> tuple[int, int]:
    async with Client(address) as client:
        return await fetch_log(client, folder, log_key)
