"""A node that says at once that it found nothing attracts no calls: what the log tells of calls,
the real standing, the real dispatch and the default policy, over many batches.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from hashlib import sha256, sha512
from random import Random

import pytest
from support.auctions import ETH, USDC, WHOLE_ETH, intent, key, pool, problem

from walras.auction.dispatch import dispatch
from walras.balance.events import Outcome
from walras.balance.rules import FleetRules, NodeInfo
from walras.ledger.fleet import Fleet, batch_events
from walras.protocol.dispatch import Call, Dispatch, NodeLoad

T0 = 1_700_000_000_000
NODES, SLOTS, PARTS, BATCHES, WARM = 16, 4, 40, 60, 10
EVEN = 1 / NODES
HONEST_US, AT_ONCE_US = 20_000, 200
KEYS = sorted(key(f"node {number}") for number in range(NODES))
THIEF = KEYS[5]
PART = problem(
    {"a": intent("ann", {ETH: -1}, USDC, 1, units=WHOLE_ETH)},
    balances={("ann", ETH): WHOLE_ETH},
    venues=[pool("eth-usdc")],
)
DIGESTS = [sha256(bytes([number])).digest() for number in range(PARTS)]


def calls_of(plan: Dispatch, speeds: Mapping[bytes, float], random: Random) -> list[Call]:
    """Every node works on its parts in their order, on all its slots; the thief does not."""
    free = {node: [0] * SLOTS for node in KEYS}
    sent: Counter[bytes] = Counter()
    calls = []
    for number, part in enumerate(plan.parts):
        work = random.expovariate(1 / HONEST_US)
        for place in part.nodes[: part.asked]:
            node = plan.nodes[place].public_key
            sent[node] += 1
            slots = free[node]
            slots.sort()
            slots[0] += int(work * speeds[node]) + 1
            latency = AT_ONCE_US if node == THIEF else slots[0]
            calls.append(Call(number, node, Outcome.OK, latency, sent[node], 0))
    return sorted(calls, key=lambda call: call.latency_us)


def shares(
    *, told: bool, lazy: bool, found_bps: int = 8_500, slow: int = 0, sample: int = 3
) -> dict[bytes, float]:
    """Each node's share of the calls once the fleet is warm.

    Args:
        told: the standing hears what calls brought; else, that all brought a bid.
        lazy: the thief, which always answers at once, does so with nothing.
        found_bps: parts on which there is something to find.
        slow: honest nodes that take eight times as long.
        sample: of the policy.
    """
    random = Random(7)
    rules = FleetRules(all_up_to=0, fan_out=2, sample=sample)
    fleet = Fleet()
    fleet.standing.set_rules(rules)
    speeds = {node: random.uniform(0.9, 1.1) for node in KEYS}
    speeds |= {node: 8.0 for node in KEYS[-slow:] if slow}
    for node in KEYS:
        fleet.standing.join(NodeInfo(node.hex(), node, slots=SLOTS), T0 - 60_000)
    asked: Counter[bytes] = Counter()
    for batch in range(BATCHES):
        now = T0 + 2_000 * batch
        fleet.tick(now)
        loads = [NodeLoad(node, 0) for node in KEYS]
        seed = sha512(batch.to_bytes(4, "big")).digest()
        plan = dispatch([PART] * PARTS, DIGESTS, fleet.standing, loads, [], b"", seed, now)
        calls = calls_of(plan, speeds, random)
        found = [random.randrange(10_000) < found_bps for _ in range(PARTS)]
        bidders: defaultdict[int, set[bytes]] = defaultdict(set)
        for call in calls:
            if not told or (found[call.part] and not (lazy and call.solver == THIEF)):
                bidders[call.part].add(call.solver)
        fleet.observe(batch_events(calls, bidders, {}, {}, now + 1_000))
        if batch >= WARM:
            asked.update(call.solver for call in calls)
    return {node: asked[node] / asked.total() for node in KEYS}


def test_while_nobody_looked_at_what_calls_brought_it_got_far_more() -> None:
    """What the rule is against: by its latency alone it wins whenever it is a candidate."""
    assert shares(told=False, lazy=True)[THIEF] > 2.5 * EVEN
    assert shares(told=False, lazy=True, sample=NODES)[THIEF] > 7 * EVEN


@pytest.mark.parametrize("found_bps", [10_000, 8_500, 3_000, 0])
@pytest.mark.parametrize("slow", [0, 2])
@pytest.mark.parametrize("sample", [3, NODES])
def test_it_gets_no_more_than_its_even_share(found_bps: int, slow: int, sample: int) -> None:
    found = shares(told=True, lazy=True, found_bps=found_bps, slow=slow, sample=sample)
    assert found[THIEF] <= EVEN + 0.02


def test_a_node_that_finds_as_much_at_once_gets_its_due() -> None:
    assert shares(told=True, lazy=False)[THIEF] > 2.5 * EVEN


def test_where_there_is_nothing_to_find_all_get_the_same() -> None:
    """Nobody is worse off for having found nothing."""
    found = shares(told=True, lazy=True, found_bps=0)
    assert max(found.values()) - min(found.values()) < 0.02
