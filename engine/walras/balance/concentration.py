"""How concentrated order flow is. Exact integers; shares in 1/10,000, rounded down.

A flow maps each operator group to what it got: picks, fills or volume, ≥ 0. Groups with 0 count as
members of the market for Gini and change nothing for the other two.
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import TypeVar

from walras.balance.rules import BPS
from walras.core.errors import InvalidInput, Reason

Name = TypeVar("Name")


def hhi_bps(flow: Mapping[Name, int]) -> int:
    """Herfindahl–Hirschman index Σ sᵢ² with sᵢ = xᵢ / Σx: 10,000/n if even, 10,000 for one group.

    Zero where nothing flowed. Source: US Department of Justice, Merger Guidelines 2023, §2.1
    (there in percent squared, which is the same scale).
    """
    amounts = _amounts(flow)
    total = sum(amounts)
    return BPS * sum(x * x for x in amounts) // (total * total) if total else 0


def gini_bps(flow: Mapping[Name, int]) -> int:
    """Gini coefficient Σᵢ (2i − n − 1)·xᵢ / (n·Σx), xᵢ ascending, i from 1: 0 if even,
    (n − 1)/n if one group has everything.

    Zero where nothing flowed.
    """
    amounts = sorted(_amounts(flow))
    n, total = len(amounts), sum(amounts)
    spread = sum((2 * i - n - 1) * x for i, x in enumerate(amounts, start=1))
    return BPS * spread // (n * total) if total else 0


def nakamoto(flow: Mapping[Name, int], share_bps: int = BPS // 2) -> int:
    """The smallest number of groups that together have more than `share_bps` of the flow.

    Zero where nothing flowed; `share_bps` is 0 … 9,999. Source: B. Srinivasan, L. Lee, Quantifying
    Decentralization, 2017.
    """
    if not 0 <= share_bps < BPS:
        message = f"the share is {share_bps}, not 0 … {BPS - 1}"
        raise InvalidInput(Reason.FIELD_INVALID, message, share_bps=share_bps)
    amounts = sorted(_amounts(flow), reverse=True)
    bound = share_bps * sum(amounts)
    return next((k for k, x in enumerate(accumulate(amounts), start=1) if BPS * x > bound), 0)


def _amounts(flow: Mapping[Name, int]) -> list[int]:
    for name, amount in flow.items():
        if amount < 0:
            message = f"the flow of {name!r} is negative: {amount}"
            raise InvalidInput(Reason.FIELD_INVALID, message, group=name, amount=amount)
    return list(flow.values())
