"""A problem as the auction of CoW's `POST /solve`, and what its names stand for.

Units. CoW counts in wei of the native token, of which 10^18 are one; Walras in score units, of
which 10^9 are one numeraire. So a score unit is 10^9 wei, a reference price 10^9 times as much, and
with a gas price of 10^9 wei a unit of gas is a score unit: what a venue's use costs is its gas.

An order is of class `market`: nothing is to be charged for gas beyond what the score takes off.

Source: cowprotocol/services, crates/solvers/openapi.yml.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from walras.sdk import OpenIntent, Problem, ceil_div, least_fill
from walras_solvers.cow_adapter.liquidity import liquidity_of
from walras_solvers.cow_adapter.names import Tokens

WEI_PER_SCORE_UNIT = 10**9

_UINT256 = 1 << 256
_UINT32 = 1 << 32


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What an operator knows of an asset beyond the problem."""

    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Shown:
    """An auction, and what its names stand for.

    Attributes:
        problem: that it shows.
        auction: the request's document.
        tokens: by address.
        orders: uid → intent.
        venues: id of liquidity → venue.
    """

    problem: Problem
    auction: Mapping[str, Any]
    tokens: Tokens
    orders: Mapping[str, OpenIntent]
    venues: Mapping[str, str]


def show(problem: Problem, deadline: datetime, known: Mapping[str, TokenInfo]) -> Shown:
    """The auction of `problem`.

    Args:
        problem: intents of one leg are orders, others are left out.
        deadline: when an answer is late.
        known: symbols and decimals by asset, as far as anybody said.
    """
    traded = {asset for found in problem.intents.values() for asset in found.intent.assets}
    swapped = {asset for venue in problem.venues.values() for asset in venue.assets}
    tokens = Tokens(traded | swapped)
    orders: dict[str, OpenIntent] = {}
    documents = []
    for found in problem.intents.values():
        document = _order(found, problem.sealed_ms, tokens)
        if document is not None:
            documents.append(document)
            orders[document["uid"]] = found
    liquidity: list[dict[str, Any]] = []
    venues: dict[str, str] = {}
    for venue in problem.venues.values():
        for item in liquidity_of(venue, tokens):
            name = str(len(liquidity))
            liquidity.append({"id": name, **item})
            venues[name] = venue.id
    auction = {
        "id": str(problem.auction_id),
        "tokens": {
            tokens.address(asset): _token(problem, asset, known)
            for asset in sorted(traded | swapped)
        },
        "orders": documents,
        "liquidity": liquidity,
        "effectiveGasPrice": str(WEI_PER_SCORE_UNIT),
        "deadline": _iso(deadline),
        "surplusCapturingJitOrderOwners": [],
    }
    return Shown(problem, auction, tokens, orders, venues)


def _token(problem: Problem, asset: str, known: Mapping[str, TokenInfo]) -> dict[str, Any]:
    # There is no contract whose balance could stand in for a swap.
    document: dict[str, Any] = {"availableBalance": "0", "trusted": False}
    price = problem.prices.get(asset)
    if price is not None and price.amount * WEI_PER_SCORE_UNIT < _UINT256:
        document["referencePrice"] = str(price.amount * WEI_PER_SCORE_UNIT)
    if asset in known:
        document |= {"symbol": known[asset].symbol, "decimals": known[asset].decimals}
    return document


def _order(found: OpenIntent, sealed_ms: int, tokens: Tokens) -> dict[str, Any] | None:
    intent = found.intent
    if len(intent.legs) > 1:
        return None
    leg, limit = intent.legs[0], intent.limit_at(sealed_ms)
    # Where less than all is refused but more than an atom is asked, the whole is all there is.
    divisible = least_fill(intent, found.remaining) == 1
    whole = intent.units if divisible else found.remaining

    def amounts(units: int) -> tuple[str, str]:
        """What is sold and what is bought of so many units."""
        moved = abs(leg.quantity) * units
        settled = abs(ceil_div(limit * units, intent.units))
        return (str(moved), str(settled)) if leg.quantity < 0 else (str(settled), str(moved))

    legs = leg.asset, intent.settlement_asset
    sold, bought = legs if leg.quantity < 0 else legs[::-1]
    sell, buy = amounts(found.remaining)
    full_sell, full_buy = amounts(whole)
    owner = sha256(intent.owner).digest()[-20:].hex()
    valid_to = min(intent.expiry_ms // 1_000, _UINT32 - 1)
    return {
        "uid": f"0x{found.id.hex()}{owner}{valid_to:08x}",
        "sellToken": tokens.address(sold),
        "buyToken": tokens.address(bought),
        "sellAmount": sell,
        "fullSellAmount": full_sell,
        "buyAmount": buy,
        "fullBuyAmount": full_buy,
        "feePolicies": [],
        "validTo": valid_to,
        "kind": "sell" if leg.quantity < 0 else "buy",
        "owner": f"0x{owner}",
        "partiallyFillable": divisible,
        "preInteractions": [],
        "postInteractions": [],
        "sellTokenSource": "erc20",
        "buyTokenDestination": "erc20",
        "class": "market",
        "appData": "0x" + bytes(32).hex(),
        # The signature is Ed25519's, over a record that no contract knows: it is not shown.
        "signingScheme": "eip712",
        "signature": "0x" + bytes(65).hex(),
    }


def _iso(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
