"""Whatever happens to nodes, who reads the log comes to the standing that the engine has."""

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walras.app.sealing import log_news
from walras.balance.events import CallEnded, Event, Outcome, Promised
from walras.balance.rules import FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.core.errors import InvalidInput, Reason
from walras.fleet.nodes import Node, NodeSpec
from walras.fleet.registry import Fleet as Registry
from walras.ledger.fleet import Fleet, from_json, to_json
from walras.ledger.state import State
from walras.protocol.fleet import FleetChanged, FleetUpdate

NAMES = "abcde"
KEYS = {name: bytes([number]) * 32 for number, name in enumerate(NAMES, 1)}
T0 = 1_700_000_000_000
RULES = FleetRules(
    bond_asset="bond",
    min_bond=1,
    base_ejection_ms=3_000,
    fade_half_life=2,
    block_ms=5_000,
    slow_start_ms=2_000,
)


@dataclass
class Commit:
    """Of a transaction, what `log_news` takes: the state, the time, and somewhere to record."""

    state: State
    now_ms: int
    records: list[FleetChanged] = field(default_factory=list)

    def record(self, record: FleetChanged) -> None:
        self.records.append(record)


def begun() -> State:
    state = State()
    state.fleet = Fleet(Standing(RULES))
    return state


def connected(names: set[str], slots: int) -> list[Node]:
    found = []
    for name in sorted(names):
        node = Node(NodeSpec(name, address="127.0.0.1:1", public_key=KEYS[name]))
        node.info = NodeInfo(name, KEYS[name], slots=slots)
        found.append(node)
    return found


def seal(engine: State, auditor: State, now_ms: int, names: set[str], slots: int = 1) -> None:
    """The engine seals; the auditor reads what it logged."""
    registry = Registry(NodeSpec(name, address="127.0.0.1:1") for name in sorted(names))
    tx: Any = Commit(engine, now_ms)
    log_news(tx, connected(names, slots), registry)
    engine.prepare(now_ms)
    for record in tx.records:
        auditor.change_fleet(record)
    auditor.prepare(now_ms)
    assert not engine.fleet.pending
    assert auditor.fleet == engine.fleet


names = st.sampled_from(NAMES)
steps = st.fixed_dictionaries(
    {
        "wait": st.sampled_from([0, 1, 400, 1_000, 3_000, 20_000]),
        "calls": st.lists(st.tuples(names, st.sampled_from(Outcome)), max_size=8),
        "promises": st.lists(st.tuples(names, st.booleans()), max_size=3),
        "drained": st.none() | names,
        "resumed": st.none() | names,
        "bonded": st.sets(names, min_size=2),
        "there": st.sets(names, min_size=1),
        "slots": st.integers(1, 2),
        "restart": st.booleans(),
    }
)


@settings(deadline=None, max_examples=150)
@given(life=st.lists(steps, min_size=2, max_size=12))
def test_the_log_tells_all(life: list[dict[str, Any]]) -> None:
    engine, auditor, now = begun(), begun(), T0
    for step in life:
        now += step["wait"]
        events: list[Event] = [
            CallEnded(KEYS[name], now, outcome, 1_000) for name, outcome in step["calls"]
        ]
        events += [Promised(KEYS[name], now, kept) for name, kept in step["promises"]]
        for state in (engine, auditor):
            state.observe(events)
            state.balances = {(KEYS[name], "bond"): 1 for name in step["bonded"]}
        for what in ("drained", "resumed"):
            key = KEYS.get(step[what] or "")
            if key in engine.fleet.nodes:
                update = FleetUpdate("d", bytes(32), 1, **{what: (key,)})
                for state in (engine, auditor):
                    state.fleet.update(update)
                auditor.change_fleet(engine.fleet.change(now))
        seal(engine, auditor, now, step["there"], step["slots"])
        if step["restart"]:
            engine.fleet = from_json(to_json(engine.fleet))


def test_a_node_goes_as_its_going_ends_a_panic() -> None:
    """Time passes after it went, for the engine as for who reads the log: there was no panic."""
    engine, auditor = begun(), begun()
    for state in (engine, auditor):
        state.balances = {(KEYS["a"], "bond"): 1, (KEYS["b"], "bond"): 1}
    seal(engine, auditor, T0, {"a", "b"})
    failures = [CallEnded(KEYS["b"], T0, Outcome.ERROR, 1_000)] * 2
    for state in (engine, auditor):
        state.observe(failures)
        state.balances = {(KEYS["b"], "bond"): 1}
    seal(engine, auditor, T0 + 500, {"a", "b"})
    seal(engine, auditor, T0 + 600, {"a"})
    assert not engine.fleet.standing.panic


def test_what_the_engine_does_not_log_is_missed() -> None:
    """The tests above can fail."""
    engine, auditor = begun(), begun()
    for state in (engine, auditor):
        state.balances = {(KEYS["a"], "bond"): 1, (KEYS["b"], "bond"): 1}
    seal(engine, auditor, T0, {"a", "b"})
    record = copy.deepcopy(engine).fleet.change(T0 + 1)
    auditor.observe([CallEnded(KEYS["a"], T0, Outcome.ERROR, 1_000)] * 2)
    with pytest.raises(InvalidInput) as caught:
        auditor.change_fleet(record)
    assert caught.value.reason is Reason.FLEET_MISMATCH
