"""The end of a batch, replayed: its award, how its calls ended, and its settlement."""

from dataclasses import replace
from hashlib import sha256

from walras.auction.awarded import check_award
from walras.auction.batch import AwardedBatch
from walras.auction.dispatch import asked, asked_at_once
from walras.auction.observed import bidders, canaries_digest, canaries_found, promises, withheld
from walras.audit import envelope, vrf
from walras.audit.phases import Blob, Decided, Selected
from walras.core.bids import Bundle
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.ledger.fleet import batch_events
from walras.ledger.keys import Keys
from walras.ledger.state import State
from walras.protocol.certificate import decode_certificate
from walras.protocol.dispatch import decode_calls
from walras.protocol.records import Awarded, Kind, Observed, Settled
from walras.protocol.trade import decode_bundle
from walras.protocol.values import encode_balances
from walras.protocol.venues import encode_venues

MAX_BUNDLE_BYTES = 1 << 30


def award(phase: Selected, record: Awarded, keys: Keys, blob: Blob) -> Decided:
    """The award is made.

    Raises:
        AuditFailure: TIE_MISMATCH, AWARD_MISMATCH, or what `check_award` finds.
        WalrasError: what is wrong with the bundle's envelope.
    """
    closed = phase.closed
    try:
        seed = vrf.verify(keys.vrf_key, closed.tie_input(), record.tie_proof)
    except InvalidInput as error:
        raise AuditFailure(
            Reason.TIE_MISMATCH,
            f"the ties of auction {record.auction_id} are not drawn by the engine's VRF over"
            f" its closed set of bids: {error.message}",
        ) from error
    data = blob(record.bundle_digest)
    signed = envelope.open_envelope(data, Kind.BUNDLE.payload_type, keys.engine, MAX_BUNDLE_BYTES)
    found = decode_bundle(signed.body)
    certificate = decode_certificate(blob(record.certificate_digest))
    winners = [winner.bid_id for winner in found.winners]
    problem = closed.sealed.problem
    made = check_award(problem, closed.scored(), seed, winners, certificate)
    batch = AwardedBatch(closed.sealed, made)
    expected = batch.bundle()
    if found != expected:
        raise AuditFailure(Reason.AWARD_MISMATCH, _difference(found, expected))
    return Decided(closed, batch, record.bundle_digest)


def observe(state: State, phase: Decided, record: Observed, blob: Blob) -> Decided:
    """How the batch's calls ended, and which of its intents were canaries.

    Raises:
        AuditFailure: RECORD_OUT_OF_ORDER or DISPATCH_MISMATCH.
    """
    closed = phase.closed
    sealed = closed.sealed
    if sealed.plan is None or phase.observed:
        raise AuditFailure(
            Reason.RECORD_OUT_OF_ORDER, "the calls are observed twice, or there were none"
        )
    calls = decode_calls(blob(record.calls_digest))
    parts = asked(sealed.plan)
    made = {(call.part, call.solver) for call in calls}
    if len(made) != len(calls) or any(part not in parts.get(key, ()) for part, key in made):
        raise AuditFailure(Reason.DISPATCH_MISMATCH, "a call is observed that nobody was to make")
    if not asked_at_once(sealed.plan) <= made:
        raise AuditFailure(Reason.DISPATCH_MISMATCH, "a call that was made is not observed")
    if canaries_digest(record.canary_salt, record.canaries) != sealed.canaries_digest or not (
        set(record.canaries) <= sealed.problem.intents.keys()
    ):
        raise AuditFailure(
            Reason.DISPATCH_MISMATCH, "the canaries are not those that the sealing fixed"
        )
    kept = promises(closed, phase.batch)
    found = canaries_found(closed, record.canaries)
    state.observe(batch_events(calls, bidders(closed), kept, found, record.at_ms))
    return replace(phase, observed=True)


def settle(state: State, phase: Decided, record: Settled, blob: Blob) -> None:
    """The award takes effect.

    Raises:
        AuditFailure: RECORD_OUT_OF_ORDER or SETTLEMENT_MISMATCH.
    """
    if phase.closed.sealed.plan is not None and not phase.observed:
        raise AuditFailure(
            Reason.RECORD_OUT_OF_ORDER, "the batch settles before its calls are observed"
        )
    touched = state.settle(phase.batch.award.winners, withheld(phase.closed))
    balances = sha256(encode_balances(touched.balances)).digest()
    venues = sha256(encode_venues(touched.venues)).digest()
    expected = Settled(record.auction_id, phase.bundle_digest, balances, venues)
    if record != expected:
        raise AuditFailure(
            Reason.SETTLEMENT_MISMATCH,
            "the balances or venue states after the settlement are not what the award makes",
        )
    blob(balances)
    blob(venues)
    state.release()


def _difference(found: Bundle, expected: Bundle) -> str:
    """Which part of an award is wrong, in a sentence."""
    if found.winners != expected.winners:
        shown = [w.bid_id.hex()[:16] for w in found.winners]
        wanted = [w.bid_id.hex()[:16] for w in expected.winners]
        return f"the award names the winners {shown}; the rules give {wanted}"
    names = ("score", "bound", "rewards", "fills", "executions", "venues_digest", "problem_digest")
    for name in names:
        if getattr(found, name) != getattr(expected, name):
            return f"the award's {name} is not what its winners make"
    return "the award is not the one the rules give"
