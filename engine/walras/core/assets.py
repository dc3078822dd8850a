"""Assets: CAIP-19 ids and what to show for them (protocol §1)."""

import re
from dataclasses import dataclass

from walras.core.errors import InvalidInput, Reason

# CAIP-2: namespace [-a-z0-9]{3,8}, reference [-_a-zA-Z0-9]{1,32}.
# CAIP-19: asset namespace [-a-z0-9]{3,8}, asset reference [-.%a-zA-Z0-9]{1,128}.
_CAIP19 = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}")


@dataclass(frozen=True, slots=True)
class Asset:
    """What people are shown for an asset; nothing here is ever computed with.

    Attributes:
        id: CAIP-19, the only name the protocol knows.
        symbol: a short label.
        decimals: one whole unit is 10^decimals atoms.
    """

    id: str
    symbol: str
    decimals: int


def check_asset_id(text: str, name: str = "asset") -> str:
    """`text`, if it is a CAIP-19 asset id.

    Raises:
        InvalidInput: ASSET_MALFORMED.
    """
    if not _CAIP19.fullmatch(text):
        raise InvalidInput(
            Reason.ASSET_MALFORMED,
            f"{name} is not a CAIP-19 asset id: {text[:200]!r}",
            hint="write chain_id/namespace:reference, such as eip155:1/slip44:60",
            field=name,
        )
    return text
