"""The engine's state as a function of its log.

The engine applies each record it logs; an auditor applies each record it reads. Both run this code,
so what the log says and what the engine does cannot drift apart. Every method either applies its
record whole or raises and changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from walras.auction.candidates import ScoredBid
from walras.balance.events import Event
from walras.core.amounts import AMOUNT_LIMIT, check_amount
from walras.core.assets import Asset
from walras.core.bids import SettledFill
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Intent, least_fill
from walras.ledger.book import BookEntry, IntentState
from walras.ledger.changes import Changes, Touched
from walras.ledger.fleet import Fleet
from walras.market.kinds import AnyVenue
from walras.market.watch import Limits, VenueWatch
from walras.protocol.problem import OpenIntent, Price, Problem, Rules
from walras.protocol.records import (
    Cancel,
    Deposit,
    FleetChanged,
    FleetUpdate,
    Genesis,
    MarketUpdate,
    Observations,
    QuarantinedVenue,
    RulesSet,
    VenuesWatched,
    Withdrawal,
)

BUFFER = bytes(32)
"""The owner of what bids leave over. Not a valid public key, so nobody can sign for it."""


@dataclass(slots=True)
class State:
    """All that the next record depends on.

    Attributes:
        genesis: who the engine is; None before the first record.
        rules: in force.
        assets, venues, prices: the market, by id.
        balances: (owner, asset) → available atoms, > 0; what is not there is 0.
        nonces: used (signer, nonce) pairs.
        book: open intents, and closed ones that a sealed batch still holds, by id.
        open_by_owner: how many open intents an owner has.
        fleet: the solver nodes and their standing.
        watch: what is known of the venues' health.
        changes: what was touched since `take_changes`.
    """

    genesis: Genesis | None = None
    rules: Rules = field(default_factory=Rules)
    assets: dict[str, Asset] = field(default_factory=dict)
    venues: dict[str, AnyVenue] = field(default_factory=dict)
    prices: dict[str, Price] = field(default_factory=dict)
    balances: dict[tuple[bytes, str], int] = field(default_factory=dict)
    nonces: set[tuple[bytes, int]] = field(default_factory=set)
    book: dict[bytes, BookEntry] = field(default_factory=dict)
    open_by_owner: Counter[bytes] = field(default_factory=Counter)
    fleet: Fleet = field(default_factory=Fleet)
    watch: VenueWatch = field(default_factory=VenueWatch)
    changes: Changes = field(default_factory=Changes)

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
        self.changes.genesis = True

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
        for asset in intent.assets:
            if asset not in self.assets:
                raise InvalidInput(
                    Reason.ASSET_UNKNOWN,
                    f"the engine does not know {asset}",
                    hint="ListAssets names the assets that can be traded",
                    asset=asset,
                )
            if asset not in self.prices:
                raise InvalidInput(
                    Reason.ASSET_UNPRICED,
                    f"{asset} has no reference price, so it cannot be traded yet",
                    asset=asset,
                )
        if self.open_by_owner[intent.owner] >= self.rules.max_open_per_owner:
            raise InvalidInput(
                Reason.OPEN_INTENT_LIMIT,
                f"the owner has {self.rules.max_open_per_owner} open intents, the most allowed",
                hint="cancel one first",
                limit=self.rules.max_open_per_owner,
            )
        if len(self.book) >= self.rules.max_open:
            raise InvalidInput(
                Reason.BOOK_FULL, "the book is full", hint="try again after the next batch"
            )
        worst = min(intent.limit, intent.decay.start_limit if intent.decay else intent.limit)
        for asset, need in intent.needs(least_fill(intent, intent.units), worst).items():
            if self.balance(intent.owner, asset) < need:
                raise InvalidInput(
                    Reason.BALANCE_INSUFFICIENT,
                    f"the least fill needs {need} atoms of {asset},"
                    f" the owner has {self.balance(intent.owner, asset)}",
                    hint="deposit more, or lower min_units",
                    asset=asset,
                    needed=need,
                    available=self.balance(intent.owner, asset),
                )
        self._use_nonce(intent.owner, intent.nonce)
        self._put(BookEntry(intent_id, intent, leaf_index, intent.units))
        self.open_by_owner[intent.owner] += 1

    def cancel(self, cancel: Cancel, held: bool) -> BookEntry:
        """Apply a cancellation; `held` while a sealed batch may still fill the intent.

        Raises:
            InvalidInput: DOMAIN_WRONG, INTENT_UNKNOWN, OWNER_MISMATCH or INTENT_CLOSED.
        """
        self._check_domain(cancel.domain)
        entry = self.book.get(cancel.intent_id)
        if entry is None:
            raise InvalidInput(
                Reason.INTENT_UNKNOWN,
                f"intent {cancel.intent_id.hex()} is not open",
                intent_id=cancel.intent_id.hex(),
            )
        if entry.intent.owner != cancel.owner:
            raise InvalidInput(Reason.OWNER_MISMATCH, "only an intent's owner can cancel it")
        if entry.state is not IntentState.OPEN:
            raise InvalidInput(Reason.INTENT_CLOSED, f"the intent is already {entry.state}")
        return self._close(entry, IntentState.CANCELLED, keep=held)

    def deposit(self, deposit: Deposit) -> None:
        """Apply a deposit. Raises InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN, NONCE_USED,
        ASSET_UNKNOWN or AMOUNT_OUT_OF_RANGE.
        """
        self._check_operator(deposit.domain, deposit.operator, deposit.nonce)
        for credit in deposit.credits:
            if credit.asset not in self.assets:
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
        """Apply a market update. Raises InvalidInput: DOMAIN_WRONG, SIGNER_UNKNOWN, NONCE_USED,
        ASSET_UNKNOWN or VENUE_UNKNOWN.
        """
        self._check_operator(update.domain, update.operator, update.nonce)
        known = self.assets.keys() | {asset.id for asset in update.assets}
        traded = [asset for venue in update.venues for asset in venue.assets]
        for name in [*traded, *update.prices]:
            if name not in known:
                raise InvalidInput(
                    Reason.ASSET_UNKNOWN,
                    f"{name} is traded or priced before it is listed",
                    hint="list the asset in the same update or an earlier one",
                    asset=name,
                )
        for venue_id in update.removed_venues:
            if venue_id not in self.venues:
                raise InvalidInput(Reason.VENUE_UNKNOWN, f"there is no venue {venue_id!r}")
        self._use_nonce(update.operator, update.nonce)
        self.assets |= {asset.id: asset for asset in update.assets}
        for venue_id in update.removed_venues:
            del self.venues[venue_id]
            self.watch.removed(venue_id)
        self.venues |= {venue.id: venue for venue in update.venues}
        for venue in update.venues:
            self.watch.touched(venue.id, self.fleet.at_ms)
        self.prices |= update.prices
        self.changes.assets |= {asset.id for asset in update.assets}
        self.changes.venues |= {*update.removed_venues, *(venue.id for venue in update.venues)}
        self.changes.watch |= bool(update.removed_venues or update.venues)
        self.changes.prices |= update.prices.keys()

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

    def observe_epoch(self, record: Observations, events: Iterable[Event]) -> None:
        """Apply a prober's observations; `events` are what they prove.

        Raises:
            InvalidInput: OBSERVATION_STALE for an epoch that is not after the prober's last.
        """
        self.fleet.advance_epoch(record.prober, record.epoch)
        self.observe(events)

    # batches

    def prepare(self, sealed_ms: int) -> VenuesWatched | None:
        """Bring fleet and venues to the time of a sealing; the record that it calls for, if any.

        Called once for each sealing, by the engine and by whoever replays its log.
        """
        self.fleet.tick(sealed_ms)
        self.fleet.set_stakes(self.balances)
        self.changes.fleet = True
        rules = self.rules
        limits = Limits(
            rules.min_venue_value,
            rules.max_price_ratio,
            rules.max_venue_age_ms,
            rules.max_venue_move_bps,
        )
        prices = {asset: price.amount for asset, price in self.prices.items()}
        verdict = self.watch.check(self.venues, prices, limits, sealed_ms)
        self.changes.watch = True
        if not verdict.quarantined and not verdict.released:
            return None
        return VenuesWatched(
            sealed_ms,
            tuple(QuarantinedVenue(q.venue, q.rule, q.details) for q in verdict.quarantined),
            verdict.released,
        )

    def open_venues(self) -> dict[str, AnyVenue]:
        """Venues that a problem shows, by ascending id: those that are not in quarantine."""
        out = self.watch.quarantined
        return {name: self.venues[name] for name in sorted(self.venues) if name not in out}

    def problem(self, auction_id: int, sealed_ms: int) -> Problem:
        """The problem that a batch sealed now would freeze.

        Eligible is what is open, inside its window, and backed: its owner has what the least fill
        takes at the present limit. As many units may be filled as remain and are backed.
        """
        intents: dict[bytes, OpenIntent] = {}
        balances: dict[tuple[bytes, str], int] = {}
        for entry in self.book.values():
            intent = entry.intent
            if entry.state is not IntentState.OPEN:
                continue
            if not intent.not_before_ms <= sealed_ms < intent.expiry_ms:
                continue
            limit = intent.limit_at(sealed_ms)
            available = partial(self.balance, intent.owner)
            # A surplus counts only as far as the owner could have paid the limit: otherwise "buy
            # for at most 10^30" would outscore every honest bid.
            fillable = min(entry.remaining, intent.backed(limit, available))
            if fillable < least_fill(intent, entry.remaining):
                continue
            intents[entry.id] = OpenIntent(entry.id, intent, fillable)
            for asset in intent.needs(fillable, limit):
                # Settlements may raise a balance past what an amount can be; a problem shows no
                # more.
                balances[intent.owner, asset] = min(available(asset), AMOUNT_LIMIT - 1)
        return Problem(
            domain=self.domain,
            auction_id=auction_id,
            sealed_ms=sealed_ms,
            rules=self.rules,
            intents={name: intents[name] for name in sorted(intents)},
            balances=balances,
            venues=self.open_venues(),
            prices={asset: self.prices[asset] for asset in sorted(self.prices)},
        )

    def expire(self, sealed_ms: int) -> None:
        """Close what a batch sealed at `sealed_ms` finds expired."""
        for entry in list(self.book.values()):
            if entry.state is IntentState.OPEN and entry.intent.expiry_ms <= sealed_ms:
                self._close(entry, IntentState.EXPIRED)

    def has_expired(self, now_ms: int) -> bool:
        """Whether an open intent's window has passed."""
        return any(
            entry.state is IntentState.OPEN and entry.intent.expiry_ms <= now_ms
            for entry in self.book.values()
        )

    def moves_by_itself(self, now_ms: int) -> bool:
        """Whether time alone will change what is eligible, or at what limit, after `now_ms`."""
        return any(
            entry.intent.not_before_ms > now_ms
            or (entry.intent.decay is not None and entry.intent.decay.end_ms > now_ms)
            for entry in self.book.values()
        )

    def settle(self, winners: Iterable[ScoredBid]) -> Touched:
        """Apply winning bids: fills, balances, venues, and what is left over to the buffer.

        Raises:
            InvalidInput: INTENT_UNKNOWN or ACCOUNT_OVERSPENT, of bids that no auction over this
                state awards.
        """
        fills: list[tuple[BookEntry, SettledFill]] = []
        venues: dict[str, AnyVenue] = {}
        # Gives before receives would need an order; the net per account cannot fall below zero,
        # because gross gives are covered by what was available.
        net: Counter[tuple[bytes, str]] = Counter()
        for bid in winners:
            for fill in bid.fills:
                entry = self.book.get(fill.intent_id)
                if entry is None:
                    raise InvalidInput(
                        Reason.INTENT_UNKNOWN, f"intent {fill.intent_id.hex()} is not in the book"
                    )
                intent = entry.intent
                for leg in intent.legs:
                    net[intent.owner, leg.asset] += leg.quantity * fill.units
                net[intent.owner, intent.settlement_asset] += fill.settlement
                fills.append((entry, fill))
            for asset, amount in bid.leftover.items():
                net[BUFFER, asset] += amount
            venues |= bid.venues
        self._move(net)
        for entry, fill in fills:
            self._fill(entry, fill.units, fill.settlement)
        self.venues |= venues
        for venue_id in venues:
            self.watch.touched(venue_id, self.fleet.at_ms)
        self.changes.venues |= venues.keys()
        self.changes.watch |= bool(venues)
        return Touched({key: self.balances.get(key, 0) for key in net}, venues)

    def release(self) -> None:
        """A batch has ended: forget the closed intents it still held."""
        for entry in [e for e in self.book.values() if e.state is not IntentState.OPEN]:
            del self.book[entry.id]

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
        if operator not in self._genesis().operators:
            raise InvalidInput(
                Reason.SIGNER_UNKNOWN,
                "the signer is not an operator of this engine",
                hint="sign with the key of one of its `operators`; where none is configured, with"
                " operator.key of its data folder",
                public_key=operator.hex(),
            )

    def _check_nonce(self, signer: bytes, nonce: int) -> None:
        if (signer, nonce) in self.nonces:
            raise InvalidInput(
                Reason.NONCE_USED,
                f"nonce {nonce} was used before by this signer",
                hint="choose another; the order does not matter",
                nonce=nonce,
            )

    def _use_nonce(self, signer: bytes, nonce: int) -> None:
        self.nonces.add((signer, nonce))
        self.changes.nonces.append((signer, nonce))

    def _move(self, amounts: Mapping[tuple[bytes, str], int]) -> None:
        after = {key: self.balances.get(key, 0) + amount for key, amount in amounts.items()}
        for (owner, asset), amount in after.items():
            if amount < 0:
                raise InvalidInput(
                    Reason.ACCOUNT_OVERSPENT, f"{owner.hex()} would hold {amount} atoms of {asset}"
                )
        for key, amount in after.items():
            if amount:
                self.balances[key] = amount
            else:
                self.balances.pop(key, None)
        self.changes.balances |= after.keys()

    def _fill(self, entry: BookEntry, units: int, settlement: int) -> None:
        remaining = entry.remaining - units
        after = replace(entry, remaining=remaining, settled=entry.settled + settlement)
        if remaining == 0:
            if entry.state is IntentState.OPEN:
                self._close(after, IntentState.FILLED, keep=True)
            else:
                self._put(replace(after, state=IntentState.FILLED))
        else:
            self._put(after)

    def _close(self, entry: BookEntry, state: IntentState, *, keep: bool = False) -> BookEntry:
        closed = replace(entry, state=state)
        owner = entry.intent.owner
        self.open_by_owner[owner] -= 1
        if not self.open_by_owner[owner]:
            del self.open_by_owner[owner]
        self._put(closed)
        if not keep:
            del self.book[entry.id]
        return closed

    def _put(self, entry: BookEntry) -> None:
        self.book[entry.id] = entry
        self.changes.intents[entry.id] = entry
