"""Small markets with known answers, and generated ones, for tests of solvers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from support.auctions import ETH, NOW, USDC, WHOLE_ETH, WHOLE_USDC, intent, problem
from walras.auction.candidates import ScoredBid
from walras.cli.sealed_market import seal_market
from walras.core.intents import Intent
from walras.datasets.generate import generate
from walras.datasets.market import Market
from walras.market.kinds import AnyVenue, Offer, OrderBook
from walras.protocol.problem import Price, Problem
from walras.sdk import Deadline, Proposal, Solver, judged

CALL_4000 = "eip155:1/option:ETH-20261225-4000-C"
CALL_5000 = "eip155:1/option:ETH-20261225-5000-C"
GWEI = 10**9

OPTION_PRICES = {
    CALL_4000: Price(3 * 10**26, "test"),  # an option is one atom: 0.3 ETH
    CALL_5000: Price(10**26, "test"),
}


def market(
    intents: Mapping[str, Intent],
    *,
    venues: Sequence[AnyVenue] = (),
    balances: Mapping[tuple[str, str], int] | None = None,
    prices: Mapping[str, Price] | None = None,
) -> Problem:
    """A problem whose owners, named as their intents, have just what they need, or `balances`."""
    held: defaultdict[tuple[str, str], int] = defaultdict(int)
    for name, one in intents.items():
        for asset, amount in one.needs(one.units, one.limit_at(NOW)).items():
            held[name, asset] += amount
    made = problem(intents, balances=held if balances is None else balances, venues=venues)
    return replace(made, prices={**made.prices, **OPTION_PRICES, **(prices or {})})


def bids(solver: Solver, made: Problem, seconds: float = 20.0) -> list[tuple[Proposal, ScoredBid]]:
    """What the solver proposes; a proposal that the auction would reject raises BidRejected."""
    return [(sent, judged(made, sent)) for sent in solver.solve(made, Deadline.after(seconds))]


def best(solver: Solver, made: Problem, seconds: float = 20.0) -> ScoredBid:
    """The solver's bid with the highest score."""
    return max((scored for _, scored in bids(solver, made, seconds)), key=lambda bid: bid.score)


def filled(bid: ScoredBid) -> dict[bytes, tuple[int, int]]:
    """Intent → units and settlement."""
    return {fill.intent_id: (fill.units, fill.settlement) for fill in bid.fills}


def option_book(name: str, option: str, bid: int, ask: int, cost: int = 0) -> OrderBook:
    """A book of 100 options against ETH, at prices in gwei."""
    return OrderBook(
        name,
        cost,
        (option, ETH),
        asks=(Offer(100, 100 * ask * GWEI),),
        bids=(Offer(100 * bid * GWEI, 100),),
    )


def sale(name: str, amount: int, price: int, *, min_units: int = 0) -> Intent:
    """`amount` ETH for at least `price` USDC each."""
    return intent(
        name,
        {ETH: -1},
        USDC,
        amount * price * WHOLE_USDC,
        units=amount * WHOLE_ETH,
        min_units=min_units,
    )


def purchase(name: str, amount: int, price: int, *, min_units: int = 0) -> Intent:
    """`amount` ETH for at most `price` USDC each."""
    return intent(
        name,
        {ETH: 1},
        USDC,
        -amount * price * WHOLE_USDC,
        units=amount * WHOLE_ETH,
        min_units=min_units,
    )


def spread_against_books() -> Problem:
    """Ten 4000/5000 call spreads for at most 0.24 ETH each; at the books one costs 0.215."""
    spread = intent(
        "s", {CALL_4000: 1, CALL_5000: -1}, ETH, -10 * 240_000_000 * GWEI, units=10, min_units=10
    )
    return market(
        {"s": spread},
        venues=[
            option_book("books-4000", CALL_4000, 290_000_000, 310_000_000),
            option_book("books-5000", CALL_5000, 95_000_000, 105_000_000),
        ],
    )


def sealed(source: Market) -> Problem:
    """What an engine would seal of a market."""
    return seal_market(source, NOW, auction_id=7, domain="test")


def generated(seed: int, intents: int) -> Problem:
    """A generated problem with every kind of venue and intent that `generate` makes."""
    return sealed(generate(seed, assets=12, venues=16, intents=intents))
