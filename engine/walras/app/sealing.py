"""What sealing and settlement log of the fleet: who is part of it, who is asked, how it went."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from walras.app.sequencer import Transaction
from walras.auction.batch import AwardedBatch, ClosedBatch, OpenBatch, SealedBatch
from walras.auction.dispatch import dispatch, part_size, vrf_input
from walras.auction.observed import canaries_digest, canaries_found, promises
from walras.auction.parts import split
from walras.audit.vrf import VrfKey
from walras.balance.events import Change, Outcome, Rule
from walras.fleet.nodes import Node
from walras.fleet.registry import Fleet
from walras.ledger.fleet import batch_events
from walras.protocol.fleet import Call, LoadProbe, NodeLoad, encode_calls, encode_dispatch
from walras.protocol.problem import Problem
from walras.protocol.records import Observed
from walras.protocol.trade import encode_problem

_BY_ITSELF_BPS = 7_000
"""A call that ends within this share of the time ends by itself."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A sealed batch on its way to solvers.

    Attributes:
        sealed: the batch.
        bodies: each part's bytes, in order.
        salt, canaries: what the sealing committed to.
    """

    sealed: SealedBatch
    bodies: tuple[bytes, ...]
    salt: bytes
    canaries: tuple[bytes, ...]


def log_news(tx: Transaction, nodes: Iterable[Node], registry: Fleet) -> None:
    """Log the fleet's next version, if there is one: nodes that are new or describe themselves
    anew, nodes that are not there any more, and what followed from the log.
    """
    fleet, reasons = tx.state.fleet, registry.reasons
    joined = [node.info for node in nodes if fleet.nodes.get(node.public_key) != node.info]
    came = {info.public_key for info in joined}
    names = {spec.name for spec in registry.specs} - {info.name for info in joined}
    left = [key for key, info in fleet.nodes.items() if info.name not in names and key not in came]
    # Time passes after nodes came and went, as in the version that is logged.
    if not joined and not left and not fleet.tick(tx.now_ms):
        return
    came_by = Change(Rule.JOINED, why="configured")
    went_by = Change(Rule.LEFT, why="not configured")
    claims = [replace(reasons.get(info.name, came_by), node=info.public_key) for info in joined]
    claims += [replace(reasons.get(fleet.nodes[key].name, went_by), node=key) for key in left]
    tx.record(fleet.change(tx.now_ms, joined=joined, left=left, claims=claims))
    tx.state.changes.fleet = True


def send_out(
    tx: Transaction,
    batch: OpenBatch,
    problem: Problem,
    deadline_ms: int,
    in_flight: Mapping[bytes, int],
    probes: Sequence[LoadProbe],
    vrf: VrfKey,
    canaries: Sequence[bytes],
) -> Sending:
    """Freeze the problem, split it and say who is asked; `in_flight` is of connected nodes,
    `probes` are for Prequal.
    """
    fleet = tx.state.fleet
    body = encode_problem(problem)
    digest = tx.blob(body)
    size = part_size(len(problem.intents), fleet.standing, in_flight, problem.sealed_ms)
    parts = split(problem, size)
    bodies = (body,) if parts == (problem,) else tuple(map(encode_problem, parts))
    plan = None
    if in_flight and problem.intents:
        proof, seed = vrf.prove(vrf_input(problem.domain, problem.auction_id))
        plan = dispatch(
            parts,
            [sha256(part).digest() for part in bodies],
            fleet.standing,
            [NodeLoad(key, in_flight[key]) for key in sorted(in_flight)],
            probes,
            proof,
            seed,
            problem.sealed_ms,
        )
        tx.blob(encode_dispatch(plan))
    salt = secrets.token_bytes(32)
    names = {key: node.name for key, node in fleet.nodes.items()}
    committed = canaries_digest(salt, canaries)
    sealed = batch.seal(problem, digest, parts, plan, names, deadline_ms, committed)
    return Sending(sealed, bodies, salt, tuple(canaries))


def observe(
    tx: Transaction,
    sending: Sending,
    calls: Sequence[Call],
    closed: ClosedBatch,
    awarded: AwardedBatch,
) -> None:
    """Log how the calls went, and let the fleet know."""
    digest = tx.blob(encode_calls(calls))
    record = Observed(sending.sealed.auction_id, tx.now_ms, digest, sending.salt, sending.canaries)
    tx.record(record)
    found = canaries_found(closed, sending.canaries)
    tx.state.observe(batch_events(calls, promises(closed, awarded), found, record.at_ms))


def copies(sending: Sending) -> int:
    """The most nodes that a part went to."""
    plan = sending.sealed.plan
    return 0 if plan is None else max((part.asked for part in plan.parts), default=0)


def work_us(sending: Sending, calls: Iterable[Call]) -> int:
    """What solving the batch once took: per part, the quickest node that ended well before the
    deadline. One that works until the deadline does so however little there is to do.
    """
    sealed = sending.sealed
    bound_us = (sealed.deadline_ms - sealed.problem.sealed_ms) * 1_000 * _BY_ITSELF_BPS // 10_000
    quickest: dict[int, int] = {}
    for call in calls:
        if call.outcome is Outcome.OK and call.latency_us < bound_us:
            took = max(1, call.latency_us // call.ahead)
            quickest[call.part] = min(took, quickest.get(call.part, took))
    if len(quickest) < len(sealed.parts):
        return 0
    return sum(quickest.values())
