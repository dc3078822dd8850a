"""Each policy against what its source says, computed here on its own."""

from collections import Counter
from fractions import Fraction
from math import ceil

import pytest
from support.fleets import node

from walras.balance.draws import Draws
from walras.balance.policies import POLICIES
from walras.balance.policies.geographic import Geographic
from walras.balance.policies.least_expected_delay import LeastExpectedDelay
from walras.balance.policies.least_request import ONE, LeastRequest, power
from walras.balance.policies.ring_hash import RingHash
from walras.balance.policies.round_robin import RoundRobin
from walras.balance.rest import Rest
from walras.balance.rules import FleetRules
from walras.balance.view import NodeView, Pool, Request

ANY = Request()


def nodes_of(count: int, **fields: int | str) -> list[NodeView]:
    return [node(f"n{at:03}", **fields) for at in range(count)]


def test_all_policies_of_the_rules_are_there() -> None:
    assert set(POLICIES) == {
        "round_robin",
        "random",
        "stake_weighted",
        "least_request",
        "prequal",
        "least_expected_delay",
        "geographic",
        "ring_hash",
    }
    pool = Pool(nodes_of(5))
    for make in POLICIES.values():
        assert make(FleetRules()).pick(pool, Request(key=b"k"), Draws(b"x")) in pool.nodes


@pytest.mark.parametrize("name", list(POLICIES))
def test_a_rest_never_gives_what_is_gone(name: str) -> None:
    pool = Pool([node(f"n{at}", region=f"r{at % 2}", weight=1 + at) for at in range(9)])
    policy, draw = POLICIES[name](FleetRules()), Draws(b"rest")
    for turn in range(300):
        gone = pool.nodes[turn % 8 : turn % 8 + 2]
        request = Request(key=turn.to_bytes(2, "big"), region=f"r{turn % 3}")
        assert policy.pick(Rest(pool, gone), request, draw) not in gone
        assert policy.pick(pool, request, draw) in pool.nodes
    alone = Rest(Rest(pool, pool.nodes[:5]), pool.nodes[6:])
    assert policy.pick(alone, Request(key=b"k", region="r0"), draw) is pool.nodes[5]


# round robin


def test_round_robin_gives_each_a_turn_a_round_in_order_from_a_drawn_start() -> None:
    pool = Pool(nodes_of(7))
    starts = set()
    for seed in range(40):
        policy, draw = RoundRobin(), Draws(bytes([seed]))
        turns = [pool.nodes.index(policy.pick(pool, ANY, draw)) for _ in range(21)]
        assert turns == [(turns[0] + step) % 7 for step in range(21)]
        starts.add(turns[0])
    assert starts == set(range(7))


def test_round_robin_weighs_smoothly() -> None:
    pool = Pool([node("a", weight=5), node("b", weight=1), node("c", weight=1)])
    policy, draw = RoundRobin(), Draws(b"w")
    turns = [policy.pick(pool, ANY, draw).key for _ in range(70)]
    assert Counter(turns) == {b"a": 50, b"b": 10, b"c": 10}
    # Never more than one turn away from its share, at any moment: that is what smooth means.
    for at in range(70):
        assert abs(turns[:at].count(b"b") - at / 7) <= 1
        assert abs(turns[:at].count(b"a") - 5 * at / 7) <= 1


def test_round_robin_keeps_its_turn_when_the_pool_is_made_anew() -> None:
    views = nodes_of(6)
    policy, draw = RoundRobin(), Draws(b"anew")
    turns = Counter(policy.pick(Pool(views), ANY, draw).key for _ in range(60))
    assert set(turns.values()) == {10}


def test_round_robin_does_not_make_up_for_turns_while_away() -> None:
    pool = Pool(nodes_of(4))
    policy, draw = RoundRobin(), Draws(b"away")
    without = Rest(pool, pool.nodes[:1])
    for _ in range(300):
        policy.pick(without, ANY, draw)
    turns = Counter(policy.pick(pool, ANY, draw).key for _ in range(40))
    assert 10 <= turns[pool.nodes[0].key] <= 11


