"""walras why"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from walras.api.v1.auction_service_pb2 import Explanation as Answer
from walras.auction.why import Explanation, Verdict
from walras.audit.explain import explain
from walras.cli.log_folder import read_log
from walras.cli.options import DEFAULT_ADDRESS, Address, parse_id
from walras.cli.output import Json, fields, next_step, print_json, say, title, waiting
from walras.sdk.client import Client


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(why)


def why(
    asked: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="An intent's id; a bid's, or the SHA-256 of its envelope; or a commitment.",
        ),
    ],
    log: Annotated[
        Path | None,
        typer.Option(help="Ask this log folder, which is replayed, instead of an engine."),
    ] = None,
    auction: Annotated[
        int, typer.Option(min=0, help="The batch; 0: an intent's newest, and a bid's own.")
    ] = 0,
    key: Annotated[
        str, typer.Option("--key", "-k", help="With --log: the log's verifier key, or its file.")
    ] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say why an intent was not filled, or a bid did not win, with the numbers behind it.

    An engine answers for its newest auctions, and is believed; a log proves what it says.
    """
    name = parse_id(asked, "ID")
    if log is not None:
        found = _from_log(log, key, name, auction)
    else:
        found = asyncio.run(_from_engine(address, name, auction))
    if as_json:
        print_json(found.document())
        return
    _show(found)
    if log is None:
        next_step(f"walras export {address} DIR; walras why {asked} --log DIR", "have it proven")


def _from_log(folder: Path, key: str, name: bytes, auction: int) -> Explanation:
    source, log = read_log(folder, key)
    with waiting("replaying it"):
        return explain(log, source, name, auction)


async def _from_engine(address: str, name: bytes, auction: int) -> Explanation:
    async with Client(address) as client:
        return _read(await client.why(name, auction))


def _read(answer: Answer) -> Explanation:
    return Explanation(
        answer.subject,
        answer.id,
        answer.auction_id,
        Verdict(answer.verdict),
        answer.message,
        {field.name: field.value for field in answer.fields},
        tuple(map(_read, answer.bids)),
    )


def _show(found: Explanation) -> None:
    title(f"{found.subject} {found.id.hex()}")
    where = f" in auction {found.auction_id}" if found.auction_id else ""
    say(f"{found.verdict}{where}: {found.message}")
    _numbers(found.fields)
    for bid in found.bids:
        say()
        say(f"bid {bid.id.hex()}: {bid.verdict}: {bid.message}")
        _numbers(bid.fields)


def _numbers(pairs: Mapping[str, str]) -> None:
    fields({f"  {name}": value for name, value in pairs.items()})
