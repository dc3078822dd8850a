"""walras withdraw"""

import asyncio
from typing import Annotated

import typer

from walras.audit.keys import Signer
from walras.cli.amounts import format_amount, parse_amount
from walras.cli.options import DEFAULT_ADDRESS, Address, KeyFile, LogKey, parse_duration
from walras.cli.output import Json, fields, next_step, print_json
from walras.cli.remote import assets_of, checked_receipt, log_of, wall_clock_ms
from walras.protocol.records import Withdrawal
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.signing import fresh_nonce, sign_record


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(withdraw)


def withdraw(
    amount: Annotated[str, typer.Argument(help='Such as "5 WETH".')],
    key: KeyFile,
    expires: Annotated[str, typer.Option(help="When the signature ends, from now.")] = "10m",
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Take an amount out; while a batch is being decided, it waits for its end."""
    expiry_ms = wall_clock_ms() + parse_duration(expires)
    asyncio.run(_withdraw(amount, read_key(key), expiry_ms, address, log_key, as_json=as_json))


async def _withdraw(
    amount: str, signer: Signer, expiry_ms: int, address: str, log_key: str, *, as_json: bool
) -> None:
    async with Client(address, timeout=120.0) as client:
        log = await log_of(client, log_key)
        assets = await assets_of(client)
        taken = parse_amount(amount, assets)
        record = Withdrawal(
            log.domain, signer.public_key, fresh_nonce(), taken.asset.id, taken.atoms, expiry_ms
        )
        envelope = sign_record(record, signer)
        answer = await client.withdraw(envelope)
    receipt = checked_receipt(envelope, answer.receipt, log)
    left = int(answer.balance.amount)
    if as_json:
        moved = {"asset": taken.asset.id, "amount": str(taken.atoms), "balance": str(left)}
        print_json({"owner": signer.public_key.hex(), **moved, **receipt})
        return
    shown = format_amount(taken.atoms, taken.asset)
    fields(
        {
            "withdrawn": shown,
            "left": format_amount(left, taken.asset),
            **receipt,
            "log key": log.remark,
        }
    )
    next_step(f"walras balances {signer.public_key.hex()} --address {address}", "all you have")
