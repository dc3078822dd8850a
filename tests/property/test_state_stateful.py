"""The ledger against a model of a few dictionaries, over any sequence of what people do."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from support.ledgers import copied, crossed, fund, ledger, name_of, scored, sold_to, totals
from support.market import (
    DOMAIN,
    ETH,
    NEVER,
    USD,
    WHOLE_ETH,
    WHOLE_USD,
    intent,
    pool,
    signer,
)

from walras.core.errors import BidRejected, InvalidInput, Reason
from walras.core.intents import Intent
from walras.ledger.book import IntentState
from walras.ledger.changes import Changes
from walras.ledger.settlement import BUFFER
from walras.protocol.problem import Rules
from walras.protocol.records import Cancel, Withdrawal

OWNERS = [signer(name).public_key for name in ("ann", "bob", "eve")]
MOST_PER_OWNER, MOST = 3, 7

owners = st.sampled_from(OWNERS)
tenths = st.integers(1, 30)


class Ledger(RuleBasedStateMachine):
    """Deposits, withdrawals, intents, cancellations and batches."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.state = ledger(
            pool(depth=100), rules=Rules(max_open_per_owner=MOST_PER_OWNER, max_open=MOST)
        )
        self.money: dict[tuple[bytes, str], int] = {}
        self.open: dict[bytes, tuple[Intent, int]] = {}
        self.fate: dict[bytes, IntentState] = {}
        self.supply = totals(self.state)
        self.used: set[tuple[bytes, int]] = set(self.state.nonces)
        self.now = 1
        self.auctions = 0
        # Ids hang on nonces, batches on the order of ids, and a run must be repeatable.
        self.nonces = count(1)

    def held(self, owner: bytes, asset: str) -> int:
        return self.money.get((owner, asset), 0)

    def move(self, owner: bytes, asset: str, amount: int) -> None:
        self.money[owner, asset] = self.held(owner, asset) + amount
        assert self.money[owner, asset] >= 0

    @initialize()
    def endow(self) -> None:
        for owner in OWNERS:
            self.deposit(owner, ETH, 10)
            self.deposit(owner, USD, 10)

    @rule(owner=owners, asset=st.sampled_from([ETH, USD]), amount=tenths)
    def deposit(self, owner: bytes, asset: str, amount: int) -> None:
        atoms = amount * (WHOLE_ETH // 10 if asset == ETH else 200 * WHOLE_USD)
        fund(self.state, owner, asset, atoms)
        self.move(owner, asset, atoms)
        self.supply[asset] += atoms

    @rule(owner=owners, asset=st.sampled_from([ETH, USD]), share=st.integers(1, 12))
    def withdraw(self, owner: bytes, asset: str, share: int) -> None:
        amount = max(1, self.held(owner, asset) * share // 10)
        record = Withdrawal(DOMAIN, owner, next(self.nonces), asset, amount, NEVER)
        if amount > self.held(owner, asset):
            self.refused(Reason.BALANCE_INSUFFICIENT, lambda: self.state.withdraw(record))
        else:
            self.state.withdraw(record)
            self.move(owner, asset, -amount)
            self.supply[asset] -= amount
            self.refused(Reason.NONCE_USED, lambda: self.state.withdraw(record))

    @rule(
        target=names,
        owner=owners,
        sells=st.booleans(),
        units=st.sampled_from([5, 5, 5, 7, 40]),
        margin=st.integers(-20, 150),
        whole=st.booleans(),
        life=st.integers(1, 8),
    )
    def submit(
        self, owner: bytes, sells: bool, units: int, margin: int, whole: bool, life: int
    ) -> object:
        price = 2_000 - margin if sells else 2_000 + margin
        atoms = units * WHOLE_ETH // 10
        worth = units * price * WHOLE_USD // 10
        made = intent(
            owner,
            -1 if sells else 1,
            worth if sells else -worth,
            units=atoms,
            min_units=atoms if whole else 0,
            expiry_ms=self.now + life,
            number=next(self.nonces),
        )
        least = atoms if whole else 1
        need = least if sells else -(-worth * least // atoms)
        mine = sum(other.owner == owner for other, _ in self.open.values())
        name = name_of(made)

        def act() -> None:
            self.state.submit(name, made, len(self.used))

        if mine >= MOST_PER_OWNER:
            self.refused(Reason.OPEN_INTENT_LIMIT, act)
        elif len(self.open) >= MOST:
            self.refused(Reason.BOOK_FULL, act)
        elif need > self.held(owner, ETH if sells else USD):
            self.refused(Reason.BALANCE_INSUFFICIENT, act)
        else:
            act()
            self.open[name] = (made, atoms)
            self.refused(Reason.NONCE_USED, act)
            return name
        return multiple()

    @rule(name=names, owner=owners)
    def cancel(self, name: bytes, owner: bytes) -> None:
        record = Cancel(DOMAIN, owner, name)
        if name not in self.open:
            self.refused(Reason.INTENT_UNKNOWN, lambda: self.state.cancel(record, held=False))
        elif self.open[name][0].owner != owner:
            self.refused(Reason.OWNER_MISMATCH, lambda: self.state.cancel(record, held=False))
        else:
            assert self.state.cancel(record, held=False).state is IntentState.CANCELLED
            del self.open[name]
            self.fate[name] = IntentState.CANCELLED

    @rule(share=st.integers(1, 10), takes_back=st.booleans())
    def batch(self, share: int, takes_back: bool) -> None:
        """Seal, perhaps a cancellation in between, then settle what crosses or the pool takes."""
        self.auctions += 1
        problem = self.state.problem(self.auctions, self.now)
        self.state.expire(self.now)
        for name, (made, _) in list(self.open.items()):
            if made.expiry_ms <= self.now:
                del self.open[name]
                self.fate[name] = IntentState.EXPIRED
        winners = crossed(problem)[:1]
        taken = {fill.intent_id for winner in winners for fill in winner.fills}
        spenders = {account for winner in winners for account in winner.spends}
        for name, found in problem.intents.items():
            sells = found.intent.legs[0].quantity < 0
            if sells and name not in taken and (found.intent.owner, ETH) not in spenders:
                least = found.remaining if found.intent.min_units else 1
                units = max(least, found.remaining * share // 10)
                try:
                    proposal = sold_to(problem, found, units, "pool")
                    # An atom of price less than the pool pays: what is over is the buffer's.
                    prices = {**proposal.prices, ETH: proposal.prices[ETH] - 1}
                    winners.append(scored(problem, replace(proposal, prices=prices)))
                except BidRejected:
                    continue  # the pool pays less than its limit
                break
        if takes_back and problem.intents:
            name = next(iter(problem.intents))
            owner = problem.intents[name].intent.owner
            self.state.cancel(Cancel(DOMAIN, owner, name), held=True)
            self.fate[name] = IntentState.CANCELLED
        self.state.settle(winners)
        for winner in winners:
            for fill in winner.fills:
                made, remaining = self.open[fill.intent_id]
                self.move(made.owner, ETH, made.legs[0].quantity * fill.units)
                self.move(made.owner, USD, fill.settlement)
                self.open[fill.intent_id] = (made, remaining - fill.units)
                if remaining == fill.units:
                    self.fate[fill.intent_id] = IntentState.FILLED
            for asset, amount in winner.leftover.items():
                self.move(BUFFER, asset, amount)
        self.state.release()
        for name in self.fate:
            self.open.pop(name, None)
        self.now += 1

    def refused(self, reason: Reason, act: Callable[[], object]) -> None:
        before = copied(self.state)
        with pytest.raises(InvalidInput) as caught:
            act()
        assert caught.value.reason is reason
        assert self.state == before

    @invariant()
    def agrees(self) -> None:
        state = self.state
        assert state.balances == {key: amount for key, amount in self.money.items() if amount}
        assert totals(state) == self.supply
        assert state.book.entries.keys() == self.open.keys()
        for name, (made, remaining) in self.open.items():
            entry = state.book.entries[name]
            assert (entry.intent, entry.remaining, entry.state) == (
                made,
                remaining,
                IntentState.OPEN,
            )
        counts = {
            owner: sum(made.owner == owner for made, _ in self.open.values()) for owner in OWNERS
        }
        assert state.book.open_by_owner == {owner: n for owner, n in counts.items() if n}
        changes = state.take_changes()
        for name, entry in changes.intents.items():
            assert entry.state is self.fate.get(name, IntentState.OPEN)
        assert state.take_changes() == Changes()  # what was taken is gone


TestLedger = Ledger.TestCase
TestLedger.settings = settings(deadline=None, max_examples=120, stateful_step_count=40)
