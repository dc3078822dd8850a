"""Rules of a node's standing, one by one."""

import json
from dataclasses import replace

import pytest

from walras.balance.estimates import (
    DEFAULT_SERVICE_US,
    RoundTrip,
    Service,
    Share,
    decay,
    lower_median,
    service_sample,
)
from walras.balance.events import (
    Asked,
    Brought,
    CallEnded,
    CanaryChecked,
    Outcome,
    Probed,
    Promised,
    Rule,
)
from walras.balance.queueing import MOST_WAIT_US, allen_cunneen
from walras.balance.rules import BPS, FleetRules, NodeInfo
from walras.balance.standing import MAX_REPORTED, SET_BACK_MS, Standing
from walras.balance.status import State
from walras.core.errors import InvalidInput, Reason

RULES = FleetRules()
T0 = 1_700_000_000_000
PROBERS = tuple(b"prober %d" % number for number in range(5))


def keys(count: int) -> list[bytes]:
    return [b"%032d" % number for number in range(count)]


def fleet(count: int, rules: FleetRules = RULES, at_ms: int = T0) -> tuple[Standing, list[bytes]]:
    standing = Standing(rules)
    for key in keys(count):
        standing.join(NodeInfo(key.decode(), key, slots=4), at_ms)
    standing.tick(at_ms)
    return standing, keys(count)


def ended(
    key: bytes,
    at_ms: int,
    outcome: Outcome = Outcome.OK,
    us: int = 20_000,
    reported: int = 0,
    brought: Brought = Brought.BID,
) -> CallEnded:
    return CallEnded(key, at_ms, outcome, us, reported=reported, brought=brought)


def fail(standing: Standing, key: bytes, at_ms: int, times: int = 2) -> list[Rule]:
    changes = []
    for turn in range(times):
        changes += standing.apply(ended(key, at_ms + turn, Outcome.ERROR, us=10))
    return [change.rule for change in changes]


def probe(standing: Standing, key: bytes, at_ms: int, rtt: int | None = 500, by: int = 0) -> None:
    standing.apply(Probed(key, PROBERS[by], at_ms, rtt))


# Service time.


def test_a_sample_is_what_a_free_slot_would_have_taken() -> None:
    assert service_sample(30_000, 0, slots=4, ahead=4) == 30_000
    assert service_sample(30_000, 0, slots=4, ahead=12) == 10_000
    assert service_sample(30_000, 10_000, slots=4, ahead=1) == 20_000
    assert service_sample(5_000, 10_000, slots=4, ahead=1) == 1


def test_estimates_converge_to_what_is_measured() -> None:
    service = Service()
    for turn in range(100):
        service.add(20_000 if turn < 8 else 80_000, T0 + turn, 0, answered=True)
    assert 79_000 <= service.us <= 80_000


def test_cold_nodes_start_from_three_times_the_fleets_median() -> None:
    standing, (a, b, c, new) = fleet(4)
    assert standing.view(a, T0).service_us == DEFAULT_SERVICE_US
    for key, us in ((a, 10_000), (b, 20_000), (c, 90_000)):
        standing.apply(ended(key, T0 + 10, us=us))
    standing.tick(T0 + 1_000)
    assert standing.view(new, T0 + 1_000).service_us == 60_000
    standing.apply(ended(new, T0 + 1_010, us=20_000))
    assert standing.view(new, T0 + 1_010).service_us == 40_000  # the mean of prior and sample


def test_calls_without_an_answer_only_raise_the_estimate() -> None:
    standing, (a, b) = fleet(2)
    standing.apply(ended(a, T0 + 1, us=50_000))
    standing.apply(ended(a, T0 + 2, Outcome.ERROR, us=5))
    assert standing.view(a, T0).service_us == 50_000
    standing.apply(ended(a, T0 + 3))  # an answer, so that errors are not in a row
    before = standing.view(a, T0).service_us
    standing.apply(ended(a, T0 + 5_003, Outcome.TIMEOUT, us=5_000_000))
    assert standing.view(a, T0).service_us > 10 * before
    standing.apply(ended(b, T0 + 5_003, Outcome.TIMEOUT, us=5_000_000))
    assert standing.view(b, T0).service_us == 5_000_000


