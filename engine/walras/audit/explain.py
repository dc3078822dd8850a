"""Reasons out of a log that holds: it is replayed from its beginning, and one auction explained.

An intent is explained by the last batch that was sealed while it was open, unless another is asked
for; a bid and a commitment by the batch that they were for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from walras.auction.logged import LoggedAuction, names_bid, read_auction
from walras.auction.why import Explanation, Standing, Verdict, why_bid, why_intent
from walras.audit import envelope
from walras.audit.phases import Bidding
from walras.audit.replay import Replay
from walras.audit.verifier import Progress, Source, VerifiedLog
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.ledger.book import IntentState
from walras.protocol.codec import Signed, decode
from walras.protocol.problem import Problem
from walras.protocol.records import (
    KIND_OF_TYPE,
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Sealed,
    Settled,
    Voided,
)
from walras.protocol.sealed_bids import BidUnopened, Committed

_OF_AUCTIONS = (
    Sealed | Committed | BidReceived | BidUnopened | BidRejectedRecord | Awarded | Settled | Voided
)
_EVERY = 500


@dataclass(slots=True)
class _Batch:
    """A batch as far as the log was read: its records, and how the intent stood at its sealing."""

    problem: Problem
    standing: Standing | None
    records: list[Signed] = field(default_factory=list)

    def read(self, blob: Callable[[bytes], bytes]) -> LoggedAuction:
        intents = {name: entry.intent for name, entry in self.problem.intents.items()}
        return read_auction(self.records, blob, intents)


def explain(
    log: VerifiedLog,
    source: Source,
    asked: bytes,
    auction_id: int = 0,
    *,
    progress: Progress = lambda _done, _total: None,
) -> Explanation:
    """Why an intent was not filled, or a bid did not win.

    Args:
        log: whose entries were verified.
        source: of its blobs.
        asked: id of an intent; or id of a bid, its envelope's digest, or a commitment.
        auction_id: the batch that an intent is asked about; 0: the last that it was open for.
        progress: told of how far it is.

    Raises:
        AuditFailure: the log does not hold.
        InvalidInput: NOT_FOUND where the log has nothing of this id, or no such batch.
    """
    found = _Search(Replay(log.keys.first, source.blob, log.tree.root), source, asked, auction_id)
    for index, leaf in enumerate(log.entries):
        if index % _EVERY == 0:
            progress(index, len(log.entries))
        found.apply(leaf)
    found.machine.finish()
    progress(len(log.entries), len(log.entries))
    return found.answer()


class _Search:
    """Goes through a log with an eye on one id."""

    def __init__(self, machine: Replay, source: Source, asked: bytes, auction_id: int) -> None:
        self.machine = machine
        self._blob = source.blob
        self._asked = asked
        self._wanted = auction_id
        self._intent: Intent | None = None
        self._state = IntentState.OPEN
        self._remaining = 0
        self._batch: _Batch | None = None
        self._chosen: _Batch | None = None
        self._sealed = 0

    def apply(self, leaf: bytes) -> None:
        """Replay an entry, and keep what may be needed of it."""
        signed = envelope.decode(leaf)
        kind = KIND_OF_TYPE.get(signed.payload_type)
        record = decode(kind, signed.body) if kind is not None else None
        standing = self._standing() if isinstance(record, Sealed) else None
        self.machine.apply(leaf)
        self._follow()
        if isinstance(record, Sealed):
            self._seal(record, standing)
        if self._batch is None or not isinstance(record, _OF_AUCTIONS):
            return
        self._batch.records.append(record)
        if self._intent is None and names_bid(record, self._asked, self._blob):
            self._chosen = self._batch
        if isinstance(record, Settled | Voided):
            self._batch = None

    def answer(self) -> Explanation:
        """The explanation, once the whole log was applied."""
        if self._chosen is None:
            return self._none()
        auction = self._chosen.read(self._blob)
        if self._intent is None:
            found = why_bid(self._asked, auction)
            assert found is not None, "the batch was chosen because it names it"
            return found
        standing = self._chosen.standing
        assert standing is not None
        found = why_intent(self._asked, standing, auction)
        return replace(found, fields={**found.fields, "state": self._state.value})

    def _none(self) -> Explanation:
        if self._intent is None:
            raise InvalidInput(
                Reason.NOT_FOUND,
                f"the log has no intent, bid or commitment {self._asked.hex()}",
                hint="what was refused at intake is in no log: the answer to its submission said"
                " why",
            )
        if self._wanted > self._sealed:
            raise InvalidInput(Reason.NOT_FOUND, f"the log has no sealed auction {self._wanted}")
        verdict, message = Verdict.PENDING, "no batch was sealed since it was logged"
        if self._wanted:
            message = f"it was logged after auction {self._wanted} was sealed"
        elif self._state is not IntentState.OPEN:
            verdict = Verdict.CLOSED_BEFORE
            message = f"it was {self._state} before any batch was sealed that could hold it"
        state = {"state": self._state.value}
        return Explanation("intent", self._asked, self._wanted, verdict, message, state)

    def _standing(self) -> Standing | None:
        """Of the intent, right before a sealing; None before it was logged."""
        if self._intent is None:
            return None
        state = self.machine.state
        owner = self._intent.owner
        return Standing(
            self._intent,
            self._remaining,
            self._state.value,
            {asset: state.balance(owner, asset) for asset in self._intent.assets},
        )

    def _seal(self, record: Sealed, standing: Standing | None) -> None:
        self._sealed = record.auction_id
        phase, market = self.machine.phase, self.machine.state.market
        assert isinstance(phase, Bidding)
        if standing is not None:
            out = {name: rule.value for name, rule in market.watch.quarantined.items()}
            standing = replace(
                standing,
                quarantined=out,
                venues=dict(market.venues),
                unpriced=dict(market.pricing.out),
            )
        self._batch = _Batch(phase.batch.problem, standing)
        if standing is None:
            return
        asked_for = record.auction_id == self._wanted
        if asked_for or (not self._wanted and standing.state == IntentState.OPEN.value):
            self._chosen = self._batch

    def _follow(self) -> None:
        """What became of the intent."""
        entry = self.machine.state.book.entries.get(self._asked)
        if entry is not None:
            self._intent, self._remaining = entry.intent, entry.remaining
        self._state = self.machine.ended.get(self._asked, IntentState.OPEN)
