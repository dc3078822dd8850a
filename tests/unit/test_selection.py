"""Selection, case by case; the property tests compare it with an exhaustive search."""

from itertools import compress, product
from random import Random

import pytest
from support.auctions import candidate, key

from walras.auction.components import SCORE_SHIFT, Budget, components, tie
from walras.auction.packing import overspent, pack
from walras.auction.search import instance, search
from walras.auction.selection import Selection, choose, select

SEED = b"seed"
ASSET = "asset"


def names(selection: Selection, *known: str) -> set[str]:
    won = {bid.id for bid in selection.winners}
    found = {name for name in known if key(name) in won}
    assert len(found) == len(won)
    return found


def test_nothing_wins_where_nothing_is_bid() -> None:
    selection = select([], {}, SEED)
    assert (selection.winners, selection.total, selection.bound) == ((), 0, 0)
    assert selection.settled


def test_a_group_a_venue_and_an_intent_stand_in_one_winner() -> None:
    bids = [
        candidate("wide", 10, ["g", "h"], venues=["v"]),
        candidate("g", 6, ["g"]),
        candidate("h", 5, ["h"], venues=["w"]),
        candidate("i", 3, ["i"], venues=["w"]),
        candidate("j", 2, ["j"], venues=["v"]),
    ]
    everyone = "wide", "g", "h", "i", "j"
    selection = select(bids, {}, SEED)
    assert names(selection, *everyone) == {"g", "h", "j"}
    assert selection.total == selection.bound == 13
    assert [bid.id for bid in selection.winners] == sorted(bid.id for bid in selection.winners)
    without = select(bids[:2] + bids[3:], {}, SEED)
    assert names(without, *everyone) == {"wide", "i"}


def test_bids_that_share_nothing_are_solved_apart() -> None:
    bids = [candidate(f"bid {n}", n + 1, [f"group {n // 2}"]) for n in range(10)]
    selection = select(bids, {}, SEED)
    assert sorted(part.total for part in selection.parts) == [2, 4, 6, 8, 10]
    assert selection.total == 30


def test_one_account_cannot_pay_for_two_winners_that_it_can_pay_for_alone() -> None:
    owner = ("owner", ASSET)
    bids = [
        candidate("a", 5, ["g"], spends={owner: 6}),
        candidate("b", 4, ["h"], spends={owner: 5}),
        candidate("c", 3, ["i"], spends={owner: 5}),
    ]
    account = (key("owner"), ASSET)
    assert names(select(bids, {account: 16}, SEED), "a", "b", "c") == {"a", "b", "c"}
    assert names(select(bids, {account: 15}, SEED), "a", "b", "c") == {"a", "b"}
    assert names(select(bids, {account: 10}, SEED), "a", "b", "c") == {"b", "c"}


@pytest.mark.parametrize("exponent", [10, 57, 60, 64, 200, 250])
def test_budgets_are_exact_at_any_size(exponent: int) -> None:
    owner, size = ("owner", ASSET), 1 << exponent
    bids = [
        candidate(f"bid {n}", 10 + n, [f"group {n}"], spends={owner: size + (n >= 6)})
        for n in range(12)
    ]
    selection = select(bids, {(key("owner"), ASSET): 6 * size + 2}, SEED)
    # Any six fit that have at most two of the odd atoms.
    assert selection.total == selection.bound == 21 + 20 + 15 + 14 + 13 + 12
    assert selection.settled


def test_totals_have_no_ceiling() -> None:
    greatest = (1 << 62) - 1
    bids = [candidate(f"bid {n}", greatest - n, [f"g{n}", f"g{n + 1}"]) for n in range(9)]
    selection = select(bids, {}, SEED)
    assert len(selection.parts) == 1
    assert selection.total == selection.bound == 5 * greatest - (0 + 2 + 4 + 6 + 8)
    assert selection.settled


