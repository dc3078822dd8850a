"""What somebody who owns the engine's key may try with the fleet: who is asked, how it stands, and
which venues it sees. As `attacks`, on the log of `fleet_scenario`.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from support.audit.attacks import Attack, replayed
from support.audit.fleet_scenario import report
from support.audit.log_copy import Forgery
from support.audit.scenario import DOMAIN, owner, signer
from walras.auction.dispatch import vrf_input
from walras.audit.vrf import VrfKey
from walras.balance.events import Change, Outcome, Rule
from walras.balance.rules import NodeInfo
from walras.core.errors import Reason
from walras.protocol.dispatch import (
    Assignment,
    Call,
    Dispatch,
    NodeLoad,
    decode_calls,
    decode_dispatch,
    encode_calls,
    encode_dispatch,
)
from walras.protocol.fleet import FleetChanged, FleetUpdate
from walras.protocol.probes import Observations
from walras.protocol.records import (
    Observed,
    QuarantinedVenue,
    Sealed,
    Settled,
    VenuesWatched,
)
from walras.protocol.sealed_bids import Committed
from walras.protocol.trade import encode_problem

FLEET_ATTACKS: dict[str, tuple[Attack, Reason]] = {}
"""Name → the attack, and the reason for which it must be refused."""


def refused_for(reason: Reason) -> Callable[[Attack], Attack]:
    def register(attack: Attack) -> Attack:
        FLEET_ATTACKS[attack.__name__] = (attack, reason)
        return attack

    return register


def plan_of(forgery: Forgery, auction_id: int) -> Dispatch:
    sealed = forgery.read(forgery.of(Sealed, auction_id))
    return decode_dispatch(forgery.blobs[sealed.dispatch_digest])


def replan(forgery: Forgery, auction_id: int, plan: Dispatch) -> int:
    """Seal with another dispatch."""
    at = forgery.of(Sealed, auction_id)
    return forgery.change(at, dispatch_digest=forgery.blob(encode_dispatch(plan)))


def calls_of(forgery: Forgery, auction_id: int) -> tuple[Call, ...]:
    observed = forgery.read(forgery.of(Observed, auction_id))
    return decode_calls(forgery.blobs[observed.calls_digest])


def recall(forgery: Forgery, auction_id: int, calls: tuple[Call, ...]) -> int:
    at = forgery.of(Observed, auction_id)
    return forgery.change(at, calls_digest=forgery.blob(encode_calls(calls)))


def by_rule(forgery: Forgery, rule: Rule) -> int:
    """The first version in which this rule changed something."""
    return forgery.find(FleetChanged, lambda r: any(c.rule is rule for c in r.changes))


def next_sealing(forgery: Forgery, at: int) -> int:
    return next(
        index for index in range(at, len(forgery.leaves)) if isinstance(forgery.read(index), Sealed)
    )


# who is asked


@refused_for(Reason.DISPATCH_MISMATCH)
def another_node_asked_than_drawn(forgery: Forgery) -> int:
    plan = plan_of(forgery, 1)
    first, *others = plan.parts
    unasked = next(place for place in range(len(plan.nodes)) if place not in first.nodes)
    favoured = replace(first, nodes=(unasked, *first.nodes[1:]))
    return replan(forgery, 1, replace(plan, parts=(favoured, *others)))


@refused_for(Reason.DISPATCH_MISMATCH)
def standby_asked_at_once(forgery: Forgery) -> int:
    plan = plan_of(forgery, 1)
    first, *others = plan.parts
    return replan(forgery, 1, replace(plan, parts=(replace(first, asked=first.asked + 1), *others)))


@refused_for(Reason.DISPATCH_MISMATCH)
def problem_split_otherwise(forgery: Forgery) -> int:
    plan = plan_of(forgery, 1)
    return replan(forgery, 1, replace(plan, parts=plan.parts[:-1]))


@refused_for(Reason.DISPATCH_MISMATCH)
def node_by_another_name(forgery: Forgery) -> int:
    plan = plan_of(forgery, 1)
    first, *others = plan.nodes
    return replan(forgery, 1, replace(plan, nodes=(replace(first, name="else"), *others)))


@refused_for(Reason.DISPATCH_MISMATCH)
def node_that_the_fleet_does_not_have(forgery: Forgery) -> int:
    plan = plan_of(forgery, 1)
    unknown = NodeLoad(b"\xff" * 32, 0, "unknown")
    return replan(forgery, 1, replace(plan, nodes=(*plan.nodes, unknown)))


@refused_for(Reason.DISPATCH_MISMATCH)
def connected_node_left_out(forgery: Forgery) -> int:
    """It may say that a node was not connected, but then others are drawn."""
    plan = plan_of(forgery, 1)
    return replan(forgery, 1, replace(plan, nodes=plan.nodes[:-1], parts=_shifted(plan)))


def _shifted(plan: Dispatch) -> tuple[Assignment, ...]:
    last = len(plan.nodes) - 1
    return tuple(
        replace(part, nodes=tuple(place for place in part.nodes if place != last))
        for part in plan.parts
    )


@refused_for(Reason.VRF_INVALID)
def draws_of_another_auction(forgery: Forgery) -> int:
    """Both proofs are the engine's; each auction has one."""
    other = plan_of(forgery, 2).vrf_proof
    return replan(forgery, 1, replace(plan_of(forgery, 1), vrf_proof=other))


