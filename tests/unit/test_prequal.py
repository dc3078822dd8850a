"""Prequal's rules as published (NSDI 2024, §4)."""

from collections import Counter
from fractions import Fraction

import pytest
from support.fleets import node

from walras.balance.draws import Draws
from walras.balance.policies.prequal import Prequal, Probe, reuse
from walras.balance.rest import Rest
from walras.balance.view import Pool, Request

NODES = [node(f"n{at:03}") for at in range(100)]
POOL = Pool(NODES)
NOW = Request(now_us=0)
DRAW = Draws(b"prequal")


def key(at: int) -> bytes:
    return NODES[at].key


def filled(policy: Prequal, *answers: tuple[int, int, int]) -> Prequal:
    """Answers are (node, rif, latency)."""
    for at, rif, latency in answers:
        policy.add(Probe(key(at), rif, latency, at_us=0))
    return policy


def quiet(**settings: int) -> Prequal:
    """Nothing is removed unless a test says so."""
    return Prequal(**{"remove_rate_bps": 0, "probe_rate_bps": 0, **settings})


@pytest.mark.parametrize(
    ("n", "m", "r_probe", "r_remove", "delta", "expected"),
    [
        (100, 16, 3, 1, 1, Fraction(2) / (Fraction(84, 100) * 3 - 1)),  # the baseline: 1.3158
        (100, 48, 3, 1, 1, Fraction(2) / (Fraction(52, 100) * 3 - 1)),  # 3.571
        (
            100,
            16,
            Fraction(3, 2),
            Fraction(1, 4),
            1,
            Fraction(2) / (Fraction(126, 100) - Fraction(1, 4)),
        ),
        (100, 16, 5, 1, 1, Fraction(1)),  # 2/3.2, but at least once
        (24, 16, 3, 1, 1, None),  # (1 − 2/3)·3 − 1 = 0
        (10, 16, 3, 1, 1, None),
    ],
)
def test_the_reuse_formula(
    n: int, m: int, r_probe: Fraction, r_remove: Fraction, delta: int, expected: Fraction | None
) -> None:
    found = reuse(n, m, int(r_probe * 10_000), int(r_remove * 10_000), delta * 10_000)
    assert (None if found is None else Fraction(*found)) == expected


def test_a_fraction_of_a_use_is_rounded_by_a_draw() -> None:
    """b_reuse = 2/1.52 = 1.3158 on average, never less than 1 nor more than 2."""
    uses = []
    draw = Draws(b"round")
    for _ in range(3_000):
        policy = Prequal()
        found = policy._uses(100, draw)
        assert found in (1, 2)
        uses.append(found)
    assert sum(uses) / 3_000 == pytest.approx(2 / 1.52, abs=0.03)


def test_a_probe_leaves_when_it_is_used_up() -> None:
    # r_probe 5: b_reuse = 1.
    policy = filled(quiet(probe_rate_bps=50_000), (1, 0, 10), (2, 0, 20), (3, 0, 30))
    assert [policy.pick(POOL, NOW, DRAW).key for _ in range(2)] == [key(1), key(2)]
    assert [probe.key for probe in policy.probes] == [key(3)]


def test_cold_with_the_least_latency_else_hot_with_the_least_rif() -> None:
    # Quantile 0.6 of (1, 2, 3, 8, 9) is the third: above 3 is hot.
    answers = ((1, 1, 50), (2, 2, 40), (3, 3, 30), (4, 8, 5), (5, 9, 1))
    policy = filled(quiet(q_rif_bps=6_000), *answers)
    assert policy.hot_above == 3
    assert policy.pick(POOL, NOW, DRAW).key == key(3)
    # It has one more call now, so it is hot, and the next cold one comes.
    assert policy.pick(POOL, NOW, DRAW).key == key(2)
    # All that is left of the pool is hot: by RIF, whatever the latency.
    rest = Rest(POOL, [NODES[1], NODES[2], NODES[3]])
    assert policy.pick(rest, NOW, DRAW).key == key(4)


def test_the_ends_of_the_quantile_are_rif_alone_and_latency_alone() -> None:
    answers = ((1, 9, 10), (2, 5, 20), (3, 1, 30))
    assert filled(quiet(q_rif_bps=0), *answers).pick(POOL, NOW, DRAW).key == key(3)
    latency = filled(quiet(q_rif_bps=10_000), *answers)
    assert {latency.pick(POOL, NOW, DRAW).key for _ in range(30)} == {key(1)}


