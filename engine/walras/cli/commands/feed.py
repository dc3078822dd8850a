"""walras feed"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from walras.audit.keys import Signer
from walras.cli.amounts import find_asset
from walras.cli.options import DEFAULT_ADDRESS, Address, LogKey
from walras.cli.output import Json, fields, next_step, print_json
from walras.cli.remote import assets_of, checked_receipt, log_of, wall_clock_ms
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.protocol.prices import PriceFeed
from walras.protocol.problem import MAX_NUMERAIRE_DECIMALS
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.signing import sign_record

_PRICE = re.compile(r"(\S+)=([0-9]{1,60})(?:\.([0-9]{1,60}))?")


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(feed)


def feed(
    prices: Annotated[
        list[str],
        typer.Argument(help='One whole unit in units of the numeraire, such as "USDC=0.0004".'),
    ],
    key: Annotated[Path, typer.Option("--key", "-k", help="The feeder's key file.")],
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Say what assets are worth, as one of the engine's feeders."""
    asyncio.run(_feed(prices, read_key(key), address, log_key, as_json=as_json))


async def _feed(
    prices: Sequence[str], feeder: Signer, address: str, log_key: str, *, as_json: bool
) -> None:
    async with Client(address, timeout=120.0) as client:
        log = await log_of(client, log_key)
        said = parse_prices(prices, await assets_of(client))
        now_ms = wall_clock_ms()
        # Times ascend as sequences must, so that a feeder need not remember its last one.
        record = PriceFeed(log.domain, feeder.public_key, now_ms, now_ms, said)
        envelope = sign_record(record, feeder)
        answer = await client.put_prices(envelope)
    receipt = checked_receipt(envelope, answer.receipt, log)
    if as_json:
        shown = {asset: str(amount) for asset, amount in said.items()}
        print_json({"feeder": feeder.public_key.hex(), "prices": shown, **receipt})
        return
    fields({"prices": len(said), "at_ms": now_ms, **receipt, "log key": log.remark})
    next_step(f"walras watch --auctions --address {address}", "the batches that they count in")


def parse_prices(texts: Sequence[str], assets: Mapping[str, Asset]) -> dict[str, int]:
    """Asset → score units per 10^18 atoms, floored, of texts such as "USDC=0.0004".

    Raises:
        InvalidInput: AMOUNT_MALFORMED, AMOUNT_OUT_OF_RANGE for one that is floored to nothing,
            ASSET_UNKNOWN, or FIELD_INVALID for an asset that is named twice or not clearly.
    """
    said: dict[str, int] = {}
    for text in texts:
        found = _PRICE.fullmatch(text.strip())
        if not found:
            raise InvalidInput(
                Reason.AMOUNT_MALFORMED,
                f"{text[:80]!r} is not a price of an asset",
                hint='write a symbol or id, "=" and a number: "USDC=0.0004"',
            )
        name, whole, fraction = found[1], found[2], found[3] or ""
        asset = find_asset(name, assets)
        # A numeraire is 10^9 score units, and a price is of 10^18 atoms.
        scale = 10 ** (asset.decimals + len(fraction))
        amount = int(whole + fraction) * 10**MAX_NUMERAIRE_DECIMALS // scale
        if not amount:
            raise InvalidInput(
                Reason.AMOUNT_OUT_OF_RANGE,
                f"at {text}, 10^18 atoms of {asset.symbol} are worth less than a score unit",
                asset=asset.id,
            )
        if asset.id in said:
            raise InvalidInput(Reason.FIELD_INVALID, f"{name} is priced twice", asset=asset.id)
        said[asset.id] = amount
    return said
