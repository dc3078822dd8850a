"""walras cancel"""

import asyncio
from typing import Annotated

import typer

from walras.audit.keys import Signer
from walras.cli.options import DEFAULT_ADDRESS, Address, KeyFile, LogKey, parse_id
from walras.cli.output import Json, fields, next_step, print_json, say
from walras.cli.remote import checked_receipt, log_of
from walras.protocol.records import Cancel
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.signing import sign_record


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(cancel)


def cancel(
    intent_id: Annotated[str, typer.Argument(help="64 hexadecimal digits, as submit printed.")],
    key: KeyFile,
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Take an intent back; a batch that is sealed already may still fill it."""
    asyncio.run(
        _cancel(parse_id(intent_id, "INTENT_ID"), read_key(key), address, log_key, as_json=as_json)
    )


async def _cancel(
    intent_id: bytes, signer: Signer, address: str, log_key: str, *, as_json: bool
) -> None:
    async with Client(address) as client:
        log = await log_of(client, log_key)
        envelope = sign_record(Cancel(log.domain, signer.public_key, intent_id), signer)
        answer = await client.cancel(envelope)
    receipt = checked_receipt(envelope, answer.receipt, log)
    held = answer.sealed_in_auction_id
    if as_json:
        print_json({"intent_id": intent_id.hex(), "sealed_in_auction_id": held, **receipt})
        return
    fields({"cancelled": intent_id.hex(), **receipt, "log key": log.remark})
    if held:
        say(f"auction {held} was sealed with it and may still fill it")
    next_step(f"walras watch {intent_id.hex()} --address {address}", "its final state")