# least request


def test_power_is_the_power() -> None:
    assert power(7, 10_000) == 7 * ONE
    assert power(7, 0) == ONE
    assert power(3, 25_000) / ONE == pytest.approx(3**2.5, rel=1e-11)
    assert power(1_000, 3_333) / ONE == pytest.approx(1_000**0.3333, rel=1e-11)


def test_least_request_takes_the_emptier_of_two_draws() -> None:
    """Of two draws with replacement, the fuller half is taken with probability 1/4."""
    pool = Pool([*nodes_of(8, in_flight=9), *(node(f"e{at}", in_flight=1) for at in range(8))])
    policy, draw = LeastRequest(), Draws(b"p2c")
    full = sum(policy.pick(pool, ANY, draw).in_flight == 9 for _ in range(8_000))
    assert full / 8_000 == pytest.approx(1 / 4, abs=0.02)


def test_least_request_counts_the_routers_own_calls_not_the_nodes_word() -> None:
    pool = Pool([node("a", reported=50), node("b", in_flight=1)])
    policy, draw = LeastRequest(choice_count=16), Draws(b"own")
    assert Counter(policy.pick(pool, ANY, draw).key for _ in range(50)) == {b"a": 50}


@pytest.mark.parametrize("bias_bps", [0, 5_000, 10_000, 20_000])
def test_least_request_with_unequal_weights_has_the_bias(bias_bps: int) -> None:
    """Turns in proportion to weight / (in flight + 1)^bias, computed here in floats."""
    views = [
        node("a", weight=2, in_flight=4),
        node("b", weight=1, in_flight=0),
        node("c", weight=3, in_flight=1),
    ]
    pool = Pool(views)
    policy, draw = LeastRequest(active_request_bias_bps=bias_bps), Draws(b"bias")
    turns = Counter(policy.pick(pool, ANY, draw).key for _ in range(6_000))
    shares = {v.key: v.weight / (v.in_flight + 1) ** (bias_bps / 10_000) for v in views}
    for view in views:
        expected = 6_000 * shares[view.key] / sum(shares.values())
        assert turns[view.key] == pytest.approx(expected, abs=2)


# least expected delay


def test_the_default_takes_the_least_expected_delay() -> None:
    busy = node("busy", slots=4, in_flight=7, service_us=100)  # 8/4 · 100
    slow = node("slow", slots=1, service_us=190)
    far = node("far", slots=2, service_us=50, rtt_us=120)
    assert [v.expected_us for v in (busy, slow, far)] == [200, 190, 170]
    assert LeastExpectedDelay().pick(Pool([busy, slow, far]), ANY, Draws(b"x")) is far
    far.reported = 20
    assert LeastExpectedDelay().pick(Pool([busy, slow, far]), ANY, Draws(b"x")) is slow


def test_the_default_draws_equals_by_weight() -> None:
    for count in (2, 12):
        views = [node("heavy", weight=count - 1), *nodes_of(count - 1)]
        pool, draw, policy = Pool(views), Draws(b"tie"), LeastExpectedDelay()
        heavy = sum(policy.pick(pool, ANY, draw).key == b"heavy" for _ in range(6_000))
        assert heavy / 6_000 == pytest.approx(1 / 2, abs=0.025)


def test_the_default_samples_three_of_many() -> None:
    """The best of 20 is picked when among the 3 drawn: 3/20."""
    pool = Pool([node("best", service_us=5), *nodes_of(19, service_us=9)])
    policy, draw = LeastExpectedDelay(), Draws(b"three")
    best = sum(policy.pick(pool, ANY, draw).key == b"best" for _ in range(8_000))
    assert best / 8_000 == pytest.approx(3 / 20, abs=0.015)


