"""Selection, fairness and rewards against an exhaustive search that shares no code with them."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.auctions import candidate, key, problem

from walras.auction.award import award
from walras.auction.candidates import ScoredBid
from walras.auction.selection import select
from walras.protocol.problem import Rules

SEED = b"seed"


def digest_of(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def tie_of(identity: bytes) -> int:
    return int(hashlib.sha256(SEED + identity).hexdigest()[:32], 16)


Balances = dict[tuple[bytes, str], int]


def fits(chosen: Sequence[ScoredBid], balances: Balances) -> bool:
    for names in (
        [fill.intent_id for bid in chosen for fill in bid.fills],
        [venue for bid in chosen for venue in bid.venues],
        [group for bid in chosen for group in bid.surplus],
    ):
        if len(set(names)) < len(names):
            return False
    accounts = {account for bid in chosen for account in bid.spends}
    return all(
        sum(bid.spends.get(account, 0) for bid in chosen) <= balances.get(account, 0)
        for account in accounts
    )


def exhaustive(bids: Sequence[ScoredBid], balances: Balances) -> tuple[int, list[bytes]]:
    """The greatest total and the ids that the rules ask for, from all 2^n sets."""
    best: tuple[int, int, list[bytes]] = (0, 0, [])
    for size in range(1, len(bids) + 1):
        for chosen in combinations(bids, size):
            if fits(chosen, balances):
                ids = sorted(bid.id for bid in chosen)
                total = sum(bid.score for bid in chosen)
                ties = sum(tie_of(identity) for identity in ids)
                if (total, ties) > best[:2]:
                    best = (total, ties, ids)
    return best[0], best[2]


def ids_of(bids: Iterable[ScoredBid]) -> list[bytes]:
    return [bid.id for bid in bids]


@st.composite
def auctions(draw: st.DrawFn, most: int = 9) -> tuple[list[ScoredBid], Balances]:
    """Few bids in each other's way, with many ties, and amounts and scores beyond 64 bits."""
    r = Random(draw(st.integers(0, 1 << 64)))
    count = r.randint(2, most)
    n_groups, n_venues, n_owners = r.randint(1, 6), r.randint(1, 4), r.randint(1, 3)
    scale = 1 << r.choice([0, 0, 40, 61, 130, 250])
    jitter = r.choice([0, 2])
    base = r.choice([0, 0, 0, 1 << 40, (1 << 62) - 9, r.randrange(1 << 61)])
    reach = r.choice([1, 2, 8])
    names = [digest_of(r.randrange(1 << 64)) for _ in range(most)]
    bids = []
    for name in names[:count]:
        groups = r.sample(range(n_groups), min(n_groups, r.choice([1, 1, 1, 2, 3])))
        venues = r.sample(range(n_venues), r.choice([0, 0, 1, 1, min(2, n_venues)]))
        spends: dict[tuple[str, str], int] = {}
        for _ in range(r.randint(0, 2)):
            account = (f"owner {r.randrange(n_owners)}", "asset")
            spends[account] = r.randint(1, 5) * scale + r.randint(0, jitter)
        score = base + r.randint(1, reach)
        bids.append(
            candidate(
                name,
                score,
                {f"group {g}": r.randint(max(0, score - 3), score) for g in groups},
                venues=[f"venue {v}" for v in venues],
                spends=spends,
                intents=[f"intent {g}.{r.randrange(2)}" for g in groups],
                solver=f"solver {r.randrange(3)}",
            )
        )
    balances: Balances = {}
    for bid in bids:
        for account, spent in bid.spends.items():
            balances[account] = max(balances.get(account, 0), spent)
    for account in balances:
        balances[account] += r.choice([0, r.randint(0, 8) * scale + r.randint(0, jitter)])
    return bids, balances


@settings(max_examples=2000, deadline=None)
@given(auctions(most=7))
def test_selection_is_the_exhaustive_optimum(instance: tuple[list[ScoredBid], Balances]) -> None:
    bids, balances = instance
    total, ids = exhaustive(bids, balances)
    selection = select(bids, balances, SEED)
    assert (selection.total, ids_of(selection.winners)) == (total, ids)
    assert selection.bound == total
    assert selection.settled


@settings(max_examples=150, deadline=None)
@given(auctions(most=7), st.randoms(use_true_random=False), st.integers(0, 10))
def test_award_is_the_rules_read_literally(
    instance: tuple[list[ScoredBid], Balances], r: Random, cap: int
) -> None:
    bids, balances = instance
    made = problem({}, balances={}, rules=Rules(reward_cap=cap))
    object.__setattr__(made, "balances", balances)
    given_award = award(made, bids, SEED)

    alone = {
        group: max(b.score for b in bids if set(b.surplus) == {group})
        for b in bids
        for group in b.surplus
        if any(set(other.surplus) == {group} for other in bids)
    }
    kept = [
        b
        for b in bids
        if len(b.surplus) == 1 or all(s >= alone.get(g, s) for g, s in b.surplus.items())
    ]
    total, ids = exhaustive(kept, balances)
    assert (given_award.score, ids_of(given_award.winners)) == (total, ids)
    assert ids_of(d.bid for d in given_award.dropped) == sorted(
        {b.id for b in bids} - {b.id for b in kept}
    )

    won = sorted({b.bid.solver for b in bids if b.id in ids})
    assert [reward.solver for reward in given_award.rewards] == won
    for reward in given_award.rewards:
        reference, _ = exhaustive([b for b in kept if b.bid.solver != reward.solver], balances)
        assert reward.reference == reference
        assert reward.amount == min(cap, total - reference) >= 0

    r.shuffle(bids)
    assert award(made, bids, SEED) == given_award


@pytest.mark.parametrize("seed", range(6))
def test_a_hundred_bids_do_not_depend_on_their_order(seed: int) -> None:
    r = Random(seed)
    bids = [
        candidate(
            f"bid {n}",
            r.randint(1, 6),
            [f"group {g}" for g in r.sample(range(25), r.choice([1, 1, 2, 3]))],
            venues=[f"venue {v}" for v in r.sample(range(20), r.choice([0, 1, 1, 2]))],
            spends={(f"owner {r.randrange(6)}", "asset"): r.randint(1, 9) << 100},
        )
        for n in range(100)
    ]
    balances = {(key(f"owner {o}"), "asset"): 30 << 100 for o in range(6)}
    selection = select(bids, balances, SEED)
    assert selection.settled
    assert fits(selection.winners, balances)
    for _ in range(2):
        r.shuffle(bids)
        assert select(bids, balances, SEED) == selection
