"""Levels B and C of the audit: run the log again (protocol §9).

Every record is applied to a state that began empty, by the code that the engine runs. What the
engine claims (problems, rejections, awards, settlements) is computed again and compared, so the
first claim that does not follow from what stands before it is found, and named.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from walras.auction.batch import ClosedBatch, OpenBatch
from walras.auction.dispatch import asked, asked_at_once, dispatch, part_size, vrf_input
from walras.auction.observed import canaries_digest, canaries_found, promises
from walras.auction.parts import split
from walras.audit import envelope, vrf
from walras.audit.phases import Bidding, Decided, Phase, Selected, check_order
from walras.audit.probes import check_observations
from walras.core.bids import Bundle
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError
from walras.core.intents import Intent
from walras.ledger.book import IntentState
from walras.ledger.fleet import batch_events
from walras.ledger.state import State
from walras.protocol.codec import Signed, decode
from walras.protocol.fleet import Dispatch, decode_calls, decode_dispatch
from walras.protocol.problem import Problem
from walras.protocol.records import (
    KIND_OF_TYPE,
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Cancel,
    Closed,
    Deposit,
    FleetChanged,
    FleetUpdate,
    Genesis,
    Kind,
    MarketUpdate,
    Observations,
    Observed,
    Opened,
    RulesSet,
    Sealed,
    Settled,
    VenuesWatched,
    Voided,
    Withdrawal,
    signer_of,
)
from walras.protocol.trade import decode_bundle, encode_problem
from walras.protocol.values import encode_balances, encode_rules, encode_venues

MAX_BUNDLE_BYTES = 1 << 30

_BLOBS = frozenset({Kind.BID, Kind.BUNDLE, Kind.CHALLENGE, Kind.ECHO})
"""Signed, but no records of the log."""


@dataclass(slots=True)
class Counts:
    """What was replayed.

    Attributes:
        records: by kind.
        intents: by what became of them.
        auctions: settled ones.
        voided: auctions without an award.
        bids, rejected, winners, fills: in all auctions.
        score: sum of all awards.
        asked: calls that dispatches asked for.
        passed_over: node's name → sealings at which a quorum had seen it alive and the engine
            said that it was not connected.
        unproven: awards whose optimality was not proven within the effort that the rules allow.
    """

    records: Counter[str] = field(default_factory=Counter)
    intents: Counter[str] = field(default_factory=Counter)
    auctions: int = 0
    voided: int = 0
    bids: int = 0
    rejected: int = 0
    winners: int = 0
    fills: int = 0
    score: int = 0
    asked: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    unproven: int = 0


class Replay:
    """A log, replayed record by record.

    Args:
        engine: the key that the checkpoint is signed by.
        blob: gives the bytes of a SHA-256, or raises AuditFailure BLOB_MISSING.
        root_at: the root of the log's first n entries.
    """

    def __init__(
        self,
        engine: bytes,
        blob: Callable[[bytes], bytes],
        root_at: Callable[[int], bytes],
    ) -> None:
        self.state = State()
        self.counts = Counts()
        self._engine = engine
        self._read_blob = blob
        self._root_at = root_at
        self._index = 0
        self._phase: Phase = None
        self._auction_id = 0
        self._watched: VenuesWatched | None = None
        # A cancelled intent may still be filled by a batch that held it, hence the last state
        # counts.
        self._ended: dict[bytes, IntentState] = {}

    def apply(self, leaf: bytes) -> None:
        """Apply the next entry.

        Raises:
            AuditFailure: it does not follow; `fields["index"]` is its index.
        """
        try:
            self._apply(leaf)
        except AuditFailure as error:
            fields = {"index": str(self._index), **error.fields}
            raise AuditFailure(error.reason, error.message, hint=error.hint, **fields) from error
        except WalrasError as error:
            fields = {**error.fields, "index": str(self._index)}
            raise AuditFailure(error.reason, error.message, **fields) from error
        self._index += 1

    def finish(self) -> Counts:
        """Settle the accounts of level C: every logged intent has an end or is still open.

        Raises:
            AuditFailure: LOG_INCOMPLETE where the log is empty or ends between a batch's first bid
                and its settlement, which are one commit; INTENT_UNACCOUNTED; or ACCOUNT_OVERSPENT
                for a balance below zero.
        """
        phase = self._phase
        if isinstance(phase, Selected | Decided) or (isinstance(phase, Bidding) and phase.received):
            raise AuditFailure(
                Reason.LOG_INCOMPLETE,
                f"the log ends within the settlement of auction {self._auction_id}",
                index=self._index,
            )
        if self.state.genesis is None:
            raise AuditFailure(Reason.LOG_INCOMPLETE, "the log is empty", index=0)
        for (owner, asset), amount in self.state.balances.items():
            if amount < 0:
                raise AuditFailure(
                    Reason.ACCOUNT_OVERSPENT, f"{owner.hex()} holds {amount} atoms of {asset}"
                )
        self.counts.intents = Counter(state.value for state in self._ended.values())
        self.counts.intents[IntentState.OPEN.value] = self.state.open_by_owner.total()
        if sum(self.counts.intents.values()) != self.counts.records[Kind.INTENT.value]:
            raise AuditFailure(
                Reason.INTENT_UNACCOUNTED, "some intents neither ended nor are they open"
            )
        return self.counts

    def _apply(self, leaf: bytes) -> None:
        signed = envelope.decode(leaf)
        kind = KIND_OF_TYPE.get(signed.payload_type)
        if kind is None or kind in _BLOBS:
            raise AuditFailure(
                Reason.PAYLOAD_TYPE_WRONG, f"{signed.payload_type} is not a log record"
            )
        record = decode(kind, signed.body)
        self._check_signer(kind, record, signed.signer)
        if self._index == 0 and not isinstance(record, Genesis):
            raise AuditFailure(Reason.RECORD_OUT_OF_ORDER, "a log begins with a genesis record")
        check_order(record, self._phase, self._auction_id)
        self._dispatch(record, leaf, envelope.record_id(signed.payload_type, signed.body))
        self.counts.records[kind.value] += 1
        for entry in self.state.take_changes().intents.values():
            if entry.state is not IntentState.OPEN:
                self._ended[entry.id] = entry.state

    def _check_signer(self, kind: Kind, record: Signed, signer: bytes) -> None:
        expected = signer_of(record) or self._engine
        if signer != expected:
            raise AuditFailure(
                Reason.RECORD_UNAUTHORISED,
                f"a {kind} record is signed by {signer.hex()}, not {expected.hex()}",
            )

    def _dispatch(self, record: Signed, leaf: bytes, record_id: bytes) -> None:
        match record:
            case Genesis():
                self._genesis(record)
            case RulesSet():
                self.state.set_rules(record)
            case Intent():
                self.state.submit(record_id, record, self._index)
            case Cancel():
                self._cancel(record)
            case Withdrawal():
                self.state.withdraw(record)
            case Deposit():
                self.state.deposit(record)
            case MarketUpdate():
                self.state.update_market(record)
            case Opened():
                self._open(record)
            case Sealed():
                self._seal(record)
            case BidReceived():
                self._receive(record)
            case BidRejectedRecord():
                assert isinstance(self._phase, Bidding)
                self._phase.rejections.append((self._index, record))
            case Closed():
                self._close(record, leaf)
            case Awarded():
                self._award(record)
            case Observed():
                self._observe(record)
            case FleetChanged():
                self.state.change_fleet(record)
            case FleetUpdate():
                self.state.update_fleet(record)
            case Observations():
                self._probes(record)
            case VenuesWatched():
                self._watch(record)
            case Settled():
                self._settle(record)
            case Voided():
                self._void()

    def _genesis(self, record: Genesis) -> None:
        if record.engine != self._engine:
            raise AuditFailure(
                Reason.RECORD_UNAUTHORISED, "the genesis record names another engine key"
            )
        self.state.begin(record)

    def _cancel(self, record: Cancel) -> None:
        phase = self._phase
        held = isinstance(phase, Bidding) and record.intent_id in phase.batch.problem.intents
        self.state.cancel(record, held)

    def _open(self, record: Opened) -> None:
        if record.rules_digest != sha256(encode_rules(self.state.rules)).digest():
            raise AuditFailure(
                Reason.PROBLEM_MISMATCH, "the batch opens under rules that are not in force"
            )
        self.state.tell_time(record.opened_ms)
        self._auction_id = record.auction_id
        self._phase = OpenBatch(record)

    def _watch(self, record: VenuesWatched) -> None:
        if self._watched is not None:
            raise AuditFailure(Reason.VENUES_MISMATCH, "the venues were watched twice for a batch")
        self._watched = record

    def _seal(self, record: Sealed) -> None:
        assert isinstance(self._phase, OpenBatch)
        if record.sealed_ms < self._phase.opened.seal_after_ms:
            raise AuditFailure(Reason.RECORD_OUT_OF_ORDER, "the batch was sealed before its time")
        watched, self._watched = self._watched, None
        if self.state.prepare(record.sealed_ms) != watched:
            raise AuditFailure(
                Reason.VENUES_MISMATCH,
                "the venues taken out of the problem are not those that the watch takes out",
            )
        if self.state.fleet.pending:
            raise AuditFailure(
                Reason.FLEET_MISMATCH,
                "the batch was sealed before the fleet's next version was logged",
            )
        problem = self.state.problem(record.auction_id, record.sealed_ms)
        body = encode_problem(problem)
        if sha256(body).digest() != record.problem_digest:
            raise AuditFailure(
                Reason.PROBLEM_MISMATCH,
                "the sealed problem is not the one that the log before it adds up to:"
                " an intent, balance, venue or price was left out, added or changed",
                expected=sha256(body).hexdigest(),
                found=record.problem_digest.hex(),
            )
        self._blob(record.problem_digest)
        parts, plan = self._plan(problem, record)
        batch = self._phase.seal(
            problem,
            record.problem_digest,
            parts,
            plan,
            {key: node.name for key, node in self.state.fleet.nodes.items()},
            record.deadline_ms,
            record.canaries_digest,
        )
        if batch.record() != record:
            raise AuditFailure(
                Reason.DISPATCH_MISMATCH, "the solvers named are not those that were asked"
            )
        self._phase = Bidding(batch)
        self.state.expire(record.sealed_ms)

    def _plan(
        self, problem: Problem, record: Sealed
    ) -> tuple[tuple[Problem, ...], Dispatch | None]:
        """The problem's parts, and who is asked for which: drawn again and compared."""
        fleet = self.state.fleet
        if not record.dispatch_digest:
            return (problem,), None
        claimed = decode_dispatch(self._blob(record.dispatch_digest))
        connected = {node.public_key for node in claimed.nodes}
        size = part_size(len(problem.intents), fleet.standing, connected, record.sealed_ms)
        parts = split(problem, size)
        assert self.state.genesis is not None
        alpha = vrf_input(self.state.domain, record.auction_id)
        seed = vrf.verify(self.state.genesis.vrf_key, alpha, claimed.vrf_proof)
        plan = dispatch(
            parts,
            [sha256(encode_problem(part)).digest() for part in parts],
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
        self.counts.asked += sum(part.asked for part in plan.parts)
        for key in fleet.standing.eligible(record.sealed_ms):
            if key not in connected and fleet.standing.status(key, record.sealed_ms).rtt_us:
                self.counts.passed_over[fleet.nodes[key].name] += 1
        return parts, plan

    def _receive(self, record: BidReceived) -> None:
        assert isinstance(self._phase, Bidding)
        batch = self._phase.batch
        if record.solver not in batch.solvers:
            raise AuditFailure(
                Reason.RECORD_UNAUTHORISED, "a bid of a solver that was not asked was taken"
            )
        if record.received_ms > batch.deadline_ms:
            raise AuditFailure(
                Reason.RECORD_OUT_OF_ORDER, "a bid was taken that came after the deadline"
            )
        data = self._blob(record.bid_digest)
        self._phase.received.append(batch.evaluate(data, record.solver, record.received_ms))

    def _close(self, record: Closed, leaf: bytes) -> None:
        assert isinstance(self._phase, Bidding)
        closed = self._phase.batch.close(self._phase.received)
        self._check_rejections(closed, self._phase.rejections)
        if closed.record() != record:
            raise AuditFailure(
                Reason.BID_UNACCOUNTED,
                f"the batch was closed over {record.bids} bids, not the {len(closed.bids)} logged",
            )
        self._phase = Selected(closed, closed.award(sha256(leaf).digest()))
        self.counts.bids += len(closed.bids)
        self.counts.rejected += len(self._phase_rejections(closed))

    def _phase_rejections(self, closed: ClosedBatch) -> list[BidRejectedRecord]:
        number = closed.sealed.auction_id
        return [r for bid in closed.bids if (r := bid.rejected(number)) is not None]

    def _check_rejections(
        self, closed: ClosedBatch, logged: list[tuple[int, BidRejectedRecord]]
    ) -> None:
        expected = self._phase_rejections(closed)
        for wanted, (index, found) in zip(expected, logged, strict=False):
            if wanted != found:
                raise AuditFailure(
                    Reason.REJECTION_MISMATCH,
                    f"bid {found.bid_digest.hex()} was rejected for {found.reason}; what replays"
                    f" is that bid {wanted.bid_digest.hex()} breaks {wanted.reason}",
                    index=index,
                )
        if len(logged) > len(expected):
            index, found = logged[len(expected)]
            raise AuditFailure(
                Reason.REJECTION_MISMATCH,
                f"bid {found.bid_digest.hex()} was rejected for {found.reason} but is valid",
                index=index,
            )
        if len(expected) > len(logged):
            missing = expected[len(logged)]
            raise AuditFailure(
                Reason.BID_UNACCOUNTED,
                f"bid {missing.bid_digest.hex()} breaks {missing.reason} and was not rejected",
            )

    def _award(self, record: Awarded) -> None:
        assert isinstance(self._phase, Selected)
        data = self._blob(record.bundle_digest)
        signed = envelope.open_envelope(
            data, Kind.BUNDLE.payload_type, self._engine, MAX_BUNDLE_BYTES
        )
        found, expected = decode_bundle(signed.body), self._phase.batch.bundle()
        if found != expected:
            raise AuditFailure(Reason.AWARD_MISMATCH, _difference(found, expected))
        award = self._phase.batch.award
        self.counts.unproven += not award.settled
        self.counts.winners += len(award.winners)
        self.counts.fills += len(expected.fills)
        self.counts.score += award.score
        self._phase = Decided(self._phase.closed, self._phase.batch, record.bundle_digest)

    def _observe(self, record: Observed) -> None:
        assert isinstance(self._phase, Decided)
        closed = self._phase.closed
        sealed = closed.sealed
        if sealed.plan is None or self._phase.observed:
            raise AuditFailure(
                Reason.RECORD_OUT_OF_ORDER, "the calls are observed twice, or there were none"
            )
        calls = decode_calls(self._blob(record.calls_digest))
        parts = asked(sealed.plan)
        made = {(call.part, call.solver) for call in calls}
        if len(made) != len(calls) or any(part not in parts.get(key, ()) for part, key in made):
            raise AuditFailure(
                Reason.DISPATCH_MISMATCH, "a call is observed that nobody was to make"
            )
        if not asked_at_once(sealed.plan) <= made:
            raise AuditFailure(Reason.DISPATCH_MISMATCH, "a call that was made is not observed")
        if canaries_digest(record.canary_salt, record.canaries) != sealed.canaries_digest or not (
            set(record.canaries) <= sealed.problem.intents.keys()
        ):
            raise AuditFailure(
                Reason.DISPATCH_MISMATCH, "the canaries are not those that the sealing fixed"
            )
        kept = promises(closed, self._phase.batch)
        found = canaries_found(closed, record.canaries)
        self.state.observe(batch_events(calls, kept, found, record.at_ms))
        self._phase = replace(self._phase, observed=True)

    def _probes(self, record: Observations) -> None:
        body = self._blob(record.list_digest)
        fleet = self.state.fleet
        events = check_observations(
            record,
            body,
            domain=self.state.domain,
            rules=fleet.rules,
            nodes=fleet.nodes,
            root_at=self._earlier_root,
        )
        self.state.observe_epoch(record, events)

    def _settle(self, record: Settled) -> None:
        assert isinstance(self._phase, Decided)
        if self._phase.closed.sealed.plan is not None and not self._phase.observed:
            raise AuditFailure(
                Reason.RECORD_OUT_OF_ORDER, "the batch settles before its calls are observed"
            )
        touched = self.state.settle(self._phase.batch.award.winners)
        balances = sha256(encode_balances(touched.balances)).digest()
        venues = sha256(encode_venues(touched.venues)).digest()
        expected = Settled(self._auction_id, self._phase.bundle_digest, balances, venues)
        if record != expected:
            raise AuditFailure(
                Reason.SETTLEMENT_MISMATCH,
                "the balances or venue states after the settlement are not what the award makes",
            )
        self._blob(balances)
        self._blob(venues)
        self.state.release()
        self._phase = None
        self.counts.auctions += 1

    def _void(self) -> None:
        # The engine logs bids together with what they lead to, so a batch that has some was not
        # interrupted: somebody did not like its outcome.
        if isinstance(self._phase, Bidding) and self._phase.received:
            raise AuditFailure(
                Reason.BID_UNACCOUNTED,
                f"the batch was voided over the {len(self._phase.received)} bids it had received",
            )
        self._watched = None
        self.state.release()
        self._phase = None
        self.counts.voided += 1

    def _earlier_root(self, size: int) -> bytes:
        # As far as the engine could know when it logged the record.
        if size > self._index:
            raise InvalidInput(Reason.FIELD_INVALID, f"the log had {self._index} entries then")
        return self._root_at(size)

    def _blob(self, digest: bytes) -> bytes:
        body = self._read_blob(digest)
        if sha256(body).digest() != digest:
            raise AuditFailure(
                Reason.BLOB_MISMATCH,
                f"blob {digest.hex()} does not have the content of its name",
                blob=digest.hex(),
            )
        return body


def _difference(found: Bundle, expected: Bundle) -> str:
    """Which part of an award is wrong, in a sentence."""
    if found.winners != expected.winners:
        shown = [w.bid_id.hex()[:16] for w in found.winners]
        wanted = [w.bid_id.hex()[:16] for w in expected.winners]
        return f"the award names the winners {shown}; the rules give {wanted}"
    names = ("score", "rewards", "fills", "executions", "venues_digest", "problem_digest")
    for name in names:
        if getattr(found, name) != getattr(expected, name):
            return f"the award's {name} is not what its winners make"
    return "the award is not the one the rules give"