@refused_for(Reason.VRF_INVALID)
def draws_by_another_key(forgery: Forgery) -> int:
    key = VrfKey.from_seed(sha256(b"a better one").digest())
    proof, _ = key.prove(vrf_input(DOMAIN, 1))
    return replan(forgery, 1, replace(plan_of(forgery, 1), vrf_proof=proof))


@refused_for(Reason.VRF_INVALID)
def draws_without_a_proof(forgery: Forgery) -> int:
    return replan(forgery, 1, replace(plan_of(forgery, 1), vrf_proof=b""))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def dispatch_withheld(forgery: Forgery) -> int:
    """Nobody was asked, it says; then nobody can have committed to a bid."""
    forgery.change(forgery.of(Sealed, 1), dispatch_digest=b"", bid_key=b"")
    return forgery.of(Committed, 1)


@refused_for(Reason.BLOB_MISSING)
def dispatch_not_served(forgery: Forgery) -> int:
    at = forgery.of(Sealed, 1)
    del forgery.blobs[forgery.read(at).dispatch_digest]
    return at


@refused_for(Reason.BLOB_MISMATCH)
def dispatch_served_otherwise(forgery: Forgery) -> int:
    at = forgery.of(Sealed, 1)
    forgery.blobs[forgery.read(at).dispatch_digest] += b"\0"
    return at


# how calls went


@refused_for(Reason.DISPATCH_MISMATCH)
def call_observed_that_was_never_made(forgery: Forgery) -> int:
    """An error of a node that nobody asked, to have it ejected."""
    calls, plan = calls_of(forgery, 1), plan_of(forgery, 1)
    stranger = next(
        node.public_key for place, node in enumerate(plan.nodes) if place not in plan.parts[0].nodes
    )
    return recall(forgery, 1, (*calls, Call(0, stranger, Outcome.ERROR, 1, 1, 0)))


@refused_for(Reason.DISPATCH_MISMATCH)
def call_of_a_part_that_there_is_not(forgery: Forgery) -> int:
    first, *others = calls_of(forgery, 1)
    return recall(forgery, 1, (replace(first, part=99), *others))


@refused_for(Reason.DISPATCH_MISMATCH)
def call_observed_twice(forgery: Forgery) -> int:
    first, *others = calls_of(forgery, 1)
    return recall(forgery, 1, (first, replace(first, outcome=Outcome.ERROR), *others))