def test_candidates_are_of_different_groups() -> None:
    """A slow group with most of the weight in many identities is never all there is to choose."""
    slow = [node(f"s{at:02}", group="slow", weight=10, service_us=900) for at in range(16)]
    pool = Pool([*slow, node("a", weight=40, service_us=10), node("b", weight=40, service_us=10)])
    policy, draw = LeastExpectedDelay(), Draws(b"groups")
    picks = Counter(policy.pick(pool, ANY, draw).group for _ in range(2_000))
    # It is alone after 24 draws without a or b, (2/3)^24 = 0.006 %; by nodes it were 28 %.
    assert picks["slow"] <= 2


# geographic


def geographic_pool(local_in_flight: int) -> Pool:
    return Pool(
        [
            node("here", region="eu", service_us=100, in_flight=local_in_flight, rtt_us=2),
            node("there", region="us", service_us=100, rtt_us=80),
            node("there2", region="us", service_us=110, rtt_us=80),
        ]
    )


def test_geographic_stays_until_waiting_costs_more_than_the_way() -> None:
    policy, draw = Geographic(), Draws(b"geo")
    at = {
        calls: policy.pick(geographic_pool(calls), Request(region="eu"), draw) for calls in (0, 1)
    }
    assert at[0].key == b"here"  # 102 against 180
    assert at[1].key == b"there"  # 202 against 180: one call waits longer than the way takes


def test_geographic_keeps_equals_local() -> None:
    pool = Pool([node("here", region="eu", service_us=180), *geographic_pool(0).nodes[1:]])
    assert Geographic().pick(pool, Request(region="eu"), Draws(b"eq")).key == b"here"


@pytest.mark.parametrize("region", ["", "mars"])
def test_geographic_without_a_region_of_nodes_is_least_expected_delay(region: str) -> None:
    found = Geographic().pick(geographic_pool(0), Request(region=region), Draws(b"no"))
    assert found.key == b"here"
    assert (
        Geographic().pick(geographic_pool(5), Request(region=region), Draws(b"n")).key == b"there"
    )


# ring hash

KEYS = [at.to_bytes(3, "big") for at in range(4_000)]


def owners(pool: Pool, **settings: int) -> dict[bytes, bytes]:
    policy, draw = RingHash(**settings), Draws(b"")
    return {key: policy.pick(pool, Request(key=key), draw).key for key in KEYS}


def test_ring_hash_a_node_that_leaves_moves_only_its_keys() -> None:
    pool = Pool(nodes_of(20))
    before = owners(pool)
    after = owners(pool.without([b"n007"]))
    moved = {key for key in KEYS if before[key] != after[key]}
    assert moved == {key for key in KEYS if before[key] == b"n007"}
    assert 0.02 < len(moved) / len(KEYS) < 0.09  # 1/20, give or take the points' spread
    heirs = Counter(after[key] for key in moved)
    assert len(heirs) >= 10  # not all to one neighbour


def test_ring_hash_a_rest_and_a_pool_without_agree() -> None:
    pool = Pool(nodes_of(12))
    assert owners(Rest(pool, pool.nodes[3:5])) == owners(pool.without([b"n003", b"n004"]))


def test_ring_hash_with_weights_moves_little_and_shares_by_weight() -> None:
    views = [node(f"n{at:03}", weight=1 + at % 3) for at in range(30)]
    before = owners(Pool(views))
    assert Counter(before.values()).total() == len(KEYS)
    for weight in (1, 2, 3):
        keys = sum(1 for key in before.values() if (int(key[1:]) % 3) + 1 == weight)
        assert keys / len(KEYS) == pytest.approx(weight / 6, abs=0.04)
    after = owners(Pool(views[:-1]))
    moved = sum(before[key] != after[key] for key in KEYS if before[key] != b"n029")
    assert moved / len(KEYS) < 0.05  # the average moves by 1/60


