"""The market file: a `Market` as UTF-8 JSON, described key by key in docs/market-file.md.

What is read is checked twice: for shape in `market_shape` (every key known, every type exact, every
amount a canonical decimal string), for sense in `Market` (every name defined, intents well-formed).
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from walras.core.errors import InvalidInput, Reason
from walras.datasets.market import About, Account, Market, MarketIntent, invalid, to_intent
from walras.datasets.market_shape import FORMAT, shape_market
from walras.datasets.strict_json import MAX_BYTES, parse_strict
from walras.datasets.venue_shape import Json, render_venue

__all__ = [
    "About",
    "Account",
    "Market",
    "MarketIntent",
    "parse_market",
    "read_market",
    "render_market",
    "to_intent",
    "write_market",
]


def read_market(path: Path) -> Market:
    """The market in the file at `path`.

    Raises:
        InvalidInput: MARKET_FILE_INVALID, also for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise invalid(str(path), error.strerror or str(error), "check the path") from error
    return parse_market(data)


def parse_market(data: bytes) -> Market:
    """The market that `data` writes down.

    Raises:
        InvalidInput: MARKET_FILE_INVALID; `fields["path"]` names the place, such as
            `intents[12].legs[0].asset`.
    """
    return shape_market(parse_strict(data))


def write_market(market: Market, path: Path) -> None:
    """Put `market` at `path`: whole or, after a crash, not at all.

    Raises:
        OSError: the file could not be written; what was at `path` is unchanged.
        InvalidInput: FIELD_INVALID if its folder is not there.
    """
    if not path.parent.is_dir():
        raise InvalidInput(
            Reason.FIELD_INVALID, f"there is no folder {path.parent}", hint="make it, or check it"
        )
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(render_market(market))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        raise


def render_market(market: Market) -> bytes:
    """The one way to write `market`: an item a line, mappings by ascending asset."""
    about = {
        "name": market.about.name,
        "source": market.about.source,
        "summary": _sorted(market.about.summary),
    }
    sections = {"format": _line(FORMAT), "about": _line(about)}
    if market.rules is not None:
        rules = market.rules
        sections["rules"] = _line(
            {
                "collar_bps": rules.collar_bps,
                "reward_cap": str(rules.reward_cap),
                "max_bids": rules.max_bids,
                "max_open_per_owner": rules.max_open_per_owner,
                "max_open": rules.max_open,
            }
        )
    sections["assets"] = _lines(
        {"id": asset.id, "symbol": asset.symbol, "decimals": asset.decimals}
        for asset in market.assets
    )
    sections["prices"] = _lines(
        {"asset": asset, "amount": str(price.amount), "source": price.source}
        for asset, price in sorted(market.prices.items())
    )
    sections["venues"] = _lines(map(render_venue, market.venues))
    sections["accounts"] = _lines(
        {"id": account.id, "balances": _amounts(account.balances)} for account in market.accounts
    )
    sections["intents"] = _lines(map(_intent, market.intents))
    body = ",\n".join(f' "{name}": {text}' for name, text in sections.items())
    return f"{{\n{body}\n}}\n".encode()


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(items: Iterable[Json]) -> str:
    lines = [f"  {_line(item)}" for item in items]
    return "[\n" + ",\n".join(lines) + "\n ]" if lines else "[]"


def _sorted(value: object) -> object:
    # A mapping is the same whatever the order of its keys, so its bytes must be too.
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _amounts(amounts: Mapping[str, int]) -> dict[str, str]:
    return {asset: str(amount) for asset, amount in sorted(amounts.items())}


def _intent(intent: MarketIntent) -> Json:
    made: Json = {
        "account": intent.account,
        "legs": [{"asset": leg.asset, "quantity": str(leg.quantity)} for leg in intent.legs],
        "units": str(intent.units),
        "min_units": str(intent.min_units),
        "settlement_asset": intent.settlement_asset,
        "limit": str(intent.limit),
    }
    if intent.decay is not None:
        made["decay"] = {
            "start_limit": str(intent.decay.start_limit),
            "start_ms": intent.decay.start_ms,
            "end_ms": intent.decay.end_ms,
        }
    if intent.not_before_ms is not None:
        made["not_before_ms"] = intent.not_before_ms
    if intent.expiry_ms is not None:
        made["expiry_ms"] = intent.expiry_ms
    return made