def test_failing_fast_from_the_first_call_on_makes_no_fast_node() -> None:
    standing, (a, b) = fleet(2)
    standing.apply(ended(a, T0 + 1, Outcome.ERROR, us=5))
    assert standing.view(a, T0).service_us == standing.view(b, T0).service_us
    standing.apply(ended(b, T0 + 1, us=10_000))
    standing.tick(T0 + 1_000)
    standing.join(NodeInfo("c", b"c" * 32, slots=4), T0 + 1_000)
    standing.apply(ended(b"c" * 32, T0 + 1_001, Outcome.ERROR, us=5))
    assert standing.view(b"c" * 32, T0 + 1_001).service_us == standing.cold_us


def known(*us: int) -> tuple[Standing, list[bytes]]:
    """Nodes with as good as these estimates, a while ago; the fleet's median is of them."""
    standing, nodes = fleet(len(us))
    for turn in range(40):
        for key, each in zip(nodes, us, strict=True):
            standing.apply(ended(key, T0 + turn, us=each))
    standing.tick(T0 + 1_000)
    return standing, nodes


def brings(standing: Standing, key: bytes, brought: Brought, us: int, times: int = 40) -> int:
    for _ in range(times):
        standing.apply(ended(key, T0 + 1_000, us=us, brought=brought))
    return standing.view(key, T0 + 1_000).service_us


@pytest.mark.parametrize("brought", [Brought.MISSED, Brought.NOTHING])
def test_answers_without_a_bid_make_nobody_faster_than_the_median(brought: Brought) -> None:
    standing, (a, b, c) = known(10_000, 20_000, 90_000)
    assert 20_000 <= brings(standing, c, brought, us=1) <= 26_000
    assert brings(standing, b, brought, us=1) == 20_000
    assert brings(standing, b, brought, us=50_000) > 40_000  # what took long, took long
    assert brings(standing, a, Brought.BID, us=2_000) < 3_000


def test_to_miss_what_others_find_makes_a_fast_node_an_average_one() -> None:
    standing, (a, *_) = known(1_000, 20_000, 90_000)
    assert 18_000 <= brings(standing, a, Brought.MISSED, us=1) <= 20_000


def test_an_empty_answer_where_nobody_found_anything_is_held_against_nobody() -> None:
    standing, (a, *_) = known(1_000, 20_000, 90_000)
    assert brings(standing, a, Brought.NOTHING, us=1_000) == 1_000
    assert brings(standing, a, Brought.NOTHING, us=1) == 1_000


@pytest.mark.parametrize("brought", [Brought.MISSED, Brought.NOTHING])
def test_answering_with_nothing_from_the_first_call_on_makes_no_fast_node(brought: Brought) -> None:
    standing, (a, b) = fleet(2)
    assert brings(standing, a, brought, us=1) == standing.view(b, T0).service_us
    standing, _ = known(10_000, 20_000, 90_000)
    new = b"n" * 32
    standing.join(NodeInfo("new", new, slots=4), T0 + 1_000)
    # The mean of a cold node's 3 × 20 ms and of what the call counts as.
    counted = {Brought.MISSED: 40_000, Brought.NOTHING: 30_000}
    assert brings(standing, new, brought, us=1, times=1) == counted[brought]
    assert 20_000 <= brings(standing, new, brought, us=1) < 25_000


def test_few_answers_outweigh_what_is_old() -> None:
    service = Service()
    for turn in range(20):
        service.add(5_000_000, T0 + turn, 0, answered=True)
    service.add(20_000, T0 + 100_000, 0, answered=True)
    assert service.us < 70_000
    service.add(20_000, T0 + 110_000, 0, answered=True)
    assert service.us < 40_000


