"""The engine's state as a function of its log.

The engine applies each record it logs; an auditor applies each record it reads. Both run this code,
so what the log says and what the engine does cannot drift apart. Every method either applies its
record whole or raises and changes nothing.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from walras.auction.candidates import ScoredBid
from walras.balance.events import Event
from walras.core.amounts import check_amount
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent
from walras.ledger.book import Book, BookEntry, check_backed
from walras.ledger.changes import Changes, Touched
from walras.ledger.fleet import Fleet
from walras.ledger.keys import Keys
from walras.ledger.market import Market
from walras.ledger.nonces import Nonces
from walras.ledger.settlement import forfeit, settlement
from walras.market.kinds import Rfq
from walras.protocol.batch import pages
from walras.protocol.fleet import FleetChanged, FleetUpdate
from walras.protocol.keys import KeyBinding
from walras.protocol.prices import PriceFeed, PricesWatched
from walras.protocol.probes import Observations
from walras.protocol.problem import Problem, Rules
from walras.protocol.records import (
    Cancel,
    Deposit,
    Genesis,
    MarketUpdate,
    RulesSet,
    VenuesWatched,
    Withdrawal,
)


@dataclass(slots=True)
class State:
    """All that the next record depends on.

    Attributes:
        genesis: who the engine is; None before the first record.
        keys: in force; None before the first record.
        rules: in force.
        balances: (owner, asset) → available atoms, > 0; what is not there is 0.
        nonces: used (signer, nonce) pairs.
        book: open intents, and closed ones that a sealed batch still holds.
        market: what can be traded, and where.
        fleet: the solver nodes and their standing.
        changes: what was touched since `take_changes`.
    """

    genesis: Genesis | None = None
    keys: Keys | None = None
    rules: Rules = field(default_factory=Rules)
    balances: dict[tuple[bytes, str], int] = field(default_factory=dict)
    nonces: Nonces = field(default_factory=Nonces)
    book: Book = field(default_factory=Book)
    market: Market = field(default_factory=Market)
    fleet: Fleet = field(default_factory=Fleet)
    changes: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        if self.genesis is not None and self.keys is None:
            self.keys = Keys.of(self.genesis)

    @property
    def domain(self) -> str:
        """The engine's name; the log's origin."""
        return self._genesis().domain

    def balance(self, owner: bytes, asset: str) -> int:
        """Atoms of `asset` that `owner` has available."""
        return self.balances.get((owner, asset), 0)

    def take_changes(self) -> Changes:
        """What was touched since the last call."""
        changes, self.changes = self.changes, Changes()
        return changes

    # records of users and operators

    def begin(self, genesis: Genesis) -> None:
        """Apply the first record."""
        if self.genesis is not None:
            raise InvalidInput(Reason.RECORD_OUT_OF_ORDER, "a log has one genesis record")
        self.genesis = genesis
        self.keys = Keys.of(genesis)
        self.changes.genesis = True

    def bind_key(self, record: KeyBinding, leaf_index: int) -> None:
        """Apply a binding of a key whose proof was verified.

        Raises:
            InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN or KEY_BINDING_INVALID.
        """
        self._check_domain(record.domain)
        self.keys = self.in_force.bind(leaf_index, record)

    @property
    def in_force(self) -> Keys:
        """The keys in force. Raises InvalidInput: RECORD_OUT_OF_ORDER before the first record."""
        if self.keys is None:
            raise InvalidInput(Reason.RECORD_OUT_OF_ORDER, "a log begins with a genesis record")
        return self.keys

    def set_rules(self, record: RulesSet) -> None:
        """Apply new rules."""
        self.rules = record.rules
        self.changes.rules = True

    def submit(self, intent_id: bytes, intent: Intent, leaf_index: int) -> None:
        """Apply an intent.

        Raises:
            InvalidInput: DOMAIN_WRONG, NONCE_USED, ASSET_UNKNOWN, ASSET_UNPRICED,
                OPEN_INTENT_LIMIT, BOOK_FULL or BALANCE_INSUFFICIENT.
        """
        self._check_domain(intent.domain)
        self._check_nonce(intent.owner, intent.nonce)
        self.market.check_traded(intent.assets)
        self.book.check_room(intent.owner, self.rules)
        check_backed(intent, self.balance)
        self._use_nonce(intent.owner, intent.nonce)
        self._note(self.book.add(BookEntry(intent_id, intent, leaf_index, intent.units)))

    def cancel(self, cancel: Cancel, held: bool) -> BookEntry:
        """Apply a cancellation; `held` while a sealed batch may still fill the intent.

        Raises:
            InvalidInput: DOMAIN_WRONG, INTENT_UNKNOWN, OWNER_MISMATCH or INTENT_CLOSED.
        """
        self._check_domain(cancel.domain)
        return self._note(self.book.cancel(cancel, held))

    def deposit(self, deposit: Deposit) -> None:
        """Apply a deposit. Raises InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN, NONCE_USED,
        ASSET_UNKNOWN or AMOUNT_OUT_OF_RANGE.
        """
        self._check_operator(deposit.domain, deposit.operator, deposit.nonce)
        for credit in deposit.credits:
            if credit.asset not in self.market.assets:
                raise InvalidInput(Reason.ASSET_UNKNOWN, f"the engine does not know {credit.asset}")
        sums: Counter[tuple[bytes, str]] = Counter()
        for credit in deposit.credits:
            sums[credit.owner, credit.asset] += credit.amount
        for (owner, asset), amount in sums.items():
            check_amount(self.balance(owner, asset) + amount, "balance")
        self._move(sums)
        self._use_nonce(deposit.operator, deposit.nonce)

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """Apply a withdrawal. Raises InvalidInput: DOMAIN_WRONG, NONCE_USED,
        BALANCE_INSUFFICIENT.
        """
        self._check_nonce(withdrawal.owner, withdrawal.nonce)
        self.check_funded(withdrawal)
        self._use_nonce(withdrawal.owner, withdrawal.nonce)
        self._move({(withdrawal.owner, withdrawal.asset): -withdrawal.amount})

    def check_funded(self, withdrawal: Withdrawal) -> None:
        """Refuse what the owner does not have. Raises InvalidInput: DOMAIN_WRONG,
        BALANCE_INSUFFICIENT.
        """
        self._check_domain(withdrawal.domain)
        available = self.balance(withdrawal.owner, withdrawal.asset)
        if available < withdrawal.amount:
            raise InvalidInput(
                Reason.BALANCE_INSUFFICIENT,
                f"the owner has {available} atoms of {withdrawal.asset},"
                f" not the {withdrawal.amount} to withdraw",
                asset=withdrawal.asset,
                needed=withdrawal.amount,
                available=available,
            )

    def update_market(self, update: MarketUpdate) -> None:
        """Apply a market update whose quotes' signatures were verified.

        A quote uses a nonce of its maker, so that none comes back after it was traded.

        Raises:
            InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN, NONCE_USED, ASSET_UNKNOWN, VENUE_UNKNOWN or
                VENUE_MALFORMED for a quote of which part is gone.
        """
        self._check_operator(update.domain, update.operator, update.nonce)
        signed = [(update.operator, update.nonce)]
        for venue in update.venues:
            if isinstance(venue, Rfq):
                self._check_nonce(venue.maker, venue.nonce, also=signed)
                signed.append((venue.maker, venue.nonce))
        self.market.update(update, self.fleet.at_ms)
        for signer, nonce in signed:
            self._use_nonce(signer, nonce)
        self.changes.assets |= {asset.id for asset in update.assets}
        self.changes.venues |= {*update.removed_venues, *(venue.id for venue in update.venues)}
        self.changes.watch |= bool(update.removed_venues or update.venues)
        self.changes.prices |= update.prices.keys()
        self.changes.pricing |= bool(update.prices)

    def feed_prices(self, record: PriceFeed) -> None:
        """Apply what a feeder says.

        Raises:
            InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN, ASSET_UNKNOWN or FEED_STALE.
        """
        self.check_feeder(record.domain, record.feeder)
        self.market.feed(record)
        self.changes.feeds.add(record.feeder)

    def check_feeder(self, domain: str, feeder: bytes) -> None:
        """Refuse whoever is no feeder. Raises InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN."""
        self._check_domain(domain)
        if feeder not in self.rules.feeders:
            raise InvalidInput(
                Reason.SIGNER_UNKNOWN,
                "the signer is not a feeder of this engine",
                hint="the operator names it among `rules.feeders`; it counts from the next auction",
                public_key=feeder.hex(),
            )

    def tell_time(self, now_ms: int) -> None:
        """The log tells this time; records that carry none are taken to be of the latest told."""
        self.fleet.at_ms = max(self.fleet.at_ms, now_ms)
        self.changes.fleet = True

    # the fleet

    def change_fleet(self, record: FleetChanged) -> None:
        """Apply a logged version of the fleet. Raises InvalidInput: FLEET_INVALID,
        FLEET_MISMATCH.
        """
        self.fleet.apply(record)
        self.changes.fleet = True

    def update_fleet(self, record: FleetUpdate) -> None:
        """Apply an operator's update. Raises InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN,
        NONCE_USED, NODE_UNKNOWN.
        """
        self._check_operator(record.domain, record.operator, record.nonce)
        self.fleet.update(record)
        self._use_nonce(record.operator, record.nonce)
        self.changes.fleet = True

    def observe(self, events: Iterable[Event]) -> None:
        """Apply what happened to nodes."""
        self.fleet.observe(events)
        self.changes.fleet = True

    def observe_epoch(self, record: Observations, events: Iterable[Event], leaf_index: int) -> None:
        """Apply a prober's observations; `events` are what they prove.

        Raises:
            InvalidInput: OBSERVATION_STALE for an epoch that may not follow the prober's last.
        """
        self.fleet.advance_epoch(record.prober, record.epoch, leaf_index)
        self.observe(events)

    # batches

    def prepare(self, sealed_ms: int) -> list[VenuesWatched | PricesWatched]:
        """Bring fleet, venues and prices to the time of a sealing; the records that it calls for.

        Called once for each sealing, by the engine and by whoever replays its log.
        """
        self.fleet.tick(sealed_ms)
        self.fleet.set_stakes(self.balances)
        self.changes.fleet = True
        self.changes.watch = True
        pricing = self.market.pricing
        self.changes.pricing |= bool(pricing.last or pricing.out) or not self.rules.operator_prices
        self.changes.venues |= self.market.expire(sealed_ms)
        watched = self.market.quarantine(self.rules, sealed_ms)
        unpriced = self.market.freeze_prices(self.rules, sealed_ms)
        return [*([] if watched is None else pages(watched)), *unpriced]

    def problem(self, auction_id: int, sealed_ms: int) -> Problem:
        """The problem that a batch sealed now would freeze; `Book.eligible` says what is in it."""
        priced = self.market.reference_prices(self.rules, sealed_ms)
        intents, balances = self.book.eligible(sealed_ms, self.balance, priced.out)
        return Problem(
            domain=self.domain,
            auction_id=auction_id,
            sealed_ms=sealed_ms,
            rules=self.rules,
            intents=intents,
            balances=balances,
            venues=self.market.open_venues(),
            prices=priced.prices,
            references=priced.references,
        )

    def expire(self, sealed_ms: int) -> None:
        """Close what a batch sealed at `sealed_ms` finds expired."""
        for entry in self.book.expire(sealed_ms):
            self._note(entry)

    def settle(self, winners: Iterable[ScoredBid], withheld: Iterable[bytes] = ()) -> Touched:
        """Apply winning bids: fills, balances, venues, and what is left over to the buffer.

        Args:
            winners: of the batch.
            withheld: the solver of each commitment that was not opened: each costs it the rules'
                forfeit, as far as it has that, which goes to the buffer too.

        Raises:
            InvalidInput: INTENT_UNKNOWN or ACCOUNT_OVERSPENT, of bids that no auction over this
                state awards.
        """
        made = settlement(self.book, winners)
        rules = self.fleet.rules
        forfeit(made.net, self.balances, rules.bond_asset, rules.forfeit, withheld)
        balances = self._move(made.net)
        for entry, fill in made.fills:
            self._note(self.book.fill(entry, fill.units, fill.settlement))
        self.market.move(made.venues, self.fleet.at_ms)
        self.changes.venues |= made.venues.keys()
        self.changes.watch |= bool(made.venues)
        return Touched(balances, made.venues)

    def release(self) -> None:
        """A batch has ended: forget the closed intents it still held."""
        self.book.release()

    # the few ways in which anything changes

    def _genesis(self) -> Genesis:
        if self.genesis is None:
            raise InvalidInput(Reason.RECORD_OUT_OF_ORDER, "a log begins with a genesis record")
        return self.genesis

    def _check_domain(self, domain: str) -> None:
        if domain != self.domain:
            raise InvalidInput(
                Reason.DOMAIN_WRONG,
                f"signed for {domain!r}, but this engine is {self.domain!r}",
                domain=domain,
            )

    def _check_operator(self, domain: str, operator: bytes, nonce: int) -> None:
        self.check_operator(domain, operator)
        self._check_nonce(operator, nonce)

    def check_operator(self, domain: str, operator: bytes) -> None:
        """Refuse whoever is not an operator. Raises InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN."""
        self._check_domain(domain)
        if operator not in self.in_force.operators:
            raise InvalidInput(
                Reason.SIGNER_UNKNOWN,
                "the signer is not an operator of this engine",
                hint="sign with the key of one of its `operators`; where none is configured, with"
                " operator.key of its data folder",
                public_key=operator.hex(),
            )

    def _check_nonce(
        self, signer: bytes, nonce: int, also: Container[tuple[bytes, int]] = ()
    ) -> None:
        if (signer, nonce) in self.nonces or (signer, nonce) in also:
            raise InvalidInput(
                Reason.NONCE_USED,
                f"nonce {nonce} was used before by this signer",
                hint="choose another; the order does not matter",
                nonce=nonce,
            )

    def _use_nonce(self, signer: bytes, nonce: int) -> None:
        self.nonces.add((signer, nonce))
        self.changes.nonces.append((signer, nonce))

    def _move(self, amounts: Mapping[tuple[bytes, str], int]) -> dict[tuple[bytes, str], int]:
        """Touched balances as they are then, zero included."""
        held = self.balances.get
        after = {account: held(account, 0) + amount for account, amount in amounts.items()}
        for (owner, asset), amount in after.items():
            if amount < 0:
                raise InvalidInput(
                    Reason.ACCOUNT_OVERSPENT, f"{owner.hex()} would hold {amount} atoms of {asset}"
                )
        self.balances.update(after)
        for account in [account for account, amount in after.items() if not amount]:
            del self.balances[account]
        self.changes.balances.update(after)
        return after

    def _note(self, entry: BookEntry) -> BookEntry:
        self.changes.intents[entry.id] = entry
        return entry
