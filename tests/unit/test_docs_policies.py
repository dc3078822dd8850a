"""The policies of docs/policies.md pick what the code picks, draw by draw."""

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from walras.balance.chooser import Chooser, weigh
from walras.balance.draws import Draws
from walras.balance.policies.prequal import Prequal, Probe
from walras.balance.rules import POLICY_NAMES, FleetRules
from walras.balance.view import NodeView, Pool, Request

TEXT = (Path(__file__).parents[2] / "docs/policies.md").read_text()


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """The functions of the document."""
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python policies\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/policies.md", "exec"), space)
    return space


def fleet(chance: random.Random) -> list[NodeView]:
    groups = [f"g{n}" for n in range(chance.randrange(1, 5))] + [""]
    return sorted(
        (
            NodeView(
                chance.randbytes(32),
                group=chance.choice(groups),
                region=chance.choice(["", "eu", "us"]),
                slots=chance.choice([1, 1, 4]),
                stake=chance.choice([0, 5, 10**20]),
                in_flight=chance.choice([0, 0, 1, 7]),
                reported=chance.choice([0, 2]),
                service_us=chance.choice([1_000, 1_000, 90_000]),
                rtt_us=chance.choice([0, 500]),
                arrived=chance.choice([2, 20, 90]) << 16,
                span=chance.choice([0, 1_000, 4_000]) << 16,
                variation_bps=chance.choice([0, 20_000, 90_000]),
            )
            for _ in range(chance.randrange(1, 16))
        ),
        key=lambda node: node.key,
    )


@pytest.mark.parametrize("policy", POLICY_NAMES)
def test_picks(written: dict[str, Any], policy: str) -> None:
    picks = 0
    for number in range(50):
        chance = random.Random(f"{policy} {number}")
        rules = FleetRules(
            policy=policy,
            weigh=chance.choice(["uniform", "slots", "stake"]),
            bond_asset="eip155:1/slip44:60",
            group_cap_bps=chance.choice([10_000, 2_000, 4_000]),
            explore_bps=chance.choice([0, 100, 3_000]),
            choice_count=chance.choice([1, 2, 3]),
            active_request_bias_bps=chance.choice([0, 5_000, 10_000, 23_456]),
            region=chance.choice(["", "eu"]),
            sample=chance.choice([1, 3]),
            hash_balance_factor_bps=chance.choice([10_001, 12_500]),
            max_wait_ms=chance.choice([0, 5]),
            probe_pool_size=chance.choice([2, 5, 16]),
            q_rif_bps=chance.choice([0, 5_000, 8_409, 10_000]),
            probe_remove_rate_bps=chance.choice([0, 5_000, 10_000]),
        )
        nodes = fleet(chance)
        others = [replace(node) for node in nodes]
        warmth = {node.key: chance.choice([10_000, 10_000, 0, 1_234]) for node in nodes}
        weigh(nodes, rules, warmth)
        written["weigh"](others, rules, warmth)
        assert [n.weight for n in nodes] == [n.weight for n in others]
        seed = chance.randbytes(64)
        coded, told = Chooser(rules), written["Chooser"](rules)
        if isinstance(coded.policy, Prequal):
            for _ in range(chance.randrange(20)):
                answer = (chance.choice(nodes).key, chance.randrange(5), chance.randrange(900), 0)
                coded.policy.add(Probe(*answer))
                told.policy.add(*answer)
        first, second = Draws(seed), written["draws"](seed)
        for _ in range(chance.randrange(1, 30)):
            fit = [at for at in range(len(nodes)) if chance.random() < 0.9] or [0]
            count, standby = chance.randrange(1, 5), chance.randrange(3)
            shard, now = chance.randbytes(32), chance.choice([0, 0, 2_000_000])
            pool = Pool(nodes[at] for at in fit)
            request = Request(shard, rules.region, now)
            ours = coded.pick_many(pool, request, first, count, standby)
            theirs = told.pick_many(
                written["Pool"](others[at] for at in fit), shard, now, second, count, standby
            )
            assert [n.key for n in ours] == [n.key for n in theirs]
            for node in (*ours[:count], *theirs[:count]):
                node.in_flight += 1
                node.asked += 1
            picks += len(ours)
    assert picks > 500
