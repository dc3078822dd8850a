"""The audit of a fleet: who was asked, how every node stands, which venues were left out."""

from collections import Counter
from hashlib import sha256

import pytest
from support.audit.fleet_attacks import FLEET_ATTACKS, calls_of, plan_of
from support.audit.fleet_scenario import FORKED, HONEST, NAMES, PARTS, recorded_fleet
from support.audit.log_copy import read_leaf
from support.audit.scenario import owner

from walras.auction.dispatch import asked
from walras.audit.verifier import replay, replayed, verify_entries
from walras.balance.events import Outcome, Rule
from walras.balance.status import State
from walras.core.errors import AuditFailure
from walras.protocol.fleet import FleetChanged
from walras.protocol.probes import Observations
from walras.protocol.records import Observed, Sealed, VenuesWatched


def test_the_honest_log_is_audited() -> None:
    made = recorded_fleet()
    machine = replayed(verify_entries(made.log, made.key), made.log, made.key)
    counts, fleet = machine.counts, machine.state.fleet
    assert counts.records["observations"] == 1
    assert [(v.node, v.size, v.root) for v in counts.split_views] == [(owner("four"), *FORKED)]
    assert isinstance(read_leaf(made.log.leaves[counts.split_views[0].index]), Observations)
    assert counts.records["fleet-update"] == 2
    assert counts.records["venues-watched"] == 2
    assert counts.records["observed"] == counts.auctions == counts.records["sealed"]
    assert counts.winners >= counts.auctions
    assert fleet.version == counts.records["fleet"]
    assert {info.name for info in fleet.nodes.values()} == set(NAMES)
    standing = {
        info.name: fleet.standing.status(key, fleet.at_ms) for key, info in fleet.nodes.items()
    }
    assert standing["broken"].errors >= 2
    assert standing["broken"].ejections == 1
    assert all(standing[name].errors == 0 for name in HONEST)
    assert {status.state for status in standing.values()} <= {State.HEALTHY, State.WARMING}
    assert sum(status.canaries_found for status in standing.values()) >= 1


def test_every_rule_is_in_the_log() -> None:
    leaves = list(map(read_leaf, recorded_fleet().log.leaves))
    changes = [c for r in leaves if isinstance(r, FleetChanged) for c in r.changes]
    rules = Counter(change.rule for change in changes)
    assert rules == Counter(
        {
            Rule.CONFIGURED: 1,
            Rule.JOINED: len(NAMES),
            Rule.CONSECUTIVE_ERRORS: 1,
            Rule.FADE_RATE: 1,
            Rule.DRAINED: 1,
            Rule.RESUMED: 1,
            Rule.EJECTION_OVER: 1,
            Rule.BLOCK_OVER: 1,
        }
    )
    out = {c.rule: c.node for c in changes}
    assert out[Rule.CONSECUTIVE_ERRORS] == out[Rule.EJECTION_OVER] == owner("broken")
    assert out[Rule.FADE_RATE] == out[Rule.BLOCK_OVER] == owner("liar")
    watched = [r for r in leaves if isinstance(r, VenuesWatched)]
    assert [[q.venue for q in r.quarantined] for r in watched] == [["odd"], []]
    assert [r.released for r in watched] == [(), ("odd",)]


def test_who_is_out_is_not_asked() -> None:
    made = recorded_fleet()
    forgery = made.forgery()
    out: set[bytes] = set()
    begins = {Rule.CONSECUTIVE_ERRORS, Rule.FADE_RATE, Rule.DRAINED}
    ends = {Rule.EJECTION_OVER, Rule.BLOCK_OVER, Rule.RESUMED}
    asked_out = sealed = 0
    for record in map(read_leaf, made.log.leaves):
        if isinstance(record, FleetChanged):
            out |= {c.node for c in record.changes if c.rule in begins}
            out -= {c.node for c in record.changes if c.rule in ends}
        if isinstance(record, Sealed):
            sealed += bool(out)
            plan = plan_of(forgery, record.auction_id)
            asked_out += bool(out & asked(plan).keys())
            assert len(plan.parts) >= PARTS
            assert all((part.asked, len(part.nodes)) == (2, 3) for part in plan.parts)
    assert asked_out == 0
    assert sealed >= 4


def test_the_standby_of_a_node_that_fails_is_asked() -> None:
    made = recorded_fleet()
    forgery = made.forgery()
    seen = 0
    for number in range(1, made.log.audit(made.key).auctions + 1):
        plan, calls = plan_of(forgery, number), calls_of(forgery, number)
        for place, part in enumerate(plan.parts):
            keys = [plan.nodes[node].public_key for node in part.nodes]
            ended = {call.solver: call.outcome for call in calls if call.part == place}
            failed = Outcome.ERROR in [ended[key] for key in keys[: part.asked]]
            assert (keys[part.asked] in ended) == failed
            seen += failed
    assert seen >= 1


def test_the_canary_is_told_after_the_batch_only() -> None:
    """Before, there is a digest that says nothing, whether there is one or not."""
    leaves = list(map(read_leaf, recorded_fleet().log.leaves))
    observed = [r for r in leaves if isinstance(r, Observed)]
    sealed = [r for r in leaves if isinstance(r, Sealed)]
    assert len(observed[0].canaries) == 1
    assert {len(r.canaries) for r in observed[1:]} == {0}
    for before, after in zip(sealed, observed, strict=True):
        digest = sha256(after.canary_salt + b"".join(after.canaries)).digest()
        assert before.canaries_digest == digest
    assert len({r.canary_salt for r in observed}) == len(observed)


@pytest.mark.parametrize("name", FLEET_ATTACKS)
def test_a_forger_of_the_fleet_is_refused(name: str) -> None:
    attack, reason = FLEET_ATTACKS[name]
    made = recorded_fleet()
    forgery = made.forgery()
    index = attack(forgery)
    forged = forgery.log()
    verified = verify_entries(forged, made.key)
    with pytest.raises(AuditFailure) as refusal:
        replay(verified, forged, made.key)
    assert refusal.value.reason is reason, refusal.value
    assert refusal.value.fields["index"] == str(index), refusal.value
