"""CoW's names for what Walras has: addresses, ids and decimal numbers.

A solver engine sees 20-byte token addresses. An ERC-20 asset keeps its own; any other asset gets an
address made of its id, which stands for it in this auction and nowhere else.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

NOWHERE = "0x" + bytes(20).hex()
"""Where an address must be named and none is."""

_ERC20 = re.compile(r"eip155:[0-9]{1,32}/erc20:(0x[0-9a-fA-F]{40})")


def made_address(text: str) -> str:
    """An address that stands for `text`."""
    return "0x" + sha256(text.encode()).digest()[-20:].hex()


def decimal(value: int, places: int) -> str:
    """Value · 10^−places, ≥ 0, exactly: `decimal(3000, 6)` is 0.003."""
    whole, part = divmod(value, 10**places)
    digits = f"{part:0{places}}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


class Tokens:
    """Assets and their addresses, one for each.

    Of two ids with one address, as on two chains, the first keeps it.

    Args:
        assets: CAIP-19 ids.
    """

    def __init__(self, assets: Iterable[str]) -> None:
        self._assets: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        for asset in sorted(set(assets)):
            found = _ERC20.fullmatch(asset)
            address = found[1].lower() if found else made_address(asset)
            # Whoever lists assets can choose an address, also one that is made of another's id.
            while address in self._assets:
                address = made_address(f"{address} {asset}")
            self._assets[address] = asset
            self._addresses[asset] = address

    def address(self, asset: str) -> str:
        """Lowercase hexadecimal digits behind 0x."""
        return self._addresses[asset]

    def asset(self, address: str) -> str | None:
        """The asset of a lowercase address; None for one that nobody was shown."""
        return self._assets.get(address)
