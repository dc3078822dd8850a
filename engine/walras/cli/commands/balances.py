"""walras balances"""

import asyncio
from typing import Annotated

import typer

from walras.cli.amounts import format_amount
from walras.cli.options import DEFAULT_ADDRESS, Address, parse_id
from walras.cli.output import Json, next_step, print_json, say, show, table
from walras.cli.remote import assets_of
from walras.sdk.client import Client


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(balances)


def balances(
    owner: Annotated[str, typer.Argument(help="Public key, 64 hexadecimal digits.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show what an owner has available."""
    asyncio.run(_balances(parse_id(owner, "OWNER"), address, as_json=as_json))


async def _balances(owner: bytes, address: str, *, as_json: bool) -> None:
    async with Client(address) as client:
        found = [balance async for balance in client.balances(owner)]
        assets = await assets_of(client)
    if as_json:
        amounts = {balance.asset: balance.amount for balance in found}
        print_json({"owner": owner.hex(), "balances": amounts})
        return
    if not found:
        say(f"{owner.hex()} has nothing at {address}")
        next_step(
            f'walras deposit {owner.hex()} "5 ETH" --key operator.key', "as the engine's operator"
        )
        return
    made = table("amount", "asset", right="amount")
    for balance in found:
        amount = int(balance.amount)
        made.add_row(format_amount(amount, assets.get(balance.asset)), balance.asset)
    show(made)
    next_step(
        f"walras watch --owner {owner.hex()} --address {address}", "follow this owner's intents"
    )
