"""What observations prove, and every lie that a prober or a node may tell."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.market import DOMAIN
from support.probes import (
    EPOCH,
    KNOWN,
    LOG,
    NODES,
    PROBER,
    RULES,
    challenge,
    echo_of,
    note,
    observe,
    report,
    seed,
)

from walras.audit import envelope
from walras.audit.keys import Signer
from walras.audit.probes import (
    MAX_LATE_MS,
    MAX_OBSERVATIONS,
    check_observations,
    due_ms,
    judge,
    open_observations,
    split_views,
    vrf_input,
)
from walras.audit.vrf import VrfKey
from walras.balance.events import Probed
from walras.balance.rules import FleetRules
from walras.balance.standing import Standing
from walras.core.errors import InvalidInput, Reason
from walras.protocol.probes import Observation, Observations
from walras.sdk.signing import sign_record

A, B, C = NODES
EVE = Signer.from_seed(seed("eve"))


def check(record: Observations, body: bytes, **changes: Any) -> list[Probed]:
    settings = {"domain": DOMAIN, "rules": RULES, "nodes": KNOWN, "root_at": LOG.root, **changes}
    return check_observations(record, body, **settings)[0]


def refused(record: Observations, body: bytes, **changes: Any) -> Reason:
    with pytest.raises(InvalidInput) as caught:
        check(record, body, **changes)
    return caught.value.reason


def sent_ms(observation: Observation) -> int:
    return open_observations(*report([observation]))[0].challenge.sent_ms


def test_what_honest_observations_say() -> None:
    seen = [observe(A), observe(B, answers=False), observe(C, rtt_us=1)]
    events = check(*report(seen))
    assert events == [
        Probed(A.public_key, PROBER.public_key, sent_ms(seen[0]), 700, 2),
        Probed(B.public_key, PROBER.public_key, sent_ms(seen[1]), None, 0),
        Probed(C.public_key, PROBER.public_key, sent_ms(seen[2]), 1, 2),
    ]
    assert check(*report([])) == []


def test_a_node_that_left_is_passed_over() -> None:
    seen = [observe(A), observe(B), observe(C)]
    known = {key: node for key, node in KNOWN.items() if key != B.public_key}
    assert [e.node for e in check(*report(seen), nodes=known)] == [A.public_key, C.public_key]


# The prober's lies.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"domain": "another"}, Reason.DOMAIN_WRONG),
        ({"prober": EVE.public_key}, Reason.PROBER_UNKNOWN),
        ({"epoch": EPOCH + 1}, Reason.CHALLENGE_MISMATCH),
        ({"list_digest": bytes(32)}, Reason.DIGEST_WRONG),
    ],
)
def test_record_tampered(changes: dict[str, Any], reason: Reason) -> None:
    assert refused(*report([observe(A)], **changes)) is reason


def with_vrf_of(node: Signer, epoch: int) -> bytes:
    return VrfKey.from_seed(seed("prober")).prove(vrf_input(DOMAIN, epoch, node.public_key))[0]


HONEST = challenge(A)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"domain": "another"}, Reason.CHALLENGE_MISMATCH),
        ({"epoch": EPOCH + 1}, Reason.CHALLENGE_MISMATCH),
        ({"prober": EVE.public_key}, Reason.CHALLENGE_MISMATCH),
        ({"node": B.public_key}, Reason.VRF_INVALID),
        ({"node": bytes(31)}, Reason.PUBLIC_KEY_INVALID),
        ({"nonce": bytes(31)}, Reason.FIELD_INVALID),
        ({"nonce": b""}, Reason.FIELD_INVALID),
        ({"checkpoint_size": 7}, Reason.SPLIT_VIEW),
        ({"checkpoint_size": 0}, Reason.SPLIT_VIEW),
        ({"checkpoint_size": 10}, Reason.SPLIT_VIEW),
        ({"checkpoint_size": (1 << 64) - 1}, Reason.SPLIT_VIEW),
        ({"checkpoint_root": bytes(32)}, Reason.SPLIT_VIEW),
        ({"checkpoint_root": bytes(33)}, Reason.FIELD_INVALID),
        ({"vrf_proof": b""}, Reason.VRF_INVALID),
        ({"vrf_proof": bytes(80)}, Reason.VRF_INVALID),
        ({"vrf_proof": with_vrf_of(B, EPOCH)}, Reason.VRF_INVALID),
        ({"vrf_proof": with_vrf_of(A, EPOCH + 1)}, Reason.VRF_INVALID),
        ({"vrf_proof": bytes(900)}, Reason.ENVELOPE_MALFORMED),
        ({"sent_ms": HONEST.sent_ms - 4}, Reason.CHALLENGE_MISTIMED),
        ({"sent_ms": HONEST.sent_ms - 3 + MAX_LATE_MS + 1}, Reason.CHALLENGE_MISTIMED),
        ({"sent_ms": 0}, Reason.CHALLENGE_MISTIMED),
        ({"sent_ms": (1 << 64) - 1}, Reason.CHALLENGE_MISTIMED),
    ],
)
def test_challenge_tampered_and_signed_again(changes: dict[str, Any], reason: Reason) -> None:
    """With a node that answers whatever it is asked, where there is one."""
    asked = replace(HONEST, **changes)
    node = B if asked.node == B.public_key else A
    answers = (
        len(asked.nonce) == 32
        and len(asked.node) == 32
        and reason in {Reason.SPLIT_VIEW, Reason.CHALLENGE_MISTIMED, Reason.VRF_INVALID}
    )
    assert refused(*report([observe(node, asked, answers=answers)])) is reason


@pytest.mark.parametrize("late", [-3, MAX_LATE_MS - 3])
def test_a_challenge_may_be_sent_on_time_or_a_little_later(late: int) -> None:
    asked = replace(HONEST, sent_ms=HONEST.sent_ms + late)
    assert len(check(*report([observe(A, asked)]))) == 1


def test_challenge_signed_by_another() -> None:
    asked = challenge(A)
    assert refused(*report([observe(A, asked, signer=EVE, answers=False)])) is (
        Reason.CHALLENGE_MISMATCH
    )
    # Eve's own, in the prober's list.
    asked = challenge(A, "eve")
    assert refused(*report([observe(A, asked, signer=EVE)])) is Reason.CHALLENGE_MISMATCH


def test_a_challenge_of_another_epoch_does_not_count_again() -> None:
    seen = observe(A, challenge(A, epoch=EPOCH))
    assert refused(*report([seen], epoch=EPOCH + 1)) is Reason.CHALLENGE_MISMATCH


def test_each_node_once_in_order() -> None:
    for seen in ([observe(B), observe(A)], [observe(A), observe(A)]):
        assert refused(*report(seen)) is Reason.FIELD_INVALID


def test_a_nonce_for_two_nodes() -> None:
    seen = [observe(A), observe(B, challenge(B, nonce=challenge(A).nonce))]
    assert refused(*report(seen)) is Reason.CHALLENGE_REPEATED


def test_a_list_too_long_is_refused_before_it_is_looked_at() -> None:
    record, body = report([Observation(b"x", b"", 0)] * (MAX_OBSERVATIONS + 1))
    assert refused(record, body) is Reason.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("body", [b"\xff", b"\x0a", b"\x12\x00", b"\x0a\x00" + b"\x18\x01"])
def test_a_list_that_is_none(body: bytes) -> None:
    record = Observations(DOMAIN, PROBER.public_key, EPOCH, sha256(body).digest())
    assert refused(record, body) in {
        Reason.MESSAGE_MALFORMED,
        Reason.UNKNOWN_FIELD,
        Reason.NON_CANONICAL,
        Reason.ENVELOPE_MALFORMED,
    }


@pytest.mark.parametrize(
    ("rtt_us", "answers"),
    [(0, True), (RULES.probe_timeout_ms * 1_000 + 1, True), ((1 << 64) - 1, True), (1, False)],
)
def test_round_trips_that_cannot_be(rtt_us: int, answers: bool) -> None:
    seen = replace(observe(A, answers=answers), rtt_us=rtt_us)
    assert refused(*report([seen])) is Reason.ROUND_TRIP_INVALID


def test_a_round_trip_as_long_as_the_timeout() -> None:
    most = RULES.probe_timeout_ms * 1_000
    assert check(*report([observe(A, rtt_us=most)]))[0].rtt_us == most


def test_strangers_are_refused_before_their_list_is_looked_at() -> None:
    record, _ = report([], prober=EVE.public_key)
    assert refused(record, b"not even the list") is Reason.PROBER_UNKNOWN
    assert refused(*report([observe(A)]), rules=FleetRules()) is Reason.PROBER_UNKNOWN


def test_the_rules_in_force_decide() -> None:
    seen = [observe(A)]
    other = replace(RULES, probe_interval_ms=4_000)
    assert refused(*report(seen), rules=other) is Reason.CHALLENGE_MISTIMED
    assert refused(
        *report([observe(A, rtt_us=400_000)]), rules=replace(RULES, probe_timeout_ms=300)
    ) in {Reason.ROUND_TRIP_INVALID, Reason.CHALLENGE_MISTIMED}


# The node's, which a prober must not hand on.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"domain": "another"}, Reason.ECHO_MISMATCH),
        ({"node": B.public_key}, Reason.ECHO_MISMATCH),
        ({"challenge_digest": bytes(32)}, Reason.ECHO_MISMATCH),
        ({"challenge_digest": bytes(31)}, Reason.FIELD_INVALID),
        ({"checkpoint_root": bytes(31)}, Reason.FIELD_INVALID),
    ],
)
def test_echo_tampered_and_signed_again(changes: dict[str, Any], reason: Reason) -> None:
    seen = observe(A)
    echo = sign_record(echo_of(seen, A, **changes), A)
    assert refused(*report([replace(seen, echo=echo)])) is reason


def test_echo_of_another_node_or_kind() -> None:
    seen, other = observe(A), observe(B)
    assert refused(*report([replace(seen, echo=other.echo)])) is Reason.SIGNER_UNKNOWN
    echo = sign_record(echo_of(seen, A), B)
    assert refused(*report([replace(seen, echo=echo)])) is Reason.SIGNER_UNKNOWN
    assert refused(*report([replace(seen, echo=seen.challenge)])) is Reason.PAYLOAD_TYPE_WRONG
    assert refused(*report([replace(seen, challenge=seen.echo)])) is Reason.PAYLOAD_TYPE_WRONG


def test_an_old_echo_does_not_answer_a_new_challenge() -> None:
    old = observe(A)
    new = observe(A, challenge(A, nonce=bytes(32)))
    assert refused(*report([replace(new, echo=old.echo)])) is Reason.ECHO_MISMATCH


@pytest.mark.parametrize(
    ("size", "root"),
    [(5, bytes(32)), (5, LOG.root(6)), (0, LOG.root(5)), (10, LOG.root(9)), (1 << 62, bytes(32))],
)
def test_an_echo_of_another_log_is_a_sign_of_life_and_is_shown(size: int, root: bytes) -> None:
    seen = observe(A)
    echo = echo_of(seen, A, checkpoint_size=size, checkpoint_root=root)
    seen = replace(seen, echo=sign_record(echo, A))
    record, body = report([seen, observe(B)])
    events = check(record, body)
    assert [event.rtt_us for event in events] == [700, 700]
    assert split_views(open_observations(record, body), LOG.root) == [echo]
    assert split_views(open_observations(*report([observe(B)])), LOG.root) == []


def test_a_split_view_names_what_the_prober_was_shown() -> None:
    asked = challenge(A, checkpoint_root=bytes(range(32)))
    with pytest.raises(InvalidInput) as caught:
        check(*report([observe(A, asked)]))
    assert caught.value.reason is Reason.SPLIT_VIEW
    assert caught.value.fields["size"] == "8"
    assert caught.value.fields["root"] == bytes(range(32)).hex()
    # What its prober proves by the note that it holds, the fork's own log confirms.
    assert check(
        *report([observe(A, asked, held=b"")]),
        root_at=lambda size: bytes(range(32)) if size else LOG.root(0),
    )


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_bit_of_an_observation_can_be_changed(data: st.DataObject) -> None:
    seen = observe(A)
    part: str = data.draw(st.sampled_from(["challenge", "echo"]))
    whole: bytes = getattr(seen, part)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = (int.from_bytes(whole, "big") ^ 1 << bit).to_bytes(len(whole), "big")
    with pytest.raises(InvalidInput):
        check(*report([replace(seen, **{part: flipped})]))  # type: ignore[arg-type]  # bytes both


# When a node is probed.


def test_times_spread_over_the_epoch_and_end_within_it() -> None:
    key = VrfKey.from_seed(seed("prober"))
    span = RULES.probe_interval_ms - RULES.probe_timeout_ms
    start = EPOCH * RULES.probe_interval_ms
    found = []
    for epoch in range(EPOCH, EPOCH + 200):
        at = due_ms(key.prove(vrf_input(DOMAIN, epoch, A.public_key))[1], epoch, RULES)
        found.append(at - epoch * RULES.probe_interval_ms)
    assert all(0 <= offset < span for offset in found)
    quarters = [
        sum(span * q // 4 <= offset < span * (q + 1) // 4 for offset in found) for q in range(4)
    ]
    assert min(quarters) > 25  # of 50 on average; below by chance once in 10^5
    assert due_ms(bytes(64), EPOCH, RULES) == start
    tight = replace(RULES, probe_interval_ms=100, probe_timeout_ms=1_000)
    assert due_ms(bytes(63) + b"\x07", 5, tight) == 500


def test_inputs_of_the_vrf_differ() -> None:
    inputs = {
        vrf_input(domain, epoch, node)
        for domain in ("a", "ab", "b")
        for epoch in (0, 1, 1 << 63)
        for node in (A.public_key, B.public_key)
    }
    assert len(inputs) == 18


# What routing makes of it.


def test_the_median_of_three_probers_counts() -> None:
    """One prober that lies low and one that lies high do not move it past the honest one."""
    probers = {name: Signer.from_seed(seed(name)) for name in ("low", "honest", "high")}
    keys = tuple(sorted(signer.public_key for signer in probers.values()))
    rules = replace(RULES, probers=keys, quorum=3)
    standing = Standing(rules)
    standing.join(KNOWN[A.public_key], challenge(A).sent_ms - 10_000)
    for name, rtt_us in (("low", 5), ("high", 900_000), ("honest", 700)):
        assert standing.status(A.public_key, challenge(A).sent_ms).rtt_us == 0
        prober = probers[name]
        seen = observe(A, challenge(A, name), signer=prober, rtt_us=rtt_us)
        for event in check(*report([seen], prober=prober.public_key), rules=rules):
            standing.apply(event)
    status = standing.status(A.public_key, challenge(A).sent_ms + 100)
    assert (status.rtt_us, status.probers) == (700, 3)


def test_fewer_than_a_quorum_cannot_eject() -> None:
    """Two of three probers say that a node is dead: with a quorum of three it stays."""
    names = ("one", "two", "three")
    probers = [Signer.from_seed(seed(name)) for name in names]
    keys = tuple(sorted(signer.public_key for signer in probers))
    for silent, ejected in ((2, False), (3, True)):
        rules = replace(RULES, probers=keys, quorum=3, max_ejection_bps=10_000)
        standing = Standing(rules)
        standing.join(KNOWN[A.public_key], challenge(A).sent_ms - 60_000)
        at_ms = 0
        for epoch in (EPOCH, EPOCH + 1):
            for name, prober in list(zip(names, probers, strict=True))[:silent]:
                asked = challenge(A, name, epoch=epoch)
                at_ms = max(at_ms, asked.sent_ms)
                seen = observe(A, asked, signer=prober, answers=False)
                record = report([seen], prober=prober.public_key, epoch=epoch)
                for event in check(*record, rules=rules):
                    standing.apply(event)
        assert (standing.status(A.public_key, at_ms).state == "ejected") is ejected


def test_opening_and_judging_apart_is_the_same() -> None:
    record, body = report([observe(A), observe(B, answers=False)])
    opened = open_observations(record, body)
    known: Callable[[int], bytes] = LOG.root
    assert judge(record, opened, domain=DOMAIN, rules=RULES, nodes=KNOWN, root_at=known) == check(
        record, body
    )


def test_a_record_fits_a_leaf_and_a_full_list_its_blob() -> None:
    record, _ = report([observe(A)])
    assert len(sign_record(record, PROBER)) < 600
    longest = observe(A, held=note(8))
    assert MAX_OBSERVATIONS * (len(longest.challenge) + len(longest.echo) + 32) < 1 << 20
    assert envelope.decode(longest.challenge).signer == PROBER.public_key
