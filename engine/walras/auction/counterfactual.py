"""What an auction would have come to with other bids beside the logged ones, or by other rules.

The problem, its parts and the seed of the ties stay as logged. One auction at a time: what another
award would have left for the batches after it is not followed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from walras.auction.award import award
from walras.auction.awarded import Award
from walras.auction.batch import MAX_BID_BYTES, ClosedBatch
from walras.auction.candidates import ScoredBid
from walras.auction.logged import scored_again
from walras.auction.validity import score_bid
from walras.audit import envelope
from walras.core.bids import Bid, Proposal
from walras.core.errors import BidRejected, InvalidInput, Reason
from walras.protocol.problem import Problem, Rules
from walras.protocol.records import Kind
from walras.protocol.trade import decode_bid, encode_bid

AFTER_SEALING = ("collar_bps", "max_bids", "reward_cap")
"""The rules that a sealed problem was not made by."""


@dataclass(slots=True)
class Entrant:
    """A solver that was not there, and its bids for one auction.

    Attributes:
        key: stands for it; nothing is signed.
        rules: that its bids are judged by.
        scored: its valid bids.
        invalid: number of the proposal, from 1, and the rule that it breaks.
        proposals: how many it made.
    """

    key: bytes
    rules: Rules
    scored: list[ScoredBid] = field(default_factory=list)
    invalid: list[tuple[int, str]] = field(default_factory=list)
    proposals: int = 0

    def propose(self, part: Problem, part_digest: bytes, proposal: Proposal) -> None:
        """Take a proposal as the auction would."""
        self.proposals += 1
        try:
            if self.proposals > self.rules.max_bids:
                raise BidRejected(Reason.BID_LIMIT, f"a solver may send {self.rules.max_bids} bids")
            bid = Bid(part.auction_id, part_digest, self.key, proposal)
            self.scored.append(self._score(part, part_digest, bid))
        except (BidRejected, InvalidInput) as error:
            self.invalid.append((self.proposals, error.reason.value))

    def _score(self, part: Problem, part_digest: bytes, bid: Bid) -> ScoredBid:
        body = encode_bid(bid)
        if len(body) > MAX_BID_BYTES:
            raise BidRejected(Reason.ENVELOPE_MALFORMED, "the bid is too long")
        decode_bid(body)  # refuses what cannot be written
        identity = envelope.record_id(Kind.BID.payload_type, body)
        if any(one.id == identity for one in self.scored):
            raise BidRejected(Reason.BID_DUPLICATE, "the same bid came before")
        judged = replace(part, rules=self.rules)
        digest = sha256(body).digest()
        return score_bid(judged, part_digest, bid, bid_id=identity, bid_digest=digest)


@dataclass(frozen=True, slots=True)
class Earned:
    """What one solver made of an auction.

    Attributes:
        solver: its key.
        bids: valid ones.
        winners: of them.
        score: of the winners.
        reward: in score units, as the score.
    """

    solver: bytes
    bids: int
    winners: int
    score: int
    reward: int


def with_rules(logged: Rules, changes: dict[str, object]) -> Rules:
    """The logged rules with some changed.

    Raises:
        InvalidInput: CONFIG_INVALID for a rule that the sealed problem was made by, for a name that
            is none, and for a value that is no number.
    """
    known = {name: getattr(logged, name) for name in Rules.__dataclass_fields__}
    for name, value in changes.items():
        if name not in known:
            raise InvalidInput(Reason.CONFIG_INVALID, f"there is no rule {name!r}")
        if name not in AFTER_SEALING and value != known[name]:
            raise InvalidInput(
                Reason.CONFIG_INVALID,
                f"the sealed problem was made by {name} = {known[name]}: it cannot be another",
                hint=f"what can be changed: {', '.join(AFTER_SEALING)}",
            )
        if name in AFTER_SEALING and (type(value) is not int or value < 0):
            raise InvalidInput(Reason.CONFIG_INVALID, f"{name} is a whole number ≥ 0")
    return replace(logged, **{n: changes[n] for n in AFTER_SEALING if n in changes})  # type: ignore[arg-type]  # checked above


def judged_again(
    closed: ClosedBatch, rules: Rules, blob: Callable[[bytes], bytes]
) -> tuple[ScoredBid, ...]:
    """The logged bids that are valid by these rules.

    Args:
        closed: the batch, as logged.
        rules: that differ from its problem's in AFTER_SEALING only.
        blob: reads the envelope of a bid that the collar kept out.
    """
    problem = closed.sealed.problem
    if rules == problem.rules:
        return tuple(closed.scored())
    judged = replace(problem, rules=rules)
    found: dict[bytes, ScoredBid] = {}
    counts: dict[bytes, int] = {}
    for received in closed.bids:
        counts[received.solver] = counts.get(received.solver, 0) + 1
        if counts[received.solver] > rules.max_bids:
            continue
        outcome = received.outcome
        if isinstance(outcome, ScoredBid):
            bid, identity = outcome.bid, outcome.id
        elif outcome.reason is Reason.COLLAR_BROKEN:
            signed = envelope.decode(blob(received.digest), MAX_BID_BYTES)
            bid = decode_bid(signed.body)
            identity = envelope.record_id(signed.payload_type, signed.body)
        else:
            continue  # broken by any rules; or one too many, of which no more is known
        try:
            scored = scored_again(judged, bid, identity, received.digest)
        except BidRejected:
            continue
        found.setdefault(identity, scored)
    return tuple(found.values())


def counterfactual(problem: Problem, rules: Rules, seed: bytes, bids: Iterable[ScoredBid]) -> Award:
    """The award among these bids, by these rules, with the ties as logged."""
    return award(replace(problem, rules=rules), bids, seed)


def earned(made: Award, bids: Sequence[ScoredBid]) -> tuple[Earned, ...]:
    """What each solver with a valid bid made of the award, by ascending key."""
    rewards = {reward.solver: reward.amount for reward in made.rewards}
    found = []
    for solver in sorted({bid.bid.solver for bid in bids}):
        won = [bid for bid in made.winners if bid.bid.solver == solver]
        count = sum(bid.bid.solver == solver for bid in bids)
        score = sum(bid.score for bid in won)
        found.append(Earned(solver, count, len(won), score, rewards.get(solver, 0)))
    return tuple(found)
