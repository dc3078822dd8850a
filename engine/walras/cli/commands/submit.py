"""walras submit"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from walras.audit.keys import Signer
from walras.cli.amounts import parse_amount
from walras.cli.intent_file import read_intent
from walras.cli.options import DEFAULT_ADDRESS, Address, KeyFile, LogKey, parse_duration
from walras.cli.output import Json, fields, next_step, print_json
from walras.cli.remote import assets_of, checked_receipt, log_of, wall_clock_ms
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent, Leg
from walras.datasets.market import MarketIntent, to_intent
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.signing import fresh_nonce, sign_record


@dataclass(frozen=True, slots=True)
class Order:
    """A simple order, as it was typed: sell so much for at least, or buy so much for at most."""

    sell: str
    buy: str
    least: str
    most: str
    fill_or_kill: bool


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(submit)


def submit(
    key: KeyFile,
    sell: Annotated[str, typer.Option(help='What you give: "5 WETH"; with --min.')] = "",
    least: Annotated[str, typer.Option("--min", help='For at least: "15000 USDC".')] = "",
    buy: Annotated[str, typer.Option(help='What you want: "5 WETH"; with --max.')] = "",
    most: Annotated[str, typer.Option("--max", help='For at most: "15000 USDC".')] = "",
    file: Annotated[Path | None, typer.Option(help="Any shape, as JSON; see docs/cli.md.")] = None,
    fill_or_kill: Annotated[
        bool, typer.Option("--fill-or-kill/--partial", help="All at once, or in parts.")
    ] = False,
    expires: Annotated[str, typer.Option(help="From now: 90s, 10m, 2h, 1d.")] = "10m",
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Sign an intent and hand it in; prints its id once the receipt's proof was checked.

    walras submit -k my.key --sell "5 WETH" --min "15000 USDC"
    """
    if file is not None and not (sell or buy) and (least or most or fill_or_kill):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "--min, --max and --fill-or-kill do not go with --file",
            hint="a file says so itself: limit; min_units = units is all or nothing",
        )
    order = Order(sell, buy, least, most, fill_or_kill)
    if (file is not None) + bool(sell) + bool(buy) != 1:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "give one of --sell, --buy and --file",
            hint='walras submit -k my.key --sell "5 WETH" --min "15000 USDC"',
        )
    asyncio.run(
        _submit(
            read_intent(file) if file is not None else order,
            read_key(key),
            wall_clock_ms() + parse_duration(expires),
            address,
            log_key,
            as_json=as_json,
        )
    )


async def _submit(
    wanted: Order | MarketIntent,
    signer: Signer,
    expiry_ms: int,
    address: str,
    log_key: str,
    *,
    as_json: bool,
) -> None:
    async with Client(address) as client:
        log = await log_of(client, log_key)
        if isinstance(wanted, Order):
            wanted = to_shape(wanted, await assets_of(client))
        intent: Intent = to_intent(
            wanted,
            log.domain,
            signer.public_key,
            fresh_nonce(),
            not_before_ms=0,
            expiry_ms=expiry_ms,
        )
        envelope = sign_record(intent, signer)
        answer = await client.submit(envelope)
    receipt = checked_receipt(envelope, answer.receipt, log)
    intent_id = answer.intent_id.hex()
    if as_json:
        print_json({"intent_id": intent_id, "owner": signer.public_key.hex(), **receipt})
        return
    fields(
        {
            "intent": intent_id,
            "receipt": f"entry {receipt['leaf_index']} of {receipt['tree_size']}, proof checked",
            "log key": log.remark,
        }
    )
    next_step(f"walras watch {intent_id} --address {address}", "what becomes of it")


def to_shape(order: Order, assets: Mapping[str, Asset]) -> MarketIntent:
    """The protocol's shape of a simple order: one leg, an atom per unit.

    Raises:
        InvalidInput: FIELD_INVALID if its other side is missing, or as `parse_amount`.
    """
    if order.sell:
        traded, other, needed, wrong, sign = order.sell, order.least, "--min", order.most, -1
    else:
        traded, other, needed, wrong, sign = order.buy, order.most, "--max", order.least, 1
    if not other or wrong:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{'--sell' if order.sell else '--buy'} goes with {needed}, and with nothing else",
            hint="--sell with --min: give exactly, get at least; --buy with --max: the reverse",
        )
    amount, limit = parse_amount(traded, assets), parse_amount(other, assets)
    return MarketIntent(
        account="",
        legs=(Leg(amount.asset.id, sign),),
        units=amount.atoms,
        min_units=amount.atoms if order.fill_or_kill else 0,
        settlement_asset=limit.asset.id,
        limit=-sign * limit.atoms,
    )
