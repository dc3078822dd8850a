"""What a losing bid needed: both numbers, held against auctions that are run again."""

from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.auctions import key
from support.certified import SEED, Auction, auction

from walras.auction.award import award
from walras.auction.candidates import ScoredBid
from walras.auction.components import components
from walras.auction.thresholds import Proof, proof, threshold

SOME = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def proven(made: Auction) -> Proof:
    return proof(made.award, made.bids, made.problem.balances, SEED)


def shared(made: Auction) -> Auction:
    """The same, but a bid's surplus is spread over its groups: baselines begin to matter."""
    bids = []
    for bid in made.bids:
        share, rest = divmod(bid.score, len(bid.surplus))
        groups = sorted(bid.surplus)
        surplus = {group: share + (rest if n == 0 else 0) for n, group in enumerate(groups)}
        bids.append(replace(bid, surplus=surplus))
    return Auction(made.problem, bids, award(made.problem, bids, SEED))


def losers(made: Auction, unfolded: Proof) -> list[ScoredBid]:
    return [bid for bid in unfolded.kept if bid.id not in made.winners]


def raised(bid: ScoredBid, score: int, identity: bytes) -> ScoredBid:
    """The same bid with another score, brought by more surplus in each of its groups."""
    more = score - bid.score
    surplus = {group: amount + more for group, amount in bid.surplus.items()}
    return replace(bid, id=identity, score=score, surplus=surplus)


def wins(made: Auction, bid: ScoredBid, score: int, identity: bytes) -> bool:
    changed = raised(bid, score, identity)
    bids = [changed if one.id == bid.id else one for one in made.bids]
    again = award(made.problem, bids, SEED)
    assert again.settled
    return identity in {one.id for one in again.winners}


@SOME
@given(st.integers(0, 10**6), st.integers(3, 24), st.integers(3, 8), st.integers(), st.booleans())
def test_below_what_it_needed_it_never_wins_and_with_enough_it_does(
    seed: int, count: int, groups: int, chance: int, spread: bool
) -> None:
    made = auction(seed, count, groups, 12)
    made = shared(made) if spread else made
    unfolded = proven(made)
    assert made.award.settled
    r = Random(chance)
    for bid in losers(made, unfolded)[:4]:
        found = threshold(unfolded, bid)
        assert found.needed is not None
        assert found.enough is not None
        assert bid.score <= found.needed <= found.enough
        for identity in (bid.id, key(f"{chance}")):
            assert wins(made, bid, found.enough, identity)
            assert wins(made, bid, found.enough + r.randrange(1 << 20), identity)
            if bid.score < found.needed:
                assert not wins(made, bid, found.needed - 1, identity)
                below = r.randrange(bid.score, found.needed)
                assert not wins(made, bid, below, identity)


@SOME
@given(st.integers(0, 10**6))
def test_the_winners_against_it_are_what_keeps_it_out(seed: int) -> None:
    made = auction(seed, 20, 8)
    unfolded = proven(made)
    for bid in losers(made, unfolded):
        against = threshold(unfolded, bid).against
        assert against
        stay = [one for one in made.award.winners if one.id not in {a.id for a in against}]
        chosen = [*stay, bid]
        alone = award(made.problem, chosen, SEED)
        # Fairness looks at fewer baselines here, so that nothing is dropped: all may win together.
        assert {one.id for one in alone.winners} == {one.id for one in chosen}


@SOME
@given(st.integers(0, 10**6))
def test_the_prices_are_those_of_the_certificate(seed: int) -> None:
    """At a leaf without branches above it, what the bid needs is what its resources cost."""
    made = auction(seed, 16, 6)
    unfolded = proven(made)
    found = components(unfolded.kept, made.problem.balances, SEED)
    assert tuple(one for one, _ in unfolded.parts) == found
    for bid in losers(made, unfolded):
        component, tree = unfolded.parts[unfolded.place_of[bid.id]]
        result = threshold(unfolded, bid)
        if tree is None or len(tree.nodes) > 2 or bid.id not in {p.id for p in component.places}:
            continue
        if not result.by_fairness:
            assert result.needed is not None
            # Each price is rounded down, to less than a score unit.
            total = sum(price.amount for price in result.prices)
            assert result.needed <= max(bid.score, total + len(result.prices) + 1)


def test_an_award_that_is_not_proven_says_nothing() -> None:
    made = auction(3, 20, 8)
    unfolded = replace(proven(made), award=replace(made.award, settled=False))
    for bid in losers(made, unfolded):
        found = threshold(unfolded, bid)
        assert (found.needed, found.enough) == (None, None)
