"""Who is refused when the fleet is at capacity, and what a refusal says."""

import pytest

from walras.balance.shedding import Capacity, Census, admit, capacity
from walras.core.errors import InvalidInput, Reason

A, B, C, D = (bytes([n]) * 32 for n in range(4))
LIMITS = Capacity(soft=100, hard=120, interval_ms=2_000)


def refusal(census: Census, owner_open: int, limits: Capacity = LIMITS) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        admit(census, owner_open, limits)
    assert caught.value.reason is Reason.OVERLOADED
    return caught.value


def test_up_to_the_capacity_everybody_is_admitted() -> None:
    admit(Census(), 0, LIMITS)
    admit(Census({A: 99}), 99, LIMITS)
    admit(Census({A: 99}), 0, LIMITS)


def test_beyond_it_those_with_the_most_are_refused_first() -> None:
    census = Census({A: 70, B: 20, C: 10})
    refused = refusal(census, 70)
    assert refused.fields == {
        "open": "70",
        "fair_share": "70",
        "total": "100",
        "capacity": "100",
        "limit": "120",
        "retry_ms": "2000",
    }
    assert refused.hint == "try again in 2000 ms"
    for smaller in (20, 10, 0):
        admit(census, smaller, LIMITS)


def test_a_share_that_others_leave_is_shared() -> None:
    # 10 and 20 are less than a third, so who asks may have 70, not 33.
    assert Census({A: 70, B: 20, C: 10}).level(100, 70) == 70
    assert Census({A: 50, B: 50}).level(100, 0) == 49  # 1 for the newcomer, 99 for two
    assert Census({A: 50, B: 40}).level(100, 40) == 100  # all fits


def test_at_the_hard_limit_nobody_is_admitted() -> None:
    refused = refusal(Census({A: 60, B: 60}), 0)
    assert "at the most" in refused.message
    assert refused.fields["fair_share"] == "49"


def test_the_hint_grows_with_the_excess() -> None:
    far = Capacity(soft=100, hard=1_000, interval_ms=500)
    assert refusal(Census({A: 250}), 250, far).fields["retry_ms"] == "1000"


def test_the_census_follows_the_book() -> None:
    census, book = Census(), dict.fromkeys((A, B, C, D), 0)
    for owner, change in [(A, 1), (A, 1), (B, 1), (C, 1), (A, -1), (C, -1), (D, 1), (B, 1)]:
        census.move(book[owner], book[owner] + change)
        book[owner] += change
        same = Census(book)
        assert census.total == same.total == sum(book.values())
        assert census.level(3, 0) == same.level(3, 0)


def test_capacity_is_slots_times_budget_over_work() -> None:
    # 16 slots · 1.5 s · 0.8 / (4 ms · 3 nodes)
    found = capacity(slots=16, work_us=4_000, fan_out=3, budget_ms=1_500, interval_ms=2_000)
    assert found == Capacity(soft=1_600, hard=2_400, interval_ms=2_000)


def test_a_fleet_of_none_still_has_a_capacity() -> None:
    found = capacity(slots=0, work_us=10**9, fan_out=9, budget_ms=1, interval_ms=1)
    assert (found.soft, found.hard) == (1, 1)


def test_a_slow_small_batch_does_not_close_the_book() -> None:
    # 2 intents in a first call of 700 ms: 350 ms each, which is not what a third one would take.
    terms = {"slots": 1, "work_us": 350_000, "fan_out": 1, "budget_ms": 1_000, "interval_ms": 10}
    assert capacity(**terms).soft == 2
    assert capacity(**terms, least=64) == Capacity(soft=64, hard=96, interval_ms=10)
    assert capacity(**terms | {"slots": 100}, least=64).soft == 228


@pytest.mark.parametrize(
    "wrong",
    [
        {"least": 0},
        {"work_us": 0},
        {"fan_out": 0},
        {"budget_ms": 0},
        {"interval_ms": 0},
        {"utilisation_bps": 0},
        {"utilisation_bps": 10_001},
        {"hard_bps": 9_999},
    ],
)
def test_estimates_that_are_none_are_refused(wrong: dict[str, int]) -> None:
    terms = {"slots": 1, "work_us": 1, "fan_out": 1, "budget_ms": 1, "interval_ms": 1} | wrong
    with pytest.raises(InvalidInput) as caught:
        capacity(**terms)
    assert caught.value.reason is Reason.FIELD_INVALID


def test_a_capacity_has_its_order() -> None:
    for wrong in [(0, 1, 1), (2, 1, 1), (1, 1, 0)]:
        with pytest.raises(InvalidInput):
            Capacity(*wrong)
