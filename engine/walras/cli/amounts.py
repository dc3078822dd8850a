"""Amounts as people write them: "5 WETH", "0.05 eip155:1/slip44:60". Exact, never a float."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from walras.core.amounts import check_amount
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason

_AMOUNT = re.compile(r"([0-9]{1,78}(?:\.[0-9]{1,78})?)\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Amount:
    """So many atoms of an asset."""

    asset: Asset
    atoms: int


def parse_amount(text: str, assets: Mapping[str, Asset]) -> Amount:
    """The amount that `text` writes in whole units of an asset, named by symbol or id.

    Raises:
        InvalidInput: AMOUNT_MALFORMED, AMOUNT_OUT_OF_RANGE, ASSET_UNKNOWN or, for a symbol of
            several assets, FIELD_INVALID.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if not found:
        raise InvalidInput(
            Reason.AMOUNT_MALFORMED,
            f"{text[:80]!r} is not an amount of an asset",
            hint='write a number, a space and a symbol or id: "5 WETH"',
        )
    number, name = found.groups()
    asset = find_asset(name, assets)
    whole, _, fraction = number.partition(".")
    if len(fraction.rstrip("0")) > asset.decimals:
        raise InvalidInput(
            Reason.AMOUNT_MALFORMED,
            f"{asset.symbol} has {asset.decimals} decimals, so {number} is not a number of atoms",
            hint="write fewer decimals",
            asset=asset.id,
        )
    atoms = int(whole + fraction[: asset.decimals].ljust(asset.decimals, "0"))
    if atoms == 0:
        raise InvalidInput(Reason.AMOUNT_OUT_OF_RANGE, "an amount must be above zero")
    return Amount(asset, check_amount(atoms))


def find_asset(name: str, assets: Mapping[str, Asset]) -> Asset:
    """The asset of an id, or the only one of a symbol.

    Raises:
        InvalidInput: ASSET_UNKNOWN, or FIELD_INVALID naming the ids that a symbol may mean.
    """
    if name in assets:
        return assets[name]
    meant = [asset for asset in assets.values() if asset.symbol.lower() == name.lower()]
    exact = [asset for asset in meant if asset.symbol == name]
    meant = exact or meant
    if not meant:
        raise InvalidInput(
            Reason.ASSET_UNKNOWN,
            f"the engine knows no asset {name!r}",
            hint=f"known: {_some(asset.symbol for asset in assets.values())}",
            asset=name,
        )
    if len(meant) > 1:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{name!r} may be any of {', '.join(asset.id for asset in meant)}",
            hint="write the id instead of the symbol",
            asset=name,
        )
    return meant[0]


def format_amount(atoms: int, asset: Asset | None, asset_id: str = "") -> str:
    """The exact amount in whole units with the symbol; atoms where the asset is unknown."""
    if asset is None:
        return f"{atoms} atoms of {asset_id}"
    # Only the exponent is set, so nothing is rounded to the decimal context's precision.
    sign, digits, _ = Decimal(atoms).as_tuple()
    number = f"{Decimal((sign, digits, -asset.decimals)):f}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {asset.symbol}"


def _some(symbols: Iterable[str]) -> str:
    known = sorted(set(symbols))
    return ", ".join(known[:20]) + (" …" if len(known) > 20 else "") if known else "none"
