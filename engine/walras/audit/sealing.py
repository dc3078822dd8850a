"""The sealing of a batch, replayed: its problem, its parts, and who was asked for which."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from walras.auction.batch import OpenBatch
from walras.auction.dispatch import dispatch, part_size, vrf_input
from walras.auction.parts import split
from walras.audit import vrf
from walras.audit.phases import Bidding, Blob
from walras.core.errors import AuditFailure, Reason
from walras.ledger.fleet import Fleet
from walras.ledger.state import State
from walras.protocol.dispatch import Dispatch, decode_dispatch
from walras.protocol.prices import PricesWatched
from walras.protocol.problem import Problem
from walras.protocol.records import Sealed, VenuesWatched
from walras.protocol.trade import encode_problem


def seal(
    state: State,
    phase: OpenBatch,
    record: Sealed,
    watched: Sequence[VenuesWatched | PricesWatched],
    blob: Blob,
) -> Bidding:
    """A batch is sealed.

    Args:
        state: as the log before it makes it.
        phase: the open batch.
        record: what the engine says.
        watched: what the log says of venues and prices since the batch was opened.
        blob: reads a blob.

    Raises:
        AuditFailure: RECORD_OUT_OF_ORDER, VENUES_MISMATCH, PRICES_MISMATCH, FLEET_MISMATCH,
            PROBLEM_MISMATCH, DISPATCH_MISMATCH or COMMITMENT_MISMATCH.
    """
    if record.sealed_ms < phase.opened.seal_after_ms:
        raise AuditFailure(Reason.RECORD_OUT_OF_ORDER, "the batch was sealed before its time")
    due = state.prepare(record.sealed_ms)
    if _venues(due) != _venues(watched):
        raise AuditFailure(
            Reason.VENUES_MISMATCH,
            "the venues taken out of the problem are not those that the watch takes out",
        )
    if due != watched:
        raise AuditFailure(
            Reason.PRICES_MISMATCH,
            "the assets said to be without a reference price are not those that are",
        )
    if state.fleet.pending:
        raise AuditFailure(
            Reason.FLEET_MISMATCH,
            "the batch was sealed before the fleet's next version was logged",
        )
    problem = state.problem(record.auction_id, record.sealed_ms)
    body = encode_problem(problem)
    if sha256(body).digest() != record.problem_digest:
        raise AuditFailure(
            Reason.PROBLEM_MISMATCH,
            "the sealed problem is not the one that the log before it adds up to:"
            " an intent, balance, venue or price was left out, added or changed",
            expected=sha256(body).hexdigest(),
            found=record.problem_digest.hex(),
        )
    blob(record.problem_digest)
    parts, plan = _plan(state, problem, record, blob)
    batch = phase.seal(
        problem,
        record.problem_digest,
        parts,
        plan,
        {key: node.name for key, node in state.fleet.nodes.items()},
        record.deadline_ms,
        record.canaries_digest,
        record.bid_key,
    )
    if bool(record.bid_key) != (problem.rules.sealed_bids and plan is not None):
        raise AuditFailure(
            Reason.COMMITMENT_MISMATCH, "the batch's bids are sealed against the rules, or open"
        )
    state.expire(record.sealed_ms)
    return Bidding(batch)


def _venues(records: Sequence[VenuesWatched | PricesWatched]) -> list[VenuesWatched]:
    return [record for record in records if isinstance(record, VenuesWatched)]


def passed_over(fleet: Fleet, plan: Dispatch, sealed_ms: int) -> Iterator[str]:
    """Names of nodes that a quorum had seen alive and the engine said were not connected."""
    connected = {node.public_key for node in plan.nodes}
    for key in fleet.standing.eligible(sealed_ms):
        if key not in connected and fleet.standing.status(key, sealed_ms).rtt_us:
            yield fleet.nodes[key].name


def _plan(
    state: State, problem: Problem, record: Sealed, blob: Blob
) -> tuple[tuple[Problem, ...], Dispatch | None]:
    """The problem's parts, and who is asked for which: drawn again and compared."""
    fleet = state.fleet
    if not record.dispatch_digest:
        return (problem,), None
    claimed = decode_dispatch(blob(record.dispatch_digest))
    connected = {node.public_key: node.name for node in claimed.nodes}
    if any(key not in fleet.nodes or fleet.nodes[key].name != connected[key] for key in connected):
        raise AuditFailure(
            Reason.DISPATCH_MISMATCH,
            f"auction {record.auction_id} has nodes that the fleet does not, or by other names",
        )
    size = part_size(len(problem.intents), fleet.standing, connected, record.sealed_ms)
    parts = split(problem, size)
    alpha = vrf_input(state.domain, record.auction_id)
    seed = vrf.verify(state.in_force.vrf_key, alpha, claimed.vrf_proof)
    plan = dispatch(
        parts,
        [record.problem_digest]
        if parts == (problem,)
        else [sha256(encode_problem(part)).digest() for part in parts],
        fleet.standing,
        claimed.nodes,
        claimed.probes,
        claimed.vrf_proof,
        seed,
        record.sealed_ms,
    )
    if plan != claimed:
        raise AuditFailure(
            Reason.DISPATCH_MISMATCH,
            f"auction {record.auction_id} asked other nodes than the log and its draws give",
        )
    return parts, plan