@refused_for(Reason.DISPATCH_MISMATCH)
def call_left_out(forgery: Forgery) -> int:
    """A failure of a friend is not told."""
    calls = calls_of(forgery, 1)
    plan = plan_of(forgery, 1)
    asked = {plan.nodes[place].public_key for place in plan.parts[0].nodes[: plan.parts[0].asked]}
    gone = next(call for call in calls if call.part == 0 and call.solver in asked)
    return recall(forgery, 1, tuple(call for call in calls if call is not gone))


@refused_for(Reason.FLEET_MISMATCH)
def failures_called_successes(forgery: Forgery) -> int:
    """The ejection that stands in the log then follows from nothing."""
    at = by_rule(forgery, Rule.CONSECUTIVE_ERRORS)
    for number in range(1, forgery.read(next_sealing(forgery, at)).auction_id):
        fine = tuple(replace(call, outcome=Outcome.OK) for call in calls_of(forgery, number))
        recall(forgery, number, fine)
    return at


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def calls_not_observed(forgery: Forgery) -> int:
    del forgery.leaves[forgery.of(Observed, 1)]
    return forgery.of(Settled, 1)


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def calls_observed_again(forgery: Forgery) -> int:
    """Every failure would count twice."""
    at = forgery.of(Observed, 1)
    return forgery.insert(at + 1, forgery.read(at))


# canaries


@refused_for(Reason.DISPATCH_MISMATCH)
def canaries_changed_after_the_sealing(forgery: Forgery) -> int:
    at = forgery.of(Observed, 1)
    problem = replayed(forgery, forgery.of(Sealed, 1)).state.book.entries
    other = next(name for name in sorted(problem) if name not in forgery.read(at).canaries)
    return forgery.change(at, canaries=(other,))


@refused_for(Reason.DISPATCH_MISMATCH)
def canary_denied(forgery: Forgery) -> int:
    return forgery.change(forgery.of(Observed, 1), canaries=())


@refused_for(Reason.DISPATCH_MISMATCH)
def canary_named_afterwards(forgery: Forgery) -> int:
    """In a batch that was sealed without one, with another salt."""
    names = forgery.read(forgery.of(Observed, 1)).canaries
    return forgery.change(forgery.of(Observed, 2), canaries=names, canary_salt=bytes(32))


@refused_for(Reason.DISPATCH_MISMATCH)
def canary_that_was_not_in_the_batch(forgery: Forgery) -> int:
    """Committed to, and yet nobody could have found it."""
    salt, name = bytes(32), sha256(b"no intent").digest()
    forgery.change(forgery.of(Sealed, 2), canaries_digest=sha256(salt + name).digest())
    return forgery.change(forgery.of(Observed, 2), canaries=(name,), canary_salt=salt)


# versions


@refused_for(Reason.FLEET_MISMATCH)
def ejection_that_does_not_follow(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.DRAINED)
    version = forgery.read(at)
    why = "2 calls and 0 probes in a row failed; out for 20000 ms"
    invented = Change(Rule.CONSECUTIVE_ERRORS, owner("two"), why)
    return forgery.change(at, changes=(*version.changes, invented))


@refused_for(Reason.FLEET_MISMATCH)
def ejection_of_another(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.CONSECUTIVE_ERRORS)
    (change,) = forgery.read(at).changes
    return forgery.change(at, changes=(replace(change, node=owner("two")),))


@refused_for(Reason.FLEET_MISMATCH)
def ejection_struck_out(forgery: Forgery) -> int:
    return forgery.change(by_rule(forgery, Rule.CONSECUTIVE_ERRORS), changes=())


@refused_for(Reason.FLEET_MISMATCH)
def ejection_left_out(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.CONSECUTIVE_ERRORS)
    del forgery.leaves[at]
    return next_sealing(forgery, at)


@refused_for(Reason.FLEET_MISMATCH)
def block_left_out(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.FADE_RATE)
    del forgery.leaves[at]
    return next_sealing(forgery, at)


