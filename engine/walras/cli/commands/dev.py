"""walras dev"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Annotated

import structlog
import typer
from rich.live import Live
from rich.table import Table

from walras.app.config import Config, read_config
from walras.app.engine import Engine, run_engine
from walras.app.report import AuctionReport
from walras.cli.engines import (
    SETTLE_IN_SECONDS,
    clock_at,
    folder_or_temporary,
    solver_configs,
)
from walras.cli.lifetime import until_stopped
from walras.cli.logs import configure
from walras.cli.output import Json, fields, next_step, print_json_line, say, stdout, table, waiting
from walras.cli.remote import put_market
from walras.cli.shutdown import finish_batch
from walras.core.errors import WalrasError
from walras.datasets.generate import generate, generate_intents
from walras.datasets.market import Market
from walras.rpc.server import start
from walras.sdk.client import Client
from walras.sdk.markets import deposits, sign_market_intents

log = structlog.get_logger()

_SHOWN = 15
_TOP_UP_SECONDS = 60


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(dev)


def dev(
    data: Annotated[
        Path | None, typer.Option(help="Keep everything here. Unset: gone afterwards.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the market and its traffic.")] = 1,
    rate: Annotated[int, typer.Option(min=0, max=5_000, help="New intents a second.")] = 10,
    listen: Annotated[str, typer.Option(help="host:port; port 0 takes any.")] = "127.0.0.1:7400",
    interval_ms: Annotated[int, typer.Option(min=10, help="Between batches.")] = 2_000,
    solve_ms: Annotated[int, typer.Option(min=10, help="The solvers' time.")] = 2_000,
    solver: Annotated[
        list[str] | None, typer.Option(help="Instead of the built-in ones. Repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run an engine with a generated market and traffic until Ctrl-C.

    With --json the first line says where it serves, and each other is an auction.
    """
    configure(level="warning")
    with folder_or_temporary(data, "walras-dev-") as folder:
        config = read_config(
            None,
            data=folder,
            listen=listen,
            interval_ms=interval_ms,
            solve_ms=solve_ms,
            solvers=solver_configs(solver or ()),
        )
        asyncio.run(_dev(config, seed, rate, as_json=as_json))


async def _dev(config: Config, seed: int, rate: int, *, as_json: bool) -> None:
    clock = clock_at(None)
    with until_stopped() as stop:
        async with run_engine(config) as engine, asyncio.TaskGroup() as group:
            server, address = await start(engine, config.listen)
            market = generate(seed, intents=0, now_ms=clock())
            async with Client(address) as client:
                # A kept folder has it already, as the auctions left it.
                if not engine.sequencer.state.market.assets:
                    assert engine.operator is not None  # nobody else was configured
                    await put_market(client, market, engine.operator, config.domain)
                with waiting("solvers start"):
                    await engine.fleet.settle_in(SETTLE_IN_SECONDS)
                ready = {
                    "address": address,
                    "log key": engine.verifier_key,
                    "operator key": str(config.data / "operator.key"),
                }
                if as_json:
                    print_json_line({name.replace(" ", "_"): v for name, v in ready.items()})
                else:
                    fields(ready)
                    next_step(f"walras watch --auctions --address {address}", "elsewhere")
                tasks = [
                    group.create_task(engine.auctioneer.serve()),
                    group.create_task(_traffic(client, engine, market, Random(seed), rate)),  # noqa: S311 - a demonstration's traffic
                ]
                with _display(engine, as_json=as_json):
                    await stop.wait()
                tasks[1].cancel()
                await finish_batch(engine)
                tasks[0].cancel()
            await server.stop(1.0)
    if not as_json:
        say("stopped")


async def _traffic(client: Client, engine: Engine, market: Market, rng: Random, rate: int) -> None:
    """New intents each second, and new balances each minute, for ever."""
    clock = clock_at(None)
    domain, operator = engine.config.domain, engine.operator
    # Above what an earlier run on the same folder used.
    nonces = Counter({account.id: clock() for account in market.accounts})
    second = 0
    while True:
        started = asyncio.get_running_loop().time()
        try:
            intents = generate_intents(market, rng, rate, clock())
            signed = sign_market_intents(
                market, domain, clock(), intents=intents, nonces=nonces, expiry_ms=clock() + 60_000
            )
            await client.submit_many([envelope for _, envelope in signed])
            if operator is not None and second % _TOP_UP_SECONDS == _TOP_UP_SECONDS - 1:
                for deposit in deposits(market, operator, domain):
                    await client.deposit(deposit)
        except WalrasError as error:
            log.warning("the traffic stumbles", reason=error.reason, why=error.message)
        second += 1
        await asyncio.sleep(max(0.0, started + 1.0 - asyncio.get_running_loop().time()))


@contextmanager
def _display(engine: Engine, *, as_json: bool) -> Iterator[None]:
    """A table that follows the auctions on a terminal; lines elsewhere."""
    if as_json:
        engine.auctioneer.on_auction.append(lambda report: print_json_line(asdict(report)))
        yield
        return
    if not stdout.is_terminal:
        engine.auctioneer.on_auction.append(lambda report: say(_line(report)))
        yield
        return
    last: deque[AuctionReport] = deque(maxlen=_SHOWN)
    with Live(_table(last), console=stdout, auto_refresh=False) as live:

        def update(report: AuctionReport) -> None:
            last.append(report)
            live.update(_table(last), refresh=True)

        engine.auctioneer.on_auction.append(update)
        yield


def _table(reports: deque[AuctionReport]) -> Table:
    made = table(
        *("auction", "intents", "filled", "bids", "score", "won by", "solve s"),
        right="auction intents filled bids score",
    )
    for r in reports:
        numbers = (r.auction_id, r.intents, r.filled, r.bids, r.score)
        made.add_row(*map(str, numbers), _won(r), f"{r.seconds.get('solve', 0):.2f}")
    return made


def _line(r: AuctionReport) -> str:
    return (
        f"auction {r.auction_id}: {r.filled} of {r.intents} intents filled, {r.bids} bids,"
        f" score {r.score}; {_won(r)}"
    )


def _won(report: AuctionReport) -> str:
    return ", ".join(f"{s.name} {s.winners}{' (fault)' if s.fault else ''}" for s in report.solvers)
