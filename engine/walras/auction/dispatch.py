"""Who is asked for which part of a batch: recomputed by anybody from the log (protocol §10).

The engine runs this when it seals a batch, an auditor when it replays the sealing. What it depends
on is logged before: the standing of every node, the rules of the fleet, the problem. What is not
(which nodes are connected, what is in flight there, Prequal's probes) stands in the dispatch
itself, as the engine's claim. Chance comes from the engine's VRF over the auction's number, so
nobody can choose it, and everybody can check it.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

from walras.balance.chooser import Chooser, weigh
from walras.balance.draws import Draws
from walras.balance.policies.prequal import Prequal, Probe
from walras.balance.rules import NodeInfo
from walras.balance.standing import Standing
from walras.balance.view import NodeView, Pool, Request
from walras.market.kinds import kind_of
from walras.protocol.dispatch import Assignment, Dispatch, LoadProbe, NodeLoad
from walras.protocol.problem import Problem


def vrf_input(domain: str, auction_id: int) -> bytes:
    """What the engine's VRF is taken over for an auction's draws.

    Nothing that the engine can choose is in it: there is one seed for each auction of a domain.
    """
    return b"walras dispatch v1\0" + domain.encode() + b"\0" + auction_id.to_bytes(8, "big")


def takes(node: NodeInfo, part: Problem) -> bool:
    """Whether a node takes this part, by what it says of itself.

    It must take every chain of the part's assets, know a kind of its venues, if it has any, and
    not be too small.
    """
    if node.max_intents and len(part.intents) > node.max_intents:
        return False
    if node.max_venues and len(part.venues) > node.max_venues:
        return False
    if node.venue_kinds and part.venues:
        kinds = {kind_of(venue) for venue in part.venues.values()}
        if kinds.isdisjoint(node.venue_kinds):
            return False
    if node.chains:
        chains = {asset.split("/", 1)[0] for asset in part.prices}
        if not chains <= set(node.chains):
            return False
    return True


def shard_key(part: Problem) -> bytes:
    """A name that a part keeps from batch to batch: SHA-256 of its busiest market's."""
    groups = Counter(entry.intent.group for entry in part.intents.values())
    busiest = min(groups, key=lambda group: (-groups[group], group), default="")
    return sha256(busiest.encode()).digest()


def part_size(intents: int, standing: Standing, connected: Collection[bytes], now_ms: int) -> int:
    """How many intents a part should have at most.

    The rules' `part_intents`, but never so few that there are more parts than the connected nodes
    can work on side by side: a cut costs routes, and gains nothing where the parts then wait for
    each other. No more than some node takes.
    """
    rules = standing.rules
    nodes = [standing.info(key) for key in standing.eligible(now_ms) if key in connected]
    copies = len(nodes) if len(nodes) <= rules.all_up_to else rules.fan_out
    side_by_side = max(1, sum(node.slots for node in nodes) // max(copies, 1))
    size = max(rules.part_intents, -(-intents // side_by_side))
    largest = max((node.max_intents or size for node in nodes), default=size)
    return max(1, min(size, largest))


def dispatch(
    parts: Sequence[Problem],
    digests: Sequence[bytes],
    standing: Standing,
    loads: Sequence[NodeLoad],
    probes: Sequence[LoadProbe],
    vrf_proof: bytes,
    seed: bytes,
    now_ms: int,
) -> Dispatch:
    """Assign every part.

    Args:
        parts: of the sealed problem, in order.
        digests: SHA-256 of each part's bytes.
        standing: of every node, as of `now_ms`.
        loads: connected nodes, by ascending key.
        probes: Prequal's pool.
        vrf_proof: over `vrf_input`.
        seed: the VRF's output.
        now_ms: the sealing's time.

    A part that no node takes has nobody assigned.
    """
    rules = standing.rules
    index = {load.public_key: place for place, load in enumerate(loads)}
    in_flight = {load.public_key: load.in_flight for load in loads}
    views = [
        standing.view(key, now_ms, in_flight[key])
        for key in standing.eligible(now_ms)
        if key in in_flight
    ]
    weigh(views, rules, {view.key: standing.warmth(view.key, now_ms) for view in views})
    chooser = Chooser(rules)
    if isinstance(chooser.policy, Prequal):
        for probe in probes:
            answer = Probe(probe.public_key, probe.in_flight, probe.latency_us, probe.at_us)
            chooser.policy.add(answer)
    draws = Draws(seed)
    assignments = []
    for part, digest in zip(parts, digests, strict=True):
        fit = [view for view in views if takes(standing.info(view.key), part)]
        count = len(fit) if len(fit) <= rules.all_up_to else min(rules.fan_out, len(fit))
        picked: list[NodeView] = []
        if fit:
            request = Request(shard_key(part), rules.region, now_ms * 1_000)
            picked = chooser.pick_many(Pool(fit), request, draws, count, rules.standby)
        for view in picked[:count]:
            view.in_flight += 1
            view.asked += 1
        assignments.append(
            Assignment(
                digest,
                tuple(index[view.key] for view in picked),
                min(count, len(picked)),
            )
        )
    return Dispatch(vrf_proof, tuple(loads), tuple(probes), tuple(assignments))


def asked(plan: Dispatch) -> Mapping[bytes, frozenset[int]]:
    """Key of every node that was asked or stands by → the parts it may bid for."""
    parts: dict[bytes, set[int]] = {}
    for number, assignment in enumerate(plan.parts):
        for place in assignment.nodes:
            parts.setdefault(plan.nodes[place].public_key, set()).add(number)
    return {key: frozenset(numbers) for key, numbers in parts.items()}


def asked_at_once(plan: Dispatch) -> frozenset[tuple[int, bytes]]:
    """Part and key of every call that is made, whatever comes of the others."""
    return frozenset(
        (number, plan.nodes[place].public_key)
        for number, assignment in enumerate(plan.parts)
        for place in assignment.nodes[: assignment.asked]
    )
