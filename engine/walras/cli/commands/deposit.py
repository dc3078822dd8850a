"""walras deposit"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from walras.audit.keys import Signer
from walras.cli.amounts import format_amount, parse_amount
from walras.cli.options import DEFAULT_ADDRESS, Address, LogKey, parse_id
from walras.cli.output import Json, fields, next_step, print_json
from walras.cli.remote import assets_of, checked_receipt, log_of
from walras.protocol.records import Credit, Deposit
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.signing import fresh_nonce, sign_record


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(deposit)


def deposit(
    owner: Annotated[str, typer.Argument(help="Public key to credit, 64 hexadecimal digits.")],
    amount: Annotated[str, typer.Argument(help='Such as "5 WETH".')],
    key: Annotated[Path, typer.Option("--key", "-k", help="The operator's key file.")],
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Credit an owner, as an operator of the engine."""
    asyncio.run(
        _deposit(parse_id(owner, "OWNER"), amount, read_key(key), address, log_key, as_json=as_json)
    )


async def _deposit(
    owner: bytes, amount: str, operator: Signer, address: str, log_key: str, *, as_json: bool
) -> None:
    async with Client(address) as client:
        log = await log_of(client, log_key)
        credited = parse_amount(amount, await assets_of(client))
        record = Deposit(
            log.domain,
            operator.public_key,
            fresh_nonce(),
            (Credit(owner, credited.asset.id, credited.atoms),),
        )
        envelope = sign_record(record, operator)
        answer = await client.deposit(envelope)
    receipt = checked_receipt(envelope, answer.receipt, log)
    if as_json:
        credit = {"asset": credited.asset.id, "amount": str(credited.atoms)}
        print_json({"owner": owner.hex(), **credit, **receipt})
        return
    shown = format_amount(credited.atoms, credited.asset)
    fields({"credited": shown, "owner": owner.hex(), **receipt, "log key": log.remark})
    next_step(f"walras balances {owner.hex()} --address {address}", "what the owner has now")
