"""Fairness: no group does worse in a bid over several than it does alone."""

from support.auctions import candidate, key

from walras.auction.fairness import Dropped, baselines, fair


def test_a_baseline_is_the_best_score_of_bids_for_one_group_only() -> None:
    bids = [
        candidate("low", 3, {"g": 9}),  # the surplus is more than the score: costs count
        candidate("high", 5, {"g": 5}),
        candidate("other", 4, {"h": 4}),
        candidate("both", 20, {"g": 10, "i": 10}),
    ]
    assert baselines(bids) == {"g": 5, "h": 4}
    assert baselines([]) == {}


def test_a_bid_that_serves_a_group_worse_is_dropped_with_the_numbers() -> None:
    alone = candidate("alone", 5, {"g": 5})
    bad = candidate("bad", 100, {"f": 90, "g": 4, "h": 10})
    good = candidate("good", 6, {"g": 5, "h": 3})
    kept, dropped = fair([bad, good, alone])
    assert kept == tuple(sorted((alone, good), key=lambda bid: bid.id))
    assert dropped == (Dropped(bad, "g", 4, 5),)


def test_the_first_group_that_falls_short_is_named() -> None:
    alone = [candidate("g", 5, {"g": 5}), candidate("f", 7, {"f": 7})]
    _, dropped = fair([*alone, candidate("bad", 9, {"h": 9, "g": 0, "f": 6})])
    assert [(d.group, d.surplus, d.baseline) for d in dropped] == [("f", 6, 7)]


def test_groups_without_a_baseline_protect_nobody() -> None:
    kept, dropped = fair([candidate("both", 9, {"g": 0, "h": 9})])
    assert [bid.id for bid in kept] == [key("both")]
    assert dropped == ()


def test_bids_for_one_group_are_never_dropped() -> None:
    bids = [candidate(f"bid {n}", n + 1, ["g"]) for n in range(9)]
    kept, dropped = fair(bids)
    assert len(kept) == 9
    assert dropped == ()


def test_the_order_of_the_bids_does_not_matter() -> None:
    bids = [candidate(f"one {n}", n + 1, [f"g{n % 3}"]) for n in range(6)]
    bids += [candidate(f"two {n}", 9, {"g0": 4 + n, "g1": 5}) for n in range(3)]
    assert fair(bids) == fair(bids[::-1])
    assert len(fair(bids)[1]) == 0
    bids += [candidate("three", 9, {"g0": 3, "g1": 5})]
    assert [d.bid.id for d in fair(bids)[1]] == [key("three")]