@refused_for(Reason.FLEET_MISMATCH)
def ejection_never_ends(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.EJECTION_OVER)
    changes = forgery.read(at).changes
    kept = tuple(change for change in changes if change.rule is not Rule.EJECTION_OVER)
    return forgery.change(at, changes=kept)


@refused_for(Reason.FLEET_MISMATCH)
def version_skipped(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.CONSECUTIVE_ERRORS)
    return forgery.change(at, version=forgery.read(at).version + 1)


@refused_for(Reason.FLEET_MISMATCH)
def version_repeated(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.CONSECUTIVE_ERRORS)
    return forgery.insert(at + 1, forgery.read(at))


@refused_for(Reason.FLEET_INVALID)
def node_comes_without_a_rule(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.DRAINED)
    friend = NodeInfo("friend", owner("mallory"))
    return forgery.change(at, joined=(friend,))


@refused_for(Reason.FLEET_INVALID)
def node_goes_without_a_rule(forgery: Forgery) -> int:
    return forgery.change(by_rule(forgery, Rule.CONSECUTIVE_ERRORS), left=(owner("two"),))


@refused_for(Reason.FLEET_INVALID)
def rules_change_without_a_rule(forgery: Forgery) -> int:
    rules = forgery.read(forgery.find(FleetChanged)).rules
    at = by_rule(forgery, Rule.CONSECUTIVE_ERRORS)
    return forgery.change(at, rules=replace(rules, fan_out=1))


@refused_for(Reason.FLEET_INVALID)
def unknown_node_leaves(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.DRAINED)
    change = Change(Rule.LEFT, owner("mallory"), "not configured")
    changes = (change, *forgery.read(at).changes)
    return forgery.change(at, left=(owner("mallory"),), changes=changes)


# operators


@refused_for(Reason.FLEET_MISMATCH)
def drained_by_nobody(forgery: Forgery) -> int:
    """The engine says that an operator did, without the operator's record."""
    at = forgery.find(FleetUpdate)
    del forgery.leaves[at]
    return at


@refused_for(Reason.SIGNER_UNKNOWN)
def drained_by_a_stranger(forgery: Forgery) -> int:
    return forgery.change(forgery.find(FleetUpdate), operator=owner("mallory"))


@refused_for(Reason.RECORD_UNAUTHORISED)
def drained_in_an_operators_name(forgery: Forgery) -> int:
    at = forgery.find(FleetUpdate)
    return forgery.write(at, forgery.read(at), forgery.engine)


@refused_for(Reason.NONCE_USED)
def drained_again(forgery: Forgery) -> int:
    forgery.leaves.append(forgery.leaves[forgery.find(FleetUpdate)])
    return len(forgery.leaves) - 1


@refused_for(Reason.NODE_UNKNOWN)
def unknown_node_drained(forgery: Forgery) -> int:
    return forgery.change(forgery.find(FleetUpdate), drained=(owner("mallory"),))


@refused_for(Reason.FLEET_MISMATCH)
def drain_without_a_version(forgery: Forgery) -> int:
    at = by_rule(forgery, Rule.DRAINED)
    del forgery.leaves[at]
    return next_sealing(forgery, at)


# venues


@refused_for(Reason.VENUES_MISMATCH)
def quarantine_left_out(forgery: Forgery) -> int:
    at = forgery.find(VenuesWatched)
    del forgery.leaves[at]
    return next_sealing(forgery, at)


@refused_for(Reason.VENUES_MISMATCH)
def quarantine_invented(forgery: Forgery) -> int:
    at = forgery.of(Sealed, 1)
    record = VenuesWatched(
        forgery.read(at).sealed_ms, (QuarantinedVenue("wu", "stale", (("age_ms", "1"),)),)
    )
    return forgery.insert(at, record) + 1


@refused_for(Reason.VENUES_MISMATCH)
def quarantine_for_another_reason(forgery: Forgery) -> int:
    at = forgery.find(VenuesWatched)
    (out,) = forgery.read(at).quarantined
    forgery.change(at, quarantined=(replace(out, rule="stale"),))
    return next_sealing(forgery, at)