def test_a_cancelled_call_says_nothing() -> None:
    standing, (a, _) = fleet(2)
    standing.apply(ended(a, T0 + 1, us=50_000, reported=7))
    before = standing.to_json()["nodes"]
    for turn in range(10):
        assert not standing.apply(ended(a, T0 + turn, Outcome.CANCELLED, us=9_999_999, reported=1))
    assert standing.to_json()["nodes"] == before


def test_reported_load_only_worsens_and_is_forgotten() -> None:
    standing, (a, b) = fleet(2)
    for key in (a, b):
        standing.apply(ended(key, T0 + 1))
    honest = standing.view(a, T0, in_flight=6).expected_us
    for reported in (-5, 0, 1, 6):
        standing.apply(ended(b, T0 + 2, reported=reported))
        assert standing.view(b, T0, in_flight=6).expected_us == honest
    standing.apply(ended(b, T0 + 3, reported=10**30))
    assert standing.view(b, T0).reported == MAX_REPORTED
    assert standing.view(b, T0, in_flight=6).expected_us > honest
    standing.tick(T0 + 3 + 4 * RULES.probe_interval_ms)
    assert standing.view(b, T0, in_flight=6).expected_us == honest


# Round trips.


def test_lower_median() -> None:
    assert lower_median([]) == 0
    assert lower_median([5]) == 5
    assert lower_median([9, 5]) == 5
    assert lower_median([9, 1, 5]) == 5


def test_a_quorums_median_is_the_round_trip() -> None:
    standing, (a,) = fleet(1, replace(RULES, quorum=3))
    probe(standing, a, T0, 90_000, by=0)
    probe(standing, a, T0, 80_000, by=1)
    assert standing.view(a, T0).rtt_us == 0
    probe(standing, a, T0, 1, by=2)  # one liar of three moves nothing beyond the others
    assert standing.view(a, T0).rtt_us == 80_000
    assert standing.status(a, T0).probers == 3
    standing.tick(T0 + 3 * RULES.probe_interval_ms + 1_000)
    assert standing.view(a, T0).rtt_us == 0


def test_a_probers_least_of_its_last_four_counts() -> None:
    trip = RoundTrip()
    for turn, rtt in enumerate((700, 300, 900, 500)):
        trip.add(PROBERS[0], rtt, T0 + turn, 1)
    assert trip.us == 300
    for turn in range(4):
        trip.add(PROBERS[0], 800 + turn, T0 + 9, 1)
    assert trip.us == 800


def test_probers_that_are_not_registered_do_not_count() -> None:
    standing, (a,) = fleet(1, replace(RULES, probers=PROBERS[:1]))
    for turn in range(9):
        probe(standing, a, T0 + turn, None, by=1)
    probe(standing, a, T0, 7, by=2)
    assert standing.view(a, T0).rtt_us == 0
    assert standing.status(a, T0).probe_errors == 0


# Ejection.


def test_consecutive_errors_eject_for_longer_and_longer_and_health_shortens_it() -> None:
    standing, (a, *_) = fleet(5)
    now, lengths = T0, []
    for _ in range(3):
        assert fail(standing, a, now) == [Rule.CONSECUTIVE_ERRORS]
        assert a not in standing.eligible(now + 1)
        begun = now = now + 1
        while not any(c.rule is Rule.EJECTION_OVER for c in standing.tick(now)):
            now += 500
        lengths.append(now - begun)
        assert standing.status(a, now).state is State.WARMING
    assert lengths == [RULES.base_ejection_ms * count for count in (1, 2, 3)]
    standing.tick(now + 2 * RULES.interval_ms)
    assert standing.status(a, now).ejections == 1
    standing.tick(now + 10 * RULES.interval_ms)
    assert standing.status(a, now).ejections == 0


def test_ejection_time_is_capped() -> None:
    standing, (a, *_) = fleet(5, replace(RULES, interval_ms=10**9, max_ejection_ms=12_000))
    now = T0
    for expected in (5_000, 10_000, 12_000, 12_000):
        fail(standing, a, now)
        assert not standing.tick(now + 1 + expected - 1)
        now += 1 + expected
        assert [c.rule for c in standing.tick(now)] == [Rule.EJECTION_OVER]


