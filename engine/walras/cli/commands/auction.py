"""walras auction"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from walras.app.config import Config, read_config
from walras.app.engine import Engine, run_engine
from walras.app.report import AuctionReport
from walras.cli.bounds import bound_of
from walras.cli.engines import (
    SETTLE_IN_SECONDS,
    clock_at,
    folder_or_temporary,
    rules_flag,
    solver_configs,
)
from walras.cli.fetch import fetch_log
from walras.cli.logs import configure
from walras.cli.output import (
    Json,
    fields,
    next_step,
    print_json,
    progress,
    say,
    show,
    table,
    waiting,
)
from walras.cli.remote import put_market
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.datasets.market import Market
from walras.datasets.market_file import read_market
from walras.rpc.server import start
from walras.sdk.client import Client
from walras.sdk.markets import sign_market_intents

Seconds = dict[str, float]


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(auction)


def auction(
    market: Annotated[Path, typer.Argument(help="A market file; see docs/market-file.md.")],
    solver: Annotated[
        list[str] | None,
        typer.Option(
            help="Whom to ask: an installed name, module:Class, or a node's host:port. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the log, and the engine's data, in this folder.")
    ] = None,
    solve_seconds: Annotated[
        float, typer.Option(min=0.01, max=600, help="At most; it ends when all have answered.")
    ] = 30.0,
    bound_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="At most, for a bound on any award's score.")
    ] = 5.0,
    now_ms: Annotated[
        int | None,
        typer.Option(help="The engine's time. Unset: the market's own, or now."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run one batch of a market file: the server, nodes, auction and log that serve uses too.

    The market's accounts sign with worthless demo keys that are made from their names.
    """
    configure(level="warning")
    found = read_market(market)
    own = found.about.summary.get("now_ms")
    at = now_ms if now_ms is not None or not isinstance(own, int) else own
    if out is not None and (out / "engine" / "walras.db").exists():
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{out} holds an earlier run",
            hint="choose another folder, or remove it",
        )
    with folder_or_temporary(out, "walras-auction-") as folder:
        config = read_config(
            None,
            data=folder / "engine",
            listen="127.0.0.1:0",
            interval_ms=10,
            solve_ms=round(solve_seconds * 1000),
            solvers=solver_configs(solver or ()),
            rules=rules_flag(found),
        )
        document = asyncio.run(_auction(found, config, at, folder if out else None, bound_seconds))
    if as_json:
        print_json(document)
        return
    _show(document)
    if out is None:
        next_step(f"walras auction {market} --out DIR", "keep the log, to audit it")
    else:
        next_step(f"walras audit {out}", "replay all of it")


async def _auction(
    market: Market, config: Config, now_ms: int | None, out: Path | None, bound_seconds: float
) -> dict[str, object]:
    clock = clock_at(now_ms)
    seconds: Seconds = {}
    refused: Counter[str] = Counter()
    async with run_engine(config, clock) as engine:
        server, address = await start(engine, config.listen)
        try:
            async with Client(address, timeout=120.0) as client:
                assert engine.operator is not None  # made in a folder of its own
                with _timed(seconds, "load"):
                    await put_market(client, market, engine.operator, config.domain)
                with _timed(seconds, "submit"):
                    signed = sign_market_intents(market, config.domain, clock())
                    with progress("intents", len(signed)) as advance:
                        answers = await client.submit_many(
                            [envelope for _, envelope in signed], on_progress=advance
                        )
                refused.update(one.error.reason.value for one in answers if one.error)
                with _timed(seconds, "nodes"), waiting("solvers start"):
                    await engine.fleet.settle_in(SETTLE_IN_SECONDS)
                report = await _one_batch(engine)
                seconds |= report.seconds
                with _timed(seconds, "bound"), waiting("bound on any award's score"):
                    envelopes = [envelope for _, envelope in signed]
                    bounded = await bound_of(
                        client, report.problem_digest, envelopes, report.score, bound_seconds
                    )
                with _timed(seconds, "log"):
                    if out is not None:
                        await fetch_log(client, out, engine.verifier_key)
        finally:
            await server.stop(0.5)
        solvent = all(amount >= 0 for amount in engine.sequencer.state.balances.values())
    return {
        "market": market.about.name,
        "auction_id": report.auction_id,
        "intents": report.intents,
        "filled": report.filled,
        "score": report.score,
        **bounded.fields(),
        "bids": report.bids,
        "rejected": report.rejected,
        "winners": report.winners,
        "solvers": [asdict(solver) for solver in report.solvers],
        "submitted": len(answers),
        "refused": dict(sorted(refused.items())),
        "solvent": solvent,
        "seconds": {phase: round(spent, 4) for phase, spent in seconds.items()},
        "verifier_key": engine.verifier_key,
        "out": str(out) if out else None,
    }


async def _one_batch(engine: Engine) -> AuctionReport:
    with waiting(f"auction, at most {engine.config.solve_ms / 1000:g} s"):
        batch = await engine.auctioneer.open()
        report = await engine.auctioneer.settle(batch)
    if report is None:
        raise InvalidInput(
            Reason.MARKET_FILE_INVALID,
            "no intent of the market is eligible: none is open, in its window and backed",
            hint="see `refused` of a market with more intents; --now-ms sets the engine's time",
        )
    if report.bids == 0 and report.solvers and all(one.fault for one in report.solvers):
        raise SolverFault(
            Reason.NODE_FAILED,
            "no solver answered: " + "; ".join(one.fault for one in report.solvers),
            hint="try one by itself: walras solver check NAME",
        )
    return report


@contextmanager
def _timed(seconds: Seconds, phase: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[phase] = time.perf_counter() - began


def _show(document: dict[str, object]) -> None:
    shown = (
        *("market", "intents", "filled", "bids", "rejected", "winners", "score"),
        *("bound", "share_of_bound", "solvent"),
    )
    fields({name: document[name] for name in shown})
    refused, seconds, solvers = document["refused"], document["seconds"], document["solvers"]
    assert isinstance(refused, dict)
    assert isinstance(seconds, dict)
    assert isinstance(solvers, list)
    for reason, count in refused.items():
        say(f"refused at intake: {count} × {reason}")
    made = table(
        *("solver", "bids", "rejected", "won", "score", "reward", "fault"),
        right="bids rejected won score reward",
    )
    for one in solvers:
        numbers = (one[name] for name in ("bids", "rejected", "winners", "score", "reward"))
        made.add_row(one["name"], *map(str, numbers), one["fault"])
    show(made)
    say("seconds: " + ", ".join(f"{phase} {spent:.2f}" for phase, spent in seconds.items()))
