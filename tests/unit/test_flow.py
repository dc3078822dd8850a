"""Concentration of order flow, as the engine follows it."""

from walras.app.flow import Flow
from walras.app.report import AuctionReport, SolverReport
from walras.balance.events import Change, Rule
from walras.balance.rules import FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.ledger.fleet import Fleet


def flow(*groups: str) -> Flow:
    fleet = Fleet(Standing(FleetRules()))
    nodes = [NodeInfo(f"n{at}", bytes([at]) * 32, group) for at, group in enumerate(groups)]
    joined = [Change(Rule.JOINED, node.public_key, "configured") for node in nodes]
    fleet.change(1, joined=nodes, claims=joined)
    return Flow(fleet)


def won(found: Flow, **scores: int) -> bool:
    solvers = tuple(
        SolverReport(name, (bytes([int(name[1:])]) * 32).hex(), asked=1, score=score)
        for name, score in scores.items()
    )
    found.add(AuctionReport(1, "settled", 1, solvers=solvers))
    return found.concentration().alarm


def test_one_of_three_groups_that_has_it_all_rings() -> None:
    found = flow("a", "b", "c")
    assert won(found, n0=9)
    assert not won(found, n1=9, n2=9)


def test_of_two_groups_one_always_has_half() -> None:
    found = flow("a", "b", "b")
    assert not won(found, n0=9, n1=0, n2=0)
    assert found.concentration().hhi_bps == 10_000  # shown all the same


def test_a_node_without_a_group_is_one() -> None:
    assert won(flow("a", "", ""), n0=9)


def test_a_group_that_left_counts_while_its_flow_does() -> None:
    found = flow("a", "b")
    assert won(found, n0=9, n7=1)