def test_answers_in_between_eject_nobody() -> None:
    standing, (a, *_) = fleet(5)
    for turn in range(20):
        assert not standing.apply(ended(a, T0 + 2 * turn, Outcome.TIMEOUT))
        assert not standing.apply(ended(a, T0 + 2 * turn + 1))


def test_echoes_do_not_cover_calls_that_fail() -> None:
    standing, (a, *_) = fleet(5)
    fail(standing, a, T0, times=1)
    probe(standing, a, T0 + 1)
    assert fail(standing, a, T0 + 2, times=1) == [Rule.CONSECUTIVE_ERRORS]


def test_a_silent_node_is_out_within_three_probe_intervals() -> None:
    standing, (a, *others) = fleet(5)
    out = 0
    for interval in range(1, 4):
        at = T0 + interval * RULES.probe_interval_ms
        for key in others:
            probe(standing, key, at)
        probe(standing, a, at + RULES.probe_timeout_ms, None)
        standing.tick(at + RULES.probe_timeout_ms)
        out = out or (a not in standing.eligible(at)) * interval
    assert 0 < out <= 3
    # While it stays silent it stays out; once it is back it is asked again soon.
    now = T0 + 20 * RULES.probe_interval_ms
    for interval in range(4, 21):
        probe(standing, a, T0 + interval * RULES.probe_interval_ms, None)
        standing.tick(T0 + interval * RULES.probe_interval_ms)
        assert a not in standing.eligible(T0 + interval * RULES.probe_interval_ms)
    probe(standing, a, now + 1)
    standing.tick(now + 1 + RULES.base_ejection_ms)
    assert a in standing.eligible(now + 1 + RULES.base_ejection_ms)


def test_fewer_probers_than_the_quorum_eject_nobody() -> None:
    standing, (a, *_) = fleet(5, replace(RULES, quorum=2))
    for turn in range(10):
        probe(standing, a, T0 + turn, None, by=0)
    assert a in standing.eligible(T0 + 10)
    probe(standing, a, T0 + 11, None, by=1)
    assert a not in standing.eligible(T0 + 11)


def test_without_probers_time_alone_brings_a_node_back() -> None:
    standing, (a, *_) = fleet(5)
    probe(standing, a, T0, None)
    probe(standing, a, T0 + 1, None)
    assert a not in standing.eligible(T0 + 1)
    for now in range(T0, T0 + 40_000, 1_000):
        standing.tick(now)
    assert a in standing.eligible(T0 + 40_000)


def test_calls_sent_before_an_ejection_do_not_prolong_it() -> None:
    standing, (a, *_) = fleet(5)
    fail(standing, a, T0)
    for turn in range(6):
        standing.apply(ended(a, T0 + 1_000 + turn, Outcome.TIMEOUT, us=5_000_000))
    assert [c.rule for c in standing.tick(T0 + 1 + RULES.base_ejection_ms)] == [Rule.EJECTION_OVER]


@pytest.mark.parametrize(("share", "most"), [(0, 0), (1, 1), (2_500, 2), (5_000, 5), (10_000, 10)])
def test_no_more_are_ejected_than_may_be(share: int, most: int) -> None:
    standing, nodes = fleet(10, replace(RULES, max_ejection_bps=share, panic_bps=0))
    for key in nodes:
        fail(standing, key, T0)
    assert len(standing.eligible(T0)) == 10 - most


# Panic.


