"""Levels B and C of the audit: run the log again (protocol §9).

Every record is applied to a state that began empty, by the code that the engine runs. What the
engine claims (problems, rejections, awards, settlements) is computed again and compared, so the
first claim that does not follow from what stands before it is found, and named.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Self

from walras.auction.batch import OpenBatch
from walras.audit import bidding, ending, envelope, sealing
from walras.audit.bindings import check_proof
from walras.audit.counts import Counts, Paused, Unproven
from walras.audit.phases import Bidding, Decided, Phase, Selected, check_order, sealed_problem
from walras.audit.probes import SplitView, check_observations
from walras.audit.quotes import check_quotes
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError
from walras.core.intents import Intent
from walras.ledger.book import IntentState
from walras.ledger.state import State
from walras.protocol.batch import is_page
from walras.protocol.codec import Signed, decode
from walras.protocol.fleet import FleetChanged, FleetUpdate
from walras.protocol.keys import KeyBinding, Role
from walras.protocol.prices import PriceFeed, PricesWatched
from walras.protocol.probes import Observations
from walras.protocol.records import (
    KIND_OF_TYPE,
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Cancel,
    Closed,
    Deposit,
    Genesis,
    Kind,
    MarketUpdate,
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
from walras.protocol.sealed_bids import BidUnopened, Committed
from walras.protocol.values import encode_rules

_BLOBS = frozenset(
    {
        Kind.BID,
        Kind.BUNDLE,
        Kind.CHALLENGE,
        Kind.ECHO,
        Kind.TASK,
        Kind.COMMITMENT,
        Kind.BID_RECEIPT,
        Kind.OPENING,
    }
)
"""Signed, but no records of the log."""


class Replay:
    """A log, replayed record by record.

    Args:
        engine: the engine's first key.
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
        self._watched: list[VenuesWatched] = []
        self._unpriced: list[PricesWatched] = []
        # A cancelled intent may still be filled by a batch that held it, hence the last state
        # counts.
        self._ended: dict[bytes, IntentState] = {}
        self._past: Counter[str] = Counter()  # those that ended before a pause

    @classmethod
    def resume(
        cls,
        paused: Paused,
        engine: bytes,
        blob: Callable[[bytes], bytes],
        root_at: Callable[[int], bytes],
    ) -> Self:
        """The replay that was paused. It takes `paused` over; arguments as of `Replay`."""
        replay = cls(engine, blob, root_at)
        replay.state, replay.counts = paused.state, paused.counts
        replay._index, replay._auction_id = paused.index, paused.auction_id
        replay._past = Counter(paused.ended)
        return replay

    def pause(self) -> Paused | None:
        """What a later replay needs to go on from here; None within a batch and before genesis."""
        if self._phase is not None or self.state.genesis is None:
            return None
        ended = self._past + Counter(state.value for state in self._ended.values())
        return Paused(self._index, self._auction_id, self.state, self.counts, ended)

    @property
    def phase(self) -> Phase:
        """Where the batch stands after the entries that were applied."""
        return self._phase

    @property
    def ended(self) -> Mapping[bytes, IntentState]:
        """Intents that are open no more, by id, and what became of them."""
        return self._ended

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
        if isinstance(phase, Selected | Decided) or (
            isinstance(phase, Bidding) and (phase.received or phase.unopened)
        ):
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
        ended = Counter(state.value for state in self._ended.values())
        self.counts.intents = self._past + ended
        self.counts.intents[IntentState.OPEN.value] = self.state.book.open_by_owner.total()
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
        self._dispatch(record, envelope.record_id(signed.payload_type, signed.body))
        self.counts.records[kind.value] += 1
        for entry in self.state.take_changes().intents.values():
            if entry.state is not IntentState.OPEN:
                self._ended[entry.id] = entry.state

    def _check_signer(self, kind: Kind, record: Signed, signer: bytes) -> None:
        # A new key is in force from the entry after its binding on.
        engine = self.state.keys.engine if self.state.keys is not None else self._engine
        expected = signer_of(record) or engine
        if signer != expected:
            raise AuditFailure(
                Reason.RECORD_UNAUTHORISED,
                f"a {kind} record is signed by {signer.hex()}, not {expected.hex()}",
            )

    def _dispatch(self, record: Signed, record_id: bytes) -> None:
        match record:
            case Genesis():
                self._genesis(record)
            case KeyBinding():
                self._bind(record)
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
                check_quotes(record)
                self.state.update_market(record)
            case PriceFeed():
                self.state.feed_prices(record)
            case Opened():
                self._open(record)
            case Sealed():
                self._seal(record)
            case Committed() | BidReceived() | BidUnopened() | BidRejectedRecord():
                self._bid(record)
            case Closed():
                self._close(record)
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
            case PricesWatched():
                self._watch_prices(record)
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

    def _bind(self, record: KeyBinding) -> None:
        check_proof(record)
        self.state.bind_key(record, self._index)
        self.counts.vrf_keys_replaced += record.role is Role.VRF

    def _cancel(self, record: Cancel) -> None:
        problem = sealed_problem(self._phase)
        held = problem is not None and record.intent_id in problem.intents
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
        if self._unpriced or (self._watched and not is_page(self._watched[-1])):
            raise AuditFailure(Reason.VENUES_MISMATCH, "the venues were watched twice for a batch")
        self._watched.append(record)

    def _watch_prices(self, record: PricesWatched) -> None:
        if self._unpriced and not self._unpriced[-1].full:
            raise AuditFailure(Reason.PRICES_MISMATCH, "the prices were watched twice for a batch")
        self._unpriced.append(record)

    def _seal(self, record: Sealed) -> None:
        assert isinstance(self._phase, OpenBatch)
        watched: list[VenuesWatched | PricesWatched] = [*self._watched, *self._unpriced]
        self._watched, self._unpriced = [], []
        self._phase = sealing.seal(self.state, self._phase, record, watched, self._blob)
        plan = self._phase.batch.plan
        if plan is not None:
            fleet = self.state.fleet
            self.counts.asked += sum(part.asked for part in plan.parts)
            self.counts.passed_over.update(sealing.passed_over(fleet, plan, record.sealed_ms))

    def _bid(self, record: Committed | BidReceived | BidUnopened | BidRejectedRecord) -> None:
        phase = self._phase
        assert isinstance(phase, Bidding)
        match record:
            case Committed():
                bidding.commit(phase, record, self._blob)
            case BidReceived():
                bidding.receive(phase, record, self._blob)
            case BidUnopened():
                bidding.unopened(phase, record)
            case BidRejectedRecord():
                phase.rejections.append((self._index, record))

    def _close(self, record: Closed) -> None:
        assert isinstance(self._phase, Bidding)
        closed = bidding.close(self._phase, record, self._blob)
        self._phase = Selected(closed)
        self.counts.bids += len(closed.bids)
        self.counts.unopened += len(closed.unopened)
        self.counts.rejected += len(bidding.rejections(closed))

    def _award(self, record: Awarded) -> None:
        assert isinstance(self._phase, Selected)
        self._phase = ending.award(self._phase, record, self.state.in_force, self._blob)
        award = self._phase.batch.award
        if not award.settled:
            gap = Unproven(record.auction_id, self._index, award.score, award.bound)
            self.counts.unproven_awards.append(gap)
        self.counts.winners += len(award.winners)
        self.counts.fills += sum(len(bid.fills) for bid in award.winners)
        self.counts.score += award.score

    def _observe(self, record: Observed) -> None:
        assert isinstance(self._phase, Decided)
        self._phase = ending.observe(self.state, self._phase, record, self._blob)

    def _probes(self, record: Observations) -> None:
        body = self._blob(record.list_digest)
        fleet = self.state.fleet
        events, forked = check_observations(
            record,
            body,
            domain=self.state.domain,
            rules=fleet.rules,
            nodes=fleet.nodes,
            root_at=self._earlier_root,
            entries=fleet.entries_needed(record.prober, record.epoch),
        )
        self.state.observe_epoch(record, events, self._index)
        self.counts.split_views += [
            SplitView(echo.node, echo.checkpoint_size, echo.checkpoint_root, self._index)
            for echo in forked
        ]

    def _settle(self, record: Settled) -> None:
        assert isinstance(self._phase, Decided)
        ending.settle(self.state, self._phase, record, self._blob)
        self._phase = None
        self.counts.auctions += 1

    def _void(self) -> None:
        # The engine logs bids together with what they lead to, so a batch that has some was not
        # interrupted: somebody did not like its outcome.
        if isinstance(self._phase, Bidding) and (self._phase.received or self._phase.unopened):
            raise AuditFailure(
                Reason.BID_UNACCOUNTED,
                f"the batch was voided over the {len(self._phase.received)} bids it had received",
            )
        if isinstance(self._phase, Bidding) and self._phase.committed is not None:
            self.counts.voided_committed += 1
        self._watched, self._unpriced = [], []
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
