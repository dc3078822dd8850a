"""walras import"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from walras.cli.output import Json, next_step, print_json, say, title
from walras.core.errors import InvalidInput, Reason
from walras.datasets.cow import import_cow
from walras.datasets.gpv1 import import_gpv1
from walras.datasets.market_file import write_market


class Format(StrEnum):
    """The formats that are read."""

    GPV1 = "gpv1"
    COW = "cow"


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(import_market)


def import_market(
    kind: Annotated[Format, typer.Argument(metavar="gpv1|cow", help="The format of FILE.")],
    file: Annotated[Path, typer.Argument(help="The instance to read.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The market file to write.")],
    derive_prices: Annotated[
        bool | None,
        typer.Option(
            "--derive-prices/--no-derive-prices",
            help="gpv1 only: take prices for unpriced tokens from where orders cross."
            " By default only for a file that states no price at all.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a published instance into a market file; says what it took and left out, and why.

    gpv1: a batch of the Gnosis Protocol v1 exchange. cow: an auction of CoW Protocol.
    """
    data = file.read_bytes()
    if kind is Format.GPV1:
        market, summary = import_gpv1(data, derive_prices=derive_prices)
    elif derive_prices:
        raise InvalidInput(
            Reason.FIELD_INVALID, "--derive-prices is for gpv1; cow files state their prices"
        )
    else:
        market, summary = import_cow(data)
    write_market(market, out)
    if as_json:
        print_json({"out": str(out), **summary.as_dict()})
        return
    title(f"{market.about.name} → {out}")
    for line in summary.lines():
        say(line)
    next_step(f"walras auction {out}", "run one batch of it")
