"""What a node reports counts until it grows old, and never for less than the router knows."""

from hypothesis import given
from hypothesis import strategies as st

from walras.balance.chooser import Chooser, weigh
from walras.balance.events import Outcome, Probed
from walras.balance.router import Router
from walras.balance.rules import FleetRules, NodeInfo
from walras.balance.view import NodeView, Request

KEY = bytes(32)


def router() -> Router:
    found = Router(FleetRules(), lambda n: n - 1, Chooser(FleetRules()), weigh)
    found.join(NodeInfo("a", KEY), 0)
    return found


def test_others_calls_stay_and_own_calls_come_and_go() -> None:
    found = router()
    first, second, third = (found.start(Request(now_us=now)) for now in (1, 2, 3))
    view = first.node
    assert view.load == 3
    first.end(10, Outcome.OK, reported=7)  # two of them are this router's
    assert (view.others, view.load) == (5, 7)
    second.end(11, Outcome.TIMEOUT)
    assert view.load == 6
    found.start(Request(now_us=12))
    assert view.load == 7
    third.end(13, Outcome.OK, reported=0)
    assert (view.others, view.load) == (None, 1)


def test_a_probe_brings_a_report_too() -> None:
    found = router()
    view = found.start(Request(now_us=1)).node
    found.observe(Probed(KEY, bytes(32), 2, 100, reported=4))
    assert (view.others, view.load) == (3, 4)
    found.observe(Probed(KEY, bytes(32), 3, None))
    assert view.load == 4


@given(st.integers(0, 50), st.integers(0, 50), st.none() | st.integers(0, 50))
def test_a_report_only_worsens(in_flight: int, reported: int, others: int | None) -> None:
    view = NodeView(KEY, in_flight=in_flight, reported=reported, others=others)
    assert view.load >= in_flight
    assert view.expected_us >= NodeView(KEY, in_flight=in_flight).expected_us
