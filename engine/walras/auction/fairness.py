"""Fairness (protocol §6, step 1): no group does worse in a bid over several than it does alone."""

from collections.abc import Iterable
from dataclasses import dataclass

from walras.auction.candidates import ScoredBid


@dataclass(frozen=True, slots=True)
class Dropped:
    """A valid bid that fairness keeps out of selection.

    Attributes:
        bid: touches several groups.
        group: the first, in ascending order, that it would serve worse than its baseline does.
        surplus: the value of the bid's surplus in that group, in score units.
        baseline: the best score over bids that touch only that group; more than `surplus`.
    """

    bid: ScoredBid
    group: str
    surplus: int
    baseline: int


def baselines(bids: Iterable[ScoredBid]) -> dict[str, int]:
    """Group → the best score over the bids that touch only that group; no such bid, no baseline."""
    best: dict[str, int] = {}
    for bid in bids:
        if len(bid.surplus) == 1:
            (group,) = bid.surplus
            best[group] = max(bid.score, best.get(group, 0))
    return best


def fair(bids: Iterable[ScoredBid]) -> tuple[tuple[ScoredBid, ...], tuple[Dropped, ...]]:
    """The bids that selection may choose from and those it may not, both by ascending id."""
    ordered = sorted(bids, key=lambda bid: bid.id)
    best = baselines(ordered)
    kept: list[ScoredBid] = []
    dropped: list[Dropped] = []
    for bid in ordered:
        short = _shortfall(bid, best)
        if short is None:
            kept.append(bid)
        else:
            dropped.append(short)
    return tuple(kept), tuple(dropped)


def _shortfall(bid: ScoredBid, best: dict[str, int]) -> Dropped | None:
    if len(bid.surplus) == 1:
        return None
    for group, surplus in sorted(bid.surplus.items()):
        baseline = best.get(group, 0)
        if surplus < baseline:
            return Dropped(bid, group, surplus, baseline)
    return None
