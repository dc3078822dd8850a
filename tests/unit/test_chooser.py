"""Weights, caps, exploration, and several picks at once."""

from collections import Counter
from fractions import Fraction

import pytest
from support.fleets import node

from walras.balance.chooser import WINDOW, Chooser, group_of, weigh
from walras.balance.draws import Draws
from walras.balance.policies import POLICIES
from walras.balance.rules import FleetRules
from walras.balance.view import NodeView, Pool, Request
from walras.core.errors import InvalidInput, Reason

ANY = Request(key=b"k")


def shares(nodes: list[NodeView]) -> dict[str | bytes, Fraction]:
    groups: Counter[str | bytes] = Counter()
    for each in nodes:
        groups[group_of(each)] += each.weight
    return {name: Fraction(weight, groups.total()) for name, weight in groups.items()}


def test_weights_are_base_times_warm_up() -> None:
    nodes = [node("a", slots=4, stake=70), node("b", slots=1, stake=30), node("c", stake=0)]
    warm = {b"a": 2_500}
    weigh(nodes, FleetRules(weigh="uniform"), warm)
    assert [each.weight for each in nodes] == [2_500, 10_000, 10_000]
    weigh(nodes, FleetRules(weigh="slots"), warm)
    assert [each.weight for each in nodes] == [10_000, 10_000, 10_000]
    weigh(nodes, FleetRules(weigh="stake"))
    assert [each.weight for each in nodes] == [700_000, 300_000, 0]
    weigh(nodes, FleetRules(weigh="uniform", policy="stake_weighted"))
    assert [each.weight for each in nodes] == [700_000, 300_000, 0]


def test_any_stake_can_be_drawn() -> None:
    nodes = [node("a", stake=3 * 10**40), node("b", stake=10**40), node("dust", stake=1)]
    weigh(nodes, FleetRules(weigh="stake"))
    assert shares(nodes)[b"a"] == pytest.approx(0.75, abs=1e-9)
    assert nodes[2].weight == 1
    assert sum(each.weight for each in nodes) < 1 << 49
    assert Pool(nodes).one(Draws(b"big")) in nodes


def test_what_a_capped_group_loses_goes_to_the_others_in_proportion() -> None:
    # 60, 20, 15, 5 with a cap of 30 %: the first is cut, then the second would have 35 %: cut too.
    stakes = {"a": 60, "b": 20, "c": 15, "d": 5}
    nodes = [node(f"{name}{at}", group=name, stake=s) for name, s in stakes.items() for at in "12"]
    weigh(nodes, FleetRules(weigh="stake", group_cap_bps=3_000))
    found = shares(nodes)
    expected = {"a": 0.30, "b": 0.30, "c": 0.30, "d": 0.10}
    for name, share in expected.items():
        assert found[name] == pytest.approx(share, abs=1e-9)
    # With 45 %: only the first, and the others share 55 % as 20 : 15 : 5.
    weigh(nodes, FleetRules(weigh="stake", group_cap_bps=4_500))
    found = shares(nodes)
    for name, part in {"b": 20, "c": 15, "d": 5}.items():
        assert found[name] == pytest.approx(0.55 * part / 40, abs=1e-9)


def test_a_cap_that_cannot_be_filled_is_an_even_share() -> None:
    nodes = [node("a", stake=90), node("b", stake=9), node("c", stake=1)]
    weigh(nodes, FleetRules(weigh="stake", group_cap_bps=1_000))
    for share in shares(nodes).values():
        assert share == pytest.approx(1 / 3, abs=1e-3)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        weigh([node("a")], FleetRules(weigh="beauty"))
    assert caught.value.reason is Reason.CONFIG_INVALID
    with pytest.raises(InvalidInput) as caught:
        Chooser(FleetRules(policy="favourite"))
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "round_robin" in caught.value.hint


@pytest.mark.parametrize("name", list(POLICIES))
def test_picks_follow_from_views_and_seed(name: str) -> None:
    def run(seed: bytes) -> list[bytes]:
        nodes = [node(f"n{at:02}", group=f"g{at % 5}", region=f"r{at % 3}") for at in range(30)]
        rules = FleetRules(policy=name, group_cap_bps=2_500)
        weigh(nodes, rules)
        pool, chooser, draw = Pool(reversed(nodes)), Chooser(rules), Draws(seed)
        found = []
        for turn in range(200):
            request = Request(key=bytes([turn]), region=f"r{turn % 3}", now_us=turn)
            picked = chooser.pick_many(pool, request, draw, 2, 1)
            picked[0].in_flight += 1
            found += [each.key for each in picked]
        return found

    assert run(b"one") == run(b"one")
    assert run(b"one") != run(b"two")


