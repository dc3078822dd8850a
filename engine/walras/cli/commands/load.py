"""walras load"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from walras.audit.keys import Signer
from walras.cli.options import DEFAULT_ADDRESS, Address, LogKey, parse_duration
from walras.cli.output import Json, fields, next_step, print_json, progress, say
from walras.cli.remote import log_of, put_market, wall_clock_ms
from walras.core.errors import Reason
from walras.datasets.market import Market
from walras.datasets.market_file import read_market
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.markets import sign_market_intents


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(load)


def load(
    market: Annotated[Path, typer.Argument(help="A market file; see docs/market-file.md.")],
    key: Annotated[Path, typer.Option("--key", "-k", help="The operator's key file.")],
    intents: Annotated[
        bool, typer.Option("--intents", help="Hand in its intents too, signed by demo keys.")
    ] = False,
    expires: Annotated[str, typer.Option(help="For intents that state no expiry.")] = "1h",
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Put a market file's assets, prices, venues and balances into an engine, as an operator.

    Its accounts are owned by worthless demo keys that are made from their names.
    """
    expiry_ms = wall_clock_ms() + parse_duration(expires)
    found = read_market(market)
    document = asyncio.run(
        _load(found, read_key(key), expiry_ms if intents else None, address, log_key)
    )
    if as_json:
        print_json(document)
        return
    refused = document.pop("refused")
    assert isinstance(refused, dict)
    fields(document)
    for reason, count in refused.items():
        say(f"refused: {count} × {reason}")
    if Reason.INTENT_EXPIRED in refused:
        say("their windows are over; walras generate --now-ms says when a market's begin")
    next_step(f"walras watch --auctions --address {address}", "what becomes of it")


async def _load(
    market: Market, operator: Signer, expiry_ms: int | None, address: str, log_key: str
) -> dict[str, object]:
    refused: Counter[str] = Counter()
    taken = 0
    async with Client(address, timeout=120.0) as client:
        log = await log_of(client, log_key)
        await put_market(client, market, operator, log.domain)
        if expiry_ms is not None:
            now_ms = wall_clock_ms()
            # Above those of an earlier load of the same file.
            nonces = Counter({account.id: now_ms for account in market.accounts})
            signed = sign_market_intents(
                market, log.domain, now_ms, nonces=nonces, expiry_ms=expiry_ms
            )
            with progress("intents", len(signed)) as advance:
                answers = await client.submit_many(
                    [envelope for _, envelope in signed], on_progress=advance
                )
            refused.update(one.error.reason.value for one in answers if one.error)
            taken = len(answers) - refused.total()
    return {
        "market": market.about.name,
        "assets": len(market.assets),
        "venues": len(market.venues),
        "accounts": len(market.accounts),
        "intents": taken,
        "refused": dict(sorted(refused.items())),
    }
