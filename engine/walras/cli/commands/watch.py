"""walras watch"""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from walras.api.v1 import auction_service_pb2, intent_service_pb2
from walras.audit import envelope
from walras.cli.amounts import format_amount
from walras.cli.options import DEFAULT_ADDRESS, Address, parse_id
from walras.cli.output import Json, print_json_line, say, stderr
from walras.cli.remote import assets_of
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.protocol.trade import decode_intent
from walras.sdk.client import Client


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(watch)


def watch(
    intent_ids: Annotated[list[str] | None, typer.Argument(metavar="[INTENT_ID]...")] = None,
    owner: Annotated[str, typer.Option(help="All intents of this public key.")] = "",
    auctions: Annotated[bool, typer.Option("--auctions", help="Every auction that ends.")] = False,
    count: Annotated[int, typer.Option(help="End after so many lines; 0: never.")] = 0,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Follow intents or auctions, a line for each change, until Ctrl-C.

    Watching intents by id ends when all of them are closed. With --json each line is a document.
    """
    chosen = (bool(intent_ids), bool(owner), auctions)
    if sum(chosen) != 1:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "say what to watch: intent ids, --owner or --auctions",
            hint="walras watch --auctions",
        )
    if auctions:
        work = _auctions(address, count, as_json=as_json)
    else:
        ids = [parse_id(text, "INTENT_ID") for text in intent_ids or ()]
        key = parse_id(owner, "--owner") if owner else b""
        work = _intents(address, ids, key, count, as_json=as_json)
    if not as_json and stderr.is_terminal:
        stderr.print("waiting for changes; Ctrl-C ends", style="dim")
    asyncio.run(work)


async def _auctions(address: str, count: int, *, as_json: bool) -> None:
    async with Client(address) as client:
        seen = 0
        async for auction in client.watch_auctions():
            if as_json:
                print_json_line(auction_document(auction))
            else:
                say(auction_line(auction))
            seen += 1
            if seen == count:
                return


async def _intents(
    address: str, ids: Sequence[bytes], owner: bytes, count: int, *, as_json: bool
) -> None:
    async with Client(address) as client:
        assets = await assets_of(client)
        seen = 0
        async for status in client.watch_intents(ids, owner=owner):
            if as_json:
                print_json_line(intent_document(status))
            else:
                say(_intent_line(status, assets))
            seen += 1
            if seen == count:
                return


def auction_document(auction: auction_service_pb2.Auction) -> dict[str, object]:
    """An auction for JSON."""
    return {
        "auction_id": auction.auction_id,
        "state": _state(auction_service_pb2.AuctionState.Name(auction.state), "AUCTION_STATE_"),
        "sealed_ms": auction.sealed_ms,
        "problem_digest": auction.problem_digest.hex(),
        "bundle_digest": auction.bundle_digest.hex(),
        "intents": auction.intents,
        "filled": auction.filled,
        "bids": auction.bids,
        "rejected": auction.rejected,
        "winners": auction.winners,
        "score": auction.score,
        "void_reason": auction.void_reason,
        "solvers": [
            {
                "name": solver.name,
                "public_key": solver.public_key.hex(),
                "bids": solver.bids,
                "rejected": solver.rejected,
                "winners": solver.winners,
                "score": solver.score,
                "reward": solver.reward,
                "fault": solver.fault,
            }
            for solver in auction.solvers
        ],
    }


def auction_line(auction: auction_service_pb2.Auction) -> str:
    """An auction for people."""
    state = _state(auction_service_pb2.AuctionState.Name(auction.state), "AUCTION_STATE_")
    won = ", ".join(f"{s.name} won {s.winners} of {s.bids}" for s in auction.solvers)
    faults = "".join(f"; {s.name}: {s.fault}" for s in auction.solvers if s.fault)
    return (
        f"auction {auction.auction_id} {state}: {auction.filled} of {auction.intents} intents"
        f" filled, score {auction.score or 0}; {won or 'no bids'}{faults}"
        f"{f'; {auction.void_reason}' if auction.void_reason else ''}"
    )


def intent_document(status: intent_service_pb2.IntentStatus) -> dict[str, object]:
    """An intent's state for JSON."""
    return {
        "intent_id": status.intent_id.hex(),
        "state": _state(intent_service_pb2.IntentState.Name(status.state), "INTENT_STATE_"),
        "units": status.units,
        "remaining": status.remaining,
        "settled": status.settled,
        "leaf_index": status.leaf_index,
    }


def _intent_line(status: intent_service_pb2.IntentStatus, assets: dict[str, Asset]) -> str:
    intent = decode_intent(envelope.decode(status.envelope).body)
    state = _state(intent_service_pb2.IntentState.Name(status.state), "INTENT_STATE_")
    done = int(status.units) - int(status.remaining)
    settled = int(status.settled)
    moved = [(leg.asset, leg.quantity * done) for leg in intent.legs]
    moved.append((intent.settlement_asset, settled))
    parts = [
        f"{'+' if amount > 0 else '−'}{format_amount(abs(amount), assets.get(asset), asset)}"
        for asset, amount in moved
        if amount
    ]
    share = f"{100 * done // int(status.units)} %"
    return f"{status.intent_id.hex()} {state}, {share} filled: {' '.join(parts) or 'nothing yet'}"


def _state(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
