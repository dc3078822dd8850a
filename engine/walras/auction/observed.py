"""What a finished batch tells about its solvers, as anybody computes it from the log."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from walras.auction.batch import AwardedBatch, ClosedBatch
from walras.auction.candidates import ScoredBid
from walras.core.errors import Reason

_WITHHELD = (Reason.OPENING_MISSING, Reason.OPENING_INVALID)


def bidders(closed: ClosedBatch) -> Mapping[int, frozenset[bytes]]:
    """Place of a part → who has a valid bid for it; parts without any are left out."""
    found: defaultdict[int, set[bytes]] = defaultdict(set)
    for bid in closed.bids:
        if isinstance(bid.outcome, ScoredBid):
            found[closed.sealed.places[bid.outcome.bid.problem_digest]].add(bid.solver)
    return {place: frozenset(solvers) for place, solvers in found.items()}


def promises(closed: ClosedBatch, awarded: AwardedBatch) -> Mapping[bytes, bool]:
    """Solver → whether it kept its word, of those who gave it.

    A winner kept it. A solver whose every bid breaks a rule did not: it signed what does not hold.
    Nor did one that committed to a bid and did not open it, whatever else it won. Losing is
    neither.
    """
    kept = {bid.bid.solver: True for bid in awarded.award.winners}
    valid = {bid.solver for bid in closed.bids if isinstance(bid.outcome, ScoredBid)}
    broken = {bid.solver: False for bid in closed.bids if bid.solver not in valid}
    return broken | kept | dict.fromkeys(withheld(closed), False)


def withheld(closed: ClosedBatch) -> list[bytes]:
    """The solver of each commitment that counted and was not opened."""
    return [one.solver for one in closed.unopened if one.reason in _WITHHELD]


def canaries_found(closed: ClosedBatch, canaries: Iterable[bytes]) -> Mapping[bytes, bool]:
    """Solver → whether a valid bid of it fills a canary, of those asked for one's part."""
    wanted = frozenset(canaries)
    plan = closed.sealed.plan
    if not wanted or plan is None:
        return {}
    found: dict[bytes, bool] = {}
    for part, assignment in zip(closed.sealed.parts, plan.parts, strict=True):
        if wanted.isdisjoint(part.intents):
            continue
        for node in assignment.nodes[: assignment.asked]:
            found[plan.nodes[node].public_key] = False
    for bid in closed.bids:
        if bid.solver in found and isinstance(bid.outcome, ScoredBid):
            filled = (fill.intent_id for fill in bid.outcome.fills)
            found[bid.solver] |= not wanted.isdisjoint(filled)
    return found


def canaries_digest(salt: bytes, canaries: Sequence[bytes]) -> bytes:
    """What a sealing commits to: SHA-256(salt ‖ ids, ascending)."""
    return sha256(salt + b"".join(sorted(canaries))).digest()
