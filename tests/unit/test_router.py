"""The router: calls in flight are given back once, whatever happens, and picks follow standing."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import NoReturn

import pytest

from walras.balance.chooser import Chooser
from walras.balance.events import CallEnded, Outcome, Probed, Rule
from walras.balance.policies import POLICIES
from walras.balance.policy import Policy
from walras.balance.router import Call, Router
from walras.balance.rules import BPS, FleetRules, NodeInfo
from walras.balance.view import Draw, NodeView, Pool, Request
from walras.core.errors import Reason, SolverFault

RULES = FleetRules()
S = 1_000_000
PROBER = b"prober"


def router(count: int, rules: FleetRules = RULES, policy: Policy | None = None) -> Router:
    made = Router(rules, Random(1).randrange, policy or Chooser(rules))
    for number in range(count):
        made.join(NodeInfo(f"n{number}", b"%032d" % number, slots=4), 0)
    return made


def start(made: Router, now_us: int) -> Call:
    return made.start(Request(now_us=now_us))


def served(made: Router, calls: int, from_us: int) -> Counter[bytes]:
    """Nodes by the calls that they got, one every ms, each answered after 20 ms."""
    counts: Counter[bytes] = Counter()
    for turn in range(calls):
        call = start(made, from_us + turn * 1_000)
        counts[call.node.key] += 1
        call.end(from_us + turn * 1_000 + 20_000, Outcome.OK)
    return counts


def test_a_call_is_counted_once_and_given_back_once() -> None:
    made = router(3)
    calls = [start(made, 0) for _ in range(7)]
    assert made.in_flight == sum({c.node.key: c.node.in_flight for c in calls}.values()) == 7
    for call in calls:
        for outcome in (Outcome.OK, Outcome.CANCELLED, Outcome.ERROR):
            call.end(1_000, outcome)
    assert made.in_flight == 0
    assert {call.node.in_flight for call in calls} == {0}
    assert sum(made.standing.status(key, 1).calls for key in made.standing.nodes) == 7


def hold(made: Router, now_us: int) -> NoReturn:  # type: ignore[misc] - the generator never returns
    with start(made, now_us):
        while True:
            yield


async def wait(made: Router, now_us: int) -> None:
    with start(made, now_us):
        await asyncio.sleep(3_600)


class Counting:
    def __init__(self) -> None:
        self.picks = 0
        self.inner = Chooser(RULES)

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        self.picks += 1
        return self.inner.pick(pool, request, draw)


async def test_ten_thousand_calls_cancelled_in_every_way_leave_none_in_flight() -> None:
    policy = Counting()
    made = router(16, policy=policy)
    keys = list(made.standing.nodes)
    now = 0
    for turn in range(1_250):
        now += 1_000
        # A task before it runs, one while it waits, two by a deadline, one whose group fails.
        early = asyncio.ensure_future(wait(made, now))
        early.cancel()
        late = asyncio.ensure_future(wait(made, now))
        await asyncio.sleep(0)
        late.cancel()
        await asyncio.gather(early, late, return_exceptions=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await wait(made, now)
        with pytest.raises(ZeroDivisionError), start(made, now):
            _ = 1 // (turn - turn)
        with pytest.raises(KeyboardInterrupt), start(made, now):
            raise KeyboardInterrupt
        generator = hold(made, now)
        next(generator)
        generator.close()
        with start(made, now) as call:
            call.end(now + 5, Outcome.OK)
            call.end(now + 9, Outcome.ERROR)
        with start(made, now):
            made.leave(keys[turn % 16])
        made.join(NodeInfo("back", keys[turn % 16]), now)
        call = start(made, now)
        call.end(now, Outcome.CANCELLED)
        del call
    assert policy.picks == 10_000
    assert made.in_flight == 0
    made.start(Request(now_us=now + S)).end(now + S, Outcome.OK)
    assert {view.in_flight for view in made._views.values()} == {0}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TimeoutError(), Outcome.TIMEOUT),
        (ValueError(), Outcome.ERROR),
        (asyncio.CancelledError(), Outcome.CANCELLED),
        (GeneratorExit(), Outcome.CANCELLED),
        (KeyboardInterrupt(), Outcome.CANCELLED),
        (None, Outcome.CANCELLED),
    ],
)
def test_what_leaves_the_block_is_how_the_call_ended(
    error: BaseException | None, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = router(1)
    seen: list[CallEnded] = []
    apply = made.standing.apply
    monkeypatch.setattr(made.standing, "apply", lambda event: (seen.append(event), apply(event))[1])
    try:
        with start(made, 5):
            if error is not None:
                raise error
    except BaseException as caught:
        if caught is not error:
            raise
    assert [event.outcome for event in seen] == [outcome]


def test_without_nodes_there_is_a_reason() -> None:
    with pytest.raises(SolverFault) as caught:
        start(router(0), 0)
    assert caught.value.reason is Reason.NODE_NONE
    made = router(1)
    made.drain(b"%032d" % 0, 0)
    with pytest.raises(SolverFault):
        start(made, 0)
    assert made.in_flight == 0


class Broken:
    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        raise RuntimeError


def test_a_policy_that_fails_leaves_nothing_in_flight() -> None:
    made = router(3, policy=Broken())
    with pytest.raises(RuntimeError):
        start(made, 0)
    assert made.in_flight == 0


def test_draining_leaving_and_joining_hold_from_the_next_call_on() -> None:
    made = router(3, policy=POLICIES["random"](RULES))
    a, b, c = made.standing.nodes
    assert set(served(made, 200, 0)) == {a, b, c}
    made.drain(a, S)
    made.leave(b)
    assert set(served(made, 100, S)) == {c}
    made.resume(a, 2 * S)
    made.join(NodeInfo("b", b, slots=4), 2 * S)
    made.leave(c)
    assert set(served(made, 500, 2 * S)) == {a, b}


def test_a_node_that_left_gets_its_calls_back_when_it_returns() -> None:
    made = router(1)
    key = b"%032d" % 0
    calls = [start(made, 0) for _ in range(3)]
    made.leave(key)
    with pytest.raises(SolverFault):
        start(made, 1_000)
    made.join(NodeInfo("n0", key), 2_000)
    assert start(made, 3_000).node.in_flight == 4
    for call in calls:
        call.end(4_000, Outcome.OK)
    assert made.in_flight == 1


def test_reported_load_moves_calls_away_and_never_closer() -> None:
    made = router(2, FleetRules(explore_bps=0, slow_start_ms=0))
    served(made, 400, 0)
    calls = [start(made, S) for _ in range(2)]
    assert len({call.node.key for call in calls}) <= 2
    calls[0].end(S + 20_000, Outcome.OK, reported=50)
    others = {start(made, S + 30_000).node.key for _ in range(5)}
    assert calls[0].node.key not in others


def test_slow_start_brings_a_node_in_step_by_step() -> None:
    made = router(2, FleetRules(policy="random", explore_bps=0), POLICIES["random"](RULES))
    served(made, 10, 0)
    new = b"n" * 32
    made.join(NodeInfo("new", new, slots=4), 100 * S)
    shares = []
    for second in (100, 105, 111):
        counts = served(made, 900, second * S)
        shares.append(counts[new])
    assert shares[0] < 130 < shares[1] < 225 < shares[2]


def test_the_pool_is_made_anew_only_where_something_changed() -> None:
    made = router(20, FleetRules(slow_start_ms=1_000))
    served(made, 3_000, 0)
    pool = made._pool
    served(made, 3_000, 3 * S)
    assert made._pool is pool
    made.standing.set_stake(b"%032d" % 3, 9)
    served(made, 1, 7 * S)
    assert made._pool is not pool
    assert made._pool.nodes[3].stake == 9


def test_weights_come_from_the_weigh_stage() -> None:
    def only_the_first(
        nodes: Sequence[NodeView], rules: FleetRules, warmth: Mapping[bytes, int]
    ) -> None:
        assert set(warmth) == {node.key for node in nodes}
        for place, node in enumerate(nodes):
            node.weight = 0 if place else warmth[node.key]

    made = Router(RULES, Random(1).randrange, POLICIES["random"](RULES), only_the_first)
    for number in range(5):
        made.join(NodeInfo(f"n{number}", b"%032d" % number), 0)
    assert set(served(made, 50, 0)) == {b"%032d" % 0}
    pool = made._pool
    served(made, 50, 60 * S)
    served(made, 50, 61 * S)
    assert made._pool.nodes[0].weight == BPS
    assert made._pool is not pool


def test_a_silent_node_is_out_within_three_probe_intervals() -> None:
    made = router(8)
    silent = b"%032d" % 3
    every = RULES.probe_interval_ms
    for interval in range(1, 4):
        for key in made.standing.nodes:
            rtt = None if key == silent else 400
            made.observe(Probed(key, PROBER, interval * every, rtt))
    changes = made.tick(3 * every * 1_000)
    assert [(c.rule, c.node) for c in changes] == [(Rule.CONSECUTIVE_ERRORS, silent)]
    assert silent not in served(made, 1_000, 3 * every * 1_000)
    assert made.tick(3 * every * 1_000) == []


def test_with_six_of_ten_dead_calls_go_on_and_it_heals_by_calls_alone() -> None:
    """No prober: calls are all there is; the dead time out after 1 s, from 10 s to 40 s."""
    rules = FleetRules(explore_bps=500)
    made = router(10, rules)
    dead = set(list(made.standing.nodes)[:6])
    ends: list[tuple[int, int, Call, Outcome]] = []
    panicked, answered, failed, last = False, Counter[int](), Counter[int](), Counter[bytes]()
    times = Random(2)
    for turn in range(30_000):
        now = turn * 4_000
        while ends and ends[0][0] <= now:
            at, _, call, outcome = ends.pop(0)
            call.end(at, outcome)
            (answered if outcome is Outcome.OK else failed)[at // S] += 1
        call = start(made, now)
        last[call.node.key] += now >= 100 * S
        is_dead = 10 * S <= now < 40 * S and call.node.key in dead
        took, outcome = (S, Outcome.TIMEOUT) if is_dead else (times.randrange(40_000), Outcome.OK)
        ends.append((now + took, turn, call, outcome))
        ends.sort(key=lambda end: end[:2])
        panicked |= made.standing.panic
    assert panicked
    assert min(answered[second] for second in range(1, 119)) > 150
    assert sum(failed[second] for second in range(20, 40)) < 0.1 * 20 * 250
    assert not made.standing.panic
    assert len(made.standing.eligible(120_000)) == 10
    assert min(last[key] for key in made.standing.nodes) > 0.02 * 5_000


def test_a_clock_that_goes_backwards_breaks_nothing() -> None:
    made = router(3)
    call = start(made, 100 * S)
    call.end(99 * S, Outcome.OK)
    assert sum(served(made, 50, 0).values()) == 50
    assert made.in_flight == 0
