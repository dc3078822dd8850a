"""Bids: what a solver proposes for one problem (protocol §5), and bundles: what was
awarded (§7).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fill:
    """`units` units of an intent; what it settles for is derived from the bid's prices."""

    intent_id: bytes
    units: int


@dataclass(frozen=True, slots=True)
class Execution:
    """One swap on a sealed venue: exactly `amount_in` atoms in, exactly `amount_out` atoms out."""

    venue: str
    asset_in: str
    amount_in: int
    asset_out: str
    amount_out: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """The part of a bid that a solver's mathematics makes; a node adds the rest and signs.

    Attributes:
        fills: distinct intents.
        prices: one vector for everybody in the bid: asset → integer > 0, in any common unit.
        executions: run in this order on the sealed venue states.
    """

    fills: tuple[Fill, ...]
    prices: Mapping[str, int]
    executions: tuple[Execution, ...] = ()


@dataclass(frozen=True, slots=True)
class Bid:
    """One solver's signed proposal for some intents of one problem.

    Attributes:
        auction_id: of the problem.
        problem_digest: SHA-256 of the sealed problem's bytes.
        solver: the node's public key, 32 bytes.
        proposal: fills, prices, executions.
    """

    auction_id: int
    problem_digest: bytes
    solver: bytes
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class SettledFill:
    """A fill with the settlement that the winning bid's prices give it, signed from the owner's
    side.
    """

    intent_id: bytes
    units: int
    settlement: int


@dataclass(frozen=True, slots=True)
class Winner:
    """A winning bid.

    Attributes:
        bid_id: SHA-256 over the PAE of the bid.
        bid_digest: SHA-256 of its envelope, the name of its blob.
        solver: public key of the node that signed it.
        score: in score units.
    """

    bid_id: bytes
    bid_digest: bytes
    solver: bytes
    score: int


@dataclass(frozen=True, slots=True)
class Reward:
    """What a solver with winning bids is due: min(cap, total − reference), in score units.

    `reference` is the best total without this solver's bids.
    """

    solver: bytes
    reference: int
    amount: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """The award of one auction, the settlement the engine signs.

    Attributes:
        domain, auction_id, problem_digest: what it is the award of.
        winners: by ascending bid id.
        fills: in the winners' order, each bid's in its own order.
        executions: in the winners' order, each bid's in its own order.
        venues_digest: SHA-256 of the venue states after the executions (those that were touched).
        score: the sum of the winners'.
        rewards: by ascending solver key, solvers with a winning bid only.
        bound: no selection scores more; equal to `score` unless the search ended early.
        certificate_digest: SHA-256 of the proof of it, the name of its blob.
    """

    domain: str
    auction_id: int
    problem_digest: bytes
    winners: tuple[Winner, ...]
    fills: tuple[SettledFill, ...]
    executions: tuple[Execution, ...]
    venues_digest: bytes
    score: int
    rewards: tuple[Reward, ...]
    bound: int
    certificate_digest: bytes
