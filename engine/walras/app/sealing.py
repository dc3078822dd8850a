"""What sealing and settlement log of the fleet: who is part of it, who is asked, how it went."""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeVar

from walras.app.collecting import Collected
from walras.app.sequencer import Transaction
from walras.auction.batch import AwardedBatch, ClosedBatch, OpenBatch, SealedBatch
from walras.auction.dispatch import dispatch, part_size, vrf_input
from walras.auction.observed import bidders, canaries_digest, canaries_found, promises
from walras.auction.parts import split
from walras.audit.openings import public_bid_key
from walras.audit.vrf import VrfKey
from walras.balance.estimates import service_sample
from walras.balance.events import Change, Outcome, Rule
from walras.balance.rules import NodeInfo
from walras.balance.work import Effort, batch_work_us
from walras.fleet.nodes import Node
from walras.fleet.registry import Fleet
from walras.ledger.fleet import batch_events, brought
from walras.protocol.dispatch import Call, LoadProbe, NodeLoad, encode_calls, encode_dispatch
from walras.protocol.fleet import MAX_NODES
from walras.protocol.problem import Problem
from walras.protocol.records import Observed
from walras.protocol.trade import encode_problem

T = TypeVar("T")

_BY_ITSELF_BPS = 7_000
"""A call that ends within this share of the time ends by itself."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A sealed batch on its way to solvers.

    Attributes:
        sealed: the batch.
        bodies: each part's bytes, in order.
        salt, canaries: what the sealing committed to.
        bid_secret: of the batch's bid key; empty where bids come in the open.
        clock: milliseconds since the epoch, going on from the sealing's: whoever sets the wall
            clock while nodes work makes no bid late, and no late one timely.
    """

    sealed: SealedBatch
    bodies: tuple[bytes, ...]
    salt: bytes
    canaries: tuple[bytes, ...]
    bid_secret: bytes
    clock: Callable[[], int]


def log_news(tx: Transaction, nodes: Iterable[Node], registry: Fleet) -> None:
    """Log the fleet's next versions, if there are any: nodes that are new or describe themselves
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

    def change(infos: Sequence[NodeInfo], gone: Sequence[bytes]) -> None:
        claims = [replace(reasons.get(info.name, came_by), node=info.public_key) for info in infos]
        claims += [replace(reasons.get(fleet.nodes[key].name, went_by), node=key) for key in gone]
        tx.record(fleet.change(tx.now_ms, joined=infos, left=gone, claims=claims))

    if len(joined) + len(left) <= MAX_NODES:
        change(joined, left)
    else:
        # Names are unique in each version: who holds one that another takes goes first.
        takers = {info.name: info.public_key for info in joined}
        going = [
            key
            for key, info in fleet.nodes.items()
            if key in left or takers.get(info.name, key) != key
        ]
        for some in _pages(going):
            change((), some)
        for infos in _pages(joined):
            change(infos, ())
    log_following(tx)


def log_following(tx: Transaction) -> None:
    """Log versions of the fleet until no change waits."""
    while tx.state.fleet.pending:
        tx.record(tx.state.fleet.change(tx.now_ms))
    tx.state.changes.fleet = True


def _pages(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), MAX_NODES):
        yield items[start : start + MAX_NODES]


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
    names = {key: node.name for key, node in fleet.nodes.items()}
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
            [NodeLoad(key, in_flight[key], names[key]) for key in sorted(in_flight)],
            probes,
            proof,
            seed,
            problem.sealed_ms,
        )
        tx.blob(encode_dispatch(plan))
    salt = secrets.token_bytes(32)
    committed = canaries_digest(salt, canaries)
    sealed_bids = plan is not None and problem.rules.sealed_bids
    secret = secrets.token_bytes(32) if sealed_bids else b""
    bid_key = public_bid_key(secret) if secret else b""
    sealed = batch.seal(problem, digest, parts, plan, names, deadline_ms, committed, bid_key)
    return Sending(sealed, bodies, salt, tuple(canaries), secret, _going_on(problem.sealed_ms))


def _going_on(now_ms: int) -> Callable[[], int]:
    start = time.monotonic_ns()
    return lambda: now_ms + (time.monotonic_ns() - start) // 1_000_000


def log_bids(tx: Transaction, closed: ClosedBatch, collected: Collected) -> None:
    """Log what came, in its order, and why some of it is no bid, or not a valid one."""
    number = closed.sealed.auction_id
    unopened = {record.place: (record, opening) for record, opening in collected.unopened}
    bids = iter(closed.bids)
    for place in range(len(unopened) + len(closed.bids)):
        if place in unopened:
            record, opening = unopened[place]
            tx.record(record)
            if opening:
                tx.blob(opening)
            continue
        bid = next(bids)
        tx.record(bid.received(number))
        rejection = bid.rejected(number)
        if rejection is not None:
            tx.record(rejection)
    for _, data in collected.bids:
        tx.blob(data)


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
    kept = promises(closed, awarded)
    tx.state.observe(batch_events(calls, bidders(closed), kept, found, record.at_ms))


def copies(sending: Sending) -> int:
    """The most nodes that a part went to."""
    plan = sending.sealed.plan
    return 0 if plan is None else max((part.asked for part in plan.parts), default=0)


def work_us(closed: ClosedBatch, calls: Iterable[Call], nodes: Mapping[bytes, NodeInfo]) -> int:
    """What solving the batch once took, by the rule of `walras.balance.work`; 0 where nobody says.

    Calls count that were answered well before the deadline. A node that works until the deadline
    does so however little there is to do.

    Args:
        closed: its bids.
        calls: that were made for it.
        nodes: of the fleet, by key.
    """
    sealed = closed.sealed
    bound_us = (sealed.deadline_ms - sealed.problem.sealed_ms) * 1_000 * _BY_ITSELF_BPS // 10_000
    efforts: list[list[Effort]] = [[] for _ in sealed.parts]
    valid = bidders(closed)
    for call in calls:
        info = nodes.get(call.solver)
        if info is not None and call.outcome is Outcome.OK and call.latency_us < bound_us:
            took = service_sample(call.latency_us, 0, info.slots, call.ahead)
            efforts[call.part].append(Effort(info.group or call.solver, took, brought(call, valid)))
    return batch_work_us(
        (len(part.intents), each) for part, each in zip(sealed.parts, efforts, strict=True)
    )
