"""walras import"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from walras.cli.output import Json, next_step, print_json, say, title
from walras.core.errors import InvalidInput, Reason
from walras.datasets.balancer import import_balancer
from walras.datasets.cow import import_cow
from walras.datasets.gpv1 import import_gpv1
from walras.datasets.market_file import write_market
from walras.datasets.uniswap_v3 import import_uniswap_v3

_CHAIN = "eip155:1"


class Format(StrEnum):
    """The formats that are read."""

    GPV1 = "gpv1"
    COW = "cow"
    BALANCER = "balancer"
    UNISWAP_V3 = "uniswap-v3"


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(import_market)


def import_market(
    kind: Annotated[Format, typer.Argument(metavar="|".join(Format), help="The format of FILE.")],
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
    chain: Annotated[
        str,
        typer.Option("--chain", help="balancer and uniswap-v3 only: the pools' CAIP-2 chain."),
    ] = _CHAIN,
    as_json: Json = False,
) -> None:
    """Turn a published instance into a market file; says what it took and left out, and why.

    gpv1: a batch of the Gnosis Protocol v1 exchange. cow: an auction of CoW Protocol. balancer,
    uniswap-v3: pools as the protocols' subgraphs list them.
    """
    data = file.read_bytes()
    if derive_prices and kind is not Format.GPV1:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"--derive-prices is for gpv1; {kind} files have no such orders"
        )
    match kind:
        case Format.GPV1:
            market, summary = import_gpv1(data, derive_prices=derive_prices)
        case Format.COW:
            market, summary = import_cow(data)
        case Format.BALANCER:
            market, summary = import_balancer(data, chain)
        case Format.UNISWAP_V3:
            market, summary = import_uniswap_v3(data, chain)
    write_market(market, out)
    if as_json:
        print_json({"out": str(out), **summary.as_dict()})
        return
    title(f"{market.about.name} → {out}")
    for line in summary.lines():
        say(line)
    next_step(f"walras auction {out}", "run one batch of it")
