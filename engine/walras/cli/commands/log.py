"""walras log serve"""

import asyncio
from pathlib import Path
from typing import Annotated

import structlog
import typer

from walras.cli.lifetime import until_stopped
from walras.cli.logs import configure
from walras.cli.output import Json, print_json_line
from walras.store.folder import FolderSource
from walras.web.log_files import log_handler
from walras.web.server import serving

log = structlog.get_logger()


def register(app: typer.Typer, name: str) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Serve a log folder over HTTP.")
    group.command("serve")(serve)
    group.callback()(_group)
    app.add_typer(group, name=name)


def _group() -> None:
    """Serve a log folder over HTTP."""


def serve(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A log folder.")],
    listen: Annotated[str, typer.Option(help="host:port; port 0 takes any.")] = "127.0.0.1:7480",
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
    as_json: Json = False,
) -> None:
    """Serve a log folder until SIGTERM or Ctrl-C: C2SP tlog-tiles, static files.

    With --json, one line on stdout says where it serves, once it does.
    """
    configure()
    FolderSource(folder)
    asyncio.run(_serve(folder, listen, with_parent=with_parent, as_json=as_json))


async def _serve(folder: Path, listen: str, *, with_parent: bool, as_json: bool) -> None:
    with until_stopped(with_parent=with_parent) as stop:
        async with serving(listen, log_handler(folder)) as address:
            log.info("serving", folder=str(folder), url=f"http://{address}")
            if as_json:
                print_json_line({"folder": str(folder), "url": f"http://{address}"})
            await stop.wait()
