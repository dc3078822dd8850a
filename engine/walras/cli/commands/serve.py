"""walras serve"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import structlog
import typer

from walras.app.config import Config, LogConfig, read_config
from walras.app.engine import Engine, run_engine
from walras.app.metrics import serve_metrics
from walras.cli.engines import SETTLE_IN_SECONDS
from walras.cli.lifetime import until_stopped
from walras.cli.logs import configure
from walras.cli.output import Json, print_json_line
from walras.cli.shutdown import GRACE_SECONDS, finish_batch
from walras.rpc.server import start
from walras.web.log_files import log_handler
from walras.web.server import serving

log = structlog.get_logger()


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(serve)


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML; see docs/configuration.md.")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="host:port; port 0 takes any.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the database and keys.")] = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
    as_json: Json = False,
) -> None:
    """Run an engine until SIGTERM or Ctrl-C; a running batch is finished first.

    With --json, one line on stdout says where it serves, once it does.
    """
    settings = read_config(config, listen=listen, data=data)
    configure(settings.log_format, settings.log_level)
    asyncio.run(_serve(settings, with_parent=with_parent, as_json=as_json))


async def _serve(config: Config, *, with_parent: bool, as_json: bool) -> None:
    with until_stopped(with_parent=with_parent) as stop:
        async with (
            run_engine(config) as engine,
            _page(engine, config.metrics) as metrics,
            _log_files(engine, config.log) as files,
        ):
            server, address = await start(engine, config.listen)
            ready = {
                "address": address,
                "domain": config.domain,
                "verifier_key": engine.verifier_key,
                "operators": [key.hex() for key in engine.sequencer.state.in_force.operators],
                "data": str(config.data),
                "metrics": metrics,
                "log": files,
            }
            log.info("serving", **ready)
            if as_json:
                print_json_line(ready)
            auctions = asyncio.create_task(_run_auctions(engine))
            stopped = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({auctions, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if auctions.done():
                    auctions.result()
            finally:
                log.info("stopping", address=address)
                await server.stop(GRACE_SECONDS)
                await finish_batch(engine)
                for task in (auctions, stopped):
                    task.cancel()
                await asyncio.gather(auctions, stopped, return_exceptions=True)
    log.info("stopped", address=address)


def _page(engine: Engine, listen: str) -> AbstractAsyncContextManager[str]:
    return serve_metrics(engine, listen) if listen else nullcontext("")


def _log_files(engine: Engine, config: LogConfig | None) -> AbstractAsyncContextManager[str]:
    if config is None or not config.listen or engine.publishing is None:
        return nullcontext("")
    return serving(config.listen, log_handler(engine.publishing.folder))


async def _run_auctions(engine: Engine) -> None:
    # A batch that is sealed before the nodes are up would go without bids.
    await engine.fleet.settle_in(SETTLE_IN_SECONDS)
    await engine.auctioneer.serve()
