"""What a replay counts, and what it leaves for the next."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from walras.audit.probes import SplitView
from walras.ledger.state import State


@dataclass(frozen=True, slots=True)
class Unproven:
    """An award whose certificate leaves a gap: a better one may have been there.

    Attributes:
        auction_id: of the batch.
        index: of the award's record.
        score: of the winners.
        bound: no selection scores more, by the certificate; equal to `score` where only the ties
            are not proven.
    """

    auction_id: int
    index: int
    score: int
    bound: int


@dataclass(slots=True)
class Counts:
    """What was replayed.

    Attributes:
        records: by kind.
        intents: by what became of them.
        auctions: settled ones.
        voided: auctions without an award.
        voided_committed: of them, those whose commitments were closed: the engine may have seen
            bids, and a crash cannot be told from a choice.
        unopened: commitments that came to no bid.
        bids, rejected, winners, fills: in all auctions.
        score: sum of all awards.
        asked: calls that dispatches asked for.
        passed_over: node's name → sealings at which a quorum had seen it alive and the engine
            said that it was not connected.
        split_views: echoes of checkpoints that are not this log's: a node says what is not so, or
            was shown another log.
        vrf_keys_replaced: by each, who is asked is drawn by a key that could be picked.
        unproven_awards: those whose optimality was not proven within the effort that the rules
            allow.
    """

    records: Counter[str] = field(default_factory=Counter)
    intents: Counter[str] = field(default_factory=Counter)
    auctions: int = 0
    voided: int = 0
    voided_committed: int = 0
    unopened: int = 0
    bids: int = 0
    rejected: int = 0
    winners: int = 0
    fills: int = 0
    score: int = 0
    asked: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    split_views: list[SplitView] = field(default_factory=list)
    vrf_keys_replaced: int = 0
    unproven_awards: list[Unproven] = field(default_factory=list)

    @property
    def unproven(self) -> int:
        """How many awards were not proven."""
        return len(self.unproven_awards)


@dataclass(frozen=True, slots=True)
class Paused:
    """A replay between two batches: all that it needs to go on.

    Attributes:
        index: of the next entry.
        auction_id: of the last auction.
        state, counts: live, so to be read before the replay goes on.
        ended: how many intents ended how.
    """

    index: int
    auction_id: int
    state: State
    counts: Counts
    ended: Mapping[str, int]
