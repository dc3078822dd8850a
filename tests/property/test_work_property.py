"""What one operator group can do to the estimate of work, whatever it does."""

from hypothesis import given
from hypothesis import strategies as st

from walras.balance.events import Brought
from walras.balance.work import MOST_STEP, Effort, batch_work_us, bounded_work, part_work_us

times = st.integers(1, 10**9)
honest = st.dictionaries(st.sampled_from("abcdef"), times, min_size=2)
liars = st.lists(st.tuples(times, st.sampled_from(Brought)), max_size=5)
works = st.floats(1e-3, 1e12)


def voices(took: dict[str, int], lies: list[tuple[int, Brought]]) -> list[Effort]:
    efforts = [Effort(group, us, Brought.BID) for group, us in took.items()]
    return efforts + [Effort("liar", us, brought) for us, brought in lies]


@given(honest, liars)
def test_one_group_moves_a_part_no_further_than_the_others_took(
    took: dict[str, int], lies: list[tuple[int, Brought]]
) -> None:
    assert min(took.values()) <= part_work_us(voices(took, lies)) <= max(took.values())


@given(honest, liars)
def test_nor_by_having_more_nodes(took: dict[str, int], lies: list[tuple[int, Brought]]) -> None:
    spoken = [us for us, brought in lies if brought is not Brought.MISSED]
    one = [(min(spoken), Brought.BID)] if spoken else []
    assert part_work_us(voices(took, lies)) == part_work_us(voices(took, one))


@given(st.lists(st.tuples(st.integers(1, 100), honest), min_size=1, max_size=4))
def test_a_batch_is_its_parts(parts: list[tuple[int, dict[str, int]]]) -> None:
    told = [(intents, voices(took, [])) for intents, took in parts]
    total = sum(part_work_us(efforts) for _, efforts in told)
    assert batch_work_us(told) == total
    assert batch_work_us([*told, (50, [])]) >= total


@given(st.lists(works, min_size=1, max_size=20))
def test_a_batch_moves_the_estimate_by_a_factor_of_two_at_most(found: list[float]) -> None:
    last = bounded_work(found[0], 0.0)
    assert last == found[0]
    for work in found[1:]:
        now = bounded_work(work, last)
        assert last / MOST_STEP <= now <= last * MOST_STEP
        assert min(work, last) <= now <= max(work, last)
        last = now
