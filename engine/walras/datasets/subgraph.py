"""What importers of subgraph pool lists share: finding the pools, and the market that they make."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from walras.core.assets import Asset
from walras.core.errors import InvalidInput
from walras.datasets.cow_pools import PoolError
from walras.datasets.market import About, Market, invalid
from walras.datasets.strict_json import parse_strict
from walras.datasets.summary import Summary, tally
from walras.market.kinds import AnyVenue

Decimal = Annotated[str, Field(pattern=r"^\d{1,60}(\.\d{1,60})?$")]
"""A decimal number of at least 0, as subgraphs write it."""

Whole = Annotated[str, Field(pattern=r"^-?\d{1,78}$")]
"""A whole number, as subgraphs write it."""

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]

_CHAIN = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}")
_NO_PRICES = "no asset has a reference price: add `prices`, or no intent can trade"


def symbol_of(said: str, address: str) -> str:
    """What a token calls itself, as far as that can be printed; else its address, cut short.

    Anybody can deploy a token whose name moves a terminal's cursor.
    """
    return ("".join(filter(str.isprintable, said)) or address)[:32]


def read_pools(data: bytes) -> list[object]:
    """The pools in `data`: a list of them, `{"pools": …}`, or a GraphQL answer around that.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    document = parse_strict(data, decimals=True)
    path: list[str] = []
    for key in ("data", "pools"):
        if isinstance(document, dict) and key in document:
            document = document[key]
            path.append(key)
    if not isinstance(document, list):
        raise invalid(".".join(path) or "(file)", "is no list of pools", "write [{…}, …]")
    return document


def pool_market(
    source: str,
    name: str,
    data: bytes,
    chain: str,
    to_venue: Callable[[object, int, str], tuple[AnyVenue, Mapping[str, Asset]]],
) -> tuple[Market, Summary]:
    """The market of the pools in `data`, and what was left out of it.

    Args:
        source: the format.
        name: of the market.
        data: the file.
        chain: CAIP-2, of all pools.
        to_venue: (pool, its place, chain) → venue, and its assets by id; PoolError where it keeps
            the format and cannot be taken.

    Raises:
        InvalidInput: MARKET_FILE_INVALID.
    """
    if not _CHAIN.fullmatch(chain):
        raise invalid("--chain", f"{chain[:80]!r} is no CAIP-2 chain", "write eip155:1, say")
    pools = read_pools(data)
    venues: dict[str, AnyVenue] = {}
    assets: dict[str, Asset] = {}
    left_out: Counter[str] = Counter()
    notes = [_NO_PRICES]
    for place, pool in enumerate(pools):
        try:
            venue, traded = to_venue(pool, place, chain)
            if venue.id in venues:
                raise PoolError("listed before")
            if any(
                assets.get(name, asset).decimals != asset.decimals for name, asset in traded.items()
            ):
                raise PoolError("a token's decimals are not those of an earlier pool")
        except PoolError as error:
            left_out[str(error)] += 1
            if error.__cause__ is not None:
                notes.append(f"pools[{place}] left out: {error.__cause__}")
            continue
        venues[venue.id] = venue
        for asset in traded.values():
            assets.setdefault(asset.id, asset)
    summary = Summary(
        source=source,
        orders=0,
        taken=0,
        orders_left_out={},
        pools=len(pools),
        pools_taken=len(venues),
        pools_left_out=tally(left_out),
        accounts=0,
        priced=0,
        unpriced=len(assets),
        notes=tuple(notes),
    )
    market = Market(
        about=About(name, f"imported: {source}", summary.as_dict()),
        rules=None,
        assets=tuple(assets.values()),
        prices={},
        venues=tuple(venues.values()),
        accounts=(),
        intents=(),
    )
    return market, summary


def exactly(text: str, unit: int, what: str) -> int:
    """The decimal number `text` in 1/unit; PoolError where it does not come out whole."""
    number = Fraction(text) * unit
    if number.denominator != 1:
        raise PoolError(f"{what} finer than it can be")
    return int(number)


def made(make: Callable[[], AnyVenue]) -> AnyVenue:
    """The venue; PoolError where it breaks a rule of its kind."""
    try:
        return make()
    except InvalidInput as error:
        # The sentence names the pool; the reason must be one that several pools can share.
        raise PoolError("breaks a rule of its kind") from error
