"""walras solver cow"""

from pathlib import Path
from typing import Annotated

import typer

from walras.cli.output import Json
from walras.cli.serving import (
    EvidenceFile,
    Listen,
    LogKeys,
    NodeKey,
    NodeName,
    NodeSlots,
    Region,
    Serving,
    WithParent,
    serve_node,
)


def register(group: typer.Typer) -> None:
    """Add the command to `walras solver`."""
    group.command("cow")(cow)


def cow(
    engine_url: Annotated[
        str, typer.Option("--engine-url", help="Of a CoW solver engine; /solve is put behind it.")
    ],
    market: Annotated[
        Path | None,
        typer.Option(help="A market file whose assets' symbols and decimals it is told."),
    ] = None,
    listen: Listen = "127.0.0.1:0",
    name: NodeName = "",
    key: NodeKey = None,
    slots: NodeSlots = 1,
    region: Region = "",
    log_key: LogKeys = None,
    evidence: EvidenceFile = None,
    with_parent: WithParent = False,
    as_json: Json = False,
) -> None:
    """Let a CoW solver engine bid, unmodified: a node that asks it by POST /solve."""
    # Not loaded where another node is to serve: an engine waits for its nodes to start.
    from walras.datasets.market_file import read_market  # noqa: PLC0415 - see above
    from walras_solvers.cow_adapter import CowAdapter, TokenInfo  # noqa: PLC0415 - see above

    assets = read_market(market).assets if market else ()
    tokens = {asset.id: TokenInfo(asset.symbol, asset.decimals) for asset in assets}
    serving = Serving(
        listen,
        name,
        key,
        slots,
        region,
        tuple(log_key or ()),
        evidence,
        with_parent,
        as_json,
    )
    serve_node(lambda: CowAdapter(engine_url, tokens), "cow", serving)
