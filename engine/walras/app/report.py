"""What people are told of an auction."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from walras.auction.batch import AwardedBatch, ClosedBatch, SealedBatch
from walras.auction.candidates import ScoredBid
from walras.core.errors import SolverFault


@dataclass(frozen=True, slots=True)
class SolverReport:
    """How one node did.

    Attributes:
        name, public_key: of the node, the key in hexadecimal.
        asked: parts of the batch that it was asked for.
        bids, rejected, winners: how many.
        score: of its winning bids.
        reward: in score units.
        fault: how it failed, if it did.
        unopened: commitments that came to no bid.
    """

    name: str
    public_key: str
    asked: int = 0
    bids: int = 0
    rejected: int = 0
    winners: int = 0
    score: int = 0
    reward: int = 0
    fault: str = ""
    unopened: int = 0


@dataclass(frozen=True, slots=True)
class AuctionReport:
    """One auction. Digests are hexadecimal, empty where there is nothing yet; `seconds` is by
    phase; `copies` is how many nodes each part went to at most, `work_us` what solving one copy
    took those nodes that end by themselves, 0 where none did; `sealed_leaf` is where the log holds
    its sealing, and `end_leaf` where its records end, 0 while it has not ended.
    """

    auction_id: int
    state: str
    opened_ms: int
    sealed_ms: int = 0
    problem_digest: str = ""
    bundle_digest: str = ""
    intents: int = 0
    filled: int = 0
    bids: int = 0
    rejected: int = 0
    winners: int = 0
    score: int = 0
    void_reason: str = ""
    work_us: int = 0
    copies: int = 0
    sealed_leaf: int = 0
    end_leaf: int = 0
    solvers: tuple[SolverReport, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "AuctionReport":
        """As it was stored."""
        data = json.loads(text)
        data["solvers"] = tuple(SolverReport(**solver) for solver in data["solvers"])
        return cls(**data)


def solver_reports(
    sealed: SealedBatch,
    closed: ClosedBatch,
    awarded: AwardedBatch,
    faults: Mapping[str, SolverFault],
) -> tuple[SolverReport, ...]:
    """How every node did that was asked or stood by, and every one that could not be asked."""
    failed = {name: f"{fault.reason}: {fault.message}" for name, fault in faults.items()}
    rewards = {reward.solver: reward.amount for reward in awarded.award.rewards}
    reports = []
    asked: Counter[bytes] = Counter()
    if sealed.plan is not None:
        for part in sealed.plan.parts:
            asked.update(sealed.plan.nodes[node].public_key for node in part.nodes[: part.asked])
    for key, name in sealed.solvers.items():
        own = [bid for bid in closed.bids if bid.solver == key]
        won = [bid for bid in awarded.award.winners if bid.bid.solver == key]
        reports.append(
            SolverReport(
                name=name,
                public_key=key.hex(),
                asked=asked[key],
                bids=len(own),
                rejected=sum(not isinstance(bid.outcome, ScoredBid) for bid in own),
                winners=len(won),
                score=sum(bid.score for bid in won),
                reward=rewards.get(key, 0),
                fault=failed.pop(name, ""),
                unopened=sum(one.solver == key for one in closed.unopened),
            )
        )
    reports += [SolverReport(name, "", fault=fault) for name, fault in failed.items()]
    return tuple(sorted(reports, key=lambda report: report.name))