def test_with_most_dead_all_are_asked_and_it_heals_unaided() -> None:
    standing, nodes = fleet(10)
    dead, seen, now = nodes[:6], [], T0
    for interval in range(1, 40):
        now = T0 + interval * RULES.probe_interval_ms
        alive = nodes if interval > 20 else nodes[6:]
        changes = []
        for key in nodes:
            rtt = 9 if key in alive else None
            changes += standing.apply(Probed(key, PROBERS[0], now, rtt))
        seen += [change.rule for change in (*changes, *standing.tick(now))]
        panic = 2 <= interval <= 20
        assert standing.panic == panic
        if panic:
            assert standing.eligible(now) == nodes
            shares = [standing.warmth(key, now) for key in nodes]
            assert shares[:6] == [RULES.min_weight_bps] * 6
            assert min(shares[6:]) == BPS
    assert seen.count(Rule.PANIC) == seen.count(Rule.PANIC_OVER) == 1
    assert seen.count(Rule.CONSECUTIVE_ERRORS) == seen.count(Rule.EJECTION_OVER) == 5
    assert standing.eligible(now) == nodes
    assert {standing.status(key, now).state for key in dead} == {State.HEALTHY}


def test_nodes_that_may_not_be_asked_count_neither_way() -> None:
    standing, nodes = fleet(10, replace(RULES, min_bond=5))
    for key in nodes[:4]:
        standing.set_stake(key, 5)
    standing.drain(nodes[0], T0)
    fail(standing, nodes[1], T0)
    assert not standing.panic  # two of three are well; drained and unbonded ones do not matter
    assert standing.eligible(T0) == nodes[2:4]
    fail(standing, nodes[2], T0)
    assert standing.panic
    assert standing.eligible(T0) == nodes[1:4]


# Slow start, canaries, breaker.


