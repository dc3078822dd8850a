"""The fleet as a function of the log: versions, claims, what waits to be logged, drains, epochs."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from walras.balance.events import Asked, Brought, CallEnded, Change, Event, Outcome, Rule
from walras.balance.rules import FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.balance.status import State
from walras.core.errors import InvalidInput, Reason
from walras.ledger.fleet import CLAIMED, Fleet, batch_events, from_json, to_json
from walras.protocol.dispatch import Call
from walras.protocol.fleet import FleetChanged, FleetUpdate

A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))
INFOS = [NodeInfo(name, key) for name, key in (("a", A), ("b", B), ("c", C))]
T0 = 1_700_000_000_000
RULES = FleetRules(consecutive_errors=2, base_ejection_ms=5_000, interval_ms=1_000)


def joined(*infos: NodeInfo) -> list[Change]:
    return [Change(Rule.JOINED, info.public_key, "configured") for info in infos]


def fleet() -> Fleet:
    found = Fleet(Standing(RULES))
    found.change(T0, joined=INFOS, claims=joined(*INFOS))
    return found


def failed(key: bytes, at_ms: int, times: int = 2) -> list[Event]:
    return [CallEnded(key, at_ms, Outcome.ERROR, 1_000) for _ in range(times)]


def refused(act: Callable[[], object]) -> Reason:
    with pytest.raises(InvalidInput) as caught:
        act()
    return caught.value.reason


def test_versions_count_up_and_are_applied_alike() -> None:
    engine, auditor = Fleet(Standing(RULES)), Fleet(Standing(RULES))
    first = engine.change(T0, joined=INFOS[::-1], claims=joined(*INFOS))
    assert first.version == 1
    assert [info.name for info in first.joined] == ["a", "b", "c"]  # by key
    auditor.apply(first)
    assert auditor == engine
    for each in (engine, auditor):
        each.observe(failed(A, T0 + 100))
    assert [change.rule for change in engine.pending] == [Rule.CONSECUTIVE_ERRORS]
    second = engine.change(T0 + 200)
    assert (second.version, second.changes[0].node) == (2, A)
    assert engine.pending == []
    auditor.apply(second)
    assert auditor == engine
    assert auditor.at_ms == T0 + 200


def test_claims_are_the_engines_word_and_all_else_follows() -> None:
    found = fleet()
    told = FleetChanged(2, T0 + 1, changes=(Change(Rule.STRESS, why="a storm"),))
    found.apply(told)
    assert found.version == 2
    for rule in Rule:
        change = FleetChanged(3, T0 + 2, changes=(Change(rule, A, "because"),))
        if rule in CLAIMED:
            copy.deepcopy(found).apply(change)
        else:
            assert refused(partial(copy.deepcopy(found).apply, change)) is Reason.FLEET_MISMATCH


@pytest.mark.parametrize("change", ["version", "changes", "order"])
def test_a_version_is_the_one_that_follows(change: str) -> None:
    found = fleet()
    honest = copy.deepcopy(found)
    for each in (found, honest):
        each.observe([*failed(A, T0 + 100), *failed(B, T0 + 101)])
    record = honest.change(T0 + 200, claims=[Change(Rule.CALM, why="again")])
    # Half are out at most, so one is ejected; with it fewer than half are healthy.
    assert [c.rule for c in record.changes] == [Rule.CALM, Rule.CONSECUTIVE_ERRORS, Rule.PANIC]
    wrong = {
        "version": replace(record, version=3),
        "changes": replace(record, changes=record.changes[:1]),
        "order": replace(record, changes=record.changes[::-1]),
    }[change]
    assert refused(lambda: found.apply(wrong)) is Reason.FLEET_MISMATCH


def test_nothing_changes_without_a_rule() -> None:
    found, before = fleet(), fleet()
    other = NodeInfo("d", bytes([4]) * 32)
    cases: list[Callable[[], object]] = [
        lambda: found.change(T0, joined=[other]),
        lambda: found.change(T0, left=[A]),
        lambda: found.change(T0, rules=FleetRules(), claims=[Change(Rule.CONFIGURED, A)]),
        lambda: found.change(T0, left=[other.public_key], claims=joined(other)),
        lambda: found.change(T0, joined=[replace(other, name="a")], claims=joined(other)),
    ]
    for case in cases:
        assert refused(case) is Reason.FLEET_INVALID
        assert found == before


def test_one_leaves_and_another_takes_its_name() -> None:
    found = fleet()
    other = NodeInfo("a", bytes([4]) * 32)
    found.change(
        T0 + 1, joined=[other], left=[A], claims=[*joined(other), Change(Rule.LEFT, A, "gone")]
    )
    assert {info.name for info in found.nodes.values()} == {"a", "b", "c"}
    assert A not in found.nodes
    found.observe(failed(A, T0 + 2))  # passed over
    assert found.pending == []


def test_drain_and_resume() -> None:
    found = fleet()
    found.tick(T0 + 10)
    found.update(FleetUpdate("d", A, 1, drained=(A, B)))
    assert [(c.rule, c.node) for c in found.pending] == [(Rule.DRAINED, A), (Rule.DRAINED, B)]
    assert found.standing.eligible(T0 + 10) == [C]
    assert found.standing.status(A, T0 + 10).state is State.DRAINING
    found.update(FleetUpdate("d", A, 2, resumed=(A,)))
    record = found.change(T0 + 20)
    assert [c.rule for c in record.changes] == [Rule.DRAINED, Rule.DRAINED, Rule.RESUMED]
    assert found.standing.eligible(T0 + 20) == [A, C]
    before = copy.deepcopy(found)
    update = FleetUpdate("d", A, 3, drained=(C,), resumed=(bytes(32),))
    assert refused(lambda: found.update(update)) is Reason.NODE_UNKNOWN
    assert found == before


def test_time_ends_an_ejection_and_calls_for_a_version() -> None:
    found = fleet()
    found.observe(failed(A, T0 + 100))
    found.change(T0 + 200)
    assert not found.tick(T0 + 4_000)
    assert found.standing.eligible(T0 + 4_000) == [B, C]
    assert found.tick(T0 + 60_000)
    assert Rule.EJECTION_OVER in {c.rule for c in found.pending}
    assert found.tick(T0 + 60_000)  # it still waits to be logged
    found.change(T0 + 60_000)
    assert not found.tick(T0 + 60_000)
    assert found.standing.eligible(T0 + 60_000) == [A, B, C]


def test_the_time_of_the_log_does_not_go_back() -> None:
    found = fleet()
    found.tick(T0 + 5_000)
    found.tick(T0 + 4_000)
    assert found.at_ms == T0 + 5_000


def test_epochs_are_reported_once_and_in_order() -> None:
    found = fleet()
    found.advance_epoch(A, 7, 100)
    found.advance_epoch(B, 3, 101)
    for epoch in (7, 6, 5):
        assert refused(partial(found.advance_epoch, A, epoch, 102)) is Reason.OBSERVATION_STALE
        assert refused(partial(found.entries_needed, A, epoch)) is Reason.OBSERVATION_STALE
    assert found.entries_needed(A, 9) == 0
    found.advance_epoch(A, 9, 103)
    assert {key: last.epoch for key, last in found.epochs.items()} == {A: 9, B: 3}


def test_epochs_come_again_where_the_clock_is_set_back() -> None:
    """Until the greatest one has passed, what was reported before cannot be handed in again."""
    found = fleet()
    for epoch in (97, 98, 100):
        found.advance_epoch(A, epoch, 10 * epoch)
    assert refused(partial(found.entries_needed, A, 98)) is Reason.OBSERVATION_STALE
    assert found.entries_needed(A, 40) == 1_001
    found.advance_epoch(A, 40, 1_010)
    assert refused(partial(found.entries_needed, A, 38)) is Reason.OBSERVATION_STALE
    assert [found.entries_needed(A, epoch) for epoch in (41, 97, 100, 101)] == [1_001] * 3 + [0]
    found.advance_epoch(A, 50, 1_020)
    # Back once more: what was reported since the first time is no longer good enough, either.
    assert found.entries_needed(A, 45) == 1_021
    found.advance_epoch(A, 45, 1_030)
    assert found.entries_needed(A, 100) == 1_021
    found.advance_epoch(A, 101, 1_040)
    assert found.entries_needed(A, 102) == 0
    assert from_json(to_json(found)).epochs == found.epochs


def test_bonds_are_what_keys_hold() -> None:
    found = Fleet(Standing(replace(RULES, bond_asset="x", min_bond=10)))
    found.change(T0, joined=INFOS, claims=joined(*INFOS))
    found.set_stakes({(A, "x"): 10, (B, "x"): 9, (C, "y"): 99})
    assert found.standing.eligible(T0) == [A]
    found.set_stakes({})
    assert found.standing.eligible(T0) == []


def test_it_is_stored_whole() -> None:
    found = fleet()
    found.observe([*failed(A, T0 + 100), CallEnded(B, T0 + 100, Outcome.OK, 5_000, 2, 3)])
    found.update(FleetUpdate("d", A, 1, drained=(B,)))
    found.advance_epoch(C, (1 << 64) - 1, 7)
    assert found.pending
    back = from_json(to_json(found))
    assert back == found
    assert to_json(back) == to_json(found)
    # And goes on as it would have.
    for each in (found, back):
        each.observe(failed(C, T0 + 200))
    assert back.change(T0 + 9_000) == found.change(T0 + 9_000)
    assert back == found


def test_what_an_auction_tells() -> None:
    calls = [Call(0, B, Outcome.ERROR, 5, 1, 0), Call(0, A, Outcome.OK, 7, 2, 3)]
    events = batch_events(calls, {0: {A}}, {C: False, A: True}, {B: False, A: True}, T0)
    assert events[:2] == [Asked(min(A, B), T0), Asked(max(A, B), T0)]
    assert [type(event).__name__ for event in events[2:]] == [
        *("CallEnded", "CallEnded", "Promised", "Promised", "CanaryChecked", "CanaryChecked")
    ]
    assert [event.node for event in events[2:]] == [B, A, A, C, A, B]
    assert {event.at_ms for event in events} == {T0}


def test_what_a_call_brought() -> None:
    calls = [Call(part, key, Outcome.OK, 5, 1, 0) for part in (0, 1) for key in (A, B)]
    events = batch_events(calls, {0: {A}, 2: {B}}, {}, {}, T0)
    found = [event.brought for event in events if isinstance(event, CallEnded)]
    assert found == [Brought.BID, Brought.MISSED, Brought.NOTHING, Brought.NOTHING]