def test_ring_hash_bounds_the_load() -> None:
    """All calls have one key; no node ever holds more than ⌈c · calls / n⌉, c = 1.25."""
    pool = Pool(nodes_of(10))
    policy, draw = RingHash(hash_balance_factor_bps=12_500), Draws(b"")
    order = []
    for calls in range(1, 201):
        picked = policy.pick(pool, Request(key=b"hot"), draw)
        picked.in_flight += 1
        order.append(picked.key)
        assert picked.in_flight <= ceil(Fraction(5, 4) * calls / 10)
    # Affinity: no more nodes than needed, the owner and those after it as full as they may be.
    assert set(Counter(order).values()) == {25}


def test_ring_hash_gives_shards_away_while_the_wait_is_too_long() -> None:
    pool = Pool(nodes_of(10, service_us=1_000, rtt_us=500))
    policy, draw = RingHash(hash_balance_factor_bps=1_000_000, max_wait_ms=3), Draws(b"")
    request = Request(key=b"shard")
    owner = policy.pick(pool, request, draw)
    owner.in_flight = 3  # waits 3 ms: at the limit
    assert policy.pick(pool, request, draw) is owner
    owner.in_flight = 4
    heir = policy.pick(pool, request, draw)
    assert heir is not owner
    assert policy.pick(pool.without([owner.key]), request, draw) is heir
    for each in pool.nodes:
        each.in_flight = 4
    assert policy.pick(pool, request, draw) is owner  # all are late: the bound of load alone
    owner.in_flight = 0
    assert policy.pick(pool, request, draw) is owner  # and back, as soon as it can
    owner.service_us = 10_000
    owner.in_flight = 1
    for each in pool.nodes:
        each.in_flight = 1
    assert policy.pick(pool, request, draw) is not owner


def test_ring_hash_moves_the_shards_that_would_make_calls_wait() -> None:
    """Nobody waits at the sealing, but the calls that came of late would, with more of them."""
    pool = Pool(nodes_of(4, service_us=100_000, slots=4))
    policy, draw = RingHash(hash_balance_factor_bps=1_000_000, max_wait_ms=50), Draws(b"")
    shards = [b"shard %d" % number for number in range(400)]
    owner = policy.pick(pool, Request(key=shards[0]), draw)
    mine = [s for s in shards if policy.pick(pool, Request(key=s), draw) is owner][:40]
    assert len(mine) == 40
    for each in pool.nodes:  # 20 calls a second, of the 40 that four slots take
        each.arrived, each.span, each.variation_bps = 600 << 16, 30_000 << 16, 20_000

    def batch(idle_ms: int) -> dict[bytes, bytes]:
        picked = {}
        for each in pool.nodes:
            each.asked, each.span = 0, (30_000 + idle_ms) << 16
        for shard in mine:
            node = policy.pick(pool, Request(key=shard), draw)
            node.asked += 1
            picked[shard] = node.key
        return picked

    assert set(batch(2_000).values()) == {owner.key}
    assert owner.wait_us < 50_000
    owner.arrived = 905 << 16  # 29 a second
    first = batch(1_000)
    kept = [shard for shard in mine if first[shard] == owner.key]
    assert 1 < len(kept) < 40
    assert kept == mine[: len(kept)]
    assert owner.wait_us > 50_000
    owner.asked -= 1
    assert owner.wait_us <= 50_000
    assert batch(1_000) == first  # the same ones, to the same nodes
    alone = pool.without([owner.key])
    owner.asked = 0
    for shard in mine[len(kept) :]:  # as if it were not there
        assert policy.pick(alone, Request(key=shard), draw).key == first[shard]
    free = RingHash(hash_balance_factor_bps=1_000_000)
    assert {free.pick(pool, Request(key=shard), draw).key for shard in mine} == {owner.key}
    for each in pool.nodes:
        each.arrived = 2_000 << 16  # all have too much: the first within the bound of load
    assert policy.pick(pool, Request(key=mine[-1]), draw) is owner


def test_ring_hash_without_a_key_draws() -> None:
    pool = Pool(nodes_of(5))
    policy, draw = RingHash(), Draws(b"free")
    assert len({policy.pick(pool, ANY, draw).key for _ in range(100)}) == 5
