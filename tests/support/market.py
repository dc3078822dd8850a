"""A tiny market: ETH at 2,000 USD, and an asset that has no price."""

import hashlib
from collections.abc import Iterable
from itertools import count

from walras.audit.keys import Signer
from walras.core.assets import Asset
from walras.core.intents import Decay, Intent, Leg
from walras.market.kinds import AnyVenue, ConstantProduct
from walras.protocol.problem import Price
from walras.protocol.records import Credit, Deposit, MarketUpdate

DOMAIN = "test.example/walras"
ETH = "eip155:1/slip44:60"
USD = "eip155:1/erc20:0x00000000000000000000000000000000000000aa"
DULL = "eip155:1/erc20:0x00000000000000000000000000000000000000bb"
"""Listed, without a price."""
STRANGE = "eip155:1/erc20:0x00000000000000000000000000000000000000cc"
"""Not listed."""

WHOLE_ETH = 10**18
WHOLE_USD = 10**6

ASSETS = (Asset(ETH, "ETH", 18), Asset(USD, "USD", 6), Asset(DULL, "DULL", 18))
PRICES = {ETH: Price(10**9, "test"), USD: Price(5 * 10**17, "test")}

NEVER = 1 << 62
"""An expiry that no test lives to see."""

_nonces = count(1)


def signer(name: str) -> Signer:
    """The key pair of whoever is called `name`."""
    return Signer.from_seed(hashlib.sha256(name.encode()).digest())


def nonce() -> int:
    """One that was not used in this process."""
    return next(_nonces)


def pool(name: str = "pool", *, depth: int = 1_000) -> ConstantProduct:
    """`depth` ETH against as many times 2,000 USD."""
    return ConstantProduct(
        name, 0, (ETH, USD), (depth * WHOLE_ETH, 2_000 * depth * WHOLE_USD), fee_pips=3_000
    )


def market_update(
    operator: bytes, venues: Iterable[AnyVenue] = (), *, domain: str = DOMAIN
) -> MarketUpdate:
    """The market's assets and prices, with `venues`."""
    return MarketUpdate(domain, operator, nonce(), ASSETS, tuple(venues), (), PRICES)


def deposit(
    operator: bytes, owner: bytes, asset: str, amount: int, *, domain: str = DOMAIN
) -> Deposit:
    """One credit."""
    return Deposit(domain, operator, nonce(), (Credit(owner, asset, amount),))


def intent(
    owner: bytes,
    quantity: int,
    limit: int,
    *,
    units: int = WHOLE_ETH,
    min_units: int = 0,
    asset: str = ETH,
    settlement_asset: str = USD,
    expiry_ms: int = NEVER,
    not_before_ms: int = 0,
    decay: Decay | None = None,
    domain: str = DOMAIN,
    number: int | None = None,
) -> Intent:
    """One leg: `quantity` atoms of `asset` a unit, for `limit` of the settlement asset."""
    return Intent(
        domain=domain,
        owner=owner,
        nonce=nonce() if number is None else number,
        not_before_ms=not_before_ms,
        expiry_ms=expiry_ms,
        legs=(Leg(asset, quantity),),
        units=units,
        min_units=min_units,
        settlement_asset=settlement_asset,
        limit=limit,
        decay=decay,
    )


def sell(owner: bytes, least: int = 1_990, *, ethers: int = 1, min_units: int = 0) -> Intent:
    """Sell `ethers` ETH for at least `least` USD each."""
    units = ethers * WHOLE_ETH
    return intent(owner, -1, least * ethers * WHOLE_USD, units=units, min_units=min_units)


def buy(owner: bytes, most: int = 2_010, *, ethers: int = 1, min_units: int = 0) -> Intent:
    """Buy `ethers` ETH for at most `most` USD each."""
    units = ethers * WHOLE_ETH
    return intent(owner, 1, -most * ethers * WHOLE_USD, units=units, min_units=min_units)
