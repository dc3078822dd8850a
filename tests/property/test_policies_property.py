"""What no operator can gain, and what every policy keeps to."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fleets import flow_of, node

from walras.balance.chooser import Chooser, feasible, group_of, weigh
from walras.balance.draws import Draws
from walras.balance.policies import POLICIES
from walras.balance.rest import Rest
from walras.balance.rules import FleetRules
from walras.balance.view import NodeView, Pool, Request

PICKS = 6_000


def operators(identities: int, *, stake: int, service_us: int, grouped: bool) -> list[NodeView]:
    """One operator with 16 slots in so many identities, among 20 other nodes of 4 slots."""
    mallory = [
        node(
            f"m{at:02}",
            group="mallory",
            stake=stake // identities,
            slots=16 // identities,
            service_us=service_us,
        )
        for at in range(identities)
    ]
    others = [
        node(
            f"o{at:02}",
            group=f"other{at // 2}" if grouped else "",
            stake=16 * 10**18 * (1 + at % 3),
            slots=4,
            service_us=10_000,
        )
        for at in range(20)
    ]
    return [*mallory, *others]


@pytest.mark.parametrize("policy", ["stake_weighted", "least_expected_delay"])
@pytest.mark.parametrize("service_us", [2_500, 10_000, 40_000])
@pytest.mark.parametrize("cap_bps", [10_000, 2_000])
def test_splitting_a_stake_changes_nothing(policy: str, service_us: int, cap_bps: int) -> None:
    """At most 2 % of all flow, whether the operator is fast, like the others, or slow."""
    rules = FleetRules(policy=policy, weigh="stake", group_cap_bps=cap_bps)
    flows = {}
    for identities in (1, 2, 4, 8, 16):
        nodes = operators(identities, stake=16 * 10**19, service_us=service_us, grouped=True)
        weigh(nodes, rules)
        pool, chooser, draw = Pool(nodes), Chooser(rules), Draws(b"split")
        picks = Counter(chooser.pick(pool, Request(), draw).group for _ in range(PICKS))
        flows[identities] = picks["mallory"]
    for flow in flows.values():
        assert abs(flow - flows[1]) <= 0.02 * PICKS, flows
        assert flow <= (cap_bps / 10_000 + 0.02) * PICKS


@pytest.mark.parametrize("policy", ["stake_weighted", "least_expected_delay"])
@pytest.mark.parametrize("service_us", [2_500, 10_000, 40_000])
@pytest.mark.parametrize("cap_bps", [10_000, 2_000])
def test_splitting_slots_and_stake_gains_nothing(
    policy: str, service_us: int, cap_bps: int
) -> None:
    """Under load, with the same 16 slots split as the stake is. It may lose: a queue for each slot
    is a worse machine than one queue for all.
    """
    rules = FleetRules(policy=policy, weigh="stake", group_cap_bps=cap_bps)
    stake = 16 * 10**19  # 21 % of all
    flows = {
        identities: flow_of(
            rules,
            operators(identities, stake=stake, service_us=service_us, grouped=True),
            PICKS,
            gap_us=200,
        )["mallory"]
        for identities in (1, 2, 4, 8, 16)
    }
    for flow in flows.values():
        assert flow - flows[1] <= 0.02 * PICKS, flows
        assert flow <= (cap_bps / 10_000 + 0.02) * PICKS


@pytest.mark.parametrize("policy", list(POLICIES))
def test_no_group_is_above_its_cap_under_load(policy: str) -> None:
    rules = FleetRules(policy=policy, weigh="stake", group_cap_bps=1_500)
    nodes = operators(8, stake=16 * 10**20, service_us=1_000, grouped=True)
    flow = flow_of(rules, nodes, 3_000, gap_us=300)
    assert flow.total() == 3_000
    assert max(flow.values()) <= (0.15 + 0.02) * 3_000


views = st.lists(
    st.builds(
        NodeView,
        key=st.binary(min_size=1, max_size=3),
        group=st.sampled_from(["", "", "a", "b", "c"]),
        region=st.sampled_from(["", "eu", "us"]),
        slots=st.integers(1, 64),
        stake=st.one_of(st.integers(0, 5), st.integers(0, 10**30)),
        in_flight=st.integers(0, 100),
        reported=st.integers(0, 100),
        service_us=st.integers(1, 10**9),
        rtt_us=st.integers(0, 10**6),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda view: view.key,
)


@given(views, st.sampled_from(["uniform", "slots", "stake"]), st.integers(1, 10_000), st.data())
def test_weights_keep_the_cap_and_the_order(
    nodes: list[NodeView], kind: str, cap_bps: int, data: st.DataObject
) -> None:
    warm = {each.key: data.draw(st.integers(0, 10_000)) for each in nodes[::2]}
    rules = FleetRules(weigh=kind, group_cap_bps=cap_bps)
    weigh(nodes, rules, warm)
    base = {"uniform": lambda _: 1, "slots": lambda v: v.slots, "stake": lambda v: v.stake}[kind]
    plain = {each.key: base(each) * warm.get(each.key, 10_000) for each in nodes}
    assert all((each.weight > 0) == (plain[each.key] > 0) for each in nodes)
    groups: Counter[str | bytes] = Counter()
    before: Counter[str | bytes] = Counter()
    for each in nodes:
        groups[group_of(each)] += each.weight
        before[group_of(each)] += plain[each.key]
    total = groups.total()
    assert total <= (1 << 48) + len(nodes)
    if not total:
        return
    cap = feasible(cap_bps, len(+before))
    # Each node is rounded by less than a unit, twice.
    units = 4 * len(nodes)
    assert all(10_000 * weight <= cap * total + 10_000 * units for weight in groups.values())
    ranked = sorted(groups, key=lambda name: before[name])
    for low, high in pairwise(ranked):
        assert groups[low] <= groups[high] + units


@settings(max_examples=60)
@given(views, st.sampled_from(list(POLICIES)), st.binary(max_size=4), st.data())
def test_a_pick_is_of_the_pool_and_repeats(
    nodes: list[NodeView], name: str, seed: bytes, data: st.DataObject
) -> None:
    rules = FleetRules(policy=name, weigh="stake", group_cap_bps=data.draw(st.integers(1, 10_000)))
    weigh(nodes, rules)
    requests = data.draw(
        st.lists(
            st.builds(Request, key=st.binary(max_size=2), region=st.sampled_from(["", "eu", "x"])),
            min_size=1,
            max_size=8,
        )
    )

    def run() -> list[list[bytes]]:
        pool, chooser, draw = Pool(nodes), Chooser(rules), Draws(seed)
        found = [chooser.pick_many(pool, request, draw, 2, 1) for request in requests]
        keys = {each.key for each in pool.nodes}
        for picked in found:
            assert {each.key for each in picked} <= keys
            assert len({each.key for each in picked}) == len(picked) == min(3, len(pool))
        return [[each.key for each in picked] for picked in found]

    assert run() == run()


@given(views, st.data())
def test_a_rest_is_the_pool_without(nodes: list[NodeView], data: st.DataObject) -> None:
    weigh(nodes, FleetRules())
    pool = Pool(nodes)
    count = data.draw(st.integers(0, len(pool) - 1))
    gone = data.draw(st.permutations(pool.nodes))[:count]
    rest = Rest(Rest(pool, gone[: count // 2]), gone[count // 2 :])
    exact = pool.without([each.key for each in gone])
    assert len(rest) == len(exact)
    assert rest.nodes == exact.nodes
    assert {name: p.nodes for name, p in rest.regions.items()} == {
        name: p.nodes for name, p in exact.regions.items()
    }
    draw = Draws(b"rest")
    assert rest.one(draw) in exact.nodes
    size = data.draw(st.integers(1, len(pool)))
    sample = rest.sample(size, draw)
    assert len({each.key for each in sample}) == len(sample) == min(size, len(exact))
    assert all(each in exact.nodes for each in sample)


def test_a_rest_draws_as_the_pool_without() -> None:
    pool = Pool([node(f"n{at}", weight=1 + 5 * at) for at in range(6)])
    rest, exact = Rest(pool, pool.nodes[3:]), pool.without(n.key for n in pool.nodes[3:])
    draw = Draws(b"same")
    found = [Counter(p.one(draw).key for _ in range(6_000)) for p in (rest, exact)]
    weights = {each.key: each.weight / 18 for each in exact.nodes}
    for counts in found:
        for key, share in weights.items():
            assert counts[key] / 6_000 == pytest.approx(share, abs=0.025)