def test_slow_start_is_linear_from_its_floor() -> None:
    standing, (a, *_) = fleet(2)
    window = RULES.slow_start_ms
    shares = [standing.warmth(a, T0 + at) for at in (-5, 0, window // 2, window, 2 * window)]
    assert shares == [RULES.min_weight_bps, RULES.min_weight_bps, BPS // 2, BPS, BPS]
    standing.drain(a, T0 + 2 * window)
    standing.resume(a, T0 + 3 * window)
    assert standing.warmth(a, T0 + 3 * window) == RULES.min_weight_bps
    assert Standing(replace(RULES, slow_start_ms=0)).rules.slow_start_ms == 0
    quick, (b,) = fleet(1, replace(RULES, slow_start_ms=0))
    assert quick.warmth(b, T0) == BPS


def test_missed_canaries_take_weight_in_proportion() -> None:
    standing, (a, b) = fleet(2)
    late = T0 + 10**6
    for turn in range(200):
        standing.apply(CanaryChecked(a, T0, found=turn % 2 == 0))
        standing.apply(CanaryChecked(b, T0, found=False))
    status = standing.status(a, late)
    assert status.canaries_found == status.canaries_missed == 100
    assert abs(status.canary_miss_bps - BPS // 2) < 200
    assert status.warmth_bps == BPS - status.canary_miss_bps
    assert standing.warmth(b, late) == RULES.min_weight_bps


def test_decay_is_exact() -> None:
    assert decay(1) == 1 << 31
    for half_life in (2, 7, 20, 1_000):
        kept = decay(half_life)
        assert kept**half_life <= 1 << (32 * half_life - 1) < (kept + 1) ** half_life


def test_after_a_half_life_an_observation_counts_half() -> None:
    share = Share()
    share.add(20, wrong=True)
    for _ in range(20):
        share.add(20, wrong=False)
    assert abs(share.wrong - (1 << 31)) < 100


def test_fading_blocks_for_twice_as_long_each_time() -> None:
    standing, (a, *_) = fleet(5, replace(RULES, max_block_ms=200_000))
    now = T0
    for turn in range(4):
        assert not standing.apply(Promised(a, now + turn, kept=False))  # too few to judge
    for length in (60_000, 120_000, 200_000, 200_000):
        changes = standing.apply(Promised(a, now + 5, kept=False))
        assert [change.rule for change in changes] == [Rule.FADE_RATE]
        assert not standing.apply(Promised(a, now + 6, kept=False))  # from before the block
        assert a not in standing.eligible(now + 6)
        assert standing.status(a, now + 5).state is State.BLOCKED
        assert standing.status(a, now + 5).until_ms == length
        standing.tick(now + 5 + length - 1)
        assert a not in standing.eligible(now + 5 + length - 1)
        now += 5 + length
        assert Rule.BLOCK_OVER in {change.rule for change in standing.tick(now)}
        assert a in standing.eligible(now)
        assert standing.warmth(a, now) == RULES.min_weight_bps


def test_kept_promises_forgive_blocks() -> None:
    standing, (a, *_) = fleet(5)
    for _ in range(5):
        standing.apply(Promised(a, T0, kept=False))
    assert standing.status(a, T0).blocks == 1
    for _ in range(RULES.fade_half_life):
        standing.apply(Promised(a, T0 + 1, kept=True))
    assert standing.status(a, T0).blocks == 0
    assert standing.status(a, T0).fade_bps < 5_000


def test_an_occasional_fade_blocks_nobody() -> None:
    standing, (a, *_) = fleet(5)
    for turn in range(1_000):
        assert not standing.apply(Promised(a, T0 + turn, kept=turn % 10 != 9))


# Membership and time.


def test_leaving_clears_nobody() -> None:
    standing, (a, *_) = fleet(5)
    fail(standing, a, T0)
    for _ in range(5):
        standing.apply(Promised(a, T0, kept=False))
    standing.leave(a)
    assert a not in standing.nodes
    with pytest.raises(InvalidInput) as caught:
        standing.status(a, T0)
    assert caught.value.reason is Reason.NODE_UNKNOWN
    standing.join(NodeInfo("again", a), T0 + 1_000)
    assert a not in standing.eligible(T0 + 1_000)
    standing.leave(a)
    standing.tick(T0 + RULES.max_block_ms + 10_000)
    standing.join(NodeInfo("again", a), T0 + RULES.max_block_ms + 10_000)
    assert standing.status(a, T0 + RULES.max_block_ms + 10_000).fade_bps == 0


def test_a_new_description_keeps_history() -> None:
    standing, (a, _) = fleet(2)
    standing.apply(ended(a, T0 + 1, us=50_000))
    standing.join(NodeInfo("renamed", a, region="eu", slots=9), T0 + 20_000)
    view = standing.view(a, T0 + 20_000)
    assert (view.service_us, view.slots, view.region) == (50_000, 9, "eu")
    assert view.weight == BPS


def test_times_that_go_backwards_break_nothing() -> None:
    standing, (a, *_) = fleet(5)
    fail(standing, a, T0)
    standing.tick(T0 - 10)  # late
    assert standing.status(a, T0).until_ms <= RULES.base_ejection_ms + 1
    back = T0 - 10 * SET_BACK_MS  # the clock was set back
    assert not standing.tick(back)
    assert a not in standing.eligible(back)
    assert [c.rule for c in standing.tick(back + RULES.base_ejection_ms)] == [Rule.EJECTION_OVER]
    standing.apply(ended(a, 0))
    assert a in standing.eligible(back)


def test_unknown_nodes() -> None:
    standing, _ = fleet(1)
    other = b"x" * 32
    assert standing.apply(ended(other, T0)) == ()
    standing.leave(other)
    for action in (
        lambda: standing.drain(other, T0),
        lambda: standing.resume(other, T0),
        lambda: standing.set_stake(other, 1),
        lambda: standing.view(other, T0),
    ):
        with pytest.raises(InvalidInput) as caught:
            action()
        assert caught.value.reason is Reason.NODE_UNKNOWN


def test_status_of_each_kind() -> None:
    standing, (a, b, c, *_) = fleet(6, replace(RULES, min_bond=3))
    for key in standing.nodes:
        standing.set_stake(key, 3)
    assert standing.status(a, T0).state is State.WARMING
    assert standing.status(a, T0 + 10_000).state is State.HEALTHY
    standing.drain(a, T0)
    standing.set_stake(b, 2)
    fail(standing, c, T0)
    states = [standing.status(key, T0 + 10_000).state for key in (a, b, c)]
    assert states == [State.DRAINING, State.UNBONDED, State.EJECTED]
    assert all(standing.status(key, T0).why for key in (a, b, c))


def test_it_comes_back_from_json_as_it_was() -> None:
    standing, (a, b, c, d) = fleet(4, replace(RULES, probers=PROBERS[:2], quorum=2))
    standing.join(NodeInfo("d", d, "group", "eu", 2, ("eip155:1",), ("stable",), 5, 6), T0)
    for turn in range(6):
        standing.apply(Promised(a, T0 + turn, kept=False))
        standing.apply(CanaryChecked(d, T0, found=False))
        probe(standing, c, T0 + turn, None, by=turn % 2)
        probe(standing, d, T0 + turn, 30 + turn, by=turn % 2)
    fail(standing, b, T0)
    standing.leave(b)
    standing.tick(T0 + 1_500)
    text = json.dumps(standing.to_json())
    again = Standing.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.rules == standing.rules
    assert again.nodes == standing.nodes
    for key in (a, c, d):
        assert again.status(key, T0) == standing.status(key, T0)
    for now in range(T0, T0 + 200_000, 700):
        assert again.tick(now) == standing.tick(now)
        assert again.eligible(now) == standing.eligible(now)


# How calls come.


def batches(standing: Standing, key: bytes, count: int, calls: int, us: int = 50_000) -> int:
    """So many batches, one each second; returns the time of the last."""
    at_ms = T0
    for _ in range(count):
        at_ms += 1_000
        standing.apply(Asked(key, at_ms, calls))
        for _ in range(calls):
            standing.apply(ended(key, at_ms, us=us))
        standing.tick(at_ms)
    return at_ms


def test_load_and_wait_are_estimated_from_what_the_log_says() -> None:
    standing, (a, b) = fleet(2)
    now = batches(standing, a, 120, calls=8)
    loaded, idle = standing.status(a, now), standing.status(b, now)
    assert loaded.service_us == 50_000
    assert loaded.utilisation_bps == pytest.approx(1_000, rel=0.01)  # 8 · 50 ms of 4 · 1 s
    exact = allen_cunneen(4, 0.4, 50_000.0, 7.0, 0.0)  # batches of 8 vary by 7
    assert loaded.wait_us == pytest.approx(exact, rel=0.02)
    assert (idle.utilisation_bps, idle.wait_us) == (0, 0)
    later = standing.status(a, now + 60_000)
    assert later.utilisation_bps < loaded.utilisation_bps / 2


def test_a_node_with_more_calls_than_it_can_do_has_no_end_of_wait() -> None:
    standing, (a,) = fleet(1)
    now = batches(standing, a, 60, calls=10, us=500_000)
    status = standing.status(a, now)
    assert status.utilisation_bps > 10_000
    assert status.wait_us == MOST_WAIT_US


def test_policies_see_it_where_waits_have_a_limit() -> None:
    for limit in (0, 30):
        standing, (a,) = fleet(1, replace(RULES, max_wait_ms=limit))
        now = batches(standing, a, 60, calls=8)
        view = standing.view(a, now)
        assert (view.arrived > 0, view.span > 0, view.variation_bps > 0) == (bool(limit),) * 3
        if limit:
            assert view.wait_us >= standing.status(a, now).wait_us  # with one more
            back = Standing.from_json(json.loads(json.dumps(standing.to_json())))
            assert back.view(a, now) == view


def test_cancelled_calls_came_all_the_same_and_failed_ones_tell_no_spread() -> None:
    standing, (a,) = fleet(1)
    for turn in range(10):
        standing.apply(Asked(a, T0 + 1_000 * turn, 2))
        standing.apply(ended(a, T0 + 1_000 * turn, Outcome.CANCELLED))
        standing.apply(ended(a, T0 + 1_000 * turn, Outcome.ERROR, us=10**9 * turn))
    node = standing._every[a]
    assert node.arrivals.calls > 8 << 16
    assert node.spread.weight == 0
