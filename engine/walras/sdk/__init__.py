"""What a solver's author imports: problem, venues, a solver's contract, routing and bids."""

from walras.auction.validity import MAX_EXECUTIONS
from walras.core.amounts import ceil_div
from walras.core.bids import Execution, Fill, Proposal
from walras.core.errors import BidRejected, InvalidInput, SwapError, WalrasError
from walras.core.intents import Decay, Intent, Leg, least_fill, settlement, surplus
from walras.market.concentrated import ranges as price_ranges
from walras.market.inverse import least_input
from walras.market.kinds import (
    AnyVenue,
    Bridge,
    Concentrated,
    ConstantProduct,
    Offer,
    OrderBook,
    Rfq,
    StablePool,
    StableSwap,
    Tick,
    Weighted,
)
from walras.market.marginal import spot_price
from walras.market.venue import Swap, Venue
from walras.protocol.problem import ATOMS_PER_PRICE, OpenIntent, Price, Problem, Rules
from walras.sdk.proposals import (
    judged,
    keeps_collar,
    keeps_limit,
    net_flows,
    price_vector,
    propose,
    self_check,
    tradable,
)
from walras.sdk.routing import Hop, Route, Router, follow, least_path_input
from walras.sdk.solver import Deadline, Description, Solver

__all__ = [
    "ATOMS_PER_PRICE",
    "MAX_EXECUTIONS",
    "AnyVenue",
    "BidRejected",
    "Bridge",
    "Concentrated",
    "ConstantProduct",
    "Deadline",
    "Decay",
    "Description",
    "Execution",
    "Fill",
    "Hop",
    "Intent",
    "InvalidInput",
    "Leg",
    "Offer",
    "OpenIntent",
    "OrderBook",
    "Price",
    "Problem",
    "Proposal",
    "Rfq",
    "Route",
    "Router",
    "Rules",
    "Solver",
    "StablePool",
    "StableSwap",
    "Swap",
    "SwapError",
    "Tick",
    "Venue",
    "WalrasError",
    "Weighted",
    "ceil_div",
    "follow",
    "judged",
    "keeps_collar",
    "keeps_limit",
    "least_fill",
    "least_input",
    "least_path_input",
    "net_flows",
    "price_ranges",
    "price_vector",
    "propose",
    "self_check",
    "settlement",
    "spot_price",
    "surplus",
    "tradable",
]