@pytest.mark.parametrize("name", list(POLICIES))
def test_exploration_reaches_every_node(name: str) -> None:
    """Nodes that no policy by load would pick are still asked now and then, by their weight."""
    fast = [node(f"f{at}", service_us=1) for at in range(4)]
    slow = [node(f"s{at}", service_us=10**6, in_flight=50) for at in range(4)]
    pool, draw = Pool([*fast, *slow]), Draws(b"explore")
    chooser = Chooser(FleetRules(policy=name, explore_bps=200, sample=8))
    picks = Counter(chooser.pick(pool, ANY, draw).key for _ in range(6_000))
    assert set(picks) == {each.key for each in pool.nodes}
    if name in ("least_expected_delay", "geographic", "ring_hash"):
        # 2 % of the picks, half of them slow: 60 with a standard deviation of 8.
        assert 25 < sum(picks[each.key] for each in slow) < 110


def test_without_exploration_the_slow_are_forgotten() -> None:
    pool = Pool([*(node(f"f{at}") for at in range(4)), node("slow", service_us=10**6)])
    chooser, draw = Chooser(FleetRules(explore_bps=0)), Draws(b"none")
    assert all(chooser.pick(pool, ANY, draw).key != b"slow" for _ in range(1_000))


@pytest.mark.parametrize("name", list(POLICIES))
def test_no_group_is_above_its_cap_in_any_window(name: str) -> None:
    """However much a policy likes a group: here it is the fastest by far, and has most nodes."""
    nodes = [node(f"a{at}", group="a", region="r", service_us=1) for at in range(8)]
    nodes += [node(f"o{at}", group=f"o{at}", service_us=9) for at in range(3)]
    rules = FleetRules(policy=name, group_cap_bps=3_000)
    pool, chooser, draw = Pool(nodes), Chooser(rules), Draws(b"cap")
    picks = [
        group_of(chooser.pick(pool, Request(key=bytes([turn % 7]), region="r"), draw))
        for turn in range(3 * WINDOW)
    ]
    for end in range(50, len(picks) + 1):
        window = picks[max(0, end - WINDOW) : end]
        most = Counter(window).most_common(1)[0][1]
        assert most <= Fraction(3, 10) * (len(window) + 1) + 1
    # And it is held to the cap, not below it.
    assert picks.count("a") / len(picks) > 0.25


def test_a_group_alone_is_asked_whatever_its_cap() -> None:
    pool = Pool([node("a", group="g"), node("b", group="g")])
    chooser, draw = Chooser(FleetRules(group_cap_bps=1_000)), Draws(b"alone")
    assert {chooser.pick(pool, ANY, draw).key for _ in range(50)} == {b"a", b"b"}


def test_nodes_without_a_group_are_groups_of_their_own() -> None:
    pool = Pool([node(f"n{at}", service_us=1 + 50 * at) for at in range(4)])
    chooser, draw = Chooser(FleetRules(group_cap_bps=4_000, explore_bps=0)), Draws(b"own")
    picks = Counter(chooser.pick(pool, ANY, draw).key for _ in range(1_000))
    assert picks[b"n0"] == pytest.approx(400, abs=2)


@pytest.mark.parametrize("name", list(POLICIES))
def test_several_picks_are_of_different_nodes(name: str) -> None:
    nodes = [node(f"n{at}", group=f"g{at % 3}", region=f"r{at % 2}") for at in range(7)]
    pool, draw = Pool(nodes), Draws(b"many")
    chooser = Chooser(FleetRules(policy=name, group_cap_bps=4_000))
    request = Request(key=b"part", region="r1")
    for count, standby in ((1, 0), (3, 2), (5, 2), (4, 9), (0, 3)):
        picked = chooser.pick_many(pool, request, draw, count, standby)
        assert len({each.key for each in picked}) == len(picked) == min(count + standby, 7)
    assert all(each.in_flight == 0 for each in nodes)


def test_the_best_come_first() -> None:
    nodes = [node(f"n{at}", service_us=1 + at) for at in range(6)]
    chooser = Chooser(FleetRules(explore_bps=0, sample=6))
    picked = chooser.pick_many(Pool(nodes), ANY, Draws(b"order"), 6)
    assert picked == nodes


def test_standbys_are_no_flow() -> None:
    nodes = [node("a", group="a", service_us=5), *(node(f"b{at}", service_us=9) for at in range(9))]
    chooser = Chooser(FleetRules(explore_bps=0, sample=10, group_cap_bps=2_000))
    pool, draw = Pool(nodes), Draws(b"standby")
    for _ in range(50):
        assert chooser.pick_many(pool, ANY, draw, 0, 1) == [nodes[0]]
    asked = [chooser.pick_many(pool, ANY, draw, 1)[0].group for _ in range(500)]
    assert asked.count("a") == pytest.approx(100, abs=2)
