"""Small problems and bids for tests of the auction."""

import hashlib
from collections.abc import Mapping, Sequence

from walras.auction.candidates import ScoredBid
from walras.auction.validity import score_bid
from walras.core.bids import Bid, Execution, Fill, Proposal, SettledFill
from walras.core.intents import Decay, Intent, Leg
from walras.market.kinds import AnyVenue, ConstantProduct
from walras.protocol.problem import OpenIntent, Price, Problem, Rules

ETH = "eip155:1/slip44:60"
USDC = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
DAI = "eip155:1/erc20:0x6b175474e89094c44da98b954eedeac495271d0f"
UNPRICED = "eip155:1/erc20:0x9f8f72aa9304c8b593d555f12ef6589cc3a579a2"

WHOLE_ETH = 10**18
WHOLE_USDC = 10**6

PRICES = {
    ETH: Price(10**9, "test"),  # a gwei is a score unit
    USDC: Price(333_333 * 10**12, "test"),  # one USDC is 1/3000 ETH
    DAI: Price(333_333, "test"),
}

DIGEST = hashlib.sha256(b"problem").digest()
NOW = 1_000_000


def key(name: str) -> bytes:
    """A 32-byte name, for owners, solvers and ids."""
    return hashlib.sha256(name.encode()).digest()


def intent(
    owner: str,
    legs: Mapping[str, int],
    settlement_asset: str,
    limit: int,
    *,
    units: int = 1,
    min_units: int = 0,
    decay: Decay | None = None,
) -> Intent:
    return Intent(
        domain="test",
        owner=key(owner),
        nonce=0,
        not_before_ms=0,
        expiry_ms=1 << 60,
        legs=tuple(Leg(asset, quantity) for asset, quantity in legs.items()),
        units=units,
        min_units=min_units,
        settlement_asset=settlement_asset,
        limit=limit,
        decay=decay,
    )


def problem(
    intents: Mapping[str, Intent],
    *,
    balances: Mapping[tuple[str, str], int],
    venues: Sequence[AnyVenue] = (),
    remaining: Mapping[str, int] | None = None,
    rules: Rules | None = None,
) -> Problem:
    left = remaining or {}
    opened = {
        key(name): OpenIntent(key(name), made, left.get(name, made.units))
        for name, made in intents.items()
    }
    return Problem(
        domain="test",
        auction_id=7,
        sealed_ms=NOW,
        rules=rules or Rules(),
        intents=dict(sorted(opened.items())),
        balances={(key(owner), asset): amount for (owner, asset), amount in balances.items()},
        venues={venue.id: venue for venue in venues},
        prices=PRICES,
    )


def bid(
    fills: Sequence[tuple[str, int]],
    prices: Mapping[str, int],
    executions: Sequence[Execution] = (),
    *,
    solver: str = "solver",
) -> Bid:
    return Bid(
        auction_id=7,
        problem_digest=DIGEST,
        solver=key(solver),
        proposal=Proposal(
            tuple(Fill(key(name), units) for name, units in fills), prices, tuple(executions)
        ),
    )


def scored(made: Problem, sent: Bid, name: str = "bid") -> ScoredBid:
    return score_bid(made, DIGEST, sent, bid_id=key(name), bid_digest=key(f"{name} envelope"))


def pool(
    name: str, *, cost: int = 0, depth: int = 1_000, assets: tuple[str, str] = (ETH, USDC)
) -> ConstantProduct:
    """A pool at 3,000 USDC for an ETH."""
    return ConstantProduct(
        name, cost, assets, (depth * WHOLE_ETH, 3_000 * depth * WHOLE_USDC), fee_pips=3_000
    )


def candidate(
    name: str | bytes,
    score: int,
    groups: Mapping[str, int] | Sequence[str],
    *,
    venues: Sequence[str] = (),
    spends: Mapping[tuple[str, str], int] | None = None,
    intents: Sequence[str] = (),
    solver: str = "solver",
) -> ScoredBid:
    """A scored bid as selection sees it; a group's surplus is the score unless it is given."""
    identity = key(name) if isinstance(name, str) else name
    surplus = dict(groups) if isinstance(groups, Mapping) else dict.fromkeys(groups, score)
    return ScoredBid(
        id=identity,
        digest=hashlib.sha256(identity).digest(),
        bid=bid([(one, 1) for one in intents], {}, solver=solver),
        score=score,
        fills=tuple(SettledFill(key(one), 1, 1) for one in intents),
        surplus=surplus,
        spends={(key(o), asset): amount for (o, asset), amount in (spends or {}).items()},
        venues={venue: pool(venue) for venue in venues},
        leftover={},
    )