def test_scores_that_floating_point_cannot_tell_apart() -> None:
    great = 1 << 60
    bids = [
        candidate("a", great + 1, ["g", "h"]),
        candidate("b", great // 2, ["g"], venues=["v"]),
        candidate("c", great // 2 + 2, ["h"], venues=["w"]),
    ]
    assert names(select(bids, {}, SEED), "a", "b", "c") == {"b", "c"}


def test_a_tie_goes_by_the_seed_and_not_by_the_order() -> None:
    bids = [candidate(f"bid {n}", 7, ["g"], venues=[f"v{n}"]) for n in range(8)]
    winners = set()
    for number in range(40):
        seed = b"%d" % number
        (winner,) = select(bids, {}, seed).winners
        assert winner.id == max((bid.id for bid in bids), key=lambda name: tie(seed, name))
        assert select(bids[::-1], {}, seed).winners == (winner,)
        winners.add(winner.id)
    assert len(winners) > 4


def test_the_tie_is_the_start_of_a_hash() -> None:
    # printf abc | sha256sum: ba7816bf…
    assert tie(b"a", b"bc") == 0xBA7816BF8F01CFEA414140DE5DAE2223


def test_many_small_bids_beat_one_in_a_tie_only_by_their_ties() -> None:
    bids = [
        candidate("whole", 4, ["g", "h"]),
        candidate("left", 2, ["g"]),
        candidate("right", 2, ["h"]),
    ]
    outcomes = set()
    for number in range(60):
        seed = b"%d" % number
        together = tie(seed, key("left")) + tie(seed, key("right"))
        expected = {"whole"} if tie(seed, key("whole")) > together else {"left", "right"}
        assert names(select(bids, {}, seed), "whole", "left", "right") == expected
        outcomes.add(frozenset(expected))
    assert len(outcomes) == 2


def test_where_the_effort_ends_the_bound_still_holds() -> None:
    r = Random(1)
    bids = [
        candidate(
            f"bid {n}",
            r.randint(50, 99),
            [f"g{g}" for g in r.sample(range(40), 3)],
            spends={(f"owner {r.randrange(9)}", ASSET): r.randint(10, 19)},
        )
        for n in range(80)
    ]
    balances = {(key(f"owner {n}"), ASSET): 25 for n in range(9)}
    best = select(bids, balances, SEED)
    assert best.settled
    hurried = select(bids, balances, SEED, effort=0)
    assert 0 < hurried.total <= best.total <= hurried.bound
    assert hurried == select(bids[::-1], balances, SEED, effort=0)
    groups = [group for bid in hurried.winners for group in bid.surplus]
    assert len(groups) == len(set(groups))


def test_a_search_that_is_cut_off_leaves_a_choice_that_others_improve() -> None:
    r = Random(3)
    bids = [
        candidate(f"bid {n}", r.randint(90, 99), [f"g{g}" for g in r.sample(range(30), 4)])
        for n in range(150)
    ]
    (component,) = components(bids, {}, SEED)
    chosen, finished = search(instance(component), 0)
    assert not finished
    packed = pack(component, chosen)
    assert packed == pack(component, chosen)
    weights = [sum(component.weights[b] for b in those) for those in (chosen, packed)]
    assert weights[0] < weights[1]
    assert weights[1] == sum(component.weights[b] for b in choose([component], 0)[0])


@pytest.mark.parametrize("bits", [2, 17, 18, 49, 50, 51, 62])
def test_a_search_sees_the_leading_bits_of_weights_and_no_more_ties_than_these(bits: int) -> None:
    scores = [(1 << bits) - 1, 1 << bits - 1, 1]
    bids = [candidate(f"bid {n}", score, ["g", f"h{n}"]) for n, score in enumerate(scores)]
    (component,) = components(bids, {}, SEED)
    leading = instance(component).weights.tolist()
    ties_needed = bits < 18
    assert ("weights" in vars(component)) == ties_needed
    shift = max(component.weights).bit_length() - 50
    assert leading == [weight >> shift for weight in component.weights]
    assert component.weights == tuple(
        (bid.score << SCORE_SHIFT) + tie(SEED, bid.id) for bid in component.places
    )


def test_places_know_their_rows_and_budgets_in_arrays() -> None:
    """Against the definitions, one entry at a time."""
    r = Random(5)
    accounts = [(f"owner {n}", ASSET) for n in range(3)]
    bids = [
        candidate(
            f"bid {n}",
            r.randint(1, 99),
            [f"g{g}" for g in r.sample(range(40), 3)],
            spends={account: r.randint(1, 9) << 70 for account in r.sample(accounts, 2)},
        )
        for n in range(60)
    ]
    (component,) = components(
        bids, {(key(owner), asset): 9 << 70 for owner, asset in accounts}, SEED
    )
    made = instance(component)
    assert len(component.budgets) == 3
    units = {
        (place, number): spent >> budget.unit
        for number, budget in enumerate(component.budgets)
        for place, spent in budget.spends.items()
    }
    for place in range(len(component.places)):
        rows = [row for row, members in enumerate(component.rows) if place in members]
        assert component.touches[place] == rows
        assert made.row_of[made.pointer[place] : made.pointer[place + 1]].tolist() == rows
        mine = range(made.budget_pointer[place], made.budget_pointer[place + 1])
        found = {(place, int(made.budget_of[k])): int(made.spends[k, 0]) for k in mine}
        assert found == {key: spent for key, spent in units.items() if key[0] == place}
    for number, budget in enumerate(component.budgets):
        mine = range(made.budget_start[number], made.budget_start[number + 1])
        assert [made.budget_who[k] for k in mine] == list(budget.spends)
        for k in mine:
            at = made.budget_where[k]
            assert made.budget_of[at] == number
            assert made.spends[at, 0] == units[int(made.budget_who[k]), number]


@pytest.mark.parametrize("seed", range(30))
def test_a_cover_forbids_what_overspends_and_nothing_else(seed: int) -> None:
    r = Random(seed)
    scale = 1 << r.choice([0, 70, 250])
    spends = {i: r.randint(1, 6) * scale + r.randint(0, 1) for i in range(8)}
    budget = Budget((b"", ASSET), r.randint(6, 15) * scale, spends, unit=0)
    choices = [set(compress(range(8), c)) for c in product([False, True], repeat=8)]
    within = [c for c in choices if sum(spends[i] for i in c) <= budget.balance]
    for choice in choices:
        covers = list(overspent(budget, choice))
        assert bool(covers) == (choice not in within)
        for members, most in covers:
            assert len(choice.intersection(members)) > most
            assert all(len(kept.intersection(members)) <= most for kept in within)
