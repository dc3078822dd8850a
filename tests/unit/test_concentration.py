"""Concentration of flow against values known from elsewhere."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.balance.concentration import gini_bps, hhi_bps, nakamoto
from walras.core.errors import InvalidInput, Reason

flows = st.dictionaries(st.integers(), st.integers(0, 10**24), max_size=30)


def test_known_values() -> None:
    # Four firms with 30, 30, 20, 20 percent: the Department of Justice's own example, 2,600.
    assert hhi_bps({"a": 30, "b": 30, "c": 20, "d": 20}) == 2_600
    assert hhi_bps({"a": 5}) == 10_000
    assert gini_bps({"a": 1, "b": 2, "c": 3, "d": 4}) == 2_500
    assert gini_bps({"a": 0, "b": 0, "c": 0, "d": 9}) == 7_500
    assert nakamoto({"a": 50, "b": 30, "c": 20}) == 2  # half is not more than half
    assert nakamoto({"a": 51, "b": 30, "c": 19}) == 1
    assert nakamoto({"a": 51, "b": 30, "c": 19}, 8_000) == 2
    assert nakamoto({"a": 50, "b": 30, "c": 20}, 8_000) == 3


@pytest.mark.parametrize("measure", [hhi_bps, gini_bps, nakamoto])
def test_nothing_flowed(measure: Callable[[Mapping[str, int]], int]) -> None:
    assert measure({}) == measure({"a": 0}) == 0
    with pytest.raises(InvalidInput) as caught:
        measure({"a": 3, "b": -1})
    assert caught.value.reason is Reason.FIELD_INVALID


def test_a_share_is_below_one() -> None:
    with pytest.raises(InvalidInput):
        nakamoto({"a": 1}, 10_000)


@given(st.integers(1, 40), st.integers(1, 10**20))
def test_even_flow(n: int, each: int) -> None:
    flow = dict.fromkeys(range(n), each)
    assert hhi_bps(flow) == 10_000 // n
    assert gini_bps(flow) == 0
    assert nakamoto(flow) == n // 2 + 1


@given(flows)
def test_bounds_and_the_definitions(flow: dict[int, int]) -> None:
    total = sum(flow.values())
    if not total:
        return
    n = len(flow)
    assert 10_000 // n <= hhi_bps(flow) <= 10_000
    # Gini as the mean absolute difference over twice the mean.
    pairs = sum(abs(x - y) for x in flow.values() for y in flow.values())
    assert gini_bps(flow) == 10_000 * pairs // (2 * n * total)
    k = nakamoto(flow)
    heaviest = sorted(flow.values(), reverse=True)
    assert 2 * sum(heaviest[:k]) > total >= 2 * sum(heaviest[: k - 1])
