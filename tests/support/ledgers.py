"""A ledger's state without an engine around it."""

import copy
import hashlib
from itertools import count

from support.market import DOMAIN, deposit, market_update, pool, signer
from support.solvers import crossings
from walras.auction.candidates import ScoredBid
from walras.auction.validity import score_bid
from walras.audit import envelope
from walras.audit.vrf import VrfKey
from walras.core.bids import Bid, Execution, Fill, Proposal
from walras.core.intents import Intent
from walras.ledger.state import State
from walras.market.kinds import AnyVenue
from walras.protocol.codec import encode
from walras.protocol.problem import OpenIntent, Problem, Rules
from walras.protocol.records import Genesis, Kind, RulesSet

OPERATOR = signer("operator").public_key
ENGINE = signer("engine").public_key
VRF = VrfKey.from_seed(hashlib.sha256(b"vrf").digest())
DIGEST = hashlib.sha256(b"problem").digest()

_leaves = count(100)


def ledger(*venues: AnyVenue, rules: Rules | None = None) -> State:
    """A state with the tiny market, and changes taken."""
    state = State()
    state.begin(Genesis(DOMAIN, ENGINE, (OPERATOR,), VRF.public_key))
    state.set_rules(RulesSet(rules or Rules()))
    state.update_market(market_update(OPERATOR, venues or (pool(),)))
    state.take_changes()
    return state


def fund(state: State, owner: bytes, asset: str, amount: int) -> None:
    """Deposit for `owner`."""
    state.deposit(deposit(OPERATOR, owner, asset, amount))


def submit(state: State, intent: Intent) -> bytes:
    """Put an intent into the book; returns its id."""
    name = name_of(intent)
    state.submit(name, intent, next(_leaves))
    return name


def name_of(intent: Intent) -> bytes:
    """The intent's id."""
    return envelope.record_id(Kind.INTENT.payload_type, encode(intent)[1])


def scored(problem: Problem, proposal: Proposal) -> ScoredBid:
    """What the auction makes of a proposal."""
    bid = Bid(problem.auction_id, DIGEST, ENGINE, proposal)
    identity = hashlib.sha256(encode(bid)[1]).digest()
    return score_bid(problem, DIGEST, bid, bid_id=identity, bid_digest=identity)


def crossed(problem: Problem) -> list[ScoredBid]:
    """Pairs that cross, each a valid bid of its own."""
    return [scored(problem, proposal) for proposal in crossings(problem)]


def sold_to(problem: Problem, found: OpenIntent, units: int, venue: str) -> Proposal:
    """`units` units of a seller's intent, swapped on a venue; the seller gets what it pays."""
    asset, currency = found.intent.legs[0].asset, found.intent.settlement_asset
    paid = problem.venues[venue].swap(asset, units, currency).amount_out
    return Proposal(
        (Fill(found.id, units),),
        {asset: paid, currency: units},
        (Execution(venue, asset, units, currency, paid),),
    )


def totals(state: State) -> dict[str, int]:
    """Asset → atoms that owners, the buffer and pools hold together."""
    found: dict[str, int] = {}
    for (_, asset), amount in state.balances.items():
        found[asset] = found.get(asset, 0) + amount
    for venue in state.market.venues.values():
        held = getattr(venue, "reserves", ())
        for asset, amount in zip(venue.assets, held, strict=True):
            found[asset] = found.get(asset, 0) + amount
    return found


def copied(state: State) -> State:
    """A state to compare with."""
    return copy.deepcopy(state)