@refused_for(Reason.VENUES_MISMATCH)
def quarantine_with_other_numbers(forgery: Forgery) -> int:
    at = forgery.find(VenuesWatched)
    (out,) = forgery.read(at).quarantined
    forgery.change(at, quarantined=(replace(out, details=out.details[:-1]),))
    return next_sealing(forgery, at)


@refused_for(Reason.VENUES_MISMATCH)
def release_left_out(forgery: Forgery) -> int:
    at = forgery.find(VenuesWatched, lambda r: bool(r.released))
    del forgery.leaves[at]
    return next_sealing(forgery, at)


@refused_for(Reason.VENUES_MISMATCH)
def venues_watched_twice(forgery: Forgery) -> int:
    """The first of two says what is not so; the second is the honest one."""
    at = forgery.find(VenuesWatched)
    return forgery.insert(at, replace(forgery.read(at), quarantined=(), released=("wu",))) + 1


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def venues_watched_between_batches(forgery: Forgery) -> int:
    at = forgery.of(Settled, 1) + 1
    return forgery.insert(at, forgery.read(forgery.find(VenuesWatched)))


@refused_for(Reason.PROBLEM_MISMATCH)
def quarantined_venue_in_the_problem(forgery: Forgery) -> int:
    at = next_sealing(forgery, forgery.find(VenuesWatched))
    sealed = forgery.read(at)
    state = replayed(forgery, at).state
    state.prepare(sealed.sealed_ms)
    problem = state.problem(sealed.auction_id, sealed.sealed_ms)
    with_it = replace(problem, venues=dict(sorted(state.market.venues.items())))
    return forgery.change(at, problem_digest=forgery.blob(encode_problem(with_it)))


# probes


def _reported(forgery: Forgery, **changes: object) -> int:
    """The prober's report, with its challenge changed and signed anew."""
    at = forgery.find(Observations)
    machine = replayed(forgery, at)
    log = (at, machine._root_at(at))
    rules, epoch = machine.state.fleet.rules, forgery.read(at).epoch
    record, body = report(rules, epoch, log, **changes)
    forgery.blob(body)
    return forgery.write(at, record)


@refused_for(Reason.PROBER_UNKNOWN)
def observations_of_an_unregistered_prober(forgery: Forgery) -> int:
    return forgery.change(forgery.find(Observations), prober=owner("mallory"))


@refused_for(Reason.RECORD_UNAUTHORISED)
def observations_in_a_probers_name(forgery: Forgery) -> int:
    at = forgery.find(Observations)
    return forgery.write(at, forgery.read(at), forgery.engine)


@refused_for(Reason.OBSERVATION_STALE)
def observations_counted_twice(forgery: Forgery) -> int:
    at = forgery.find(Observations)
    return forgery.insert(at + 1, forgery.read(at))


@refused_for(Reason.CHALLENGE_MISMATCH)
def observations_of_another_epoch(forgery: Forgery) -> int:
    at = forgery.find(Observations)
    return forgery.change(at, epoch=forgery.read(at).epoch + 1)


@refused_for(Reason.CHALLENGE_MISTIMED)
def probe_at_a_time_of_its_own_choice(forgery: Forgery) -> int:
    return _reported(forgery, sent_ms=1)


@refused_for(Reason.SPLIT_VIEW)
def probe_of_another_log(forgery: Forgery) -> int:
    return _reported(forgery, checkpoint_root=bytes(32))


@refused_for(Reason.BLOB_MISSING)
def observations_not_served(forgery: Forgery) -> int:
    at = forgery.find(Observations)
    del forgery.blobs[forgery.read(at).list_digest]
    return at


@refused_for(Reason.SIGNER_UNKNOWN)
def drain_signed_for_a_prober(forgery: Forgery) -> int:
    """A prober is no operator."""
    record = FleetUpdate(DOMAIN, signer("prober").public_key, 1, (owner("two"),))
    return forgery.insert(len(forgery.leaves), record)
