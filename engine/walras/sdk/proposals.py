"""From a solver's mathematics to a bid that keeps every rule (protocol §5)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import lcm

from walras.auction.candidates import ScoredBid
from walras.auction.validity import exchanged_values, in_collar, score_bid
from walras.core.bids import Bid, Execution, Fill, Proposal
from walras.core.errors import BidRejected
from walras.core.intents import Intent, settlement
from walras.protocol.problem import OpenIntent, Problem

PRICE_BITS = 250
"""The greatest price of a vector made here is below 2^250."""

_NOBODY = bytes(32)


def keeps_limit(intent: Intent, units: int, settled: int, limit: int) -> bool:
    """Whether s·N ≥ k·L: exact."""
    return settled * intent.units >= units * limit


def keeps_collar(problem: Problem, intent: Intent, units: int, settled: int) -> bool:
    """Whether what the fill receives is worth what it gives, within `collar_bps`, at reference
    prices.
    """
    changes = [(leg.asset, leg.quantity * units) for leg in intent.legs]
    changes.append((intent.settlement_asset, settled))
    return in_collar(problem, *exchanged_values(problem, changes))


def tradable(problem: Problem, found: OpenIntent) -> bool:
    """Whether every asset of the intent has a reference price."""
    return all(asset in problem.prices for asset in found.intent.assets)


def price_vector(prices: Mapping[str, float | Fraction]) -> dict[str, int]:
    """Integer prices in the same ratios: exactly so, where that takes prices below 2^250.

    Elsewhere the greatest becomes just less than 2^250, so that ratios up to 2^100 keep 150 bits.

    Args:
        prices: positive and finite, in any common unit.

    Raises:
        ValueError: a price is not positive, or too small beside the greatest.
    """
    exact = {asset: Fraction(price) for asset, price in prices.items()}
    if not exact:
        return {}
    if min(exact.values()) <= 0:
        raise ValueError("prices must be positive")
    top = max(exact.values())
    scale = Fraction(lcm(*(price.denominator for price in exact.values())))
    if top * scale >= 1 << PRICE_BITS:
        scale = Fraction(2) ** (
            PRICE_BITS - (top.numerator.bit_length() - top.denominator.bit_length() + 1)
        )
    scaled = {asset: int(price * scale) for asset, price in exact.items()}
    if min(scaled.values()) < 1:
        raise ValueError("a price is too small beside the greatest one")
    return scaled


def net_flows(
    problem: Problem,
    fills: Iterable[tuple[bytes, int]],
    prices: Mapping[str, int],
    executions: Iterable[Execution] = (),
) -> dict[str, int]:
    """Asset → what owners and venues give less what they receive; a valid bid has none below 0."""
    pool: defaultdict[str, int] = defaultdict(int)
    for intent_id, units in fills:
        intent = problem.intents[intent_id].intent
        for leg in intent.legs:
            pool[leg.asset] -= leg.quantity * units
        pool[intent.settlement_asset] -= settlement(intent, units, prices)
    for step in executions:
        pool[step.asset_in] -= step.amount_in
        pool[step.asset_out] += step.amount_out
    return dict(pool)


def propose(
    problem: Problem,
    fills: Mapping[bytes, int],
    prices: Mapping[str, int],
    executions: Iterable[Execution] = (),
) -> Proposal:
    """A proposal of the fills with units, in the intents' order, with the prices they need and no
    others.
    """
    kept = tuple(Fill(name, fills[name]) for name in sorted(fills) if fills[name] > 0)
    needed = {asset for fill in kept for asset in problem.intents[fill.intent_id].intent.assets}
    return Proposal(
        fills=kept,
        prices={asset: prices[asset] for asset in sorted(needed)},
        executions=tuple(executions),
    )


def self_check(problem: Problem, proposal: Proposal) -> ScoredBid | None:
    """What the auction would make of the proposal; None where it would reject it.

    The auction's own rules judge, so a solver that sends only what passes here never sends an
    invalid bid.
    """
    try:
        return judged(problem, proposal)
    except BidRejected:
        return None


def judged(problem: Problem, proposal: Proposal) -> ScoredBid:
    """As `self_check`, for a solver's author.

    Raises:
        BidRejected: the rule that the proposal breaks, with the numbers.
    """
    bid = Bid(problem.auction_id, _NOBODY, _NOBODY, proposal)
    return score_bid(problem, _NOBODY, bid, bid_id=_NOBODY, bid_digest=_NOBODY)
