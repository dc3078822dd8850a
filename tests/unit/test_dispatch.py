"""Who is asked for which part, and what a bid for another part is worth."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256

import pytest
from support.auctions import DAI, ETH, USDC, WHOLE_ETH, intent, key, pool, problem
from support.market import signer

from walras.auction.batch import OpenBatch
from walras.auction.dispatch import (
    asked,
    asked_at_once,
    dispatch,
    part_size,
    shard_key,
    takes,
    vrf_input,
)
from walras.auction.observed import canaries_digest, canaries_found
from walras.auction.parts import split
from walras.balance.events import Asked, CallEnded, Outcome
from walras.balance.rules import FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.core.bids import Bid, Execution, Fill, Proposal
from walras.core.errors import Reason, WalrasError
from walras.market.kinds import ConstantProduct
from walras.protocol.dispatch import Dispatch, NodeLoad
from walras.protocol.problem import Problem
from walras.protocol.records import Opened
from walras.protocol.trade import encode_problem
from walras.sdk.signing import sign_record

NOW = 1_000_000
SIGNERS = {signer(f"node {n}").public_key: signer(f"node {n}") for n in range(12)}
KEYS = sorted(SIGNERS)
DAI_POOL = ConstantProduct(
    "eth-dai", 0, (ETH, DAI), (1_000 * WHOLE_ETH, 3_000_000 * WHOLE_ETH), fee_pips=3_000
)
WHOLE = problem(
    {
        "a": intent("ann", {ETH: -1}, USDC, 1, units=WHOLE_ETH),
        "b": intent("ann", {ETH: -1}, DAI, 1, units=WHOLE_ETH),
    },
    balances={("ann", ETH): 2 * WHOLE_ETH},
    venues=[pool("eth-usdc"), DAI_POOL],
)
PARTS = split(WHOLE, 1)
DIGESTS = [sha256(encode_problem(part)).digest() for part in PARTS]


def standing(count: int, rules: FleetRules | None = None, **said: object) -> Standing:
    found = Standing(rules or FleetRules(all_up_to=4, fan_out=3, standby=2))
    for number, name in enumerate(KEYS[:count]):
        found.join(NodeInfo(str(number), name, **said), NOW - 3_600_000)  # type: ignore[arg-type]  # the caller's
    return found


def plan(
    found: Standing,
    *,
    seed: bytes = b"seed",
    in_flight: dict[bytes, int] | None = None,
    connected: list[bytes] | None = None,
    parts: tuple[Problem, ...] = PARTS,
    now_ms: int = NOW,
) -> Dispatch:
    busy = in_flight or {}
    keys = sorted(found.nodes) if connected is None else connected
    loads = [NodeLoad(name, busy.get(name, 0)) for name in keys]
    digests = [sha256(encode_problem(part)).digest() for part in parts]
    return dispatch(parts, digests, found, loads, [], b"proof", seed, now_ms)


def test_shards_move_before_calls_wait_for_their_node() -> None:
    """By the calls that the log has of it. It keeps as many as it serves within the limit, the same
    from batch to batch give or take one, and the others go on to the next node.
    """
    rules = FleetRules(
        policy="ring_hash",
        max_wait_ms=300,
        hash_balance_factor_bps=1_000_000,
        explore_bps=0,
        all_up_to=0,
        fan_out=1,
        standby=0,
    )
    found = standing(8, rules, slots=4)
    kept: list[int] = []
    first = plan(found, parts=PARTS[:1]).parts[0].nodes
    for now_ms in range(NOW, NOW + 60_000, 200):
        made = plan(found, parts=PARTS[:1] * 20, now_ms=now_ms)
        picks = [part.nodes == first for part in made.parts]
        assert picks == sorted(picks, reverse=True)
        kept.append(sum(picks))
        for name, parts in asked(made).items():
            found.apply(Asked(name, now_ms, len(parts)))
            for _ in parts:
                found.apply(CallEnded(name, now_ms, Outcome.OK, 100_000))
        found.tick(now_ms)
    # By those there at a sealing alone it would take 16 of 20, twice what it does in 200 ms.
    assert kept[0] == 16
    assert 3 <= min(kept[-50:]) <= max(kept[-50:]) <= 7
    assert max(kept[-50:]) - min(kept[-50:]) <= 2


def test_it_is_split_in_two() -> None:
    assert len(PARTS) == 2


def test_a_small_fleet_is_asked_whole() -> None:
    made = plan(standing(4))
    assert [(part.asked, sorted(part.nodes)) for part in made.parts] == [(4, [0, 1, 2, 3])] * 2
    assert [part.part_digest for part in made.parts] == DIGESTS
    assert asked(made) == {name: frozenset({0, 1}) for name in KEYS[:4]}
    assert asked_at_once(made) == {(part, name) for part in (0, 1) for name in KEYS[:4]}


def test_of_a_large_one_some_are_asked_and_some_stand_by() -> None:
    made = plan(standing(12))
    for part in made.parts:
        assert (part.asked, len(part.nodes), len(set(part.nodes))) == (3, 5, 5)
    assert len(asked_at_once(made)) == 6
    assert sum(map(len, asked(made).values())) == 10


def test_fewer_than_the_fan_out() -> None:
    rules = FleetRules(all_up_to=0, fan_out=5, standby=2)
    assert [(p.asked, len(p.nodes)) for p in plan(standing(3, rules)).parts] == [(3, 3)] * 2
    assert [(p.asked, len(p.nodes)) for p in plan(standing(6, rules)).parts] == [(5, 6)] * 2


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ({}, True),
        ({"max_intents": 1}, False),
        ({"max_intents": 2}, True),
        ({"max_venues": 1}, False),
        ({"max_venues": 2}, True),
        ({"venue_kinds": ("stable_swap",)}, False),
        ({"venue_kinds": ("constant_product", "stable_swap")}, True),
        ({"chains": ("eip155:1",)}, True),
        ({"chains": ("eip155:10",)}, False),
        ({"chains": ("eip155:1", "eip155:10")}, True),
    ],
)
def test_what_a_node_takes(said: dict[str, object], fits: bool) -> None:
    assert takes(NodeInfo("n", KEYS[0], **said), WHOLE) is fits  # type: ignore[arg-type]  # as above


def test_a_node_that_knows_no_kind_of_venue_takes_a_part_without_any() -> None:
    node = NodeInfo("n", KEYS[0], venue_kinds=("stable_swap",))
    assert takes(node, replace(WHOLE, venues={}))


def test_a_part_that_nobody_takes() -> None:
    """The others go on."""
    found = standing(3, venue_kinds=("stable_swap",))
    bare = replace(PARTS[1], venues={})
    made = plan(found, parts=(PARTS[0], bare))
    assert [(sorted(p.nodes), p.asked) for p in made.parts] == [([], 0), ([0, 1, 2], 3)]
    assert asked(made) == {name: frozenset({1}) for name in KEYS[:3]}


def test_only_who_is_connected_and_stands_well_is_asked() -> None:
    found = standing(4)
    for _ in range(found.rules.consecutive_errors):
        found.apply(CallEnded(KEYS[0], NOW - 10, Outcome.ERROR, 1))
    found.drain(KEYS[1], NOW - 10)
    made = plan(found, connected=KEYS[:3])
    assert set(asked(made)) == {KEYS[2]}
    assert len(made.nodes) == 3
    assert plan(found, connected=[]).parts[0].nodes == ()
    # Of one that is no node of the fleet nothing is asked, whatever is said to be connected.
    assert set(asked(plan(found, connected=sorted([KEYS[2], key("stranger")])))) == {KEYS[2]}


def test_it_is_pure() -> None:
    """The same arguments give the same plan, and nothing has changed."""
    found = standing(12)
    before = found.to_json()
    first = plan(found)
    assert all(plan(found) == first for _ in range(3))
    assert found.to_json() == before
    assert plan(Standing.from_json(before)) == first


def test_the_seed_decides() -> None:
    found = standing(12, FleetRules(all_up_to=0, fan_out=1, standby=0, policy="random"))
    firsts = Counter(plan(found, seed=b"%d" % n).parts[0].nodes[0] for n in range(600))
    assert set(firsts) == set(range(12))
    assert max(firsts.values()) < 2 * 600 / 12


def test_parts_of_one_batch_see_the_calls_of_each_other() -> None:
    """Two equal nodes, each asked for one: what goes to the first is in flight for the second."""
    rules = FleetRules(all_up_to=0, fan_out=1, standby=0, explore_bps=0)
    found = standing(2, rules)
    for n in range(20):
        made = plan(found, seed=b"%d" % n)
        assert {part.nodes[0] for part in made.parts} == {0, 1}
    # And what was in flight before counts too.
    made = plan(found, in_flight={KEYS[0]: 5})
    assert [part.nodes[0] for part in made.parts] == [1, 1]


def test_a_shard_keeps_its_name_and_a_domain_its_draws() -> None:
    other = replace(PARTS[0], auction_id=8, sealed_ms=NOW + 1)
    assert shard_key(PARTS[0]) == shard_key(other) != shard_key(PARTS[1])
    inputs = {vrf_input(domain, n) for domain in ("a", "b") for n in (1, 2)}
    assert len(inputs) == 4


def test_a_bid_counts_for_the_parts_that_its_solver_was_asked_for() -> None:
    """One node for each part."""
    made = plan(standing(2, FleetRules(all_up_to=0, fan_out=1, standby=0, explore_bps=0)))
    places = {made.nodes[part.nodes[0]].public_key: n for n, part in enumerate(made.parts)}
    names = {name: name.hex()[:4] for name in KEYS}
    digest = sha256(encode_problem(WHOLE)).digest()
    canary = next(iter(PARTS[0].intents))
    batch = OpenBatch(Opened(7, bytes(32), 0, 0)).seal(
        WHOLE, digest, PARTS, made, names, NOW, canaries_digest(b"salt", [canary]), b""
    )
    assert batch.solvers == {name: names[name] for name in sorted(places)}

    def outcome(solver: bytes, part: int, named: bytes) -> object:
        found = PARTS[part]
        (name, entry), venue = next(iter(found.intents.items())), next(iter(found.venues.values()))
        take = entry.intent.settlement_asset
        paid = venue.swap(ETH, WHOLE_ETH, take).amount_out
        step = Execution(venue.id, ETH, WHOLE_ETH, take, paid)
        proposal = Proposal((Fill(name, WHOLE_ETH),), {ETH: paid, take: WHOLE_ETH}, (step,))
        sent = sign_record(Bid(7, named, solver, proposal), SIGNERS[solver])
        return batch.evaluate(sent, solver, 1).outcome

    def reason(found: object) -> Reason:
        assert isinstance(found, WalrasError)
        return found.reason

    for solver, mine in places.items():
        other = 1 - mine
        assert not isinstance(outcome(solver, mine, DIGESTS[mine]), WalrasError)
        assert reason(outcome(solver, other, DIGESTS[other])) is Reason.PART_WRONG
        assert reason(outcome(solver, other, DIGESTS[mine])) is Reason.FILL_UNKNOWN_INTENT
        assert reason(outcome(solver, mine, digest)) is Reason.DIGEST_WRONG
    stranger = next(name for name in KEYS if name not in places)
    assert reason(outcome(stranger, 0, DIGESTS[0])) is Reason.SOLVER_MISMATCH
    # Of the canary's part only the one node knows; with no bid it has missed it.
    (asked_for_it,) = (name for name, part in places.items() if canary in PARTS[part].intents)
    assert canaries_found(batch.close([]), [canary]) == {asked_for_it: False}


def test_a_part_is_no_smaller_than_gains_anything() -> None:
    made = Standing(FleetRules(part_intents=10, all_up_to=2, fan_out=2))
    keys = [bytes([number]) * 32 for number in range(1, 5)]
    for number, node in enumerate(keys):
        made.join(NodeInfo(f"n{number}", node, slots=2), 0)
    # All are asked: two nodes of two slots work on two parts of each copy at a time.
    assert part_size(100, made, keys[:2], 0) == 50
    # Two of four are asked: 8 slots, 4 parts side by side.
    assert part_size(100, made, keys, 0) == 25
    assert part_size(101, made, keys, 0) == 26
    # The rules' size is the least.
    assert part_size(20, made, keys, 0) == 10
    assert part_size(100, made, [], 0) == 100
    # No part may be too large for everybody.
    for number, node in enumerate(keys):
        made.join(NodeInfo(f"n{number}", node, slots=2, max_intents=7 + number), 0)
    assert part_size(100, made, keys, 0) == 10
    assert part_size(100, made, keys[:1], 0) == 7