def test_the_quantile_is_of_recent_answers() -> None:
    policy = quiet(q_rif_bps=5_000)
    for turn in range(128):
        policy.add(Probe(key(turn % 100), 100, 1, 0))
    assert policy.hot_above == 100
    for turn in range(65):
        policy.add(Probe(key(turn), 2, 1, 0))
    assert policy.hot_above == 2
    assert len(policy._ordered) == len(policy._recent) == 128
    assert policy._ordered == sorted(policy._recent)


def test_calls_sent_since_are_counted_in() -> None:
    policy = filled(quiet(q_rif_bps=0), (1, 0, 1), (2, 3, 1))
    assert [policy.pick(POOL, NOW, DRAW).key for _ in range(3)] == [key(1)] * 3
    assert {probe.key: probe.rif for probe in policy.probes} == {key(1): 3, key(2): 3}
    policy.add(Probe(key(1), 1, 1, 0))  # a newer answer knows better
    assert {probe.key: probe.rif for probe in policy.probes} == {key(1): 1, key(2): 3}


def test_the_oldest_and_the_worst_are_removed_in_turn() -> None:
    # The quantile 0.9 of the five is the fifth, so none is hot: worst is by latency.
    answers = ((1, 1, 10), (2, 1, 50), (3, 1, 20), (4, 1, 40), (5, 2, 30))
    policy = filled(quiet(remove_rate_bps=10_000, q_rif_bps=9_000), *answers)
    policy.pick(POOL, NOW, DRAW)
    assert [probe.key for probe in policy.probes] == [key(2), key(3), key(4), key(5)]
    policy.pick(POOL, NOW, DRAW)
    assert [probe.key for probe in policy.probes] == [key(3), key(4), key(5)]
    # By the median, node 5 is hot: it goes before the one with more latency.
    policy = filled(quiet(remove_rate_bps=20_000, q_rif_bps=5_000), *answers)
    policy.pick(POOL, NOW, DRAW)
    assert [probe.key for probe in policy.probes] == [key(2), key(3), key(4)]


def test_half_a_removal_is_one_every_other_pick() -> None:
    policy = filled(quiet(remove_rate_bps=5_000), *((at, 0, at) for at in range(10)))
    sizes = []
    for _ in range(4):
        policy.pick(POOL, NOW, DRAW)
        sizes.append(len(policy.probes))
    assert sizes == [10, 9, 9, 8]


def test_old_probes_and_those_of_nodes_that_left_are_not_used() -> None:
    policy = quiet(max_age_ms=5)
    policy.add(Probe(key(1), 0, 1, at_us=0))
    policy.add(Probe(key(2), 0, 2, at_us=3_000))
    policy.add(Probe(key(3), 0, 3, at_us=4_000))
    assert policy.pick(POOL, Request(now_us=5_000), DRAW).key == key(1)
    assert policy.pick(POOL, Request(now_us=5_001), DRAW).key == key(2)
    assert len(policy.probes) == 2
    policy.add(Probe(key(4), 0, 4, at_us=4_000))
    assert policy.pick(POOL.without([key(2)]), Request(now_us=5_001), DRAW).key == key(3)


def test_the_pool_is_bounded_and_the_oldest_leaves() -> None:
    policy = filled(quiet(), *((at, 0, 1) for at in range(20)))
    assert [probe.key for probe in policy.probes] == [key(at) for at in range(4, 20)]


def test_with_less_than_two_probes_it_draws() -> None:
    policy = filled(quiet(), (1, 0, 1))
    draw = Draws(b"few")
    assert len({policy.pick(POOL, NOW, draw).key for _ in range(200)}) > 60


def test_who_is_probed_is_drawn_without_replacement() -> None:
    policy = Prequal(probe_rate_bps=25_000)
    draw = Draws(b"due")
    asked: Counter[bytes] = Counter()
    sizes = []
    for _ in range(2_000):
        policy.pick(POOL, NOW, draw)
        due = policy.due(POOL, draw)
        assert len({each.key for each in due}) == len(due)
        asked.update(each.key for each in due)
        sizes.append(len(due))
    assert sizes[:4] == [2, 3, 2, 3]
    assert policy.due(POOL, draw) == []
    assert asked.total() == 5_000
    # 50 each with a standard deviation of 7: none out of five of them.
    assert all(15 < asked[each.key] < 85 for each in NODES)
