"""What solving costs, as admission has it: no one operator makes the figure."""

from walras.balance.events import Brought
from walras.balance.work import Effort, batch_work_us, bounded_work, part_work_us

BID, NOTHING, MISSED = Brought.BID, Brought.NOTHING, Brought.MISSED


def bids(*us: int) -> list[Effort]:
    return [Effort(f"group {number}", each, BID) for number, each in enumerate(us)]


def test_of_three_groups_the_middle_one_counts() -> None:
    assert part_work_us(bids(10_000, 30_000, 20_000)) == 20_000
    assert part_work_us(bids(1, 30_000, 20_000)) == 20_000
    assert part_work_us(bids(10**9, 30_000, 20_000)) == 30_000


def test_of_two_the_lower_one_counts() -> None:
    assert part_work_us(bids(30_000, 10**9)) == 30_000
    assert part_work_us(bids(30_000)) == 30_000
    assert part_work_us([]) == 0


def test_a_group_has_one_voice_however_many_nodes_it_has() -> None:
    crowd = [Effort("crowd", us, BID) for us in (1, 1, 1, 2, 3)]
    assert part_work_us([*crowd, *bids(20_000, 30_000)]) == 20_000
    # Its quickest: a slow spare does not make the work dearer.
    assert part_work_us([Effort("one", 10_000, BID), Effort("one", 90_000, BID)]) == 10_000
    # Nodes without a group are known by their keys.
    alone = [Effort(bytes([n]) * 32, us, BID) for n, us in enumerate((5, 7, 9))]
    assert part_work_us(alone) == 7


def test_who_finds_nothing_counts_only_where_nobody_found_anything() -> None:
    at_once = [Effort(f"lazy {n}", 1, MISSED) for n in range(3)]
    assert part_work_us([*at_once, *bids(20_000)]) == 20_000
    assert part_work_us(at_once) == 0
    assert part_work_us([Effort(str(n), us, NOTHING) for n, us in enumerate((1, 5, 9))]) == 5


def test_parts_without_a_voice_cost_as_much_an_intent_as_the_others() -> None:
    lazy = [Effort("lazy", 1, MISSED)]
    assert batch_work_us([(10, bids(4_000)), (30, bids(8_000))]) == 12_000
    assert batch_work_us([(10, bids(4_000)), (30, bids(8_000)), (20, lazy)]) == 18_000
    assert batch_work_us([(10, []), (20, lazy)]) == 0
    assert batch_work_us([]) == 0


def test_a_batch_moves_the_estimate_by_a_factor_of_two_at_most() -> None:
    assert bounded_work(500.0, 0.0) == 500.0
    assert bounded_work(0.001, 500.0) == 250.0
    assert bounded_work(10.0**9, 500.0) == 1_000.0
    assert bounded_work(600.0, 500.0) == 600.0
    # Work that did change is followed within a few batches.
    last = 500.0
    for _ in range(4):
        last = bounded_work(8_000.0, last)
    assert last == 8_000.0
