"""Flows over bridges against a linear program, and one asset on several chains in a batch."""

import random

import numpy as np
import pytest
from support.auctions import ETH, USDC, WHOLE_ETH, intent
from support.solver_markets import best, market, sale

from walras.protocol.problem import Price, Problem
from walras.sdk import Bridge, Deadline
from walras_solvers.optimizer import Optimizer
from walras_solvers.optimizer.book import make_book
from walras_solvers.optimizer.bridges import Crossing, bridged, cheapest, networks
from walras_solvers.optimizer.fills import Clearing
from walras_solvers.optimizer.pools import Edge
from walras_solvers.programs import Effort, Program

FAR = "eip155:10/erc20:0x0b2c639c533813f4aa9d7837caf62653d097ff85"


def by_program(supply: list[int], crossings: list[Crossing], unit: float) -> tuple[float, float]:
    """What a linear program carries at most, and at which cost then; in `unit`s."""
    made = Program()
    top = np.array([one.capacity / unit for one in crossings])
    # To carry one unit more is worth more than any way costs.
    fees = np.array([one.fee * 1e-6 for one in crossings])
    carried = made.columns(np.zeros(len(top)), top, -fees)
    sinks = [place for place, units in enumerate(supply) if units < 0]
    most = np.array([-supply[place] / unit for place in sinks])
    taken = made.columns(np.zeros(len(sinks)), most, np.full(len(sinks), 10.0))
    given = np.array([max(units, 0) / unit for units in supply])
    rows = made.rows(np.full(len(supply), -np.inf), given)
    source, target = (np.array([getattr(o, k) for o in crossings]) for k in ("source", "target"))
    made.add(rows[source], carried, np.ones(len(top)))
    made.add(rows[target], carried, -np.ones(len(top)))
    made.add(rows[np.array(sinks)], taken, np.ones(len(sinks)))
    solved = made.solve(Effort(Deadline.after(60), 10**9))
    assert solved is not None
    return float(solved.values[taken].sum()), float(fees @ solved.values[carried])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [10**3, 10**12, 10**30])
def test_a_flow_is_as_good_as_a_linear_program(seed: int, size: int) -> None:
    rng = random.Random(seed)
    places = rng.randint(2, 6)
    supply = [rng.randint(-size, size) for _ in range(places)]
    supply[0], supply[1] = size, -size
    crossings = [
        Crossing(*rng.sample(range(places), 2), rng.randint(0, size), rng.randint(0, 5_000))
        for _ in range(3 * places)
    ]
    flows = cheapest(supply, crossings)
    assert all(0 <= flow <= one.capacity for flow, one in zip(flows, crossings, strict=True))
    left = list(supply)
    for flow, one in zip(flows, crossings, strict=True):
        left[one.source] -= flow
        left[one.target] += flow
    carried = sum(after - before for before, after in zip(supply, left, strict=True) if before < 0)
    # Nobody gives more than there is, and nothing piles up where it is not needed.
    for before, after in zip(supply, left, strict=True):
        assert min(before, 0) <= after <= max(before, 0)
    fees = sum(flow * one.fee for flow, one in zip(flows, crossings, strict=True)) / 1e6
    best, least = by_program(supply, crossings, size)
    rounding = 50 / size + 1e-9
    assert carried / size == pytest.approx(best, abs=rounding)
    assert fees / size == pytest.approx(least, abs=rounding)


def test_nothing_to_carry_and_no_way() -> None:
    one = Crossing(0, 1, 5, 100)
    assert cheapest([0, 0], [one]) == [0]
    assert cheapest([-3, 4], [one]) == [0]
    assert cheapest([3, -4], [one]) == [3]
    assert cheapest([9, -9], [one, Crossing(0, 1, 2, 50)]) == [5, 2]


def bridge(name: str, fee_pips: int, capacity: int, cost: int) -> Bridge:
    """USDC of one chain against that of another, whose atoms are 10^-6 there and 10^-18 here."""
    return Bridge(
        name, cost, (USDC, FAR), (capacity * 10**6, capacity * 10**18), (10**12, 1), fee_pips,
        (0, 0), 1_000,
    )  # fmt: skip


def two_chains() -> Problem:
    """Sales of ETH for USDC on one chain, purchases for USDC on the other; three bridges."""
    far = intent("b", {ETH: 1}, FAR, -8 * 3_100 * 10**18, units=8 * WHOLE_ETH)
    return market(
        {"a": sale("a", 8, 2_900), "b": far},
        venues=[
            bridge("cheap", 100, 9_000, 10**5),
            bridge("fair", 400, 100_000, 10**5),
            bridge("dear", 3_000, 100_000, 10**6),
        ],
        prices={FAR: Price(333_333, "test")},
    )


def test_the_cheaper_bridges_carry_what_a_batch_pays_across() -> None:
    made = two_chains()
    won = best(Optimizer(), made)
    assert len(won.fills) == 2
    steps = {step.venue: step for step in won.bid.proposal.executions}
    assert steps.keys() == {"cheap", "fair"}
    assert all((step.asset_in, step.asset_out) == (FAR, USDC) for step in steps.values())
    assert steps["cheap"].amount_out == pytest.approx(9_000 * 10**6, rel=3e-3)


def test_a_batch_gets_flows_over_its_network() -> None:
    made = two_chains()
    (network,) = networks(made)
    assert {asset: network[asset] / network[FAR] for asset in network} == {FAR: 1, USDC: 10**12}
    book = make_book(made)
    x = book.cap.copy()
    nothing = np.zeros(len(book.assets))
    at = Clearing(nothing, x, np.zeros(0), 1.0, nothing)
    dear = Edge("dear", FAR, USDC, 1.0)
    flows = bridged(book, at, {dear: 1.0})
    amounts = {edge.venue: value for edge, value in flows.items()}
    assert amounts.keys() == {"cheap", "fair"}
    assert bridged(book, at, {}) == {}
