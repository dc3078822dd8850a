"""walras generate"""

from pathlib import Path
from typing import Annotated

import typer

from walras.cli.output import Json, fields, next_step, print_json
from walras.datasets.generate import START_MS
from walras.datasets.generate import generate as generate_market
from walras.datasets.market_file import write_market


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(generate)


def generate(
    out: Annotated[Path, typer.Option("--out", "-o", help="The market file to write.")],
    seed: Annotated[int, typer.Option(help="Same seed and numbers, same market.")] = 1,
    intents: Annotated[int, typer.Option(help="How many intents.")] = 200,
    assets: Annotated[int, typer.Option(help="How many assets, 8 to 40.")] = 16,
    venues: Annotated[int, typer.Option(help="How many venues.")] = 24,
    accounts: Annotated[int, typer.Option(help="How many accounts.")] = 40,
    now_ms: Annotated[int, typer.Option(help="From when decays and expiries run.")] = START_MS,
    as_json: Json = False,
) -> None:
    """Write a synthetic market file with every kind of venue and every shape of intent."""
    market = generate_market(
        seed, assets=assets, venues=venues, accounts=accounts, intents=intents, now_ms=now_ms
    )
    write_market(market, out)
    made = {
        "out": str(out),
        "seed": seed,
        "assets": len(market.assets),
        "venues": len(market.venues),
        "accounts": len(market.accounts),
        "intents": len(market.intents),
        "bytes": out.stat().st_size,
    }
    if as_json:
        print_json(made)
        return
    fields(made)
    next_step(f"walras auction {out}", "run one batch of it")
